"""DKIM and DMARC records are read as receivers read them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove.clients import tags


def test_a_dkim_key_may_be_split_by_blanks() -> None:
    assert tags.dkim_key("v=DKIM1; k=rsa; p=QU JD; t=s:y") == tags.DkimKey("rsa", b"ABC", testing=True)


def test_a_dkim_key_needs_neither_version_nor_kind() -> None:
    assert tags.dkim_key("p=QUJD").kind == "rsa"


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
