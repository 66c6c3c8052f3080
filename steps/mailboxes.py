"""Dovecot: logins and mailboxes."""

from __future__ import annotations

from pytest_bdd import given, then

from checks import fetching, folders, logins, mailboxes, sievescripts
from checks.outside import Outside
from mailmove.clients.account import Account
from mailmove.evidence import Judge
from mailmove.journey import Journey
from mailmove.moves.probes import ProbeAccounts
from mailmove.moves.styles import accounts_hashed
from mailmove.server import Server

LIMIT = 7 * 1024 * 1024  # bytes; no quota anybody would have as a default


@given("a mailbox to try", target_fixture="box")
def mailbox_to_try(probes: ProbeAccounts) -> Account:
    return probes.account("anna")


@given("a mailbox nobody has opened yet", target_fixture="box")
def fresh_mailbox(probes: ProbeAccounts) -> Account:
    return probes.account("fresh")


@given("a mailbox that never had a letter", target_fixture="box")
def unused_mailbox(probes: ProbeAccounts) -> Account:
    return probes.account("unused")


@given("a mailbox that is read by fetching", target_fixture="box")
def fetched_mailbox(probes: ProbeAccounts) -> Account:
    return probes.account("fetched")


@given("a mailbox with a limit", target_fixture="box")
def limited_mailbox(probes: ProbeAccounts) -> Account:
    return probes.account("limited", quota_bytes=LIMIT)


@then("its owner gets in with the right password")
def right_password_gets_in(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.right_password_gets_in(new, box))


@then("nobody gets in with a wrong password or a wrong name")
def wrong_password_stays_out(new: Server, probes: ProbeAccounts, judge: Judge) -> None:
    judge(mailboxes.wrong_password_stays_out(new, probes.slow()))


@then("every kind of password on the old server opens a mailbox on the new one")
def passwords_stay_valid(old: Server, new: Server, journey: Journey, probes: ProbeAccounts, judge: Judge) -> None:
    ways, _ = logins.ways_of_hashing(old)
    _, known = logins.ways_of_hashing(new)
    ours = accounts_hashed(probes, old, ways)
    judge(logins.every_way_of_hashing_lets_in(new, ways, known, ours))


@then("people with unusual names get in as everybody else does")
def unusual_names_get_in(old: Server, new: Server, probes: ProbeAccounts, judge: Judge) -> None:
    judge(mailboxes.unusual_names_get_in(old, new, probes.account))


@then("a name typed in capitals opens the same mailbox")
def capitals_make_no_difference(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.capitals_make_no_difference(new, box))


@then("Dovecot takes letters from Postfix for whoever is there, and for nobody else")
def postfix_hands_over(outside: Outside, box: Account, judge: Judge) -> None:
    judge(mailboxes.postfix_hands_over(outside, box))


@then("Dovecot can name everybody who has a mailbox")
def everybody_is_known(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.everybody_is_known(new, box))


@then("it is made in its place when it is first opened")
def mailbox_lies_in_its_place(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.mailbox_lies_in_its_place(new, box))


@then("the folders for drafts, sent, spam and deleted mail are marked as such")
def special_folders_are_known(new: Server, box: Account, judge: Judge) -> None:
    judge(folders.special_folders_are_known(new, box))


@then("what is old in the folders for spam and deleted mail goes away")
def old_spam_goes_away(old: Server, new: Server, box: Account, judge: Judge) -> None:
    judge(folders.old_spam_goes_away(old, new, box))


@then("letters in all other folders stay, however old they are")
def only_spam_goes_away(old: Server, new: Server, judge: Judge) -> None:
    judge(folders.only_spam_goes_away(old, new))


@then("the folders subscribed to are shown at the next login, and no others")
def subscriptions_are_kept(new: Server, box: Account, judge: Judge) -> None:
    judge(folders.subscriptions_are_kept(new, box))


@then("as many programs as people have can be open on it, and see the same")
def several_programs_at_once(new: Server, box: Account, judge: Judge) -> None:
    judge(mailboxes.several_programs_at_once(new, box))


@then("a program that fetches letters finds each once, under the number it knows")
def letters_are_fetched_once(old: Server, new: Server, box: Account, judge: Judge) -> None:
    judge(fetching.letters_are_fetched_once(old, new, box))


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
def folders_keep_their_names(old: Server, new: Server, box: Account, judge: Judge) -> None:
    judge(folders.folders_keep_their_names(old, new, box))


@then("no folder on the old server gets a double on the new one")
def no_folder_is_shadowed(old: Server, judge: Judge) -> None:
    judge(folders.no_folder_is_shadowed(old, sievescripts.read(old)))
