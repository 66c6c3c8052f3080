"""A server that is moved by one journal is moved by no other, and by no older state of it."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailmove.errors import Refused
from mailmove.journal import Event, Journal
from mailmove.moves import moved_by
from mailmove.server import Connection, Server


class Here(Connection):
    """A connection that leads to this machine."""

    def ssh(self, target: str, command: str) -> list[str]:
        return ["sh", "-c", command if target != "gone" else "echo 'No route to host' >&2; exit 255"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(moved_by, "FILE", str(tmp_path / "server" / "moved-by"))
    connection = Here(None)
    yield Server("old", "here", connection)
    connection.close()


def journal(directory: Path) -> Journal:
    directory.mkdir(exist_ok=True)
    return Journal(directory / "mailmove.journal", "a")


def test_the_journal_that_moves_goes_on_and_no_other_one(tmp_path: Path, server: Server) -> None:
    first = journal(tmp_path / "one")
    moved_by.refuse_other(first, [server])
    moved_by.note(first, [server])
    file = Path(moved_by.FILE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    first.record("freeze", Event.BEGUN)
    moved_by.refuse_other(first, [server])  # killed before it wrote how far it came
    with pytest.raises(Refused, match=r"is being moved by another journal: .*/one"):
        moved_by.refuse_other(journal(tmp_path / "two"), [server])


def test_an_older_state_of_the_journal_is_refused(tmp_path: Path, server: Server) -> None:
    first = journal(tmp_path / "one")
    first.record("hot_copy", Event.BEGUN)
    moved_by.note_end(first, [server])
    (tmp_path / "laptop").mkdir()
    shutil.copy(tmp_path / "one" / "mailmove.journal", tmp_path / "laptop")
    copy = journal(tmp_path / "laptop")
    moved_by.refuse_other(copy, [server])

    first.record("freeze", Event.BEGUN)
    moved_by.note_end(first, [server])
    copy.close()
    with pytest.raises(Refused, match=r"further than this journal knows: .*/one"):
        moved_by.refuse_other(Journal(tmp_path / "laptop" / "mailmove.journal", "a"), [server])


def test_nothing_is_left_once_all_is_taken_back_and_nothing_written_while_people_wait(
    tmp_path: Path, server: Server
) -> None:
    first = journal(tmp_path / "one")
    first.record("freeze", Event.BEGUN)
    first.keep("downtime began", 1.0)
    moved_by.note(first, [server])
    assert not Path(moved_by.FILE).exists()
    moved_by.note_end(first, [server])  # the run is over: nobody waits for this
    assert Path(moved_by.FILE).exists()

    first.record("freeze", Event.UNDONE)
    moved_by.note_end(first, [server])
    assert not Path(moved_by.FILE).parent.exists()
    moved_by.refuse_other(journal(tmp_path / "two"), [server])


def test_a_server_that_cannot_be_written_to_holds_nothing_up_and_a_damaged_file_says_nothing(
    tmp_path: Path, server: Server
) -> None:
    first = journal(tmp_path / "one")
    moved_by.note(first, [Server("new", "gone", server.connection), server])
    assert Path(moved_by.FILE).exists()
    Path(moved_by.FILE).write_bytes(b"\xff{")
    moved_by.refuse_other(journal(tmp_path / "two"), [server])
