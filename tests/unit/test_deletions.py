"""How many letters people deleted is read from Dovecot's log lines."""

from __future__ import annotations

import time

import pytest

from mailmove.remote import deletions

LINES = {
    "Nov 24 00:31:02 mail2 dovecot: imap(frank@example.org)<3527><x>: Disconnected: Logged out in=162 out=1137 "
    "deleted=3 expunged=3 trashed=0 hdr_count=0": ("frank@example.org", 3),
    "2026-11-24T00:31:02.123+01:00 mail2 dovecot[5]: imap(o'brien@example.org)<3><x>: Logged out in=1 out=2 deleted=1 "
    "expunged=12 trashed=0": ("o'brien@example.org", 12),
    "Nov  4 00:31:02 mail dovecot: pop3(heidi@example.org)<35><x>: Disconnected: Logged out top=0/0, retr=0/0, "
    "del=2/35, size=7": ("heidi@example.org", 2),
}


@pytest.mark.parametrize(("line", "who"), LINES.items())
def test_a_session_that_ended_says_how_many_were_deleted(line: str, who: tuple[str, int]) -> None:
    match = deletions.LINE.search(line)

    assert match
    assert (match[1], int(match[2] or match[3])) == who


def test_the_time_of_a_line_is_understood_in_both_formats() -> None:
    now = time.mktime((2026, 1, 2, 0, 0, 0, 0, 0, -1))

    assert deletions.moment("Jan  1 10:00:00 mail x", now) == now - 14 * 3600
    assert deletions.moment("Dec 31 10:00:00 mail x", now) == time.mktime((2025, 12, 31, 10, 0, 0, 0, 0, -1))
    assert deletions.moment("2026-11-24T00:31:02.123456+01:00 mail x", now) == 1795476662
    assert deletions.moment("2026-11-24T00:31:02Z mail x", now) == 1795480262
    assert deletions.moment("no time at all", now) is None
