"""Whether a mail store is at rest, told by looks at its directories. The real program that looks on the servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "mailmove" / "remote" / "quiet.py"


def look(root: Path, **more: object) -> dict[str, Any]:
    asked = json.dumps({"root": str(root), "window": 0, **more}).encode() + b"\n"
    done = subprocess.run([sys.executable, PROGRAM], input=asked, capture_output=True, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "vmail" / "example.org" / "anna" / "Maildir" / ".Work"
    for leaf in ("cur", "new", "tmp"):
        (path / leaf).mkdir(parents=True)
    return path


def test_what_is_as_it_was_is_at_rest(tmp_path: Path, folder: Path) -> None:
    before = look(tmp_path / "vmail")

    assert look(tmp_path / "vmail", before=before)["changed"] == []
    assert before["directories"] == 8


def test_what_changed_since_an_earlier_look_is_named(tmp_path: Path, folder: Path) -> None:
    before = look(tmp_path / "vmail")
    (folder / "new" / "1.M1P1.old").write_text("Subject: late\n\n")

    assert look(tmp_path / "vmail", before=before)["changed"] == [str(folder / "new")]


def test_a_folder_that_went_away_is_seen(tmp_path: Path, folder: Path) -> None:
    before = look(tmp_path / "vmail")
    (folder / "new").rmdir()

    assert look(tmp_path / "vmail", before=before)["changed"] == [str(folder)]


def test_times_that_went_back_are_no_rest(tmp_path: Path, folder: Path) -> None:
    before = look(tmp_path / "vmail")
    os.utime(folder / "cur", (1, 1))

    assert look(tmp_path / "vmail", before=before)["changed"]


def test_who_has_a_letter_open_is_named(tmp_path: Path, folder: Path) -> None:
    (folder / "cur" / "1.M1P1.old:2,S").write_text("x")
    with (folder / "cur" / "1.M1P1.old:2,S").open():
        seen = look(tmp_path / "vmail")

    assert [pid for pid, _, _ in seen["holders"]] == [os.getpid()]
