"""The way back for people's mail: what came to the new server while it was live goes to the old one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from checks import mailstore
from mailmove import return_trip, stores
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.moves.base import Context
from mailmove.return_trip import Copy, Difference

BATCH_BYTES = 4 << 20  # of letters in one round trip; at least one letter
NAMED = "carried back: not carried"
ON_THE_WAY = "carried back: on the way"  # in the journal: letters that may lie on old and are not written down yet


def carry_back(context: Context) -> int:
    """Bring to old what only new has; both rest. Returns how many letters came. Done twice equals done once."""
    old, new = context.old, context.new
    place = stores.place(old)
    came = 0
    named: list[str] = []
    cut_off: list[dict[str, str]] = context.journal.recall(ON_THE_WAY, [])
    for difference in _differences(context):
        named += [f"{stores.shown(difference.user)}: {words}" for words in difference.named]
        domain, user = difference.user.rpartition("@")[2], difference.user.rpartition("@")[0]
        home = f"{domain}/{user}"

        def folder(raw: str, home: str = home) -> str:
            inner = f"{home}/{place.maildir}" if place.maildir else home
            if not raw:
                return inner
            return f"{inner}/{raw}" if place.layout == "fs" else f"{inner}/.{raw}"

        ahead = {
            "root": place.root,
            "next": {folder(raw): uid for raw, uid in difference.next_uids.items()},
            "mark": [
                {"folder": folder(c.folder), "base": c.base, "flags": c.flags, "keywords": c.keywords}
                for c in difference.marked
            ],
        }
        if ahead["next"] or ahead["mark"]:
            _take(context, ahead)
        for letters in _given(context, difference.arrived, folder):
            batch = [{"folder": each["folder"], "base": each["base"]} for each in letters]
            context.journal.keep(ON_THE_WAY, [*cut_off, *batch])
            answer = _take(context, {"root": place.root, "take": letters})
            came += answer["taken"]
            context.progress.at(f"letters from new go to old: {came:,}")
            _write_down(context, letters)
        if difference.subscribed and difference.arrived:
            _take(context, {"root": place.root, "subscribe": {folder(""): difference.subscribed}})
    if cut_off:  # by now all of them came, if not then
        _write_down(context, cut_off)
    context.journal.forget(ON_THE_WAY)
    context.journal.keep(NAMED, named[:1000])
    old.refresh()
    new.refresh()
    return came


def everything_came_back(context: Context) -> Evidence:
    """Every letter that lies on new lies on old, with its flags; what is not carried is named."""
    exam = Examination(
        "every letter that came to the new server lies on the old one",
        "both",
        why="from here on the old server is the one people use",
        hint="take it back again: it goes on where it stopped. The letters named lie on the new server as files",
    )
    arrived, marked = 0, 0
    for difference in _differences(context):
        arrived += len(difference.arrived)
        marked += len(difference.marked)
        for copy in difference.arrived[:3]:
            where = f"{difference.user}, {stores.folder_name(copy.folder) or 'INBOX'}: {copy.path}/*/{copy.base}*"
            exam.expect("a letter that only new has", stores.shown(where), False, "on old too")
    exam.expect("letters that only new has", f"{arrived:,}", arrived == 0, "0")
    exam.expect("letters with other flags on old", f"{marked:,}", marked == 0, "0")
    for words in context.journal.recall(NAMED, [])[:200]:
        exam.expect("done on new and not carried", words, True)
    return exam.close()


def _differences(context: Context) -> Iterator[Difference]:
    """Mailbox by mailbox. Where letters are missing on one side and extra on the other, their bytes are asked too."""
    doubtful: list[str] = []
    old, new = context.old, context.new
    for before, now in return_trip.pairs(stores.read(old, "stat"), stores.read(new, "stat")):
        found = return_trip.compare(before, now)
        if found.arrived and before is not None and before.letters.keys() - now.letters.keys():
            doubtful.append(now.user)
        elif found.to_carry or found.named:
            yield found
    if doubtful:
        both = stores.read(old, "hash", users=doubtful), stores.read(new, "hash", users=doubtful)
        for before, now in return_trip.pairs(*both):
            found = return_trip.compare(before, now)
            if found.to_carry or found.named:
                yield found


def _given(context: Context, copies: list[Copy], folder: Any) -> Iterator[list[dict[str, Any]]]:
    """The letters' files, some at a time."""
    by_place = {(copy.path, copy.base): copy for copy in copies}
    batch: list[dict[str, Any]] = []
    size = 0
    for some in return_trip.batches(copies, 200):
        for given in context.new.remote("carry", {"give": [[copy.path, copy.base] for copy in some]}):
            copy = by_place[given["path"], given["base"]]
            if given.get("gone"):
                raise MoveFailed(
                    f"a letter went away on new while it was carried: {stores.shown(copy.path)}/*/{copy.base}*",
                    "something is at work in the new server's mail store: stop it, and take it back again",
                )
            del given["path"]
            batch.append({**given, "folder": folder(copy.folder)})
            size += len(given["data"])
            if size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _take(context: Context, asked: dict[str, Any]) -> dict[str, Any]:
    (answer,) = context.old.remote("carry", asked, timeout_s=3600)
    return answer


# Each line as rsync would have written it, had it copied the letter: taking the copies back takes these too.
_APPEND = 'umask 077; mkdir -p "${1%/*}" && cat >> "$1" && sync "$1"'


def _write_down(context: Context, letters: Iterable[dict[str, Any]]) -> None:
    """From here on the letters on new are copies of those on old."""
    lines = "".join(f"- - [0] >f+++++++++ {_escaped(each)}\n" for each in letters)
    context.new.sh(_APPEND, mailstore.LEDGER, what="writing down which letters came", stdin=lines, check=True)


def _escaped(letter: dict[str, Any]) -> str:
    name = os.fsencode(f"{letter['folder']}/cur/{letter['base']}")
    return "".join(chr(c) if 32 < c < 127 or c == 32 else f"\\#{c:03o}" for c in name)
