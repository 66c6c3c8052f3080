"""The mailboxes once more, when the old server rests: what changed since, and its proof."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from checks import freeze, mailstore, strangers
from mailmove import folders, stores
from mailmove.evidence import Evidence, Examination
from mailmove.folders import Look, Record
from mailmove.journal import Event
from mailmove.moves.base import Action, Context
from mailmove.moves.hot_copy import HotCopy
from mailmove.moves.maildirs import (
    ATTRIBUTES,
    BACKUPS,
    Mailboxes,
    excluded,
    last_options,
    place_aside,
    put_back,
)
from mailmove.moves.pull import Pull
from mailmove.moves.streams import span
from mailmove.progress import timed

_PROGRAMS = ("look", "mailstore", "apply", "authorize")  # of remote/: what the last copy runs
# The downtime waits for old's to stop and for new's to start: neither is to wait for the disk
_READ_DOVECOT = (
    "find /usr/sbin/dovecot /usr/bin/doveadm /usr/bin/doveconf /usr/lib/dovecot -type f -exec cat {} + > /dev/null"
)


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


class ColdCopy(Mailboxes):
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
        pull.wait(self._arguments(last_options(aside)), f"{root}/", *self.journal.recall("mail root of new"))

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
        self._forget_made()
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
