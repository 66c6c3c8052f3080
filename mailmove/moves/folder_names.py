"""Folders of earlier editions (INBOX.Junk) get the names the new server uses (Junk), if the admin wants it."""

from __future__ import annotations

from collections.abc import Iterable

from checks import folder_names, start
from checks.folders import prefix_of
from checks.mailstore import SHOWN
from mailmove import stores
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence
from mailmove.moves.base import Action, Move

_HINT = (
    "all other folders have the names they were to have; these have their former ones, and all their letters. Where Dovecot speaks of"
    " conflicting directory permissions, give the folder's directory the owner and mode of the Maildir it lies in (chown, chmod)"
    " on the new server; else see Dovecot's log there. Then run it again"
)


class FolderNames(Move):
    """Giving folders of earlier editions the names the new server uses.

    When it succeeds, and ``copy.folders`` is "rename", no mailbox on the new server has folders below INBOX any more, but
    those that a Sieve script of their owner names; with "keep" nothing is done. When it fails, folders have the one name
    or the other, with all their letters; run it again, or take it back.
    """

    name = "folder_names"

    def needs(self) -> Iterable[Evidence]:
        yield start.has_started(self.journal)

    @property
    def _wanted(self) -> bool:
        return self.migration.settings.copy_.folders == "rename"

    def plan(self) -> list[Action]:
        if not self._wanted:
            return [Action("new", "nothing", 'folders keep their names: copy.folders = "keep"')]
        return [
            Action("new", "doveadm mailbox rename -s -u USER INBOX.Junk Junk", "for each such folder of each mailbox; "
                   "if there is one of the new name already, the letters are moved into it"),
        ]  # fmt: skip

    def do(self) -> None:
        if not self._wanted:
            return
        refused: list[tuple[str, str, str]] = []
        named, prefix = folder_names.named_by_sieve(self.new), prefix_of(self.new)
        for user, folders in folder_names.folders_below_inbox(self.new).items():
            kept = folder_names.keep_their_names(folders, named.get(user, ""))
            for folder in sorted(set(folders) - kept, reverse=True):  # inner ones first
                try:
                    self._rename(user, folder, folder_names.name_without_inbox(folder, prefix))
                except MoveFailed as error:  # everybody else's are renamed all the same
                    refused.append((user, folder, stores.shown(error.fact)))
        # What lay in a folder that was renamed later has its new name all the same.
        left = [fact for user, folder, fact in refused if folder in folder_names.folders_of(self.new, user)]
        if left:
            more = [f"… and {len(left) - SHOWN:,} more"] if len(left) > SHOWN else []
            raise MoveFailed("\n".join([*left[:SHOWN], *more]), _HINT)

    def _rename(self, user: str, folder: str, target: str) -> None:
        """One folder; into one that exists its letters are moved."""
        self.progress.at(stores.shown(f"{user}: {folder} becomes {target}"))
        there = folder_names.folders_of(self.new, user)
        if folder not in there:  # it only had folders in it, and went with the last of them
            return
        if target not in there:
            renamed = list(self.journal.recall(folder_names.RENAMED) or [])
            self.journal.keep(folder_names.RENAMED, [*renamed, [user, folder, target]])
            self._doveadm("mailbox", "rename", "-s", "-u", user, "--", folder, target)
            return
        # By its GUID: in a query, * and % of a name would stand for the letters of other folders.
        self._doveadm("move", "-u", user, "--", target, "mailbox-guid", there[folder], "ALL")
        self._doveadm("mailbox", "delete", "-s", "-u", user, "--", folder)

    def _doveadm(self, *words: str) -> None:
        said = self.new.run("doveadm", *words, timeout_s=3600)
        if not said.ok:
            raise MoveFailed(
                f"doveadm {' '.join(words)} on the new server ended with {said.rc}: {said.text[:500]}", _HINT
            )

    def prove(self) -> Iterable[Evidence]:
        yield folder_names.folders_are_called_as_wanted(self.new, self.migration.settings.copy_.folders)

    def undo(self) -> None:
        """Each folder gets its former name again; letters that were moved into one that existed stay there."""
        for user, folder, target in reversed(self.journal.recall(folder_names.RENAMED) or []):
            there = folder_names.folders_of(self.new, user)
            if folder not in there and target in there:
                self._doveadm("mailbox", "rename", "-s", "-u", user, "--", target, folder)
        self.journal.forget(folder_names.RENAMED)
