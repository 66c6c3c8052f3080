"""The ledger: every letter that either server took, and its end."""

from __future__ import annotations

from pytest_bdd import then

from checks import ledger
from mailmove.evidence import Judge
from mailmove.journey import Journey, Mode
from mailmove.ledger import Role
from mailmove.moves.base import Context


@then("every letter that either server took since the beginning of the move has exactly one end")
def every_letter_has_one_end(context: Context, journey: Journey, judge: Judge) -> None:
    live: Role = "old" if journey.mode is Mode.UNDO else "new"
    judge(ledger.every_letter_has_one_end(context.old, context.new, context.journal, live))
