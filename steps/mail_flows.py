"""Mail in, out and across, after the move."""

from __future__ import annotations

from pytest_bdd import given, then

from checks import belief, delivery, dkim, flows, maillog, queues, submission
from checks.outside import Outside
from mailmove.clients.account import PROBE_PREFIX, Account
from mailmove.evidence import Judge
from mailmove.moves.base import Context
from mailmove.moves.probes import ProbeAccounts


@given("a mailbox of mailmove's own in every domain that was moved", target_fixture="mailboxes")
def mailbox_in_every_domain(probes: ProbeAccounts, context: Context) -> list[Account]:
    return [probes.in_domain(domain) for domain in context.migration.domains]


@then("a letter that follows the world's records is in each of them once")
def letters_find_their_way(context: Context, mailboxes: list[Account], judge: Judge) -> None:
    judge(flows.letters_find_their_way(context.migration, _outside(context), mailboxes))


@then("a letter from one of them arrives in a mailbox elsewhere")
def letters_get_out(context: Context, mailboxes: list[Account], judge: Judge) -> None:
    judge(submission.letters_get_out(_outside(context), mailboxes[0]))


@then("a letter from each of them is believed elsewhere")
def letters_are_believed(context: Context, mailboxes: list[Account], judge: Judge) -> None:
    signing = dkim.signing_of_both(context.migration).domains
    judge(belief.letters_are_believed(context.migration, _outside(context), mailboxes, signing))


@then("a letter from one domain is in the mailbox of another")
def letters_get_across(context: Context, mailboxes: list[Account], judge: Judge) -> None:
    judge(submission.letters_get_to_others_here(_outside(context), mailboxes[0], mailboxes[-1]))


@then("a letter to an alias of one of them is in it")
def aliases_lead_there(context: Context, probes: ProbeAccounts, mailboxes: list[Account], judge: Judge) -> None:
    alias = f"{PROBE_PREFIX}alias@{mailboxes[0].domain}"
    probes.alias(alias, mailboxes[0].email)
    judge(delivery.aliases_lead_to_the_mailbox(_outside(context), mailboxes[0], alias))


@then("every letter that waits on either server is shown with its age and its cause")
def queues_are_shown(context: Context, judge: Judge) -> None:
    judge(queues.nothing_is_stuck(context.new))
    judge(queues.what_waits_on_old(context.old))


@then("the mail log of the new server holds no trouble since it serves people")
def log_of_new_is_clean(context: Context, judge: Judge) -> None:
    judge(
        maillog.log_is_clean(
            context.new, maillog.since(context.journal, "start: clock of new"), maillog.own(context.journal)
        )
    )


@then("the mail log of the old server holds no trouble since it was stopped")
def log_of_old_is_clean(context: Context, judge: Judge) -> None:
    judge(maillog.log_is_clean(context.old, maillog.since_frozen(context.journal), maillog.own(context.journal)))


def _outside(context: Context) -> Outside:
    return Outside(context.new, context.migration.settings.probes)
