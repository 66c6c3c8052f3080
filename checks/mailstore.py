"""Looking at two mail stores: is everything there that was there, unchanged."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mailmove import comparisons, folders, stores
from mailmove.compare import Cause, Comparison, Difference, Kind, compare
from mailmove.errors import MailmoveError, ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.folders import Look, Record
from mailmove.journal import Journal
from mailmove.progress import Progress
from mailmove.server import Server
from mailmove.stores import Changes

LEDGER = "/var/lib/mailmove/copied.log"  # on new: rsync's own log of all it brought from old
SHOWN = 20  # differences of a kind that are written out
RECORD = "mail: directories found equal"  # in the journal: see mailmove/folders.py
TOUCHED = "mail: letters to compare"  # in the journal: copied, and not yet compared by their bytes
SPARE = 64 << 20  # bytes that must stay free on new
FEW_DIRECTORIES = 50  # so many may go at once, however small the store


def recorded(journal: Journal) -> Record:
    """At which signatures the directories were found equal; empty when they never were."""
    return Record.read(journal.recall(RECORD))


def touched(journal: Journal) -> dict[str, list[str] | None]:
    """The letters that were copied and not yet compared by their bytes, by folder; None for all of a folder."""
    return dict(journal.recall(TOUCHED) or {})


def both_are_maildirs(old: Server, new: Server, *, everybody: bool = True) -> Evidence:
    """Mail can be copied as files: Maildirs on both, and a place for them on new; ``everybody``: and nobody's lies elsewhere.

    That is asked of Dovecot, and of every directory: before nobody can read mail, not then.
    """
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
    if everybody and "old" in layouts:
        _everybody_is_in_the_store(exam, old, layouts["old"])
    return exam.close()


def _everybody_is_in_the_store(exam: Examination, old: Server, place: stores.Place) -> None:
    """Whose mail lies elsewhere, or in another format, would not come along, or without what tells its folders and flags."""
    found = stores.everybody(old)
    where = f"{place.root}/DOMAIN/NAME/{place.maildir}".rstrip("/")
    owned = [stores.shown(path) for path in found.owned[:SHOWN]]
    exam.expect("directories that are another's than the mail root, and are so on new as well",
                "\n".join([f"{len(found.owned):,}", *owned, *(["…"] if len(found.owned) > SHOWN else [])]), True)  # fmt: skip
    many = f"{len(old.facts.users) - found.unasked:,} of {len(old.facts.users):,}"
    exam.expect("people whom Dovecot on old was asked where their mail lies", many, True)
    _each(exam, "people whose mail lies elsewhere, or is no Maildir", found.elsewhere,
          f"none: all in {where}; move theirs there first (doveadm -o mail=maildir:… sync), or leave them out of this move")  # fmt: skip
    _each(exam, "directories that are not copied as they are", found.apart,
          "none; where it is a link: mount --bind what it leads to in its place, where it is another format: convert it to Maildir"
          " (doveadm sync), and take away what is left of it")  # fmt: skip


def _each(exam: Examination, asked: str, found: list[tuple[str, str]], wanted: str) -> None:
    lines = [stores.shown(f"{name}: {what}") for name, what in found]
    more = [f"… and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    exam.expect(asked, "\n".join([f"{len(found):,}", *lines[:SHOWN], *more]), not found, wanted)


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
        hint="copy once more: pytest features/2_prepare --move",
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
    old: Server,
    new: Server,
    journal: Journal,
    since: float | None = None,
    progress: Progress | None = None,
    *,
    late: float | None = None,
) -> tuple[Evidence, Comparison]:
    """Every mailbox, folder and letter of old is on new, unchanged: bytes, UID, flags, keywords, date, owner.

    The comparison is called "nothing lost" in the journal; broken off, it goes on where it was.

    ``since`` (seconds by new's clock, ``late`` by old's) is when both were equal: what people did later on new is counted
    as theirs, and what came to old later has another UID on new. Letters that are gone since must be explained by deletions in Dovecot's log.
    """
    exam = Examination(
        "every letter of the old server is on the new one, unchanged",
        "both",
        why="people's mail must be where they left it",
        hint="before the start: run the cold copy again. After it: the old server still has them;"
        " `doveadm import` brings single letters over with new UIDs",
    )
    course = comparisons.run("nothing lost", old, new, journal, since, progress, late=late)
    result = course.result
    _about(exam, Record(), Compared(result))
    exam.expect("the comparison", course.words, True)
    kinds = [kind for kind in Kind if kind is not Kind.MISSING or since is None]
    _differences(exam, old, new, result, kinds)
    if since is not None:
        _since(exam, result)
        _deletions(exam, old, new, result, since)
    _odd(exam, result)
    return exam.close(), result


def _odd(exam: Examination, result: Comparison) -> None:
    """What is no letter on old: the first of many, and all that leads out of the store, as what it leads to was not copied."""
    found = [(path, what) for side, path, what in result.odd if side == "old"]
    away = [(path, what) for path, what in found if "out of the store" in what]
    others = [(path, what) for path, what in found if "out of the store" not in what]
    for some, good in ((away, False), (others, True)):
        for path, what in some[:SHOWN]:
            exam.expect(f"old: {stores.shown(path)}", stores.shown(what), good, "nothing outside of the mail root")


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
            described[n] = with_header(described[n], fact)
    return described


def with_header(difference: Difference, fact: Mapping[str, Any]) -> Difference:
    """A difference with what people know its letter by, as :func:`mailmove.stores.describe` found it."""
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


def nothing_to_take_back() -> Evidence:
    """What the move made is worth keeping, or is made again by itself."""
    exam = Examination("nothing has to be taken back", "new")
    return exam.not_applicable("indexes hold nothing of their own, and a letter that was brought over is its owner's")


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
