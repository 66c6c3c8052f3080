"""Data from a command on one server into one on the other, through this machine, counted and hashed on the way."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from mailmove import failures
from mailmove.progress import Progress
from mailmove.server import Server

BLOCK = 1 << 20


@dataclass(frozen=True)
class Streamed:
    """What went through: bytes, and their SHA-256."""

    size: int
    sha256: str


def stream(
    source: Server,
    read: Sequence[str],
    sink: Server,
    write: Sequence[str],
    progress: Progress,
    words: str,
    total: int = 0,
    tolerated: Sequence[int] = (),
) -> Streamed:
    """Run ``read`` there and ``write`` here with its output. ``total``: bytes expected, for the progress.

    Raises ServerError when either ends with an exit status that is not 0 (nor ``tolerated``, of ``read``).
    """
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(
            source.ssh(shlex.join(read)),
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
        ) as reader,
        subprocess.Popen(sink.ssh(shlex.join(write)), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as writer,
    ):
        assert reader.stdout and reader.stderr and writer.stdin and writer.stdout
        size, total_hash = 0, hashlib.sha256()
        try:
            while block := reader.stdout.read(BLOCK):
                writer.stdin.write(block)
                total_hash.update(block)
                size += len(block)
                progress.at(words, size, max(total, size))
            writer.stdin.close()
        except BrokenPipeError:
            reader.kill()  # the reason is what the writer said
        said, complaint = _rest(writer.stdout), _rest(reader.stderr)
        rc_read, rc_write = reader.wait(), writer.wait()
    if rc_write:
        raise failures.of_command(sink.role, f"{words}, writing it", rc_write, "", said)
    if rc_read and rc_read not in tolerated:
        raise failures.of_command(source.role, f"{words}, reading it", rc_read, "", complaint)
    return Streamed(size, total_hash.hexdigest())


def _rest(pipe: IO[bytes]) -> str:
    return pipe.read().decode("utf-8", "replace").strip()
