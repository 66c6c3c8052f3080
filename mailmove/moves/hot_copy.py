"""The mailboxes, copied while people use them: pass after pass, until little remains."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from checks import mailstore, strangers
from mailmove import folders, stores
from mailmove.evidence import Evidence, Examination
from mailmove.folders import Look, Record
from mailmove.moves import index
from mailmove.moves.base import Action
from mailmove.moves.maildirs import (
    ATTRIBUTES,
    Mailboxes,
    Pulling,
    excluded,
    place_aside,
    put_back,
)
from mailmove.moves.pull import Pull
from mailmove.moves.streams import Streams, span
from mailmove.progress import timed

PASSES = 8  # hot passes in one run, at most
LITTLE = 100  # letters; or a hundredth of all: as much may remain for the downtime
SMALL = 0.001  # a pass that had to copy less than this part of all files ends the hot copy
# Empty, it goes, and what was made for it
_IS_FILLED = 'rmdir "$1" 2>/dev/null && { rmdir "${1%/*}" "${1%/*/*}" 2>/dev/null; exit 1; }; [ -d "$1" ]'
OVERWRITTEN = "hot copy: overwritten"  # in the journal: places on new
_OF_THE_COPY = (
    "hot copy",
    "hot copy finished at",
    "cold copy forecast",
    mailstore.RECORD,
    mailstore.TOUCHED,
    OVERWRITTEN,
)


class HotCopy(Mailboxes):
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
        self._forget_made()
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
