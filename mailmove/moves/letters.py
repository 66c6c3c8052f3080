"""Letters read on one server to be put into the mailboxes of another, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mailmove.return_trip import batches
from mailmove.server import Server

Letter = dict[str, Any]  # as remote/carry.py gives and takes them
BATCH_BYTES = 4 << 20  # of letters in one round trip; at least one letter
_ASKED = 200  # letters that are asked for in one question


def read(source: Server, letters: Iterable[tuple[str, str]]) -> Iterator[Letter]:
    """The files of letters, given as (path of the folder, base name). One that went away says ``gone``."""
    for some in batches(letters, _ASKED):
        yield from source.remote("carry", {"give": [list(each) for each in some]})


def by_size(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """As many at a time as one round trip takes."""
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        batch.append(letter)
        size += len(letter["data"])
        if size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def take(target: Server, asked: dict[str, Any]) -> dict[str, Any]:
    """What ``remote/carry.py`` is asked to put into a store, and its answer."""
    (answer,) = target.remote("carry", asked, timeout_s=3600)
    return answer
