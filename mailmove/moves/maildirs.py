"""What both copies of the mailboxes have in common: the hot one, while people use them, and the last, when the old server rests."""

from __future__ import annotations

import contextlib
import functools
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from checks import mailstore, strangers
from mailmove import folders, stores
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.compare import Kind
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.folders import Record, Todo
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.copied import write_down
from mailmove.moves.pull import Pull, Transfer
from mailmove.moves.streams import PROGRESS, number
from mailmove.server import Server
from mailmove.stores import Changes

ATTRIBUTES = "mail: has ACLs or extended attributes"  # in the journal
_PREPARE = 'umask 077; stat -L -c "%U:%G %a" "$1"; l=$2; shift 2; mkdir -p "$@" && : >> "$l"'
Pulling = Callable[[], Pull]
# Compiled Sieve scripts, of which Dovecot believes one that is younger than the script; and indexes that were there before the
# whole store was copied: by one that knows a letter's UID for that of another or of none, Dovecot gives the letter a new one
_NONE_MADE = r"""
find "$1" -type d \( -name cur -o -name new -o -name tmp \) -prune -o \
    -type f \( -name '*.svbin' -o -name 'dovecot.index*' -o -name 'dovecot.list.index*' \) -exec rm -f -- {} +
"""
BACKUPS = "/var/backups/mailmove/mailboxes"  # on new: what a cold copy replaced or deleted


def excluded(place: stores.Place) -> list[str]:
    """What is not copied: what Dovecot makes anew, half-written letters, mailmove's probes, and what is no mail."""
    folder = f"/*/*/{place.maildir}" if place.maildir else "/*/*"
    inner = f"{folder}/**/tmp/*" if place.layout == "fs" else f"{folder}/.*/tmp/*"
    names = [
        "*.svbin",
        "dovecot.index*",
        "dovecot.list.index*",
        "dovecot-acl-list",
        "dovecot.mailbox.log*",
        "dovecot*.lock",
        "subscriptions.lock",
    ]
    paths = [f"{folder}/tmp/*", inner, f"/{PROBE_DOMAIN}", f"/*/{PROBE_PREFIX}*", "/.*", "/lost+found"]  # noqa: S108
    # Directories among letters: Dovecot on new would move them, and what it made of them old never had.
    wheres = [folder, f"{folder}/**" if place.layout == "fs" else f"{folder}/.*"]
    paths += [f"{where}/{leaf}/*/" for where in wheres for leaf in ("cur", "new")]
    # p: they do not keep a directory from being deleted (rsync(1), "perishable").
    return [
        *(f"--filter=+ {name}" for name in folders.PRIVATE),
        *(f"--filter=-p {pattern}" for pattern in (*names, *paths)),
    ]


def last_options(aside: str) -> list[str]:
    """rsync's options for the last copy."""
    return ["--ignore-times", "--backup", f"--backup-dir={aside}"]


class Mailboxes(Move):
    """What both copies have in common."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._changes: Changes | None = None  # found by the needs, done right after
        self._leaving: tuple[Pull, Future[None]] | None = None  # whose permission is being taken away

    # what is known of both stores

    def _record(self) -> Record:
        """At which signatures directories were found equal; empty when that was never, or of another store."""
        return mailstore.recorded(self.journal)

    def _keep_record(self, record: Record) -> None:
        self.journal.keep(mailstore.RECORD, record.plain())

    def _touched(self) -> dict[str, list[str] | None]:
        """The letters that were copied and not yet compared by their bytes, by folder; None for all of a folder."""
        return mailstore.touched(self.journal)

    def _look(self, record: Record) -> Changes:
        self._changes = stores.changes(self.old, self.new, record)
        return self._changes

    def _may_delete(self, record: Record) -> Iterator[Evidence]:
        """The guards before anything is deleted on new, from a look at the directories alone."""
        changes = self._look(record)
        yield mailstore.source_is_as_it_was(self.old, record, changes)
        yield strangers.nothing_foreign_is_touched(self.old, self.new, changes)

    def nothing_foreign(self) -> Iterator[Evidence]:
        """What would hold up the last copy when nobody can read mail any more: asked before the stop."""
        record = self._record()
        if record.compared_at:
            yield strangers.nothing_foreign_is_touched(self.old, self.new, self._look(record))

    @contextlib.contextmanager
    def _pulling(self, ahead: Pull | None = None, *, later: bool = False) -> Iterator[Pulling]:
        """New's permission to read old, opened when it is first needed, or ``ahead``; taken away at the end.

        With ``later`` another thread does that, unless anything failed: see :meth:`_taken_away`.
        """
        with contextlib.ExitStack() as stack:
            opened: list[Pull] = []
            if ahead:
                stack.push(ahead)
                opened.append(ahead)

            def pull() -> Pull:
                if not opened:
                    opened.append(stack.enter_context(Pull(self.context, stores.place(self.old).root)))
                    opened[0].attributes = self.journal.recall(ATTRIBUTES, True)
                return opened[0]

            yield pull
            if later and opened:
                stack.pop_all()
                pool = ThreadPoolExecutor(1)
                self._leaving = opened[0], pool.submit(opened[0].take_away)
                pool.shutdown(wait=False)

    def _taken_away(self) -> None:
        """Wait until new may not read old any more."""
        leaving, self._leaving = self._leaving, None
        if leaving:
            leaving[1].result()
            leaving[0].forget()

    def _carry_out(self, pull: Pulling, record: Record, changes: Changes, words: str, aside: str) -> int:
        """Make equal what two looks found different: only what is named is touched. Returns how many letters."""
        todo = changes.todo
        # On disk before anything is done: killed in the middle, these are done again and compared.
        self.journal.keep(mailstore.TOUCHED, folders.merge(self._touched(), todo.touched))
        told = record.known("old")
        record.doubt(todo.folders)
        self._keep_record(record)
        if len(todo):
            self._apply(pull, todo, words, aside)
        if not aside:  # after the last copy, all that was touched is compared at once
            after = stores.look(self.new, record.known("new"), todo.names)
            folders.learn(record, todo.folders, changes.old, told, after)
            self._keep_record(record)
        return todo.letters

    def _aside(self, path: str) -> str:
        """A place on new for what the last copy replaces or deletes."""
        self._prepare(path)
        return self._remembered(path)

    def _remembered(self, path: str) -> str:
        self.journal.keep("cold copy aside", [*(self.journal.recall("cold copy aside") or []), path])
        return path

    def _apply(self, pull: Pulling, todo: Todo, words: str, aside: str) -> None:
        strange = set(todo.strangers) - strangers.brought(self.new, todo.strangers) if not aside else set()
        wanted = {
            "root": stores.place(self.new).root,
            "rename": todo.rename,
            "link": self._links(todo) if not aside else [],  # in the downtime it is quicker to copy the few
            "delete": [path for path in todo.delete if path not in strange],
            "remove": todo.remove,
            "stale": sorted(
                {folders.above(path) if folders.is_letter(f"{path}/x") else path for path in todo.folders} - {""}
            ),
            "aside": aside,
        }
        (done,) = self.new.remote("apply", wanted, timeout_s=3600)
        linked = set(done["linked"])
        names = [name for name in (*todo.copy, *done["missed"]) if name not in linked]
        if not aside:  # an index that counts is copied when nobody writes it
            names = [
                name
                for name in names
                if folders.is_private(name) or not name.rpartition("/")[2].startswith("dovecot.index")
            ]
        if names:
            more = last_options(aside) if aside else ["--ignore-times", "--ignore-missing-args"]
            waited = pull().waits
            try:
                self._rsync(pull(), words, more, changing=not aside, names=names)
            except MoveFailed:
                if not waited:
                    raise
                # Its other half may be gone since it began to wait. What it put aside stays as it is.
                self._rsync(pull(), words, last_options(self._aside(f"{aside}-again")), changing=False, names=names)

    def _links(self, todo: Todo) -> list[tuple[str, str]]:
        """(letter that new has, its further name) of those to copy that on old are one file with it: IMAP copies so."""
        coming = {path for path in todo.copy if folders.is_letter(path)}
        if not coming:
            return []
        pairs = []
        for path, others in stores.linked(self.old, coming).items():
            there = next((other for other in others if other not in coming), None)
            if there is not None:
                pairs.append((there, path))
        write_down(
            self.new, (path for _, path in pairs)
        )  # before they are there: whoever takes the copy back finds them
        return pairs

    def _learn_from(self, record: Record, compared: mailstore.Compared) -> None:
        """Remember what a comparison found equal; what it found different is in doubt, wholly if bytes differ."""
        result = compared.result
        roots = {stores.place(server).root for server in (self.old, self.new)}

        def below(path: str) -> str:
            return next((path[len(root) + 1 :] for root in roots if path.startswith(f"{root}/")), path)

        for path, letters in result.letters_of.items():
            if below(path) in record.directories:
                record.directories[below(path)].letters = letters
        if record and not record.compared_at:  # one that was lost says nothing of any store
            record.compared_at = time.time()
        unequal = {below(path) for path in result.unequal}
        homes = {"/".join(reversed(user.rpartition("@")[::2])) for user in result.unequal_users}
        inside = [path for path in record.directories if "/".join(path.split("/")[:2]) in homes]
        around = [f"{path}{leaf}" for path in unequal for leaf in ("", "/cur", "/new")]
        record.doubt([*inside, *around])
        if result.counts[Kind.OWNER]:  # they may be of ACLs, where there were none at first
            self.journal.keep(ATTRIBUTES, True)
        kinds = (Kind.CHANGED, Kind.REUSED, Kind.DOUBLED, Kind.OWNER, Kind.DATE)  # which no name of a file tells
        wrong = {below(each.path) for each in result.named if each.path and each.kind in kinds}
        record.doubt([f"{path}{leaf}" for path in wrong for leaf in ("", "/cur", "/new")], wholly=True)
        self._keep_record(record)

    def _plan(self, *more: str) -> list[Action]:
        place = stores.place(self.old)
        words = ["rsync", "--archive", "--hard-links", "--sparse", *more, "--stats", *excluded(place)]
        limit = self.migration.settings.copy_.bwlimit
        if limit:
            words.insert(3, f"--bwlimit={limit}")
        return [
            *(Action(where, command, what) for where, command, what in Pull.plan(place.root)),  # type: ignore[arg-type]
            Action("new", f"{shlex.join(words)} old:{place.root}/ {stores.place(self.new).root}/"),
        ]

    def _rsync(
        self, pull: Pull, words: str, arguments: list[str], *, changing: bool, names: list[str] | None = None
    ) -> Transfer:
        """One run of rsync, with its progress."""
        begun = time.monotonic()

        def on_line(line: str) -> None:
            match = PROGRESS.match(line)
            if match and time.monotonic() - begun > 1:
                self.progress.at(f"{words}: {number(match[1]) / 1e6:,.1f} MB")

        arguments = self._arguments(arguments)
        transfer = pull.rsync(arguments, f"{stores.place(self.new).root}/", on_line, changing=changing, names=names)
        if not transfer.set_right:
            self._set_root_right()
        return transfer

    def _arguments(self, arguments: list[str]) -> list[str]:
        return [
            "--info=progress2",
            "--stats",
            f"--log-file={mailstore.LEDGER}",
            "--log-file-format=%i %n",
            *self._owner,
            *arguments,
        ]

    def _prepare(self, *directories: str) -> None:
        """Remember what the mail root looked like, and make the place for the list of what was copied."""
        ledger, _, _ = mailstore.LEDGER.rpartition("/")
        look = self.new.sh(
            _PREPARE,
            *(stores.place(self.new).root, mailstore.LEDGER, ledger, *directories),
            what="making the place for the list of what is copied",
            check=True,
        )
        self.journal.keep_first("mail root of new", look.out.split())

    def _set_root_right(self) -> None:
        """rsync gives the mail root the old one's owner and mode; the new server's own ones were right."""
        owner, mode = self.journal.recall("mail root of new")
        self.new.sh('chown "$2" "$1" && chmod "$3" "$1"', stores.place(self.new).root, owner, mode, check=True)

    @functools.cached_property
    def _owner(self) -> list[str]:
        """Owners go by name. Where new calls the owner of all mail otherwise, the letters become that one's."""
        ours = self.old.run("stat", "-L", "-c", "%U:%G", stores.place(self.old).root, check=True).out.strip()
        theirs = self.journal.recall("mail root of new")[0]
        pairs = list(zip(("user", "group"), ours.split(":"), theirs.split(":"), strict=True))
        return [f"--{what}map={one}:{other}" for what, one, other in pairs if one != other]

    def _forget_made(self) -> None:
        self.new.sh(_NONE_MADE, stores.place(self.new).root, timeout_s=3600, check=True)

    def _room(self) -> Evidence:
        exam = Examination(
            "the new server has room for the mail",
            "new",
            why="a full disk stops the copy, and mail delivery with it",
            hint="free or add space where the mail root lies (df -h, df -i)",
        )
        needed = self.old.facts.mail_bytes - self.new.facts.mail_bytes + mailstore.SPARE
        free = self.new.facts.free_bytes
        exam.expect("free bytes", f"{free / 1e6:,.0f} MB", free >= needed, f"at least {max(needed, 0) / 1e6:,.0f} MB")
        return exam.close()


def place_aside() -> str:
    """A directory on new that is not there yet, for what is taken out of its mail store."""
    return f"{BACKUPS}/{time.strftime('%Y%m%dT%H%M%S')}"


def put_back(new: Server, asides: list[str], *options: str) -> None:
    """What lies in these places goes back into the mail store, the last one first; ``options`` of rsync may leave some out."""
    script = '[ -d "$1" ] || exit 0; from=$1 to=$2; shift 2; rsync --archive --hard-links "$@" "$from/" "$to/"'
    for aside in reversed(asides):
        done = new.sh(script, aside, stores.place(new).root, *options, timeout_s=6 * 3600)
        if not done.ok:
            raise MoveFailed(f"what lies in {aside} could not be put back: {done.text}", "put it back by hand")
