"""The mailboxes: copied while people use them, and once more when the old server rests."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable, Iterator
from typing import Any

from checks import freeze, mailstore
from mailmove import stores
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Event
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.pull import Pull, Transfer
from mailmove.progress import timed

PASSES = 8  # hot passes in one run, at most
SMALL = 0.001  # a pass that had to copy less than this part of all files ends the hot copy
BACKUPS = "/var/backups/mailmove/mailboxes"  # on new: what a cold copy replaced or deleted
_PROGRESS = re.compile(r"^\s*([\d,.]+)\s+\d+%\s")


def excluded(place: stores.Place) -> list[str]:
    """What is not copied: what Dovecot makes anew, half-written letters, mailmove's probes, and what is no mail."""
    folder = f"/*/*/{place.maildir}" if place.maildir else "/*/*"
    inner = f"{folder}/**/tmp/*" if place.layout == "fs" else f"{folder}/.*/tmp/*"
    names = ["dovecot.index*", "dovecot.list.index*", "dovecot.mailbox.log*", "dovecot*.lock", "subscriptions.lock"]
    paths = [f"{folder}/tmp/*", inner, f"/{PROBE_DOMAIN}", f"/*/{PROBE_PREFIX}*", "/.*", "/lost+found"]  # noqa: S108
    # p: they do not keep a directory from being deleted (rsync(1), "perishable").
    return [f"--filter=-p {pattern}" for pattern in (*names, *paths)]


class _Mailboxes(Move):
    """What both copies have in common."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._shown = 0.0

    def _plan(self, *more: str) -> list[Action]:
        place = stores.place(self.old)
        words = ["rsync", "--archive", "--hard-links", *more, "--stats", *excluded(place)]
        limit = self.migration.settings.copy_.bwlimit
        if limit:
            words.insert(3, f"--bwlimit={limit}")
        return [
            *(Action(where, command, what) for where, command, what in Pull.plan(place.root)),  # type: ignore[arg-type]
            Action("new", f"{shlex.join(words)} old:{place.root}/ {stores.place(self.new).root}/"),
        ]

    def _copy(self, pull: Pull, words: str, total: int, *more: str, changing: bool) -> Transfer:
        """One run of rsync, with its progress. ``total`` bytes are expected; 0 if unknown."""
        begun = time.monotonic()

        def on_line(line: str) -> None:
            match = _PROGRESS.match(line)
            now = time.monotonic()
            if not match or now - self._shown < 0.2:
                return
            self._shown = now
            done = int(re.sub(r"\D", "", match[1]))
            spent = now - begun
            left = f", {_span((total - done) * spent / done)} left" if total > done > 0 and spent > 2 else ""
            of = f" of {total / 1e6:,.1f}" if total >= done > 0 else ""
            self.progress.at(f"{words}: {done / 1e6:,.1f}{of} MB{left}", done, max(total, done))

        root = stores.place(self.new).root
        transfer = pull.rsync(
            [
                "--info=progress2",
                "--stats",
                *more,
                f"--log-file={mailstore.LEDGER}",
                "--log-file-format=%i %n",
                *self._owner(),
                *excluded(stores.place(self.old)),
            ],
            f"{root}/",
            on_line,
            changing=changing,
        )
        self._set_root_right()
        return transfer

    def _prepare(self) -> None:
        """Remember what the mail root looked like, and make the place for the list of what was copied."""
        root = stores.place(self.new).root
        look = self.new.run("stat", "-c", "%U:%G %a", root, check=True).out.split()
        self.journal.keep_first("mail root of new", look)
        ledger, _, _ = mailstore.LEDGER.rpartition("/")
        self.new.sh('umask 077; mkdir -p "$1" && : >> "$2"', ledger, mailstore.LEDGER, check=True)

    def _set_root_right(self) -> None:
        """rsync gives the mail root the old one's owner and mode; the new server's own ones were right."""
        owner, mode = self.journal.recall("mail root of new")
        self.new.sh('chown "$2" "$1" && chmod "$3" "$1"', stores.place(self.new).root, owner, mode, check=True)

    def _owner(self) -> list[str]:
        """Owners go by name. Where new calls the owner of all mail otherwise, the letters become that one's."""
        names = [
            server.run("stat", "-c", "%U:%G", stores.place(server).root, check=True).out.strip()
            for server in (self.old, self.new)
        ]
        ours, theirs = names[0], (self.journal.recall("mail root of new") or [names[1]])[0]
        return [] if ours == theirs else [f"--chown={theirs}"]

    def _mark(self) -> dict[str, Any]:
        """Which store was copied, and how much was in it."""
        return self.journal.recall("mail store of old") or {}

    def _keep_mark(self) -> None:
        begin: dict[str, Any] = {}
        end: dict[str, Any] = {}
        for fact in stores.read(self.old, "names"):
            if fact["kind"] == "begin":
                begin = fact
            elif fact["kind"] == "end":
                end = fact
        mark = {key: begin[key] for key in ("machine", "root", "inode", "device")} | {"letters": end["letters"]}
        self.journal.keep("mail store of old", mark)

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


class HotCopy(_Mailboxes):
    """Copying the mailboxes while people use them.

    When it succeeds, every letter that was on the old server when the last pass began is on the new one, and what
    remains for the downtime is small; how long it will take is in the journal. When it fails, the old server is as it
    was and the new one has part of the mail: run it again, it goes on where it stopped. Nothing is ever deleted on new.
    """

    name = "hot_copy"
    overtaken_by = ("freeze", "cold_copy", "start")

    def needs(self) -> Iterator[Evidence]:
        layout = mailstore.both_are_maildirs(self.old, self.new)
        yield layout
        if not layout.holds:
            return
        yield mailstore.source_is_the_same(self.old, None)
        yield self._room()
        yield mailstore.only_old_mail_is_on_new(self.old, self.new)

    def plan(self) -> list[Action]:
        return [
            *self._plan(),
            Action("new", "the same again until little remains", f"at most {PASSES} passes; each is timed"),
        ]

    def do(self) -> None:
        self._prepare()
        passes: list[dict[str, float]] = []
        total = max(self.old.facts.mail_bytes - self.new.facts.mail_bytes, 0)
        with Pull(self.context, stores.place(self.old).root) as pull:
            while len(passes) < PASSES:
                began = float(self.old.run("date", "+%s.%N", check=True).out)
                words = f"hot copy, pass {len(passes) + 1}"
                with timed() as took:
                    transfer = self._copy(pull, words, total if not passes else 0, changing=True)
                files = transfer.number("Number of files")
                copied = transfer.number("Number of regular files transferred")
                size = transfer.number("Total transferred file size")
                passes.append({"began": began, "seconds": round(took[0], 3), "files": copied, "bytes": size})
                self.journal.keep("hot copy", passes)
                self.progress.say(f"{words}: {copied:,} files, {size / 1e6:,.1f} MB in {_span(took[0])}")
                if len(passes) > 1 and (copied <= max(20, files * SMALL) or copied >= passes[-2]["files"]):
                    break
        self._keep_mark()
        self.new.refresh()
        self.journal.keep("hot copy finished at", time.time())

    def prove(self) -> Iterable[Evidence]:
        passes = self.journal.recall("hot copy") or [{"began": 0.0, "seconds": 0.0, "files": 0, "bytes": 0}]
        yield mailstore.hot_copy_is_complete(self.old, self.new, passes[-1]["began"])
        yield self._freshness(passes)

    def _freshness(self, passes: list[dict[str, float]]) -> Evidence:
        fresh = self.migration.settings.copy_.fresh
        exam = Examination(
            "the hot copy is fresh, and what remains is small",
            "both",
            why="all that changed since has to be copied while nobody can read mail",
            hint="run it again, as often as you like",
        )
        age = time.time() - (self.journal.recall("hot copy finished at") or 0.0)
        exam.expect("age of the hot copy", _span(age), age <= fresh, f"at most {_span(fresh)}")
        for number, each in enumerate(passes, 1):
            answer = f"{each['files']:,} files, {each['bytes'] / 1e6:,.1f} MB in {_span(each['seconds'])}"
            exam.expect(f"pass {number}", answer, True)
        last = passes[-1]["seconds"]
        self.journal.keep("cold copy forecast", last)
        exam.expect("forecast for the cold copy", f"{_span(last)}, as long as the last pass", True)
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
        self.new.refresh()
        if not mailstore.nothing_of_old_is_left(self.old, self.new).holds:
            return  # the list is still needed; prove_undone says what is left
        self.new.sh('rm -f "$1"; rmdir "${1%/*}" 2>/dev/null; exit 0', mailstore.LEDGER, check=True)
        for key in ("hot copy", "hot copy finished at", "mail store of old", "cold copy forecast", "mail root of new"):
            self.journal.forget(key)
        self.new.refresh()

    def prove_undone(self) -> Iterable[Evidence]:
        yield mailstore.nothing_of_old_is_left(self.old, self.new)


class ColdCopy(_Mailboxes):
    """Copying what changed since, while the old server rests.

    When it succeeds, both servers hold the same mail: every mailbox, folder and letter compared, byte by byte. When it
    fails, the old server is as it was; run it again. What it deletes or replaces on the new server is kept aside there.
    """

    name = "cold_copy"
    overtaken_by = ("start",)

    def needs(self) -> Iterator[Evidence]:
        yield freeze.stays_down(self.old, *freeze.DOVECOT)
        yield freeze.stays_down(self.new, *freeze.DOVECOT)
        yield freeze.store_is_quiet(self.old)
        layout = mailstore.both_are_maildirs(self.old, self.new)
        yield layout
        if not layout.holds:
            return
        yield mailstore.source_is_the_same(self.old, self._mark())
        yield self._room()
        yield mailstore.only_old_mail_is_on_new(self.old, self.new)

    def plan(self) -> list[Action]:
        return [
            *self._plan("--delete-after", "--backup", f"--backup-dir={BACKUPS}/…"),
            Action("both", "every letter's UID, flags, date and SHA-256", "both stores are compared, letter by letter"),
        ]

    def do(self) -> None:
        self._prepare()
        aside = f"{BACKUPS}/{time.strftime('%Y%m%dT%H%M%S')}"
        self.journal.keep("cold copy aside", [*(self.journal.recall("cold copy aside") or []), aside])
        self.new.sh('umask 077; mkdir -p "$1"', aside, check=True)
        more = ["--delete-after", "--backup", f"--backup-dir={aside}"]
        if self._compared_before():
            # What rsync takes for equal by size and time was found different by its bytes, or may be.
            more.append("--checksum")
        with Pull(self.context, stores.place(self.old).root) as pull, timed() as took:
            transfer = self._copy(pull, "cold copy", 0, *more, changing=False)
        copied, deleted = (
            transfer.number("Number of regular files transferred"),
            transfer.number("Number of deleted files"),
        )
        forecast = self.journal.recall("cold copy forecast")
        said = f" (forecast: {_span(forecast)})" if forecast is not None else ""
        self.progress.say(f"cold copy: {copied:,} files copied, {deleted:,} deleted in {_span(took[0])}{said}")
        self.journal.keep("cold copy", {"seconds": round(took[0], 3), "files": copied, "deleted": deleted})
        self._keep_mark()
        self.new.refresh()

    def _compared_before(self) -> bool:
        """Whether it came to its end before, and is repeated: then the comparison found something."""
        events = [entry.event for entry in self.journal.entries(self.name)]
        since = events[::-1].index(Event.UNDONE) if Event.UNDONE in events else len(events)
        return Event.DONE in events[len(events) - since :]

    def prove(self) -> Iterable[Evidence]:
        self.progress.at("comparing every letter on both servers")
        evidence, result = mailstore.nothing_is_lost(self.old, self.new)
        if evidence.holds:
            self.journal.keep("mail equal at", {"old": result.old["clock"], "new": result.new["clock"]})
        yield evidence

    def undo(self) -> None:
        """The new server gets back what the cold copy deleted or replaced; it is again as after the hot copy."""
        root = stores.place(self.new).root
        for aside in reversed(self.journal.recall("cold copy aside") or []):
            done = self.new.sh(
                '[ -d "$1" ] || exit 0; rsync --archive --hard-links "$1/" "$2/"', aside, root, timeout_s=6 * 3600
            )
            if not done.ok:
                raise MoveFailed(f"what lies in {aside} could not be put back: {done.text}", "put it back by hand")
        if self.journal.recall("mail root of new"):
            self._set_root_right()
        for key in ("cold copy", "cold copy aside", "mail equal at"):
            self.journal.forget(key)

    def prove_undone(self) -> Iterable[Evidence]:
        yield mailstore.source_is_the_same(self.old, self._mark())


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
