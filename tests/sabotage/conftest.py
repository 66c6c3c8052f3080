"""The same lab as the lab tests', and the verification of a server that nobody broke."""

import pytest

from mailmove.lab.lab import Lab
from tests.lab.conftest import Mailmove, Run, lab, pytest_runtest_makereport, standing_lab

__all__ = ["lab", "pytest_runtest_makereport", "standing_lab"]


@pytest.fixture(scope="module")
def runs(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Mailmove:
    return Mailmove(lab, tmp_path_factory.mktemp("sabotage"))


@pytest.fixture(scope="module")
def healthy(runs: Mailmove) -> Run:
    """What a healthy server is advised."""
    run = runs("features/1_verify")
    assert run.status == 0, run.bad()
    return run
