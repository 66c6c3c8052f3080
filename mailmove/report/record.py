"""What happened, scenario by scenario: our own evidence from pytest-bdd's hooks, never ``--cucumberjson``.

Every collected scenario is in the record, or the record itself says that it is not complete.
"""

from __future__ import annotations

import base64
import datetime as dt
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from _pytest.outcomes import Failed
from pytest_bdd.parser import Feature, Scenario, Step

from mailmove import waivers
from mailmove.collect import PLACE, TEMPLATE, render
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Verdict
from mailmove.journey import HOLDS, Journey, Mode


@dataclass
class StepRecord:
    """One line of a scenario. ``outcome``: passed, failed, unknown, not applicable, planned, not run."""

    keyword: str
    name: str
    outcome: str = "not run"
    seconds: float = 0.0
    evidence: list[Evidence] = field(default_factory=list)
    plan: list[dict[str, str]] = field(default_factory=list)  # where, command, what
    note: str = ""


@dataclass
class ScenarioRecord:
    """One scenario. ``outcome``: one of summary.OUTCOMES."""

    id: str
    node: str
    phase: str
    file: str
    line: int
    feature: str
    about: str  # the feature's description
    rule: str
    name: str
    tags: list[str]
    steps: list[StepRecord]
    outcome: str = "not run"
    reason: str = ""
    began: float = 0.0
    seconds: float = 0.0
    attachments: list[dict[str, str]] = field(default_factory=list)  # name, media type, base64

    @property
    def open_step(self) -> StepRecord | None:
        return next((s for s in self.steps if s.outcome == "running"), None)


RECORD = pytest.StashKey[ScenarioRecord]()


class HeldUp(Failed):
    """Evidence that does not hold. ``verdict`` is the worst of it."""

    def __init__(self, evidence: Sequence[Evidence]) -> None:
        super().__init__("\n\n".join(each.explain() for each in evidence), pytrace=False)
        verdicts = {each.verdict for each in evidence}
        self.verdict = Verdict.FAILED if Verdict.FAILED in verdicts else Verdict.UNKNOWN


class Recorder:
    """The pytest plugin that writes the record and hands each verdict to the journal."""

    def __init__(self) -> None:
        self.scenarios: list[ScenarioRecord] = []
        self.journey: Journey | None = None
        self.began = time.time()
        self._current: ScenarioRecord | None = None

    def begin(self, items: list[pytest.Item], journey: Journey | None) -> None:
        """Take down every collected scenario before the first one runs."""
        self.journey = journey
        for item in items:
            template, place = item.stash.get(TEMPLATE, None), item.stash.get(PLACE, None)
            if template is None or place is None:
                continue
            record = ScenarioRecord(
                place.id,
                item.nodeid,
                place.phase,
                place.file,
                place.line,
                template.feature.name or place.file,
                template.feature.description or "",
                template.rule.name if template.rule else "",
                place.name,
                sorted(place.tags),
                [StepRecord(s.keyword, s.name) for s in render(item, template).steps],
            )
            item.stash[RECORD] = record
            self.scenarios.append(record)

    def judge(self, *evidence: Evidence) -> None:
        """Put evidence on record with the step that is running; then raises HeldUp when some of it holds things up."""
        step = self._current.open_step if self._current else None
        if step is None:
            raise RuntimeError("evidence was given outside a step")
        step.evidence += evidence
        if bad := [each for each in evidence if not each.holds]:
            raise HeldUp(bad)

    def plan(self, title: str, actions: list[dict[str, str]]) -> None:
        """Put a move's plan on record and end the scenario as planned."""
        step = self._current.open_step if self._current else None
        assert step is not None
        step.plan = actions
        pytest.skip(f"planned: {title}")

    def nothing_to_do(self, evidence: Evidence) -> None:
        """Put on record why there is nothing to do, and end the scenario as not applicable."""
        self.judge(evidence)
        pytest.skip(f"not applicable: {evidence.reason}")

    def note(self, words: str) -> None:
        """Words about the running step, for the report (how a move went)."""
        step = self._current.open_step if self._current else None
        if step is not None:
            step.note = words

    def attach(self, name: str, media_type: str, content: bytes) -> None:
        """Put a picture on record with the running scenario."""
        assert self._current is not None
        self._current.attachments.append(
            {"name": name, "media_type": media_type, "base64": base64.b64encode(content).decode("ascii")}
        )

    # pytest-bdd's hooks

    def pytest_bdd_before_step(
        self, request: pytest.FixtureRequest, feature: Feature, scenario: Scenario, step: Step
    ) -> None:
        record = request.node.stash[RECORD]
        self._current = record
        entry = record.steps[scenario.steps.index(step)]
        entry.outcome, entry.seconds = "running", time.monotonic()

    def pytest_bdd_after_step(self, request: pytest.FixtureRequest) -> None:
        entry = request.node.stash[RECORD].open_step
        if entry:
            verdicts = {e.verdict for e in entry.evidence}
            entry.outcome = "not applicable" if verdicts == {Verdict.NOT_APPLICABLE} else "passed"
            entry.seconds = time.monotonic() - entry.seconds

    def pytest_bdd_step_error(self, request: pytest.FixtureRequest, exception: BaseException) -> None:
        entry = request.node.stash[RECORD].open_step
        if entry:
            held_up = isinstance(exception, HeldUp)
            entry.outcome = str(exception.verdict) if held_up else "failed"  # type: ignore[attr-defined]
            entry.note = "" if held_up else str(exception)
            entry.seconds = time.monotonic() - entry.seconds

    # pytest's hooks

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._take_down(item, call, report)
        return report

    def _take_down(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        record = item.stash.get(RECORD, None)
        if record is None:
            return
        record.seconds += report.duration
        if report.when == "setup":
            record.began = call.start
            if report.skipped:
                record.reason = _skip_words(report)
                first = record.reason.partition(":")[0]
                record.outcome = first if first in ("planned", "stands") else "blocked"
            elif report.failed:
                record.outcome, record.reason = "failed", report.longreprtext
        elif report.when == "call":
            self._settle(record, report)
        elif report.failed:  # teardown: what came before does not make up for it
            record.outcome, record.reason = "failed", report.longreprtext
        if report.when == "teardown":
            self._tell_the_journal(item, record)
            self._current = None

    def _settle(self, record: ScenarioRecord, report: pytest.TestReport) -> None:
        entry = record.open_step
        if report.skipped:
            record.reason = _skip_words(report)
            record.outcome = "planned" if record.reason.startswith("planned") else "unknown"
            if (
                entry is not None
                and entry.evidence
                and not any(e.verdict is not Verdict.NOT_APPLICABLE for e in entry.evidence)
            ):
                record.outcome, record.reason = "not applicable", "; ".join(e.reason for e in entry.evidence)
            if record.outcome == "unknown":
                # A step may not skip its way to green: what is not looked at is reported as not looked at.
                report.outcome, report.longrepr = "failed", f"skipped by a step: {record.reason}"
        elif report.failed:
            verdicts = {s.outcome for s in record.steps}
            record.outcome = "unknown" if "unknown" in verdicts else "failed"
            record.reason = report.longreprtext
            settings, today = self.journey.migration.settings if self.journey else None, dt.date.today()
            if settings and (past := waivers.ended(settings, record.name, today)):
                record.reason += f"\n{past}"
            waived = waivers.words(settings, record.name, today) if settings else ""
            if waived:
                record.outcome, record.reason = "waived", f"{waived}\n{record.reason}"
                report.outcome, report.longrepr = "skipped", (record.file, record.line, f"waived: {waived}")
        else:
            evidence = [e for s in record.steps for e in s.evidence]
            if not evidence:
                record.outcome, record.reason = "failed", "it passed without any evidence: nothing was looked at"
                report.outcome, report.longrepr = "failed", record.reason
            elif all(e.verdict is Verdict.NOT_APPLICABLE for e in evidence):
                record.outcome, record.reason = "not applicable", "; ".join(dict.fromkeys(e.reason for e in evidence))
                report.outcome = "skipped"
                report.longrepr = (record.file, record.line, f"not applicable: {record.reason}")
            else:
                record.outcome = "passed"
        if entry is not None:
            entry.outcome = "planned" if record.outcome == "planned" else record.outcome
            entry.seconds = time.monotonic() - entry.seconds

    def _tell_the_journal(self, item: pytest.Item, record: ScenarioRecord) -> None:
        if self.journey is None or record.outcome in ("planned", "stands", "not run"):
            return
        if record.outcome == "blocked" and self.journey.mode is not Mode.MOVE:
            return
        if self.journey.mode is Mode.UNDO:
            return
        try:
            self.journey.journal.judge(record.id, record.outcome, item.stash[PLACE].words)
        except MailmoveError as error:  # nothing that comes later could be believed
            pytest.exit(f"not gone on: {error}", pytest.ExitCode.TESTS_FAILED)

    # for the end

    @property
    def green(self) -> bool:
        """Every scenario holds, is only planned or stands, and at least one was really looked at."""
        outcomes = [s.outcome for s in self.scenarios]
        return all(o in HOLDS or o in ("planned", "stands") for o in outcomes) and any(o in HOLDS for o in outcomes)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, for the JSON beside the report."""
        return {"began": self.began, "green": self.green, "scenarios": [asdict(s) for s in self.scenarios]}


def _skip_words(report: pytest.TestReport) -> str:
    words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return str(words).removeprefix("Skipped: ")
