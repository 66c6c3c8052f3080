"""A move runs only if all before it holds, asked of the journal, whatever was selected."""

import dataclasses
import datetime as dt
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from mailmove import waivers
from mailmove.collect import Place
from mailmove.errors import SettingsError
from mailmove.journal import Event, Journal
from mailmove.journey import Journey, Mode
from mailmove.migration import Migration, Settings
from mailmove.server import Connection, Server


def place(phase: str, line: int, name: str, *tags: str, words: str = "w") -> Place:
    return Place(f"{phase}/10_a.feature::{name}", phase, "10_a.feature", line, name, frozenset(tags), words)


LOOKS = place("1_verify", 3, "The new server works")
MOVES = place("2_prepare", 3, "The accounts are carried over", "move")
BACK = place("2_prepare", 9, "The accounts are taken back", "undo")
AFTER = place("2_prepare", 15, "The accounts are equal")
LATER = place("3_cutover", 3, "The old server is quiet", "move")
LAST = place("5_retire", 3, "A last backup", "move")
PLACES = (LOOKS, MOVES, BACK, AFTER, LATER)


@pytest.fixture
def journey(tmp_path: Path) -> Iterator[Journey]:
    settings = Settings.model_validate({"servers": {"old": "root@old", "new": "root@new"}})
    connection = Connection(None)
    migration = Migration(
        settings, Server("old", "root@old", connection), Server("new", "root@new", connection), tmp_path, connection
    )
    journal = Journal(migration.journal_file, "a")
    yield Journey(Mode.MOVE, migration, journal, PLACES)
    journal.close()
    connection.close()


def passed(journey: Journey, *places: Place) -> None:
    for each in places:
        journey.journal.judge(each.id, "passed", each.words)


def test_looking_is_never_blocked(journey: Journey) -> None:
    assert journey.blocked(LOOKS) is None


def test_a_move_is_blocked_by_what_was_not_run(journey: Journey) -> None:
    why = journey.blocked(MOVES)

    assert why is not None
    assert "'The new server works'" in why
    assert "has not been run" in why


@pytest.mark.parametrize("verdict", ["failed", "unknown", "blocked", "undone"])
def test_a_move_is_blocked_by_what_does_not_hold(journey: Journey, verdict: str) -> None:
    journey.journal.judge(LOOKS.id, verdict, LOOKS.words)

    assert journey.blocked(MOVES) is not None


@pytest.mark.parametrize("verdict", ["passed", "not applicable", "waived"])
def test_a_move_may_run_when_all_before_it_holds(journey: Journey, verdict: str) -> None:
    journey.journal.judge(LOOKS.id, verdict, LOOKS.words)

    assert journey.blocked(MOVES) is None


def test_the_way_back_is_no_gate(journey: Journey) -> None:
    passed(journey, LOOKS, MOVES, AFTER)

    assert journey.blocked(LATER) is None


def test_the_way_back_goes_last_first_down_to_the_freeze(journey: Journey) -> None:
    def later(file: str, line: int, name: str, tag: str) -> Place:
        return dataclasses.replace(place("3_cutover", line, name, tag), id=name, file=file)

    stops, serves = later("10_a", 3, "Old is quiet", "move"), later("10_a", 9, "Old serves again", "undo")
    copies, forgets = later("20_b", 3, "The last copy", "move"), later("20_b", 9, "The last copy goes", "undo")
    starts, rests = later("30_c", 3, "New starts", "move"), later("30_c", 9, "New is stopped", "undo")
    every = (LOOKS, MOVES, BACK, AFTER, stops, serves, copies, forgets, starts, rests)
    back = dataclasses.replace(journey, mode=Mode.UNDO, places=every)
    for move, scenario in (("database", MOVES), ("freeze", stops), ("cold_copy", copies), ("start", starts)):
        back.performed(move, scenario)
        back.journal.record(move, Event.PROVED)

    assert back.blocked(rests) is None
    for each in (forgets, serves, BACK):
        assert "'New starts'" in str(back.blocked(each))
    back.journal.record("start", Event.UNDOING)
    back.journal.record("start", Event.FAILED, at="undo")
    assert "'New starts'" in str(back.blocked(serves))

    back.journal.record("start", Event.UNDONE)
    assert back.blocked(forgets) is None
    assert back.blocked(serves) is None  # what stands on new alone keeps nobody from the old server
    assert "'The last copy'" in str(back.blocked(BACK))

    back.journal.record("cold_copy", Event.UNDONE)
    assert "'Old is quiet'" in str(back.blocked(BACK))

    back.journal.record("freeze", Event.UNDONE)
    assert back.blocked(BACK) is None


def test_a_backup_that_cannot_be_removed_holds_up_no_other_way_back(journey: Journey) -> None:
    rests = place("3_cutover", 9, "New is stopped", "undo")
    back = dataclasses.replace(journey, mode=Mode.UNDO, places=(LATER, rests, LAST))
    for move, scenario in (("freeze", LATER), ("final_backup", LAST)):
        back.performed(move, scenario)
        back.journal.record(move, Event.PROVED)
    back.journal.record("final_backup", Event.UNDOING)
    back.journal.record("final_backup", Event.FAILED, at="undo")

    assert back.blocked(rests) is None


def test_what_was_made_ready_before_the_freeze_goes_back_in_any_order(journey: Journey) -> None:
    early = place("2_prepare", 1, "The times are lowered", "move")
    raised = place("2_prepare", 2, "The usual times come back", "undo")
    back = dataclasses.replace(journey, mode=Mode.UNDO, places=(LOOKS, early, raised, MOVES, BACK))
    back.performed("database", MOVES)
    back.journal.record("database", Event.PROVED)

    assert back.blocked(raised) is None


def test_a_verdict_about_other_words_does_not_count(journey: Journey) -> None:
    journey.journal.judge(LOOKS.id, "passed", "other words")

    assert "words were changed" in str(journey.blocked(MOVES))


def test_a_verdict_grows_stale(journey: Journey) -> None:
    with patch("time.time", return_value=time.time() - 25 * 3600):
        passed(journey, LOOKS)

    assert "h old" in str(journey.blocked(MOVES))


def test_after_the_switch_the_verdicts_of_before_stay(journey: Journey) -> None:
    with patch("time.time", return_value=time.time() - 25 * 3600):
        passed(journey, LOOKS, MOVES, AFTER)
    journey.journal.record("switch", Event.PROVED)

    assert journey.blocked(LATER) is None


def test_a_proof_older_than_the_move_it_proves_does_not_count(journey: Journey) -> None:
    passed(journey, LOOKS, AFTER)
    passed(journey, MOVES)

    assert "done again since" in str(journey.blocked(LATER))


def test_taking_a_move_back_takes_its_verdict_back(journey: Journey) -> None:
    passed(journey, LOOKS, MOVES, AFTER)
    journey.performed("database", MOVES)
    journey.taken_back("database")

    assert "was taken back" in str(journey.blocked(LATER))


@pytest.mark.parametrize(("until", "counts"), [(dt.date(2026, 12, 24), True), (dt.date(2026, 12, 23), False)])
def test_a_waiver_ends_on_its_date(until: dt.date, counts: bool) -> None:
    raw: dict[str, Any] = {"scenario": "PTR", "reason": "provider", "by": "anna", "until": until}
    settings = Settings.model_validate({"servers": {"old": "a", "new": "b"}, "waiver": [raw]})

    assert bool(waivers.words(settings, "PTR", dt.date(2026, 12, 24))) is counts
    assert bool(waivers.ended(settings, "PTR", dt.date(2026, 12, 24))) is not counts


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        ("The new server work", "did you mean 'The new server works'"),
        ("The accounts are carried over", "a move that failed cannot be waived"),
        ("The accounts are taken back", "cannot be waived"),
    ],
)
def test_a_waiver_of_nothing_or_of_a_move_is_refused(scenario: str, says: str) -> None:
    raw = {"scenario": scenario, "reason": "r", "by": "anna", "until": dt.date(2026, 12, 24)}
    settings = Settings.model_validate({"servers": {"old": "a", "new": "b"}, "waiver": [raw]})

    with pytest.raises(SettingsError, match=re.escape(says)):
        waivers.check(settings, PLACES)


def test_verify_postpones_what_comes_after_a_move_but_shows_the_move(journey: Journey) -> None:
    looking = dataclasses.replace(journey, mode=Mode.VERIFY)

    assert looking.postponed(MOVES) is None
    assert "'The accounts are carried over'" in str(looking.postponed(AFTER))
    assert looking.blocked(LATER) is None

    passed(journey, MOVES)

    assert looking.postponed(AFTER) is None


def test_in_the_downtime_earlier_verdicts_stand(journey: Journey) -> None:
    passed(journey, LOOKS, MOVES, AFTER)
    journey.performed("freeze", LATER)
    assert journey.stands(LOOKS) is None

    journey.journal.record("freeze", Event.PROVED)

    assert "not looked at again" in str(journey.stands(LOOKS))
    assert journey.stands(LATER) is None

    journey.journal.record("start", Event.PROVED)

    assert journey.stands(LOOKS) is None
