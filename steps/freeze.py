"""The stop of the old server."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import freeze
from mailmove.evidence import Judge
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.freeze import Freeze
from mailmove.moves.standing import as_it_stands

Perform = Callable[[type[Move]], Outcome]


@when("mail stops on the old server, after it has delivered what it had")
def mail_stops(perform: Perform) -> None:
    perform(Freeze)


@then("nobody can bring a letter to the old server or fetch one there")
def nobody_reaches_old(context: Context, judge: Judge) -> None:
    judge(*as_it_stands(context, Freeze, lambda: [freeze.takes_nothing_from_outside(context.old)]))


@then("nothing touches the mailboxes of the old server any more")
def mailboxes_are_quiet(context: Context, judge: Judge) -> None:
    judge(freeze.store_stays_quiet(context.old, context.journal))


@when("the stop of the old server is taken back")
def mail_goes_on(take_back: Perform) -> None:
    take_back(Freeze)


@then("people can read and send mail on the old server as before")
def old_serves_again(context: Context, judge: Judge) -> None:
    judge(freeze.serves_again(context.old))
