"""Each breakage turns exactly the scenario red that is meant for it, and after mending all is green again.

`tox -e sabotage` tries them one by one and writes docs/sabotage.md. Every change is tried with a sample of all chapters, as many at
a time as can be told from each other: `pytest tests/sabotage -m sample`.
"""

import os
import re
from collections.abc import Iterator

import pytest

from mailmove.collect import all_places
from mailmove.lab import breakages
from mailmove.lab.lab import Lab
from tests.lab.conftest import ROOT, Mailmove, Run
from tests.sabotage import reds, table
from tests.sabotage.batches import allowed, batches
from tests.sabotage.chapters import EXPECTED

FEATURES = {
    place.name: place.file.rpartition("/")[2].removesuffix(".feature") for place in all_places(ROOT / "features")
}
SAMPLE = batches({name: each for name, each in EXPECTED.items() if each.sample}, FEATURES)


PAGE = ROOT / "docs" / "sabotage.md"


@pytest.fixture(scope="module")
def written() -> Iterator[table.Table]:
    """The table in docs/, kept up by a run that is told to write it."""
    rows = table.Table()
    rows.read(PAGE)
    yield rows
    if os.environ.get("MAILMOVE_WRITE_DOCS"):
        rows.write(PAGE)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_breakage_is_seen_and_told_from_others(
    name: str, lab: Lab, runs: Mailmove, healthy: Run, written: table.Table
) -> None:
    found = _broken_and_mended((name,), lab, runs, healthy)
    written.add(name, breakages.find(name), EXPECTED[name], found)


@pytest.mark.sample
@pytest.mark.timeout(900)
@pytest.mark.parametrize("names", SAMPLE, ids="+".join)
def test_breakages_at_the_same_time_are_all_seen(
    names: tuple[str, ...], lab: Lab, runs: Mailmove, healthy: Run
) -> None:
    _broken_and_mended(names, lab, runs, healthy)


def _broken_and_mended(names: tuple[str, ...], lab: Lab, runs: Mailmove, healthy: Run) -> dict[str, reds.Red]:
    """Break, look, mend, look again; the scenarios that turned red."""
    try:
        for name in names:
            breakages.perform(lab, name, breakages.find(name))
        run = runs("features/1_verify")
    finally:
        for name in breakages.broken(lab):
            breakages.mend(lab, name, breakages.find(name))
    found = reds.reds(run.report, healthy.report)

    for name in names:
        meant = EXPECTED[name]
        assert meant.red in found, f"{name}: not seen; red: {sorted(found) or f'nothing: {run.output[-2000:]}'}"
        said = found[meant.red].said
        assert re.search(meant.says, said, re.I), f"{name}: does not lead to {meant.says!r}:\n{said}"
    assert reds.unexpected(found.values(), allowed(EXPECTED[name] for name in names)) == []

    again = runs("features/1_verify", "-k", _any_of(found))
    assert not reds.reds(again.report, healthy.report), f"after mending:\n{again.bad()}"
    return found


def _any_of(names: dict[str, reds.Red]) -> str:
    """A `-k` expression for these scenarios: by their words, but for those that `-k` itself reads."""
    words = [[word for word in re.findall(r"\w+", name) if word not in ("and", "or", "not")] for name in names]
    return " or ".join(f"({' and '.join(each)})" for each in words)
