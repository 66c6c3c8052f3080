"""Servers are held for one run at a time, and freed when it goes, however it goes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailmove import claim as module
from mailmove.claim import Claim
from mailmove.errors import Refused, ServerError
from mailmove.progress import Deadline
from mailmove.server import Connection, Server

Make = Callable[..., Claim]


class Here(Connection):
    """A connection that leads to this machine."""

    def ssh(self, target: str, command: str) -> list[str]:
        return ["sh", "-c", command if target != "gone" else "echo 'No route to host' >&2; exit 255"]


@pytest.fixture
def name() -> str:
    return f"mailmove-test-{secrets.token_hex(6)}"


@pytest.fixture
def make(name: str, tmp_path: Path) -> Iterator[Make]:
    connection = Here(None)
    made = []

    def one(directory: str, target: str = "here") -> Claim:
        made.append(Claim([Server("new", target, connection)], tmp_path / directory, "undo", name))
        return made[-1]

    yield one
    for each in made:
        each.release()
    connection.close()


def process(claim: Claim) -> subprocess.Popen[bytes]:
    (found,) = claim._held.values()
    return found


def is_free(name: str) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.bind("\0" + name)
        except OSError:
            return False
        return True


def test_a_second_run_is_refused_and_told_who_is_at_work(make: Make, tmp_path: Path) -> None:
    first, second = make("one"), make("two")
    first.hold()
    began = time.monotonic()

    with pytest.raises(Refused) as refused:
        second.hold()

    assert "at work on the new server (here)" in refused.value.fact
    assert refused.value.hint
    assert f"{tmp_path}/one (undo, since " in refused.value.fact
    assert time.monotonic() - began < 30
    first.hold()  # and is not in the way of the first


def test_it_is_free_again_when_the_run_is_over(make: Make, name: str) -> None:
    first = make("one")
    first.hold()
    assert not is_free(name)
    first.release()

    assert is_free(name)
    make("two").hold()


def test_a_run_that_was_killed_holds_nothing(make: Make, name: str) -> None:
    first = make("one")
    first.hold()
    stdin = process(first).stdin
    assert stdin
    stdin.close()  # as the system does for a process that is gone

    make("two").hold()


def test_the_same_run_anew_takes_over_what_it_lost_sight_of(make: Make) -> None:
    lost = make("one")
    lost.hold()

    again = make("one")
    again.hold()

    assert process(lost).wait(10) == 0
    assert process(again).poll() is None


def test_a_connection_that_broke_is_made_again_before_the_next_move(make: Make) -> None:
    first = make("one")
    first.hold()
    before = process(first)
    os.kill(before.pid, signal.SIGKILL)
    before.wait()

    first.hold()

    assert process(first) is not before
    with pytest.raises(Refused):
        make("two").hold()


def test_what_another_run_took_meanwhile_is_not_taken_back(make: Make) -> None:
    first, second = make("one"), make("two")
    first.hold()
    os.kill(process(first).pid, signal.SIGKILL)
    process(first).wait()
    second.hold()

    with pytest.raises(Refused):
        first.hold()
    second.hold()


def test_a_run_that_falls_silent_holds_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", 1)
    first = make("one")  # its next word would come after BEAT_S
    first.hold()

    assert process(first).wait(20) == 0
    make("two").hold()


def test_a_run_that_is_heard_goes_on_holding(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", 4)
    monkeypatch.setattr(module, "BEAT_S", 0.2)
    first, second = make("one"), make("two")
    for _ in range(2):  # also once it was refused meanwhile
        first.hold()
        time.sleep(6)
        assert process(first).poll() is None
        first.release()
        second.hold()
        with pytest.raises(Refused):
            first.hold()
        second.release()


def test_a_server_out_of_reach_is_told_as_that(make: Make) -> None:
    with pytest.raises(ServerError, match="cannot be reached by ssh: No route to host"):
        make("one", "gone").hold()


def test_somebody_else_who_took_the_name_is_told(make: Make, name: str) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("\0" + name)
        other.listen(5)

        with pytest.raises(Refused, match=f"process {os.getpid()} there, which says nothing"):
            make("one").hold()


@settings(max_examples=8)
@given(st.binary(max_size=60))
def test_whatever_is_said_to_it_it_goes_on_holding(said: bytes) -> None:
    name = f"mailmove-test-{secrets.token_hex(6)}"
    program = Path(module.__file__).parent / "remote" / "claim.py"
    with subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin and holder.stdout
        asked = {"name": name, "run": "one", "words": "the first", "lease": 60}
        holder.stdin.write(json.dumps(asked).encode() + b"\n")
        holder.stdin.flush()
        assert json.loads(holder.stdout.readline()) == {"held": True}
        with socket.socket(socket.AF_UNIX) as other:
            other.connect("\0" + name)
            other.sendall(said + b"\n")
            other.settimeout(10)
            answer = json.loads(other.recv(4096))
        assert answer == {"words": "the first", "run": "one"}
        assert holder.poll() is None
        holder.stdin.close()
        for _ in Deadline(10):
            if holder.poll() is not None:
                break
        assert holder.poll() == 0
