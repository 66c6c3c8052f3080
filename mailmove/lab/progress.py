"""What a person sees while the lab works: a line per host that changes in place, or plain lines without a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Protocol, Self


class Progress(Protocol):
    """Somewhere to say what is going on. Called from several threads."""

    def say(self, who: str, what: str) -> None:
        """`who` (a host, or the lab) is at `what` now."""

    def done(self, who: str, what: str) -> None:
        """`who` has reached its goal `what`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """A line per event, with the seconds since the start: for logs and pipes."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def say(self, who: str, what: str) -> None:
        """See Progress."""
        with self._lock:
            print(f"{time.monotonic() - self._started:6.1f} s  {who:8} {what}", flush=True)

    def done(self, who: str, what: str) -> None:
        """See Progress."""
        self.say(who, what)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def best() -> Progress:
    """A live table where there is a terminal and the library `rich`; lines otherwise."""
    if not sys.stdout.isatty():
        return Lines()
    try:
        from mailmove.lab.live import Table
    except ModuleNotFoundError:
        return Lines()
    return Table()
