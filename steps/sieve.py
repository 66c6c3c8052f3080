"""People's filter rules."""

from __future__ import annotations

from pytest_bdd import given, then

from checks import sieve, sievescripts
from checks.outside import Outside
from mailmove.clients.account import Account
from mailmove.evidence import Judge
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server


@given("a mailbox with rules", target_fixture="sorted_box")
def mailbox_with_rules(probes: ProbeAccounts) -> Account:
    return probes.account("ruler")


@then("its owner can manage rules with the password, but not without encryption")
def rules_need_encryption(outside: Outside, sorted_box: Account, probes: ProbeAccounts, judge: Judge) -> None:
    with probes.exposed() as exposed:
        judge(sieve.rules_need_encryption(outside, sorted_box, exposed))


@then("a rule is kept as it was written, and a wrong one is refused")
def rules_are_tried(outside: Outside, sorted_box: Account, judge: Judge) -> None:
    judge(sieve.rules_are_tried_when_uploaded(outside, sorted_box))


@then("a rule files the letter that it is meant for, and no other")
def rules_take_effect(outside: Outside, sorted_box: Account, judge: Judge) -> None:
    judge(sieve.rules_take_effect(outside, sorted_box))


@then("its notice of absence answers a person once, and a mailing list never")
def absence_is_told_once(outside: Outside, sorted_box: Account, probes: ProbeAccounts, judge: Judge) -> None:
    judge(sieve.absence_is_told_once(outside, sorted_box, probes.account("bert"), probes.account("carla")))


@then("the new server takes every rule of the old one")
def old_rules_are_understood(old: Server, new: Server, sorted_box: Account, judge: Judge) -> None:
    judge(sieve.old_rules_are_understood(old, new, sorted_box, sievescripts.read(old)))
