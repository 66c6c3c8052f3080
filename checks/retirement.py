"""May the old server go? Nothing came to it for long enough, nothing waits on it, a backup of it can be restored."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checks.maillog import Log, read_log
from mailmove import log_marks, postfix
from mailmove.clients.account import is_probe
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.migration import Migration
from mailmove.progress import Deadline, Progress, Silence
from mailmove.server import Server
from mailmove.units import clock

CHAPTER = "guide: Migrating from your old server"
FORWARDED = r"postfix/mailmove/smtp\[\d+\]: .* to=<[^>]*>.* status=sent"
PATIENCE_S = 600.0  # a remainder that a person would wait for


@dataclass(frozen=True)
class Quiet:
    """What was last heard of the old server, by its own clock, and when its time is over."""

    last_sender: str  # the last forwarded letter, in words; empty if there was none
    since: float  # the last one of the switch, that letter, and the end of what the log does not tell
    length: float
    gaps: tuple[str, ...] = ()  # what it does not tell

    @property
    def over_at(self) -> float:
        return self.since + self.length


def _last_forwarded(log: Log) -> tuple[float, str]:
    """When the old server last handed on somebody's letter, and which; (0, "") if it did not."""
    found = [line for line in log.lines if not _ours(line.text)]
    return (found[-1].at, found[-1].text) if found else (0.0, "")


def _ours(line: str) -> bool:
    match = re.search(r"\bto=<([^>]*)>", line)
    return match is not None and is_probe(match[1])


def quiet_time_is_over(
    migration: Migration, journal: Journal, wait_s: float = 0.0, progress: Progress | None = None
) -> Evidence:
    """For the whole time agreed nothing came in at the old server; a short remainder is waited for."""
    old, length = migration.old, migration.settings.retirement.quiet
    exam = Examination(
        f"nothing came to the old server for {_length(length)}",
        "old",
        why="some senders remember an old address for days; with the old server gone, their mail comes back to them",
        hint="wait until the time named; retirement.quiet in mailmove.toml is how long it has to be quiet",
    )
    switched = journal.proved("switch")
    if switched is None:
        exam.expect("the switch of DNS", "not proved", False, "proved")
        return exam.close()
    try:
        skew = clock(old) - time.time()
        marks = log_marks.noted(journal, "old")
        quiet = _quiet(old, switched.at + skew, length, marks)
        left = quiet.over_at - clock(old)
        if 0 < left <= wait_s:
            for rest in Deadline(left + 1):
                (progress or Silence()).at("the old server must stay quiet", left - rest, left)
            quiet = _quiet(old, switched.at + skew, length, marks)
            left = quiet.over_at - clock(old)
    except ServerError as error:
        exam.unknown("the mail log of the old server", error.fact)
        return exam.close()
    exam.expect("switched at", _clock(switched.at), True)
    words = quiet.last_sender[:300] or "none since the switch"
    exam.expect("last letter it forwarded", words, True)
    for gap in quiet.gaps:
        exam.expect("what its log does not tell, as if a letter had come in it", gap, True)
    if quiet.gaps:
        exam.hint += "; keep old's mail log for that long (/etc/logrotate.d)"
    over = "over" if left <= 0 else f"over at {_clock(time.time() + left)}, in {_length(left)}"
    exam.expect(f"{_length(length)} without a letter", over, left <= 0, "over")
    return exam.close()


def _quiet(old: Server, switched: float, length: float, marks: Sequence[log_marks.Mark]) -> Quiet:
    log = read_log(old, switched, FORWARDED, 100_000, marks=[mark for mark in marks if mark[0] >= switched])
    at, line = _last_forwarded(log)
    ends = [float("inf") if gap.after is None else gap.after for gap in log.gaps]
    words = [str(gap) for gap in log.gaps]
    if log.begins is None or log.begins > switched:
        ends.append(float("inf") if log.begins is None else log.begins)
        words.append("there is none" if log.begins is None else f"it begins at {_clock(log.begins)}")
    told = min(max(ends, default=0.0), clock(old))
    return Quiet(line, max(at, switched, told), length, tuple(words))


def nothing_was_delivered(migration: Migration, journal: Journal) -> Evidence:
    """No letter came into a mailbox of the old server since it was frozen."""
    exam = Examination(
        "nothing was delivered on the old server since the freeze",
        "old",
        why="a letter that lies there only is a lost letter",
        hint="copy the files named to the same folder on the new server, then run this again",
    )
    since = journal.recall("frozen since")
    root = migration.old.facts.mail_place
    if since is None:
        exam.expect("the freeze", "not proved", False, "proved")
        return exam.close()
    (seen,) = migration.old.remote("quiet", {"root": root, "window": 0, "since": since}, timeout_s=900)
    if not seen["exists"]:
        exam.unknown(f"the mail root {root}", "it is not there")
        return exam.close()
    answer = f"{seen['deliveries']}: {', '.join(seen['came'][:10])}" if seen["deliveries"] else "none"
    exam.expect(f"letters below {root} since {_clock(since)}", answer, not seen["deliveries"], "none")
    return exam.close()


def queue_is_empty(old: Server) -> Evidence:
    """Nothing waits in the old server's queue."""
    exam = Examination(
        "the old server's queue is empty",
        "old",
        why="with the server goes what waits in its queue",
        hint="postcat -q ID shows a letter; mailmove queue retry ID --server old tries it again, remove takes out what is "
        "hopeless and keeps a copy",
    )
    try:
        letters = [q for q in postfix.queue(old) if not q.is_ours]
    except ServerError as error:
        exam.unknown("postqueue -j", error.fact)
        return exam.close()
    now = time.time()
    exam.expect("letters in the queue", len(letters), not letters, "0")
    for each in letters[:20]:
        exam.expect("waits", each.words(now), False, "gone")
    return exam.close()


def compare_files(
    exam: Examination, before: Mapping[str, Sequence[object]], after: Mapping[str, Sequence[object]]
) -> None:
    """Write down whether two lists of files are the same: path -> kind, size, mode, owner, group, content."""
    missing = sorted(before.keys() - after.keys())
    extra = sorted(after.keys() - before.keys())
    changed = sorted(path for path in before.keys() & after.keys() if list(before[path]) != list(after[path]))
    files = sum(1 for entry in before.values() if entry[0] == "file")
    exam.expect("files on the old server, by content, size, mode and owner", files, files > 0, "some")
    for words, paths in (("missing in the backup", missing), ("only in the backup", extra), ("different", changed)):
        answer = f"{len(paths)}: {', '.join(paths[:5])}" if paths else "none"
        exam.expect(words, answer, not paths, "none")


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))


def _length(seconds: float) -> str:
    return postfix.age(seconds)
