"""Letters, files and marks that only one of the two servers has: nothing of them may be lost by a copy."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from checks.mailstore import LEDGER, SHOWN, with_header
from mailmove import folders, return_trip, sql, stores
from mailmove.clients.account import is_probe
from mailmove.compare import Difference, Kind, Stranger, only_on_new
from mailmove.evidence import Evidence, Examination
from mailmove.return_trip import Marked
from mailmove.server import Server
from mailmove.stores import Changes

_ONLY_ON_NEW = (
    'test mail: delete it (or its mailbox) there; real mail: copy.only_on_new = "bring" in mailmove.toml, and pytest'
    " features/2_prepare --move brings the letters to the old server first, from which they are copied as all others;"
    " other files are to be moved away by hand"
)
# Dovecot makes them where somebody looks, or the making of the indexes does, into a Maildir of which not all is there
_BY_LOOKING = re.compile(r"dovecot-(uidvalidity(\.[0-9a-f]+)?|uidlist)")


def only_old_mail_is_on_new(old: Server, new: Server) -> Evidence:
    """New holds nothing that old never had, mailmove's own probes aside: nothing that copying could destroy."""
    exam = Examination(
        "the new server holds no mail that the old one never had",
        "new",
        why="the copy makes the new store equal to the old one: mail that only the new one has would be destroyed",
        hint=_ONLY_ON_NEW,
    )
    end: dict[str, Any] = {}

    def on_new() -> Iterator[dict[str, Any]]:
        for fact in stores.read(new, "names"):
            if fact["kind"] == "end":
                end.update(fact)
            yield fact

    found = [each for each in only_on_new(stores.read(old, "names"), on_new()) if each.user]
    found += _beside(new, _beside_homes(new) - _beside_homes(old))
    strangers = not_there(old, new, _not_copied(new, new, found))
    _strangers(exam, new, found, strangers)
    gone = sum(each.letter for each in found) - sum(each.letter for each in strangers)
    exam.expect(
        "letters that the copy would delete, as they are gone from old",
        f"{gone:,} of {end['letters']:,} on new",
        gone <= max(1000, end["letters"] // 2),
        "not more than half",
    )
    return exam.close()


def _beside_homes(server: Server) -> set[str]:
    """Files and links that lie in the mail root or in a domain's directory, by their paths: rules for all, for example."""
    at = stores.listed(server, [""])[""].names
    domains = stores.listed(server, [name for name, what in at.items() if what == "d"])
    found = {name for name, what in at.items() if what != "d"}
    return found | {f"{d}/{name}" for d, inner in domains.items() for name, what in inner.names.items() if what != "d"}


def _beside(new: Server, paths: set[str]) -> list[Stranger]:
    root = stores.place(new).root
    places = [(f"{root}/{folders.above(path)}".rstrip("/"), path.rpartition("/")[2]) for path in sorted(paths)]
    return [Stranger("", "", place, name, letter=False) for place, name in places]


def brought(new: Server, paths: Iterable[str]) -> set[str]:
    """Those of the files (paths below the mail root) that a copy of ours brought; letters wherever in their home they lay."""
    chosen = sorted(set(paths))
    if not chosen:
        return set()
    (answer,) = new.remote("ledger", {"ledger": LEDGER, "names": chosen}, timeout_s=3600)
    return set(answer["known"])


def _not_copied(new: Server, holder: Server, found: list[Stranger]) -> list[Stranger]:
    """Those on ``holder`` that no copy of ours brought to new."""
    root = stores.place(holder).root
    paths = {each: _below(root, each.path, each.name, letter=each.letter) for each in found}
    known = brought(new, paths.values())
    return [each for each in found if paths[each] not in known]


def _below(root: str, path: str, name: str, *, letter: bool) -> str:
    """Below the mail root; a letter as if it lay in cur."""
    above = path.removeprefix(root).lstrip("/")
    return "/".join(filter(None, (above, "cur" if letter else "", name)))


def not_there(holder: Server, giver: Server, letters: list[Stranger]) -> list[Stranger]:
    """Those that lie on ``giver`` and whose bytes ``holder`` has nowhere in the same mailbox: names may differ, bytes tell.

    As they are read: Dovecot's copy on another disk may be packed or not, and has line ends of its own.

    What is no letter, and what cannot be read any more on ``giver``, is among them: nobody has seen it on the other.
    """
    users = sorted({each.user for each in letters if each.letter})
    if not users:
        return letters
    there: dict[str, set[str]] = defaultdict(set)
    for user, _, _, digest in _letters(stores.read(holder, "hash", users=users, as_read=True)):
        there[user].add(digest)
    wanted = {(each.user, each.path, each.name) for each in letters}
    bytes_of: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for user, path, base, digest in _letters(stores.read(giver, "hash", users=users, as_read=True)):
        if (user, path, base) in wanted:
            bytes_of[user, path, base].add(digest)

    def is_there(each: Stranger) -> bool:
        digests = bytes_of.get((each.user, each.path, each.name), set())
        return each.letter and bool(digests) and digests <= there[each.user]

    return [each for each in letters if not is_there(each)]


def _letters(facts: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """(user, folder's path, base name, digest) of each file: a base name is a letter's own in its folder alone."""
    user, path = "", ""
    for fact in facts:
        if fact["kind"] == "user":
            user = fact["user"]
        elif fact["kind"] == "folder":
            path = fact["path"]
        elif fact["kind"] == "letters":
            yield from ((user, path, base, digest) for base, *_, digest, _, _ in fact["rows"])


def nothing_foreign_is_touched(old: Server, new: Server, changes: Changes) -> Evidence:
    """What new has and old has not came from old once, and was deleted there since."""
    exam = Examination(
        "the new server holds no mail that the old one never had",
        "new",
        why="the copy makes the new store equal to the old one: mail that only the new one has would be destroyed",
        hint=_ONLY_ON_NEW,
    )
    root = stores.place(new).root
    found = []
    for path in changes.todo.strangers:
        parts = path.split("/")
        if len(parts) < 3:
            found += _beside(new, {path})
            continue
        user = f"{parts[1]}@{parts[0]}"
        letter = folders.is_letter(path)
        where, name = (
            ("/".join(parts[:-2]), folders.base(path)) if letter else ("/".join(parts[:2]), "/".join(parts[2:]))
        )
        maildir = "/".join(filter(None, (*parts[:2], stores.place(new).maildir)))
        if folders.above(path).startswith(maildir) and _BY_LOOKING.fullmatch(parts[-1]):
            continue
        folder = stores.folder_name(where[len(maildir) :].lstrip("./")) if letter else ""
        found.append(Stranger(user, folder, f"{root}/{where}", name, letter))
    strangers = not_there(old, new, _not_copied(new, new, found))
    _strangers(exam, new, found, strangers)
    if changes.todo.overruled:
        exam.expect("letters that were marked on new since the last copy, and become as they are on old",
                    "\n".join([f"{len(changes.todo.overruled):,}", *_overruled(new, changes.todo.overruled)]), True)  # fmt: skip
    return exam.close()


def _overruled(new: Server, paths: list[str]) -> list[str]:
    root = stores.place(new).root
    users = ["@".join(reversed(path.split("/")[:2])) for path in paths]
    places = [f"{root}/{folders.above(folders.above(path))}" for path in paths]
    names = [folders.base(path) for path in paths]
    return letters_named(
        new, [Stranger(u, "", p, n, letter=True) for u, p, n in zip(users, places, names, strict=True)]
    )


def _strangers(exam: Examination, new: Server, found: list[Stranger], strangers: list[Stranger]) -> None:
    exam.expect(
        "letters and files that only new has",
        f"{len(strangers):,} that old never had; {len(found) - len(strangers):,} that came from old and are gone there",
        not strangers,
        "0 that old never had",
    )
    by_mailbox: dict[str, list[Stranger]] = defaultdict(list)
    for each in strangers:
        by_mailbox[each.user].append(each)
    firsts = [theirs[0] for theirs in itertools.islice(by_mailbox.values(), SHOWN)]
    letters = iter(letters_named(new, [each for each in firsts if each.letter]))
    for first in firsts:
        example = next(letters) if first.letter else stores.shown(f"file {first.path}/{first.name}")
        exam.expect(
            stores.shown(first.user) or "beside the mailboxes",
            f"{len(by_mailbox[first.user]):,}, for example {example}",
            False,
            "none",
        )


def late_letters(old: Server, new: Server) -> list[Stranger]:
    """Letters on old that no copy ever brought, and whose bytes are nowhere in the same mailbox on new."""
    found = [each for each in only_on_new(stores.read(new, "names"), stores.read(old, "names")) if each.letter]
    return not_there(new, old, _not_copied(new, old, found))


def no_letter_is_late(old: Server, new: Server) -> Evidence:
    """No letter waits on old that new never got."""
    exam = Examination(
        "no letter waits on the old server that the new one never got",
        "both",
        why="a letter that reached the old server after the last copy is read by nobody there",
        hint="pytest features/4_accept/10_nothing_lost.feature --move brings them over; find out what still delivers to old",
    )
    return _none_of(exam, old, "letters that only old has, and no copy ever brought", late_letters(old, new))


def letters_of_new(old: Server, new: Server) -> list[Stranger]:
    """Letters on new that no copy brought, and whose bytes are nowhere in the same mailbox on old."""
    found = [each for each in only_on_new(stores.read(old, "names"), stores.read(new, "names")) if each.letter]
    return not_there(old, new, _not_copied(new, new, found))


def marked_on_new(old: Server, new: Server) -> list[Marked]:
    """Letters on both that were read, answered, flagged or labelled on new alone, where no copy of ours brought them.

    Once a copy did, such a difference is old's people's doing, and old's word counts.
    """
    users = sorted({user for user in stores.users(new) if not is_probe(user)})
    if not users:
        return []
    found = list(
        return_trip.marked_on_new(stores.read(old, "stat", users=users), stores.read(new, "stat", users=users))
    )
    if not found:
        return []
    root = stores.place(new).root
    paths = {each: _below(root, each.path, each.base, letter=True) for each in found}
    known = brought(new, paths.values())
    return [each for each in found if paths[each] not in known]


def marks_of_new_are_seen(old: Server, new: Server, *, wanted: bool) -> Evidence:
    """What people did to letters on new that both have is said before a copy makes them as they are on old."""
    exam = Examination(
        "what people marked on the new server alone is known",
        "new",
        why="the copy makes every letter as it is on the old server: read, answered, flagged and labelled as there",
        hint='copy.only_on_new = "bring" marks them on the old server too, before the first copy',
        required=False,
    )
    found = marked_on_new(old, new)
    exam.expect("letters that are marked on new alone", f"{len(found):,}", not (found and wanted), "0")
    strangers = [Stranger(m.user, stores.folder_name(m.folder), m.path, m.base, letter=True) for m in found]
    for each, line in zip(found, letters_named(new, strangers), strict=False):
        exam.expect(" ".join(each.more), line, not wanted, "marked on old too")
    return exam.close()


def deleted_on_old(old: Server, new: Server, letters: list[Stranger]) -> list[Stranger]:
    """Those of the letters that only new has which came from old, by somebody's hand, and were deleted there since.

    Only where both say so: the name of its file was given on old (by a host's name that new does not have), and its UID was given there
    already, in the same folder. A letter that came to new itself never looks like that.
    """
    if not letters or old.facts.hostname == new.facts.hostname:
        return []
    users = sorted({each.user for each in letters})
    there = {(f.user, f.raw): f for f in stores.numbered(old, users)}
    gone = set()
    for folder in stores.numbered(new, users):
        same = there.get((folder.user, folder.raw))
        if same and folder.uidvalidity and same.uidvalidity == folder.uidvalidity:
            gone |= {(folder.path, base) for base, uid in folder.uids.items() if uid and uid < same.next_uid}
    name = old.facts.hostname
    return [each for each in letters if (each.path, each.name) in gone and _named_by(each.name) == name]


def _named_by(base: str) -> str:
    """The host that named a letter's file: https://cr.yp.to/proto/maildir.html."""
    return base.split(",")[0].split(".", 2)[-1]


def old_knows_whose_they_are(old: Server, letters: list[Stranger]) -> Evidence:
    """Everybody whose letters are to come to old has an account there."""
    exam = Examination(
        "everybody whose letters only the new server has is known to the old one",
        "old",
        why="Dovecot takes letters for people it knows",
        hint="test mail: delete the mailbox on the new server; real mail: make the account on the old server as well",
    )
    users = sorted({each.user for each in letters})
    # Homes are named in small letters
    accounts = {user.lower() for (user,) in sql.rows(old, old.facts.database, "SELECT email FROM virtual_users")}
    unknown = [user for user in users if user not in accounts]
    exam.expect("letters that only new has", f"{len(letters):,}, of {len(users):,} people", True)
    exam.expect("people without an account on old", stores.shown(", ".join(unknown[:SHOWN])) or "none", not unknown, "none")  # fmt: skip
    return exam.close()


def letters_of_new_are_on_old(old: Server, new: Server, *, wanted: bool) -> Evidence:
    """What only new had is on old too, if it was to be brought there."""
    exam = Examination(
        "every letter on the new server is on the old one too",
        "both",
        why="the copy makes the new store equal to the old one: what only the new one has would be destroyed",
        hint="run it again; does mail still come to the new server? Until the evening the old one is to get it. A letter that"
        " stays on new however often it runs: can its file be read, is the name of its directory that of a folder (Dovecot's"
        " log on old), and has its owner room on old? Move it to a folder on new that is one, or save it and delete it there",
    )
    if not wanted:
        return exam.not_applicable(
            'copy.only_on_new = "refuse": no copy is made while the new server has mail of its own'
        )
    return _none_of(exam, new, "letters that only new has, and no copy ever brought", letters_of_new(old, new))


def _none_of(exam: Examination, holder: Server, words: str, letters: list[Stranger]) -> Evidence:
    exam.expect(words, f"{len(letters):,}", not letters, "0")
    for line in letters_named(holder, letters):
        exam.expect("a letter", line, False, "none")
    return exam.close()


def letters_named(holder: Server, letters: list[Stranger]) -> list[str]:
    """Letters as people know them, and where they lie on the server that has them; the first of many."""
    chosen = [
        Difference(
            Kind.EXTRA,
            each.user,
            each.folder,
            base=each.name,
            path=each.path,
            side=holder.role,
        )
        for each in letters[:SHOWN]
    ]
    facts = stores.describe(holder, [(each.path, each.base) for each in chosen])
    lines = [str(with_header(each, fact)) for each, fact in zip(chosen, facts, strict=True)]
    return [*lines, *([f"… and {len(letters) - SHOWN:,} more"] if len(letters) > SHOWN else [])]
