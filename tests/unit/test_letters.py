"""Letters of our own are what they say they are, to the byte."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove.clients import letters


def test_a_letter_is_found_by_its_mark_everywhere() -> None:
    letter = letters.compose("a@x.example", "b@y.example")
    parsed = email.message_from_bytes(letter.data, policy=email.policy.default)

    assert letter.mark in parsed["Subject"]
    assert letter.mark in parsed["Message-ID"]
    assert letter.mark in parsed.get_content()
    assert parsed["Auto-Submitted"] == "auto-generated"


def test_no_two_letters_share_a_mark() -> None:
    marks = {letters.compose("a@x.example", "b@y.example").mark for _ in range(200)}

    assert len(marks) == 200


@given(st.integers(min_value=700, max_value=3000))
def test_a_letter_is_exactly_as_large_as_asked(size: int) -> None:
    letter = letters.compose("a@x.example", "b@y.example", text="", size=size)

    assert letter.size == size
    assert len(letter.data) == size
    assert letter.data.endswith(b"\r\n")
    assert max(map(len, letter.data.split(b"\r\n"))) <= 998  # RFC 5322, 2.1.1


@given(st.integers(min_value=1, max_value=300))
def test_a_letter_smaller_than_its_header_cannot_be_made(size: int) -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        letters.compose("a@x.example", "b@y.example", size=size)


@given(st.text(max_size=300))
def test_any_text_gives_a_letter_with_proper_line_ends(text: str) -> None:
    letter = letters.compose("a@x.example", "b@y.example", text=text.encode("utf-8", "replace").decode())

    assert b"\r" not in letter.data.replace(b"\r\n", b"")
    assert b"\n" not in letter.data.replace(b"\r\n", b"")


@pytest.mark.parametrize("sender", ["a@x.example\r\nBcc: all@x.example", "a\n@x.example", "a\0@x.example"])
def test_an_address_cannot_smuggle_a_header_in(sender: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        letters.compose(sender, "b@y.example")


def test_what_is_not_ascii_is_declared() -> None:
    plain = letters.compose("a@x.example", "b@y.example", text="Gruss")
    eight = letters.compose("a@x.example", "b@y.example", text="Gruß")

    assert b"Content-Transfer-Encoding: 7bit" in plain.data
    assert b"Content-Transfer-Encoding: 8bit" in eight.data


def test_the_spam_line_stands_alone_on_one_line() -> None:
    letter = letters.compose("a@x.example", "b@y.example", text=letters.SPAM_REFUSED)

    assert letters.SPAM_REFUSED.encode() in letter.body.split(b"\r\n")
    assert len(letters.SPAM_REFUSED) == 68


def test_a_header_of_ours_may_be_folded_and_an_address_not() -> None:
    letter = letters.compose("a@x.example", "b@y.example", headers=[("Cc", "c@x.example,\r\n d@x.example")])

    assert b"Cc: c@x.example,\r\n d@x.example\r\n" in letter.data
    with pytest.raises(ValueError, match="line break"):
        letters.compose("a@x.example\r\n b", "b@y.example")
