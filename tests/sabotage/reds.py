"""What a run's report shows in red, and how that differs from a healthy server's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Report = dict[str, Any]
_MARK = re.compile(r"mailmove-[0-9a-f]{16}")  # of a letter of ours: another in each run


@dataclass(frozen=True)
class Red:
    """A scenario that does not hold, or a recommendation it makes."""

    scenario: str
    feature: str  # the stem of its file
    said: str  # everything its evidence says, for `says` to be found in
    new: str  # of it, only what was asked and found that does not hold, and does on a healthy server


def reds(report: Report, healthy: Report) -> dict[str, Red]:
    """The scenarios of a report that are red, by name, without what is recommended on a healthy server too."""
    usual = {(s["name"], found) for s in scenarios(healthy) for found in faults(s)}
    found = {}
    for scenario in scenarios(report):
        new = [words for words in faults(scenario) if (scenario["name"], words) not in usual]
        if scenario["outcome"] in ("failed", "unknown") or new:
            stem = scenario["file"].rpartition("/")[2].removesuffix(".feature")
            said = "\n".join([scenario["reason"], *words(scenario)])
            fresh = [text for fault, text in findings(scenario) if (scenario["name"], fault) not in usual]
            found[scenario["name"]] = Red(scenario["name"], stem, said, "\n".join(fresh))
    return found


def unexpected(found: Iterable[Red], allowed: set[str]) -> list[str]:
    """The names of red scenarios that are not allowed to be, neither by name nor by feature."""
    return sorted(each.scenario for each in found if not allowed & {each.scenario, each.feature})


def scenarios(report: Report) -> Iterator[dict[str, Any]]:
    """All scenarios of a report."""
    for phase in report["phases"]:
        for feature in phase["features"]:
            yield from feature["scenarios"]


def faults(scenario: dict[str, Any]) -> Iterator[str]:
    """What in a scenario does not hold, recommendations too: the titles and the questions."""
    return (fault for fault, _ in findings(scenario))


def findings(scenario: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The same, each with what was asked, found and expected."""
    for step in scenario["steps"]:
        for evidence in step["evidence"]:
            if evidence["verdict"] in ("failed", "unknown"):
                for each in evidence["findings"]:
                    if each["verdict"] in ("failed", "unknown"):
                        text = f"{each['asked']} {each['answer']} {each['expected']}"
                        yield f"{evidence['title']}: {_MARK.sub('…', each['asked'])}", text


def words(scenario: dict[str, Any]) -> Iterator[str]:
    """Everything a scenario says of what does not hold."""
    for step in scenario["steps"]:
        yield step["note"]
        for evidence in step["evidence"]:
            if evidence["verdict"] in ("failed", "unknown"):
                yield evidence["title"] + " " + evidence["hint"]
                for finding in evidence["findings"]:
                    yield f"{finding['asked']} {finding['answer']} {finding['expected']}"


def any_of(names: Iterable[str]) -> str:
    """A `-k` expression for these scenarios: by their words, but for those that `-k` itself reads."""
    each_words = [[word for word in re.findall(r"\w+", name) if word not in ("and", "or", "not")] for name in names]
    return " or ".join(f"({' and '.join(each)})" for each in each_words)
