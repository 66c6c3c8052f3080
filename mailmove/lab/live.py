"""The live form of the lab's progress. Needs the library `rich`, which is optional."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table as Grid
from rich.text import Text


@dataclass
class _Row:
    what: str
    since: float = field(default_factory=time.monotonic)
    ended: float | None = None
    failed: bool = False
    spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))


class Table:
    """One row per host: a spinner or a tick, what it is doing, and for how long."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()
        self._live = Live(console=Console(), refresh_per_second=8, get_renderable=self._render)

    def say(self, who: str, what: str) -> None:
        """See Progress."""
        with self._lock:
            row = self._rows.get(who)
            # one host, one clock: what it is doing changes, the seconds since it began go on
            self._rows[who] = _Row(what) if row is None else _Row(what, row.since)

    def done(self, who: str, what: str) -> None:
        """See Progress."""
        with self._lock:
            row = self._rows.setdefault(who, _Row(what))
            row.what, row.ended = what, time.monotonic()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for row in self._rows.values():
                row.failed = row.ended is None and error is not None
                row.ended = row.ended or time.monotonic()
        self._live.stop()

    def _render(self) -> RenderableType:
        grid = Grid.grid(padding=(0, 1))
        with self._lock:
            for who, row in self._rows.items():
                mark: RenderableType = row.spinner
                if row.ended is not None:
                    mark = Text("✗", style="red") if row.failed else Text("✓", style="green")
                seconds = (row.ended or time.monotonic()) - row.since
                grid.add_row(mark, Text(who, style="bold"), Text(row.what), Text(f"{seconds:.0f} s", style="dim"))
        return grid
