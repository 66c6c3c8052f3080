"""The pure parts of the checks on delivery, submission, spam and webmail."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import hand_in, outside, spam, submission
from mailmove.clients import webmail


@pytest.mark.parametrize(
    ("transport", "place"),
    [
        ("lmtp:unix:private/dovecot-lmtp", {"socket": "/var/spool/postfix/private/dovecot-lmtp"}),
        ("lmtp:unix:/run/dovecot/lmtp", {"socket": "/run/dovecot/lmtp"}),
        ("lmtp:inet:127.0.0.1:24", {"host": "127.0.0.1", "port": 24}),
        ("lmtp:[::1]:2003", {"host": "::1", "port": 2003}),
        ("lmtp:localhost", {"host": "localhost", "port": 24}),
        ("virtual", {}),
        ("dovecot", {}),
        ("smtp:[203.0.113.9]", {}),
        ("", {}),
    ],
)
def test_where_letters_are_handed_to_dovecot(transport: str, place: dict[str, object]) -> None:
    assert hand_in.place(transport, "/var/spool/postfix") == place


@pytest.mark.parametrize("folder", ["Junk", "INBOX.Junk", "INBOX/Spam", "spam"])
def test_folders_for_spam_are_known_by_their_last_word(folder: str) -> None:
    assert spam.is_junk(folder)


@pytest.mark.parametrize("folder", ["INBOX", "Junk.old", "Junkyard", "INBOX.Sent"])
def test_other_folders_are_not_for_spam(folder: str) -> None:
    assert not spam.is_junk(folder)


@pytest.mark.parametrize("address", ["203.0.113.30", "2001:db8:113::30", "8.8.8.8"])
def test_addresses_the_outside_can_reach(address: str) -> None:
    assert outside.is_public(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "172.20.0.1", "127.0.0.1", "::1", "fd00::1", "fe80::1"])
def test_addresses_only_the_house_can_reach(address: str) -> None:
    assert not outside.is_public(address)


@given(st.from_regex(r"[a-z]{1,10}", fullmatch=True), st.from_regex(r"[a-z]{1,10}\.example", fullmatch=True))
def test_every_form_of_an_address_leads_elsewhere_and_is_asked_once(local: str, elsewhere: str) -> None:
    forms = submission.forms(f"{local}@{elsewhere}", "hosted.test", "mail.hosted.test")

    assert all(local in form and elsewhere in form for form in forms)
    assert len(set(forms)) == len(forms)
    assert not any(set("<> \r\n") & set(form) for form in forms)


def test_the_guides_forms_of_an_open_relay_are_all_there() -> None:
    forms = submission.forms("x@out.example", "in.example", "mail.in.example")

    for form in (
        "x@out.example",
        "x%out.example@in.example",
        "out.example!x",
        '"x@out.example"',
        "@in.example:x@out.example",
    ):
        assert form in forms


def test_a_login_page_is_known_by_its_form() -> None:
    page = '<script>rcmail = new rcube_webmail();</script><input name="_user"><input name="_pass" type="password">'

    assert webmail.is_login_page(page)
    assert not webmail.is_login_page("<html><title>Apache2 Debian Default Page</title>")


def test_networks_that_postfix_trusts_are_read_from_its_setting() -> None:
    setting = "127.0.0.0/8 [::ffff:127.0.0.0]/104, [::1]/128\t203.0.113.9 !10.0.0.1 cidr:/etc/postfix/friends"

    assert [str(net) for net in submission.trusted(setting)] == [
        "127.0.0.0/8", "::ffff:7f00:0/104", "::1/128", "203.0.113.9/32"
    ]  # fmt: skip


@pytest.mark.parametrize(("address", "public"), [("::ffff:127.0.0.0", False), ("::ffff:8.8.8.8", True), ("::1", False)])
def test_an_ipv4_address_in_ipv6_is_what_it_means(address: str, public: bool) -> None:
    assert submission._is_public(ipaddress.ip_address(address)) is public
