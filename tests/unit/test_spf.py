"""SPF is evaluated as RFC 7208 says, limits included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove.clients import spf

ZONE: dict[tuple[str, str], tuple[str, ...]] = {
    ("example.org", "MX"): ("10 mail.example.org.", "20 backup.example.org."),
    ("mail.example.org", "A"): ("203.0.113.30",),
    ("mail.example.org", "AAAA"): ("2001:db8:113::30",),
    ("backup.example.org", "A"): ("203.0.113.99",),
    ("_spf.example.net", "TXT"): ("v=spf1 ip4:198.51.100.0/24 -all",),
    ("30.113.0.203.in-addr.arpa", "PTR"): ("mail.example.org.",),
    ("30.113.0.203.spf.example.org", "A"): ("127.0.0.2",),
}


def judge(record: str, address: str = "203.0.113.30") -> spf.Judged:
    zone = ZONE | {("example.org", "TXT"): ("other", record)}
    return spf.judge(address, "anna@example.org", lambda name, kind: zone.get((name.lower(), kind), ()))


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 mx -all", "pass"),
        ("v=spf1 MX -ALL", "pass"),
        ("v=spf1 a:mail.example.org -all", "pass"),
        ("v=spf1 ip4:203.0.113.0/24 -all", "pass"),
        ("v=spf1 ip4:203.0.113.31 -all", "fail"),
        ("v=spf1 ip4:203.0.113.31 ~all", "softfail"),
        ("v=spf1 a:mail.example.org/29 ?all", "pass"),
        ("v=spf1 -mx +all", "fail"),
        ("v=spf1", "neutral"),
        ("v=spf1 include:_spf.example.net ~all", "softfail"),
        ("v=spf1 redirect=_spf.example.net", "fail"),
        ("v=spf1 redirect=nowhere.example", "permerror"),
        ("v=spf1 include:nowhere.example -all", "permerror"),
        ("v=spf1 ptr:example.org -all", "pass"),
        ("v=spf1 exists:%{ir}.spf.%{d} -all", "pass"),
        ("v=spf1 exists:%{i}.spf.%{d} -all", "fail"),
        ("v=spf1 unknown=modifier mx -all", "pass"),
        ("v=spf1 ip4:203.0.113 -all", "permerror"),
        ("v=spf1 ip4:2001:db8::/32 -all", "permerror"),
        ("v=spf1 mx nonsense", "permerror"),
        ("v=spf1 a:mail.example.org/99 -all", "permerror"),
        ("v=spf1 exists:%{q} -all", "permerror"),
    ],
)
def test_a_record_gives_the_result_of_the_rfc(record: str, result: str) -> None:
    assert judge(record).result == result


def test_ipv6_is_compared_with_ipv6() -> None:
    assert judge("v=spf1 mx -all", "2001:db8:113::30").result == "pass"
    assert judge("v=spf1 ip6:2001:db8:113::/48 -all", "2001:db8:113::30").result == "pass"
    assert judge("v=spf1 ip4:0.0.0.0/0 -all", "2001:db8:113::30").result == "fail"
    assert judge("v=spf1 a:mail.example.org//64 -all", "2001:db8:113::ffff").result == "pass"


def test_two_records_are_an_error() -> None:
    def lookup(name: str, kind: str) -> tuple[str, ...]:
        return ("v=spf1 -all", "v=spf1 mx -all") if kind == "TXT" else ()

    assert spf.judge("203.0.113.30", "anna@example.org", lookup).result == "permerror"


def test_no_record_is_no_opinion() -> None:
    assert spf.judge("203.0.113.30", "anna@example.org", lambda name, kind: ("v=spf10 -all",)).result == "none"


def test_more_than_ten_lookups_are_an_error() -> None:
    many = " ".join(f"a:host{n}.example.org" for n in range(11))
    zone = ZONE | {(f"host{n}.example.org", "A"): ("192.0.2.1",) for n in range(11)}
    zone |= {("example.org", "TXT"): (f"v=spf1 {many} -all",)}

    judged = spf.judge("203.0.113.30", "anna@example.org", lambda name, kind: zone.get((name, kind), ()))

    assert (judged.result, judged.lookups) == ("permerror", 11)


def test_a_record_that_includes_itself_ends() -> None:
    assert judge("v=spf1 include:example.org -all").result == "permerror"


def test_more_than_two_names_that_are_not_there_are_an_error() -> None:
    assert judge("v=spf1 a:x.example a:y.example -all").result == "fail"
    assert judge("v=spf1 a:x.example a:y.example a:z.example -all").result == "permerror"


def test_no_answer_is_no_verdict() -> None:
    def silent(name: str, kind: str) -> tuple[str, ...]:
        raise spf.Untold("no answer within 2 s")

    assert spf.judge("203.0.113.30", "anna@example.org", silent).result == "temperror"


@given(st.text(max_size=200))
def test_whatever_stands_in_the_record_there_is_a_result(text: str) -> None:
    assert judge(f"v=spf1 {text}").result in (
        "pass", "fail", "softfail", "neutral", "none", "permerror", "temperror",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l-}", "strong.bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ],
)
def test_macros_expand_as_in_the_rfc_examples(text: str, expanded: str) -> None:
    """The examples are those of RFC 7208, 7.4."""
    assert spf.expand(text, "strong-bad@email.example.com", "email.example.com", "192.0.2.3", "h") == expanded
