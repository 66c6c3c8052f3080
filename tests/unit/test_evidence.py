"""The verdict follows from what was written down."""

from hypothesis import given
from hypothesis import strategies as st

from mailmove.evidence import Examination, Verdict


def test_a_check_that_looked_at_nothing_cannot_pass() -> None:
    evidence = Examination("Nothing is looked at", "new").close()

    assert evidence.verdict is Verdict.UNKNOWN
    assert not evidence.holds
    assert "nothing was looked at" in evidence.explain()


@given(st.lists(st.sampled_from(["good", "bad", "unknown"]), min_size=1))
def test_failed_goes_before_unknown_goes_before_passed(findings: list[str]) -> None:
    exam = Examination("A promise", "new")
    for finding in findings:
        if finding == "unknown":
            exam.unknown("a question", "no answer")
        else:
            exam.expect("a question", "an answer", finding == "good")
    expected = Verdict.FAILED if "bad" in findings else Verdict.UNKNOWN if "unknown" in findings else Verdict.PASSED

    assert exam.close().verdict is expected


def test_a_recommendation_holds_nothing_up() -> None:
    exam = Examination("DMARC is published", "DNS", required=False)
    exam.expect("_dmarc TXT", "", good=False)

    assert exam.close().verdict is Verdict.FAILED
    assert exam.close().holds


def test_the_explanation_ends_with_the_hint() -> None:
    exam = Examination(
        "Mail to nobody is refused", "new", why="a backscatter source is blocked", hint="look at main.cf"
    )
    exam.equal("RCPT TO:<nobody@example.org>", "250 Ok", "550 5.1.1")

    lines = exam.close().explain().splitlines()

    assert lines[0] == "Mail to nobody is refused (new): failed"
    assert lines[1] == "  RCPT TO:<nobody@example.org>: 250 Ok; expected 550 5.1.1"
    assert lines[-1] == "hint: look at main.cf"
