"""Whose mail a copy would not bring: real directories, and answers as Dovecot gives them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mailmove import stores

PROGRAM = Path(__file__).parents[2] / "mailmove" / "remote" / "homes.py"
HOME = "/var/vmail/example.org/anna"


@pytest.mark.parametrize(
    ("home", "mail", "wrong"),
    [
        (HOME, "maildir:~/Maildir", ""),
        (f"{HOME}/", "maildir:%h/Maildir/", ""),
        (HOME, f"maildir:{HOME}/Maildir:INDEX=/var/indexes/anna", ""),
        ("/srv/mail/example.org/anna", "maildir:~/Maildir", ""),  # the mail root is a link to it
        ("/var/vmail/Example.org/Anna", "maildir:~/Maildir", ""),
        (HOME, "", ""),
        (HOME, "mdbox:~/mdbox", "mail mdbox:~/mdbox"),
        (HOME, "maildir:~/mail", "mail maildir:~/mail"),
        (HOME, "maildir:~/Maildir:CONTROL=/var/control/anna", "mail maildir:~/Maildir:CONTROL=/var/control/anna"),
        ("/var/vmail/example.org/a/anna", "maildir:~/Maildir", "home /var/vmail/example.org/a/anna"),
        ("/home/anna", "maildir:~/Maildir", "home /home/anna"),
    ],
)
def test_where_somebodys_mail_lies(home: str, mail: str, wrong: str) -> None:
    assert stores.elsewhere(home, mail, {HOME, "/srv/mail/example.org/anna"}, "Maildir") == wrong


def test_a_maildir_that_is_the_home() -> None:
    assert stores.elsewhere(HOME, "maildir:~", {HOME}, "") == ""
    assert stores.elsewhere(HOME, "maildir:~/", {HOME}, "") == ""


def test_what_does_not_come_along_is_named(tmp_path: Path) -> None:
    root, other = tmp_path / "vmail", tmp_path / "disk2"
    maildir = root / "example.org" / "anna" / "Maildir"
    for folder in (maildir, maildir / ".Work"):
        for name in ("cur", "new", "tmp"):
            (folder / name).mkdir(parents=True)
    (other / "bob").mkdir(parents=True)
    (root / "example.org" / "bob").symlink_to(other / "bob")
    (maildir / ".Far").symlink_to(other)
    (maildir / ".Near").symlink_to(".Work")  # in the store: copied as it is, with what it leads to
    (maildir.parent / ".dovecot.sieve").symlink_to("/etc/hostname")
    (maildir / "cur" / "dbox-Mails").symlink_to(other)  # among letters nothing is looked for
    (root / "example.org" / "carol" / "sdbox" / "mailboxes" / "INBOX" / "dbox-Mails").mkdir(parents=True)

    asked = json.dumps({"root": str(root), "users": []}).encode() + b"\n"
    done = subprocess.run([sys.executable, PROGRAM], input=asked, capture_output=True, check=True)
    facts = [json.loads(line) for line in done.stdout.splitlines()]

    found = {str(Path(fact["path"]).relative_to(root)): fact["what"] for fact in facts if fact["kind"] == "apart"}
    assert set(found) == {
        "example.org/bob",
        "example.org/anna/Maildir/.Far",
        "example.org/carol/sdbox/mailboxes/INBOX/dbox-Mails",
    }
    assert str(other / "bob") in found["example.org/bob"]
    assert facts[-1] == {"kind": "end", "unasked": 0}
