"""The whole journey, killed twice on its way, with mail arriving and people reading: nothing is lost."""

from pathlib import Path

import pytest

from mailmove.collect import all_places
from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from tests.lab import leftovers
from tests.lab.conftest import ROOT, Mailmove

FORWARD = [place for place in all_places(ROOT / "features") if not place.is_undo]


@pytest.mark.timeout(2700)
def test_a_journey_killed_twice_goes_on_to_its_end_and_loses_nothing(lab: Lab, mailmove: Mailmove) -> None:
    traffic = Traffic(lab)
    traffic.start()
    try:
        mailmove.kill_when(lambda: "begun" in mailmove.events("hot_copy"), "features", "--move")
        assert "proved" not in mailmove.events("hot_copy")
        mailmove.kill_when(lambda: "begun" in mailmove.events("cold_copy"), "features", "--move")
        assert "proved" in mailmove.events("freeze")
        assert "proved" not in mailmove.events("start")
        run = mailmove("features", "--move")
    finally:
        traffic.stop()
    count = traffic.count()

    assert run.status == 0, run.bad()
    assert (count.lost, count.doubled, count.strayed) == ([], [], [])
    assert count.sent > 60
    assert leftovers.left(lab) == []
    assert sorted(run.outcomes()) == sorted(place.name for place in FORWARD)
    assert run.report["downtime"]


@pytest.mark.timeout(1200)
def test_a_second_run_changes_nothing_and_says_so(mailmove: Mailmove) -> None:
    moves = {place.name for place in FORWARD if place.is_move}
    before = Path(mailmove.lab.home / "mailmove.journal").stat().st_mtime

    run = mailmove("features", "--move")

    assert run.status == 0, run.bad()
    assert Path(mailmove.lab.home / "mailmove.journal").stat().st_mtime > before
    notes = {
        s["name"]: " ".join(step["note"] for step in s["steps"])
        for p in run.report["phases"]  # type: ignore[attr-defined]
        for f in p["features"]
        for s in f["scenarios"]
    }
    assert all("looked at again" in notes[name] or "overtaken" in notes[name] for name in moves), notes
