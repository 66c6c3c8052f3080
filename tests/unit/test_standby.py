"""Python that waits for programs: each runs by itself, and none is begun twice or told another's lines."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailmove.standby import PACKED_FROM, End, Standby


def here(command: str) -> list[str]:
    return ["sh", "-c", command]


ECHO = b"import sys\nfor line in sys.stdin: print(line.strip())\n"


@pytest.fixture
def standby() -> Iterator[Standby]:
    made = Standby(here)
    yield made
    made.close()


def all_of(run: Generator[bytes, None, End]) -> tuple[list[bytes], End]:
    lines = []
    try:
        while True:
            lines.append(next(run))
    except StopIteration as stop:
        return lines, stop.value


def waiting(standby: Standby) -> list[int]:
    return [process.pid for process in standby._idle]


def test_programs_run_one_after_the_other_in_the_same_python(standby: Standby) -> None:
    for word in (b"one", b"two", b"three"):
        assert all_of(standby.run(ECHO, word + b"\n", 10)) == ([word + b"\n"], End(0, ""))

    assert len(waiting(standby)) == 1


@pytest.mark.parametrize("size", [0, 10, PACKED_FROM, PACKED_FROM + 1, 3_000_000])
def test_what_a_program_is_told_arrives_whole_however_large(standby: Standby, size: int) -> None:
    told = random.Random(size).randbytes(size) if size else b""
    count = b"import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"

    assert all_of(standby.run(count, told, 10)) == ([f"{hashlib.sha256(told).hexdigest()}\n".encode()], End(0, ""))


def test_nothing_of_a_program_is_left_for_the_next(standby: Standby) -> None:
    all_of(standby.run(b"import os, sys; os.chdir('/'); sys.path.clear(); left = 1", b"", 10))

    lines, _ = all_of(
        standby.run(b"import os, sys; print('left' in globals(), os.getcwd() == '/', sys.path == [])", b"", 10)
    )

    assert lines == [b"False %r False\n" % (os.getcwd() == "/")]


@pytest.mark.parametrize(
    ("program", "rc", "words"),
    [
        (b"import sys; sys.exit('no mail here')", 1, "no mail here"),
        (b"import sys; sys.exit(7)", 7, ""),
        (b"1 / 0", 1, "ZeroDivisionError"),
        (b"import os; os.kill(os.getpid(), 9)", 137, ""),
        (b"import time; time.sleep(60)", 124, ""),
    ],
)
def test_how_a_program_ended_is_told(standby: Standby, program: bytes, rc: int, words: str) -> None:
    lines, end = all_of(standby.run(program, b"", 1))

    assert (lines, end.rc, end.lost) == ([], rc, False)
    assert words in end.error
    assert all_of(standby.run(ECHO, b"next\n", 10))[0] == [b"next\n"]


def test_a_line_that_was_cut_off_was_not_said(standby: Standby) -> None:
    program = b'import os; os.write(1, b\'{"whole": 1}\\n{"ha\'); os.kill(os.getpid(), 9)'

    assert all_of(standby.run(program, b"", 10)) == ([b'{"whole": 1}\n'], End(137, ""))


def test_what_a_program_starts_does_not_read_what_is_asked_next(standby: Standby) -> None:
    program = b"import subprocess; print(subprocess.run(['cat'], stdout=subprocess.PIPE).stdout)"

    for _ in range(2):
        assert all_of(standby.run(program, b"for the program\n", 10))[0] == [b"b''\n"]


def test_one_that_died_while_it_waited_is_replaced(standby: Standby) -> None:
    all_of(standby.run(ECHO, b"first\n", 10))
    (pid,) = waiting(standby)
    os.kill(pid, signal.SIGKILL)

    assert all_of(standby.run(ECHO, b"second\n", 10)) == ([b"second\n"], End(0, ""))


def test_a_program_whose_python_died_is_not_begun_again(standby: Standby) -> None:
    program = b"import os, signal; print('begun', flush=True); os.kill(os.getppid(), signal.SIGKILL)"

    lines, end = all_of(standby.run(program, b"", 10))

    assert lines == [b"begun\n"]
    assert end.rc != 0


def test_what_cannot_be_reached_says_why() -> None:
    standby = Standby(lambda _: here("echo 'no route to host' >&2; exit 255"))

    assert all_of(standby.run(ECHO, b"x\n", 10)) == ([], End(255, "no route to host\n", lost=True))


def test_whoever_wants_no_more_does_not_leave_the_rest_to_the_next(standby: Standby) -> None:
    run = standby.run(b"for number in range(10**6): print(number)", b"", 60)
    assert list(itertools.islice(run, 3)) == [b"0\n", b"1\n", b"2\n"]
    run.close()

    assert all_of(standby.run(ECHO, b"mine\n", 10))[0] == [b"mine\n"]


def test_several_at_once_get_their_own_lines(standby: Standby) -> None:
    words = [b"%d\n" % number * 500 for number in range(12)]

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda word: b"".join(all_of(standby.run(ECHO, word, 30))[0]), words))

    assert told == words
    assert len(waiting(standby)) <= 2


def test_a_forked_process_has_its_own(standby: Standby) -> None:
    all_of(standby.run(ECHO, b"before\n", 10))
    (pid,) = waiting(standby)
    child = os.fork()
    if not child:
        lines, _ = all_of(standby.run(ECHO, b"child\n", 10))
        os._exit(0 if lines == [b"child\n"] and waiting(standby) != [pid] else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert all_of(standby.run(ECHO, b"after\n", 10))[0] == [b"after\n"]
    assert waiting(standby) == [pid]


def test_made_ready_it_only_has_to_run(standby: Standby) -> None:
    standby.get_ready([ECHO])
    before = waiting(standby)

    assert len(before) == 2
    assert all_of(standby.run(ECHO, b"now\n", 10))[0] == [b"now\n"]
    assert sorted(waiting(standby)) == sorted(before)


def test_a_program_is_lived_through_to_its_end(standby: Standby) -> None:
    program = b"""import sys, threading, time
print("first", end="")
def late():
    time.sleep(0.2)
    print(" and last")
threading.Thread(target=late).start()
"""

    assert all_of(standby.run(program, b"", 10)) == ([b"first and last\n"], End(0, ""))


def test_what_a_program_says_at_its_end_is_told(standby: Standby) -> None:
    for program, rc, error in ((b"raise SystemExit", 0, ""), (b"raise SystemExit(['a', 1])", 1, "['a', 1]\n")):
        assert all_of(standby.run(b"print('said')\n" + program, b"", 10)) == ([b"said\n"], End(rc, error))


def test_a_login_shell_that_talks_is_told_of(tmp_path: Path) -> None:
    talking = tmp_path / "ssh"
    talking.write_text('#!/bin/sh\necho "Welcome to mail"\nexec sh -c "$1"\n')
    talking.chmod(0o755)
    made = Standby(lambda command: [str(talking), command])

    lines, end = all_of(made.run(ECHO, b"one\n", 10))

    assert (lines, end.noise) == ([], "Welcome to mail")
    made.close()
