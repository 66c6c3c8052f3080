"""Servers that follow the guide in their own way: what is missing by choice is not applicable, what is broken is red.

Each variant is verified on a lab of its own (four minutes the first time); `-m sample` tries the one of every change.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailmove.lab.lab import Lab
from mailmove.lab.variants import GUIDE, find, names
from tests.lab.conftest import NAME, Mailmove, Run
from tests.sabotage.reds import scenarios
from tests.variants.expected import EXPECTED, USUAL, Outcomes

VARIANTS = [name for name in names() if name != GUIDE]
CASES = [pytest.param(name, marks=[pytest.mark.sample] if name == "elsewhere" else []) for name in VARIANTS]


@pytest.fixture
def run(variant: str, tmp_path: Path) -> Iterator[Run]:
    """The verification of a variant's servers, on a lab that leaves nothing behind."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root: run tox as root on Debian 12")
    lab = Lab(f"{NAME}-{variant}"[:20], variant=find(variant))
    lab.up()
    try:
        yield Mailmove(lab, tmp_path)("features/1_verify")
    finally:
        lab.down(purge=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("variant", CASES)
def test_a_variant_is_judged_by_what_is_broken_not_by_what_is_different(variant: str, run: Run) -> None:
    wanted = USUAL | EXPECTED[variant]
    found = outcomes(run)

    assert {name: outcome for name, (outcome, _) in found.items()} == {
        name: outcome for name, (outcome, _) in wanted.items() if outcome != "passed"
    }, run.bad()
    for name, (_, said) in found.items():
        assert re.search(wanted[name][1], said, re.I | re.S), f"{name} does not say {wanted[name][1]!r}:\n{said}"
    red = any(outcome in ("failed", "unknown", "blocked") for outcome, _ in found.values())
    assert (run.status != 0) is red, run.output[-2000:]


def test_every_variant_has_its_expectations() -> None:
    assert sorted(EXPECTED) == sorted(VARIANTS)


def outcomes(run: Run) -> Outcomes:
    """Every scenario that did not simply pass, with all it says."""
    found: Outcomes = {}
    for scenario in scenarios(run.report):
        advice = [
            f"{evidence['title']}: {finding['asked']}: {finding['answer']}"
            for step in scenario["steps"]
            for evidence in step["evidence"]
            if evidence["verdict"] in ("failed", "unknown")
            for finding in evidence["findings"]
            if finding["verdict"] in ("failed", "unknown")
        ]
        outcome = "advised" if scenario["outcome"] == "passed" and advice else scenario["outcome"]
        if outcome != "passed":
            found[scenario["name"]] = (outcome, "\n".join([scenario["reason"], *advice]))
    return found
