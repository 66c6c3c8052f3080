"""What changed on the old server since it was copied: a password, an alias, a contact, a letter learned as spam."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from checks import accounts, training, webmail_data
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.database import AccountsCopy
from mailmove.moves.roundcube import WebmailCopy
from mailmove.moves.training import CARRIED, TrainingCopy

MOST_SHOWN = 200
KEY = "last changes"
LIVE = "last changes: changed on new while it was in service"


class LastChanges(Move):
    """Carry over what changed on the old server since it was copied.

    Succeeded: the new server has the accounts, webmail data and training that the old one has now; what was changed on both
    since the copy and is not alike was refused before anything was done. Failed: what is not carried yet is as it was.
    """

    name = "last_changes"
    overtaken_by = ("start", "switch")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = AccountsCopy(context, self.name)
        self._webmail = WebmailCopy(context, self.name)
        self._training = TrainingCopy(context, self.name)
        self._found: dict[str, list[str]] | None = None  # by the needs, done right after
        self._alone: tuple[list[accounts.Difference], list[str]] = [], []

    def drift(self) -> dict[str, list[str]]:
        """What changed on old since the copies, in words; asked of all three together, and of new alone kept for the needs."""
        with ThreadPoolExecutor(3) as pool:
            people = pool.submit(accounts.drift, self.old, self.new)
            webmail = pool.submit(webmail_data.drift, self.old, self.new)
            learned = pool.submit(training.drift, self.old, self.journal.recall(CARRIED))
            self._alone = people.result()[1], webmail.result()[1]
            return {
                "accounts": [d.words for d in people.result()[0]],
                "webmail": webmail.result()[0],
                "spam filter": learned.result(),
            }

    def needs(self) -> Iterable[Evidence]:
        self._found = self.drift()  # once for both: nobody can read mail meanwhile
        people, webmail = self._alone
        with ThreadPoolExecutor(2) as pool:
            asked = [
                pool.submit(accounts.nothing_changed_on_new_alone, self.old, self.new, people),
                pool.submit(webmail_data.webmail_not_changed_on_new_alone, self.old, self.new, webmail),
            ]
            for each in asked:
                yield each.result()

    def plan(self) -> list[Action]:
        found = self.drift()
        actions = [
            Action("old", words, "changed since the copy: goes to new")
            for each in found.values()
            for words in each[:MOST_SHOWN]
        ]
        copies = (("accounts", self._accounts), ("webmail", self._webmail), ("spam filter", self._training))
        for what, copy in copies:
            if found[what]:
                actions += copy.plan()
        if not actions:
            actions = [
                Action(
                    "both",
                    "compare accounts, webmail data and learned letters of both servers",
                    "what changed by then is carried again",
                )
            ]
        return actions

    def do(self) -> None:
        self.progress.at("looking what changed since the copies")
        found, self._found = self._found or self.drift(), None
        known: dict[str, list[str]] = self.journal.recall(KEY, {})
        self.journal.keep(
            KEY, {what: list(dict.fromkeys([*known.get(what, []), *words])) for what, words in found.items()}
        )
        if found["accounts"]:
            self._accounts.carry()
        if found["webmail"]:
            self._webmail.carry()
        if found["spam filter"]:
            self._training.carry()

    def prove(self) -> Iterable[Evidence]:
        yield self._what_changed()
        carried = self.journal.recall(CARRIED)  # here: SQLite's connection belongs to one thread
        with ThreadPoolExecutor(3) as pool:
            asked = [
                pool.submit(accounts.no_drift, self.old, self.new),
                pool.submit(webmail_data.no_drift, self.old, self.new),
                pool.submit(self._no_training_drift, carried),
            ]
            for each in asked:
                yield each.result()

    def _no_training_drift(self, carried: dict[str, Any] | None) -> Evidence:
        exam = Examination(
            "the old spam filter has learned nothing since its training was carried",
            "old",
            why="what people marked as spam meanwhile would have to be marked again",
            hint="run the cutover's step that carries the last changes again",
            required=False,
        )
        if carried is None:
            return exam.not_applicable("no training was carried")
        words = training.drift(self.old, carried)
        exam.expect("learned since", "; ".join(words) or "nothing", not words, "nothing")
        return exam.close()

    def _what_changed(self) -> Evidence:
        exam = Examination(
            "what changed on the old server after the copies, and came over now",
            "old",
            why="nobody shall have to change a password twice",
            hint="see the list",
            required=False,
        )
        known: dict[str, list[str]] = self.journal.recall(KEY, {})
        for what, words in known.items():
            for each in words[:MOST_SHOWN]:
                exam.expect(what, each, True)
            if not words:
                exam.expect(what, "nothing changed", True)
        return exam.close()

    def undo(self) -> None:
        # What people changed on the new server while it was in service is on no other: it is named before it goes,
        # and lies in the dumps that the copies take before they go back.
        live = [d.words for d in accounts.drift(self.old, self.new)[1]] + webmail_data.drift(self.old, self.new)[1]
        if live:
            known: list[str] = self.journal.recall(LIVE, [])
            self.journal.keep(LIVE, list(dict.fromkeys([*known, *live])))
            for words in live[:MOST_SHOWN]:
                self.progress.say(f"changed on the new server only, make it on the old one by hand: {words}")
        self._training.restore()
        if self._webmail.applies:
            self._webmail.restore()
        self._accounts.restore()

    def prove_undone(self) -> Iterable[Evidence]:
        yield self._accounts.restored()
        yield self._webmail.restored()
        yield self._training.restored()
        yield changed_while_in_service(self.journal)
        for key in ("accounts", "webmail", "training"):
            self.journal.forget(f"{self.name}: {key} before")
        self.journal.forget(KEY)


def changed_while_in_service(journal: Journal) -> Evidence:
    """What people changed on the new server alone, and has to be made on the old one by hand after going back."""
    exam = Examination(
        "nothing was changed on the new server alone while it was in service",
        "new",
        why="a password changed there is not the one of the old server",
        required=False,
        hint="make these changes on the old server by hand; dumps of before are in /var/backups/mailmove on the new one",
    )
    for words in journal.recall(LIVE, []):
        exam.expect("changed on the new server only", words, False, "nothing")
    if not journal.recall(LIVE):
        exam.expect("changed on the new server only", "nothing", True)
    return exam.close()
