"""The spam filter, and people who teach it."""

from __future__ import annotations

from pytest_bdd import then

from checks import spam, training
from checks.outside import Outside
from mailmove.evidence import Judge
from mailmove.moves.base import Context
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server

TRAINED = "the old server's training is here already (or being carried over): a probe must not be added to it"


@then("the spam filter has seen a letter from outside and one written on the server itself")
def filter_is_asked(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(spam.filter_is_asked(outside, probes.account("anna")))


@then("a letter from outside that is certainly spam is refused or filed as spam")
def spam_from_outside_is_stopped(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(spam.spam_from_outside_is_stopped(outside, probes.account("anna")))


@then("a letter written on the server itself that is certainly spam does not reach the inbox")
def spam_from_here_is_stopped(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(spam.spam_from_here_is_stopped(outside, probes.account("anna")))


@then("a letter that the filter has marked is filed into the folder for spam")
def marked_letter_is_filed(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(spam.marked_letters_are_filed(outside, probes.account("anna")))


@then("a letter from outside shows what the filter thought of it")
def letters_show_the_verdict(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(spam.letters_show_the_verdict(outside, probes.account("anna")))


@then("the filter can tell who may write for a domain")
def filter_finds_names(outside: Outside, probes: ProbeAccounts, judge: Judge) -> None:
    judge(spam.filter_finds_names(outside, probes.account("anna")))


@then("what the filter learns is kept where it can be carried over")
def redis_is_the_backend(old: Server, outside: Outside, judge: Judge) -> None:
    judge(spam.redis_is_the_backend(outside), training.training_can_be_carried(old, outside.server))


@then("what the filter learns is written to the disk")
def what_is_learnt_outlasts_a_restart(outside: Outside, judge: Judge) -> None:
    judge(spam.what_is_learnt_outlasts_a_restart(outside))


@then("the filter learns from a letter that is moved to the spam and back")
def people_can_teach(outside: Outside, probes: ProbeAccounts, context: Context, judge: Judge) -> None:
    refrain = TRAINED if context.journal.touched("training") else ""
    judge(spam.people_can_teach(outside, probes.account("tessa"), refrain))


@then("the filter learns nothing from spam that is thrown away")
def emptying_teaches_nothing(outside: Outside, probes: ProbeAccounts, context: Context, judge: Judge) -> None:
    refrain = TRAINED if context.journal.touched("training") else ""
    judge(spam.emptying_teaches_nothing(outside, probes.account("tessa"), refrain))


@then("the filter's own web pages tell a stranger nothing")
def web_pages_need_a_password(outside: Outside, judge: Judge) -> None:
    judge(spam.web_pages_need_a_password(outside))
