"""What a person sees while it runs: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Where checks and moves say what they are at."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def at(self, text: str, done: float = 0, total: float = 0) -> None:
        """What goes on just now; ``done`` of ``total`` in the same unit, 0 if unknown. May be shown or dropped."""


class Silence:
    """Shows nothing."""

    def say(self, text: str) -> None:
        pass

    def at(self, text: str, done: float = 0, total: float = 0) -> None:
        pass


class Deadline:
    """Asks again until it holds or the time is up, instead of sleeping and hoping."""

    def __init__(self, seconds: float, every: float = 0.25) -> None:
        """``seconds`` to wait at most, ``every`` the first pause; pauses grow to 2 s."""
        self.seconds = seconds
        self._every = every

    def __iter__(self) -> Iterator[float]:
        """Yields the seconds left, at least once, pausing between."""
        end = time.monotonic() + self.seconds
        pause = self._every
        while True:
            left = end - time.monotonic()
            yield max(left, 0.0)
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 2.0)


@contextmanager
def timed() -> Iterator[list[float]]:
    """The seconds a block took, in a list of one."""
    result = [0.0]
    begin = time.monotonic()
    try:
        yield result
    finally:
        result[0] = time.monotonic() - begin
