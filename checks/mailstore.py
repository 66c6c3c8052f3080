"""Looking at two mail stores: is everything there that was there, and nothing there that must not be touched."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from checks.folders import prefix_of
from mailmove import comparisons, folders, return_trip, sql, stores
from mailmove.clients.account import is_probe
from mailmove.compare import Cause, Comparison, Difference, Kind, Stranger, compare, only_on_new
from mailmove.errors import MailmoveError, ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.folders import Look, Record
from mailmove.journal import Journal
from mailmove.progress import Progress
from mailmove.return_trip import Marked
from mailmove.server import Server
from mailmove.stores import Changes

LEDGER = "/var/lib/mailmove/copied.log"  # on new: rsync's own log of all it brought from old
SHOWN = 20  # differences of a kind that are written out
RECORD = "mail: directories found equal"  # in the journal: see mailmove/folders.py
TOUCHED = "mail: letters to compare"  # in the journal: copied, and not yet compared by their bytes
RENAMED = "folders renamed"  # in the journal: [user, from, to]
SPARE = 64 << 20  # bytes that must stay free on new
FEW_DIRECTORIES = 50  # so many may go at once, however small the store


def recorded(journal: Journal) -> Record:
    """At which signatures the directories were found equal; empty when they never were."""
    return Record.read(journal.recall(RECORD))


def touched(journal: Journal) -> dict[str, list[str] | None]:
    """The letters that were copied and not yet compared by their bytes, by folder; None for all of a folder."""
    return dict(journal.recall(TOUCHED) or {})


def both_are_maildirs(old: Server, new: Server) -> Evidence:
    """Mail can be copied as files: Maildirs on both, and a place for them on new."""
    exam = Examination(
        "the new server can take the mailboxes as they are",
        "both",
        why="mailboxes are copied file by file; a different format or owner would make them unreadable",
        hint="finish the guide's chapter Setting up Dovecot on the new server (vmail, mail_location)",
    )
    layouts = {}
    for server in (old, new):
        try:
            layouts[server.role] = stores.place(server)
        except ServerError as error:
            exam.expect(f"where {server.role} keeps mail", error.fact, False, "Maildirs")
            continue
        answer = server.run("stat", "-L", "-c", "%U:%G %F", layouts[server.role].root)
        good = answer.ok and "directory" in answer.out and not answer.out.startswith(("root:", "UNKNOWN:"))
        exam.expect(
            f"{server.role}: {layouts[server.role].root}",
            answer.out.strip() or answer.err.strip(),
            good,
            "a directory of vmail's",
        )
    if len(layouts) == 2:
        names = {role: (place.maildir, place.layout) for role, place in layouts.items()}
        exam.equal("Maildir in a home, and layout of its folders, on new", names["new"], names["old"])
        _indexes_elsewhere(exam, old, layouts["old"], layouts["new"])
    return exam.close()


# Their paths, each ended by a zero: awk counts the lines that begin with a number.
_FULL = r"""
find "$1" -name dovecot-keywords -type f -exec awk -v most="$2" \
    'FNR == 1 {n = 0} /^[0-9]+ / && ++n == most {printf "%s%c", FILENAME, 0}' {} +
"""
KEYWORDS_IN_NAMES = 26


def _indexes_elsewhere(exam: Examination, old: Server, ours: stores.Place, theirs: stores.Place) -> None:
    """On new they must lie beside the letters: those that no longer fit after a copy would stay, and be believed.

    On old they may lie anywhere, as they are made anew; but a folder's keywords after the 26th are in its index alone.
    """
    if theirs.index:
        exam.expect("where new keeps its indexes", theirs.index, False,
                    "in the Maildirs until people are back: mail_location without INDEX= on new, and Dovecot restarted;"
                    " afterwards put it back and run doveadm force-resync -A '*'")  # fmt: skip
    if ours.index:
        said = old.sh(_FULL, ours.root, str(KEYWORDS_IN_NAMES), timeout_s=600, check=True).out
        full = [
            stores.shown(path.removeprefix(f"{ours.root}/").rpartition("/")[0]) for path in said.split("\0") if path
        ]
        exam.expect(f"old keeps its indexes in {ours.index}: folders with {KEYWORDS_IN_NAMES} keywords or more,"
                    " which are in the index alone", f"{len(full):,}{': ' * bool(full)}{', '.join(full[:SHOWN])}", not full,
                    "none; or mail_location without INDEX= on old, and each folder's dovecot.index* moved beside its letters")  # fmt: skip


def source_is_the_same(old: Server, seen: Record) -> Evidence:
    """The old server's mail is there, and is the store that was copied before."""
    exam = Examination(
        "the old server's mail is there, and it is the store it was",
        "old",
        why="a copy that deletes, taken from an empty or another directory, would empty the new server",
        hint="is the disk with the mail mounted on the old server? If so much was really deleted, take the"
        " freeze back (--undo), copy hot once more, and begin the evening again",
    )
    begin, end = _ends(stores.read(old, "names"))
    exam.expect(f"letters in {begin['root']}", _many(end), end["letters"] > 0, "some")
    if seen:
        exam.equal("machine, and mail root", (begin["machine"], begin["root"]), (seen.machine, seen.root))
        same = begin["inode"] == seen.inode
        # A mail root that was moved or restored has most of its letters; an unmounted one has none.
        part = 0.5 if same else 0.9
        lost = seen.letters - end["letters"]
        exam.expect(
            "letters now, and at the last copy" + ("" if same else ", in what is another directory now"),
            f"{end['letters']:,} now, {seen.letters:,} then",
            lost <= max(100 if same else 0, seen.letters * (1 - part)),
            f"at least {part:.0%}",
        )
    return exam.close()


def _ends(facts: Iterator[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    begin = next(facts)
    end: dict[str, Any] = {}
    for fact in facts:
        if fact["kind"] == "end":
            end = fact
    if not end:
        raise MailmoveError("the mail store was not told to its end", "run it again")
    return begin, end


def _many(end: Mapping[str, Any]) -> str:
    return f"{end['letters']:,} letters in {end['folders']:,} folders of {end['users']:,} mailboxes"


_ONLY_ON_NEW = (
    'test mail: delete it (or its mailbox) there; real mail: copy.only_on_new = "bring" in mailmove.toml, and pytest'
    " features/2_prepare --move brings the letters to the old server first, from which they are copied as all others;"
    " other files are to be moved away by hand"
)


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
    strangers = _not_copied(new, found)
    strangers = not_there(old, new, strangers)
    _strangers(exam, new, found, strangers)
    gone = sum(each.letter for each in found) - sum(each.letter for each in strangers)
    exam.expect(
        "letters that the copy would delete, as they are gone from old",
        f"{gone:,} of {end['letters']:,} on new",
        gone <= max(1000, end["letters"] // 2),
        "not more than half",
    )
    return exam.close()


def _not_copied(new: Server, found: list[Stranger]) -> list[Stranger]:
    """Those that no copy of ours brought."""
    if not found:
        return []
    names = {each: _ledger_name(new, each) for each in found}
    (answer,) = new.remote("ledger", {"ledger": LEDGER, "names": sorted(set(names.values()))}, timeout_s=3600)
    known = set(answer["known"])
    return [each for each in found if names[each] not in known]


def _ledger_name(new: Server, each: Stranger) -> str:
    if each.letter:
        return each.name
    root = stores.place(new).root
    return f"{each.path.removeprefix(root).lstrip('/')}/{each.name}"


def not_there(holder: Server, giver: Server, letters: list[Stranger]) -> list[Stranger]:
    """Those that lie on ``giver`` and whose bytes ``holder`` has nowhere in the same mailbox: names may differ, bytes tell.

    What is no letter, and what cannot be read any more on ``giver``, is among them: nobody has seen it on the other.
    """
    users = sorted({each.user for each in letters if each.letter})
    if not users:
        return letters
    there = {user: digests for user, _, _, digests in _letters(stores.read(holder, "hash", users=users))}
    bytes_of: dict[tuple[str, str], str] = {}
    for user, _, bases, _ in _letters(stores.read(giver, "hash", users=users)):
        bytes_of.update({(user, base): digest for base, digest in bases.items()})
    return [
        each
        for each in letters
        if not each.letter or bytes_of.get((each.user, each.name), "?") not in there.get(each.user, set())
    ]


def _letters(facts: Iterator[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, str], set[str]]]:
    """(user, home, base name -> digest, digests) of each mailbox."""
    user, home = "", ""
    bases: dict[str, str] = {}
    for fact in facts:
        if fact["kind"] == "user":
            if user:
                yield user, home, bases, set(bases.values())
            user, home, bases = fact["user"], fact["home"], {}
        elif fact["kind"] == "letters":
            bases.update({base: digest for base, *_, digest, _, _ in fact["rows"]})
    if user:
        yield user, home, bases, set(bases.values())


def source_is_as_it_was(old: Server, record: Record, changes: Changes) -> Evidence:
    """The old server's mail is the store that was copied before, with all its disks, and most of it is still there."""
    exam = Examination(
        "the old server's mail is there, and it is the store it was",
        "old",
        why="a copy that deletes, taken from an empty or another directory, would empty the new server",
        hint="is every disk with mail mounted on the old server? If so much was really deleted, take the copies back"
        " (--undo) and make them anew",
    )
    begin = changes.old.begin
    exam.equal(
        "machine, mail root, and its directory",
        (begin["machine"], begin["root"], begin["inode"]),
        (record.machine, record.root, record.inode),
    )
    unmounted = sorted(set(record.mounts) - set(changes.old.mounts))
    if record.mounts:
        exam.expect("disks below the mail root that are not mounted any more", ", ".join(unmounted) or "none",
                    not unmounted, "none")  # fmt: skip
    gone, there = changes.old.gone, changes.old.directories
    exam.expect(
        f"directories that are gone, of {len(record.directories):,}",
        f"{len(gone):,} gone, {there:,} there",
        there > 0 and len(gone) <= max(FEW_DIRECTORIES, len(record.directories) // 10),
        "not more than a tenth",
    )
    accounts = set(old.facts.users)
    homes = [path.split("/") for path in gone if path.count("/") == 1]
    emptied = sorted(user for domain, local in homes if (user := f"{local}@{domain}") in accounts)
    exam.expect("accounts whose whole mailbox is gone", stores.shown(", ".join(emptied[:SHOWN])) or "none",
                not emptied, "none")  # fmt: skip
    deleted, letters = changes.todo.letters_deleted, record.letters
    exam.expect(
        "letters that are gone, and are to be deleted on new",
        f"{deleted:,} of {letters:,}",
        deleted <= max(1000, letters // 2),
        "not more than half",
    )
    return exam.close()


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
        user = f"{parts[1]}@{parts[0]}" if len(parts) > 2 else ""
        letter = folders.is_letter(path)
        where, name = (
            ("/".join(parts[:-2]), folders.base(path)) if letter else ("/".join(parts[:2]), "/".join(parts[2:]))
        )
        if user:
            maildir = "/".join(filter(None, (*parts[:2], stores.place(new).maildir)))
            folder = stores.folder_name(where[len(maildir) :].lstrip("./")) if letter else ""
            found.append(Stranger(user, folder, f"{root}/{where}", name, letter))
    strangers = not_there(old, new, _not_copied(new, found))
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
        exam.expect(stores.shown(first.user), f"{len(by_mailbox[first.user]):,}, for example {example}", False, "none")


def hot_copy_is_complete(
    old: Server, new: Server, record: Record, touched: Mapping[str, list[str] | None], began: float
) -> tuple[Evidence, Compared]:
    """Every letter that was on old when the last pass began is on new, byte by byte.

    What was compared before and is as it was then, by its folder's signature, is not read again.
    """
    exam = Examination(
        "every letter that was there when the last hot pass began is on new",
        "both",
        why="what is not copied before the downtime has to be copied in it",
        hint="copy once more: pytest features/2_prepare/70_mailboxes_hot.feature --move",
    )
    compared = _compared(old, new, record, touched, moving=began)
    _about(exam, record, compared)
    result = compared.result
    later = sum(result.since.values())
    exam.expect("letters that came or changed on old since", f"{later:,}: the next pass takes them", True)
    _differences(exam, old, new, result, [Kind.MISSING, Kind.CHANGED])
    return exam.close(), compared


def changes_are_equal(
    old: Server,
    new: Server,
    record: Record,
    touched: Mapping[str, list[str] | None],
    at_rest: tuple[Look, Mapping[str, str]] | None,
) -> tuple[Evidence, Compared]:
    """Both stores hold the same mail: what was not as it was at the last comparison is compared once more.

    ``at_rest`` is the look at old before the last copy, and the signatures it was told of: since then nothing may have
    changed there.
    """
    exam = Examination(
        "every letter of the old server is on the new one, unchanged",
        "both",
        why="people's mail must be where they left it",
        hint="run the cold copy again: what differs is copied anew",
    )
    compared = _compared(old, new, record, touched)
    _about(exam, record, compared)
    _differences(exam, old, new, compared.result, list(Kind))
    if at_rest is not None:
        late = _late(*at_rest, compared.changes.old) if compared.changes else []
        exam.expect("directories on old that changed since the copy began",
                    stores.shown("; ".join(path or "the mail root itself" for path in late[:SHOWN])) or "none", not late, "none")  # fmt: skip
    return exam.close(), compared


def _late(before: Look, known: Mapping[str, str], after: Look) -> list[str]:
    """What changed on old since it was looked at. Of what was as ``known`` the first look told nothing."""
    gone = set(after.gone) - set(before.gone)
    then = {**known, **{path: signature for path, (signature, _) in before.changed.items()}}
    return sorted(gone | {path for path, (now, _) in after.changed.items() if then.get(path) != now})


@dataclasses.dataclass(frozen=True)
class Compared:
    """What a comparison took in: all, or with ``changes`` only what was not as before."""

    result: Comparison
    changes: Changes | None = None
    unchanged: int = 0  # letters in folders that are as they were when they were compared


def _compared(
    old: Server, new: Server, record: Record, touched: Mapping[str, list[str] | None], moving: float | None = None
) -> Compared:
    if not record.compared_at:
        return Compared(_timed(stores.read(old, "hash"), stores.read(new, "hash"), moving=moving))
    changes = stores.changes(old, new, record, alike=True)
    letters = folders.merge(dict(touched), changes.todo.touched)
    only = folders.to_compare(changes.todo.folders, letters)
    result = Comparison(old=changes.old.begin, new=changes.new.begin)
    if only:
        alike = changes.todo.alike
        result = _timed(
            stores.read(old, "hash", only=only, alike=alike),
            stores.read(new, "hash", only=only, alike=alike),
            moving=moving,
        )
    looked_at = {folder for inner in only.values() for folder in inner}
    unchanged = sum(known.letters for path, known in record.directories.items() if path not in looked_at)
    return Compared(result, changes, unchanged)


def _about(exam: Examination, record: Record, compared: Compared) -> None:
    result = compared.result
    exam.expect(
        f"compared: {result.mailboxes:,} mailboxes, {result.folders:,} folders, {result.letters:,} letters, "
        f"{result.bytes / 1e6:,.1f} MB",
        f"by UID, flags, keywords, date, owner, and every byte by SHA-256; in {result.seconds:.1f} s"
        if compared.changes is None
        else f"UID, flags and keywords of all, every byte by SHA-256 of what was copied; in {result.seconds:.1f} s",
        result.mailboxes > 0 or compared.unchanged > 0,
        "at least one mailbox on the old server",
    )
    exam.expect("letters equal in bytes, UID, flags, keywords, date, POP3 UIDL and owner", f"{result.matching:,}",
                True)  # fmt: skip
    if compared.changes is not None:
        exam.expect(
            "letters in folders that are on both as they were when every byte was compared",
            f"{compared.unchanged:,}, compared at {time.strftime('%F %T', time.localtime(record.compared_at))}",
            True,
        )


def nothing_is_lost(
    old: Server, new: Server, journal: Journal, since: float | None = None, progress: Progress | None = None
) -> tuple[Evidence, Comparison]:
    """Every mailbox, folder and letter of old is on new, unchanged: bytes, UID, flags, keywords, date, owner.

    The comparison is called "nothing lost" in the journal; broken off, it goes on where it was.

    ``since`` (seconds by new's clock) is when both were equal: what people did later on new is counted as
    theirs. Letters that are gone since must be explained by deletions in Dovecot's log.
    """
    exam = Examination(
        "every letter of the old server is on the new one, unchanged",
        "both",
        why="people's mail must be where they left it",
        hint="before the start: run the cold copy again. After it: the old server still has them;"
        " `doveadm import` brings single letters over with new UIDs",
    )
    course = comparisons.run("nothing lost", old, new, journal, since, progress)
    result = course.result
    _about(exam, Record(), Compared(result))
    exam.expect("the comparison", course.words, True)
    kinds = [kind for kind in Kind if kind is not Kind.MISSING or since is None]
    _differences(exam, old, new, result, kinds)
    if since is not None:
        _since(exam, result)
        _deletions(exam, old, new, result, since)
    links = [(side, path, what) for side, path, what in result.odd if side == "old"]
    for side, path, what in links[:SHOWN]:
        good = "out of the store" not in what
        exam.expect(f"{side}: {stores.shown(path)}", stores.shown(what), good, "nothing outside of the mail root")
    return exam.close(), result


def _timed(old: Iterator[Any], new: Iterator[Any], **more: Any) -> Comparison:
    begin = time.monotonic()
    result = compare(old, new, **more)
    result.seconds = time.monotonic() - begin
    return result


def _differences(exam: Examination, old: Server, new: Server, result: Comparison, kinds: list[Kind]) -> None:
    servers = {"old": old, "new": new}
    for kind in kinds:
        count = result.counts[kind]
        named = _described(servers, result, result.of(kind)[:SHOWN])
        if count or kind in (Kind.MISSING, Kind.CHANGED, Kind.REUSED, Kind.DOUBLED, Kind.UIDVALIDITY):
            words = "\n".join([f"{count:,}", *map(str, named), *(["…"] if count > len(named) else [])])
            exam.expect(str(kind), words, count == 0, "0")


def _described(servers: Mapping[str, Server], result: Comparison, differences: list[Difference]) -> list[Difference]:
    """With subject, date and Message-ID, asked of the server that has the letter; of old, where new's bytes are not right."""
    described = list(differences)
    for side, server in servers.items():
        mine = [n for n, each in enumerate(described) if each.base and _readable(each) == side]
        facts = stores.describe(server, [(_path_on(result, described[n], side), described[n].base) for n in mine])
        for n, fact in zip(mine, facts, strict=True):
            described[n] = _with_header(described[n], fact)
    return described


def _with_header(difference: Difference, fact: Mapping[str, Any]) -> Difference:
    subject, date, message_id = stores.header_text(fact["Subject"]), fact["Date"], fact["Message-ID"]
    return dataclasses.replace(difference, subject=subject, date=date, message_id=message_id)


def _readable(difference: Difference) -> str:
    return "old" if difference.kind is Kind.CHANGED else difference.side


def _path_on(result: Comparison, difference: Difference, side: str) -> str:
    """The folder's directory on a server: it has the same place below the mail root of the other."""
    roots = {"old": result.old.get("root", ""), "new": result.new.get("root", "")}
    below = difference.path.removeprefix(roots[difference.side])
    return difference.path if side == difference.side else f"{roots[side]}{below}"


def _since(exam: Examination, result: Comparison) -> None:
    """What people did on new is no fault; it is counted, so that nobody takes it for proved."""
    words = {
        Cause.ARRIVED: "came to the new server since",
        Cause.PEOPLE: "changed there by their owners since",
    }
    for (kind, cause), count in sorted(result.since.items()):
        exam.expect(f"{kind}: {words[cause]}", f"{count:,}", True)


def _deletions(exam: Examination, old: Server, new: Server, result: Comparison, since: float) -> None:
    if not result.counts[Kind.MISSING]:
        exam.expect(str(Kind.MISSING), "0", True, "0")
        return
    (seen,) = new.remote("deletions", {"since": since}, timeout_s=600)
    named = _described({"old": old}, result, result.of(Kind.MISSING))
    for user, count in sorted(result.missing_by_user.items()):
        deleted = seen["deleted"].get(user, 0)
        asked = f"{stores.shown(user)}: letters of old that are gone from new"
        answer = f"{count:,}; Dovecot's log says {deleted:,} were deleted there since"
        theirs = "\n".join(str(each) for each in named if each.user == user)
        if count > deleted and user in seen["online"]:
            exam.unknown(asked, f"{answer}; still logged in, so the log does not say all yet\n{theirs}")
        else:
            exam.expect(asked, f"{answer}\n{theirs}", count <= deleted, "not more than were deleted by their owner")


LOOKS_AGAIN = 8
"""How often mailboxes are looked at again in which people and letters come and go."""


def dovecot_shows_what_is_there(new: Server) -> Evidence:
    """What Dovecot shows of every folder is what lies on the disk: each UID with its size, date, flags and keywords."""
    exam = Examination(
        "Dovecot shows every letter that lies on the disk",
        "new",
        why="people see what Dovecot shows; with a wrong index letters are there and not seen",
        hint="doveadm force-resync -u USER '*' on the new server",
    )
    shown, complaints = _dovecots_view(new, None)
    # Asked now: whoever came since this run began would pass for somebody without an account, and not be looked at
    everybody = {user.lower() for (user,) in sql.rows(new, new.facts.database, "SELECT email FROM virtual_users")}
    # Dovecot looks for homes named in small letters, unless it was told otherwise: into others nobody can look either
    everybody |= {value[0] for value in shown.values()}
    lying, left, nameless = _view_of_files(new, None, everybody)
    differ = _differing(shown, lying)
    for _ in range(LOOKS_AGAIN):
        if not differ:
            break
        # Somebody may just have worked there, or got a letter between the two looks: look at those mailboxes again.
        users = sorted({view[guid][0] for view in (lying, shown) for guid in differ if guid in view})
        again, complaints = _dovecots_view(new, users)
        shown = {guid: value for guid, value in shown.items() if value[0] not in users} | again
        lying = {guid: value for guid, value in lying.items() if value[0] not in users}
        lying |= _view_of_files(new, users, everybody)[0]
        differ = _differing(shown, lying)
    letters = sum(value[1] for value in lying.values())
    exam.expect(
        "folders with letters, and letters in them", f"{len(lying):,} folders, {letters:,} letters",
        bool(lying), "at least one",
    )  # fmt: skip
    exam.expect("mailboxes without an account, into which nobody can look", _counted(left), True)
    if nameless:
        exam.expect(
            "folders with letters whose names Dovecot takes for none, on either server", _counted(nameless), True
        )
    exam.expect("folders that Dovecot shows otherwise", len(differ), not differ, "0")
    for guid in sorted(differ)[:SHOWN]:
        ours, theirs = lying.get(guid, _NOTHING), shown.get(guid, _NOTHING)
        more = " (their flags, dates or UIDs differ)" if ours[1] == theirs[1] else ""
        answer = f"{theirs[1]:,} letters shown, {ours[1]:,} on the disk{more}"
        exam.expect(stores.shown(f"{ours[0] or theirs[0]} {ours[3] or guid}"), answer, False, "the same")
    if complaints:
        exam.expect("what Dovecot complained of", "\n".join(complaints), False, "nothing")
    return exam.close()


def _counted(names: list[str]) -> str:
    shown = ", ".join([*map(stores.shown, names[:SHOWN]), *(["…"] if len(names) > SHOWN else [])])
    return f"{len(names):,}: {shown}" if names else "0"


# user, number of letters, digest, folder (for people), digest without keywords, whether keywords are in the index only
QUOTA_LOOKS = 3


def quotas_count_what_is_there(new: Server) -> Evidence:
    """Dovecot's quotas count as many letters as lie on the disk, and about as many bytes."""
    exam = Examination(
        "every quota counts the letters that are there",
        "new",
        why="a quota that counts wrongly refuses mail to people who have room, or never refuses",
        hint="doveadm quota recalc -u USER on the new server",
    )
    said = new.run("doveconf", "-n", check=True).out
    ignored = set(re.findall(r"quota_rule\d* *= *(.+?):ignore", said))
    if "quota" not in new.facts.doveconf.get("mail_plugins", "").split():
        return exam.not_applicable("the new server has no quotas")
    wrong: dict[str, str] = {}
    counted: dict[str, tuple[int, int]] = {}
    users: list[str] | None = None
    for _ in range(QUOTA_LOOKS):
        counted = _quotas(new)
        there = _weighed(new, users, ignored)
        wrong = _miscounted(counted, there)
        if wrong:  # letters come and go: what lies there is to be between what was counted before and after
            wrong = _miscounted(counted, {user: there[user] for user in wrong}, _quotas(new))
        if not wrong:
            break
        users = sorted(wrong)
    exam.expect("mailboxes with a quota", f"{len(counted):,}", bool(counted), "some")
    exam.expect("mailboxes whose quota counts wrongly", f"{len(wrong):,}", not wrong, "0")
    for user, words in itertools.islice(sorted(wrong.items()), SHOWN):
        exam.expect(stores.shown(user), words, False, "the same")
    return exam.close()


def _quotas(new: Server) -> dict[str, tuple[int, int]]:
    """User -> letters and KiB as Dovecot counts them."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    said = new.run("doveadm", "-f", "tab", "quota", "get", "-A", timeout_s=3600).out.splitlines()
    if not said:
        return {}
    head = said[0].split("\t")
    for line in said[1:]:
        cells = dict(zip(head, line.split("\t"), strict=False))
        if cells.get("Value", "").isdigit() and not is_probe(cells["Username"]):
            found[cells["Username"]][cells["Type"]] = int(cells["Value"])
    return {user: (each["MESSAGE"], each["STORAGE"]) for user, each in found.items() if len(each) >= 2}


def _weighed(new: Server, users: list[str] | None, ignored: set[str]) -> dict[str, tuple[int, ...]]:
    """User -> letters, and bytes on the disk and by the letters' names, which tell the bytes of those stored compressed."""
    found: dict[str, tuple[int, ...]] = {}
    user, counts = "", True
    for fact in stores.read(new, "stat", users=users):
        if fact["kind"] == "user":
            user = fact["user"]
            found[user] = (0, 0, 0)
        elif fact["kind"] == "folder":
            counts = stores.folder_name(fact["folder"]) not in ignored
        elif fact["kind"] == "letters" and counts:
            letters, size, named = found[user]
            sizes = [(row[5], int(said[1]) if (said := _SIZE.search(row[0])) else row[5]) for row in fact["rows"]]
            found[user] = letters + len(sizes), size + sum(s for s, _ in sizes), named + sum(n for _, n in sizes)
    return found


def _miscounted(
    counted: Mapping[str, tuple[int, int]],
    there: Mapping[str, tuple[int, ...]],
    later: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, str]:
    """Who is neither counted right in ``counted``, nor on the way from that to ``later``.

    Sizes are counted with both bytes of each line's end, whether they are on the disk or not.
    """
    wrong = {}
    for user, (letters, *sizes) in there.items():
        if user not in counted:
            continue
        seen, kib = counted[user]
        least, most = sorted([counted[user], (later or {}).get(user, counted[user])])
        if not least[0] <= letters <= most[0] or not any(
            size // 1024 - letters <= max(least[1], most[1])
            and min(least[1], most[1]) <= size * 2 // 1024 + letters + 1
            for size in sizes
        ):
            wrong[user] = f"{seen:,} letters and {kib:,} KiB counted, {letters:,} and {sizes[0] // 1024:,} on the disk"
    return wrong


_View = tuple[str, int, str, str, str, bool]
_NOTHING: _View = ("", 0, "", "", "", False)


def _key(user: str, guid: str) -> str:
    """A mailbox that was made as a copy of another has its GUIDs. Homes are named in small letters."""
    return f"{user.lower()} {guid}"


def _differing(shown: Mapping[str, _View], lying: Mapping[str, _View]) -> set[str]:
    """The folders in which the two views are not of the same letters."""

    def differs(guid: str) -> bool:
        one, other = shown.get(guid, _NOTHING), lying.get(guid, _NOTHING)
        which = 4 if other[5] else 2  # keywords after the 26th are in no letter's name
        return (one[1], one[which]) != (other[1], other[which])

    return {guid for guid in {*shown, *lying} if differs(guid)}


def _dovecots_view(new: Server, users: list[str] | None) -> tuple[dict[str, _View], list[str]]:
    view: dict[str, _View] = {}
    complaints: list[str] = []
    for fact in new.remote("dovecot_view", {"users": users}, timeout_s=3600):
        if "end" in fact:
            complaints = fact["complaints"]
        elif not is_probe(fact["user"]):
            view[_key(fact["user"], fact["guid"])] = (
                fact["user"],
                fact["letters"],
                fact["digest"],
                "",
                fact["bare"],
                False,
            )
    return view, complaints


_SIZE = re.compile(r",S=(\d+)")


def _view_of_files(
    new: Server, users: list[str] | None, everybody: set[str]
) -> tuple[dict[str, _View], list[str], list[str]]:
    """The same digest as ``remote/dovecot_view.py`` makes, from what lies on the disk.

    And who of those is not ``everybody``; and which folders have a name that Dovecot does not take.
    """
    view: dict[str, _View] = {}
    left: set[str] = set()
    nameless: list[str] = []
    layout = stores.place(new).layout
    user, folder = "", stores.Fact(guid="", folder="", full=False)
    lines: dict[str, tuple[int, str, str]] = {}  # by base name: one that is in new and in cur is one letter

    def finish() -> None:
        if lines and user not in everybody:
            left.add(user)
        elif lines and not folder["guid"] and not stores.is_folder_name(folder["folder"], layout):
            nameless.append(f"{user} {folder['folder']}")
        elif lines:
            ordered = sorted(lines.values())
            digest, bare = _sha256("".join(line[1] for line in ordered)), _sha256("".join(line[2] for line in ordered))
            view[_key(user, folder["guid"] or folder["folder"])] = (
                user,
                len(lines),
                digest,
                stores.folder_name(folder["folder"]),
                bare,
                folder["full"],
            )

    for fact in stores.read(new, "stat", users=users):
        if fact["kind"] == "letters":
            for base, uid, flags, keywords, mtime, size, *_ in fact["rows"]:
                marks = "".join(flag for flag in flags if flag in "DFRST")
                said = _SIZE.search(
                    base
                )  # Dovecot believes it (and keeps dates in 32 bits); where it is wrong the comparison says so
                bare = f"{uid or 0} {said[1] if said else size} {mtime % 2**32} {marks} "
                line = (uid or 0, f"{bare}{' '.join(keywords)}\n", f"{bare}\n")
                lines[base] = max(line, lines.get(base, line))
            continue
        finish()
        lines = {}
        if fact["kind"] == "user":
            user = fact["user"]
        elif fact["kind"] == "folder":
            folder = fact
    return view, sorted(left), nameless


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


_OLD_NAMES = r"""grep -rHZiE 'INBOX[./]' --include='*.sieve' "$1" 2>/dev/null | head -c 4000000; exit 0"""


def named_by_sieve(server: Server) -> dict[str, str]:
    """The lines of people's Sieve scripts that name folders below INBOX, by user."""
    root = stores.place(server).root
    found: dict[str, str] = defaultdict(str)
    for line in server.sh(_OLD_NAMES, root, timeout_s=600).out.split("\n"):
        path, zero, text = line.partition("\0")
        parts = path.removeprefix(f"{root}/").split("/")
        if zero and len(parts) > 2:
            found[f"{parts[1]}@{parts[0]}"] += f"{text}\n"
    return dict(found)


def is_named(folder: str, text: str) -> bool:
    """Whether lines of a Sieve script name a folder, however their separator is written."""
    names = {folder.replace(folder[5], separator) for separator in "./"}
    quoted = {name.replace("\\", "\\\\").replace('"', '\\"') for name in names}  # RFC 5228, 2.4.2
    return any(f'"{name}"'.lower() in text.lower() for name in quoted)


def keep_their_names(folders: Iterable[str], text: str) -> set[str]:
    """Folders that Sieve scripts name, or whose names Dovecot gives to no new folder (with line breaks), and those above
    them: who renames a folder renames what is in it."""
    every = set(folders)
    named = {each for each in every if is_named(each, text) or any(c < " " for c in each)}
    return {each for each in every if each in named or any(name.startswith(each + each[5]) for name in named)}


def folders_below_inbox(new: Server) -> dict[str, list[str]]:
    """The folders below INBOX that Dovecot shows, by user: INBOX.Junk or INBOX/Junk.

    Where all folders are called so (the prefix of the namespace), those that bear it twice.
    """
    found: dict[str, list[str]] = defaultdict(list)
    prefix = prefix_of(new)
    said = new.run("doveadm", "-f", "tab", "mailbox", "list", "-A", f"{prefix}INBOX*", timeout_s=3600, check=True).out
    # A line break in a name is not escaped there
    for line in re.split("\n(?=[^\n\t]*\t)", said.rstrip("\n"))[1:]:
        user, _, name = line.partition("\t")
        name = stores.untabbed(name)
        if name.removeprefix(prefix).startswith(("INBOX.", "INBOX/")) and not is_probe(user):
            found[user].append(name)
    return dict(found)


def name_without_inbox(folder: str, prefix: str) -> str:
    """INBOX.Junk becomes Junk."""
    return prefix + folder.removeprefix(prefix)[len("INBOX.") :]


def folders_of(new: Server, user: str) -> dict[str, str]:
    """The folders of a mailbox, as Dovecot shows them, with their GUIDs; those that are only to be made are not among them."""
    said = new.run("doveadm", "-f", "tab", "mailbox", "status", "-u", user, "guid", "*", check=True).out
    rows = [line.split("\t") for line in said.split("\n")[1:] if line]
    return {stores.untabbed(row[0]): row[-1] for row in rows}


def folders_are_called_as_wanted(new: Server, wanted: str) -> Evidence:
    """Folders below INBOX have the names that the admin wanted them to have."""
    exam = Examination(
        "folders are called as it was decided",
        "new",
        why="whoever has INBOX.Junk and Junk finds spam in two places; whose folder is renamed has to know",
        hint='copy.folders in mailmove.toml: "keep" or "rename"; correct the Sieve scripts named above, then run it again',
    )
    found = folders_below_inbox(new)
    named = named_by_sieve(new)
    kept = {user: keep_their_names(names, named.get(user, "")) for user, names in found.items()}
    exam.expect(
        "folders of earlier editions", f"{sum(map(len, found.values())):,} of {len(found):,} mailboxes; {wanted}", True
    )
    for user, names in itertools.islice(sorted(found.items()), SHOWN):
        for name in names:
            if name in kept[user]:
                exam.expect(
                    stores.shown(f"{user} {name}"),
                    "keeps its name: a Sieve script of its owner names it, or one in it, or it has a line break",
                    True,
                )
            else:
                exam.expect(stores.shown(f"{user} {name}"), "there", wanted == "keep", "renamed")
    return exam.close()


def folder_names_suit_the_new_server(old: Server) -> Evidence:
    """No mailbox has folders below INBOX from an earlier edition: beside them the new server makes a second Junk."""
    exam = Examination(
        "folders are called as the new server calls them",
        "old",
        why="earlier editions filed spam into INBOX.Junk. The new server files it into Junk: people then have both, and"
        " only Junk is emptied after 30 days and teaches the spam filter",
        hint='nothing is lost. Set copy.folders = "rename" in mailmove.toml, and the folders are renamed on the new server'
        " when people are back; correct Sieve scripts that name them, those folders are left as they are",
        required=False,
    )
    found: dict[str, list[str]] = defaultdict(list)
    user, mailboxes = "", 0
    for fact in stores.read(old, "names"):
        if fact["kind"] == "user":
            user, mailboxes = fact["user"], mailboxes + 1
        elif fact["kind"] == "folder" and fact["folder"].startswith(("INBOX.", "INBOX/")):
            found[user].append(stores.folder_name(fact["folder"]))
    exam.expect(f"mailboxes with folders below INBOX, of {mailboxes:,}", len(found), not found, "0")
    for who, names in itertools.islice(sorted(found.items()), SHOWN):
        exam.expect(stores.shown(who), stores.shown(", ".join(names[:10])), False, "no INBOX.Junk and the like")
    scripts = sorted(named_by_sieve(old))
    exam.expect(
        "people whose Sieve scripts name such folders", stores.shown(", ".join(scripts)) or "none", not scripts, "none"
    )
    return exam.close()


def late_letters(old: Server, new: Server) -> list[Stranger]:
    """Letters on old that no copy ever brought, and whose bytes are nowhere in the same mailbox on new."""
    found = [each for each in only_on_new(stores.read(new, "names"), stores.read(old, "names")) if each.letter]
    return not_there(new, old, _not_copied(new, found))


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
    return not_there(old, new, _not_copied(new, found))


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
    asked = {"ledger": LEDGER, "names": sorted({each.base for each in found})}
    (answer,) = new.remote("ledger", asked, timeout_s=3600)
    known = set(answer["known"])
    return [each for each in found if each.base not in known]


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
    lines = [str(_with_header(each, fact)) for each, fact in zip(chosen, facts, strict=True)]
    return [*lines, *([f"… and {len(letters) - SHOWN:,} more"] if len(letters) > SHOWN else [])]


def nothing_to_take_back() -> Evidence:
    """What the move made is worth keeping, or is made again by itself."""
    exam = Examination("nothing has to be taken back", "new")
    return exam.not_applicable("indexes hold nothing of their own, and a letter that was brought over is its owner's")


def nothing_is_renamed(journal: Journal) -> Evidence:
    """No folder has another name on new than it had on old by mailmove's doing."""
    exam = Examination(
        "every folder has the name it had",
        "journal",
        why="Sieve scripts and mail programs on the old server know it by that name",
        hint="run --undo again while Dovecot runs on the new server",
    )
    renamed = journal.recall(RENAMED) or []
    exam.expect("folders that have another name", f"{len(renamed):,}", not renamed, "0")
    return exam.close()


def nothing_of_old_is_left(old: Server, new: Server) -> Evidence:
    """No letter of old is on new any more; what came to new itself is there."""
    exam = Examination(
        "the copied mail is gone from the new server again",
        "new",
        why="a later copy must not find half of an earlier one",
        hint="take it back again; what remains is named above",
    )
    result = _timed(stores.read(old, "names"), stores.read(new, "names"))
    both = result.letters - result.counts[Kind.MISSING] - sum(result.since.values())
    exam.expect("letters of old on new", f"{both:,}", both <= 0, "0")
    exam.expect("letters that came to new itself and stay", f"{result.counts[Kind.EXTRA]:,}", True)
    return exam.close()


def was_found_equal(journal: Journal) -> Evidence:
    """Both stores were compared when the old server was at rest, and nothing differed."""
    exam = Examination(
        "both stores were found equal",
        "journal",
        why="from then on every difference is the work of people on the new server",
        hint="pytest features/3_cutover/30_mailboxes_cold.feature --move",
    )
    equal = journal.recall("mail equal at")
    answer = (
        f"equal at {time.strftime('%F %T', time.localtime(equal['new']))}" if equal else "not compared, or not equal"
    )
    exam.expect("the comparison after the cold copy", answer, equal is not None, "equal")
    return exam.close()
