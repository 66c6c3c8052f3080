"""A pytest plugin that says where a run's time goes: ssh, SMTP, IMAP, the browser, waiting, and mailmove itself.

Loaded by bench/verify.py with ``-p bench.clocks``. Each kind counts its own time only: what runs inside it belongs to the inner one.
Writes JSON to the file named by MAILMOVE_CLOCKS: seconds and calls by kind.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailmove import server
from mailmove.clients import browser, imap, smtp

_inner = threading.local()
_seconds: dict[str, float] = defaultdict(float)
_calls: dict[str, int] = defaultdict(int)


def _clocked(kind: str, act: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(act)
    def timed(*arguments: Any, **named: Any) -> Any:
        began, outer = time.monotonic(), getattr(_inner, "taken", 0.0)
        _inner.taken = 0.0
        try:
            return act(*arguments, **named)
        finally:
            took = time.monotonic() - began
            if threading.current_thread() is threading.main_thread():
                _seconds[kind] += took - _inner.taken
                _calls[kind] += 1
            _inner.taken = outer + took

    return timed


def _clocked_lines(act: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(act)
    def lines(*arguments: Any, **named: Any) -> Iterator[Any]:
        return iter(_clocked("ssh", lambda: list(act(*arguments, **named)))())

    return lines


def pytest_configure(config: pytest.Config) -> None:
    """Put the clocks around the places where mailmove waits for somebody else."""
    server.Server._run = _clocked("ssh", server.Server._run)  # type: ignore[method-assign]
    server.Server.remote = _clocked_lines(server.Server.remote)  # type: ignore[method-assign]
    smtp.converse_all = _clocked("SMTP", smtp.converse_all)
    imap.Mailbox._do = _clocked("IMAP", imap.Mailbox._do)  # type: ignore[method-assign]
    imap.IMAPClient.login = _clocked("IMAP", imap.IMAPClient.login)
    browser.Browser._visit = _clocked("browser", browser.Browser._visit)  # type: ignore[method-assign]
    time.sleep = _clocked("waiting", time.sleep)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write down what the clocks showed."""
    place = os.environ.get("MAILMOVE_CLOCKS")
    if place:
        Path(place).write_text(json.dumps({"seconds": _seconds, "calls": _calls}))
