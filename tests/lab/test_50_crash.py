"""Killed anywhere: at every entry of the journal, at moments in between, and with either server's plug pulled.

Each journey is killed at one point after the other and called again, so that the whole matrix costs four journeys; each of those to the end must
leave the servers as one that nobody disturbed, which goes first. What is
seen goes into reports/crash-matrix.md. MAILMOVE_CRASH=all is asked for by `tox -e crash`; without it nothing runs here.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from tests.lab import end_state, leftovers
from tests.lab.conftest import ROOT, Mailmove

pytestmark = pytest.mark.skipif(
    os.environ.get("MAILMOVE_CRASH") != "all", reason="hours: MAILMOVE_CRASH=all, or tox -e crash"
)

FILES = sorted(
    path.relative_to(ROOT).as_posix() for phase in "2345" for path in ROOT.glob(f"features/{phase}_*/*.feature")
)
MOVES = {
    "ttl": "2_prepare/20", "database": "2_prepare/30", "roundcube": "2_prepare/40", "training": "2_prepare/50",
    "certificates": "2_prepare/60", "hot_copy": "2_prepare/70", "freeze": "3_cutover/10", "last_changes": "3_cutover/20",
    "cold_copy": "3_cutover/30", "safety_net": "3_cutover/40", "start": "3_cutover/50", "switch": "3_cutover/60",
    "forward": "3_cutover/70", "indexes": "4_accept/10",
    "safety_net_off": "4_accept/50", "ttl_back": "4_accept/60", "final_backup": "5_retire/10",
    "dismiss": "5_retire/30",
}  # fmt: skip
"""Each move, and how the name of its feature file begins."""
EVENING = ("freeze", "last_changes", "cold_copy", "safety_net", "start", "switch", "forward")
REST = ("features/2_prepare", "features/3_cutover", "features/4_accept", "features/5_retire", "--move")

AT_EVENTS = [f"{move}:{event}" for move in MOVES for event in ("begun", "done", "proved")]
_RANDOM = random.Random(20)
IN_BETWEEN = [f"{move}:begun:{_RANDOM.uniform(0.05, 4.0):.2f}" for move in MOVES]
PLUGS = [(move, f"{move}:begun:{delay}", host) for move in EVENING for host, delay in (("new", 0.3), ("old", 0.6))]
"""New's first: few moves come to their end without it, so that there is a move to pull old's plug in."""

BACK = [
    f"{move}:undoing{delay}"
    for move in reversed(EVENING)
    for delay in ("", ":5.00" if move == "freeze" else f":{_RANDOM.uniform(0.05, 4.0):.2f}")
]
"""Freeze's last: old serves again, and what has to be known no more is not forgotten yet."""

TABLE = ROOT / "reports" / "crash-matrix.md"
HEAD = """# Killed anywhere

Made by `MAILMOVE_CRASH=all pytest tests/lab/test_50_crash.py` (hours). Each row: where a run was ended (SIGKILL of mailmove, or a
server's plug pulled), and what became of it in the next run. "To the end" is the last run of each part: every scenario green,
and of the letters that the world sent all the time none lost and none doubled; both servers, their databases and the records in DNS
as after a journey that nobody disturbed.

| part | point | what happened | the next run |
| --- | --- | --- | --- |
"""


def up_to(move: str, done: str = "") -> list[str]:
    """The features from the one of ``done`` to the one of ``move``: what comes before stands in the journal."""
    at = {
        name: next(n for n, path in enumerate(FILES) if path.startswith(f"features/{begin}"))
        for name, begin in MOVES.items()
    }
    return [*FILES[at[done] if done else 0 : at[move] + 1], "--move"]


def down_to(move: str) -> list[str]:
    """The features from the last one back to the one of ``move``."""
    first = next(n for n, path in enumerate(FILES) if path.startswith(f"features/{MOVES[move]}"))
    return [*FILES[first:], "--undo"]


def note(part: str, point: str, what: str, after: str) -> None:
    TABLE.parent.mkdir(exist_ok=True)
    if not TABLE.exists():
        TABLE.write_text(HEAD)
    with open(TABLE, "a") as table:
        table.write(f"| {part} | {point} | {what} | {after} |\n")


def begin(lab: Lab, mailmove: Mailmove) -> Traffic:
    """A journey verified, and letters on their way."""
    traffic = Traffic(lab)
    traffic.start()
    run = mailmove("features/1_verify", "--move")
    assert run.status == 0, run.bad()
    return traffic


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a journey that nobody killed leaves behind."""
    mailmove = Mailmove(lab, tmp_path_factory.mktemp("undisturbed"))
    lab.reset()
    traffic = begin(lab, mailmove)
    end("undisturbed", mailmove, traffic)
    return end_state.of(lab)


def end(part: str, mailmove: Mailmove, traffic: Traffic) -> None:
    """Run to the end; count."""
    try:
        began = time.monotonic()
        run = mailmove(*REST)
    finally:
        traffic.stop()
    assert run.status == 0, run.bad()
    count = traffic.count()
    words = f"{count.sent} letters to {count.copies} mailboxes: {len(count.lost)} lost, {len(count.doubled)} doubled"
    note(part, "to the end", f"green after {time.monotonic() - began:.0f} s", words)
    assert (count.lost, count.doubled, count.strayed) == ([], [], [])
    assert leftovers.left(mailmove.lab) == []


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(("part", "points"), [("entry", AT_EVENTS), ("in between", IN_BETWEEN)])
def test_mailmove_killed_at_every_point_goes_on(
    undisturbed: dict[str, list[str]], lab: Lab, mailmove: Mailmove, part: str, points: list[str]
) -> None:
    lab.reset()
    traffic = begin(lab, mailmove)
    before = ""
    for point in points:
        status = mailmove.crash_at(point, *up_to(point.split(":")[0], before))
        before = point.split(":")[0]
        move, event = point.split(":")[:2]
        assert event in mailmove.events(move), f"never came to {point}:\n{tail(mailmove)}"
        # A move may be over before its moment in between has come: then the run has gone on, and nothing was killed there
        killed = status == -signal.SIGKILL
        assert killed or part == "in between", f"{point}: {status}\n{tail(mailmove)}"
        note(part, point, "killed" if killed else "over before", "went on")
    end(part, mailmove, traffic)
    other = end_state.differing(undisturbed, end_state.of(lab))
    assert not other, "\n".join(other)


@pytest.mark.timeout(4 * 3600)
def test_a_server_whose_plug_is_pulled_in_a_move_is_waited_for_and_the_move_done_again(
    undisturbed: dict[str, list[str]], lab: Lab, mailmove: Mailmove
) -> None:
    lab.reset()
    traffic = begin(lab, mailmove)
    before = ""
    pulled = 0
    for number, (move, point, host) in enumerate(PLUGS):
        begun = mailmove.events(move).count("begun")
        status = mailmove.crash_at(point, *up_to(move, before), host=host)
        again = mailmove.events(move).count("begun") > begun
        pulled += again
        assert again or "proved" in mailmove.events(move)[-1:], f"never came to {point}:\n{tail(mailmove)}"
        red = "the run ended red" if status else "the move came to its end all the same"
        note("plug pulled", f"{point} {host}", red if again else "the move was over before", "went on")
        if PLUGS[number + 1 : number + 2] and PLUGS[number + 1][0] == move:
            continue  # not to its proof: the next plug is pulled in it as well
        once_more(mailmove, move, before)
        assert leftovers.at_work(lab) == [], move
        before = move
    assert pulled > len(EVENING) + 2
    end("plug pulled", mailmove, traffic)
    other = end_state.differing(undisturbed, end_state.of(lab))
    assert not other, "\n".join(other)


@pytest.mark.timeout(4 * 3600)
def test_a_way_back_killed_at_every_point_goes_on_in_either_direction(lab: Lab, mailmove: Mailmove) -> None:
    lab.reset()
    traffic = begin(lab, mailmove)
    try:
        run = mailmove(*REST[:2], "--move")
        assert run.status == 0, run.bad()
        for point in BACK:
            move = point.split(":")[0]
            before = mailmove.events(move).count("undoing")
            status = mailmove.crash_at(point, *down_to(move))
            assert mailmove.events(move).count("undoing") > before, f"never came to {point}:\n{tail(mailmove)}"
            note("way back", point, "killed" if status == -signal.SIGKILL else "over before", "went on")
        run = mailmove("features/3_cutover", "--move")  # after all
        assert run.status == 0, run.bad()
        note("way back", "freeze:undoing", "half of it taken back", "--move went on to the end")
        began = time.monotonic()
        back = mailmove("features", "--undo")
    finally:
        traffic.stop()
    assert back.status == 0, back.bad()
    count = traffic.count("old")
    words = f"{count.sent} letters to {count.copies} mailboxes: {len(count.lost)} lost, {len(count.doubled)} doubled"
    note("way back", "to the end", f"green after {time.monotonic() - began:.0f} s", words)
    # What its owner deleted on new is on old still: mail there is never deleted
    strayed = [each for each in count.strayed if "its owner had deleted it" not in each]
    assert (count.lost, count.doubled, strayed) == ([], [], [])
    assert leftovers.left(lab) == ["old: /etc/rspamd/mailmove-trust.conf"]


def once_more(mailmove: Mailmove, move: str, before: str) -> None:
    """Let the move come to its proof, so that the next point can be in the next one."""
    if "proved" not in mailmove.events(move)[-1:]:
        run = mailmove(*up_to(move, before))
        assert "proved" in mailmove.events(move), run.bad()


def tail(mailmove: Mailmove) -> str:
    return (Path(mailmove.directory) / "crashed.log").read_text(errors="replace")[-3000:]
