"""Letters that new put off for a cause that has passed: tried once more, so that no person need look at them."""

from __future__ import annotations

from mailmove import postfix
from mailmove.moves.base import Context
from mailmove.progress import Deadline

AGAIN_S = 20.0


def try_again(context: Context) -> None:
    """A mailbox's database that came up later than the mail, or had no connection left in the first minute's rush."""
    new = context.new

    def late() -> bool:
        letters = postfix.queue(new)
        return any(q.waits and q.queue != "hold" and q.to(context.migration.domains) for q in letters)

    if not late():
        return
    new.run("postqueue", "-f", check=True)
    for left in Deadline(AGAIN_S):
        if not late():
            return
        context.progress.at("letters that were put off are tried again", AGAIN_S - left, AGAIN_S)
