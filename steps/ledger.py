"""The ledger: every letter that either server took, and its end."""

from __future__ import annotations

from pytest_bdd import then

from checks import ledger
from mailmove.evidence import Judge
from mailmove.moves.base import Context


@then("every letter that either server took since the beginning of the move has exactly one end")
def every_letter_has_one_end(context: Context, judge: Judge) -> None:
    judge(ledger.every_letter_has_one_end(context.old, context.new, context.journal))
