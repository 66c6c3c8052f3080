"""Mail accounts: carried over, changed meanwhile, able to log in."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import accounts, logins, webmail_data
from checks import certificates as certificate_checks
from mailmove import lineages
from mailmove.evidence import Evidence, Examination, Judge
from mailmove.journey import Journey
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.certificates import further_names_carried
from mailmove.moves.database import CarryDatabase
from mailmove.moves.last_changes import LastChanges, changed_while_in_service
from mailmove.moves.probes import ProbeAccounts
from mailmove.moves.styles import accounts_hashed
from mailmove.server import Server

Perform = Callable[[type[Move]], Outcome]


@when("the mail accounts are carried over", target_fixture="outcome")
def carry_accounts(perform: Perform) -> Outcome:
    return perform(CarryDatabase)


@then("the new server finds every address of the old one")
def new_finds_every_address(outcome: Outcome, old: Server, new: Server, judge: Judge) -> None:
    judge(unless_overtaken(outcome, lambda: accounts.postfix_knows_every_address(old, new)))


@then("the new server's own database users and passwords still work")
def own_database_users_work(outcome: Outcome, new: Server, judge: Judge) -> None:
    judge(unless_overtaken(outcome, lambda: accounts.dovecot_knows_every_user(new)))


@when("the carrying over of the mail accounts is taken back")
def take_back_accounts(take_back: Perform) -> None:
    take_back(CarryDatabase)


@then("no account of the old server is left behind half carried")
def nothing_half_carried(new: Server, judge: Judge) -> None:
    judge(accounts.nothing_left_of_the_copy(new))


@when("what changed on the old server since the copies is carried over", target_fixture="outcome")
def carry_last_changes(perform: Perform) -> Outcome:
    return perform(LastChanges)


@then("both servers have the same accounts, passwords and aliases")
def same_accounts(outcome: Outcome, old: Server, new: Server, judge: Judge) -> None:
    judge(unless_overtaken(outcome, lambda: accounts.no_drift(old, new)))


@when("the carrying over of the last changes is taken back")
def take_back_last_changes(take_back: Perform) -> None:
    take_back(LastChanges)


@then("what people changed on the new server alone is named")
def changes_on_new_are_named(context: Context, judge: Judge) -> None:
    judge(changed_while_in_service(context.journal))


@then("everybody of the old server has an account on the new one with the same password")
def passwords_are_those_of_old(old: Server, new: Server, judge: Judge) -> None:
    judge(logins.passwords_are_those_of_old(old, new), accounts.old_accounts_were_left_alone(old, new))


@then("the new server finds the mailbox of everybody who was carried over")
def new_finds_every_mailbox(new: Server, judge: Judge) -> None:
    judge(accounts.dovecot_knows_every_user(new, nobody_else=False))


@then("somebody with each kind of password hash can log in on the new server")
def every_hash_lets_in(old: Server, new: Server, journey: Journey, probes: ProbeAccounts, judge: Judge) -> None:
    ways, _ = logins.ways_of_hashing(old)
    _, known = logins.ways_of_hashing(new)
    ours = accounts_hashed(probes, old, ways)
    judge(logins.every_way_of_hashing_lets_in(new, ways, known, ours))


@then("the new webmail lets in who has the right password, and nobody else")
def webmail_lets_in(new: Server, journey: Journey, probes: ProbeAccounts, judge: Judge) -> None:
    look = lineages.look(new, journey.migration.domains)
    judge(logins.webmail_lets_in(new, look, probes.account("webmail")))


@then("every contact, group and identity of the old webmail is in the new one")
def contacts_are_there(old: Server, new: Server, judge: Judge) -> None:
    if old.facts.roundcube:
        judge(
            webmail_data.webmail_data_stands_as_carried(new, unchanged=False),
            webmail_data.old_webmail_was_left_alone(old, new),
        )
    else:
        judge(webmail_data.roundcube_can_be_carried(old, new))


@then("mail programs that know the old server's name are shown a certificate for it")
def old_name_still_works(context: Context, new: Server, judge: Judge) -> None:
    names = further_names_carried(context.journal)
    look = lineages.look(new, context.migration.domains)
    judge(
        certificate_checks.right_certificate_under_each_name(
            new, look, names, context.migration.settings.probes.ca_file
        )
    )


def unless_overtaken(outcome: Outcome, check: Callable[[], Evidence]) -> Evidence:
    """Look again, unless later moves made the answer another one by design."""
    if outcome.state == "overtaken":
        return Examination("what was proved then", "journal").not_applicable(outcome.words)
    return check()
