"""Looking again at what a move brought about, long after: it may have been overtaken by another move, by design."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mailmove.evidence import Evidence, Examination
from mailmove.moves.base import Context, Move


def as_it_stands(context: Context, kind: type[Move], look: Callable[[], Iterable[Evidence]]) -> list[Evidence]:
    """What ``look`` finds; once the move was overtaken, only that it was."""
    overtaker = next((name for name in kind.overtaken_by if context.journal.touched(name)), "")
    if not overtaker:
        return list(look())
    exam = Examination("proved when it was done; things have moved on since", "journal")
    exam.expect("overtaken, by design, by the move", overtaker, True)
    return [exam.close()]
