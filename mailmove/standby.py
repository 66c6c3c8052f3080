"""Python on a server, started before it is needed: programs are handed to it one after the other.

A program by itself costs a login shell, Python's start and its modules, more than most of them take: and where nothing
of that is in memory, many times as much. See :mod:`mailmove.remote.standby`, which waits there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.resources
import itertools
import json
import os
import shlex
import subprocess
import threading
import zlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

KEPT = 2  # that wait, at most: sshd lets ten sessions into one connection
END_S = 10
PACKED_FROM = 16384  # bytes of arguments
LONGEST_NOISE = 500  # bytes
_LOADER = "import sys;b=sys.stdin.buffer;exec(compile(b.read(int(b.readline())),'mailmove-remote','exec'))"


@dataclass(frozen=True)
class End:
    """How a program ended. ``lost``: the connection broke, or never stood; then ``rc`` and ``error`` are ssh's.

    ``noise``: what the login shell there said before anything was begun; nothing that comes after it can be told apart.
    """

    rc: int
    error: str
    lost: bool = False
    noise: str = ""


class Standby:
    """Those of one server. Programs may be run at the same time, from several threads."""

    def __init__(self, ssh: Callable[[str], list[str]]) -> None:
        """``ssh``: the command line that runs a command there."""
        self._ssh = ssh
        self._idle: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._process = os.getpid()

    def run(self, program: bytes, arguments: bytes, timeout_s: int) -> Generator[bytes, None, End]:
        """Run a program there and yield the lines it prints, as they come; one that was cut off was not said."""
        number = next(self._numbers)
        begun = False
        while not begun:
            process, fresh = self._take()
            answer = _begin(process, number, program, arguments, timeout_s)
            begun = answer == _taken(number)
            if not begun and answer:
                process.kill()
                return dataclasses.replace(ended(process), noise=answer.decode("utf-8", "replace").strip())
            if not begun:
                end = ended(process)
                if fresh:
                    return end
        assert process.stdout
        told = b""
        try:
            for line in process.stdout:
                _, mark, told = line.partition(b"\0")
                if mark:
                    break
                if line.endswith(b"\n"):
                    yield line
        except BaseException:
            process.kill()  # whoever asked wants no more: what it would still say must not reach the next one
            ended(process)
            raise
        if not told.endswith(b"\n"):
            return ended(process)
        said = json.loads(told)
        if said["id"] != number:
            process.kill()
            ended(process)
            raise ValueError(f"asked for {number}, and {said['id']} was answered")
        self._give_back(process)
        return End(said["rc"], said["error"])

    def get_ready(self, programs: Iterable[bytes], count: int = KEPT) -> None:
        """Have so many wait that know these programs already. What cannot be reached says so when it is needed."""
        every = list(programs)

        def one(_: int) -> None:
            for program in every:
                for _line in self.run(program, b"", 0):
                    pass

        taken = [self._take() for _ in range(count)]
        for process, _ in taken:
            self._give_back(process)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(one, range(count)))

    def _take(self) -> tuple[subprocess.Popen[bytes], bool]:
        """One that waits, or else a new one; and whether it is new."""
        with self._lock:
            if self._process != os.getpid():  # after a fork: those belong to the other process
                self._process, self._idle = os.getpid(), []
            if self._idle:
                return self._idle.pop(), False
        return started(self._ssh, "standby"), True

    def _give_back(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(process)
                return
        ended(process)

    def close(self) -> None:
        """End those that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._process == os.getpid():
            for process in idle:
                ended(process)


def source_of(program: str) -> bytes:
    """The text of ``mailmove/remote/PROGRAM.py``."""
    return importlib.resources.files("mailmove.remote").joinpath(f"{program}.py").read_bytes()


def started(ssh: Callable[[str], list[str]], program: str, *, first: bytes = b"") -> subprocess.Popen[bytes]:
    """Python there, with ``mailmove/remote/PROGRAM.py`` and the ``first`` it is to read. Why there is none is told by its end."""
    pipe = subprocess.PIPE
    command = ssh(f"exec python3 -c {shlex.quote(_LOADER)}")
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
    source = source_of(program)
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"%d\n" % len(source) + source + first)
        process.stdin.flush()
    return process


def _begin(process: subprocess.Popen[bytes], number: int, program: bytes, arguments: bytes, timeout_s: int) -> bytes:
    """Hand it over. What was said to that: nothing if nobody was there to take it; then it was not begun."""
    assert process.stdin and process.stdout
    # What is known of every directory of a large store is megabytes, which somebody's line at home takes seconds for
    packed = len(arguments) > PACKED_FROM
    sent = zlib.compress(arguments, 1) if packed else arguments
    head = {"id": number, "program": len(program), "arguments": len(sent), "packed": packed, "time": timeout_s}
    try:
        process.stdin.write(json.dumps(head).encode() + b"\n" + program + sent)
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    return process.stdout.readline(LONGEST_NOISE)


def _taken(number: int) -> bytes:
    """What is said when a program was taken."""
    return b"\1%d\n" % number


def ended(process: subprocess.Popen[bytes]) -> End:
    """End one that waits, or take leave of one that is gone."""
    assert process.stdin and process.stdout and process.stderr
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    error = process.stderr.read().decode("utf-8", "replace")
    process.stdout.close()
    process.stderr.close()
    return End(process.returncode or 255, error, lost=process.returncode in (0, 255) or process.returncode < 0)
