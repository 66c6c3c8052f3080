"""Each breakage turns exactly the scenario red that is meant for it, and after mending all is green again.

`tox -e sabotage` tries them all and writes docs/sabotage.md: in batches of what can be told from each other (`-m together`), or with
more patience one by one (`-m alone`). Every change is tried with a sample of all chapters: `pytest tests/sabotage -m sample`.
"""

import os
import re
from collections.abc import Mapping

import pytest

from mailmove.collect import all_places
from mailmove.lab import breakages
from mailmove.lab.lab import Lab
from tests.lab.conftest import ROOT, Mailmove, Run
from tests.sabotage import reds, table
from tests.sabotage.batches import allowed, batches
from tests.sabotage.chapters import EXPECTED
from tests.sabotage.expected import WITNESSES

FEATURES = {
    place.name: place.file.rpartition("/")[2].removesuffix(".feature") for place in all_places(ROOT / "features")
}
CHAPTER = {name: chapter for chapter, names in breakages.CHAPTERS.items() for name in names}
SAMPLE = batches({name: each for name, each in EXPECTED.items() if each.sample}, FEATURES, CHAPTER)
ALL = batches(EXPECTED, FEATURES, CHAPTER)
# What is tried alone is the same batch in both
MARKS: dict[tuple[str, ...], list[pytest.MarkDecorator]] = {
    names: [mark for of, mark in ((ALL, pytest.mark.together), (SAMPLE, pytest.mark.sample)) if names in of]
    for names in [*ALL, *SAMPLE]
}

PAGE = ROOT / "docs" / "sabotage.md"


@pytest.fixture(scope="module")
def written() -> table.Table:
    """The table in docs/, kept up by a run that is told to write it."""
    return table.Table(PAGE, kept=bool(os.environ.get("MAILMOVE_WRITE_DOCS")))


@pytest.mark.alone
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_breakage_is_seen_and_told_from_others(
    name: str, lab: Lab, runs: Mailmove, healthy: Run, written: table.Table
) -> None:
    _expect_told((name,), lab, runs, healthy, written)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("names", [pytest.param(names, marks=marks) for names, marks in MARKS.items()], ids="+".join)
def test_breakages_at_the_same_time_are_all_seen(
    names: tuple[str, ...], lab: Lab, runs: Mailmove, healthy: Run, written: table.Table
) -> None:
    _expect_told(names, lab, runs, healthy, written)


def _expect_told(names: tuple[str, ...], lab: Lab, runs: Mailmove, healthy: Run, written: table.Table) -> None:
    # Whole, which an assertion would not show: hours later nobody can look once more
    if wrong := _broken_and_mended(names, lab, runs, healthy, written):
        pytest.fail(wrong, pytrace=False)


def _broken_and_mended(names: tuple[str, ...], lab: Lab, runs: Mailmove, healthy: Run, written: table.Table) -> str:
    """Break, look, mend, look again. What is wrong with any of them, or nothing; the others get their rows."""
    try:
        for name in names:
            breakages.perform(lab, name, breakages.find(name))
        run = runs("features/1_verify")
        for name in breakages.broken(lab):
            breakages.mend(lab, name, breakages.find(name))
    except BaseException:
        lab.reset()  # half broken or half mended: no ground for the next one
        raise
    found = reds.reds(run.report, healthy.report)
    wrong = [
        f"red, and nobody's: {scenario}:\n{found[scenario].said}"
        for scenario in reds.unexpected(found.values(), allowed(EXPECTED[name] for name in names))
    ]
    again = runs("features/1_verify", "-k", reds.any_of(found)) if found else healthy
    looked_at = {each["name"] for each in reds.scenarios(again.report)}
    left = reds.reds(again.report, healthy.report)
    if left:  # the mends restarted services: what is red for that is not red for long
        settled = runs("features/1_verify", "-k", reds.any_of(left))
        left = reds.reds(settled.report, healthy.report)
    wrong += [f"red after mending: {each.scenario}:\n{each.said}" for each in left.values()]
    if unlooked := sorted(found.keys() - looked_at):
        wrong.append(f"not looked at after mending: {unlooked}:\n{again.bad()}")
    if left or unlooked:
        lab.reset()
    unseen = {name: _unseen(name, found) for name in names}
    for name in names:
        if not unseen[name] and not wrong:
            written.add(name, breakages.find(name), EXPECTED[name], found, company=len(names) - 1)
    return "\n\n".join([*wrong, *filter(None, unseen.values()), *([] if found else [run.output[-2000:]])])


def _unseen(name: str, found: Mapping[str, reds.Red]) -> str:
    meant = EXPECTED[name]
    if meant.red not in found:
        return f"{name}: not seen; red: {sorted(found) or 'nothing'}"
    red = found[meant.red]
    # A witness may be red for anything: its standing hint and what it explains beside prove nothing
    said = red.new if red.feature in WITNESSES else red.said
    if not re.search(meant.says, said, re.I):
        return f"{name}: does not lead to {meant.says!r}:\n{said}"
    return ""
