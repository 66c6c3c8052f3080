"""The journey: every scenario in its order, and the gate that lets a move run or says what blocks it."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass

from mailmove.collect import Place
from mailmove.journal import Journal
from mailmove.migration import Migration

ON_NEW_ALONE = ("last_changes", "cold_copy", "safety_net")
"""Moves of the downtime that the old server need not wait for on the way back: people get it again all the same."""

ON_ITS_OWN = ("final_backup",)
"""Moves whose way back no other waits for: it takes a copy away, and nobody's mail depends on it."""

HOLDS = frozenset({"passed", "not applicable", "waived"})


class Mode(enum.StrEnum):
    """What a run may change: nothing, what the features say, or back."""

    VERIFY = "verify"
    MOVE = "move"
    UNDO = "undo"


@dataclass(frozen=True)
class Journey:
    """One run: what is to be moved, how, and what the journal knows about it."""

    mode: Mode
    migration: Migration
    journal: Journal
    places: tuple[Place, ...]  # all scenarios of features/, in order, selected or not

    def blocked(self, place: Place) -> str | None:
        """Why this scenario may not run now, or None.

        A move, and everything that comes after moves, may run only if all before it in the journey holds: asked of the
        journal (verdict, age, same words), whatever was selected on the command line. Scenarios of the first
        phase look only, and are never blocked. On the way back it is the other way round.
        """
        if self.mode is Mode.UNDO:
            return self._not_yet_back(place)
        if self.mode is not Mode.MOVE or place.phase == self.places[0].phase:
            return None
        known = self.journal.verdicts()
        switched = self.journal.proved("switch") is not None
        last_move = 0.0
        for before in self.places:
            if before.order >= place.order:
                break
            if before.is_undo:
                continue
            recorded = known.get(before.id)
            if recorded is None:
                return self._after(before, "it has not been run")
            if recorded.verdict not in HOLDS:
                return self._after(before, f"it {_past(recorded.verdict)} at {_clock(recorded.at)}")
            if recorded.words != before.words:
                return self._after(before, f"its words were changed since it passed at {_clock(recorded.at)}")
            age = time.time() - recorded.at
            limit = self.migration.settings.gates.max_age
            # Once the world delivers to the new server, the verdicts of before cannot be had again.
            if not before.is_move and age > limit and not switched:
                return self._after(before, f"its verdict is {age / 3600:.1f} h old, more than {limit / 3600:g} h")
            if before.is_move:
                last_move = max(last_move, recorded.at)
            elif recorded.at < last_move and before.phase != self.places[0].phase:
                return self._after(before, "a move before it was done again since it passed")
        return None

    def _not_yet_back(self, place: Place) -> str | None:
        """Which move of the evening, or of after it, has to be taken back before this one; None if none has.

        While the new server is live its mail must not be taken away, and the old one must not serve without what came
        to the new one. What was made ready before the freeze can go in any order.
        """
        at = {each.id: each for each in self.places}
        done = {}
        for name in dict.fromkeys(entry.move for entry in self.journal.entries()):
            scenario = self.journal.recall(f"scenario of {name}")
            if scenario and scenario[0] in at:
                done[name] = at[scenario[0]]
        freeze = done.get("freeze")
        if freeze is None:
            return None
        serves = (place.phase, place.file) == (freeze.phase, freeze.file)
        later = [
            each
            for name, each in done.items()
            if each.order > place.order
            and each.order >= freeze.order
            and name not in ON_ITS_OWN
            and self.journal.touched(name)
            and not (serves and name in ON_NEW_ALONE)
        ]
        if not later:
            return None
        last = max(later, key=lambda each: each.order)
        return f"comes after the way back of '{last.name}' ({last.phase}/{last.file}:{last.line}): it is not taken back yet"

    def postponed(self, place: Place) -> str | None:
        """In verify mode, after which move this scenario can be looked at; None if it can be now.

        A move itself is never postponed: its plan can be read at any time.
        """
        if self.mode is not Mode.VERIFY or place.is_move:
            return None
        known = self.journal.verdicts()
        for before in self.places:
            if before.order >= place.order:
                return None
            recorded = known.get(before.id)
            if before.is_move and (recorded is None or recorded.verdict not in HOLDS):
                return f"looked at after '{before.name}'"
        return None

    def stands(self, place: Place) -> str | None:
        """In the downtime, since when the verdict of a scenario before it stands; None if it is to be looked at.

        Between the freeze and the start the new server rests on purpose: what was seen working before cannot be seen
        now. It is not looked at again, and says so.
        """
        if self.mode is not Mode.MOVE or not self.journal.touched("freeze") or self.journal.proved("start"):
            return None
        freeze = self.journal.recall("scenario of freeze")
        at = next((p.order for p in self.places if freeze and p.id == freeze[0]), None)
        recorded = self.journal.verdicts().get(place.id)
        if at is None or place.order >= at or recorded is None or recorded.verdict not in HOLDS:
            return None
        return f"{recorded.verdict} at {_clock(recorded.at)}; not looked at again during the downtime"

    def _after(self, before: Place, why: str) -> str:
        return f"comes after '{before.name}' ({before.phase}/{before.file}:{before.line}): {why}"

    def performed(self, move: str, place: Place) -> None:
        """Remember which scenario performs a move: taking it back takes back the scenario's verdict."""
        self.journal.keep(f"scenario of {move}", [place.id, place.words])

    def taken_back(self, move: str) -> None:
        scenario = self.journal.recall(f"scenario of {move}")
        if scenario:
            self.journal.judge(scenario[0], "undone", scenario[1])

    @property
    def downtime(self) -> float | None:
        """Seconds people could not reach their mail: from the stop on the old to the start on the new server."""
        return downtime(self.journal)


def downtime(journal: Journal) -> float | None:
    """Seconds between the journal's marks ``downtime began`` and ``downtime ended``; None before that."""
    began, ended = journal.recall("downtime began"), journal.recall("downtime ended")
    return ended - began if began and ended and ended >= began else None


def _past(verdict: str) -> str:
    return {"unknown": "could not be told", "undone": "was taken back", "blocked": "was blocked"}.get(verdict, verdict)


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))
