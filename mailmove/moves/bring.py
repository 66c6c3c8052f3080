"""Letters that only one of the servers has go into the same mailboxes of the other, while people use both.

Dovecot itself takes them in: each comes into the folder it was in, with its bytes, flags, keywords and date, and with a UID that no letter of
that folder has on either server. What lies on the server they come from is not touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from checks import mailstore
from checks.folders import separator_of
from mailmove import stores
from mailmove.compare import Stranger
from mailmove.errors import MoveFailed
from mailmove.moves import letters
from mailmove.moves.base import Action, Context
from mailmove.moves.copied import write_down
from mailmove.server import Server

STAGE = ".mailmove-late"  # below the mail root: where letters lie until Dovecot, as vmail, has taken them
_LOCK = "/run/lock/mailmove-bring"

# The lock is held as long as an import runs, also one whose run of mailmove is gone: what it brings is not brought again.
_OPEN = 'umask 077; exec 9> "$2"; flock -w 900 9 || exit 75; rm -rf "$1"; mkdir -p "$1"'
# Only the letters and the names of their keywords are given to Dovecot, no uidlist: none comes with the UID it had.
_GIVE = """
exec 9> "$6"; flock -w 900 9 || exit 75
owner=$(stat -L -c %U:%G "$2"); cd "$1" && chown -R "$owner" . && doveadm import -u "$3" "$5" "" ALL && rm -rf "./$4"
"""
Find = Callable[[], list[Stranger]]


def plan(source: Server, target: Server) -> list[Action]:
    """What :func:`bring` does, for people."""
    root, role = stores.place(target).root, target.role
    return [
        Action("both", "the names of all letters", f"those that only {source.role} has, and that no copy ever brought"),
        Action("here", f"letter by letter from {source.role} to {role}:{root}/{STAGE}/", "only these letters"),
        Action(role, "doveadm mailbox update -u USER --min-next-uid …", "no UID is given that people saw on the other"),
        Action(role, f"doveadm import -u USER maildir:{root}/{STAGE}/… '' ALL", "Dovecot gives them UIDs of their own"),
    ]


def bring(context: Context, source: Server, target: Server, find: Find) -> int:
    """Bring the letters of ``source`` that ``find`` names to ``target``. Returns how many came.

    ``find`` is asked when no import of an earlier run is at work any more. Raises MoveFailed where Dovecot does not take them;
    they lie where they were, and those that came are not found again.
    """
    stage = f"{stores.place(target).root}/{STAGE}"
    target.sh(_OPEN, stage, _LOCK, what="waiting for an earlier import", timeout_s=1000, check=True)
    count = 0
    try:
        by_user: dict[str, list[Stranger]] = defaultdict(list)
        for each in find():
            by_user[each.user].append(each)
        for number, (user, theirs) in enumerate(by_user.items()):
            context.progress.at(f"{len(theirs):,} letters of {stores.shown(user)} go to {target.role}")
            _Mailbox(source, target, user, theirs).go(f"{stage}/{number}")
            # Once its bytes were seen there it is on the list of what was copied: should its owner delete it, it is not brought
            # again. What was not seen stays off it, whatever Dovecot said: what is on that list may be deleted as a copy.
            missing = set(mailstore.not_there(target, source, theirs))
            came = [each for each in theirs if each not in missing]
            write_down(context.new, (f"{_below(source, each.path)}/cur/{each.name}" for each in came))
            count += len(came)
    finally:
        target.run("rm", "-rf", stage, check=True)
    return count


class _Mailbox:
    """Somebody's letters on ``source``, and the mailbox on ``target`` that is to have them."""

    def __init__(self, source: Server, target: Server, user: str, theirs: list[Stranger]) -> None:
        self.source, self.target, self.user, self.letters = source, target, user, theirs
        self.separator = separator_of(target)
        self.folders = {each.path: self._parts(each.path) for each in theirs}

    def go(self, stage: str) -> None:
        """By way of the directory ``stage`` on target, which is gone when they came."""
        above, _, leaf = stage.rpartition("/")
        for some in letters.by_size(self._staged(leaf)):
            letters.take(self.target, {"root": above, "take": some})
        there = self._on(self.target)
        self._raise_uids(there)
        location = f"maildir:{stage}" + (":LAYOUT=fs" if self.separator == "/" else "")
        root = stores.place(self.target).root
        said = self.target.sh(_GIVE, above, root, self.user, leaf, location, _LOCK, timeout_s=3600)
        if not said.ok:
            role = self.target.role
            raise MoveFailed(
                f"Dovecot on the {role} server did not take {len(self.letters)} letters of"
                f" {stores.shown(self.user)}: {said.text[:500]}",
                f"they are still on the {self.source.role} server; see Dovecot's log on {role}, then run it again",
            )
        made = [self._named(path) for path, parts in self.folders.items() if parts and parts not in there]
        if made:  # whoever does not see the folder does not see the letters
            self.target.run("doveadm", "mailbox", "subscribe", "-u", self.user, "--", *made, check=True)

    def _staged(self, stage: str) -> Iterator[letters.Letter]:
        """One that its owner moved or deleted meanwhile is left: found again where it is, or gone for good."""
        for letter in letters.read(self.source, ((each.path, each.name) for each in self.letters)):
            parts = self.folders[letter.pop("path")]
            if not letter.get("gone"):
                inner = parts if self.separator == "/" else ["".join(f".{part}" for part in parts)]
                yield {**letter, "folder": "/".join([stage, *filter(None, inner)])}

    def _raise_uids(self, there: dict[tuple[str, ...], stores.Numbered]) -> None:
        """No UID is given that the folder on source, if it is the same folder, has shown to people."""
        ours = self._on(self.source)
        for path, parts in self.folders.items():
            one, other = ours.get(parts), there.get(parts)
            if one and other and one.uidvalidity == other.uidvalidity and one.next_uid > other.next_uid:
                least = ["--min-next-uid", str(one.next_uid)]
                self.target.run("doveadm", "mailbox", "update", "-u", self.user, *least, "--", self._named(path), check=True)  # fmt: skip

    def _on(self, server: Server) -> dict[tuple[str, ...], stores.Numbered]:
        return {_parts(server, self.user, each.path): each for each in stores.numbered(server, [self.user])}

    def _parts(self, path: str) -> tuple[str, ...]:
        return _parts(self.source, self.user, path)

    def _named(self, path: str) -> str:
        """The folder as Dovecot on target calls it."""
        return self.separator.join(map(stores.folder_name, self.folders[path])) or "INBOX"


def _below(server: Server, path: str) -> str:
    return path.removeprefix(f"{stores.place(server).root}/")


def _parts(server: Server, user: str, path: str) -> tuple[str, ...]:
    """A folder's name, level by level, as it stands on the disk; none for INBOX."""
    place = stores.place(server)
    local, _, domain = user.rpartition("@")
    inner = path.removeprefix("/".join(filter(None, (place.root, domain, local, place.maildir)))).lstrip("/")
    if not inner:
        return ()
    return tuple(inner.split("/") if place.layout == "fs" else inner.removeprefix(".").split("."))
