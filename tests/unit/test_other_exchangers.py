"""What another mail exchanger's answers come to: only what is refused for good harms anybody."""

from __future__ import annotations

import pytest

from checks.other_exchangers import expect_taken
from mailmove.clients.smtp import Call, Conversation, Reply
from mailmove.evidence import Examination, Verdict

HELLO = Reply("EHLO laptop.example", 250, "mx.provider.example")
SENDER = Reply("MAIL FROM:<a@b.example>", 250, "2.1.0 Ok")
RCPT = "RCPT TO:<anna@example.org>"


@pytest.mark.parametrize(
    ("replies", "trouble", "verdict"),
    [
        ((HELLO, SENDER, Reply(RCPT, 250, "2.1.5 Ok")), "", Verdict.PASSED),
        ((HELLO, SENDER, Reply(RCPT, 450, "4.2.0 Greylisted")), "", Verdict.PASSED),
        ((HELLO, SENDER, Reply(RCPT, 554, "5.7.1 Relay access denied")), "", Verdict.FAILED),
        ((HELLO, Reply("MAIL FROM:<a@b.example>", 550, "5.7.1 your address is on a list")), "", Verdict.FAILED),
        ((Reply("", 421, "4.3.2 come back later"),), "", Verdict.PASSED),
        ((HELLO,), "the server hung up", Verdict.UNKNOWN),
    ],
)
def test_only_a_refusal_for_good_is_red(replies: tuple[Reply, ...], trouble: str, verdict: Verdict) -> None:
    exam = Examination("x", "DNS")
    call = Call("203.0.113.99", sender="a@b.example", recipients=["anna@example.org"])

    expect_taken(exam, "mx.provider.example", Conversation(call, replies, trouble=trouble))

    assert exam.close().verdict is verdict


def test_each_domain_is_told_by_itself() -> None:
    exam = Examination("x", "DNS")
    call = Call("203.0.113.99", sender="a@b.example", recipients=["anna@example.org", "bert@example.net"])
    answers = (HELLO, SENDER, Reply(RCPT, 250, "2.1.5 Ok"), Reply("RCPT TO:<bert@example.net>", 554, "5.7.1 no"))

    expect_taken(exam, "mx.provider.example", Conversation(call, answers))

    told = exam.close().explain()
    assert "bert@example.net" in told and "anna@example.org" not in told
