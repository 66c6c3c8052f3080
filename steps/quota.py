"""Mailboxes with a limit."""

from __future__ import annotations

from pytest_bdd import then

from checks import quota
from checks.outside import Outside
from mailmove.evidence import Judge
from mailmove.moves.probes import ProbeAccounts


@then("a letter to a full mailbox is refused while the sender waits")
def full_mailbox_refuses(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(quota.full_mailboxes_refuse(outside, lambda limit: probes.account("filled", limit), probes.account("anna")))


@then("a mailbox that was full takes letters again once it has more room")
def room_lets_mail_in(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(quota.room_lets_mail_in(outside, lambda limit: probes.account("roomy", limit)))


@then("whoever's mailbox is nearly full finds a warning in it")
def people_are_warned(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(quota.people_are_warned(outside, lambda limit: probes.account("warned", limit)))
