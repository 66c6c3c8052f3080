"""When mailmove itself restarted the spam filter, also in a run that was killed."""

from pathlib import Path
from unittest.mock import patch

from checks.maillog import CLOCKS_APART_S, KILLED_S, own_restarts
from mailmove.journal import Event, Journal


def windows(path: Path, *entries: tuple[float, Event]) -> list[tuple[float, float]]:
    journal = Journal(path / "j", "a")
    for at, event in entries:
        with patch("mailmove.journal.time.time", return_value=at):
            journal.record("forward", event)
    found = own_restarts(journal)
    journal.close()
    return [(began + CLOCKS_APART_S, ended - CLOCKS_APART_S) for began, ended in found]


def test_from_its_beginning_to_its_proof(tmp_path: Path) -> None:
    assert windows(tmp_path, (100, Event.BEGUN), (120, Event.DONE), (130, Event.PROVED)) == [(100, 120), (120, 130)]


def test_a_killed_run_and_its_next(tmp_path: Path) -> None:
    found = windows(tmp_path, (100, Event.BEGUN), (9000, Event.BEGUN), (9010, Event.FAILED))

    assert found == [(100, 100 + KILLED_S), (9000, 9010)]
