"""Every breakage has an expectation, every expectation a scenario; and how reds are told from a healthy server's."""

import re

import pytest

from mailmove.collect import all_places
from mailmove.lab import plan
from mailmove.lab.breakages import BREAKAGES, CHAPTERS
from tests.lab.conftest import ROOT
from tests.sabotage.batches import allowed, batches
from tests.sabotage.chapters import EXPECTED
from tests.sabotage.expected import Expected
from tests.sabotage.reds import Red, reds, unexpected

PLACES = [place for place in all_places(ROOT / "features") if place.phase == "1_verify"]
NAMES = {place.name for place in PLACES}
FILES = {place.file.rpartition("/")[2].removesuffix(".feature") for place in PLACES}


def test_no_name_stands_twice() -> None:
    assert len(BREAKAGES) == sum(len(each) for each in CHAPTERS.values())


def test_every_breakage_has_an_expectation() -> None:
    assert sorted(EXPECTED) == sorted(BREAKAGES)


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_breakage_is_told_in_words(name: str) -> None:
    breakage = BREAKAGES[name]

    assert breakage.host in {host.key for host in plan.MACHINES}
    assert breakage.what
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_expectation_names_scenarios_there_are(name: str) -> None:
    meant = EXPECTED[name]

    assert meant.red in NAMES
    assert set(meant.also) <= NAMES | FILES
    re.compile(meant.says)


def test_what_a_healthy_server_is_advised_too_is_not_red() -> None:
    def report(asked: str, outcome: str = "passed") -> dict[str, object]:
        finding = {"asked": asked, "answer": "no", "expected": "yes", "verdict": "failed"}
        evidence = {"title": "Advice", "hint": "do it", "verdict": "failed", "findings": [finding]}
        scenario = {"name": "S", "file": "1_verify/10_x.feature", "outcome": outcome, "reason": "", "steps": []}
        scenario["steps"] = [{"note": "", "evidence": [evidence]}]
        return {"phases": [{"features": [{"scenarios": [scenario]}]}]}

    healthy = report("A?")

    assert reds(report("A?"), healthy) == {}
    assert list(reds(report("B?"), healthy)) == ["S"]
    assert reds(report("B?"), healthy)["S"].new == "B? no yes"
    assert list(reds(report("A?", "failed"), healthy)) == ["S"]


def test_a_dependant_may_be_named_by_its_feature() -> None:
    found = [Red("A", "10_x", "", ""), Red("B", "20_y", "", ""), Red("C", "30_z", "", "")]

    assert unexpected(found, allowed([Expected("A", "", also=("20_y",))])) == ["C"]


def test_breakages_that_hide_each_other_are_tried_apart() -> None:
    cases = {
        "stopped": Expected("A", "", also=("20_y",)),
        "quota": Expected("B", ""),
        "machine": Expected("C", ""),
        "same": Expected("C", ""),
    }
    features = {"A": "10_x", "B": "20_y", "C": "30_z"}
    chapters = {"stopped": "x", "quota": "y", "machine": "z", "same": "w"}

    assert batches(cases, features, chapters) == [("stopped", "machine"), ("quota", "same")]


def test_breakages_of_one_chapter_are_tried_apart() -> None:
    cases = {"key": Expected("A", ""), "chain": Expected("B", "")}

    assert batches(cases, {"A": "20_c", "B": "20_c"}, dict.fromkeys(cases, "certificate")) == [("key",), ("chain",)]
