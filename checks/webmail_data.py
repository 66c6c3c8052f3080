"""Looking at what people have in Roundcube: profiles, identities, contacts, groups."""

from __future__ import annotations

from collections.abc import Sequence

from mailmove import databases, roundcube
from mailmove.databases import Content
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

CHAPTER = "guide: Migrating from your old server, and Webmail using Roundcube"
CARRIED_OLD = "roundcube-old"
CARRIED_NEW = "roundcube-new"
MOST_SHOWN = 50

NONE_ON_OLD = "no Roundcube on the old server"


def roundcube_can_be_carried(old: Server, new: Server) -> Evidence:
    """Where the old server has a Roundcube, the new one has one that can take its data."""
    exam = Examination(
        "the webmail data can be carried over",
        "both",
        why="people's address books and identities live in Roundcube's database only",
        hint=f"set up Roundcube on the new server as a package, with its database ({CHAPTER})",
    )
    if not old.facts.roundcube:
        return exam.not_applicable(NONE_ON_OLD)
    exam.expect("Roundcube's database on new", new.facts.roundcube or "none", bool(new.facts.roundcube), "there")
    if not new.facts.roundcube:
        return exam.close()
    try:
        theirs, ours = roundcube.installation(old), roundcube.installation(new)
        assert theirs and ours
        content = roundcube.read(old, theirs.database, theirs.prefix, databases.new_salt())
    except ServerError as error:
        exam.unknown("the settings and tables of both", error.fact)
        return exam.close()
    exam.expect(
        "db_prefix on new", ours.prefix or "none", ours.prefix == theirs.prefix, theirs.prefix or "none, as on old"
    )
    exam.expect(
        "table users on old", "there" if "users" in content.tables else "not there", "users" in content.tables, "there"
    )
    version = roundcube.version(content)
    exam.expect(
        "schema on old, newest that new knows",
        f"{version}, {ours.newest}",
        bool(ours.newest) and version <= ours.newest,
        "old's is not newer",
    )
    known = {str(row["mail_host"]) for row in _rows(content, "users")}
    good = len(ours.hosts) == 1 or (bool(ours.hosts) and known <= set(ours.hosts))
    exam.expect(
        "the IMAP host that profiles belong to (imap_host on new)",
        ", ".join(ours.hosts) or ours.trouble,
        good,
        "one host" if len(ours.hosts) < 2 else f"all of {', '.join(sorted(known))}",
    )
    return exam.close()


def _rows(content: Content, table: str) -> list[databases.Row]:
    return list(content.tables[table].rows) if table in content.tables else []


def webmail_data_stands_as_carried(new: Server, *, unchanged: bool = True) -> Evidence:
    """Each profile, identity, contact and group that was carried is on the new server, (right after that) unchanged."""
    exam = Examination(
        "every webmail profile, identity, contact and group is on the new server",
        "new",
        why="an address book that is gone is noticed on the first morning",
        hint=f"carry the webmail data again ({CHAPTER})",
    )
    before, stored = databases.recall(new, CARRIED_OLD), databases.recall(new, CARRIED_NEW)
    here = roundcube.installation(new)
    if before is None or stored is None or here is None:
        exam.expect(
            "what was carried", "nothing is remembered on new", False, f"{databases.CARRIED}/{CARRIED_OLD}.json"
        )
        return exam.close()
    now = roundcube.read(new, here.database, here.prefix, before.salt)
    compare(exam, before, now, unchanged=unchanged)
    return exam.close()


def compare(exam: Examination, before: Content, now: Content, *, unchanged: bool = True) -> None:
    """Write down for each table whether all rows of the old server are there, with the same content."""
    joined = roundcube.merges(roundcube.of_people(before).tables["users"].rows)
    wanted = roundcube.expected(roundcube.of_people(before), joined)
    for name, rows in wanted.items():
        table = now.tables.get(name)
        if table is None:
            exam.expect(f"table {name}", "not there", not rows, f"{len(rows)} rows")
            continue
        there = {table.key(row): row for row in table.rows}
        missing = [key for key in rows if key not in there]
        columns = set(table.columns) - roundcube.FLEETING
        changed = [
            key
            for key, row in rows.items()
            if key in there and any(there[key][c] != v for c, v in row.items() if c in columns)
        ]
        words = f"{len(rows) - len(missing) - len(changed)} the same"
        words += f", {len(missing)} missing: number {_some(missing)}" if missing else ""
        words += f", {len(changed)} changed: number {_some(changed)}" if changed else ""
        good = not missing and not (changed and unchanged)
        exam.expect(f"{name}: rows of old", words, good, f"{len(rows)} " + ("the same" if unchanged else "there"))
    names = {row["user_id"]: row["username"] for row in before.tables["users"].rows}
    for kept, other in joined:
        exam.expect(
            f"{names[kept]} had two profiles (numbers {kept} and {other})",
            f"one now, number {kept} of the latest login, with the identities, contacts and groups of both",
            True,
        )


def _some(keys: list[tuple[str, ...]]) -> str:
    return ", ".join("/".join(key) for key in keys[:20]) + (" …" if len(keys) > 20 else "")


def webmail_knows_its_schema_and_host(new: Server) -> Evidence:
    """Roundcube's tables are of its own version, and each profile belongs to the host that it logs people in to."""
    exam = Examination(
        "Roundcube's tables are up to date, and its profiles belong to its own IMAP host",
        "new",
        why="a profile of another host is not found at login: people get an empty one, their contacts seem lost",
        hint="set users.mail_host to the host part of imap_host, run updatedb.sh as Roundcube's UPGRADING says; or carry again",
    )
    here = roundcube.installation(new)
    if here is None:
        return exam.not_applicable("no Roundcube on the new server")
    content = roundcube.of_people(roundcube.read(new, here.database, here.prefix, databases.new_salt()))
    version = roundcube.version(content)
    exam.expect(
        "schema (system.roundcube-version)", version, version == here.newest, f"{here.newest}, the package's newest"
    )
    hosts = sorted({str(row["mail_host"]) for row in _rows(content, "users")})
    exam.expect(
        "users.mail_host",
        ", ".join(hosts) or "no profiles",
        set(hosts) <= set(here.hosts),
        ", ".join(here.hosts) or here.trouble,
    )
    names = [str(row["username"]) for row in _rows(content, "users")]
    double = sorted({name for name in names if names.count(name) > 1}) if len(here.hosts) == 1 else []
    exam.expect("people with more than one profile", ", ".join(double) or "nobody", not double, "nobody")
    return exam.close()


def drift(old: Server, new: Server) -> tuple[list[str], list[str]]:
    """What people changed in old's webmail since it was carried; and in new's alone, which carrying again would lose."""
    before, stored = databases.recall(new, CARRIED_OLD), databases.recall(new, CARRIED_NEW)
    theirs, ours = databases.together(lambda: roundcube.installation(old), lambda: roundcube.installation(new))
    if before is None or stored is None or theirs is None or ours is None:
        return [], []
    old_now, new_now = databases.together(
        lambda: roundcube.read(old, theirs.database, theirs.prefix, before.salt),
        lambda: roundcube.read(new, ours.database, ours.prefix, stored.salt),
    )
    changed = [words for _, _, words in roundcube.differences(before, old_now)]
    alone = [words for kind, _, words in roundcube.differences(stored, new_now) if kind != "gone"]
    return changed, alone


def webmail_not_changed_on_new_alone(old: Server, new: Server, alone: Sequence[str] | None = None) -> Evidence:
    """Nobody has changed anything in the new server's webmail yet.

    ``alone``: what :func:`drift` told of it just now, if it was asked.
    """
    exam = Examination(
        "no webmail data was changed on the new server",
        "new",
        why="until the switch the old server's webmail data replace those of the new: what was changed there would be lost",
        hint="make the change in the old webmail instead and take it back in the new one, or wait with it; then run this again",
    )
    if databases.recall(new, CARRIED_NEW) is None:
        return exam.not_applicable("nothing was carried yet")
    found = drift(old, new)[1] if alone is None else alone
    for words in found[:MOST_SHOWN]:
        exam.expect("changed in new's webmail", words, False, "nothing")
    if not found:
        exam.expect("changed in new's webmail", "nothing", True)
    return exam.close()


def old_webmail_was_left_alone(old: Server, new: Server) -> Evidence:
    """Nobody changed anything in the old webmail after it was carried for the last time; it needs no mail service for that."""
    exam = Examination(
        "nobody has used the old webmail since its data was carried",
        "old",
        why="a contact added there by somebody who was still logged in is on no other server",
        hint="make these changes in the new webmail by hand, and let nobody into the old one: systemctl stop apache2 there",
        required=False,
    )
    changed, _ = drift(old, new)
    for words in changed[:MOST_SHOWN]:
        exam.expect("changed in the old webmail since", words, False, "nothing")
    if not changed:
        exam.expect("changed in the old webmail since", "nothing", True)
    return exam.close()


def no_drift(old: Server, new: Server) -> Evidence:
    """Nobody changed anything in the old webmail since it was carried."""
    exam = Examination(
        "both servers have the same webmail data",
        "both",
        why="a contact added in the old webmail after the copy would be lost",
        hint="run the cutover's step that carries the last changes (pytest features/3_cutover --move)",
    )
    if not old.facts.roundcube:
        return exam.not_applicable(NONE_ON_OLD)
    if databases.recall(new, CARRIED_OLD) is None:
        exam.expect("webmail data", "not carried yet", False, "carried")
        return exam.close()
    changed, _ = drift(old, new)
    for words in changed[:MOST_SHOWN]:
        exam.expect("changed in the old webmail since", words, False, "nothing")
    if not changed:
        exam.expect("changed in the old webmail since", "nothing but logins", True)
    return exam.close()
