"""Dovecot: logins and mailboxes."""

from __future__ import annotations

from pytest_bdd import given, then

from checks import mailboxes
from mailmove.clients.account import Account
from mailmove.evidence import Judge
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server

LIMIT = 7 * 1024 * 1024  # bytes; no quota anybody would have as a default


@given("a mailbox to try", target_fixture="box")
def mailbox_to_try(probes: ProbeAccounts) -> Account:
    return probes.account("anna")


@given("a mailbox nobody has opened yet", target_fixture="box")
def fresh_mailbox(probes: ProbeAccounts) -> Account:
    return probes.account("fresh")


@given("a mailbox with a limit", target_fixture="box")
def limited_mailbox(probes: ProbeAccounts) -> Account:
    return probes.account("limited", quota_bytes=LIMIT)


@then("its owner gets in with the right password")
def right_password_gets_in(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.right_password_gets_in(new, box))


@then("nobody gets in with a wrong password or a wrong name")
def wrong_password_stays_out(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.wrong_password_stays_out(new, box))


@then("every kind of password on the old server opens a mailbox on the new one")
def passwords_stay_valid(old: Server, new: Server, probes: ProbeAccounts, judge: Judge) -> None:
    judge(mailboxes.passwords_stay_valid(old, new, probes.account_with_scheme))


@then("Dovecot can name everybody who has a mailbox")
def everybody_is_known(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.everybody_is_known(new, box))


@then("it is made in its place when it is first opened")
def mailbox_lies_in_its_place(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.mailbox_lies_in_its_place(new, box))


@then("the folders for drafts, sent, spam and deleted mail are marked as such")
def special_folders_are_known(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.special_folders_are_known(new, box))


@then("a letter in it can be handled as mail programs do")
def letters_can_be_handled(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.letters_can_be_handled(new, box))


@then("a new letter is announced to a program that waits")
def new_letters_are_announced(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.new_letters_are_announced(new, box))


@then("the limit is known to the mailbox")
def quota_is_shown(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.quota_is_shown(new, box, LIMIT))


@then("the new server offers every way of reading mail that people use")
def ways_in_stay(old: Server, new: Server, judge: Judge) -> None:
    judge(mailboxes.ways_in_stay(old, new))


@then("both servers name folders in the same way")
def folders_keep_their_names(old: Server, new: Server, judge: Judge) -> None:
    judge(mailboxes.folders_keep_their_names(old, new))


@then("no folder on the old server gets a double on the new one")
def no_folder_is_shadowed(old: Server, judge: Judge) -> None:
    judge(mailboxes.no_folder_is_shadowed(old))
