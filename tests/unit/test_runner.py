"""The runner of moves: what it says when a move does not come to its end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailmove.errors import MailmoveError, MoveFailed, ServerError, Unreachable
from mailmove.evidence import Evidence
from mailmove.journal import Event, Journal
from mailmove.moves.base import Action, Context, Move, Runner

REBOOTS = Unreachable("the old server (root@old) cannot be reached by ssh", "try it by hand: ssh root@old")
SAYS_SO = ServerError("Postfix on the old server does not answer", "systemctl status postfix there; then --undo again")
GENERAL = ServerError("on the old server, x: exit status 1", "mend what the server says there, then run it again")


class Half(Move):
    """A move whose way back breaks off, in the middle or at its proof."""

    name = "half"
    error: MailmoveError = REBOOTS
    at_proof = False

    def plan(self) -> list[Action]:
        return []

    def do(self) -> None:
        pass

    def prove(self) -> Iterable[Evidence]:
        return ()

    def undo(self) -> None:
        if not self.at_proof:
            raise self.error

    def prove_undone(self) -> Iterable[Evidence]:
        raise self.error


@pytest.mark.parametrize("at_proof", [False, True])
@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (REBOOTS, "try it by hand: ssh root@old; then run --undo again, which goes on from here"),
        (SAYS_SO, "systemctl status postfix there; then --undo again"),
        (GENERAL, "mend what the server says there, then run --undo again"),
    ],
)
def test_a_way_back_that_breaks_off_says_by_which_call_it_goes_on(
    tmp_path: Path, error: MailmoveError, hint: str, at_proof: bool
) -> None:
    with closing(Journal(tmp_path / "mailmove.journal", "a")) as journal:
        journal.record("half", Event.BEGUN)
        context = Context(SimpleNamespace(old=None, new=None), journal)  # type: ignore[arg-type]
        move = Half(context)
        move.error, move.at_proof = error, at_proof
        with pytest.raises(type(error) if at_proof else MoveFailed) as failed:
            Runner(context).undo(move, lambda *_: None)
        assert error.fact in failed.value.fact
        assert failed.value.hint == hint
        assert journal.touched("half")
