"""The mailboxes: copied while people use them, and once more when the old server rests."""

from __future__ import annotations

import contextlib
import functools
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from checks import freeze, mailstore, strangers
from mailmove import folders, stores
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.compare import Kind
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.folders import Look, Record, Todo
from mailmove.journal import Event
from mailmove.moves import index
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.copied import write_down
from mailmove.moves.pull import Pull, Transfer
from mailmove.moves.streams import PROGRESS, Streams, number, span
from mailmove.progress import timed
from mailmove.server import Server
from mailmove.stores import Changes

PASSES = 8  # hot passes in one run, at most
ATTRIBUTES = "mail: has ACLs or extended attributes"  # in the journal
LITTLE = 100  # letters; or a hundredth of all: as much may remain for the downtime
SMALL = 0.001  # a pass that had to copy less than this part of all files ends the hot copy
_PREPARE = 'umask 077; stat -L -c "%U:%G %a" "$1"; l=$2; shift 2; mkdir -p "$@" && : >> "$l"'
# Empty, it goes, and what was made for it
_IS_FILLED = 'rmdir "$1" 2>/dev/null && { rmdir "${1%/*}" "${1%/*/*}" 2>/dev/null; exit 1; }; [ -d "$1" ]'
Pulling = Callable[[], Pull]
_PROGRAMS = ("look", "mailstore", "apply", "authorize")  # of remote/: what the last copy runs
# The downtime waits for old's to stop and for new's to start: neither is to wait for the disk
_READ_DOVECOT = (
    "find /usr/sbin/dovecot /usr/bin/doveadm /usr/bin/doveconf /usr/lib/dovecot -type f -exec cat {} + > /dev/null"
)
# Compiled Sieve scripts, of which Dovecot believes one that is younger than the script
_NONE_COMPILED = r"""
find "$1" -type d \( -name cur -o -name new -o -name tmp \) -prune -o -type f -name '*.svbin' -exec rm -f -- {} +
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
        "dovecot.mailbox.log*",
        "dovecot*.lock",
        "subscriptions.lock",
    ]
    paths = [f"{folder}/tmp/*", inner, f"/{PROBE_DOMAIN}", f"/*/{PROBE_PREFIX}*", "/.*", "/lost+found"]  # noqa: S108
    # Directories among letters: Dovecot on new would move them, and what it made of them old never had.
    wheres = [folder, f"{folder}/**" if place.layout == "fs" else f"{folder}/.*"]
    paths += [f"{where}/{leaf}/*/" for where in wheres for leaf in ("cur", "new")]
    # p: they do not keep a directory from being deleted (rsync(1), "perishable").
    return [f"--filter=-p {pattern}" for pattern in (*names, *paths)]


def _last(aside: str) -> list[str]:
    """rsync's options for the last copy."""
    return ["--ignore-times", "--backup", f"--backup-dir={aside}"]


@dataclass
class _Ahead:
    """What the last copy opened before nobody could read mail."""

    pull: Pull
    aside: str
    owner: list[str]

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.pull.__exit__(None, None, None)


class _Mailboxes(Move):
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
        strange = set(todo.strangers) - self._known_of(todo.strangers) if not aside else set()
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
            names = [name for name in names if not name.rpartition("/")[2].startswith("dovecot.index")]
        if names:
            more = _last(aside) if aside else ["--ignore-times", "--ignore-missing-args"]
            waited = pull().waits
            try:
                self._rsync(pull(), words, more, changing=not aside, names=names)
            except MoveFailed:
                if not waited:
                    raise
                # Its other half may be gone since it began to wait. What it put aside stays as it is.
                self._rsync(pull(), words, _last(self._aside(f"{aside}-again")), changing=False, names=names)

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

    def _known_of(self, strangers: list[str]) -> set[str]:
        """Those that a copy of ours brought."""
        if not strangers:
            return set()
        names = {path: folders.base(path) if folders.is_letter(path) else path for path in strangers}
        asked = {"ledger": mailstore.LEDGER, "names": sorted(set(names.values()))}
        (answer,) = self.new.remote("ledger", asked, timeout_s=3600)
        known = set(answer["known"])
        return {path for path, name in names.items() if name in known}

    def _learn_from(self, record: Record, compared: mailstore.Compared) -> None:
        """Remember what a comparison found equal; what it found different is in doubt, wholly if bytes differ."""
        result = compared.result
        roots = {stores.place(server).root for server in (self.old, self.new)}

        def below(path: str) -> str:
            return next((path[len(root) + 1 :] for root in roots if path.startswith(f"{root}/")), path)

        for path, letters in result.letters_of.items():
            if below(path) in record.directories:
                record.directories[below(path)].letters = letters
        if not record.compared_at:
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

    def _forget_compiled(self) -> None:
        self.new.sh(_NONE_COMPILED, stores.place(self.new).root, timeout_s=3600, check=True)

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


class HotCopy(_Mailboxes):
    """Copying the mailboxes while people use them.

    When it succeeds, every letter that was on the old server when the last pass began is on the new one, and what
    remains for the downtime is small; how long it will take is in the journal. When it fails, the old server is as it
    was and the new one has part of the mail: run it again, it goes on where it stopped. On new nothing is ever deleted but
    letters that a copy brought and that are gone from old; a file that the first pass replaces by another of its name is kept aside.
    """

    name = "hot_copy"
    overtaken_by = ("freeze", "cold_copy", "start")

    def needs(self) -> Iterator[Evidence]:
        layout = mailstore.both_are_maildirs(self.old, self.new)
        yield layout
        if not layout.holds:
            return
        yield self._room()
        record = self._record()
        if record:
            yield from self._may_delete(record)
            return
        yield mailstore.source_is_the_same(self.old, record)
        yield strangers.only_old_mail_is_on_new(self.old, self.new)

    def plan(self) -> list[Action]:
        return [
            *self._plan(),
            Action(
                "new",
                "the same again, only what changed, until little remains",
                f"at most {PASSES} passes; each is timed",
            ),
            Action("both", "every letter's SHA-256", "both stores are compared, letter by letter"),
            *index.plan(),
        ]

    def do(self) -> None:
        self._prepare()
        self._passes: list[dict[str, float]] = []
        record = self._record()
        with self._pulling() as pull:
            if not record:
                self._first(pull(), record)
            self._until_little_remains(pull, record)
            if index.build(self.context):
                # Building them, Dovecot may have moved letters from new to cur, which old's Dovecot has still to do.
                self._pass(pull, record)
        self.new.refresh(measure=True)
        self.journal.keep("hot copy finished at", time.time())

    def _first(self, pull: Pull, record: Record) -> None:
        """The whole store, by rsync; nothing is deleted."""
        looked = stores.look(self.old, {})
        record.begin_anew(looked)
        streams = Streams(self.context, pull, "hot copy, pass 1")
        aside = place_aside()
        self.journal.keep(OVERWRITTEN, [*self.journal.recall(OVERWRITTEN, []), aside])
        self.new.sh('umask 077; mkdir -p "$1"', aside, check=True)
        with timed() as took:
            homes = stores.weighed(self.old)
            pull.attributes = any(home["attributes"] for home in homes)
            self.journal.keep(ATTRIBUTES, pull.attributes)
            more = ["--backup", f"--backup-dir={aside}"]
            streams.run(homes, self._arguments(["--recursive", *more, *excluded(stores.place(self.old))]))
        self._set_root_right()
        self._forget_compiled()
        if self.new.sh(_IS_FILLED, aside).ok:
            self.progress.say(
                f"what lay on new under the name of a file of old, and was another one, is in {aside} there"
            )
        # What lies beside the homes, and homes that came meanwhile, are not known yet: the next pass takes them.
        inside = [path for path in looked.changed if path.count("/") > 0]
        folders.learn(record, inside, looked, {}, stores.look(self.new, {}))
        self._keep_record(record)
        self._passed(looked, took[0], streams.files, streams.bytes)

    def _until_little_remains(self, pull: Pulling, record: Record) -> None:
        while len(self._passes) < PASSES:
            copied = self._pass(pull, record)
            before = self._passes[-2]["files"] if len(self._passes) > 1 else float("inf")
            if copied <= max(20, record.letters * SMALL) or copied >= before:
                break

    def _pass(self, pull: Pulling, record: Record) -> int:
        """Only the directories that are not as they were; what was deleted or renamed on old is on new as well."""
        with timed() as took:
            changes, self._changes = self._changes or self._look(record), None
            copied = self._carry_out(pull, record, changes, f"hot copy, pass {len(self._passes) + 1}", "")
        self._passed(changes.old, took[0], copied, None)
        return copied

    def _passed(self, looked: Look, seconds: float, files: int, size: int | None) -> None:
        this = {"began": looked.begin["clock"], "seconds": round(seconds, 3), "files": files}
        self._passes.append(this)
        self.journal.keep("hot copy", self._passes)
        much = f", {size / 1e6:,.1f} MB" if size is not None else ""
        self.progress.say(f"hot copy, pass {len(self._passes)}: {files:,} letters{much} in {span(seconds)}")

    def once_more(self, pull: Pull) -> None:
        """One pass more, compared at once, after a hot copy that was proved. Where anything is in doubt it does nothing."""
        record = self._record()
        if not all(each.holds for each in self._may_delete(record)):
            return  # whoever needs it to hold says so
        self._passes = self._passes_made()
        with timed() as took:
            self._pass(lambda: pull, record)
            self._compare(self._record())
        self.journal.keep("cold copy forecast", round(took[0], 3))

    def _passes_made(self) -> list[dict[str, float]]:
        return self.journal.recall("hot copy") or [{"began": 0.0, "seconds": 0.0, "files": 0}]

    def _compare(self, record: Record) -> tuple[Evidence, mailstore.Compared]:
        """What was copied, byte by byte."""
        self.progress.at("comparing what was copied, byte by byte")
        evidence, compared = mailstore.hot_copy_is_complete(
            self.old, self.new, record, self._touched(), self._passes_made()[-1]["began"]
        )
        self._learn_from(record, compared)
        if evidence.holds:
            self.journal.forget(mailstore.TOUCHED)
        return evidence, compared

    def prove(self) -> Iterable[Evidence]:
        record = self._record()
        evidence, compared = self._compare(record)
        yield evidence
        yield self._freshness(self._passes_made(), compared, record)

    def _freshness(self, passes: list[dict[str, float]], compared: mailstore.Compared, record: Record) -> Evidence:
        fresh = self.migration.settings.copy_.fresh
        exam = Examination(
            "the hot copy is fresh, and what remains is small",
            "both",
            why="all that changed since has to be copied while nobody can read mail",
            hint="run it again, as often as you like",
        )
        age = time.time() - (self.journal.recall("hot copy finished at") or 0.0)
        exam.expect("age of the hot copy", span(age), age <= fresh, f"at most {span(fresh)}")
        for count, each in enumerate(passes, 1):
            answer = f"{each['files']:,} letters in {span(each['seconds'])}"
            exam.expect(f"pass {count}", answer, True)
        if compared.changes is not None:
            todo, most = compared.changes.todo, max(LITTLE, record.letters // 100)
            exam.expect(
                "letters that came, went or changed since",
                f"{todo.letters:,}",
                todo.letters <= most,
                f"at most {most:,}",
            )
        last = passes[-1]["seconds"]
        self.journal.keep("cold copy forecast", last)
        exam.expect("forecast for the cold copy", f"{span(last)}, as long as the last pass", True)
        return exam.close()

    def undo(self) -> None:
        """Removes what was copied, letter by letter from the list; what came to the new server itself stays."""
        root = stores.place(self.new).root
        asked = {"ledger": mailstore.LEDGER, "root": root, "take_back": True}
        (answer,) = self.new.remote("ledger", asked, timeout_s=3600)
        if answer["kept"]:
            kept = ", ".join(stores.shown(path) for path in answer["kept"][:5])
            self.progress.say(f"{len(answer['kept'])} directories stay, as something else is in them: {kept}")
        if self.journal.recall("mail root of new"):
            self._set_root_right()
        self.new.refresh(measure=True)
        if not mailstore.nothing_of_old_is_left(self.old, self.new).holds:
            return  # the list is still needed; prove_undone says what is left
        # A letter of another one's name stays there: nobody could tell it from a copy that was left.
        put_back(self.new, self.journal.recall(OVERWRITTEN, []), "--exclude=cur/*", "--exclude=new/*")
        self.new.sh('rm -f "$1"; rmdir "${1%/*}" 2>/dev/null; exit 0', mailstore.LEDGER, check=True)
        for key in (*_OF_THE_COPY, "mail root of new"):
            self.journal.forget(key)
        self.new.refresh()

    def prove_undone(self) -> Iterable[Evidence]:
        yield mailstore.nothing_of_old_is_left(self.old, self.new)


OVERWRITTEN = "hot copy: overwritten"  # in the journal: places on new
_OF_THE_COPY = (
    "hot copy",
    "hot copy finished at",
    "cold copy forecast",
    mailstore.RECORD,
    mailstore.TOUCHED,
    OVERWRITTEN,
)


class ColdCopy(_Mailboxes):
    """Copying what changed since, while the old server rests.

    When it succeeds, both servers hold the same mail: every mailbox, folder and letter compared, byte by byte. When it
    fails, the old server is as it was; run it again. What it deletes or replaces on the new server is kept aside there.
    """

    name = "cold_copy"
    overtaken_by = ("start",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # The old store as it was when the copy began, and what that look was told of
        self._at_rest: tuple[Look, dict[str, str]] | None = None

    def needs(self) -> Iterator[Evidence]:
        record = self._record()
        with ThreadPoolExecutor(2) as pool:  # asked together: nobody can read mail meanwhile
            down = [pool.submit(freeze.stays_down, server, *freeze.DOVECOT) for server in (self.old, self.new)]
            guards = list(self._may_delete(record)) if record.compared_at else []
            yield from (each.result() for each in down)
        if record.compared_at and (stores.place(self.old).index or stores.place(self.new).index):
            yield mailstore.both_are_maildirs(self.old, self.new, everybody=False)
        if record.compared_at:
            yield from guards
            return
        # Nothing is known of what was copied: all is looked at.
        yield freeze.store_is_quiet(self.old)
        layout = mailstore.both_are_maildirs(self.old, self.new, everybody=False)
        yield layout
        if not layout.holds:
            return
        yield mailstore.source_is_the_same(self.old, self._record())
        yield self._room()
        yield strangers.only_old_mail_is_on_new(self.old, self.new)

    def plan(self) -> list[Action]:
        return [
            Action("both", "the times of every folder", "only folders that changed since the last pass are looked into"),
            *self._plan("--files-from=…", "--backup", f"--backup-dir={BACKUPS}/…"),
            Action("both", "every changed folder's UIDs and flags; SHA-256 of every letter that was copied",
                   "both stores are compared, letter by letter; what did not change since the hot copy was compared then"),
        ]  # fmt: skip

    def get_ready(self) -> None:
        """What does not depend on what there will be to copy, done before nobody can read mail any more.

        Python waits on both servers, new is let in on old, what changed up to now is copied and compared (which also reads
        what the copy will read), an rsync waits to be told what to fetch, and the programs that stop and start Dovecot are in
        memory. Without it, the copy does the same in its own time.
        """
        if not self._record().compared_at or self.name in self.context.ahead:
            return
        both = (self.old, self.new)
        with ThreadPoolExecutor(4) as pool:
            read = pool.map(lambda server: server.sh(_READ_DOVECOT, timeout_s=60), both)
            ready = pool.map(lambda server: server.get_ready(*_PROGRAMS), both)
            _ = [*read], [*ready]  # what went wrong is said here
        self._prepare()
        aside, root = place_aside(), stores.place(self.new).root
        pull = Pull(self.context, stores.place(self.old).root).__enter__()
        pull.attributes = self.journal.recall(ATTRIBUTES, True)
        self.context.ahead[self.name] = _Ahead(pull, aside, self._owner)
        HotCopy(self.context).once_more(pull)
        pull.wait(self._arguments(_last(aside)), f"{root}/", *self.journal.recall("mail root of new"))

    def do(self) -> None:
        ahead = self.context.ahead.pop(self.name, None)
        if isinstance(ahead, _Ahead):
            self._owner = ahead.owner
            aside = self._remembered(ahead.aside)
        else:
            aside = self._aside(place_aside())
        record = self._record()
        with self._pulling(ahead.pull if isinstance(ahead, _Ahead) else None, later=True) as pull, timed() as took:
            if record.compared_at:
                changes = self._changes or self._look(record)
                self._at_rest = changes.old, record.known("old")
                copied, deleted = self._carry_out(pull, record, changes, "cold copy", aside), len(changes.todo.delete)
            else:
                copied, deleted = self._whole(pull(), record, aside)
        forecast = self.journal.recall("cold copy forecast")
        said = f" (forecast: {span(forecast)})" if forecast is not None else ""
        self.progress.say(f"cold copy: {copied:,} letters changed, {deleted:,} files deleted in {span(took[0])}{said}")
        self.journal.keep("cold copy", {"seconds": round(took[0], 3), "files": copied, "deleted": deleted})

    def _whole(self, pull: Pull, record: Record, aside: str) -> tuple[int, int]:
        """Every folder, when nothing is known of what was copied before."""
        looked = stores.look(self.old, {})
        record.begin_anew(looked)
        more = ["--delete-after", "--backup", f"--backup-dir={aside}"]
        if self._compared_before():
            # What rsync takes for equal by size and time was found different by its bytes, or may be.
            more.append("--checksum")
        transfer = self._rsync(pull, "cold copy", [*more, *excluded(stores.place(self.old))], changing=False)
        self._forget_compiled()
        folders.learn(record, looked.changed, looked, {}, stores.look(self.new, {}))
        self._keep_record(record)
        self._carry_out(lambda: pull, record, self._look(record), "cold copy", aside)
        self._at_rest = looked, {}
        return (
            transfer.number("Number of regular files transferred"),
            transfer.number("Number of deleted files"),
        )

    def _compared_before(self) -> bool:
        """Whether it came to its end before, and is repeated: then the comparison found something."""
        events = [entry.event for entry in self.journal.entries(self.name)]
        since = events[::-1].index(Event.UNDONE) if Event.UNDONE in events else len(events)
        return Event.DONE in events[len(events) - since :]

    def prove(self) -> Iterable[Evidence]:
        try:
            yield from self._prove()
        finally:
            self._taken_away()

    def _prove(self) -> Iterator[Evidence]:
        self.progress.at("comparing what changed on both servers")
        record = self._record()
        evidence, compared = mailstore.changes_are_equal(self.old, self.new, record, self._touched(), self._at_rest)
        self._learn_from(record, compared)
        if evidence.holds:
            self.journal.forget(mailstore.TOUCHED)
            clocks = {"old": compared.result.old["clock"], "new": compared.result.new["clock"]}
            self.journal.keep("mail equal at", clocks)
        yield evidence
        yield self._as_forecast()

    def _as_forecast(self) -> Evidence:
        exam = Examination(
            "the cold copy took as long as the hot copies had said",
            "both",
            why="the next move's downtime is announced by such a forecast",
            hint="more changed meanwhile, or the servers had more to do",
            required=False,
        )
        forecast, took = self.journal.recall("cold copy forecast"), self.journal.recall("cold copy")
        if forecast is None or took is None:
            return exam.not_applicable("there was no forecast")
        longest = max(2 * forecast, forecast + 10)
        exam.expect(
            "seconds",
            f"{took['seconds']:.1f}, forecast {forecast:.1f}",
            took["seconds"] <= longest,
            f"at most {longest:.0f}",
        )
        return exam.close()

    def undo(self) -> None:
        """The new server gets back what the cold copy deleted or replaced; it is again as after the hot copy."""
        put_back(self.new, self.journal.recall("cold copy aside") or [])
        if self.journal.recall("mail root of new"):
            self._set_root_right()
        for key in ("cold copy", "cold copy aside", "mail equal at"):
            self.journal.forget(key)

    def prove_undone(self) -> Iterable[Evidence]:
        yield mailstore.source_is_the_same(self.old, self._record())
