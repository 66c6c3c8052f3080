"""A pytest plugin for mailmove runs under test: ends the run, or a server, at a point of the journal.

``MAILMOVE_TEST_CRASH=MOVE:EVENT[:SECONDS]`` names the point. The run ends itself by SIGKILL as soon as the journal has that entry
on disk, or so many seconds later; what it has started goes on, as it would on an admin's laptop. With
``MAILMOVE_TEST_CRASH_HOST=old`` (or new) it is that lab machine whose plug is pulled instead, and the run goes on into it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any

from mailmove.journal import Event, Journal

POINT = os.environ.get("MAILMOVE_TEST_CRASH", "")
HOST = os.environ.get("MAILMOVE_TEST_CRASH_HOST", "")

_PULL = """
import sys
from mailmove.lab.lab import Lab
Lab(sys.argv[1]).machines[sys.argv[2]].kill()
"""


def _crash() -> None:
    if HOST:
        subprocess.run([sys.executable, "-c", _PULL, os.environ["MAILMOVE_LAB_INSIDE"], HOST], check=True, timeout=60)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def pytest_configure() -> None:
    if not POINT:
        return
    move, event, *more = POINT.split(":")
    delay = float(more[0]) if more else 0.0
    record = Journal.record
    armed = [True]

    def recorded(self: Journal, name: str, what: Event, **detail: Any) -> None:
        record(self, name, what, **detail)
        if armed and name == move and what == event:
            armed.clear()
            if delay:
                timer = threading.Timer(delay, _crash)
                timer.daemon = True
                timer.start()
            else:
                _crash()

    Journal.record = recorded  # type: ignore[method-assign]
