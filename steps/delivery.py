"""Letters from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_bdd import parsers, then, when

from checks import delivery, forwarding, maps
from checks.outside import Outside
from mailmove.clients.account import Account
from mailmove.evidence import Judge
from mailmove.moves.base import Context
from mailmove.moves.probes import ProbeAccounts
from mailmove.routing import dns_of
from mailmove.server import Server


@pytest.fixture(scope="session")
def outside(context: Context) -> Outside:
    """The outside of the new server."""
    return Outside(context.new, context.migration.settings.probes)


@then(parsers.parse("a letter that comes from outside over {family} is in its mailbox once and unchanged"))
def letter_arrives_once(outside: Outside, probes: ProbeAccounts, family: str, judge: Judge) -> None:
    judge(delivery.letters_arrive_once(outside, probes.account("anna"), family))


@then("the old server is greeted where the new one takes letters")
def old_reaches_new(old: Server, new: Server, judge: Judge) -> None:
    judge(forwarding.old_reaches_new(old, new.address))


@then("a letter to an alias is in the mailbox of the person behind it")
def alias_leads_to_the_mailbox(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    anna, alias = probes.account("anna"), f"reception@{probes.domain}"
    probes.alias(alias, anna.email)
    judge(delivery.aliases_lead_to_the_mailbox(outside, anna, alias))


@when("the catch-all of a domain leads to somebody", target_fixture="catcher")
def catch_all(probes: ProbeAccounts) -> Iterator[Account]:
    catcher = probes.account("catcher")
    with probes.catch_all(catcher):
        yield catcher


@then("a letter to nobody there reaches them, and one to somebody else does not")
def catch_all_takes_the_rest(
    old: Server, outside: Outside, probes: ProbeAccounts, catcher: Account, judge: Judge
) -> None:
    judge(maps.catch_all_takes_the_rest(old, outside, catcher, probes.account("bert")))


@then("a letter to an address in capitals is in the mailbox of that name")
def capitals_make_no_difference(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(delivery.capitals_make_no_difference(outside, probes.account("anna")))


@then("a letter to an address with a tag is in the mailbox without it")
def tagged_address_arrives(outside: Outside, probes: ProbeAccounts, old: Server, judge: Judge) -> None:
    judge(delivery.tagged_addresses_arrive(outside, probes.account("anna"), old.setting("recipient_delimiter")))


@then("a letter with umlauts, Greek, Chinese and a bird arrives byte for byte")
def eight_bits_survive(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(delivery.eight_bits_survive(outside, probes.account("anna")))


@then("a letter that came a long way and was written to many people arrives whole")
def long_headers_survive(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(delivery.long_headers_survive(outside, probes.account("anna")))


@then("a letter that needs an international header is delivered or refused at once")
def international_headers_are_handled(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(delivery.international_headers_are_handled(outside, probes.account("anna")))


@then("a letter nearly as large as the limit arrives")
def large_letter_arrives(outside: Outside, probes: ProbeAccounts, old: Server, judge: Judge) -> None:
    limit = old.setting("message_size_limit")
    judge(delivery.large_letters_arrive(outside, probes.account("greta"), int(limit) if limit.isdecimal() else 0))


@then("a letter one byte over the limit is refused, whether it tells its size or not")
def too_large_letter_is_refused(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(delivery.too_large_letters_are_refused(outside, probes.account("greta")))


@then("mail to somebody who is not there is refused while the sender waits")
def unknown_recipient_is_refused(outside: Outside, probes: ProbeAccounts, context: Context, judge: Judge) -> None:
    proved = context.journal.proved
    safety_net = bool(proved("safety_net")) and not proved("safety_net_off")
    judge(delivery.unknown_recipients_are_refused(outside, probes.domain, safety_net))


@then("a letter of the new server to its admin would be delivered")
def admin_is_reached(outside: Outside, probes: ProbeAccounts, context: Context, judge: Judge) -> None:
    judge(delivery.the_admin_is_reached(outside, probes.account("anna"), dns_of(context.migration)))


@then("who asks for names and aliases learns nothing")
def names_are_not_told(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    anna, alias = probes.account("anna"), f"reception@{probes.domain}"
    probes.alias(alias, anna.email)
    judge(delivery.names_are_not_told(outside, anna, alias))


@then("a bounce that comes from another server is in the mailbox")
def bounce_is_let_in(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(delivery.bounces_are_let_in(outside, probes.account("anna")))


@then("of many letters sent at the same time each arrives once")
def many_letters_arrive(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(delivery.many_letters_arrive(outside, [probes.account("anna"), probes.account("bert")]))
