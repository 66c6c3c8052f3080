"""Telling the people."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

from checks import announcement as checks
from mailmove import notice
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence
from mailmove.moves.base import Action, Move
from mailmove.notice import SENT_TO, Notice

BATCH = 50  # letters handed over before the journal is written and the server given time


class Announce(Move):
    """The move is announced to everybody with a mailbox.

    Succeeded: the old server took one notice for every mailbox, or it is attested that the people were told
    otherwise. Failed: some have their notice; running it again sends only the missing ones, nobody gets it twice.
    A letter cannot be recalled: taking it back only lets it be announced anew.
    """

    name: ClassVar[str] = checks.NAME
    overtaken_by: ClassVar[tuple[str, ...]] = ("freeze",)

    def needs(self) -> Iterable[Evidence]:
        """The day is set."""
        yield checks.day_is_set(self.migration, self.journal)

    def plan(self) -> list[Action]:
        """The letter, and how many get it."""
        announcement = self.migration.settings.announcement
        letter = notice.of(self.migration)
        if announcement and announcement.attested_by:
            who = f"{announcement.attested_by} on {announcement.attested_on}"
            return [Action("here", "nothing is sent", f"the people were told by other means, attested by {who}")]
        first = letter.recipients[0] if letter.recipients else ""
        command = f"sendmail -i -f {letter.sender(first)} -- MAILBOX"
        return [
            Action("old", command, f"one letter to each of {len(letter.recipients)} mailboxes"),
            Action("old", f"Subject: {letter.subject}\n\n{letter.text}", "the letter"),
        ]

    def do(self) -> None:
        """Send it to everybody who has not got it, in batches, each remembered."""
        announcement = self.migration.settings.announcement
        if announcement and announcement.attested_by:
            return
        letter = notice.of(self.migration)
        memory: dict[str, list[str]] = self.journal.recall(SENT_TO, {})
        # The journal may lag behind by a batch when a run was killed: the mail log knows.
        sent = {*memory.get(letter.version, []), *checks.ends_of(self.migration, letter, checks.since(self.journal))}
        todo = [r for r in letter.recipients if r not in sent]
        refused = []
        for start in range(0, len(todo), BATCH):
            self.progress.at("notices sent", len(letter.recipients) - len(todo) + start, len(letter.recipients))
            for line in self._send(letter, todo[start : start + BATCH]):
                if line["rc"] == 0:
                    sent.add(line["to"])
                else:
                    refused.append(f"{line['to']}: {line['said'].strip() or line['rc']}")
            self.journal.keep(SENT_TO, {**memory, letter.version: sorted(sent)})
        if refused:
            raise MoveFailed(
                f"the old server's sendmail did not take {len(refused)} notices:\n" + "\n".join(refused[:20]),
                "look at the old server's Postfix (postfix check, mail log), then run it again",
            )

    def _send(self, letter: Notice, recipients: list[str]) -> Iterable[dict[str, Any]]:
        now = dt.datetime.now(dt.UTC)
        letters = [
            [r, notice.envelope(r), letter.sender(r), base64.b64encode(letter.compose(r, now)).decode("ascii")]
            for r in recipients
        ]
        return self.old.remote("notices", {"send": letters}, timeout_s=600)

    def prove(self) -> Iterable[Evidence]:
        """Each letter's end in the mail log, or the attestation."""
        return checks.everybody_was_told(self.migration, self.journal, self.progress)

    def undo(self) -> None:
        """Nothing can be recalled, and what was sent stays remembered: nobody gets the same letter twice."""

    def prove_undone(self) -> Iterable[Evidence]:
        """Who has a letter."""
        yield checks.letters_stay_sent(self.journal)
