"""The way back for people's mail: what came to the new server while it was live goes to the old one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mailmove import return_trip, stores
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.moves import letters
from mailmove.moves.base import Context
from mailmove.moves.copied import write_down
from mailmove.return_trip import Copy, Difference

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
            letters.take(old, ahead)
        for some in _given(context, difference.arrived, folder):
            batch = [{"folder": each["folder"], "base": each["base"]} for each in some]
            context.journal.keep(ON_THE_WAY, [*cut_off, *batch])
            answer = letters.take(old, {"root": place.root, "take": some})
            came += answer["taken"]
            context.progress.at(f"letters from new go to old: {came:,}")
            _write_down(context, some)
        if difference.subscribed and difference.arrived:
            letters.take(old, {"root": place.root, "subscribe": {folder(""): difference.subscribed}})
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


def _given(context: Context, copies: list[Copy], folder: Callable[[str], str]) -> Iterator[list[letters.Letter]]:
    """The letters' files, some at a time."""
    by_place = {(copy.path, copy.base): copy for copy in copies}

    def placed() -> Iterator[letters.Letter]:
        for given in letters.read(context.new, by_place):
            copy = by_place[given.pop("path"), given["base"]]
            if given.get("gone"):
                raise MoveFailed(
                    f"a letter went away on new while it was carried: {stores.shown(copy.path)}/*/{copy.base}*",
                    "something is at work in the new server's mail store: stop it, and take it back again",
                )
            yield {**given, "folder": folder(copy.folder)}

    return letters.by_size(placed())


def _write_down(context: Context, came: Iterable[letters.Letter]) -> None:
    """From here on the letters on new are copies of those on old: taking the copies back takes these too."""
    write_down(context.new, (f"{each['folder']}/cur/{each['base']}" for each in came))
