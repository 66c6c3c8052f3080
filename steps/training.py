"""What the spam filter has learned, carried over."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import training
from mailmove.evidence import Judge
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.training import CARRIED, CarryTraining
from mailmove.server import Server
from steps.accounts import unless_overtaken

Perform = Callable[[type[Move]], Outcome]


@when("the spam filter's training is carried over", target_fixture="outcome")
def carry_training(perform: Perform) -> Outcome:
    return perform(CarryTraining)


@then("the new spam filter has learned at least what the old one had")
def new_has_learned(outcome: Outcome, context: Context, judge: Judge) -> None:
    judge(
        unless_overtaken(
            outcome, lambda: training.has_learned(context.old, context.new, context.journal.recall(CARRIED))
        )
    )


@when("the carrying over of the training is taken back")
def take_back_training(take_back: Perform) -> None:
    take_back(CarryTraining)


@then("the new spam filter is at work")
def spam_filter_is_at_work(new: Server, judge: Judge) -> None:
    judge(training.spam_filter_is_at_work(new))
