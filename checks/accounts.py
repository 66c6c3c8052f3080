"""Looking at the mail accounts of two servers: same rows, and do Postfix and Dovecot know every address?"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mailmove import databases, sql
from mailmove.clients.account import is_probe
from mailmove.databases import Content, Row, Table
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

CHAPTER = "guide: Migrating from your old server, and Prepare the database"
ACCOUNTS = "accounts"  # the name under which the carried rows are remembered on new
MOST_SHOWN = 50

Kind = Literal["added", "gone", "changed"]


@dataclass(frozen=True)
class Difference:
    """One row that is not the same. ``words`` say which, for a person, without any hash."""

    kind: Kind
    table: str
    key: tuple[str, ...]
    words: str


# comparing


def people_only(table: Table) -> list[Row]:
    """A table's rows without mailmove's own."""
    if table.name == "virtual_users":
        return [row for row in table.rows if not is_probe(row.get("email") or "")]
    if table.name == "virtual_aliases":
        return [row for row in table.rows if not is_probe(row.get("source") or "")]
    if table.name == "virtual_domains":
        return [row for row in table.rows if not is_probe(row.get("name") or "")]
    return list(table.rows)


def by_what_they_mean(content: Content) -> dict[str, dict[tuple[str, ...], Row]]:
    """Rows by what tells them apart for a person: numbers (id, domain_id) may differ on two servers, addresses not."""
    domains = (
        {row.get("id"): row.get("name") for row in content.tables["virtual_domains"].rows}
        if ("virtual_domains" in content.tables)
        else {}
    )
    keys = {"virtual_domains": ("name",), "virtual_users": ("email",), "virtual_aliases": ("source", "destination")}
    found: dict[str, dict[tuple[str, ...], Row]] = {}
    for name, table in content.tables.items():
        rows: dict[tuple[str, ...], Row] = {}
        times: Counter[tuple[str, ...]] = Counter()
        for row in people_only(table):
            if name in keys:
                key = tuple(str(row.get(column)) for column in keys[name])
                values = {c: v for c, v in row.items() if c not in ("id", "domain_id", *keys[name])}
                if "domain_id" in row:
                    values["domain"] = domains.get(row["domain_id"])
            else:
                key, values = table.key(row), dict(row)
            times[key] += 1
            rows[key if times[key] == 1 else (*key, f"({times[key]})")] = values
        found[name] = rows
    return found


def differences(before: Content, after: Content) -> list[Difference]:
    """What is different in ``after``. Columns that only one of them has are not looked at."""
    ours, theirs = by_what_they_mean(before), by_what_they_mean(after)
    found: list[Difference] = []
    for table in [*ours, *(t for t in theirs if t not in ours)]:
        one, other = ours.get(table, {}), theirs.get(table, {})
        if table not in theirs:
            found.append(Difference("gone", table, (), f"table {table} gone ({len(one)} rows)"))
            continue
        if table not in ours:
            if other:
                found.append(Difference("added", table, (), f"table {table} added ({len(other)} rows)"))
            continue
        columns = (set(before.tables[table].columns) & set(after.tables[table].columns)) | {"domain"}
        for key, row in one.items():
            if key not in other:
                found.append(Difference("gone", table, key, _say("gone", table, key)))
                continue
            changed = [c for c in row if c in columns and row[c] != other[key].get(c)]
            if changed:
                words = "; ".join(_changed(table, key, c, row[c], other[key].get(c)) for c in changed)
                found.append(Difference("changed", table, key, words))
        found += [Difference("added", table, key, _say("added", table, key)) for key in other if key not in one]
    return found


def _say(kind: str, table: str, key: tuple[str, ...]) -> str:
    words = {
        "virtual_domains": "domain {0}: {1}",
        "virtual_users": "account {0}: {1}",
        "virtual_aliases": "alias {0}: {1} -> {2}",
    }.get(table)
    if words:
        return words.format(kind, *key)
    return f"row {', '.join(key)[:80]} of {table} {kind}"


def _changed(table: str, key: tuple[str, ...], column: str, before: str | None, after: str | None) -> str:
    whose = " -> ".join(key) if table == "virtual_aliases" else ", ".join(key)[:80]
    shown = table in databases.PLAIN and column in (*databases.PLAIN[table], "domain")
    what = f"{column} of {whose} changed" if table in databases.PLAIN else f"{column} of row {whose} of {table} changed"
    return f"{what} from {before} to {after}" if shown else what


def changed_on_new_alone(old: Content, new: Content, carried: Content) -> list[Difference]:
    """What was added or changed on new since the copy and is not the same on old: carrying again would lose it.

    What is gone on new alone is no such loss: carrying brings it back.
    """
    unlike = {(d.table, d.key) for d in differences(new, old)}
    return [d for d in differences(carried, new) if d.kind != "gone" and (d.table, d.key) in unlike]


def digest(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """A checksum of rows, whatever their order."""
    lines = sorted(json.dumps([row.get(column) for column in columns]) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def compare_tables(exam: Examination, carried: Content, new: Content) -> None:
    """Write down, for each table carried, whether new has the same number of rows with the same content."""
    for name, table in carried.tables.items():
        there = new.tables.get(name)
        before = people_only(table)
        columns = list(table.columns)
        asked = f"table {name}: rows and checksum over {', '.join(columns)}"
        expected = f"{len(before)} rows, {digest(before, columns)}"
        if there is None:
            exam.expect(asked, "the table is not there", False, expected)
            continue
        missing = [column for column in columns if column not in there.columns]
        if missing:
            exam.expect(asked, f"without the columns {', '.join(missing)}", False, expected)
            continue
        after = people_only(there)
        answer = f"{len(after)} rows, {digest(after, columns)}"
        exam.expect(asked, answer, answer == expected, expected)


# checks


def accounts_can_be_carried(old: Server, new: Server) -> Evidence:
    """Both servers have a database of mail accounts that can be read, and new's can take what old has."""
    exam = Examination(
        "the accounts can be carried over",
        "both",
        why="a database that cannot be read whole cannot be carried whole",
        hint=f"set up the database on the server named, as Postfix' map files there name it ({CHAPTER})",
    )
    for server in (old, new):
        name = server.facts.database
        exam.expect(
            f"the {server.role} server's database of mail accounts",
            name or "none",
            bool(name),
            "one named in Postfix' maps",
        )
        if not name:
            continue
        try:
            content = databases.read(server, name, databases.new_salt())
        except ServerError as error:
            exam.unknown(f"the tables of {name} on {server.role}", error.fact)
            exam.hint = error.hint or exam.hint
            continue
        for table in ("virtual_domains", "virtual_users", "virtual_aliases"):
            answer = f"{content.count(table)} rows" if table in content.tables else "not there"
            exam.expect(f"{server.role}: table {table}", answer, table in content.tables, "there")
        if server is old:
            exam.expect(
                "mailboxes on old",
                content.count("virtual_users") if "virtual_users" in content.tables else 0,
                bool(content.tables.get("virtual_users") and content.tables["virtual_users"].rows),
                "at least one",
            )
        triggers = [word for word in content.besides if word.startswith("trigger")]
        if server is new:
            exam.expect(
                "triggers on new",
                ", ".join(triggers) or "none",
                not triggers,
                "none: MariaDB cannot exchange their tables",
            )
    return exam.close()


def nothing_else_in_the_database(old: Server) -> Evidence:
    """Beside tables there is nothing in old's database that would have to be carried by hand."""
    exam = Examination(
        "nothing but tables has to be carried",
        "old",
        why="views, triggers, routines and events belong to users of the old database and are not carried",
        hint="make them anew on the new server where they are still needed",
        required=False,
    )
    content = databases.read(old, old.facts.database, databases.new_salt(), tables=[])
    exam.expect(
        "views, triggers, routines, events on old", ", ".join(content.besides) or "none", not content.besides, "none"
    )
    return exam.close()


def nothing_changed_on_new_alone(old: Server, new: Server, alone: Sequence[Difference] | None = None) -> Evidence:
    """No account was made or changed on the new server that the old one does not have alike.

    ``alone``: what :func:`drift` told of it just now, if it was asked.
    """
    exam = Examination(
        "no account was changed on the new server alone",
        "new",
        why="until the switch the old server's accounts are carried over those of the new: a change made there only would be lost",
        hint="make the same change on the old server, or take it back on the new one; then run this again",
    )
    if databases.recall(new, ACCOUNTS) is None:
        return exam.not_applicable("nothing was carried yet")
    found = drift(old, new)[1] if alone is None else alone
    for each in found[:MOST_SHOWN]:
        exam.expect("changed on new, not alike on old", each.words, False, "nothing")
    if not found:
        exam.expect("changed on new, not alike on old", "nothing", True)
    return exam.close()


def accounts_stand_as_carried(new: Server) -> Evidence:
    """The new server's account tables hold exactly the rows that were carried."""
    exam = Examination(
        "the new server has every row of the account tables as it was carried",
        "new",
        why="a missing or changed row is a person without mail, or one who cannot log in",
        hint=f"carry the accounts again ({CHAPTER})",
    )
    carried = databases.recall(new, ACCOUNTS)
    if carried is None:
        exam.expect("what was carried", "nothing is remembered on new", False, f"{databases.CARRIED}/{ACCOUNTS}.json")
        return exam.close()
    now = databases.read(new, new.facts.database, carried.salt)
    compare_tables(exam, carried, now)
    for each in [d for d in differences(carried, now) if d.table in carried.tables][:MOST_SHOWN]:
        exam.expect("since it was carried", each.words, False, "nothing")
    return exam.close()


def drift(old: Server, new: Server) -> tuple[list[Difference], list[Difference]]:
    """What changed on old since its accounts were carried, and what of new would be lost by carrying them again."""
    carried = databases.recall(new, ACCOUNTS)
    if carried is None:
        return [], []
    theirs, ours = databases.together(
        lambda: databases.read(old, old.facts.database, carried.salt),
        lambda: databases.read(new, new.facts.database, carried.salt),
    )
    return differences(carried, theirs), changed_on_new_alone(theirs, ours, carried)


def old_accounts_were_left_alone(old: Server, new: Server) -> Evidence:
    """Nobody changed an account, an alias or a password on old after they were carried for the last time."""
    exam = Examination(
        "nothing was changed among the old server's accounts and aliases since they were carried",
        "old",
        why="an alias that somebody adds there, or a password changed in its webmail, is on no other server",
        hint="make these changes on the new server by hand",
        required=False,
    )
    changed, _ = drift(old, new)
    for each in changed[:MOST_SHOWN]:
        exam.expect("changed on the old server since", each.words, False, "nothing")
    if not changed:
        exam.expect("changed on the old server since", "nothing", True)
    return exam.close()


def no_drift(old: Server, new: Server) -> Evidence:
    """Both servers have the same domains, accounts, passwords, quotas and aliases."""
    exam = Examination(
        "both servers have the same accounts",
        "both",
        why="a password changed or an address made on the old server after the copy would be lost",
        hint="run the cutover's step that carries the last changes (pytest features/3_cutover --move)",
    )
    salt = databases.new_salt()
    theirs, ours = databases.together(
        lambda: databases.read(old, old.facts.database, salt),
        lambda: databases.read(new, new.facts.database, salt),
    )
    found = [d for d in differences(ours, theirs) if not (d.kind == "gone" and d.table not in theirs.tables)]
    for each in found[:MOST_SHOWN]:
        exam.expect("old, against new", each.words, False, "the same on both")
    if len(found) > MOST_SHOWN:
        exam.expect("old, against new", f"{len(found) - MOST_SHOWN} more", False, "the same on both")
    for name in theirs.tables if not found else ():
        exam.expect(f"table {name}", f"{len(people_only(theirs.tables[name]))} rows, the same on both", True)
    return exam.close()


def _maps(server: Server, setting: str) -> list[str]:
    """The maps a Postfix setting names; words without a type are no maps. Asked without proxy: Postfix may be stopped.

    Without mailmove's own, which after a way back lead late senders' letters to the old server until the next stop.
    """
    words = [word.removeprefix("proxy:") for word in re.split(r"[,\s]+", server.setting(setting)) if ":" in word]
    return [word for word in words if "/mailmove-" not in word]


def _destinations(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",") if word.strip()}


def postfix_knows_every_address(old: Server, new: Server) -> Evidence:
    """Postfix on the new server finds every domain, mailbox and alias that was carried."""
    exam = Examination(
        "Postfix on the new server knows every domain, mailbox and alias",
        "new",
        why="an address that Postfix does not find is refused: its mail goes back to the sender",
        hint="ask one by hand: postmap -q ADDRESS and the map; look at query, host and password in its .cf file "
        "(guide: Making Postfix get its information from the database)",
    )
    content = databases.recall(new, ACCOUNTS) or databases.read(new, new.facts.database, databases.new_salt())
    rows = {t: people_only(content.tables[t]) for t in ("virtual_domains", "virtual_users", "virtual_aliases")}
    aliases: dict[str, set[str]] = {}
    for row in rows["virtual_aliases"]:
        aliases.setdefault(str(row["source"]), set()).update(_destinations(str(row["destination"])))
    keys = {
        "virtual_mailbox_domains": [str(row["name"]) for row in rows["virtual_domains"]],
        "virtual_mailbox_maps": [str(row["email"]) for row in rows["virtual_users"]],
        "virtual_alias_maps": list(aliases),
    }
    found = _ask(exam, new, keys)
    suspects: dict[str, list[str]] = {}
    for setting, asked in keys.items():
        known = {key.lower(): answer for key, answer in found.get(setting, {}).items()}
        wrong = [
            key
            for key in asked
            if key.lower() not in known
            or (setting == "virtual_alias_maps" and _destinations(known[key.lower()]) != aliases[key])
        ]
        exam.expect(f"{setting}: {len(asked)} names asked", f"{len(asked) - len(wrong)} right", True)
        if wrong:
            suspects[setting] = wrong
    if suspects:
        # Maps that ask for more than the guide's (an "active" column, say) may not know a name by choice: old decides.
        there = _ask(exam, old, {setting: suspects.get(setting, []) for setting in keys})
        for setting, names in suspects.items():
            for key in names[:MOST_SHOWN]:
                mine = found.get(setting, {}).get(key, "")
                theirs = there.get(setting, {}).get(key, "")
                exam.expect(
                    f"{setting}: {key}",
                    mine or "not found",
                    _destinations(mine) == _destinations(theirs),
                    theirs or "not found, as on old",
                )
    return exam.close()


def _ask(exam: Examination, server: Server, keys: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    maps = {setting: _maps(server, setting) for setting in keys}
    for line in server.remote("lookups", {"maps": maps, "keys": keys, "users": None}, timeout_s=300):
        if "trouble" in line:
            exam.unknown(f"Postfix on {server.role}", line["trouble"])
        else:
            found[line["label"]] = line["found"]
    return found


def dovecot_knows_every_user(new: Server, *, nobody_else: bool = True) -> Evidence:
    """Dovecot on the new server finds every mailbox that was carried, and (right after that) lists nobody else."""
    exam = Examination(
        "Dovecot on the new server knows every mailbox",
        "new",
        why="a user Dovecot does not know cannot log in, and gets no mail",
        hint="ask by hand: doveadm user ADDRESS. Names with an apostrophe or an ampersand need auth_username_chars "
        "(guide: Setting up Dovecot)",
    )
    content = databases.recall(new, ACCOUNTS) or databases.read(new, new.facts.database, databases.new_salt())
    emails = [str(row["email"]) for row in people_only(content.tables["virtual_users"])]
    listed: set[str] | None = None
    for line in new.remote("lookups", {"maps": {}, "keys": {}, "users": emails}, timeout_s=600):
        if "trouble" in line:
            exam.unknown("Dovecot on new", line["trouble"])
        elif "homes" in line:
            unknown = [email for email in emails if email not in line["homes"]]
            exam.expect(
                f"doveadm user: {len(emails)} mailboxes", f"{len(emails) - len(unknown)} known", not unknown, "all"
            )
            for email in unknown[:MOST_SHOWN]:
                exam.expect(f"doveadm user {email}", "unknown", False, "known")
            listed = {user.lower() for user in line["users"] if not is_probe(user)}
    if listed is not None:
        strangers = sorted(listed - {email.lower() for email in emails})
        exam.expect(
            "doveadm user '*': beside those carried", ", ".join(strangers[:20]) or "nobody", not strangers, "nobody"
        )
    return exam.close()


def nothing_left_of_the_copy(new: Server) -> Evidence:
    """No database of mailmove's own is left on the new server, and Postfix' database can be read."""
    exam = Examination(
        "nothing half carried is left in the new server's database",
        "new",
        why="a copy of everybody's password hashes must not lie about",
        hint="drop the databases named, whose names end in _mailmove_ and a word",
    )
    found = [row[0] for row in sql.rows(new, "", "SHOW DATABASES")]
    left = [name for name in found if re.search(r"_mailmove_[a-z]+$", name)]
    exam.expect("databases of mailmove's own", ", ".join(left) or "none", not left, "none")
    exam.expect("the database of mail accounts", new.facts.database, new.facts.database in found, "there")
    return exam.close()
