"""What the docs show can be called as it stands there: commands, settings, links, numbers."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mailmove import cli, waivers
from mailmove.collect import all_places
from mailmove.migration import Settings
from mailmove.report.closing import Status

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text("utf-8") for page in PAGES}


def commands(word: str) -> list[str]:
    """Every command that begins with ``word``, from code blocks and code spans of all pages, comments cut off."""
    found = set()
    for text in TEXTS.values():
        spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
        blocks = [line for block in re.findall(r"```\n(.*?)```", text, re.S) for line in block.splitlines()]
        for line in [*spans, *blocks]:
            for part in re.split(r" && ", line.split("  #")[0].strip()):
                name = part.removeprefix(".venv/bin/").strip()
                if name.split(" ")[0] == word and "…" not in name and " | " not in name:
                    found.add(name)
    return sorted(found)


def test_the_pages_show_commands() -> None:
    assert len(commands("pytest")) > 5
    assert len(commands("mailmove")) > 2
    assert len(commands("tox")) > 3


@pytest.mark.parametrize("command", commands("pytest"))
def test_a_pytest_command_is_understood_and_finds_scenarios(command: str) -> None:
    words = shlex.split(command)[1:]
    if not any(word.startswith(("features", "tests")) for word in words):
        words.append("features")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
            *_off_the_lab(words),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _off_the_lab(words: list[str]) -> list[str]:
    return [word for word in words if not word.startswith("--lab")]


@pytest.mark.parametrize("command", [each for each in commands("mailmove") if re.match("mailmove (lab|queue)", each)])
def test_a_mailmove_command_is_understood(command: str) -> None:
    words = re.sub(r"\bHOST\b", "old", command.removeprefix("mailmove "))

    assert cli._parser().parse_known_args(shlex.split(words))[0].run


@pytest.mark.parametrize("command", commands("tox"))
def test_a_tox_command_names_an_environment(command: str) -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")
    named = re.search(r"-e (\S+)", command)

    assert named is None or f"testenv:{named[1]}" in settings


def test_settings_shown_are_settings() -> None:
    shown = [block for text in TEXTS.values() for block in re.findall(r"```toml\n(.*?)```", text, re.S)]
    servers = '[servers]\nold = "root@old"\nnew = "root@new"\n'
    places = list(all_places(ROOT / "features"))

    assert shown
    for block in shown:
        settings = Settings.model_validate(tomllib.loads(block if "[servers]" in block else servers + block))
        waivers.check(settings, places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_every_exit_status_is_explained() -> None:
    rows = re.findall(r"^\| (\d) \|", TEXTS["reading.md"], re.M)

    assert {int(status) for status in Status} | {2, 5} == {int(row) for row in rows}
