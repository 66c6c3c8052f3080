"""The old server goes."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import freeze, refusals, retirement
from checks.outside import Outside
from mailmove.evidence import Judge
from mailmove.journey import Journey, Mode
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.retire import Dismiss, FinalBackup

Perform = Callable[[type[Move]], Outcome]


@when("a last backup of the old server is taken")
def take_the_last_backup(perform: Perform) -> None:
    perform(FinalBackup)


@then("it lies whole on the new server, where only the administrator can read it")
def backup_lies_there(context: Context, judge: Judge) -> None:
    judge(FinalBackup(context).is_whole())


@when("the last backup is removed")
def remove_the_last_backup(take_back: Perform) -> None:
    take_back(FinalBackup)


@then("nothing of the last backup is left on the new server")
def backup_is_gone(context: Context, judge: Judge) -> None:
    judge(FinalBackup(context).is_gone())


@then("no letter came to the old server for the time agreed")
def quiet_time_is_over(context: Context, journey: Journey, judge: Judge) -> None:
    wait = retirement.PATIENCE_S if journey.mode is Mode.MOVE else 0.0
    judge(retirement.quiet_time_is_over(context.migration, context.journal, wait, context.progress))


@then("no letter was put into a mailbox of the old server since it was stopped")
def nothing_was_delivered(context: Context, judge: Judge) -> None:
    judge(retirement.nothing_was_delivered(context.migration, context.journal))


@then("no letter waits on the old server")
def nothing_waits(context: Context, judge: Judge) -> None:
    judge(retirement.queue_is_empty(context.old))


@when("the old server is dismissed")
def dismiss(perform: Perform) -> None:
    perform(Dismiss)


@then("the old server takes no mail and starts none of it by itself")
def old_rests(context: Context, judge: Judge) -> None:
    judge(freeze.takes_nothing_from_outside(context.old))
    judge(freeze.stays_down(context.old, *freeze.DOVECOT, "postfix.service"))


@when("the old server is called back")
def call_back(take_back: Perform) -> None:
    take_back(Dismiss)


@then("the old server hands on mail for its people and refuses everything else")
def old_forwards_again(context: Context, judge: Judge) -> None:
    judge(refusals.no_relay(Outside(context.old, context.migration.settings.probes)))
