"""A comparison of two mail stores as a thing of its own: it has a name, and goes on where it was broken off.

Mailbox by mailbox, some at a time; after each time what it came to is written into the journal. What was compared
before a break was compared then: the result says when it was begun, and after a day it is begun anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mailmove import stores
from mailmove.compare import Comparison, compare
from mailmove.journal import Journal
from mailmove.progress import Progress, Silence
from mailmove.server import Server

AT_A_TIME = 50  # mailboxes: few enough that a break costs little, many enough that asking costs nothing
GOES_ON_S = 24 * 3600


@dataclass
class Course:
    """How far a comparison has come."""

    name: str
    since: float | None  # as for :func:`mailmove.compare.compare`
    begun_at: float
    completed_at: float = 0.0
    breaks: int = 0
    done: list[str] = field(default_factory=list)  # users
    result: Comparison = field(default_factory=Comparison)

    @property
    def words(self) -> str:
        """For a person: when it was made, and whether in one go."""
        broken = f", broken off {self.breaks} times and gone on with" if self.breaks else ""
        return f"begun {_clock(self.begun_at)}, completed {_clock(self.completed_at)}{broken}"

    def plain(self) -> dict[str, Any]:
        """As plain values, for the journal."""
        names = ("name", "since", "begun_at", "completed_at", "breaks", "done")
        return {**{name: getattr(self, name) for name in names}, "result": self.result.plain()}

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Course:
        return cls(**{**raw, "result": Comparison.read(raw["result"])})


def run(
    name: str,
    old: Server,
    new: Server,
    journal: Journal,
    since: float | None = None,
    progress: Progress | None = None,
    *,
    late: float | None = None,
) -> Course:
    """Compare all of both stores, every byte; or what is left of a comparison of this name that was broken off.

    ``since`` and ``late``: as for :func:`mailmove.compare.compare`.
    """
    say = progress or Silence()
    key = f"comparison: {name}"
    course = _begin(journal.recall(key), name, since)
    if course.done:
        course.breaks += 1
        say.say(f"the comparison goes on: {len(course.done):,} mailboxes were compared before it was broken off")
    everybody = sorted({*stores.users(old), *stores.users(new)})
    finished = set(course.done)
    left = [user for user in everybody if user not in finished]
    for some in _parts(left):
        began = time.monotonic()
        first = not course.done
        part = compare(
            stores.read(old, "hash", users=some, beside=first),
            stores.read(new, "hash", users=some, beside=first, since=since),
            since=since,
            late=late,
        )
        part.seconds = time.monotonic() - began
        course.result.merge(part)
        course.done += some
        journal.keep(key, course.plain())
        say.at(f"comparing: {course.result.letters:,} letters", len(course.done), len(everybody))
    course.completed_at = time.time()
    journal.keep(key, course.plain())
    return course


def _parts(users: list[str]) -> Iterator[list[str]]:
    for start in range(0, max(len(users), 1), AT_A_TIME):
        yield users[start : start + AT_A_TIME]


def _begin(raw: Any, name: str, since: float | None) -> Course:
    """The one that was broken off, if it can go on; else a new one."""
    try:
        course = Course.read(raw)
        if not course.completed_at and course.since == since and time.time() - course.begun_at < GOES_ON_S:
            return course
    except (TypeError, KeyError, ValueError):
        pass  # there is none, or it was written by another version
    return Course(name, since, time.time())


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))
