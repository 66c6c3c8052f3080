"""The tables of a server's databases, read so that two servers can be compared, and streams of dumps between them.

No password hash ever gets here: all columns but the plainly harmless ones arrive as digests keyed with a salt
(``remote/tables.py`` makes them on the server).
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from mailmove import failures
from mailmove.errors import MailmoveError, ServerError
from mailmove.server import Server

SIGPIPE_RC = 141  # of a program whose reader went away
CARRIED = "/var/backups/mailmove/carried"  # on the new server: what was carried, to tell later changes from it
PLAIN: Mapping[str, list[str]] = {
    "virtual_domains": ["id", "name"],
    "virtual_users": ["id", "domain_id", "email", "quota"],
    "virtual_aliases": ["id", "domain_id", "source", "destination"],
}

Row = dict[str, str | None]
T = TypeVar("T")


def together(old: Callable[[], T], new: Callable[[], T]) -> tuple[T, T]:
    """Ask both servers at the same time."""
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(old)
        ours = new()
        return theirs.result(), ours


@dataclass(frozen=True)
class Table:
    """One table. ``rows`` hold text, None for NULL, or ``#digest`` where the value stayed on the server."""

    name: str
    columns: dict[str, dict[str, Any]]
    primary: tuple[str, ...]
    rows: tuple[Row, ...]
    read: bool = True

    def key(self, row: Row) -> tuple[str, ...]:
        """What tells this row from the others: its primary key, else all of it."""
        return tuple(str(row[column]) for column in self.primary or self.columns)

    def only(self, columns: Iterable[str]) -> list[Row]:
        return [{column: row.get(column) for column in columns} for row in self.rows]


@dataclass(frozen=True)
class Content:
    """All tables of a database at one moment; ``besides`` names views, triggers, routines and events."""

    tables: dict[str, Table]
    besides: tuple[str, ...]
    salt: str

    def count(self, table: str) -> int:
        return len(self.tables[table].rows)

    def to_json(self) -> str:
        """As text, to be kept on the new server. Holds digests, no secrets."""
        return json.dumps(
            {
                "salt": self.salt,
                "besides": self.besides,
                "tables": {
                    t.name: {
                        "columns": t.columns,
                        "primary": t.primary,
                        "read": t.read,
                        "rows": [list(row.values()) for row in t.rows],
                    }
                    for t in self.tables.values()
                },
            }
        )

    @staticmethod
    def from_json(text: str) -> Content:
        raw = json.loads(text)
        tables = {
            name: Table(
                name,
                t["columns"],
                tuple(t["primary"]),
                tuple(dict(zip(t["columns"], row, strict=True)) for row in t["rows"]),
                t["read"],
            )
            for name, t in raw["tables"].items()
        }
        return Content(tables, tuple(raw["besides"]), raw["salt"])


def new_salt() -> str:
    """A salt for the digests that rows are compared by, as hex."""
    return secrets.token_hex(16)


def read(
    server: Server,
    database: str,
    salt: str,
    *,
    tables: Iterable[str] | None = None,
    without_rows: Iterable[str] = (),
    plain: Mapping[str, list[str]] = PLAIN,
) -> Content:
    """All base tables of a database, at one moment. Two contents can be compared if they were read with one salt."""
    arguments = {
        "act": "read",
        "database": database,
        "salt": salt,
        "plain": dict(plain),
        "without_rows": list(without_rows),
        "tables": None if tables is None else list(tables),
    }
    besides: tuple[str, ...] = ()
    heads: dict[str, dict[str, Any]] = {}
    rows: dict[str, list[Row]] = {}
    for line in _tables(server, arguments, 600):
        if "besides" in line:
            besides = tuple(line["besides"])
        elif "columns" in line:
            heads[line["table"]] = line
            rows[line["table"]] = []
        else:
            columns = list(heads[line["table"]]["columns"])
            rows[line["table"]] += [dict(zip(columns, row, strict=True)) for row in line["rows"]]
    found = {
        name: Table(name, head["columns"], tuple(head["primary"]), tuple(rows[name]), head["read"])
        for name, head in heads.items()
    }
    return Content(found, besides, salt)


def act(server: Server, name: str, **arguments: Any) -> list[dict[str, Any]]:
    """One of the writing acts of ``remote/tables.py``: load, build, swap, drop. Raises ServerError with its complaint."""
    return list(_tables(server, {"act": name, **arguments}, 1800))


def _tables(server: Server, arguments: Mapping[str, Any], timeout_s: int) -> Iterator[dict[str, Any]]:
    """What ``remote/tables.py`` prints. Raises ServerError, naming the cause where it is a known one."""
    try:
        yield from server.remote("tables", arguments, timeout_s=timeout_s)
    except ServerError as error:
        raise failures.of_mariadb(server.role, error.fact) or error from None


@contextmanager
def tidied(clean: Callable[[], object]) -> Iterator[None]:
    """``clean`` is called when the block ends, also when it fails; what went wrong first is what is raised."""
    try:
        yield
    except MailmoveError:
        with suppress(ServerError):
            clean()
        raise
    clean()


def dump_command(database: str, tables: Iterable[str], *, rows: bool = True) -> list[str]:
    """The dump of some tables: one moment for all, no locks, nothing of users, rights or the database itself."""
    return [
        "--single-transaction",
        "--quick",
        "--skip-lock-tables",
        "--hex-blob",
        "--no-tablespaces",
        "--skip-triggers",
        "--default-character-set=utf8mb4",
        *([] if rows else ["--no-data"]),
        database,
        *tables,
    ]


DUMP = 'for d in mariadb-dump mysqldump; do command -v $d >/dev/null && exec $d "$@"; done; echo "no mariadb-dump or mysqldump" >&2; exit 127'
SAVE = 'set -e; umask 077; mkdir -p "${1%/*}"; cat > "$1.part"; tail -c 200 "$1.part" | grep -q "^-- Dump completed"; mv "$1.part" "$1"'


def dump_to(source: Server, target: Server, database: str, path: str, parts: Iterable[list[str]]) -> None:
    """Dump from ``source`` into the file ``path`` (0600) on ``target``; it streams through, nothing is kept here.

    ``parts`` are :func:`dump_command`'s; the dumps stand in one file in their order. The file is there in full or not at all.
    """
    script = " && ".join(f"(set -- {shlex.join(part)}; {DUMP})" for part in parts)
    stream(source, script, target, SAVE, path)


def stream(source: Server, producer: str, target: Server, consumer: str, *args: str, timeout_s: int = 1800) -> None:
    """Pipe a shell script's output on one server into a shell script on another. Raises ServerError if either fails."""
    send = source.ssh(shlex.join(["timeout", str(timeout_s), "sh", "-c", producer]))
    take = target.ssh(shlex.join(["timeout", str(timeout_s), "sh", "-c", consumer, "sh", *args]))
    with (
        subprocess.Popen(send, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender,
        subprocess.Popen(take, stdin=sender.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as taker,
    ):
        assert sender.stdout and sender.stderr
        sender.stdout.close()  # so that the sender is told when the taker ends early
        _, complaint = taker.communicate()
        said = sender.stderr.read()
        sender.wait()
    words, last_words = said.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")
    only_cut_off = sender.returncode == SIGPIPE_RC or re.search("errno 32|Broken pipe", words)
    if sender.returncode and not (taker.returncode and only_cut_off):
        raise failures.of_command(source.role, "reading what is carried", sender.returncode, "", words)
    if taker.returncode:
        raise failures.of_command(target.role, "writing what is carried", taker.returncode, "", last_words)


def remember(new: Server, name: str, content: Content) -> None:
    """Keep what was carried on the new server (root only), to tell later changes from it."""
    new.sh(
        'set -e; umask 077; mkdir -p "$1"; cat > "$1/$2.part"; mv "$1/$2.part" "$1/$2"',
        CARRIED,
        f"{name}.json",
        what="writing down what was carried",
        stdin=content.to_json(),
        check=True,
    )


def recall(new: Server, name: str) -> Content | None:
    """What was carried last under this name; None if nothing was."""
    answer = new.run("cat", f"{CARRIED}/{name}.json")
    return Content.from_json(answer.out) if answer.ok and answer.out else None


def forget(new: Server, name: str) -> None:
    """Forget what was carried under this name."""
    new.run("rm", "-f", f"{CARRIED}/{name}.json", check=True)
