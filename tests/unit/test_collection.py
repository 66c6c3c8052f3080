"""Feature files are collected directly, and nothing is green without a look. pytest runs as its users run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STEPS = """
from pytest_bdd import given, when, then
from mailmove.evidence import Examination

@given("the world is there")
def world_is_there(): pass

@then("something is looked at")
def something_is_looked_at(): pass

@then("nobody waits for this")
async def nobody_waits_for_this(): pass

@then("two fit")
def first_fits(): pass

@then("two fit")
def second_fits(): pass
"""


def run(tmp_path: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one feature file with the project's own conftest and a few steps."""
    (tmp_path / "somesteps.py").write_text(STEPS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n  move: m\n  undo: u\naddopts = --import-mode=importlib\n"
    )
    feature = tmp_path / "10_a.feature"
    feature.write_text(text)
    # Without what only developers have: it takes as long to load as all else
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "-p", "conftest", "-p", "somesteps", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )


GOOD = """\
Feature: A feature

  Scenario: One promise
    Given the world is there
    Then something is looked at

  @undo
  Scenario: A way back
    Then something is looked at

  Scenario Outline: Every <thing> is looked at
    Then something is looked at

    Examples:
      | thing |
      | door  |
      | roof  |
"""


def collected(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]


def test_scenarios_are_collected_by_their_names_in_their_order(tmp_path: Path) -> None:
    done = run(tmp_path, GOOD, "--collect-only", "-q", "10_a.feature")

    assert done.returncode == 0, done.stdout + done.stderr
    assert collected(done) == ["One promise", "Every <thing> is looked at[door]", "Every <thing> is looked at[roof]"]


def test_a_folder_is_collected(tmp_path: Path) -> None:
    assert len(collected(run(tmp_path, GOOD, "--collect-only", "-q", "."))) == 3


def test_one_scenario_can_be_named(tmp_path: Path) -> None:
    assert collected(run(tmp_path, GOOD, "--collect-only", "-q", "10_a.feature::One promise")) == ["One promise"]


def test_k_selects_by_words(tmp_path: Path) -> None:
    assert collected(run(tmp_path, GOOD, "--collect-only", "-q", "-k", "promise")) == ["One promise"]


def test_undo_collects_the_ways_back_only(tmp_path: Path) -> None:
    assert collected(run(tmp_path, GOOD, "--collect-only", "-q", "--undo")) == ["A way back"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("nobody wrote this", "10_a.feature:3: Then nobody wrote this: no step definition fits"),
        (
            "two fit",
            "10_a.feature:3: Then two fit: 2 step definitions fit: somesteps.first_fits, somesteps.second_fits",
        ),
        ("nobody waits for this", "10_a.feature:3: Then nobody waits for this: its definition is async"),
    ],
)
def test_a_step_that_would_be_green_unseen_is_a_collection_error(tmp_path: Path, step: str, said: str) -> None:
    done = run(tmp_path, f"Feature: A\n  Scenario: B\n    Then {step}\n")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr


@pytest.mark.parametrize("between", ["", "  Rule: another rule\n"])
def test_two_scenarios_of_one_name_are_a_collection_error(tmp_path: Path, between: str) -> None:
    one = "  Scenario: B\n    Then something is looked at\n"
    done = run(tmp_path, f"Feature: A\n{one}{between}{one}")

    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "10_a.feature:2: the scenario name 'B' stands 2 times" in done.stdout


def test_move_and_undo_together_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, GOOD, "--move", "--undo")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "exclude each other" in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "no servers named: old and new missing"),
        ("[servers]\nold = 'root@a'\nnew = 'root@b'\n[dns]\ntll = 1\n", "unknown key 'dns.tll'; did you mean 'ttl'?"),
    ],
)
def test_without_servers_nothing_begins(tmp_path: Path, settings: str | None, said: str) -> None:
    if settings:
        (tmp_path / "mailmove.toml").write_text(settings)
    done = run(tmp_path, GOOD)

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert not (tmp_path / "mailmove.journal").exists()


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, GOOD, "--old", "root@old.mailmove.invalid", "--new", "root@new.mailmove.invalid")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the old server (root@old.mailmove.invalid) cannot be reached by ssh" in done.stderr
    assert "the new server (root@new.mailmove.invalid) cannot be reached by ssh" in done.stderr
    assert "hint: " in done.stderr


def test_what_the_lab_runs_can_be_collected() -> None:
    """Parameters that stand twice, say, show only when the tests are gathered: no hour of lab before that is noticed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "--ignore=tests/unit", "--collect-only", "-q"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
