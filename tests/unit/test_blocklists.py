"""What a blocklist's answer means, and what it does not."""

from __future__ import annotations

import pytest

from checks import blocklists
from mailmove.clients.dns import Records, Reply
from mailmove.evidence import Verdict


def reply(*values: str, state: str = "found") -> Reply:
    records = Records("x.list.example", "A", 60, values) if values else None
    return Reply("resolver", "x.list.example", "A", state, records)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (reply("127.0.0.4"), Verdict.FAILED, "listed: 127.0.0.4"),
        (reply(state="no name"), Verdict.PASSED, "not listed"),
        (reply(state="no record"), Verdict.PASSED, "not listed"),
        (reply(state="no answer"), Verdict.UNKNOWN, "no answer"),
        (reply("127.255.255.254"), Verdict.UNKNOWN, "does not answer this resolver"),
        (reply("198.51.100.7"), Verdict.UNKNOWN, "no blocklist any more"),
    ],
    ids=["listed", "no-name", "no-record", "no-answer", "complaint", "parked"],
)
def test_only_a_code_is_a_listing(answer: Reply, verdict: Verdict, words: str) -> None:
    found, said = blocklists.judge(answer)

    assert found is verdict
    assert words in said


@pytest.mark.parametrize(
    ("listed", "not_listed", "words"),
    [
        (reply("127.0.0.2"), reply(state="no name"), ""),
        (reply(state="no name"), reply(state="no name"), "is its name right"),
        (reply("127.0.0.2"), reply("127.0.0.2"), "so everybody"),
        (reply(state="no answer"), reply(state="no answer"), "no answer"),
    ],
    ids=["alive", "dead", "lists-all", "silent"],
)
def test_a_list_must_pass_its_own_test(listed: Reply, not_listed: Reply, words: str) -> None:
    said = blocklists._why_silent(listed, not_listed)

    assert words in said
    assert bool(said) is bool(words)


def test_an_address_is_turned_round_before_the_lists_name() -> None:
    assert blocklists._question("203.0.113.30", "bl.example") == ("30.113.0.203.bl.example", "A")
    assert blocklists._question("2001:db8::1", "bl.example")[0].startswith("1.0.0.0.0.0")
    assert blocklists._question("2001:db8::1", "bl.example")[0].endswith("8.b.d.0.1.0.0.2.bl.example")
