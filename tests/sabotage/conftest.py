"""The same lab as the lab tests'."""

from tests.lab.conftest import lab, pytest_runtest_makereport, standing_lab

__all__ = ["lab", "pytest_runtest_makereport", "standing_lab"]
