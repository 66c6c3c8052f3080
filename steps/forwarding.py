"""The old server hands on what late senders bring it."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import freeze, refusals
from checks.outside import Outside
from mailmove.evidence import Judge
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.forward import Forward
from mailmove.moves.standing import as_it_stands

Perform = Callable[[type[Move]], Outcome]


@when("the old server begins to hand all mail to the new one")
def old_forwards(perform: Perform) -> None:
    perform(Forward)


@then("the old server hands nothing to anybody else for strangers")
def old_is_no_relay(context: Context, judge: Judge) -> None:
    outside = Outside(context.old, context.migration.settings.probes)
    judge(*as_it_stands(context, Forward, lambda: [refusals.no_relay(outside)]))


@when("the old server stops handing mail to the new one")
def old_stops_forwarding(take_back: Perform) -> None:
    take_back(Forward)


@then("the old server takes no letters from anybody")
def old_takes_nothing(context: Context, judge: Judge) -> None:
    judge(freeze.takes_nothing_from_outside(context.old))
