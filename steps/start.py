"""The new server begins its work, over a safety net."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import freeze, refusals, start
from mailmove.evidence import Judge
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.safety_net import SafetyNet, SafetyNetOff, unknown_get
from mailmove.moves.standing import as_it_stands
from mailmove.moves.start import Start

Perform = Callable[[type[Move]], Outcome]


@when("the safety net is spread under the new server")
def spread_the_net(perform: Perform) -> None:
    perform(SafetyNet)


@then("the new server is set to put off whatever it would refuse")
def net_is_spread(context: Context, judge: Judge) -> None:
    judge(*as_it_stands(context, SafetyNet, lambda: [refusals.safety_net_is_set(context.new)]))


@when("the safety net is put away unused")
def put_the_net_away(take_back: Perform) -> None:
    take_back(SafetyNet)


@then("the new server would refuse for good again")
def net_is_gone(context: Context, judge: Judge) -> None:
    judge(refusals.safety_net_is_gone(context.new))


@when("the new server starts to serve mail")
def new_starts(perform: Perform) -> None:
    perform(Start)


@then("its mail services run and come back after a reboot")
def services_run(context: Context, judge: Judge) -> None:
    judge(start.services_run(context.new))


@when("the new server is stopped again")
def new_stops(take_back: Perform) -> None:
    take_back(Start)


@then("no mail service of the new server runs or comes back by itself")
def new_rests(context: Context, judge: Judge) -> None:
    judge(freeze.stays_down(context.new, *freeze.DOVECOT, "postfix.service"))


@when("the safety net is taken away")
def take_the_net_away(perform: Perform) -> None:
    perform(SafetyNetOff)


@then("mail to somebody unknown is refused for good in every domain")
def unknown_people_are_refused(context: Context, judge: Judge) -> None:
    judge(unknown_get(context, 550))


@when("the safety net is spread once more")
def spread_the_net_again(take_back: Perform) -> None:
    take_back(SafetyNetOff)


@then("mail to somebody unknown is only put off in every domain")
def unknown_people_are_put_off(context: Context, judge: Judge) -> None:
    judge(unknown_get(context, 450))
