"""The letter to everybody with a mailbox."""

from __future__ import annotations

import datetime as dt
import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove import notice
from mailmove.notice import Notice

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)


def letter(text: str = "Grüße, 1 €\n", subject: str = "Umzug – bald") -> Notice:
    senders = {"example.org": "postmaster@example.org"}
    return Notice(subject, text, ("anna@example.org",), senders, "0123", "mail.example.org")


def test_the_letter_is_ascii_on_the_wire_and_arrives_as_written() -> None:
    raw = letter().compose("anna@example.org", NOW)

    assert raw.isascii()
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert (read["Subject"], read["To"], read["From"]) == ("Umzug – bald", "anna@example.org", "postmaster@example.org")
    assert read.get_content() == "Grüße, 1 €\n"


def test_the_same_letter_has_the_same_id_and_another_text_another() -> None:
    assert letter().letter_id("anna@example.org") == letter().letter_id("anna@example.org")
    assert letter().letter_id("anna@example.org") != letter().letter_id("bob@example.org")
    assert letter("other\n").mark != letter().mark


def test_a_domain_without_postmaster_hears_from_the_servers_own() -> None:
    assert letter().sender("anna@example.net") == "postmaster@mail.example.org"


def test_a_name_that_no_header_can_hold_stands_in_the_envelope_only() -> None:
    raw = letter().compose("anna\r\nBcc: all@example.net@example.org", NOW)

    assert b"Bcc" not in raw
    assert b"undisclosed-recipients:;" in raw


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("o'brien@example.org", "o'brien@example.org"),
        ("r&d@example.org", "r&d@example.org"),
        ("grüße@example.org", "grüße@example.org"),
        ("x victim@example.net y@example.org", '"x victim@example.net y"@example.org'),
        ('a"b\\c@example.org', '"a\\"b\\\\c"@example.org'),
        ("a,b@example.org", '"a,b"@example.org'),
        (".dot@example.org", '".dot"@example.org'),
    ],
)
def test_an_odd_name_is_told_sendmail_as_one_address(address: str, told: str) -> None:
    assert notice.envelope(address) == told


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60))
def test_any_name_makes_a_letter_with_one_recipient(name: str) -> None:
    raw = letter().compose(f"{name}@example.org", NOW)

    assert len(email.message_from_bytes(raw).get_all("To", [])) == 1


def test_a_date_is_said_as_people_write_it() -> None:
    assert notice.say_date(dt.datetime(2026, 11, 24, 20, 0)) == "Tuesday, 24 November 2026, 20:00"
