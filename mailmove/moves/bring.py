"""Letters that only one of the servers has go into the same mailboxes of the other, while people use both.

Dovecot itself takes them in: each comes into the folder it was in, with its bytes, flags, keywords and date, and with a UID that no letter of
that folder has on either server. What lies on the server they come from is not touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from checks import strangers
from checks.folders import prefix_of, separator_of
from mailmove import stores
from mailmove.compare import Stranger
from mailmove.errors import MoveFailed
from mailmove.moves import letters
from mailmove.moves.base import Action, Context
from mailmove.moves.copied import write_down
from mailmove.return_trip import Marked, batches
from mailmove.server import Answer, Server

STAGE = ".mailmove-late"  # below the mail root: where letters lie until Dovecot, as vmail, has taken them
_AT_ONCE = 500  # letters in one command
_NAMES_AT_ONCE = 100  # folders: a command line of one word, as ssh makes it, may have 128 KiB (execve(2))
_LOCK = "/run/lock/mailmove-bring"

# The lock is held as long as an import runs, also one whose run of mailmove is gone: what it brings is not brought again.
_OPEN = 'umask 077; exec 9> "$2"; flock -w 900 9 || exit 75; rm -rf "$1"; mkdir -p "$1"'
# Only the letters and the names of their keywords are given to Dovecot, no uidlist: none comes with the UID it had.
_GIVE = """
exec 9> "$6"; flock -w 900 9 || exit 75
owner=$(stat -L -c %U:%G "$2"); cd "$1" && chown -R "$owner" . && doveadm import -u "$3" "$5" "$7" ALL && rm -rf "./$4"
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

    ``find`` is asked when no import of an earlier run is at work any more. Raises MoveFailed where Dovecot does not take them,
    once everybody else's came; they lie where they were, and those that came are not found again. What Dovecot leaves out
    without a word (a file that cannot be read, a directory whose name is no folder's to it) is left as it was.
    """
    stage = f"{stores.place(target).root}/{STAGE}"
    target.sh(_OPEN, stage, _LOCK, what="waiting for an earlier import", timeout_s=1000, check=True)
    count = 0
    refused: list[tuple[str, list[Stranger]]] = []
    try:
        by_user: dict[str, list[Stranger]] = defaultdict(list)
        for each in find():
            by_user[each.user].append(each)
        for number, (user, theirs) in enumerate(by_user.items()):
            context.progress.at(f"{len(theirs):,} letters of {stores.shown(user)} go to {target.role}")
            said = ""
            try:
                _Mailbox(source, target, user, theirs).go(f"{stage}/{number}")
            except MoveFailed as error:
                said = error.fact
            # Once its bytes were seen there it is on the list of what was copied: should its owner delete it, it is not brought
            # again. What was not seen stays off it, whatever Dovecot said: what is on that list may be deleted as a copy.
            missing = set(strangers.not_there(target, source, theirs))
            came = [each for each in theirs if each not in missing]
            write_down(context.new, (f"{_below(source, each.path)}/cur/{each.name}" for each in came))
            count += len(came)
            # It may complain, and yet they are there: seen with 2.3.13, which breaks down over a quota
            if said and not missing:
                context.progress.say(stores.shown(f"{said.splitlines()[0]}; all of these are there all the same"))
            elif said:
                refused.append((said, sorted(missing, key=lambda each: (each.path, each.name))))
    finally:
        target.run("rm", "-rf", stage, check=True)
    if refused:
        raise _refusal(source, target, refused)
    return count


def mark(target: Server, marked: list[Marked]) -> None:
    """Give letters that ``target`` has the marks they have on the other server; none is taken from them."""
    by_folder: dict[tuple[str, str, tuple[str, ...]], list[int]] = defaultdict(list)
    for each in marked:
        if each.guid and each.uid:
            by_folder[each.user, each.guid, each.more].append(each.uid)
    for (user, guid, more), uids in by_folder.items():
        for some in batches(uids, _AT_ONCE):
            query = ["mailbox-guid", guid, "uid", ",".join(map(str, some))]  # a name might stand for several folders
            target.run("doveadm", "flags", "add", "-u", user, " ".join(more), *query, timeout_s=3600, check=True)


def _refusal(source: Server, target: Server, refused: list[tuple[str, list[Stranger]]]) -> MoveFailed:
    """What Dovecot said, and which letters did not come for it."""
    lines = []
    for said, left in refused:
        lines += [said, *strangers.letters_named(source, left)]
    return MoveFailed(
        "\n".join(lines),
        f"all others came. These are still on the {source.role} server, and nothing deletes them there. Where Dovecot speaks of"
        f" a quota, give its owner more room on {target.role}; else see its log there. Then run it again",
    )


class _Mailbox:
    """Somebody's letters on ``source``, and the mailbox on ``target`` that is to have them."""

    def __init__(self, source: Server, target: Server, user: str, theirs: list[Stranger]) -> None:
        self.source, self.target, self.user = source, target, user
        self.separator, self.prefix = separator_of(target), prefix_of(target)
        layout = stores.place(source).layout
        parts = {each.path: self._parts(each.path) for each in theirs}
        # Where a directory's name is none to Dovecot, nobody ever saw what is in it, and it gets no folder on target either.
        known = {path for path, levels in parts.items() if stores.is_folder_name(_raw(levels, layout), layout)}
        self.folders = {path: levels for path, levels in parts.items() if path in known}
        self.letters = [each for each in theirs if each.path in known]

    def go(self, stage: str) -> None:
        """By way of directories that begin with ``stage`` on target, and are gone when they came."""
        there = self._on(self.target)
        self._raise_uids(there)
        # Below a prefix all folders are called otherwise, but INBOX.
        above = self.prefix.removesuffix(self.separator)
        by_parent: dict[str, list[Stranger]] = defaultdict(list)
        for each in self.letters:
            by_parent[above if self.folders[each.path] else ""].append(each)
        for number, (parent, some) in enumerate(by_parent.items()):
            self._give(f"{stage}.{number}", parent, some)
        made = [path for path, parts in self.folders.items() if parts and parts not in there]
        if made:  # whoever does not see the folder does not see the letters
            came = self._on(self.target)
            names = [self._named(path) for path in made if self.folders[path] in came]
            for folders in batches(names, _NAMES_AT_ONCE):
                self._doveadm("mailbox", "subscribe", "-u", self.user, "--", *folders)

    def _give(self, stage: str, parent: str, some: list[Stranger]) -> None:
        """Have Dovecot take these, their folders below ``parent``."""
        above, _, leaf = stage.rpartition("/")
        for batch in letters.by_size(self._staged(leaf, some)):
            letters.take(self.target, {"root": above, "take": batch})
        location = f"maildir:{stage}" + (":LAYOUT=fs" if self.separator == "/" else "")
        root = stores.place(self.target).root
        self._taken(self.target.sh(_GIVE, above, root, self.user, leaf, location, _LOCK, parent, timeout_s=3600))

    def _doveadm(self, *words: str) -> None:
        self._taken(self.target.run("doveadm", *words))

    def _taken(self, said: Answer) -> None:
        if not said.ok:
            raise MoveFailed(
                f"Dovecot on the {self.target.role} server did not take letters of {stores.shown(self.user)}:"
                f" {said.text[:500]}",
                "see Dovecot's log there",
            )

    def _staged(self, stage: str, some: list[Stranger]) -> Iterator[letters.Letter]:
        """One that its owner moved or deleted meanwhile is left: found again where it is, or gone for good."""
        for letter in letters.read(self.source, ((each.path, each.name) for each in some)):
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
                self._doveadm("mailbox", "update", "-u", self.user, *least, "--", self._named(path))

    def _on(self, server: Server) -> dict[tuple[str, ...], stores.Numbered]:
        return {_parts(server, self.user, each.path): each for each in stores.numbered(server, [self.user])}

    def _parts(self, path: str) -> tuple[str, ...]:
        return _parts(self.source, self.user, path)

    def _named(self, path: str) -> str:
        """The folder as Dovecot on target calls it."""
        names = self.separator.join(map(stores.folder_name, self.folders[path]))
        return f"{self.prefix}{names}" if names else "INBOX"


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


def _raw(levels: tuple[str, ...], layout: str) -> str:
    """A folder's name on the disk."""
    return ("/" if layout == "fs" else ".").join(levels)
