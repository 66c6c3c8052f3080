"""The journal: on disk before the act, one run at a time, only for the servers it was begun with."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mailmove.errors import MailmoveError, Refused
from mailmove.journal import Event, Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailmove.journal"


def test_only_its_owner_may_read_it(path: Path) -> None:
    Journal(path, "a").close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_there_after_a_kill(path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from mailmove.journal import *\n"
        "j = Journal(Path(sys.argv[1]), 'a'); j.record('hot_copy', Event.BEGUN); j.keep('k', ['v'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    journal = Journal(path, "a")

    assert [entry.event for entry in journal.entries("hot_copy")] == [Event.BEGUN]
    assert journal.recall("k") == ["v"]
    journal.close()


def test_two_runs_at_once_are_refused_naming_the_other(path: Path) -> None:
    first = Journal(path, "a")

    with pytest.raises(Refused, match=f"process {os.getpid()}"):
        Journal(path, "a")
    first.close()
    Journal(path, "a").close()


def test_a_note_is_taken_while_a_run_is_at_work(path: Path) -> None:
    assert not Journal.note(path, "removed: 1", "early")  # no migration was begun: nothing is made
    assert not path.exists()
    journal = Journal(path, "a")

    assert Journal.note(path, "removed: 2", {"copy": "x"})
    assert Journal.note(path, "removed: 1", "later")

    assert journal.recall_all("removed: ") == [{"copy": "x"}, "later"]
    assert journal.recall_all("other") == []
    journal.close()


def test_a_note_that_cannot_be_written_is_said(path: Path) -> None:
    path.write_bytes(b"no database" * 100)

    with pytest.raises(MailmoveError, match="cannot be written"):
        Journal.note(path, "k", "v")


def test_a_journal_of_other_servers_is_refused(path: Path) -> None:
    Journal(path, "a").close()

    with pytest.raises(Refused, match="another pair of servers"):
        Journal(path, "b")
    Journal(path, "a").close()  # the refusal left no lock behind


def test_a_damaged_journal_is_named_and_left_alone(path: Path) -> None:
    path.write_bytes(b"no database" * 100)

    with pytest.raises(MailmoveError, match="cannot be read"):
        Journal(path, "a")
    assert path.read_bytes() == b"no database" * 100


def test_a_journal_of_another_version_is_refused(path: Path) -> None:
    Journal(path, "a").close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '0' WHERE key = 'version'")
    db.close()

    with pytest.raises(MailmoveError, match="another version"):
        Journal(path, "a")


def test_proved_lasts_until_it_is_begun_again_or_undone(path: Path) -> None:
    journal = Journal(path, "a")
    for event in (Event.BEGUN, Event.DONE, Event.PROVED):
        journal.record("database", event)
    assert journal.proved("database")

    journal.record("database", Event.UNDONE)

    assert journal.proved("database") is None
    assert not journal.touched("database")
    journal.close()


def test_what_is_kept_first_is_never_replaced_by_a_rerun(path: Path) -> None:
    journal = Journal(path, "a")

    assert journal.keep_first("ttl", 86400) == 86400
    assert journal.keep_first("ttl", 60) == 86400
    journal.close()


def test_the_servers_addresses_are_pinned_when_the_migration_begins(path: Path) -> None:
    journal = Journal(path, "a")
    journal.pin([("root@old.example.org", "old.example.org", "192.0.2.1")])
    journal.pin([("root@old.example.org", "old.example.org", "192.0.2.2")])
    journal.close()

    assert Journal.pinned(path.parent) == {"old.example.org": ("old.example.org", "192.0.2.1")}


def test_a_move_refused_at_its_needs_has_touched_nothing(path: Path) -> None:
    journal = Journal(path, "a")
    journal.record("freeze", Event.FAILED, at="needs")
    assert not journal.touched("freeze")

    journal.record("freeze", Event.BEGUN)
    journal.record("freeze", Event.FAILED, at="do")

    assert journal.touched("freeze")
    journal.close()


def test_a_journal_that_cannot_be_written_says_what_to_do(path: Path) -> None:
    journal = Journal(path, "a")
    other = sqlite3.connect(path, isolation_level=None)
    journal._db.execute("PRAGMA busy_timeout=0")
    other.execute("BEGIN IMMEDIATE")

    for write in (
        lambda: journal.record("freeze", Event.BEGUN),
        lambda: journal.keep("k", 1),
        lambda: journal.keep_first("k", 1),
        lambda: journal.forget("k"),
        lambda: journal.judge("a::b", "passed", ""),
    ):
        with pytest.raises(MailmoveError, match="cannot be written") as raised:
            write()
        assert "run the same again" in raised.value.hint
    other.execute("ROLLBACK")
    other.close()
    journal.record("freeze", Event.BEGUN)
    journal.close()


@pytest.mark.parametrize("part", [0.1, 0.4, 0.6, 0.9, 0.99])
def test_a_journal_that_was_copied_in_part_is_named_before_anything_is_done(path: Path, part: float) -> None:
    journal = Journal(path, "a")
    for number in range(400):
        journal.record("ttl", Event.BEGUN, number=number)
        journal.keep(f"key {number}", "x" * 50)
    journal.close()
    whole = path.read_bytes()

    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(MailmoveError, match=r"cannot be read.*") as caught:
        Journal(path, "a")
    assert "copy it again" in caught.value.hint

    path.write_bytes(whole)
    assert Journal(path, "a").length == 400
