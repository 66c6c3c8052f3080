"""The feature files are the product's face: they keep to the style, and every step has one meaning."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from gherkin.parser import Parser

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "features").glob("*/*.feature"))
# What a sysadmin types and a person who signs does not read.
NOT_WORDS = re.compile(r"/etc|/var|systemctl|postconf|doveadm|rsync|mysql|\$\(|--\w|\b\d+\.\d+\.\d+\.\d+\b|::|\[|\]")


def document(path: Path) -> dict[str, Any]:
    feature = Parser().parse(path.read_text("utf-8")).get("feature")
    assert feature is not None
    return dict(feature)


def scenarios(path: Path) -> list[dict[str, Any]]:
    children = list(document(path)["children"])
    children += [inner for child in children if "rule" in child for inner in child["rule"]["children"]]
    return [child["scenario"] for child in children if "scenario" in child]


def test_every_step_is_defined_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "features", "--collect-only", "-q"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_scenarios_have_one_name() -> None:
    names = Counter(each["name"] for path in FILES for each in scenarios(path))

    assert [name for name, number in names.items() if number > 1] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_it_reads_well(path: Path) -> None:
    feature = document(path)

    assert len(feature["description"].strip().splitlines()) in (2, 3, 4), (
        "why it matters, who relies on it, what failing means"
    )
    assert not NOT_WORDS.search(feature["description"])
    for each in scenarios(path):
        where = f"{path.name}:{each['location']['line']} {each['name']}"
        steps = each["steps"]
        assert 1 <= len(steps) <= 5, where
        assert sum(step["keyword"].strip() == "When" for step in steps) <= 1, where
        assert any(step["keyword"].strip() == "Then" for step in steps), where
        for text in (each["name"], *(step["text"] for step in steps)):
            assert not NOT_WORDS.search(text), f"{where}: {text}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_move_has_its_way_back(path: Path) -> None:
    tags = Counter(tag["name"] for each in scenarios(path) for tag in each["tags"])

    assert tags["@move"] == tags["@undo"]
