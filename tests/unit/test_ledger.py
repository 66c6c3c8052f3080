"""What was copied is known from rsync's own log, and can be taken back without touching anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "mailmove" / "remote" / "ledger.py"


def ask(**wanted: object) -> Any:
    said = subprocess.run([sys.executable, PROGRAM], input=json.dumps(wanted).encode() + b"\n", capture_output=True)
    assert said.returncode == 0, said.stderr.decode()
    return json.loads(said.stdout)


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Path, Path]:
    """A store as rsync made it, and rsync's log."""
    root, ledger = tmp_path / "vmail", tmp_path / "copied.log"
    lines = [b"2026/11/24 00:16:06 [20] receiving file list\n"]

    def made(kind: bytes, name: bytes, content: bytes | None = None) -> None:
        path = root / os.fsdecode(name.rstrip(b"/"))
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_bytes(content)
        shown = b"".join(bytes([c]) if 32 <= c < 127 else b"\\#%03o" % c for c in name)
        lines.append(b"2026/11/24 00:16:06 [20] " + kind + b"+++++++++ " + shown + b"\n")

    made(b"cd", b"example.org/")
    for name in (b"", b"/Maildir", b"/Maildir/cur", b"/Maildir/new", b"/Maildir/tmp", b"/sieve"):
        made(b"cd", b"example.org/anna" + name + b"/")
    for name in (b"1.a.old,S=1:2,S", b"2.a.old:2,", b"3.caf\xe9\n.old:2,"):
        made(b">f", b"example.org/anna/Maildir/cur/" + name, b"x")
    made(b">f", b"example.org/anna/Maildir/new/4.a.old", b"x")
    made(b">f", b"example.org/anna/Maildir/dovecot-uidlist", b"3 V1 N9\n")
    made(b">f", b"example.org/anna/sieve/a.sieve", b"keep;")
    lines.append(b"2026/11/24 00:16:07 [20] *deleting   example.org/anna/Maildir/cur/9.gone\n")
    lines.append(b"2026/11/24 00:16:07 [20] sent 51 bytes  received 21 bytes  total size 9\n")
    ledger.write_bytes(b"".join(lines))
    return root, ledger


def test_copied_letters_and_files_are_known(copied: tuple[Path, Path]) -> None:
    maildir = "example.org/anna/Maildir"
    here = [
        f"{maildir}/.Elsewhere/cur/1.a.old,S=1",
        f"{maildir}/new/3.caf\udce9\n.old",
        "example.org/anna/sieve/a.sieve",
    ]
    others = [f"{maildir}/cur/9.gone", f"{maildir}/cur/1.new.mail", "sieve/a.sieve"]
    others += ["example.org/bob/Maildir/cur/1.a.old,S=1"]  # another's, of the same name

    known = ask(ledger=str(copied[1]), names=[*here, *others])["known"]

    assert sorted(known) == sorted(here)


def test_without_a_list_nothing_is_known(tmp_path: Path) -> None:
    assert ask(ledger=str(tmp_path / "none"), names=["x.org/a/cur/1.a"])["known"] == []


def test_all_is_taken_back(copied: tuple[Path, Path]) -> None:
    root, ledger = copied
    assert ask(ledger=str(ledger), root=str(root), take_back=True)["kept"] == []
    assert list(root.iterdir()) == []
    assert ask(ledger=str(ledger), root=str(root), take_back=True)["removed"] == 0


def test_moved_and_flagged_letters_are_taken_back_too(copied: tuple[Path, Path]) -> None:
    root, ledger = copied
    maildir = root / "example.org" / "anna" / "Maildir"
    (maildir / ".Alt" / "cur").mkdir(parents=True)
    (maildir / ".Alt" / "dovecot-uidlist").write_text("3 V2 N2\n")
    (maildir / "dovecot.index.log").write_text("x")
    (maildir / "cur" / "1.a.old,S=1:2,S").rename(maildir / ".Alt" / "cur" / "1.a.old,S=1:2,FS")
    (maildir / "new" / "4.a.old").rename(maildir / "cur" / "4.a.old:2,")
    (maildir / "cur" / ".5.half.old:2,.Ab12Cd").write_text("half")

    ask(ledger=str(ledger), root=str(root), take_back=True)

    assert list(root.iterdir()) == []


def test_what_came_to_new_itself_stays(copied: tuple[Path, Path]) -> None:
    root, ledger = copied
    maildir = root / "example.org" / "anna" / "Maildir"
    (maildir / "new" / "7.a.new").write_text("arrived")
    (root / "example.org" / "anna" / "notes").write_text("mine")
    (root / "example.net").mkdir()
    (root / "example.org" / "bob" / "cur").mkdir(parents=True)
    (root / "example.org" / "bob" / "cur" / "2.a.old:2,").write_text("bob's own, by chance of the same name")
    with ledger.open("ab") as more:
        more.write(b"2026/11/24 00:16:07 [20] >f+++++++++ example.org/bob/cur/8.a.old:2,\n")

    ask(ledger=str(ledger), root=str(root), take_back=True)

    left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
    assert left == [
        "example.org/anna/Maildir/dovecot-uidlist",
        "example.org/anna/Maildir/new/7.a.new",
        "example.org/anna/notes",
        "example.org/bob/cur/2.a.old:2,",
    ]
    assert (maildir / "cur").is_dir()
    assert (root / "example.net").is_dir()


def test_no_link_leads_out_of_the_store(copied: tuple[Path, Path], tmp_path: Path) -> None:
    root, ledger = copied
    outside = tmp_path / "outside"
    (root / "example.org" / "anna" / "Maildir").rename(outside)
    (root / "example.org" / "anna" / "Maildir").symlink_to(outside)
    ledger.write_bytes(ledger.read_bytes() + b"2026/11/24 00:16:06 [20] >f+++++++++ ../outside/cur/2.a.old:2,\n")

    ask(ledger=str(ledger), root=str(root), take_back=True)

    assert len(list((outside / "cur").iterdir())) == 3
