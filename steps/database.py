"""The database of domains, mailboxes and aliases."""

from __future__ import annotations

from pytest_bdd import then

from checks import database
from checks.outside import Outside
from mailmove.evidence import Judge
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server


@then("the tables for domains, mailboxes and aliases are complete")
def tables_are_complete(new: Server, judge: Judge) -> None:
    judge(database.schema_is_as_the_guide_makes_it(new))


@then("everything in the old server's tables has its place on the new server")
def old_content_fits(old: Server, new: Server, judge: Judge) -> None:
    judge(database.old_content_fits(old, new))


@then("the database lets in as many at once as may bring letters")
def lets_enough_in(old: Server, outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(database.lets_enough_in(old, outside, probes.account("anna")))


@then("mailboxes and aliases come and go with their domain")
def domains_take_their_accounts_along(new: Server, judge: Judge) -> None:
    judge(database.domains_take_their_accounts_along(new))


@then("the readers of the database can read and nothing else")
def readers_only_read(new: Server, judge: Judge) -> None:
    judge(database.readers_only_read(new))


@then("no password from the guide's pages works")
def samples_are_gone(old: Server, new: Server, judge: Judge) -> None:
    judge(database.samples_are_gone(old, new))


@then("nobody can log in to the database from another machine")
def nobody_logs_in_from_elsewhere(new: Server, judge: Judge) -> None:
    judge(database.nobody_logs_in_from_elsewhere(new))
