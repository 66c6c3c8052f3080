"""What the mail logs gained while a run went on."""

from __future__ import annotations

from pytest_bdd import then, when

from checks import maillog
from checks.outside import Outside
from mailmove.clients import letters
from mailmove.evidence import Evidence, Judge
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server


@when("a letter from outside is refused", target_fixture="refusal")
def letter_is_refused(outside: Outside, probes: ProbeAccounts) -> Evidence:
    return maillog.log_is_written(outside, f"{letters.new_mark()}@{probes.domain}")


@then("the refusal stands in the new server's mail log")
def refusal_is_written(refusal: Evidence, judge: Judge) -> None:
    judge(refusal)


@then("the old server's mail log tells of its letters until now")
def old_log_is_written(old: Server, judge: Judge) -> None:
    judge(maillog.old_log_is_written(old))


@then("the new server's mail log holds no trouble since this verification began")
def new_complains_of_nothing(new: Server, judge: Judge) -> None:
    # The facts are the first that a run asks of a server: its own clock then
    judge(maillog.log_is_clean(new, new.facts.clock))


@then("the old server's mail log holds no trouble since this verification began")
def old_complains_of_nothing(old: Server, judge: Judge) -> None:
    judge(maillog.log_is_clean(old, old.facts.clock, required=False))
