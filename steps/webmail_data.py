"""What people have in the webmail, carried over."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import webmail_data
from mailmove.evidence import Judge
from mailmove.moves.base import Move, Outcome
from mailmove.moves.roundcube import CarryRoundcube
from mailmove.server import Server
from steps.accounts import unless_overtaken

Perform = Callable[[type[Move]], Outcome]


@when("the webmail data are carried over", target_fixture="outcome")
def carry_webmail_data(perform: Perform) -> Outcome:
    return perform(CarryRoundcube)


@then("everybody has one webmail profile, and it belongs to the new server")
def one_profile_each(outcome: Outcome, new: Server, judge: Judge) -> None:
    judge(unless_overtaken(outcome, lambda: webmail_data.webmail_knows_its_schema_and_host(new)))


@when("the carrying over of the webmail data is taken back")
def take_back_webmail_data(take_back: Perform) -> None:
    take_back(CarryRoundcube)


@then("the new webmail works with its own tables")
def own_tables(new: Server, judge: Judge) -> None:
    judge(webmail_data.webmail_knows_its_schema_and_host(new))
