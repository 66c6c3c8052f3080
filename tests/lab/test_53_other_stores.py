"""Mail that is not stored as the guide has it: compressed and encrypted letters, public, shared and virtual folders, metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from checks import dovecot_view, mailstore, parity
from mailmove.lab.lab import Lab
from mailmove.moves.base import Runner
from mailmove.moves.cold_copy import ColdCopy
from mailmove.moves.database import CarryDatabase
from mailmove.moves.hot_copy import HotCopy
from mailmove.moves.late import LettersOfNew
from tests.lab import other_stores
from tests.lab.mailboxes import Bench, bench_of
from tests.lab.other_stores import OWNER, READER

DELIVER = r"""
import smtplib, sys
with smtplib.LMTP("/var/spool/postfix/private/dovecot-lmtp") as lmtp:
    lmtp.sendmail("a@elsewhere.example", [sys.argv[1]], "Subject: %s\r\n\r\n%s\r\n" % (sys.argv[2], "only new has it " * 50))
"""
FETCH = ["doveadm", "fetch", "-u", OWNER, "text", "mailbox", "INBOX", "subject"]
TEAM = f"shared/{OWNER}/Team"


@pytest.fixture(scope="module")
def bench(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_of(lab, tmp_path_factory.mktemp("others")) as both:
        other_stores.set_up(both.context.old)
        other_stores.use(both)
        yield both


def told(bench: Bench) -> str:
    """What the verification says of the mailboxes, before anything is moved."""
    bench.context.old.refresh()
    bench.context.new.refresh()
    return "\n".join(each.explain() for each in parity.mailboxes(parity.Pair(bench.migration)) if not each.holds)


@pytest.fixture(scope="module")
def said_before(bench: Bench) -> tuple[str, str]:
    """With new as the guide leaves it; and set up like old, but without what lies outside the mail root."""
    guides = told(bench)
    other_stores.set_up(bench.context.new)
    bench.context.new.sh("rm -r /etc/dovecot/virtual/All", check=True)
    return guides, told(bench)


@pytest.fixture(scope="module")
def alike(bench: Bench, said_before: tuple[str, str]) -> None:
    """New as its admin set it up after that."""
    other_stores.set_up(bench.context.new, other_stores.keys_of(bench.context.old))


@pytest.fixture(scope="module")
def brought(bench: Bench, alike: None) -> str:
    """A letter that only new has, and that is stored compressed there, was brought to old: as it is read on old."""
    bench.perform(CarryDatabase)
    new = bench.context.new
    new.run("python3", "-c", DELIVER, OWNER, "compressed on new", check=True)
    context = bench.wanting(only_on_new="bring")
    Runner(context).perform(LettersOfNew(context), bench.judge)
    return bench.context.old.run(*FETCH, "compressed on new", check=True).out


Seen = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def moved(bench: Bench, brought: str) -> tuple[Seen, Seen]:
    """What people saw on old, and see on new."""
    bench.perform(HotCopy)
    other_stores.use_once_more(bench)
    HotCopy(bench.context).do()
    was = other_stores.seen(bench, bench.context.old)
    bench.dovecot(runs=False)
    try:
        bench.perform(ColdCopy)
    finally:
        bench.dovecot(runs=True)
    return was, other_stores.seen(bench, bench.context.new)


def test_what_new_lacks_is_said_before_the_move(said_before: tuple[str, str]) -> None:
    for word in ("zlib", "mail_crypt", "acl", "imap_acl", "virtual"):
        assert f"dovecot plugin {word}:" in said_before[0]
    for word in ("public", "shared", "virtual"):
        assert f"dovecot namespace {word}:" in said_before[0]


def test_what_lies_outside_the_mail_root_is_named_though_the_settings_are_alike(said_before: tuple[str, str]) -> None:
    words = said_before[1]

    assert "dovecot files of plugin/mail_crypt_global_private_key" in words
    assert "dovecot files of plugin/acl_shared_dict" in words
    assert "dovecot files of namespace virtual/location" in words
    assert "PRIVATE KEY" not in words


def test_a_compressed_letter_that_only_new_has_is_readable_on_old(brought: str) -> None:
    assert "only new has it only new has it" in brought


@pytest.mark.timeout(600)
def test_people_see_on_new_what_they_saw_on_old(bench: Bench, moved: tuple[Seen, Seen]) -> None:
    was, now = moved
    reader, owner = was[READER], was[OWNER]
    assert [line[1] for line in reader[f"folder {TEAM}"]["letters"][1:]] == [
        ["\\Flagged"], ["\\Flagged", "\\Seen"], ["\\Flagged", "\\Seen"]]  # fmt: skip
    assert owner["folder Team"]["letters"][1][1] == ["\\Flagged"]
    assert len(owner["folder Packed"]["letters"]) == 5
    assert len(owner["folder Locked"]["letters"]) == 4
    assert "ours" in owner["folder Team"]["/shared"]
    assert "mine" in reader["folder INBOX"]["/private"]

    assert other_stores.unlike(was, now) == {}
    bench.judge(bench.compare()[0])
    bench.judge(dovecot_view.dovecot_shows_what_is_there(bench.context.new))
    bench.judge(dovecot_view.quotas_count_what_is_there(bench.context.new))


HOME = "/var/vmail/example.org/alice"


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (f"{HOME}/Maildir/.Team/dovecot-acl", "dovecot-acl"),
        (f"{HOME}/dovecot-attributes", f"{HOME}/dovecot-attributes"),
        ("/var/vmail/public/dovecot-acl", "public/dovecot-acl"),
        ("$(find /var/vmail/public/.News/cur /var/vmail/public/.News/new -type f | sort | head -1)", ".News@public"),
        ("/var/vmail/public/.News.Old", ".News.Old@public"),
    ],
    ids=["rights", "keys and metadata", "rights of all public folders", "a public letter", "a public folder"],
)
def test_what_is_lost_is_named(bench: Bench, moved: tuple[Seen, Seen], lose: str, words: str) -> None:
    new = bench.context.new
    new.sh(f'f={lose}; echo "$f" > /root/where; mv "$f" /root/lost', check=True)
    try:
        evidence, _ = bench.compare()
    finally:
        new.sh('mv /root/lost "$(cat /root/where)"', check=True)

    assert not evidence.holds
    assert words in evidence.explain()


def test_another_byte_in_a_compressed_letter_is_named(bench: Bench, moved: tuple[Seen, Seen]) -> None:
    new = bench.context.new
    new.sh(
        f"cd {HOME}/Maildir/.Packed; f=$PWD/$(grep -rlaP '^\\x1f\\x8b' cur new | head -1);"
        ' echo "$f" > /root/where; cp -p "$f" /root/kept;'
        ' printf X | dd of="$f" bs=1 seek=60 conv=notrunc status=none; touch -r /root/kept "$f"',
        check=True,
    )
    try:
        evidence, _ = bench.compare()
    finally:
        new.sh('cp -p /root/kept "$(cat /root/where)"', check=True)

    assert not evidence.holds
    assert "Packed" in evidence.explain()
    assert "stored as gz" in evidence.explain()


def test_a_lost_list_of_who_shares_with_whom_is_named_and_made_again(bench: Bench, moved: tuple[Seen, Seen]) -> None:
    new = bench.context.new
    new.sh("rm /var/lib/dovecot/db/shared-mailboxes.db", check=True)
    words = told(bench)
    new.sh("doveadm acl recalc -A", check=True)

    assert "dovecot files of plugin/acl_shared_dict" in words
    assert "doveadm acl recalc -A" in words
    assert TEAM in str(other_stores.seen(bench, new)[READER].keys())
    assert "acl_shared_dict" not in told(bench)


def test_nothing_odd_is_said_of_letters_stored_otherwise(bench: Bench, moved: tuple[Seen, Seen]) -> None:
    _, result = bench.compare()

    assert [what for _, path, what in result.odd if "/.Packed/" in path or "/.Locked/" in path] == []
    assert mailstore.both_are_maildirs(bench.context.old, bench.context.new).holds
