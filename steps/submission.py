"""Sending through the server: strangers cannot, people can, as themselves."""

from __future__ import annotations

from pytest_bdd import parsers, then

from checks import belief, dkim, submission
from checks.outside import Outside
from mailmove.evidence import Judge
from mailmove.moves.base import Context
from mailmove.moves.probes import ProbeAccounts


@then(parsers.parse("a stranger who calls over {family} cannot send to somebody elsewhere, however it is addressed"))
def stranger_cannot_relay(outside: Outside, probes: ProbeAccounts, family: str, judge: Judge) -> None:
    judge(submission.strangers_cannot_relay(outside, probes.domain, family))


@then("the server trusts nobody outside for the address they call from")
def few_are_trusted(outside: Outside, judge: Judge) -> None:
    judge(submission.few_are_trusted(outside))


@then("no port where letters are taken offers or takes a login before the connection is encrypted")
def passwords_need_tls(outside: Outside, judge: Judge) -> None:
    judge(submission.passwords_need_tls(outside))


@then("a mail program that does not encrypt can hand in nothing")
def submission_needs_tls(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(submission.submission_needs_tls(outside, probes.account("anna")))


@then("a mail program that does not log in can hand in nothing, not even for people here")
def submission_needs_a_login(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(submission.submission_needs_a_login(outside, probes.account("anna")))


@then("a wrong password does not let a letter in")
def wrong_password_is_refused(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(submission.wrong_passwords_are_refused(outside, probes.account("anna")))


@then("the right password is accepted wherever letters are handed in")
def right_password_is_accepted(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(submission.right_passwords_are_accepted(outside, probes.account("anna")))


@then("whoever is logged in cannot write as somebody else")
def people_send_as_themselves_only(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    anna, bert, alias = probes.account("anna"), probes.account("bert"), f"counter@{probes.domain}"
    probes.alias(alias, bert.email)
    judge(submission.people_send_as_themselves_only(outside, anna, bert, alias))


@then("a letter from one mailbox here is in another one here")
def letter_gets_to_others_here(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(submission.letters_get_to_others_here(outside, probes.account("anna"), probes.account("bert")))


@then("a letter from a mailbox here is in a mailbox elsewhere")
def letter_gets_out(outside: Outside, probes: ProbeAccounts, context: Context, judge: Judge) -> None:
    domain = submission.sending_domain(outside, context.migration.domains)
    sender = probes.in_domain(domain) if domain else probes.account("anna")
    judge(submission.letters_get_out(outside, sender))


@then("receivers elsewhere believe a letter from each domain that is here already")
def letters_are_believed(outside: Outside, probes: ProbeAccounts, context: Context, judge: Judge) -> None:
    here = [domain for domain in context.migration.domains if domain in context.new.facts.domains]
    signing = dkim.signing_of_both(context.migration).domains if here else frozenset()
    judge(belief.letters_are_believed(context.migration, outside, [probes.in_domain(each) for each in here], signing))


@then("whoever writes to somebody who is not there learns of it")
def undeliverable_letter_comes_back(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(submission.undeliverable_letters_come_back(outside, probes.account("anna")))
