"""DKIM and DMARC records are read as receivers read them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import dkim
from mailmove.clients import tags


def test_a_dkim_key_may_be_split_by_blanks() -> None:
    assert tags.dkim_key("v=DKIM1; k=rsa; p=QU JD; t=s:y") == tags.DkimKey("rsa", b"ABC", testing=True)


def test_a_dkim_key_needs_neither_version_nor_kind() -> None:
    assert tags.dkim_key("p=QUJD").kind == "rsa"


@pytest.mark.parametrize(
    ("limits", "good"),
    [("", True), ("h=sha1:sha256; ", True), ("h=sha1; ", False), ("s=email; ", True), ("s=tlsrpt; ", False)],
)
def test_a_key_that_is_not_for_the_signatures_of_mail_is_none(limits: str, good: bool) -> None:
    key = dkim.Key("example.org", "example.org", "s1", "/k", True, True, "QUJD", "rsa", "", True, "0400", ())

    assert dkim.compare((f"v=DKIM1; {limits}p=QUJD",), key)[1] is good


def test_an_empty_key_is_a_revoked_one() -> None:
    assert tags.dkim_key("v=DKIM1; p=").public == b""


@pytest.mark.parametrize(
    "text",
    ["", "v=DKIM1", "v=DKIM2; p=QUJD", "k=rsa; v=DKIM1; p=QUJD", "v=DKIM1; p=Q", "v=DKIM1; p=QUJD; p=QUJD", "spam"],
)
def test_what_is_no_dkim_key_is_refused(text: str) -> None:
    with pytest.raises(tags.Malformed):
        tags.dkim_key(text)


def test_a_dmarc_policy_holds_for_subdomains_too() -> None:
    policy = tags.dmarc("v=DMARC1; p=Reject; rua=mailto:a@example.org, mailto:b@example.org")

    assert (policy.policy, policy.subdomains, policy.percent) == ("reject", "reject", 100)
    assert policy.reports == ("mailto:a@example.org", "mailto:b@example.org")


@pytest.mark.parametrize("text", ["v=DMARC1", "p=none; v=DMARC1", "v=DMARC1; p=rejekt", "v=DMARC1; p=none; pct=101"])
def test_what_is_no_dmarc_policy_is_refused(text: str) -> None:
    with pytest.raises(tags.Malformed):
        tags.dmarc(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (tags.dkim_key, tags.dmarc):
        with contextlib.suppress(tags.Malformed):
            read(text)


STS = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmx: *.example.net\r\nmax_age: 86400\r\n"


def test_an_sts_policy_names_hosts_and_one_label_of_a_domain() -> None:
    policy = tags.sts_policy(STS)

    assert policy.mode == "enforce"
    assert policy.covers("MAIL.example.org.")
    assert policy.covers("mx.example.net")
    assert not policy.covers("mail2.example.org")
    assert not policy.covers("a.mx.example.net")
    assert not policy.covers("example.net")


@pytest.mark.parametrize(
    "text",
    [
        "",
        STS.replace("STSv1", "STSv2"),
        STS.replace("enforce", "enforced"),
        STS.replace("86400", "a day"),
        "version: STSv1\nmode: testing\nmax_age: 1\n",
        "<html>not found</html>",
    ],
)
def test_what_is_no_sts_policy_is_refused(text: str) -> None:
    with pytest.raises(tags.Malformed):
        tags.sts_policy(text)


def test_an_sts_record_has_an_id() -> None:
    assert tags.sts_id("v=STSv1; id=20240101T1;") == "20240101T1"
    for text in ("v=STSv1", "v=STSv1; id=a-b", "id=1; v=STSv1", "v=STSv1; id=" + "1" * 33):
        with pytest.raises(tags.Malformed):
            tags.sts_id(text)


def test_reports_on_encryption_go_to_mail_or_web_addresses() -> None:
    assert tags.tls_reports("v=TLSRPTv1; rua=mailto:a@x.example,https://x.example/r") == (
        "mailto:a@x.example",
        "https://x.example/r",
    )
    for text in ("v=TLSRPTv1", "v=TLSRPTv1; rua=", "v=TLSRPTv1; rua=a@x.example", "v=TLSRPTv2; rua=mailto:a@x.example"):
        with pytest.raises(tags.Malformed):
            tags.tls_reports(text)


@given(st.text())
def test_whatever_a_stranger_publishes_is_read_or_refused(text: str) -> None:
    for read in (tags.sts_id, tags.sts_policy, tags.tls_reports, tags.dmarc):
        with contextlib.suppress(tags.Malformed):
            read(text)


@pytest.mark.parametrize(
    ("identifier", "author", "relaxed", "strict"),
    [
        ("example.org", "example.org", True, True),
        ("EXAMPLE.org.", "example.org", True, True),
        ("bounce.example.org", "example.org", True, False),
        ("example.org", "news.example.org", True, False),
        ("example.net", "example.org", False, False),
        ("ample.org", "example.org", False, False),
        ("org", "example.org", False, False),
        ("bounce.example.org", "news.example.org", True, False),
        ("one.co.uk", "other.co.uk", False, False),
        ("co.uk", "one.co.uk", False, False),
        ("mail.one.co.uk", "one.co.uk", True, False),
        ("anna.github.io", "bert.github.io", False, False),
        ("mail.bücher.example", "bücher.example", True, False),
        ("", "example.org", False, False),
        ("", "", False, False),
    ],
)
def test_alignment_is_of_one_family_or_of_one_name(identifier: str, author: str, relaxed: bool, strict: bool) -> None:
    assert tags.aligned(identifier, author, strict=False) is relaxed
    assert tags.aligned(identifier, author, strict=True) is strict


@pytest.mark.parametrize(
    ("domain", "owner"),
    [
        ("Mail.Example.org.", "example.org"),
        ("a.b.one.co.uk", "one.co.uk"),
        ("co.uk", "co.uk"),
        ("mail.xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("probe.mailmove.invalid", "mailmove.invalid"),
        ("", ""),
    ],
)
def test_a_domain_has_an_owner(domain: str, owner: str) -> None:
    assert tags.organisation(domain) == owner


@given(st.text(), st.text())
def test_alignment_holds_in_both_directions(one: str, other: str) -> None:
    assert tags.aligned(one, other, strict=False) == tags.aligned(other, one, strict=False)


def test_dmarc_says_how_strictly_names_must_agree() -> None:
    policy = tags.dmarc("v=DMARC1; p=reject; adkim=s; aspf=r")

    assert policy.dkim_strict
    assert not policy.spf_strict
