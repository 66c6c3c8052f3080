"""What Dovecot on the new server shows and counts, against what lies in its files."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Mapping

from checks.mailstore import SHOWN
from mailmove import sql, stores
from mailmove.clients.account import is_probe
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

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
    user, home, counts, layout = "", "", True, stores.place(new).layout
    linked: set[str] = set()  # a folder that is a link to another counts once more: how much is for Dovecot to say
    for fact in stores.read(new, "stat", users=users):
        if fact["kind"] == "user":
            user, home = fact["user"], fact["home"]
            found[user] = (0, 0, 0)
        elif fact["kind"] == "odd" and "a link to elsewhere in the store" in fact["what"]:
            if fact["path"].startswith(f"{home}/"):
                linked.add(user)
        elif fact["kind"] == "folder":
            is_one = bool(fact["guid"]) or stores.is_folder_name(fact["folder"], layout)  # to Dovecot
            counts = is_one and stores.folder_name(fact["folder"]) not in ignored
        elif fact["kind"] == "letters" and counts:
            letters, size, named = found[user]
            sizes = [(row[5], int(said[1]) if (said := _SIZE.search(row[0])) else row[5]) for row in fact["rows"]]
            found[user] = letters + len(sizes), size + sum(s for s, _ in sizes), named + sum(n for _, n in sizes)
    return {user: each for user, each in found.items() if user not in linked}


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
        if fact["kind"] not in ("user", "folder", "end"):
            continue  # something odd among a folder's letters, of which more come
        finish()
        lines = {}
        if fact["kind"] == "user":
            user = fact["user"]
        elif fact["kind"] == "folder":
            folder = fact
    return view, sorted(left), nameless


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
