"""What a Roundcube says of itself, and its rows read so that two of them can be compared.

Tables have their plain names here; a ``db_prefix`` is put before them where the database is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mailmove import databases
from mailmove.clients.account import is_probe
from mailmove.databases import Content, Row, Table
from mailmove.errors import ServerError
from mailmove.server import Server

PASSING = ("session", "cache", "cache_index", "cache_thread", "cache_messages", "cache_shared")
"""Tables of the moment. Sessions are useless elsewhere: each server has its own des_key."""

FLEETING = frozenset({"last_login", "failed_login", "failed_login_counter"})
"""Columns of users that a mere login changes."""

_PLAIN = {
    "users": ["user_id", "username", "mail_host", "created", "last_login"],
    "identities": ["user_id", "standard"],
    "contacts": ["user_id"],
    "contactgroups": ["user_id"],
    "responses": ["user_id"],
    "searches": ["user_id"],
    "dictionary": ["user_id"],
    "filestore": ["user_id"],
    "collected_addresses": ["user_id"],
    "system": ["name", "value"],
}

# The settings are PHP, so PHP reads them; the database's password stays there.
_ASK = """<?php
error_reporting(0);
$config = []; $rcmail_config = [];
chdir('/etc/roundcube');
ob_start(); include '/etc/roundcube/config.inc.php'; ob_end_clean();
$config += $rcmail_config;
$all = glob('/usr/share/roundcube/SQL/mysql/[0-9]*.sql') ?: [];
echo json_encode([
  'hosts' => $config['imap_host'] ?? $config['default_host'] ?? null,
  'prefix' => $config['db_prefix'] ?? '',
  'newest' => $all ? basename(max($all), '.sql') : '',
]);
"""

# Roundcube's own upgrade, told to work on another database than the live one. ROUNDCUBE_CONFIG_DIR is the directory of
# its settings (program/include/iniset.php); RCUBE_CONFIG_PATH would not do: the usual directory is read after it.
_UPGRADE = """
set -e
umask 077
dir=$(mktemp -d /run/mailmove-roundcube.XXXXXX)
trap 'rm -rf "$dir"' EXIT
for file in /etc/roundcube/*; do ln -s "$file" "$dir/"; done
rm -f "$dir/config.inc.php"
cat > "$dir/config.inc.php"
cd /usr/share/roundcube
ROUNDCUBE_CONFIG_DIR="$dir" /usr/share/roundcube/bin/updatedb.sh --package=roundcube --dir=/usr/share/roundcube/SQL
"""


@dataclass(frozen=True)
class Installation:
    """One server's Roundcube. ``hosts``: IMAP hosts people are logged in to, as in users.mail_host; ``newest``: schema."""

    database: str
    hosts: tuple[str, ...]
    prefix: str
    newest: str
    trouble: str = ""  # why the hosts cannot be told


def installation(server: Server) -> Installation | None:
    """What the server's Roundcube says of itself; None if there is none. Raises ServerError if its settings cannot be read."""
    if not server.facts.roundcube:
        return None
    answer = server.run("php", stdin=_ASK)
    try:
        told = json.loads(answer.out)
    except ValueError:
        raise ServerError(
            f"the settings of Roundcube on the {server.role} server cannot be read: {answer.text[:500] or 'php says nothing'}",
            "php -l /etc/roundcube/config.inc.php on that server shows the line",
        ) from None
    hosts, trouble = mail_hosts(told["hosts"])
    return Installation(server.facts.roundcube, hosts, str(told["prefix"] or ""), str(told["newest"]), trouble)


def mail_hosts(setting: object) -> tuple[tuple[str, ...], str]:
    """The values of users.mail_host that ``imap_host`` (``default_host`` before 1.6) leads to, and why they cannot be told.

    ``tls://mail.example.org:143`` leads to ``mail.example.org``. A table names a host by its key, or by its value
    where the key is a number. Names made of the web server's own (%n, %t, %d) differ by the address people type.
    """
    if setting in (None, "", [], {}):
        return ("localhost",), ""
    if isinstance(setting, Mapping):
        words = [str(v) if str(k).isdigit() else str(k) for k, v in setting.items()]
    else:
        words = [str(v) for v in setting] if isinstance(setting, list) else [str(setting)]
    hosts = []
    for word in words:
        host = re.sub(r"^[a-z]+://", "", word.strip())
        host = re.sub(r":\d+$", "", host)
        if "%" in host:
            return (), f"it depends on the address people type: {word}"
        if host and host not in hosts:
            hosts.append(host)
    return tuple(hosts), "" if hosts else "it names no host"


def version(content: Content) -> str:
    """The schema that the tables are of."""
    rows = content.tables["system"].rows if "system" in content.tables else ()
    return next((str(row["value"]) for row in rows if row["name"] == "roundcube-version"), "")


def upgrade(server: Server, database: str) -> None:
    """Bring a database's tables to the newest schema of the server's Roundcube. Raises ServerError with its words."""
    socket = server.sh(
        'c=$(command -v mariadb || command -v mysql); "$c" -BNe "SELECT @@socket"', check=True
    ).out.strip()
    if not re.fullmatch(r"[\w/.-]+", socket) or not re.fullmatch(r"\w+", database):
        raise ServerError(f"the socket of MariaDB cannot be told: {socket!r}", "is MariaDB running on the new server?")
    settings = (
        "<?php\ninclude '/etc/roundcube/config.inc.php';\n"
        f"$config['db_dsnw'] = 'mysql://root@unix({socket})/{database}';\n$config['db_dsnr'] = '';\n"
    )
    answer = server.sh(_UPGRADE, stdin=settings, timeout_s=900)
    if not answer.ok or re.search(r"(?i)\berror\b", answer.text):
        raise ServerError(
            f"Roundcube on the {server.role} server cannot bring the tables to its schema: {answer.text[-1500:]}",
            "read the lines above; a table that was made by hand on old stands in the way more often than not",
        )


def read(server: Server, database: str, prefix: str, salt: str) -> Content:
    """All tables by their plain names; those of the moment without rows."""
    content = databases.read(
        server,
        database,
        salt,
        without_rows=[prefix + name for name in PASSING],
        plain={prefix + name: columns for name, columns in _PLAIN.items()},
    )
    tables = {}
    for name, table in content.tables.items():
        plain = name.removeprefix(prefix)
        tables[plain] = Table(plain, table.columns, table.primary, table.rows, table.read)
    return Content(tables, content.besides, content.salt)


def of_people(content: Content) -> Content:
    """Without what belongs to mailmove's own accounts."""
    ours = {row["user_id"] for row in content.tables["users"].rows if is_probe(row["username"] or "")}
    if not ours:
        return content
    tables = {}
    gone: set[str | None] = set()
    for name, table in content.tables.items():
        rows = (
            tuple(row for row in table.rows if row.get("user_id") not in ours)
            if "user_id" in table.columns
            else table.rows
        )
        if name == "contacts":
            gone = {row["contact_id"] for row in table.rows} - {row["contact_id"] for row in rows}
        tables[name] = Table(name, table.columns, table.primary, rows, table.read)
    if "contactgroupmembers" in tables:
        table = tables["contactgroupmembers"]
        rows = tuple(row for row in table.rows if row["contact_id"] not in gone)
        tables["contactgroupmembers"] = Table(table.name, table.columns, table.primary, rows, table.read)
    return Content(tables, content.besides, content.salt)


def merges(users: Iterable[Row]) -> list[tuple[str, str]]:
    """Who has more than one row: (the user_id that stays, one that is merged into it) for each.

    The row with the latest login stays, as its settings are the ones its owner knows; among equals the newest.
    """
    by_name: dict[str, list[Row]] = {}
    for row in users:
        by_name.setdefault(str(row["username"]), []).append(row)
    found = []
    for rows in by_name.values():
        kept, *others = sorted(rows, key=lambda row: (row["last_login"] or "", int(row["user_id"] or 0)), reverse=True)
        found += [(str(kept["user_id"]), str(other["user_id"])) for other in others]
    return found


def differences(before: Content, after: Content) -> list[tuple[str, str, str]]:
    """(kind, table, words) for each row that is not the same; logins as such are no difference.

    Words name whose it is and nothing of what it says: contacts are nobody else's business.
    """
    before, after = of_people(before), of_people(after)
    names = {row["user_id"]: row["username"] for c in (before, after) for row in c.tables["users"].rows}
    owners = {
        ("contactgroupmembers", row["contact_id"]): row["user_id"]
        for c in (before, after)
        for row in (c.tables["contacts"].rows if "contacts" in c.tables else ())
    }
    found: list[tuple[str, str, str]] = []
    for name, table in before.tables.items():
        if name in (*PASSING, "system") or name not in after.tables:
            continue
        there = after.tables[name]
        columns = [c for c in table.columns if c in there.columns and c not in FLEETING]
        ours = {table.key(row): row for row in table.rows}
        theirs = {there.key(row): row for row in there.rows}
        for key in dict.fromkeys((*ours, *theirs)):
            one, other = ours.get(key), theirs.get(key)
            row = other or one or {}
            owner = names.get(row.get("user_id") or owners.get((name, row.get("contact_id"))), "")
            who = f" of {owner}" if owner else ""
            if one is None or other is None:
                kind = "added" if one is None else "gone"
                found.append((kind, name, f"{_word(name)}{who} {kind} (number {', '.join(key)})"))
                continue
            changed = [c for c in columns if one[c] != other[c]]
            if changed:
                found.append(
                    ("changed", name, f"{_word(name)}{who} changed: {', '.join(changed)} (number {', '.join(key)})")
                )
    return found


def _word(table: str) -> str:
    return {
        "users": "webmail profile",
        "identities": "identity",
        "contacts": "contact",
        "contactgroups": "contact group",
        "contactgroupmembers": "member of a contact group",
        "searches": "saved search",
        "responses": "saved response",
    }.get(table, f"row of {table}")


def expected(carried: Content, joined: Iterable[tuple[str, str]]) -> dict[str, dict[tuple[str, ...], dict[str, Any]]]:
    """What the rows carried must look like on new: rows of people with two profiles belong to the one that stays."""
    into = {other: kept for kept, other in joined}
    found: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {}
    for name, table in carried.tables.items():
        if name in (*PASSING, "system"):
            continue
        rows: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in table.rows:
            wanted: dict[str, Any] = dict(row)
            owner = str(row.get("user_id"))
            if name == "users":
                if owner in into:
                    continue
                wanted.pop("mail_host", None)
            elif owner in into:
                wanted["user_id"] = into[owner]
                if name == "identities":
                    wanted["standard"] = "0"  # the one that stays has its own standard identity
                for renamed in ("name",) if name == "searches" else ("filename",) if name == "filestore" else ():
                    wanted.pop(renamed, None)
            if name in ("dictionary", "collected_addresses") and (owner in into or owner in into.values()):
                continue  # two of them become one: words together, an address once
            rows[table.key(row)] = wanted
        found[name] = rows
    return found
