"""A run's last words, its exit status by cause, and what is different from the last look."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove.evidence import Examination
from mailmove.journal import Event, Journal
from mailmove.journey import Mode
from mailmove.report import changes
from mailmove.report.closing import Status, halfway, last_words, status
from mailmove.report.record import ScenarioRecord, StepRecord


def scenario(name: str, outcome: str = "passed", asked: str = "", reason: str = "") -> ScenarioRecord:
    step = StepRecord("Then", name, outcome)
    if asked:
        exam = Examination(f"{name} holds", "new", why="mail would be lost", hint="start it")
        exam.expect(asked, "inactive", outcome == "passed", "active")
        step.evidence.append(exam.close())
    where = ("node", "1_verify", "10_a.feature", 3, "F", "", "", name, [])
    return ScenarioRecord(f"1_verify/10_a.feature::{name}", *where, [step], outcome, reason, 5.0)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", "a")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["passed", "failed", "unknown", "blocked"], Status.FAILED),
        (["passed", "unknown", "blocked"], Status.UNKNOWN),
        (["passed", "blocked"], Status.BLOCKED),
        (["not run", "passed"], Status.FAILED),
        (["planned"], Status.NOTHING),
    ],
)
def test_the_status_names_the_gravest_cause(outcomes: list[str], expected: Status, journal: Journal) -> None:
    assert status([scenario(f"S{n}", o) for n, o in enumerate(outcomes)], journal, Mode.MOVE, False) == expected


def test_a_move_left_halfway_goes_before_everything(journal: Journal) -> None:
    journal.record("database", Event.BEGUN)
    journal.record("database", Event.PROVED)
    journal.record("freeze", Event.FAILED, at="needs")
    assert halfway(journal) is None

    journal.record("freeze", Event.BEGUN)
    journal.record("freeze", Event.FAILED, at="do")

    assert halfway(journal) == "freeze"
    assert status([scenario("S", "failed")], journal, Mode.MOVE, False) is Status.HALFWAY
    assert status([scenario("S", "failed")], journal, Mode.VERIFY, False) is Status.FAILED
    assert status([scenario("S")], journal, Mode.MOVE, True) is Status.HOLDS

    journal.record("freeze", Event.UNDONE)  # by itself, as it could do nothing
    journal.record("freeze", Event.FAILED, at="do")
    assert halfway(journal) is None


def test_the_last_words_are_about_the_first_that_does_not_hold() -> None:
    said = last_words(
        [
            scenario("Good"),
            scenario("Dovecot runs", "failed", "is dovecot active?"),
            scenario("People log in", "failed", "LOGIN"),
        ]
    )

    assert said == [
        "wrong: Dovecot runs: is dovecot active?: inactive; 1 more may follow from it",
        "why it matters: mail would be lost",
        "do first: start it",
    ]
    assert last_words([scenario("Good")]) == []


def test_a_failure_without_evidence_still_says_what_to_do() -> None:
    said = last_words([scenario("S", "failed", reason="it is\ngone\nhint: look\nthere")])

    assert said == ["wrong: S: it is gone", "do first: look there"]


def test_what_turned_red_and_what_was_mended_is_different(journal: Journal) -> None:
    first = [scenario("A"), scenario("B", "failed", "x?"), scenario("C", "failed", "y?")]
    assert changes.since_last(journal, first) == []
    changes.remember(journal, first)

    now = [scenario("A", "failed", "z?"), scenario("B"), scenario("C", "failed", "y?"), scenario("D")]

    assert [each.line for each in changes.since_last(journal, now)] == [
        "A: passed → failed (z?)",
        "B: failed → passed (no longer: x?)",
    ]


def test_what_was_not_looked_at_stays_remembered(journal: Journal) -> None:
    changes.remember(journal, [scenario("A"), scenario("B", "failed", "x?")])
    changes.remember(journal, [scenario("A"), scenario("B", "blocked")])

    assert [each.was for each in changes.since_last(journal, [scenario("B")])] == ["failed"]


@given(st.text("0123456789abcdef", min_size=8, max_size=12), st.text("0123456789abcdef", min_size=8, max_size=12))
def test_marks_that_change_from_run_to_run_are_no_difference(a: str, b: str) -> None:
    a, b = f"a1{a}", f"b2{b}"

    assert changes.steady(f"RCPT TO:<nobody-{a}@example.org>") == changes.steady(f"RCPT TO:<nobody-{b}@example.org>")
