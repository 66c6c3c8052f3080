"""Telling the people."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import given, then, when

from checks import announcement
from mailmove.evidence import Judge
from mailmove.moves.announce import Announce
from mailmove.moves.base import Context, Move, Outcome

Perform = Callable[[type[Move]], Outcome]


@given("the day of the move is set")
def day_is_set(context: Context, judge: Judge) -> None:
    judge(announcement.day_is_set(context.migration, context.journal))


@when("the move is announced to everybody with a mailbox")
def announce(perform: Perform) -> None:
    perform(Announce)


@then("nobody with a mailbox was left out")
def nobody_was_left_out(context: Context, judge: Judge) -> None:
    judge(*announcement.everybody_was_told(context.migration, context.journal))


@when("the announcement is taken back")
def take_announcement_back(take_back: Perform) -> None:
    take_back(Announce)


@then("it is known who has been told")
def it_is_known_who_was_told(context: Context, judge: Judge) -> None:
    judge(announcement.letters_stay_sent(context.journal))
