"""What people's mail on the new server has that the old one lacks: what undo carries back, and what it only names.

Both stores come as sorted streams (:mod:`mailmove.stores`); one mailbox at a time is held. A letter is told by the unique name
of its file. Moved into another folder it gets another name: then its bytes tell it, and it is not carried a second time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mailmove.stores import Fact, folder_name, shown

T = TypeVar("T")


@dataclass(frozen=True)
class Copy:
    """A letter's file: where it lies, by the name of its folder, and what its name says of it."""

    folder: str  # raw name; "" is INBOX
    path: str  # of the folder
    base: str
    flags: str = ""
    keywords: tuple[str, ...] = ()
    uid: int | None = None
    digest: str = ""


@dataclass
class Mailbox:
    """One person's mailbox on one server."""

    user: str
    letters: dict[str, Copy] = field(default_factory=dict)
    next_uids: dict[str, int] = field(default_factory=dict)  # by folder
    guids: dict[str, str] = field(default_factory=dict)  # by folder, as Dovecot knows it
    subscriptions: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Difference:
    """What one mailbox of new has and old lacks."""

    user: str
    arrived: list[Copy] = field(default_factory=list)
    marked: list[Copy] = field(default_factory=list)  # as they are on old, with the flags they have on new
    next_uids: dict[str, int] = field(default_factory=dict)  # of new, where they are higher
    subscribed: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)  # what is not carried, in words

    @property
    def to_carry(self) -> bool:
        return bool(self.arrived or self.marked)


def mailboxes(facts: Iterable[Fact]) -> Iterator[Mailbox]:
    """The mailboxes of a store read to the depth "stat" or "hash", one after another."""
    box: Mailbox | None = None
    folder, path = "", ""
    for fact in facts:
        if fact["kind"] == "user":
            if box is not None:
                yield box
            files = {name: str(value[0]) for name, value in fact["files"].items()}
            box = Mailbox(fact["user"], subscriptions=tuple(fact.get("subscriptions") or ()), files=files)
        elif fact["kind"] == "folder" and box is not None:
            folder, path = fact["folder"], fact["path"]
            box.guids[folder] = fact.get("guid", "")
            if fact["next"]:
                box.next_uids[folder] = fact["next"]
        elif fact["kind"] == "letters" and box is not None:
            for base, uid, flags, keywords, _, _, digest, *_ in fact["rows"]:
                box.letters[base] = Copy(folder, path, base, flags, tuple(keywords), uid, digest)
    if box is not None:
        yield box


def pairs(old: Iterable[Fact], new: Iterable[Fact]) -> Iterator[tuple[Mailbox | None, Mailbox]]:
    """Each mailbox of new with the same one of old, if that is there. Both streams are sorted by user."""
    before = mailboxes(old)
    ahead = next(before, None)
    for box in mailboxes(new):
        if not box.user:
            continue
        while ahead is not None and _place(ahead.user) < _place(box.user):
            ahead = next(before, None)
        yield ahead if ahead is not None and ahead.user == box.user else None, box


def _place(user: str) -> tuple[bytes, bytes]:
    """Where a mailbox stands in a stream: by its domain, then by its name."""
    local, _, domain = user.rpartition("@")
    return os.fsencode(domain), os.fsencode(local)


def compare(before: Mailbox | None, now: Mailbox) -> Difference:
    """What is to be carried of one mailbox. With digests, letters that were moved are told from those that arrived."""
    found = Difference(now.user)
    there: Mapping[str, Copy] = before.letters if before else {}
    gone = {base: copy for base, copy in there.items() if base not in now.letters}
    moved_from: dict[str, list[Copy]] = {}
    for copy in gone.values():
        if copy.digest:
            moved_from.setdefault(copy.digest, []).append(copy)
    for base, copy in now.letters.items():
        twin = there.get(base)
        if twin is None:
            origin = moved_from.get(copy.digest) if copy.digest else None
            if origin:
                twin = origin.pop()
                gone.pop(twin.base)
                found.named.append(
                    f"moved on new from {_called(twin.folder)} to {_called(copy.folder)}: stays where it was on old"
                )
            else:
                found.arrived.append(copy)
                continue
        if (twin.flags, set(twin.keywords)) != (copy.flags, set(copy.keywords)):
            found.marked.append(Copy(twin.folder, twin.path, twin.base, copy.flags, copy.keywords))
    if gone:
        found.named.append(f"{len(gone)} letters deleted on new: still there on old")
    old_next = before.next_uids if before else {}
    found.next_uids = {f: uid for f, uid in now.next_uids.items() if f in old_next and uid > old_next[f]}
    known = set(before.subscriptions) if before else set()
    found.subscribed = [name for name in now.subscriptions if name not in known]
    was = before.files if before else {}
    found.named += [
        f"{shown(name)}: changed on new, not carried" for name, value in now.files.items() if was.get(name) != value
    ]
    return found


@dataclass(frozen=True)
class Marked:
    """A letter of both servers that has on new what it lacks on old: ``more``, in Dovecot's words. ``uid``: on old."""

    user: str
    folder: str  # raw name
    guid: str
    path: str  # of the folder on new
    base: str
    uid: int | None
    more: tuple[str, ...]


_MARKS = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged"}  # no letter becomes a draft, or a deleted one


def marked_on_new(old: Iterable[Fact], new: Iterable[Fact]) -> Iterator[Marked]:
    """The letters that lie in the same folder on both, and were read, answered, flagged or labelled on new alone."""
    for before, now in pairs(old, new):
        for base, copy in now.letters.items():
            twin = before.letters.get(base) if before else None
            if before is None or twin is None or twin.folder != copy.folder:
                continue
            flags = [word for flag, word in _MARKS.items() if flag in copy.flags and flag not in twin.flags]
            words = [each for each in copy.keywords if each not in twin.keywords and not each.startswith("unknown-")]
            if flags or words:
                guid = before.guids.get(copy.folder, "")
                yield Marked(now.user, copy.folder, guid, copy.path, base, twin.uid, (*flags, *words))


def batches(things: Iterable[T], number: int) -> Iterator[list[T]]:
    """As many at a time."""
    source = iter(things)
    while batch := list(itertools.islice(source, number)):
        yield batch


def _called(folder: str) -> str:
    return shown(folder_name(folder))
