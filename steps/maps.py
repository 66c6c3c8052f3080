"""Postfix' lookups in the database."""

from __future__ import annotations

from pytest_bdd import given, then

from checks import maps
from mailmove.clients.account import Account
from mailmove.evidence import Judge
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


@then("mail for the mailbox stays there in spite of a catch-all")
def catch_all_spares_mailboxes(old: Server, new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.catch_all_spares_mailboxes(old, new, addressee))


@then("only the mailbox's owner may send in its name")
def senders_are_found(new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.senders_are_found(new, addressee))


@then("no domain to be moved is treated as a local one")
def hosted_domains_are_not_local(old: Server, new: Server, addressee: Account, judge: Judge) -> None:
    judge(maps.hosted_domains_are_not_local(old, new, addressee.domain))


@then("nobody else can read the database passwords in the files")
def map_files_are_private(new: Server, judge: Judge) -> None:
    judge(maps.map_files_are_private(new))


@then("every alias of the old server leads to somebody")
def aliases_lead_somewhere(old: Server, judge: Judge) -> None:
    judge(maps.aliases_lead_somewhere(old))
