"""The ledger of letters: both logs, both queues, the mailboxes; each letter has one end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove import ledger
from mailmove.ledger import Copied, End, Fate, Found, Ledger, Line, Role, Waiting
from mailmove.remote import received

HOSTS: dict[Role, str] = {"old": "mail.example.org", "new": "mail2.example.org"}
DELAYS = "delay=0.09, delays=0.08/0/0/0.01, dsn=2.0.0"


def lines(text: str, at: float = 1000.0) -> list[Line]:
    return [Line(at + n / 10, line.strip()) for n, line in enumerate(text.strip().splitlines())]


def taken(id_: str, sender: str = "friend@elsewhere.example", mid: str = "<m1@elsewhere.example>", n: int = 1) -> str:
    return f"""
        mail postfix/smtpd[1]: {id_}: client=mx.elsewhere.example[203.0.113.10]
        mail postfix/cleanup[1]: {id_}: message-id={mid}
        mail postfix/qmgr[1]: {id_}: from=<{sender}>, size=838, nrcpt={n} (queue active)"""


def delivered(
    id_: str, to: str, asked: str = "", session: str = "S1", stored: int = 1, mid: str = "<m1@elsewhere.example>"
) -> str:
    orig = f"orig_to=<{asked}>, " if asked else ""
    line = f"mail dovecot: lmtp({to})<9><{session}>: sieve: msgid={mid}: stored mail into mailbox 'INBOX'\n" * stored
    return line + (
        f"mail postfix/lmtp[1]: {id_}: to=<{to}>, {orig}relay=mail.example.org[private/dovecot-lmtp], {DELAYS}, "
        f"status=sent (250 2.0.0 <{to}> {session} Saved)"
    )


REMOVED = "mail postfix/qmgr[1]: {}: removed"


def found(user: str, id_: str, folder: str = "", host: str = "mail.example.org", at: float = 1000.0) -> Found:
    return Found(user, folder, 7, at, f"{host} {id_}" if id_ else "", "<m1@elsewhere.example>")


def fates(
    old: str = "", new: str = "", queues: Iterable[Waiting] = (), there: Iterable[Found] = (),
    on_old: Iterable[Found] | None = None, frozen: float | None = None, new_at: float = 1001.0,
    copied: Iterable[Copied] = (), until: float | None = None,
) -> list[Fate]:  # fmt: skip
    books = {"old": ledger.read("old", lines(old)), "new": ledger.read("new", lines(new, new_at))}
    return Ledger(
        books, queues, there, HOSTS, seen_on_old=on_old, addresses=["203.0.113.30"],  # type: ignore[arg-type]
        frozen=None if frozen is None else {"old": frozen, "new": frozen}, copied=copied,
        until=None if until is None else {"old": until, "new": until},
    ).fates()  # fmt: skip


def ends(*args: object, **more: object) -> list[End]:
    return [fate.end for fate in fates(*args, **more)]  # type: ignore[arg-type]


A = "A1B2C3D4E5"
B = "B1B2C3D4E5"
JOHN = taken(A) + "\n" + delivered(A, "john@example.org") + "\n" + REMOVED.format(A)


def test_what_was_removed_with_its_copy_kept_is_told_from_what_was_taken_out_by_hand() -> None:
    stuck = taken(A) + (
        f"\nmail postfix/smtp[1]: {A}: to=<x@nowhere.invalid>, relay=none, {DELAYS}, status=deferred (not found)"
        f"\nmail postfix/postsuper[1]: {A}: placed on hold\nmail postfix/postsuper[1]: {A}: removed"
    )
    copy = Copied("new", A, 1001.4, "/home/anna/removed/x.eml")

    (fate,) = fates(new=stuck, copied=[copy])
    assert fate.end is End.KEPT and fate.end.good
    assert "copy kept at /home/anna/removed/x.eml" in str(fate)

    for other in (
        [],
        [replace(copy, id=B)],
        [replace(copy, server="old")],
        [replace(copy, at=copy.at - 3600)],  # the id came again, and that letter was taken out by hand
        [replace(copy, trouble="the copy is gone")],
    ):
        (fate,) = fates(new=stuck, copied=other)
        assert fate.end is End.REMOVED and not fate.end.good
    assert "the copy is gone" in str(fate)


def test_a_letter_in_its_mailbox() -> None:
    (fate,) = fates(JOHN, there=[found("john@example.org", A)], on_old=[found("john@example.org", A)])

    assert fate.end is End.MAILBOX
    assert "UID 7" in str(fate)


def test_a_letter_that_lies_on_old_only_is_lost_and_named() -> None:
    (fate,) = fates(JOHN, on_old=[found("john@example.org", A)])

    assert fate.end is End.LOST
    assert A in str(fate) and "m1@elsewhere.example" in str(fate)


def test_what_its_reader_deleted_before_the_stop_is_on_neither() -> None:
    assert ends(JOHN, on_old=[]) == [End.DELETED]


def test_what_new_delivered_and_is_in_no_folder_is_lost_unless_dovecot_says_that_it_was_deleted() -> None:
    gone = "\nmail2 dovecot: imap(john@example.org)<9><X>: Disconnected: Logged out in=1 out=2 deleted=1 expunged=1 trashed=0"

    assert ends(new=JOHN, on_old=[]) == [End.LOST]
    assert ends(new=JOHN + gone, on_old=[]) == [End.DELETED]
    again = JOHN.replace(A, B).replace("m1@", "m2@")
    assert sorted(ends(new=JOHN + "\n" + again + gone, on_old=[])) == [End.DELETED, End.LOST]


def test_the_same_folder_twice_is_doubled_and_another_one_is_its_readers_own_copy() -> None:
    first = found("john@example.org", A)

    assert ends(JOHN, there=[first, first]) == [End.DOUBLED]
    assert ends(JOHN, there=[first, found("john@example.org", A, "Archive")]) == [End.MAILBOX]


def test_what_came_while_it_was_looked_is_not_followed_but_what_an_earlier_letter_goes_on_as_is() -> None:
    came = taken(B, mid="<m2@elsewhere.example>")
    assert ends(new=came) == [End.LOST]
    assert ends(new=came, until=1000.5) == []

    handed = taken(A) + (
        f"\nmail postfix/smtp[1]: {A}: to=<john@example.org>, relay=203.0.113.30[203.0.113.30]:25, {DELAYS}, "
        f"status=sent (250 2.0.0 Ok: queued as {B})"
    )
    after = JOHN.replace(A, B)
    there = [found("john@example.org", B, host="mail2.example.org")]
    (fate,) = fates(handed, after, there=there, until=1000.5)
    assert (fate.end, fate.letter.id) == (End.MAILBOX, A)


def test_a_letter_that_is_read_or_filed_while_it_is_looked_for_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new", "cur"):
        (tmp_path / name).mkdir()
    (tmp_path / "new" / "1000.a").write_bytes(b"Message-ID: <a>\n\n")
    (tmp_path / "cur" / "1000.b:2,").write_bytes(b"Message-ID: <b>\n\n")
    (tmp_path / "cur" / "1000.c:2,").write_bytes(b"Message-ID: <c>\n\n")
    renames = [("new/1000.a", "cur/1000.a:2,S"), ("cur/1000.b:2,", "cur/1000.b:2,S")]

    def header(path: bytes) -> bytes:
        if renames:
            before, after = renames.pop()
            (tmp_path / before).rename(tmp_path / after)
        return read(path)

    read = received.header
    monkeypatch.setattr(received, "header", header)
    every = [(base, head) for base, _, head in received.letters(bytes(tmp_path), 1000)]  # type: ignore[no-untyped-call]
    assert sorted(every) == [(b"1000.%c" % n, b"Message-ID: <%c>\n" % n) for n in b"abc"]

    (tmp_path / "cur" / "1000.c:2,S").write_bytes(b"Message-ID: <c>\n\n")  # twice, after a copy gone wrong
    every = [(base, head) for base, _, head in received.letters(bytes(tmp_path), 1000)]  # type: ignore[no-untyped-call]
    assert [base for base, _ in every].count(b"1000.c") == 2


def test_two_aliases_of_one_mailbox_are_two_copies() -> None:
    both = (
        delivered(A, "john@example.org", "jack@example.org", "S1") + "\n" + delivered(A, "john@example.org", "", "S2")
    )
    log = taken(A, n=2) + "\n" + both + "\n" + REMOVED.format(A)
    one = found("john@example.org", A)

    assert ends(log, there=[one, one]) == [End.MAILBOX, End.MAILBOX]
    assert ends(log, there=[one], on_old=[one, one]) == [End.LOST, End.LOST]


def test_a_forwarded_letter_has_one_end_on_the_other_server() -> None:
    old = taken(A) + (
        f"\nmail postfix/mailmove/smtp[1]: {A}: to=<jack@example.org>, relay=203.0.113.30[203.0.113.30]:25, {DELAYS}, "
        f"status=sent (250 2.0.0 Ok: queued as {B})\n" + REMOVED.format(A)
    )
    new = taken(B) + "\n" + delivered(B, "john@example.org", "jack@example.org") + "\n" + REMOVED.format(B)
    there = [found("john@example.org", B, host="mail2.example.org")]

    (fate,) = fates(old, new, there=there)
    assert (fate.end, fate.letter.id, fate.asked) == (End.MAILBOX, A, "jack@example.org")
    assert ends(old, there=there) == [End.UNCLEAR]


def test_a_letter_taken_by_old_before_the_stop_and_again_by_new_is_doubled() -> None:
    new = taken(B) + "\n" + delivered(B, "john@example.org", session="S9") + "\n" + REMOVED.format(B)
    there = [found("john@example.org", A), found("john@example.org", B, host="mail2.example.org")]

    assert ends(JOHN, new, there=there, on_old=there[:1], frozen=1000.5) == [End.MAILBOX, End.DOUBLED]


def test_a_letter_that_both_servers_expanded_is_doubled() -> None:
    old = taken(A) + "\n" + delivered(A, "boss@example.org", "sybil@example.org") + (
        f"\nmail postfix/mailmove/smtp[1]: {A}: to=<sybil@example.org>, relay=203.0.113.30[203.0.113.30]:25, {DELAYS}, "
        f"status=sent (250 2.0.0 Ok: queued as {B})\n" + REMOVED.format(A)
    )  # fmt: skip
    new = taken(B, n=2)
    for to, session in (("sybil@example.org", "S7"), ("boss@example.org", "S8")):
        new += "\n" + delivered(B, to, "sybil@example.org", session)
    new += "\n" + REMOVED.format(B)
    there = [found("boss@example.org", A)]
    there += [found(f"{who}@example.org", B, host="mail2.example.org") for who in ("boss", "sybil")]

    came = {(fate.user, fate.end) for fate in fates(old, new, there=there, on_old=there[:1])}
    assert came == {
        ("boss@example.org", End.MAILBOX), ("boss@example.org", End.DOUBLED), ("sybil@example.org", End.MAILBOX),
    }  # fmt: skip


def test_waiting_refused_bounced_and_sent_elsewhere() -> None:
    deferred = f"\nmail postfix/lmtp[1]: {A}: to=<john@example.org>, relay=none, {DELAYS}, status=deferred (no)"
    waiting = Waiting("old", A, ("john@example.org",))

    assert ends(taken(A) + deferred, queues=[waiting]) == [End.QUEUE]
    assert ends(taken(A) + deferred) == [End.LOST]
    assert ends(queues=[waiting]) == [End.QUEUE]
    assert ends(taken(A), queues=[waiting]) == [End.QUEUE]
    assert ends(taken(A).rpartition("\n")[0]) == []  # never answered for
    assert ends(taken(A) + deferred.replace("deferred", "bounced") + "\n" + REMOVED.format(A)) == [End.RETURNED]
    away = deferred.replace("postfix/lmtp", "postfix/smtp").replace("deferred (no)", "sent (250 ok)")
    assert ends(taken(A) + away.replace("relay=none", "relay=mx.x[1.2.3.4]:25")) == [End.ELSEWHERE]


def test_a_question_whether_an_address_is_good_is_no_letter() -> None:
    asked = f"\nmail postfix/lmtp[1]: {A}: to=<john@example.org>, relay=x[private/lmtp], {DELAYS}, status=deliverable (250 ok)"

    assert ends(taken(A) + asked + "\n" + REMOVED.format(A)) == []


def test_what_an_administrator_takes_out_of_the_queue_is_named() -> None:
    log = taken(A) + f"\nmail postfix/postsuper[1]: {A}: removed"

    assert ends(log) == [End.REMOVED]
    assert ends(log.replace("<m1@", "<mailmove-m1@")) == [End.PROBE]


def test_a_requeued_letter_goes_on_under_its_next_id() -> None:
    log = taken(A) + f"\nmail postfix/postsuper[1]: {A}: requeued" + (
        f"\nmail postfix/pickup[1]: {B}: uid=0 from=<friend@elsewhere.example> orig_id={A}"
        f"\nmail postfix/qmgr[1]: {B}: from=<friend@elsewhere.example>, size=1, nrcpt=1 (queue active)\n"
    ) + delivered(B, "john@example.org") + "\n" + REMOVED.format(B)  # fmt: skip

    (fate,) = fates(log, there=[found("john@example.org", B)])
    assert (fate.end, fate.letter.id) == (End.MAILBOX, A)


def test_dropped_by_its_readers_own_filter() -> None:
    log = JOHN.replace("stored mail into mailbox 'INBOX'", "marked message to be discarded if not explicitly delivered")

    assert ends(log) == [End.SIEVE]


def test_a_short_queue_id_comes_again() -> None:
    again = taken(A, mid="<m2@x>") + "\n" + delivered(A, "bob@example.org", session="S2") + "\n" + REMOVED.format(A)

    both = fates(JOHN + "\n" + again, there=[found("john@example.org", A), found("bob@example.org", A)])
    assert [(fate.to, fate.end) for fate in both] == [
        ("john@example.org", End.MAILBOX), ("bob@example.org", End.MAILBOX),
    ]  # fmt: skip


def test_an_address_cannot_pretend_to_be_the_end_of_a_line() -> None:
    evil = f'"x>, relay=none, {DELAYS}, status=sent (250 2.0.0 <john@example.org> S1 Saved)"@example.net'
    log = taken(A) + (
        f"\nmail postfix/lmtp[1]: {A}: to=<office@example.net>, orig_to=<{evil}>, relay=none, {DELAYS}, "
        "status=deferred (connect: refused)"
    )

    (fate,) = fates(log, queues=[Waiting("old", A, ("office@example.net",))])
    assert (fate.end, fate.to, fate.asked) == (End.QUEUE, "office@example.net", evil)


WORDS = st.one_of(
    st.text(max_size=60),
    st.sampled_from([
        "mail postfix/qmgr[1]: A1B2C3D4E5: removed", "mail postfix/smtp[1]: A1B2C3D4E5: to=<", "orig_to=<\"", ">, relay=",
        "status=sent (250 2.0.0 Ok: queued as A1B2C3D4E5)", "mail dovecot: lmtp(a)<1><2>: sieve: msgid=", "\x1b[31m", "\0",
        "mail postfix/postsuper[1]: A1B2C3D4E5: requeued", "mail postfix/pickup[1]: A1B2C3D4E5: uid=0 orig_id=A1B2C3D4E5",
    ]),
)  # fmt: skip


@given(st.lists(st.lists(WORDS, max_size=4).map("".join), max_size=20))
def test_no_line_stops_the_reading_or_turns_a_good_end_bad(noise: list[str]) -> None:
    noise = [re.sub(r"[\r\n]", " ", line).replace(A, "C0FFEE0001") for line in noise]
    log = [Line(1.0, line) for line in noise] + lines(JOHN) + [Line(2000.0, line) for line in noise]
    books: dict[Role, ledger.Book] = {"old": ledger.read("old", log), "new": ledger.Book()}

    every = Ledger(books, [], [found("john@example.org", A)], HOSTS).fates()

    assert [fate.end for fate in every if fate.letter.id == A] == [End.MAILBOX]


@given(st.text(alphabet="ab>,=<( )\\.@", max_size=40), st.sampled_from(["sent", "deferred"]))
def test_quoted_addresses_are_read_to_their_end(local: str, status: str) -> None:
    quoted = '"' + local.replace("\\", "\\\\") + '"@example.net'
    text = f"mail postfix/lmtp[1]: {A}: to=<{quoted}>, relay=none, {DELAYS}, status={status} (x)"

    (letter,) = ledger.read("old", [Line(1.0, text)]).letters
    (step,) = letter.steps.values()
    assert (step.to, step.status) == (quoted, status)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("Received: from a (b [1.2.3.4])\n\tby mail.example.org (Postfix) with ESMTP id 80FC71769E2\n\tfor <x@y>; Tue\n",
         "mail.example.org 80FC71769E2"),
        ("Received: by mail.example.org (Postfix, from userid 0)\n\tid 80FC71769E2; Tue\n", "mail.example.org 80FC71769E2"),
        ("Received: from mail2.example.org\n\tby mail2.example.org with LMTP\n\tid WFO1Aw1xBWv2CQ\n\tfor <b>; Tue\n"
         "Received: from a (b [1.2.3.4])\n\t(using TLSv1.3)\n\tby mail2.example.org (Postfix) with ESMTPS id 4abcDEF1gzz\n\tfor <x@y>; Tue\n",
         "mail2.example.org 4abcDEF1gzz"),
        ("Received: from evil by mail.example.org (Postfix) id FFFFFFFFFF; (b [1.2.3.4])\n"
         "\tby mail.example.org (Postfix) with SMTP id 80FC71769E2\n",
         "mail.example.org 80FC71769E2"),
        ("Subject: none\n", ""),
    ],
)  # fmt: skip
def test_the_last_postfix_a_letter_passed(head: str, said: str) -> None:
    assert received.passed(("Return-Path: <x>\n" + head).encode()) == said


@given(st.binary(max_size=300))
def test_any_header_is_read(noise: bytes) -> None:
    assert isinstance(received.passed(noise), str)


def test_ten_megabytes_of_one_header_are_read_in_no_time() -> None:
    assert received.passed(b"Received: " + b"x\r\n\t" * 2_000_000) == ""
