"""What the old server does that the new one would not."""

from __future__ import annotations

import pytest
from pytest_bdd import then

from checks import parity
from checks.parity import Pair
from mailmove.evidence import Judge
from mailmove.moves.base import Context


@pytest.fixture(scope="session")
def pair(context: Context) -> Pair:
    """Both servers, seen once."""
    return Pair(context.migration)


@then("the new server takes every letter that is not too large for the old one")
def sizes(pair: Pair, judge: Judge) -> None:
    judge(*parity.sizes(pair))


@then("the new server knows every way that letters go on the old one")
def routes(pair: Pair, judge: Judge) -> None:
    judge(*parity.routes(pair))


@then("whoever sends through the old server can send through the new one")
def doors(pair: Pair, judge: Judge) -> None:
    judge(*parity.doors(pair))


@then("Postfix is set on the new server as on the old one")
def postfix_settings(pair: Pair, judge: Judge) -> None:
    judge(*parity.postfix_settings(pair))


@then("people can read and log in as on the old server")
def reading(pair: Pair, judge: Judge) -> None:
    judge(*parity.reading(pair))


@then("mailboxes on the new server work as on the old one")
def mailboxes(pair: Pair, judge: Judge) -> None:
    judge(*parity.mailboxes(pair))


@then("the spam filter of the new server has the lists and settings of the old one")
def spam_filter(pair: Pair, judge: Judge) -> None:
    judge(*parity.spam_filter(pair))


@then("no letter on the old server lies where no move looks")
def system_mail(pair: Pair, judge: Judge) -> None:
    judge(*parity.system_mail(pair))


@then("nothing lies in the old server's databases that stays behind")
def tables(pair: Pair, judge: Judge) -> None:
    judge(*parity.tables(pair))


@then("every job of the old server that touches mail is on the new one")
def jobs(pair: Pair, judge: Judge) -> None:
    judge(*parity.jobs(pair))


@then("everything that the old web server offers is offered by the new one")
def web(pair: Pair, judge: Judge) -> None:
    judge(*parity.web(pair))


@then("nothing runs on the old server only")
def daemons(pair: Pair, judge: Judge) -> None:
    judge(*parity.daemons(pair))
