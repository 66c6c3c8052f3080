"""A server's mail store as a stream of plain facts: which user, folder and letter is there, letter by letter."""

from __future__ import annotations

import base64
import email.errors
import email.header
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.errors import ServerError
from mailmove.folders import Listing, Look, Record, Todo, listings, to_do
from mailmove.server import Server

Depth = Literal["names", "stat", "hash"]
Fact = dict[str, Any]  # one line of remote/mailstore.py, which describes them


@dataclass(frozen=True)
class Place:
    """Where a server keeps its mail: ``root``/DOMAIN/USER/``maildir``; ``layout`` is "fs" or "" (Maildir++).

    ``index``: where its indexes lie, by Dovecot's setting, if not beside the letters.
    """

    root: str
    maildir: str
    layout: str
    index: str = ""


def place(server: Server) -> Place:
    """Where the mail of this server lies, by its own settings.

    Raises ServerError when it is no Maildir, or lies where mailmove cannot follow it.
    """
    facts = server.facts
    if not facts.mail_root:
        raise ServerError(
            f"the {server.role} server has no mail root: neither Dovecot's user query nor a user vmail names one",
            "finish the guide's chapter on Dovecot there (vmail, dovecot-sql.conf.ext)",
        )
    # As the programs on the servers tell of it, and as new is let in to it: where a link leads
    return replace(read_place(facts.doveconf, facts.mail_root, server.role), root=facts.mail_place)


def read_place(doveconf: Mapping[str, str], root: str, role: str) -> Place:
    """The place in Dovecot's settings: ``mail_location`` (2.3), or ``mail_driver`` and ``mail_path`` (2.4)."""
    location = doveconf.get("mail_location", "")
    if "mail_path" in doveconf:
        location = f"{doveconf.get('mail_driver', 'maildir')}:{doveconf['mail_path']}"
    driver, _, rest = location.partition(":")
    path, *options = rest.split(":")
    domain, user = r"%(?:d|\{user *\| *domain\})", r"%(?:n|\{user *\| *username\})"
    home = rf"(?:~|%h|%\{{home\}}|{re.escape(root.rstrip('/'))}/{domain}/{user})"
    match = re.fullmatch(rf"{home}(?:/([\w.-]+))?/?", path)
    if driver != "maildir" or not match:
        raise ServerError(
            f"the {role} server keeps its mail in {location or 'a place Dovecot names nowhere'}",
            "mailmove moves Maildirs in the users' homes (mail_location = maildir:~/Maildir), as the guide makes them",
        )
    moved = [each for each in options if each.startswith(("CONTROL=", "INBOX="))]
    if moved:
        raise ServerError(
            f"the {role} server keeps part of its Maildirs elsewhere: {', '.join(moved)}",
            "mailmove moves Maildirs that hold their own control files; put them there first",
        )
    index = next((each.removeprefix("INDEX=") for each in options if each.startswith("INDEX=")), "")
    index = index or doveconf.get("mail_index_path", "")
    if index == "MEMORY":  # none, then
        index = ""
    fs = "LAYOUT=fs" in options or doveconf.get("mailbox_list_layout") == "fs"
    return Place(root.rstrip("/"), match[1] or "", "fs" if fs else "", index)


@dataclass
class Everybody:
    """Where people's mail lies, as far as it is not where a copy looks for it."""

    elsewhere: list[tuple[str, str]] = field(default_factory=list)  # user, where
    apart: list[tuple[str, str]] = field(default_factory=list)  # path, what lies there
    owned: list[str] = field(default_factory=list)  # directories that are another's than the store
    unasked: int = 0  # people of whom Dovecot did not say it


def everybody(server: Server) -> Everybody:
    """Ask Dovecot of everybody who has an account; look through the directories of the store for what no copy brings."""
    where = place(server)
    roots = {where.root, server.facts.mail_root.rstrip("/")}
    found = Everybody()
    asked = {"root": where.root, "users": list(server.facts.users)}
    for fact in server.remote("homes", asked, timeout_s=3600):
        if fact["kind"] == "home":
            local, _, domain = fact["user"].rpartition("@")
            wrong = elsewhere(fact["home"], fact["mail"], {f"{root}/{domain}/{local}" for root in roots}, where.maildir)
            if wrong:
                found.elsewhere.append((fact["user"], wrong))
        elif fact["kind"] == "apart":
            found.apart.append((fact["path"], fact["what"]))
        elif fact["kind"] == "owned":
            found.owned.append(fact["path"])
        else:
            found.unasked = fact["unasked"]
    return found


def elsewhere(home: str, mail: str, homes: set[str], maildir: str) -> str:
    """What is wrong with somebody's home, and the place of the mail in it; empty if a copy finds both. ``homes``: where it looks."""
    path = posixpath.normpath(home)
    if path.lower() not in {each.lower() for each in homes}:
        return f"home {home}"
    driver, colon, rest = mail.partition(":")
    where, *options = rest.split(":")
    if not colon:  # as the settings say
        return ""
    inner = re.sub(r"^(~|%h|%\{home\})(?=/|$)", lambda _: path, where)
    right = "%" in inner or posixpath.normpath(inner).lower() == posixpath.normpath(f"{path}/{maildir}").lower()
    if driver != "maildir" or not right or any(each.startswith(("CONTROL=", "INBOX=")) for each in options):
        return f"mail {mail}"
    return ""


def read(
    server: Server,
    depth: Depth,
    *,
    users: Iterable[str] | None = None,
    beside: bool = False,
    since: float | None = None,
    probes: bool = False,
    only: Mapping[str, Mapping[str, list[str] | None]] | None = None,
    alike: Iterable[str] = (),
    as_read: bool = False,
) -> Iterator[Fact]:
    """All that is in the store, sorted by user, folder and letter; mailmove's own probe accounts left out.

    ``depth`` "names" tells which letters there are, "stat" also what their files say, "hash" also the digest of their
    bytes. ``beside`` brings the files beside the domains even if ``users`` are named. ``since`` asks for the folders
    deleted since then (seconds by that server's clock). ``only`` (home -> folder -> base names, or None for all; paths
    below the mail root) asks for these homes and folders alone, and looks only into the letters named. The others in
    folders known to be ``alike`` on both servers are counted and not told one by one. ``as_read``: digests are of what
    people read of a letter, however Dovecot stores it. The program is at work as soon as
    the first fact was taken.
    """
    where = place(server)
    return server.remote(
        "mailstore",
        {
            "root": where.root,
            "maildir": where.maildir,
            "layout": where.layout,
            "depth": depth,
            "skip": [] if probes else [PROBE_PREFIX],
            "domains_skipped": [] if probes else [PROBE_DOMAIN],
            "users": sorted(users) if users is not None else None,
            "beside": beside,
            "since": since,
            "only": only,
            "alike": sorted(alike),
            "as_read": as_read,
        },
        timeout_s=12 * 3600,
    )


@dataclass
class Numbered:
    """A folder, and the UIDs it has given."""

    user: str
    raw: str  # name; "" is INBOX
    path: str
    uidvalidity: int | None
    next_uid: int  # 0 if it never gave one
    uids: dict[str, int | None] = field(default_factory=dict)  # of each letter, by its base name


def numbered(server: Server, users: Iterable[str]) -> list[Numbered]:
    """The folders of these people."""
    found: list[Numbered] = []
    for fact in read(server, "stat", users=users):
        if fact["kind"] == "folder":
            found.append(Numbered(fact["user"], fact["folder"], fact["path"], fact["uidvalidity"], fact["next"] or 0))
        elif fact["kind"] == "letters":
            found[-1].uids.update({base: uid for base, uid, *_ in fact["rows"]})
    return found


def look(server: Server, known: Mapping[str, str], expected: Mapping[str, str] | None = None) -> Look:
    """What every directory of the store is like, told of those that are not as ``known`` (path -> signature).

    ``expected`` (:attr:`Todo.names`): the names that ought to be in them, for :attr:`Look.unexpected`.
    """
    asked = {**_store(server), "known": known, "expected": expected or {}}
    return Look.of(server.remote("look", asked, timeout_s=3600))


def weighed(server: Server) -> list[Fact]:
    """Every home ("path" below the mail root) with how many "letters" and, about, "bytes" it has."""
    return list(server.remote("look", {**_store(server), "weigh": True}, timeout_s=3600))


def users(server: Server) -> list[str]:
    """Everybody who has a home in the store, with or without an account; mailmove's probes left out."""
    domains = [name for name, what in listed(server, [""])[""].names.items() if what == "d"]
    found = [f"{name}@{domain}" for domain, at in listed(server, domains).items() for name in at.names]
    return sorted(found)


def listed(server: Server, paths: Iterable[str], *, digests: bool = False) -> dict[str, Listing]:
    """The names in these directories (paths below the mail root); with ``digests``, of a cur or new one digest of all of them."""
    chosen = sorted(paths)
    if not chosen:
        return {}
    asked = {**_store(server), "list": chosen, "digests": digests}
    return dict(listings(server.remote("look", asked, timeout_s=3600)))


def linked(server: Server, letters: Iterable[str]) -> dict[str, list[str]]:
    """Those of the letters (paths below the mail root) that are the same file as others of their home, which are named."""
    asked = {**_store(server), "linked": sorted(letters)}
    return {fact["path"]: fact["others"] for fact in server.remote("look", asked, timeout_s=3600)}


@dataclass(frozen=True)
class Changes:
    """What is not as it was when both stores were equal, by a look at each, and what makes them equal again."""

    old: Look
    new: Look
    todo: Todo

    @property
    def paths(self) -> list[str]:
        """The directories in which anything is to be done."""
        return sorted(self.todo.folders)


def changes(old: Server, new: Server, record: Record, *, alike: bool = False) -> Changes:
    """Look at both servers' directories at once, and compare the names in those that are not as in ``record``.

    Where they are thought to be ``alike``, names are only told where they are not: equal letters cost nothing then.
    """
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(_look_into, old, record.known("old"), digests=alike)
        theirs, there = _look_into(new, record.known("new"), digests=alike)
        ours, names = asked.result()
        # What is not as it was on the one alone, the other has not told yet.
        few = _both_listed(pool, old, there.keys() - names.keys(), new, names.keys() - there.keys(), digests=alike)
        names.update(few[0])
        there.update(few[1])
        if alike:
            # A digest stands for equal names only: whatever is not the same on both is told in full.
            other = {path for path in names if _unlike(names[path], there[path])}
            full = _both_listed(pool, old, other, new, other)
            names.update(full[0])
            there.update(full[1])
            for path in names.keys() - other:
                if names[path].letters:
                    names[path].names = there[path].names = {}  # the same on both, whatever they are
        return Changes(ours, theirs, to_do(record, names, there))


def _look_into(server: Server, known: Mapping[str, str], *, digests: bool) -> tuple[Look, dict[str, Listing]]:
    """One look, and the names in every directory that is not as ``known``, or gone."""
    asked = {**_store(server), "known": known, "names": True, "digests": digests}
    facts = server.remote("look", asked, timeout_s=3600)
    return Look.of(facts), dict(listings(facts))


def _both_listed(
    pool: ThreadPoolExecutor, old: Server, of_old: Set[str], new: Server, of_new: Set[str], *, digests: bool = False
) -> tuple[dict[str, Listing], dict[str, Listing]]:
    names = pool.submit(listed, old, of_old, digests=digests)
    there = listed(new, of_new, digests=digests)
    return names.result(), there


def _unlike(ours: Listing, theirs: Listing) -> bool:
    return ours.letters != theirs.letters or (ours.letters and ours.names != theirs.names)


def _store(server: Server) -> Fact:
    return {"root": place(server).root, "skip": [PROBE_PREFIX], "domains_skipped": [PROBE_DOMAIN]}


def describe(server: Server, letters: Iterable[tuple[str, str]]) -> list[Fact]:
    """Subject, Date and Message-ID of letters given as (path of the folder, base name); empty where there is none."""
    pairs = [list(pair) for pair in letters]
    if not pairs:
        return []
    return [fact for fact in server.remote("mailstore", {"describe": pairs}, timeout_s=300) if fact["kind"] == "letter"]


def folder_name(raw: str) -> str:
    """A folder's name for people: modified UTF-7 (RFC 3501, 5.1.3) decoded; INBOX for the empty one."""
    if not raw:
        return "INBOX"

    def decoded(match: re.Match[str]) -> str:
        if not match[1]:
            return "&"
        try:
            return f"+{match[1].replace(',', '/')}-".encode("ascii").decode("utf-7")
        except UnicodeError:
            return match[0]

    return re.sub(r"&([A-Za-z0-9+,]*)-", decoded, raw)


def header_text(raw: str) -> str:
    """A header's value for people: encoded words (RFC 2047) decoded, as far as they can be."""
    try:
        return str(email.header.make_header(email.header.decode_header(raw)))
    except (ValueError, LookupError, UnicodeError, email.errors.MessageError):
        return raw


_ESCAPED = {"0": "\0", "1": "\1", "t": "\t", "r": "\r", "n": "\n"}


def untabbed(cell: str) -> str:
    """A value as it stood before Dovecot wrote it between tabs (its strescape.c)."""
    return re.sub("\1([01trn])", lambda match: _ESCAPED[match[1]], cell)


def raw_folder_name(name: str) -> str:
    """A folder's name as it stands on the disk, in modified UTF-7 (RFC 3501, 5.1.3)."""

    def encoded(match: re.Match[str]) -> str:
        if match[0] == "&":
            return "&-"
        packed = base64.b64encode(match[0].encode("utf-16-be", "surrogatepass"), b"+,").rstrip(b"=")
        return f"&{packed.decode()}-"

    return re.sub(r"&|[^ -~]+", encoded, name)


def is_folder_name(raw: str, layout: str) -> bool:
    """Whether Dovecot takes the name of a directory for that of a folder: no level empty, modified UTF-7 in the only way, no
    home's of anybody, and not that of the inbox, which is elsewhere."""
    levels = raw.split("/" if layout == "fs" else ".")
    taken = raw.startswith("~") or raw.upper() == "INBOX"
    return not raw or (all(levels) and not taken and raw_folder_name(folder_name(raw)) == raw)


def shown(text: str) -> str:
    """Text from a mail store so that it can be printed on one line: control characters and stray bytes escaped."""
    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean)
