"""Each breakage turns exactly the scenario red that is meant for it, and after mending all is green again.

`tox -e sabotage` tries them all and writes docs/sabotage.md; `pytest tests/sabotage -m sample` those of every change.
"""

import os
import re
from collections.abc import Iterator

import pytest

from mailmove.lab import breakages
from mailmove.lab.lab import Lab
from tests.lab.conftest import ROOT, Mailmove, Run
from tests.sabotage import reds, table
from tests.sabotage.chapters import EXPECTED

CASES = [
    pytest.param(name, marks=[pytest.mark.sample] if each.sample else [], id=name) for name, each in EXPECTED.items()
]


@pytest.fixture(scope="module")
def runs(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Mailmove:
    return Mailmove(lab, tmp_path_factory.mktemp("sabotage"))


@pytest.fixture(scope="module")
def healthy(runs: Mailmove) -> Run:
    """The verification of a server that nobody broke."""
    run = runs("features/1_verify")
    assert run.status == 0, run.bad()
    return run


@pytest.fixture(scope="module")
def written() -> Iterator[table.Table]:
    """The table in docs/: written when all were tried."""
    rows = table.Table()
    yield rows
    if set(rows.rows) == set(EXPECTED) and os.environ.get("MAILMOVE_WRITE_DOCS"):
        rows.write(ROOT / "docs" / "sabotage.md")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CASES)
def test_a_breakage_is_seen_and_told_from_others(
    name: str, lab: Lab, runs: Mailmove, healthy: Run, written: table.Table
) -> None:
    breakage, meant = breakages.find(name), EXPECTED[name]
    breakages.perform(lab, name, breakage)
    try:
        run = runs("features/1_verify")
    finally:
        breakages.mend(lab, name, breakage)
    found = reds.reds(run.report, healthy.report)

    assert meant.red in found, f"not seen; red: {sorted(found) or 'nothing'}\n{run.output[-2000:] * (not found)}"
    assert re.search(meant.says, found[meant.red].said, re.I), (
        f"does not lead to {meant.says!r}:\n{found[meant.red].said}"
    )
    assert reds.unexpected(found.values(), meant.red, meant.also) == []
    written.add(name, breakage, meant, found)

    again = runs("features/1_verify", "-k", _any_of(found))
    assert not reds.reds(again.report, healthy.report), f"after mending:\n{again.bad()}"


def _any_of(names: dict[str, reds.Red]) -> str:
    """A `-k` expression for these scenarios: their words, as pytest takes no other characters."""
    words = [" and ".join(re.findall(r"\w+", name)) for name in names]
    return " or ".join(f"({each})" for each in words)
