"""Several copies side by side: the mailboxes shared out by their bytes, so that all streams end at about the same time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from mailmove import stores
from mailmove.moves.base import Context
from mailmove.moves.pull import Pull

PROGRESS = re.compile(r"^\s*([\d,.]+)\s+\d+%\s(?:.*xfr#(\d+))?")
LEAST_BYTES = 256 << 20  # a run of rsync for less than this costs more than it brings
ROUNDS = 4  # batches for each stream: the last ones even out what the sizes did not tell


@dataclass
class Batch:
    """Homes that one run of rsync copies."""

    homes: list[str] = field(default_factory=list)
    letters: int = 0
    bytes: int = 0


def share_out(homes: Iterable[dict[str, Any]], streams: int) -> list[Batch]:
    """The homes ("path", "letters", "bytes") in batches, the largest first; each of about the same size, none needlessly small."""
    every = sorted(homes, key=lambda home: (-home["bytes"], home["path"]))
    total = sum(home["bytes"] for home in every)
    count = min(max(streams, min(streams * ROUNDS, total // LEAST_BYTES)), len(every))
    batches = [Batch() for _ in range(count)]
    for home in every:
        least = min(batches, key=lambda batch: (batch.bytes, len(batch.homes)))
        least.homes.append(home["path"])
        least.letters += home["letters"]
        least.bytes += home["bytes"]
    return sorted(batches, key=lambda batch: -batch.bytes)


class Streams:
    """One pass over the whole store, in streams. ``files`` and ``bytes``: what was copied."""

    def __init__(self, context: Context, pull: Pull, words: str) -> None:
        self.context = context
        self.pull = pull
        self.words = words
        self.files = 0
        self.bytes = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._running: dict[int, tuple[int, int]] = {}  # batch -> bytes, letters so far
        self._begun = time.monotonic()
        self._shown = 0.0

    def run(self, homes: list[dict[str, Any]], arguments: list[str]) -> None:
        """Copy these homes. Raises MoveFailed when any stream failed; the others are ended then."""
        streams = self.context.migration.settings.copy_.streams
        batches = share_out(homes, streams)
        self._homes, self._homes_done = len(homes), 0
        self._letters, self._bytes = sum(b.letters for b in batches), sum(b.bytes for b in batches)
        lists = [self.pull.listed(f"{home}/" for home in batch.homes) for batch in batches]
        at_once = min(streams, len(batches)) or 1
        with ThreadPoolExecutor(at_once) as pool:
            running = [
                pool.submit(self._one, number, batch, [*lists[number], *arguments], at_once)
                for number, batch in enumerate(batches)
            ]
            try:
                for each in as_completed(running):
                    each.result()
            except BaseException:
                self._stop.set()
                self.pull.cut_off()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, batch_number: int, batch: Batch, arguments: list[str], at_once: int) -> None:
        def on_line(line: str) -> None:
            if self._stop.is_set():
                raise InterruptedError("another stream failed")
            match = PROGRESS.match(line)
            if match:
                with self._lock:
                    self._running[batch_number] = number(match[1]), int(match[2] or 0)
                    self._show()

        root = stores.place(self.context.new).root
        transfer = self.pull.rsync(arguments, f"{root}/", on_line, changing=True, shared_by=at_once)
        with self._lock:
            self._running.pop(batch_number, None)
            self.files += transfer.number("Number of regular files transferred")
            self.bytes += transfer.number("Total transferred file size")
            self._homes_done += len(batch.homes)
            self._show(now=True)

    def _show(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._shown < 0.2:
            return
        self._shown = time.monotonic()
        done = self.bytes + sum(each[0] for each in self._running.values())
        letters = self.files + sum(each[1] for each in self._running.values())
        spent = time.monotonic() - self._begun
        left = f", {span((self._bytes - done) * spent / done)} left" if self._bytes > done > 0 and spent > 2 else ""
        self.context.progress.at(
            f"{self.words}: {done / 1e6:,.1f} of {max(self._bytes, done) / 1e6:,.1f} MB, {letters:,} of {max(self._letters, letters):,} letters,"
            f" {self._homes_done} of {self._homes} mailboxes{left}",
            done,
            max(self._bytes, done),
        )


def number(text: str) -> int:
    """A number as rsync writes it."""
    return int(re.sub(r"\D", "", text) or 0)


def span(seconds: float) -> str:
    """A length of time for a person."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
