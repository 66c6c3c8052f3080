"""What a move is, and the one runner that calls its five parts."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from mailmove.errors import MailmoveError, MoveFailed, Refused
from mailmove.evidence import Evidence, Examination, Judge
from mailmove.journal import Event, Journal
from mailmove.migration import Migration
from mailmove.progress import Progress, Silence, timed
from mailmove.server import Server


@dataclass(frozen=True)
class Action:
    """One line of a plan: on which machine, the exact command (or words where a person acts), and what for."""

    where: Literal["old", "new", "both", "dns", "here", "outside"]
    command: str
    what: str = ""


def _nobody_else() -> None:
    """Where no other run can be."""


def _nothing() -> None:
    """Where nothing is noted."""


@dataclass(frozen=True)
class Context:
    """What a move works with."""

    migration: Migration
    journal: Journal
    progress: Progress = field(default_factory=Silence)
    ahead: dict[str, AbstractContextManager[Any]] = field(default_factory=dict)
    """What one move opened for another that comes later in this run, by that one's name."""
    still_ours: Callable[[], None] = _nobody_else
    """Raises MailmoveError if another run has taken the servers meanwhile."""
    coming_by: Callable[[], None] = _nothing
    """Called when a move has begun: what is to be noted of and on the servers whenever there is an occasion."""

    def close(self) -> None:
        """At the end of a run: what was opened ahead and nobody took."""
        while self.ahead:
            _, opened = self.ahead.popitem()
            opened.__exit__(None, None, None)

    @property
    def old(self) -> Server:
        return self.migration.old

    @property
    def new(self) -> Server:
        return self.migration.new


class Move(ABC):
    """One change of a server, provable and undoable. Done twice equals done once.

    The docstring's first line is what the admin reads while it runs; the rest says what is true
    when it succeeds and what is true when it fails.
    """

    name: ClassVar[str]  # in the journal; never changes once released
    overtaken_by: ClassVar[tuple[str, ...]] = ()  # moves after which its proof no longer holds, by design

    def __init__(self, context: Context) -> None:
        self.context = context
        self.old = context.old
        self.new = context.new
        self.migration = context.migration
        self.journal = context.journal
        self.progress = context.progress

    @property
    def title(self) -> str:
        return (self.__doc__ or self.name).strip().splitlines()[0].rstrip(".")

    def needs(self) -> Iterable[Evidence]:
        """Checks that must hold now, asked live just before ``do``."""
        return ()

    @abstractmethod
    def plan(self) -> list[Action]:
        """The exact commands, for people to read. Changes nothing, and is right before anything else was done."""

    @abstractmethod
    def do(self) -> None:
        """Do it. Backs up first what it overwrites. Raises MoveFailed, with a hint, when it cannot."""

    @abstractmethod
    def prove(self) -> Iterable[Evidence]:
        """Checks that it worked, by behaviour. At least one."""

    @abstractmethod
    def undo(self) -> None:
        """Take it back, also when it was only half done. Done twice equals done once."""

    def prove_undone(self) -> Iterable[Evidence]:
        """Checks that it was taken back."""
        return ()


@dataclass(frozen=True)
class Outcome:
    """What the runner did: ``state`` for the report, and how long it took in seconds."""

    state: Literal["planned", "done", "already done", "overtaken", "undone", "nothing to undo"]
    words: str
    seconds: float = 0.0


class Runner:
    """Calls the parts of a move in the order that loses nothing, writing the journal before each."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.journal = context.journal
        self.progress = context.progress

    def perform(self, move: Move, judge: Judge) -> Outcome:
        """Needs, do, prove. ``judge`` gets all evidence and raises on what does not hold.

        Raises Refused when a need does not hold (nothing was changed), MoveFailed when doing or proving failed.
        """
        overtaker = next((name for name in move.overtaken_by if self.journal.touched(name)), None)
        proved = self.journal.proved(move.name)
        if proved and overtaker:
            judge(_overtaken(move, overtaker))
            return Outcome("overtaken", f"done at {_clock(proved.at)}; since then overtaken by: {overtaker}")
        if proved:
            evidence = list(move.prove())
            if evidence and all(e.holds for e in evidence):
                judge(*evidence)
                return Outcome("already done", f"done at {_clock(proved.at)}, and looked at again: it still holds")
            self.progress.say(f"{move.title}: was done at {_clock(proved.at)} but no longer holds; doing it again")
        held_up = []
        for each in move.needs():
            if each.holds:
                judge(each)
            else:
                held_up.append(each)
        if held_up:
            self.journal.record(
                move.name, Event.FAILED, at="needs", why=[e.title for e in held_up]
            ) if not proved else None
            raise Refused(
                f"not begun: {move.title}\n" + "\n".join(e.explain() for e in held_up),
                "mend what is named above and run it again; nothing was changed by this move",
            )
        self.context.still_ours()
        self.progress.say(f"{move.title} …")
        self.journal.record(move.name, Event.BEGUN)
        self.context.coming_by()
        with timed() as took:
            self._guard(move, "do", move.do)
            self.journal.record(move.name, Event.DONE)
            evidence = list(move.prove())
        if not evidence:
            raise MoveFailed(f"{move.title}: it came with no proof", "this is a defect of mailmove; report it")
        bad = [e for e in evidence if not e.holds]
        if bad:
            self.journal.record(move.name, Event.FAILED, at="prove", why=[e.title for e in bad])
        judge(*evidence)
        self.journal.record(move.name, Event.PROVED, seconds=round(took[0], 3))
        return Outcome("done", f"done and proved in {took[0]:.1f} s", took[0])

    def look(self, move: Move, judge: Judge) -> Outcome:
        """Look again at a move that was proved, changing nothing. ``judge`` raises if it no longer holds."""
        proved = self.journal.proved(move.name)
        assert proved is not None
        overtaker = next((name for name in move.overtaken_by if self.journal.touched(name)), None)
        if overtaker:
            judge(_overtaken(move, overtaker))
            return Outcome("overtaken", f"done at {_clock(proved.at)}; since then overtaken by: {overtaker}")
        judge(*move.prove())
        return Outcome("already done", f"done at {_clock(proved.at)}, and looked at again: it still holds")

    def undo(self, move: Move, judge: Judge) -> Outcome:
        """Take one move back. A move that was never begun, or is undone, is left alone."""
        if not self.journal.touched(move.name):
            return Outcome("nothing to undo", "it was not done, or is taken back already")
        self.context.still_ours()
        self.progress.say(f"taking back: {move.title} …")
        self.journal.record(move.name, Event.UNDOING)
        self.context.coming_by()
        with timed() as took:
            try:
                self._guard(move, "undo", move.undo)
                judge(*move.prove_undone())
            except MailmoveError as error:  # a server that reboots just now, say
                raise type(error)(error.fact, _then_undo_again(error.hint)) from None
        self.journal.record(move.name, Event.UNDONE, seconds=round(took[0], 3))
        return Outcome("undone", f"taken back in {took[0]:.1f} s", took[0])

    def _guard(self, move: Move, part: str, act: object) -> None:
        assert callable(act)
        try:
            act()
        except MailmoveError as error:
            with contextlib.suppress(
                MailmoveError
            ):  # what went wrong first says more than a journal that cannot be written
                self.journal.record(move.name, Event.FAILED, at=part, why=[error.fact])
            raise MoveFailed(f"{move.title}: {error.fact}", error.hint) from None  # it says all of it


def _overtaken(move: Move, overtaker: str) -> Evidence:
    exam = Examination(f"{move.title}: done and proved before", "journal")
    exam.expect("what the journal says", f"proved; then overtaken by {overtaker}", True)
    return exam.close()


def _then_undo_again(hint: str) -> str:
    """What to do next ends with the call that goes on from here: a way back that stands still leaves people without mail."""
    if "--undo" in hint:
        return hint
    if "run it again" in hint:
        return hint.replace("run it again", "run --undo again")
    return f"{hint}; then run --undo again, which goes on from here"


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))
