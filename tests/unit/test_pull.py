"""The temporary permission to pull: what it lets through, and that it leaves no trace."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove.moves.pull import _CUT_OFF, Transfer, _cause, _reason, shared_limit
from mailmove.moves.streams import PROGRESS, number, share_out
from mailmove.progress import Deadline
from mailmove.remote import authorize

KEY = b"ssh-ed25519 AAAA admin@desk"


def added(before: bytes, ident: str, created: bool = False) -> bytes:
    """The file with our line, as the program adds it."""
    flags = ("n" if before and not before.endswith(b"\n") else "") + ("c" if created else "")
    gap = b"\n" if "n" in flags else b""
    return before + gap + f'from="192.0.2.1",restrict ssh-ed25519 BBBB mailmove-pull:{ident}:{flags}\n'.encode()


@given(
    st.lists(st.sampled_from([KEY, b"# a comment", b"", b"  ", b'command="x y" ssh-rsa CC mailmove-pull'])),
    st.booleans(),
)
def test_the_file_is_put_back_byte_for_byte(lines: list[bytes], ended: bool) -> None:
    before = b"\n".join(lines) + (b"\n" if ended and lines else b"")

    rest, removed, _ = authorize.without(added(before, "ab12"), "mailmove-pull", [])

    assert removed == ["ab12"]
    assert rest == before


def test_a_line_in_use_is_spared() -> None:
    both = added(added(KEY + b"\n", "aa11"), "bb22")

    rest, removed, _ = authorize.without(both, "mailmove-pull", ["bb22"])

    assert removed == ["aa11"]
    assert rest == added(KEY + b"\n", "bb22")


def test_a_file_we_made_is_known_as_ours() -> None:
    assert authorize.without(added(b"", "ab12", created=True), "mailmove-pull", []) == (b"", ["ab12"], True)


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A directory behind the forced command for servers without rrsync, with an rsync that tells its arguments."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "rsync").write_text('#!/bin/sh\npwd; echo "$@"\n')
    (programs / "rsync").chmod(0o755)
    (tmp_path / "mail").mkdir()
    return tmp_path / "mail", {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}


def through(guarded: tuple[Path, dict[str, str]], command: str) -> subprocess.CompletedProcess[str]:
    directory, environment = guarded
    script = authorize.GUARD % directory
    environment = {**environment, "SSH_ORIGINAL_COMMAND": command}
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        "rsync --server --sender -lHogDtpAXre.iLsfxCIvu --timeout=600 --bwlimit=200 . .",
        "rsync --server --sender -vlogDtpre.iLsfxCIvu . .",
    ],
)
def test_reading_by_rsync_is_let_through(guarded: tuple[Path, dict[str, str]], command: str) -> None:
    said = through(guarded, command)

    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == [str(guarded[0]), command.removeprefix("rsync ")]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "cat /etc/shadow",
        "rsync --server -logDtpre.iLsfxC . .",
        "rsync --server --sender -logDtpre.iLsfxC . /etc/shadow",
        "rsync --server --sender -logDtpre.iLsfxC . ..",
        "rsync --server --sender -logDtpre.iLsfxC --remove-source-files . .",
        "rsync --server --sender -logDtpre.iLsfxC --log-file=x . .",
        "rsync --server --sender -slogDtpre.iLsfxC . .",
        "rsync --server --sender -logDtpre.iLsfxC . . ; reboot",
        "rsync --server --sender -logDtpre.iLsfxC . $(reboot)",
    ],
)
def test_anything_else_is_refused(guarded: tuple[Path, dict[str, str]], command: str) -> None:
    said = through(guarded, command)

    assert said.returncode == 77
    assert said.stdout == ""


def test_no_directory_with_a_strange_name_becomes_a_command() -> None:
    with pytest.raises(SystemExit):
        authorize.forced_command('/var/vmail";reboot;"', "ab12")
    with pytest.raises(SystemExit):
        authorize.forced_command("/var/vmail", "ab12;reboot")


def test_what_a_key_started_ends_when_it_is_let_in_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorize, "MARK", f"MAILMOVE_TEST_{secrets.token_hex(4).upper()}")
    monkeypatch.setattr(authorize, "END_S", 0.5)
    deaf = "trap '' TERM; echo; while :; do sleep 0.1; done"

    def started(number: str, script: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["env", f"{authorize.MARK}={number}", "sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
        )

    gone, hard, spared = (
        started("aa11", "echo; exec sleep 60"),
        started("aa11", deaf),
        started("bb22", "echo; exec sleep 60"),
    )
    try:
        for each in (gone, hard, spared):
            assert each.stdout and each.stdout.readline() == b"\n"

        ended = authorize.end_runs(["bb22"])

        assert {gone.pid, hard.pid} <= set(ended)
        assert gone.wait(10) == -signal.SIGTERM
        assert hard.wait(10) == -signal.SIGKILL
        assert spared.poll() is None
        assert authorize.end_runs(["bb22"]) == []
    finally:
        for each in (gone, hard, spared):
            each.kill()
            each.communicate()


def test_runs_that_are_cut_off_end_also_when_they_take_no_mild_signal(tmp_path: Path) -> None:
    """By the shell that the servers have: what is named by its group in the directory of the key, and is a run of that key."""
    ours, foreign = tmp_path / "pull-ab12", tmp_path / "pull-cd34"
    ours.mkdir()
    deaf = "trap '' TERM; while :; do sleep 0.1; done"

    def started(number: int, script: str, place: Path) -> subprocess.Popen[bytes]:
        words = [
            "setsid",
            "sh",
            "-c",
            f'echo $$ > "$0"; {script}',
            str(ours / f"pid.{number}"),
            f"{place}/files.{number}",
        ]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL)

    mild, hard = started(0, "while :; do sleep 0.1; done", ours), started(1, deaf, ours)
    spared = subprocess.Popen(["setsid", "sh", "-c", "while :; do sleep 0.1; done", f"{foreign}/files.2"])
    (ours / "pid.2").write_text(f"{spared.pid}\n")  # a number that another process has by now
    (ours / "pid.3").write_text("")
    try:
        for _ in Deadline(10):
            if all((ours / f"pid.{number}").exists() and (ours / f"pid.{number}").read_text() for number in (0, 1)):
                break

        said = subprocess.run(["sh", "-c", _CUT_OFF, "sh", str(ours)], capture_output=True, text=True, timeout=60)

        assert mild.wait(5) == -signal.SIGTERM
        assert hard.wait(5) == -signal.SIGKILL
        assert spared.poll() is None
        assert "kill" not in said.stderr
    finally:
        for each in (mild, hard, spared):
            each.kill()
            each.wait()


def test_numbers_are_read_from_what_rsync_says() -> None:
    transfer = Transfer(24, "Number of files: 3,217 (reg: 2,488)\nTotal file size: 21,877,283 bytes\n")

    assert transfer.number("Number of files") == 3217
    assert transfer.number("Total file size") == 21877283
    assert transfer.number("Literal data") == -1
    assert transfer.vanished


def test_the_reason_of_a_failure_is_what_rsync_complained_of() -> None:
    lines = [
        "sending file list",
        "rsync: [sender] send_files failed to open: Permission denied (13)",
        "total size is 1",
    ]

    assert _reason(lines) == lines[1]
    assert _reason([]) == "it said nothing"


@pytest.mark.parametrize(
    ("limit", "each"), [("", ""), ("20m", "5.00m"), ("1000", "250.00"), ("1.5M", "0.38M"), ("x", "x")]
)
def test_the_limit_of_bandwidth_is_for_all_streams_together(limit: str, each: str) -> None:
    assert shared_limit(limit, 4) == each
    assert shared_limit(limit, 1) == limit


@given(st.lists(st.integers(0, 10**9), max_size=60), st.integers(1, 8))
def test_mailboxes_are_shared_out_evenly(sizes: list[int], streams: int) -> None:
    homes = [{"path": f"d/u{n}", "letters": 1, "bytes": size} for n, size in enumerate(sizes)]

    batches = share_out(homes, streams)

    assert sorted(home for batch in batches for home in batch.homes) == sorted(home["path"] for home in homes)
    if batches:
        assert max(b.bytes for b in batches) - min(b.bytes for b in batches) <= max(sizes)


def test_progress_is_read_from_rsync() -> None:
    match = PROGRESS.match("     21,877,283  99%   10.12MB/s    0:00:02 (xfr#2422, to-chk=0/3217)")

    assert match
    assert (number(match[1]), number(match[2])) == (21877283, 2422)
    assert PROGRESS.match("Number of files: 3") is None


@pytest.mark.parametrize(
    ("rc", "said", "cause"),
    [
        (23, 'rsync: [generator] recv_generator: mkdir "/m/a" failed: No space left on device (28)', 11),
        (255, "rsync error: unexplained error (code 255) at io.c(285) [generator=3.2.7]", 12),
        (255, "Connection to new closed by remote host.", 255),
        (12, "rsync error: error in rsync protocol data stream (code 12) at io.c(285)", 12),
    ],
)
def test_the_hint_is_for_what_broke_the_copy_and_not_for_its_exit_status_alone(rc: int, said: str, cause: int) -> None:
    assert _cause(rc, said) == cause
