"""The thinking inside the checks of mailboxes, folders and rules."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import dovecot_view, fetching, folder_names, folders, mailboxes, spam
from checks.folders import DAY
from checks.sievescripts import Script, Scripts
from mailmove import stores
from mailmove.clients import letters
from mailmove.remote import sieve_scripts


@pytest.mark.parametrize(
    ("letters_there", "kib_there", "later", "wrong"),
    [
        (5, 10, None, False),
        (7, 10, None, True),
        (7, 10, (9, 12), False),  # letters came between the two questions
        (7, 10, (5, 10), True),
        (5, 1000, None, True),
    ],
)
def test_a_quota_is_wrong_unless_letters_come_and_go(
    letters_there: int, kib_there: int, later: tuple[int, int] | None, wrong: bool
) -> None:
    there = {"anna@x.org": (letters_there, kib_there * 1024)}
    found = dovecot_view._miscounted({"anna@x.org": (5, 10)}, there, {"anna@x.org": later} if later else None)
    assert bool(found) == wrong


def test_letters_stored_compressed_count_as_large_as_they_are_read() -> None:
    counted = {"anna@x.org": (5, 100)}
    assert dovecot_view._miscounted(counted, {"anna@x.org": (5, 10 << 10, 90 << 10)}) == {}
    assert dovecot_view._miscounted(counted, {"anna@x.org": (5, 10 << 10, 20 << 10)}) != {}


NAMESPACES = """\
namespace inbox {
  hidden = no
  mailbox Drafts {
    autoexpunge = 0
    special_use = \\Drafts
  }
  mailbox Junk {
    auto = subscribe
    autoexpunge = 30 days
    autoexpunge_max_mails = 0
  }
  mailbox "Deleted Items" {
    autoexpunge = 2 weeks
  }
  mailbox Trash {
    mailbox_autoexpunge = 30 secs
  }
  separator =
}
"""


def test_what_goes_away_by_age_is_read_folder_by_folder() -> None:
    assert folders.expiry(NAMESPACES) == {"Junk": 30 * DAY, "Deleted Items": 14 * DAY, "Trash": 30}


@given(st.text())
def test_whatever_dovecot_prints_is_no_crash(text: str) -> None:
    folders.expiry(text)


@pytest.mark.parametrize(
    ("name", "wears"),
    [
        ("Junk", True),
        ("INBOX.Spam", True),
        ("Deleted Items", True),
        ("Trash", True),
        ("INBOX", False),
        ("Trash.Keep", False),
    ],
)
def test_folders_that_may_lose_letters_are_known_by_name(name: str, wears: bool) -> None:
    assert folders.wears(name) is wears


@pytest.mark.parametrize(
    ("form", "uid"),
    [
        ("%08Xu%08Xv", "0000000a6b0572f1"),
        ("%u-%v", "10-1795519217"),
        ("UID%u", "UID10"),
        ("%g", ""),
        ("%{uid | hex(8)}%{uidvalidity | hex(8)}", ""),
        ("", ""),
    ],
)
def test_a_letters_unique_id_is_made_as_dovecot_makes_it(form: str, uid: str) -> None:
    assert fetching.unique_id(form, 10, 0x6B0572F1) == uid


def test_unusual_characters_are_those_that_dovecot_does_not_know_by_itself() -> None:
    assert mailboxes.unusual_characters(["o'brien@example.org", "r&d@example.org", "a.b-c_d@x'y.example"]) == "&'"
    assert mailboxes.unusual_characters([]) == ""


def test_rules_that_name_folders_of_earlier_editions_are_named() -> None:
    old = Script("grace@example.org", "/home/sieve/main.sieve", True, 'fileinto "INBOX.Junk"; fileinto "Lists";')
    new = Script("", "/etc/dovecot/after.sieve", True, 'fileinto "Junk";')

    assert folders.named_in_rules(Scripts((old, new), ())) == ["main.sieve of grace@example.org: INBOX.Junk"]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("~/sieve", "/srv/mail/a/anna/sieve"),
        ("/srv/sieve/%d/%n", "/srv/sieve/example.org/anna"),
        ("%h/rules", "/srv/mail/a/anna/rules"),
        ("sieve/%u", "/srv/mail/a/anna/sieve/anna@example.org"),
    ],
)
def test_dovecots_variables_lead_to_a_persons_scripts(location: str, path: str) -> None:
    assert sieve_scripts.expand(location, "anna@example.org", "/srv/mail/a/anna") == path


def test_a_name_with_a_percent_sign_is_not_expanded_twice() -> None:
    assert sieve_scripts.expand("/s/%n", "%d@example.org", "/h") == "/s/%d"


def test_what_a_compiler_complains_of_is_told_without_what_says_nothing_more() -> None:
    said = b"x: line 1: error: unknown Sieve capability `foo'.\nx: error: validation failed.\nsievec(root): Fatal: failed\n"
    done = subprocess.CompletedProcess(["sievec"], 89, b"", said)

    assert sieve_scripts.complaint(done).splitlines()[0] == "x: line 1: error: unknown Sieve capability `foo'."
    assert "validation failed" not in sieve_scripts.complaint(done)
    assert sieve_scripts.complaint(subprocess.CompletedProcess(["sievec"], 0, b"", b"warning")) == ""


def test_a_script_is_read_as_it_is_and_what_is_no_script_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "a.sieve"
    good.write_bytes(b"# caf\xe9\nkeep;\n")
    large = tmp_path / "b.sieve"
    large.write_bytes(b"#" * (sieve_scripts.LARGEST + 1))
    problems: list[str] = []

    sieve_scripts.script(str(good), "anna@example.org", True, problems)
    sieve_scripts.script(str(large), "anna@example.org", False, problems)

    assert '"active": true' in capsys.readouterr().out
    assert problems == [f"{large} is too large for a script"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("X-Spamd-Result: default: False [1.2 / 15.00];", "X-Spamd-Result"),
        ("X-Spamd-Bar: +", "X-Spamd-Bar"),
        ("X-Rspamd-Queue-Id: 4Abc", "X-Rspamd-Queue-Id"),
        ("X-Spam-Status: No, score=1.2", "X-Spam-Status"),
        ("Subject: X-Spamd-Result: no", None),
        ("X-Spam: Yes", None),
    ],
)
def test_headers_that_show_a_verdict_are_known(line: str, shown: str | None) -> None:
    found = spam.SHOWN.findall(f"From: a@b.example\r\n{line}\r\n")

    assert found == ([shown] if shown else [])


def test_a_letter_that_a_person_might_have_written_asks_for_no_silence() -> None:
    program = letters.compose("a@b.example", "c@d.example")
    person = letters.compose("a@b.example", "c@d.example", automatic=False)

    assert b"\r\nAuto-Submitted: auto-generated\r\n" in program.data
    assert b"Auto-Submitted" not in person.data


def test_a_folder_keeps_its_name_if_a_script_names_it_or_one_in_it() -> None:
    """Dovecot renames what is in a folder along with it: the script would file into a folder of its own."""
    folders_ = [
        "INBOX.Lists",
        "INBOX.Lists.Work",
        "INBOX.Lists.Play",
        "INBOX.Listsuffix",
        'INBOX.a"b\\c',
        "INBOX.Junk*",
    ]
    text = 'fileinto "INBOX/Lists/Work";\nfileinto "inbox.a\\"b\\\\c";\nfileinto "INBOX.Junk";'

    kept = folder_names.keep_their_names(folders_, text)

    assert kept == {"INBOX.Lists", "INBOX.Lists.Work", 'INBOX.a"b\\c'}


@pytest.mark.parametrize(
    ("folder", "prefix", "name"),
    [("INBOX.Junk", "", "Junk"), ("INBOX/Ä/*", "", "Ä/*"), ("INBOX.INBOX.Junk", "INBOX.", "INBOX.Junk")],
)
def test_the_new_name_of_a_folder_of_earlier_editions(folder: str, prefix: str, name: str) -> None:
    assert folder_names.name_without_inbox(folder, prefix) == name


def test_names_between_tabs_are_read_as_dovecot_wrote_them() -> None:
    assert stores.untabbed("a\1nb\1tc\0011n%*") == "a\nb\tc\1n%*"
