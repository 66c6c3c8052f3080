"""Letters that reached only one of the servers are brought over to the other, with UIDs of their own.

Before the copies, what came to new already (a move begun by hand, a test by which people worked there) goes to old, which is the one that
people use: from then on it is copied as everything else. Once new is live, what still reached old goes to new: from then on nothing that makes
the stores equal may run, as it would destroy what new got, or give a used UID to another letter.
"""

from __future__ import annotations

from collections.abc import Iterable

from checks import mailstore, start, strangers
from mailmove import folders, stores
from mailmove.compare import Stranger
from mailmove.evidence import Evidence
from mailmove.moves.base import Action, Move
from mailmove.moves.bring import bring, mark, plan
from mailmove.moves.maildirs import place_aside, put_back

ASIDE = "letters of new: put aside"  # in the journal: places on new


class LettersOfNew(Move):
    """Bringing letters that only the new server has to the old one, if that is wanted.

    When it succeeds, and ``copy.only_on_new`` is "bring", every letter on the new server is on the old one as well, with its flags,
    keywords and date, and a UID that no letter had before; before the first copy, what both have and was read, answered, flagged or
    labelled on new is so on old too. With "refuse" nothing is done. Nothing is renumbered, no mark is taken away. A letter that came
    from old by somebody's hand and was deleted there since does not come back: it is put aside on new. When it fails, the letters are
    still on the new server: run it again.
    """

    name = "letters_of_new"
    overtaken_by = ("freeze", "cold_copy", "start")

    @property
    def _wanted(self) -> bool:
        return self.migration.settings.copy_.only_on_new == "bring"

    def needs(self) -> Iterable[Evidence]:
        if not self._wanted:
            return
        layout = mailstore.both_are_maildirs(self.old, self.new)
        yield layout
        if layout.holds:
            yield strangers.old_knows_whose_they_are(self.old, strangers.letters_of_new(self.old, self.new))

    def plan(self) -> list[Action]:
        if not self._wanted:
            return [Action("old", "nothing", 'letters that only new has hold up the copy: copy.only_on_new = "refuse"')]
        return plan(self.new, self.old)

    def do(self) -> None:
        if not self._wanted:
            return
        deleted = strangers.deleted_on_old(self.old, self.new, strangers.letters_of_new(self.old, self.new))
        if deleted:
            self._set_aside(deleted)
        came = bring(self.context, self.new, self.old, lambda: strangers.letters_of_new(self.old, self.new))
        if came:
            self.progress.say(f"{came:,} letters that only the new server had are on the old one as well")
        self._mark()

    def _mark(self) -> None:
        """Before the first copy only: from then on a mark that old lacks was taken away there."""
        if mailstore.recorded(self.journal):
            return
        marked = strangers.marked_on_new(self.old, self.new)
        mark(self.old, marked)
        if marked:
            self.progress.say(
                f"{len(marked):,} letters were read, answered, flagged or labelled on new: on old as well"
            )

    def _set_aside(self, letters: list[Stranger]) -> None:
        root, aside = stores.place(self.new).root, place_aside()
        wanted = {(each.path.removeprefix(f"{root}/"), each.name) for each in letters}
        places = {f"{path}/{leaf}" for path, _ in wanted for leaf in ("cur", "new")}
        there = stores.listed(self.new, places).items()
        names = [f"{at}/{n}" for at, has in there for n in has.names if (folders.above(at), folders.base(n)) in wanted]
        self.journal.keep(ASIDE, [*self.journal.recall(ASIDE, []), aside])
        self.new.sh('umask 077; mkdir -p "$1"', aside, check=True)
        asked = {"root": root, "rename": [], "link": [], "delete": names, "remove": [], "stale": [], "aside": aside}
        list(self.new.remote("apply", asked, timeout_s=3600))
        self.progress.say(
            f"{len(names):,} letters came from old and were deleted there since: they lie in {aside} on new"
        )

    def prove(self) -> Iterable[Evidence]:
        yield strangers.letters_of_new_are_on_old(self.old, self.new, wanted=self._wanted)
        if not mailstore.recorded(self.journal):
            yield strangers.marks_of_new_are_seen(self.old, self.new, wanted=self._wanted)

    def undo(self) -> None:
        """What was put aside is there again. On old nothing is taken back: a letter is its owner's."""
        put_back(self.new, self.journal.recall(ASIDE, []))
        self.journal.forget(ASIDE)
        if not self.journal.touched("hot_copy"):
            self.new.sh('rm -f "$1"; rmdir "${1%/*}" 2>/dev/null; exit 0', mailstore.LEDGER, check=True)


class LateLetters(Move):
    """Bringing over letters that reached only the old server.

    When it succeeds, every letter that the old server got after the last copy is on the new one as well, with its flags,
    keywords and date, and a UID that no letter had before; nothing on the new server was deleted or renumbered. When it
    fails, the letters are still on the old server: run it again.
    """

    name = "late_letters"

    def needs(self) -> Iterable[Evidence]:
        yield start.has_started(self.journal)

    def plan(self) -> list[Action]:
        return plan(self.old, self.new)

    def do(self) -> None:
        came = bring(self.context, self.old, self.new, lambda: strangers.late_letters(self.old, self.new))
        if came:
            self.progress.say(f"{came:,} letters that only the old server had are on the new one as well")

    def prove(self) -> Iterable[Evidence]:
        yield strangers.no_letter_is_late(self.old, self.new)

    def undo(self) -> None:
        """Nothing to take back: a letter that came later than others is still its owner's."""
