"""The mailboxes: their copies, and the proof that nothing was lost."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import given, then, when

from checks import dovecot_view, folder_names, mailstore, strangers
from mailmove.evidence import Evidence, Judge
from mailmove.moves.base import Context, Move
from mailmove.moves.cold_copy import ColdCopy
from mailmove.moves.folder_names import FolderNames
from mailmove.moves.hot_copy import HotCopy
from mailmove.moves.index import Indexes
from mailmove.moves.late import LateLetters, LettersOfNew
from mailmove.moves.standing import as_it_stands
from mailmove.server import Server

Mover = Callable[[type[Move]], object]


@given("the new server can take the mailboxes as they are")
def new_can_take_them(old: Server, new: Server, judge: Judge) -> None:
    judge(mailstore.both_are_maildirs(old, new))


@then("the new server holds no mail that the old one never had")
def only_old_mail_on_new(context: Context, judge: Judge) -> None:
    # Before the last copy it is asked again, as what that needs; once new is live, people's mail comes to it.
    judge(*as_it_stands(context, HotCopy, lambda: [strangers.only_old_mail_is_on_new(context.old, context.new)]))


@when("the mailboxes are copied while people use them")
def copy_hot(perform: Mover) -> None:
    perform(HotCopy)


@then("every letter that was there when the copy began is on the new server")
def hot_copy_is_complete(context: Context, judge: Judge) -> None:
    began = (context.journal.recall("hot copy") or [{"began": 0.0}])[-1]["began"]
    record, touched = mailstore.recorded(context.journal), mailstore.touched(context.journal)

    def look() -> list[Evidence]:
        return [mailstore.hot_copy_is_complete(context.old, context.new, record, touched, began)[0]]

    judge(*as_it_stands(context, HotCopy, look))


@when("the copied mailboxes are taken away again")
def take_hot_copy_back(take_back: Mover) -> None:
    take_back(HotCopy)


@then("the new server holds nothing of the old server's mail")
def nothing_of_old_is_left(old: Server, new: Server, judge: Judge) -> None:
    judge(mailstore.nothing_of_old_is_left(old, new))


@then("no folder is named after an earlier edition of the guide")
def folder_names_suit(old: Server, judge: Judge) -> None:
    judge(folder_names.folder_names_suit_the_new_server(old))


@when("letters that only the new server has are brought to the old one, if that is wanted")
def bring_letters_of_new(perform: Mover) -> None:
    perform(LettersOfNew)


@when("letters that were brought to the old server are left there")
def leave_letters_of_new(take_back: Mover) -> None:
    take_back(LettersOfNew)


@then("every letter on the new server is on the old one too, if that is wanted")
def letters_of_new_are_on_old(context: Context, judge: Judge) -> None:
    wanted = context.migration.settings.copy_.only_on_new == "bring"

    def look() -> list[Evidence]:
        return [strangers.letters_of_new_are_on_old(context.old, context.new, wanted=wanted)]

    judge(*as_it_stands(context, LettersOfNew, look))


@when("letters that only the old server has are brought over")
def bring_late_letters(perform: Mover) -> None:
    perform(LateLetters)


@when("the letters that followed are left where they are")
def leave_late_letters(take_back: Mover) -> None:
    take_back(LateLetters)


@then("no letter waits on the old server that the new one never got")
def no_letter_is_late(old: Server, new: Server, judge: Judge) -> None:
    judge(strangers.no_letter_is_late(old, new))


@then("nothing of that has to be taken back")
def nothing_to_take_back(judge: Judge) -> None:
    judge(mailstore.nothing_to_take_back())


@when("folders of earlier editions get their new names, if that is wanted")
def rename_folders(perform: Mover) -> None:
    perform(FolderNames)


@when("the folders get their former names again")
def name_folders_back(take_back: Mover) -> None:
    take_back(FolderNames)


@then("folders are called as it was decided")
def folders_are_called_as_wanted(context: Context, judge: Judge) -> None:
    judge(folder_names.folders_are_called_as_wanted(context.new, context.migration.settings.copy_.folders))


@then("every folder is there under its former name")
def folders_have_former_names(context: Context, judge: Judge) -> None:
    judge(folder_names.nothing_is_renamed(context.journal))


@when("the last changes of the mailboxes are copied")
def copy_cold(perform: Mover) -> None:
    perform(ColdCopy)


@then("both servers hold the same mail, letter by letter")
def both_are_equal(context: Context, judge: Judge) -> None:
    """The move has just compared every byte; what it found is its evidence, and its mark says when."""
    judge(mailstore.was_found_equal(context.journal))


@when("the last copy is taken back")
def take_cold_copy_back(take_back: Mover) -> None:
    take_back(ColdCopy)


@then("the old server's mail is as it was")
def old_mail_is_as_it_was(context: Context, judge: Judge) -> None:
    judge(mailstore.source_is_the_same(context.old, mailstore.recorded(context.journal)))


@then("every letter of the old server is on the new one or was changed there by its owner")
def nothing_is_lost(context: Context, judge: Judge) -> None:
    equal = context.journal.recall("mail equal at") or {}
    since, late = equal.get("new"), equal.get("old")
    judge(mailstore.nothing_is_lost(context.old, context.new, context.journal, since, context.progress, late=late)[0])


@when("the indexes of all mailboxes are built anew")
def build_indexes(perform: Mover) -> None:
    perform(Indexes)


@when("the indexes are left as they are")
def leave_indexes(take_back: Mover) -> None:
    take_back(Indexes)


@then("people are shown every letter that lies on the new server")
def dovecot_shows_all(new: Server, judge: Judge) -> None:
    judge(dovecot_view.dovecot_shows_what_is_there(new))
