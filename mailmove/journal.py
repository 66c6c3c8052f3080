"""What was begun, done, proved, undone: one SQLite file per migration.

A run killed anywhere goes on where it stopped, because every entry is on disk before the act it announces.
Two runs at once are refused. No secret is ever written here.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailmove.errors import MailmoveError, Refused

VERSION = 1

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE entry (n INTEGER PRIMARY KEY, at REAL NOT NULL, move TEXT NOT NULL, event TEXT NOT NULL,
                    detail TEXT NOT NULL) STRICT;
CREATE TABLE verdict (n INTEGER PRIMARY KEY, at REAL NOT NULL, scenario TEXT NOT NULL, verdict TEXT NOT NULL,
                      words TEXT NOT NULL) STRICT;
CREATE TABLE memory (key TEXT PRIMARY KEY, at REAL NOT NULL, value TEXT NOT NULL) STRICT;
"""


_KEEP = """
INSERT INTO memory VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET at = excluded.at, value = excluded.value
"""


class Event(enum.StrEnum):
    """What can happen to a move."""

    BEGUN = "begun"
    DONE = "done"
    PROVED = "proved"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True)
class Entry:
    """One line of the journal. ``at`` is in seconds since 1970 by the operator's clock."""

    at: float
    move: str
    event: Event
    detail: dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """The last verdict about a scenario. ``words`` is the hash of the scenario's text at that time."""

    at: float
    scenario: str
    verdict: str
    words: str


class Journal:
    """The journal, opened and locked for this run."""

    def __init__(self, path: Path, migration: str | None) -> None:
        """Open or create ``path`` (mode 0600) for the migration with this id; None: for the one it was begun with.

        Raises Refused when another run holds it, or when it belongs to another pair of servers;
        MailmoveError when it is damaged or of another version.
        """
        self.path = path
        self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 100, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise Refused(
                f"another run of mailmove is at work with this journal: {path} ({holder or 'unknown process'})",
                "wait until it ends; two at once would get in each other's way",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()} since {time.strftime('%F %T')}".encode(), 0)
        try:
            self._db = self._open(migration)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, migration: str | None) -> sqlite3.Connection:
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        if fresh:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            db = sqlite3.connect(self.path, isolation_level=None)
            db.execute("PRAGMA synchronous=FULL")
            if fresh:
                db.executescript(f"BEGIN;{SCHEMA}")  # one transaction: killed here, the file stays empty
                db.executemany("INSERT INTO meta VALUES (?, ?)", [("version", str(VERSION)), ("migration", migration)])
                db.execute("COMMIT")
            meta = dict(db.execute("SELECT key, value FROM meta"))
            (whole,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if whole != "ok":
                raise sqlite3.DatabaseError(str(whole))
        except sqlite3.DatabaseError as error:
            raise MailmoveError(
                f"the journal {self.path} cannot be read: {error}",
                "copy it again from where it lies whole, or restore it from a backup: without it mailmove does not know what was"
                " moved; move it away only to begin anew",
            ) from None
        if meta.get("version") != str(VERSION):
            raise MailmoveError(
                f"the journal {self.path} was written by another version of mailmove "
                f"({meta.get('version')}; this is {VERSION})",
                "go on with the version that began this migration",
            )
        if migration is not None and meta["migration"] != migration:
            raise Refused(
                f"the journal {self.path} belongs to another pair of servers "
                f"({meta['migration']}; these are {migration})",
                "name the servers it was begun with, or use another directory with its own mailmove.toml",
            )
        return db

    @staticmethod
    def exists(path: Path) -> bool:
        return path.exists() and path.stat().st_size > 0

    @staticmethod
    def pinned(directory: Path) -> dict[str, tuple[str, str]]:
        """The servers' names and addresses of when the migration began, by ssh host; empty before."""
        path = directory / "mailmove.journal"
        if not Journal.exists(path):
            return {}
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                row = db.execute("SELECT value FROM memory WHERE key = 'addresses'").fetchone()
        except sqlite3.DatabaseError:
            return {}  # opening it properly says what is wrong
        return {host: (name, address) for host, (name, address) in json.loads(row[0]).items()} if row else {}

    @staticmethod
    def note(path: Path, key: str, value: Any) -> bool:
        """Remember one value beside the run that may hold the journal; SQLite's own lock suffices for one row.

        False if no migration was begun there. Raises MailmoveError when it cannot be written.
        """
        if not Journal.exists(path):
            return False
        try:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
                db.execute("PRAGMA synchronous=FULL")
                db.execute(_KEEP, (key, time.time(), json.dumps(value)))
        except sqlite3.DatabaseError as error:
            raise _unwritten(path, error) from None
        return True

    def pin(self, servers: Iterable[tuple[str, str, str]]) -> None:
        """Remember the servers' (ssh target, name, address) the first time: names move with the DNS switch."""
        self.keep_first("addresses", {target.rpartition("@")[2]: [name, address] for target, name, address in servers})

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    # moves

    def record(self, move: str, event: Event, **detail: Any) -> None:
        """Write one entry; it is on disk when this returns. Raises MailmoveError when it cannot be, as all that writes."""
        self._write(
            "INSERT INTO entry (at, move, event, detail) VALUES (?, ?, ?, ?)",
            (time.time(), move, event, json.dumps(detail)),
        )

    def entries(self, move: str | None = None) -> list[Entry]:
        """All entries in order, or those of one move."""
        rows = self._db.execute(
            "SELECT at, move, event, detail FROM entry WHERE ?1 IS NULL OR move = ?1 ORDER BY n", (move,)
        )
        return [Entry(at, name, Event(event), json.loads(detail)) for at, name, event, detail in rows]

    @property
    def people_wait(self) -> bool:
        """Whether the downtime has begun and not ended: nothing is asked then that can wait."""
        return self.recall("downtime began") is not None and self.recall("downtime ended") is None

    @property
    def length(self) -> int:
        """How many entries it has: of two states of one journal the longer one is the later."""
        (found,) = self._db.execute("SELECT coalesce(max(n), 0) FROM entry").fetchone()
        return int(found)

    def last(self, move: str) -> Entry | None:
        """The last entry of a move; None if it was never begun."""
        found = self.entries(move)
        return found[-1] if found else None

    def proved(self, move: str) -> Entry | None:
        """The entry that says it was proved, unless it was begun again or undone since."""
        last = self.last(move)
        return last if last and last.event is Event.PROVED else None

    def touched(self, move: str) -> bool:
        """Whether it may have changed something that is not undone."""
        touched = False
        for entry in self.entries(move):
            if entry.event is not Event.FAILED:  # a move that was refused at its needs has changed nothing
                touched = entry.event is not Event.UNDONE
        return touched

    # scenarios

    def judge(self, scenario: str, verdict: str, words: str) -> None:
        """Write down what a scenario came to. ``scenario`` is ``path::name``."""
        self._write(
            "INSERT INTO verdict (at, scenario, verdict, words) VALUES (?, ?, ?, ?)",
            (time.time(), scenario, verdict, words),
        )

    def verdicts(self) -> dict[str, Recorded]:
        """The last verdict of every scenario."""
        rows = self._db.execute("SELECT at, scenario, verdict, words FROM verdict ORDER BY n")
        return {row[1]: Recorded(*row) for row in rows}

    # what has to be remembered until the way back

    def keep(self, key: str, value: Any) -> None:
        """Remember a plain value (JSON), replacing an earlier one."""
        self._write(_KEEP, (key, time.time(), json.dumps(value)))

    def keep_first(self, key: str, value: Any) -> Any:
        """Remember a value unless there is one already; returns what is remembered."""
        self._write("INSERT INTO memory VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (key, time.time(), json.dumps(value)))
        return self.recall(key)

    def recall(self, key: str, default: Any = None) -> Any:
        """What was remembered under ``key``."""
        row = self._db.execute("SELECT value FROM memory WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else default

    def recall_all(self, beginning: str) -> list[Any]:
        """Everything that was remembered under keys that begin so, oldest first."""
        rows = self._db.execute("SELECT key, value FROM memory ORDER BY at").fetchall()
        return [json.loads(value) for key, value in rows if key.startswith(beginning)]

    def forget(self, *keys: str) -> None:
        """Forget these, all or none: half of what belongs together would be taken for the whole."""
        self._write(f"DELETE FROM memory WHERE key IN ({', '.join('?' * len(keys))})", keys)  # noqa: S608

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise _unwritten(self.path, error) from None


def _unwritten(path: Path, error: sqlite3.DatabaseError) -> MailmoveError:
    return MailmoveError(
        f"the journal {path} cannot be written: {error}",
        "make room on its disk, or mend its owner and mode; then run the same again: it goes on from there",
    )
