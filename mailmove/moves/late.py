"""Letters that reached only the old server are brought over when the new one has mail of its own already.

From then on nothing that makes the stores equal may run: it would destroy what new got, or give a used UID to another
letter. The late letters are imported by Dovecot itself, into the folders they were in, with new UIDs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from checks import mailstore, start
from mailmove import folders, stores
from mailmove.compare import Stranger
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence
from mailmove.moves.base import Action, Move
from mailmove.moves.copied import write_down
from mailmove.moves.pull import Pull

STAGE = ".mailmove-late"  # below new's mail root: where the letters lie until Dovecot, as vmail, has taken them

_OPEN = 'umask 077; rm -rf "$1"; mkdir -p "$1"'
# Only the letters are given to Dovecot: with the uidlist away, none comes with the UID it had on old.
_GIVE = """
stage=$1; owner=$(stat -L -c %U:%G "$2"); user=$3; maildir=$4
cd "$stage" && chown -R "$owner" . &&
doveadm import -u "$user" "maildir:$stage/$maildir" "" ALL && rm -rf "./$maildir"
"""


class LateLetters(Move):
    """Bringing over letters that reached only the old server.

    When it succeeds, every letter that the old server got after the last copy is on the new one as well, with its flags,
    keywords and date, and a UID that no letter had before; nothing on the new server was deleted or renumbered. When it
    fails, the letters are still on the old server: run it again.
    """

    name = "late_letters"

    def needs(self) -> Iterable[Evidence]:
        yield start.has_started(self.journal)

    @property
    def _stage(self) -> str:
        return f"{stores.place(self.new).root}/{STAGE}"

    def plan(self) -> list[Action]:
        place = stores.place(self.old)
        return [
            Action("both", "the names of all letters", "those on old that no copy ever brought are late"),
            *(Action(where, command, what) for where, command, what in Pull.plan(place.root)),  # type: ignore[arg-type]
            Action("new", f"rsync --archive --files-from=… old:{place.root}/ {self._stage}/", "only the late letters"),
            Action(
                "new", f"doveadm import -u USER maildir:{self._stage}/… '' ALL", "Dovecot gives them UIDs of their own"
            ),
        ]

    def do(self) -> None:
        late = mailstore.late_letters(self.old, self.new)
        if not late:
            return
        root = stores.place(self.old).root
        by_user: dict[str, list[Stranger]] = defaultdict(list)
        for each in late:
            by_user[each.user].append(each)
        try:
            with Pull(self.context, root) as pull:
                self.new.sh(_OPEN, self._stage, check=True)
                for user, theirs in by_user.items():
                    self.progress.at(f"{len(theirs)} late letters of {stores.shown(user)}")
                    self._bring(pull, user, theirs)
        finally:
            self.new.run("rm", "-rf", self._stage, check=True)
        self.progress.say(f"{len(late):,} letters that only the old server had are on the new one as well")

    def _bring(self, pull: Pull, user: str, letters: list[Stranger]) -> None:
        """One mailbox: its letters and the files that name their keywords, then Dovecot's import."""
        root = stores.place(self.old).root
        local, _, domain = user.rpartition("@")
        places = sorted({each.path.removeprefix(f"{root}/") for each in letters})
        wanted = {(each.path.removeprefix(f"{root}/"), each.name) for each in letters}
        names = [f"{path}/dovecot-keywords" for path in places]
        for path, listing in stores.listed(
            self.old, [f"{p}/{leaf}" for p in places for leaf in ("cur", "new")]
        ).items():
            names += [f"{path}/{name}" for name in listing.names if (folders.above(path), folders.base(name)) in wanted]
        pull.rsync([*pull.listed(names), "--ignore-missing-args"], f"{self._stage}/", changing=True)
        home = f"{domain}/{local}"
        maildir = "/".join(filter(None, (home, stores.place(self.old).maildir)))
        said = self.new.sh(_GIVE, self._stage, stores.place(self.new).root, user, maildir, timeout_s=3600)
        if not said.ok:
            raise MoveFailed(
                f"Dovecot on the new server did not take {len(letters)} late letters of {stores.shown(user)}: {said.text[:500]}",
                "they are still on the old server; see Dovecot's log, then run it again",
            )

        # On the list of what was copied: should its owner delete one, it is not late again.
        write_down(self.new, names)

    def prove(self) -> Iterable[Evidence]:
        yield mailstore.no_letter_is_late(self.old, self.new)

    def undo(self) -> None:
        """Nothing to take back: a letter that came later than others is still its owner's."""
