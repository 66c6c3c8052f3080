"""Postfix' lookups in the database."""

from __future__ import annotations

from pytest_bdd import given, then, when

from checks import maps
from checks.outside import Outside
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Judge
from mailmove.moves import late_senders
from mailmove.moves.base import Context
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server


@given("a mailbox with an alias, made by mailmove", target_fixture="addressee")
def mailbox_with_alias(probes: ProbeAccounts) -> Account:
    account = probes.account("anna")
    probes.alias(f"alias@{probes.domain}", account.email)
    return account


@then("Postfix finds the mailbox's domain and no other")
def domains_are_found(new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.domains_are_found(new, addressee))


@then("Postfix finds the mailbox and no other")
def mailboxes_are_found(new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.mailboxes_are_found(new, addressee))


@then("Postfix finds the alias and where it leads")
def aliases_are_found(new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.aliases_are_found(new, f"alias@{addressee.domain}", addressee))


@when("somebody writes to an alias that leads to several people", target_fixture="reached")
def letter_to_several(outside: Outside, probes: ProbeAccounts) -> Evidence:
    one, other, domain = probes.account("anna"), probes.account("bella"), probes.domain
    # Two rows, one of them a list, and a chain that leads to somebody who stands in that list, too
    probes.alias(f"team@{domain}", other.email)
    probes.alias(f"team@{domain}", f"chain@{domain}, {one.email}")
    probes.alias(f"chain@{domain}", f"link@{domain}")
    probes.alias(f"link@{domain}", one.email)
    return maps.aliases_reach_everybody(outside, f"team@{domain}", [one, other])


@then("the letter is in the mailbox of each of them, once")
def everybody_is_reached(reached: Evidence, judge: Judge) -> None:
    judge(reached)


@then("mail for the mailbox stays there in spite of a catch-all")
def catch_all_spares_mailboxes(old: Server, new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.catch_all_spares_mailboxes(old, new, addressee))


@then("only the mailbox's owner may send in its name")
def senders_are_found(old: Server, new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.senders_are_found(old, new, addressee, f"alias@{addressee.domain}"))


@then("no domain to be moved is treated as a local one")
def hosted_domains_are_not_local(context: Context, old: Server, new: Server, addressee: Account, judge: Judge) -> None:
    handed_on = late_senders.TABLE if late_senders.are_handed_on(context.journal) else ""
    judge(maps.hosted_domains_are_not_local(old, new, addressee.domain, handed_on))


@then("nobody else can read the database passwords in the files")
def map_files_are_private(new: Server, judge: Judge) -> None:
    judge(maps.map_files_are_private(new))


@then("whatever aliases lead to on the machine itself is there on the new one")
def aliases_end_at_the_machine(old: Server, outside: Outside, judge: Judge) -> None:
    judge(maps.aliases_end_at_the_machine(old, outside))


@then("every alias of the old server leads to somebody")
def aliases_lead_somewhere(old: Server, judge: Judge) -> None:
    judge(maps.aliases_lead_somewhere(old))
