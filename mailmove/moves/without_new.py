"""The way back when the new server is gone: the old one serves again, from what the journal remembers, without asking new.

What only the new server has cannot be carried: it is named as far as old knows of it. That ends the journey; whatever comes
after is a new one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from checks import freeze as freeze_checks
from checks.dns import records_stand
from checks.maillog import read_log
from mailmove import ledger, log_marks, stores
from mailmove.errors import MailmoveError, MoveFailed, Refused, ServerError
from mailmove.evidence import Evidence
from mailmove.journal import Journal
from mailmove.moves import late_senders, moved_by
from mailmove.moves.base import Context
from mailmove.moves.forward import Forward
from mailmove.moves.freeze import Freeze
from mailmove.moves.retire import Dismiss
from mailmove.moves.switch import Switch

GIVEN_UP = "the new server was given up"
RAISED = "without new: UIDs raised"
LEAP = 100_000
"""UIDs left out in each folder: more than new can have shown to people while it was live."""
PORT = 25
LINES = 5_000_000  # of old's log, at most


def refuse_if_given_up(journal: Journal) -> None:
    """Raises Refused when this journey has ended here: the two servers' mail is no longer of one piece."""
    at = journal.recall(GIVEN_UP)
    if at is not None:
        raise Refused(
            f"the new server was given up at {_clock(at)}; the old one serves alone since then",
            "`mailmove without-new` again, if it did not come to its end; for a next attempt begin anew: another directory with its"
            " own mailmove.toml, and a new server that was never live (docs/what-if.md)",
        )


def needs(context: Context) -> None:
    """Raises Refused when there is nothing to do, or a better way."""
    journal, new = context.journal, context.new
    if not any(journal.touched(move) for move in ("freeze", "switch")):
        raise Refused(
            "the old server was not stopped and no record leads to the new one: nothing keeps people from their mail",
            "there is nothing to take back for them; name another new server in a directory of its own",
        )
    if journal.recall(GIVEN_UP) is not None:
        return  # half done: it has to come to its end
    if freeze_checks.connect(new.address, [PORT])[PORT] == "connected":
        raise Refused(
            f"the new server ({new.address}) still takes mail: port {PORT} answers",
            "pytest features/ --undo takes its mail along, if ssh leads there. Else switch it off at your provider first:"
            " two servers must not take mail for the same people",
        )
    try:
        new.run("true")
    except ServerError:
        return
    raise Refused(
        f"the new server ({new.target}) answers by ssh",
        "pytest features/ --undo takes everything back in order, its mail included",
    )


def plan(journal: Journal) -> list[str]:
    """What will be done, in words."""
    lines = ["old: Postfix' settings as they were before the stop; what waits there is delivered there"]
    if journal.touched("start"):
        lines.append(
            f"old: each folder's next UID is raised by {LEAP:,}: none that new has shown is given to another letter"
        )
    lines.append("old: dovecot and postfix unmasked and started as they ran before")
    if journal.touched("switch"):
        lines.append("dns: every record that was switched is put back")
    if journal.touched("start"):
        lines.append(
            "not done: what only the new server has is not carried; what old knows of it is written into a file"
        )
    return lines


def go_back(context: Context) -> Iterator[Evidence]:
    """Old serves again, then the records lead there; yields the proofs. Done twice equals done once."""
    journal, say = context.journal, context.progress.say
    journal.keep_first(GIVEN_UP, time.time())
    if journal.touched("forward"):
        say("the old server forwards no more")
        Forward(context).close()
    if journal.touched("dismiss"):
        Dismiss(context).units.release()
    if journal.touched("freeze"):
        if journal.touched("start") and not journal.recall(RAISED):
            say("UIDs that the new server may have shown are left out")
            _leave_out_uids(context)
            journal.keep(RAISED, True)
        say("the old server begins its work again")
        back = Freeze(context)
        back.serve_again()
        yield freeze_checks.serves_again(context.old)
        back.set_the_pace_free()
    if journal.touched("switch"):
        say("the records are put back")
        records = Switch(context).put_back()
        if records:
            yield records_stand(context.migration, records, progress=context.progress)
    moved_by.forget([context.old])


def _leave_out_uids(context: Context) -> None:
    place = stores.place(context.old)
    wanted: dict[str, int] = {}
    for fact in stores.read(context.old, "stat"):
        if fact["kind"] == "folder" and fact["next"]:
            wanted[str(fact["path"]).removeprefix(f"{place.root}/")] = fact["next"] + LEAP
    if wanted:
        list(context.old.remote("carry", {"root": place.root, "next": wanted}))


def write_down_unknown(context: Context, path: Path) -> int:
    """The letters old handed to new, by what old's log says: only new knows what became of them. Returns how many."""
    found: dict[tuple[str, str], str] = {}
    began = min(e.at for e in context.journal.entries())
    log = read_log(context.old, began, ledger.PATTERN, LINES, marks=log_marks.noted(context.journal, "old"))
    # A busy journal hands on less to the log's files than it has
    for each in (log, read_log(context.old, began, ledger.PATTERN, LINES, journal=True)):
        book = ledger.read("old", (ledger.Line(line.at, line.text) for line in each.lines))
        found.update(
            {
                (
                    letter.id,
                    step.to,
                ): f"{_clock(step.at)} {letter.id} {letter.message_id} from <{letter.sender}> to <{step.to}>"
                for letter in book.letters
                if not letter.is_ours
                for step in letter.steps.values()
                if step.status == "sent" and f"[{context.new.address}]" in step.relay
            }
        )
    lines = sorted(found.values())
    switched = context.journal.recall(late_senders.KEY)
    head = ["# Letters that the old server handed to the new one: time, queue id, Message-ID, sender, recipient"]
    if log.cut or (log.begins is not None and log.begins > began):
        head.append("# Not all: old's log does not reach back to the beginning of the move, or is too long")
    head += [f"# Perhaps not all: of old's log, {gap}" for gap in log.gaps]
    if switched:
        head.append(
            f"# What the world brought straight to the new server since {_clock(switched)}, and what people wrote, kept or"
            " deleted there, only its own disk knows"
        )
    text = "\n".join([*head, *lines]) + "\n"
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise MailmoveError(
            f"{path} cannot be written: {error.strerror}", "make room or mend its mode; then again"
        ) from None
    return len(lines)


def judge(evidence: Evidence) -> None:
    """Raises MoveFailed when it does not hold."""
    if not evidence.holds:
        raise MoveFailed(evidence.explain(), "mend it, then call `mailmove without-new` again: it goes on from there")


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))
