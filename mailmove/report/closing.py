"""A run's last words: what is wrong, what to do first, and an exit status that says the cause."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from mailmove.evidence import Evidence
from mailmove.journal import Event, Journal
from mailmove.journey import Mode
from mailmove.report.record import ScenarioRecord

RED = ("failed", "unknown", "blocked", "not run")


class Status(enum.IntEnum):
    """The exit status of a run, by cause; 2 to 5 are pytest's own (interrupted, internal, usage, nothing selected)."""

    HOLDS = 0
    FAILED = 1  # something was looked at and does not hold
    REFUSED = 4  # nothing was begun: settings, servers, command line
    UNKNOWN = 6  # nothing failed, but something could not be told
    BLOCKED = 7  # nothing failed in this run, but what was asked for is held up by what is before it
    HALFWAY = 8  # a move was begun and not proved: run it again, or take it back
    NOTHING = 9  # nothing was looked at


def status(scenarios: Sequence[ScenarioRecord], journal: Journal, mode: Mode, green: bool) -> Status:
    """The gravest cause of this run."""
    outcomes = {record.outcome for record in scenarios}
    if green:
        return Status.HOLDS
    if mode is not Mode.VERIFY and halfway(journal):
        return Status.HALFWAY
    if "failed" in outcomes or "not run" in outcomes:
        return Status.FAILED
    if "unknown" in outcomes:
        return Status.UNKNOWN
    return Status.BLOCKED if "blocked" in outcomes else Status.NOTHING


def halfway(journal: Journal) -> str | None:
    """The move that was begun or is being taken back, and did not come to its end; None if there is none."""
    last: dict[str, Event] = {}
    for entry in journal.entries():
        if entry.event is Event.FAILED and entry.detail.get("at") == "needs":
            continue  # it was refused, and touched nothing
        if entry.event is Event.FAILED and last.get(entry.move) is Event.UNDONE:
            continue  # it took back itself what it had begun
        last[entry.move] = entry.event
    unfinished = [move for move, event in last.items() if event not in (Event.PROVED, Event.UNDONE)]
    return unfinished[-1] if unfinished else None


def last_words(scenarios: Sequence[ScenarioRecord]) -> list[str]:
    """Three lines: what is wrong, why it matters, what to do first. Empty if nothing is wrong.

    The journey goes from the ground up, so the first scenario that does not hold is the likeliest cause of the others.
    """
    red = [record for record in scenarios if record.outcome in RED]
    if not red:
        return []
    first = next((record for record in red if record.outcome in ("failed", "unknown")), red[0])
    others = len(red) - 1
    also = f"; {others} more may follow from it" if others else ""
    evidence = _telling(first)
    if evidence is None:
        fact, _, hint = first.reason.partition("\nhint: ")
        return [f"wrong: {first.name}: {_line(fact)}{also}", *([f"do first: {_line(hint)}"] if hint else [])]
    bad = next((f for f in evidence.findings if not f.verdict.holds), None)
    found = f"{_line(bad.asked, 100)}: {_line(bad.answer or '(no answer)', 140)}" if bad else evidence.reason
    return [
        f"wrong: {first.name}: {found}{also}",
        *([f"why it matters: {_line(evidence.why)}"] if evidence.why else []),
        f"do first: {_line(evidence.hint) or 'see its evidence in the report'}",
    ]


def _telling(record: ScenarioRecord) -> Evidence | None:
    for step in record.steps:
        for evidence in step.evidence:
            if not evidence.holds:
                return evidence
    return None


def _line(text: str, most: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
