"""What is said before --move: what will be done, how long people wait, the way back."""

from mailmove import forecast
from mailmove.journey import Journey
from tests.unit.test_gate import LATER, MOVES, journey, passed

__all__ = ["journey"]


def test_what_is_done_already_is_not_announced_again(journey: Journey) -> None:
    assert forecast.plan(journey)[0].startswith("2 of 2 steps")
    passed(journey, MOVES)

    lines = forecast.plan(journey)

    assert lines[0].startswith("1 of 2 steps change something and are yet to be made, 1 are done")
    assert lines[1] == f"  cutover: {LATER.name}"
    assert "--undo" in lines[-1]


def test_the_downtime_is_forecast_from_the_last_copy_and_told_afterwards(journey: Journey) -> None:
    assert "first time" in forecast.plan(journey)[-2]
    journey.journal.keep("cold copy forecast", 5.0)
    assert "about 25 s" in forecast.plan(journey)[-2]
    journey.journal.keep("downtime began", 10.0)
    journey.journal.keep("downtime ended", 40.0)
    assert "it was 30 s" in forecast.plan(journey)[-2]
