"""What is different from the last look: scenarios that turned red, were mended, or say something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mailmove.journal import Journal
from mailmove.report.record import ScenarioRecord

KEY = "last look"
"""In the journal's memory: of each scenario how it was when last looked at."""

LOOKED_AT = frozenset({"passed", "failed", "unknown", "waived", "not applicable"})


@dataclass(frozen=True)
class Change:
    """One scenario that is not as it was. ``was`` and ``now`` are outcomes; ``said`` what is found now and was not."""

    name: str
    was: str  # empty: never looked at before
    now: str
    at: float  # when it was last looked at; seconds since 1970, 0 if never
    said: tuple[str, ...]
    no_longer: tuple[str, ...]

    @property
    def line(self) -> str:
        """For a person, on one line."""
        turned = f"{self.was or 'new'} → {self.now}" if self.was != self.now else f"still {self.now}"
        news = [*self.said, *(f"no longer: {fault}" for fault in self.no_longer)]
        return f"{self.name}: {turned}" + (f" ({'; '.join(news[:3])}{' …' if len(news) > 3 else ''})" if news else "")


def since_last(journal: Journal, scenarios: Iterable[ScenarioRecord]) -> list[Change]:
    """The differences between this run and what the journal remembers; nothing on the very first look."""
    before: dict[str, Any] = journal.recall(KEY, {})
    return compare(before, state(scenarios), {record.id: record.name for record in scenarios}) if before else []


def remember(journal: Journal, scenarios: Iterable[ScenarioRecord]) -> None:
    """Keep how each scenario was that was looked at in this run; the others stay as they were remembered."""
    journal.keep(KEY, {**journal.recall(KEY, {}), **state(scenarios)})


def state(scenarios: Iterable[ScenarioRecord]) -> dict[str, dict[str, Any]]:
    """Of each scenario that was looked at: its outcome, its faults in steady words, and when."""
    return {
        record.id: {"outcome": record.outcome, "faults": sorted(set(_faults(record))), "at": record.began}
        for record in scenarios
        if record.outcome in LOOKED_AT
    }


def compare(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]
) -> list[Change]:
    """The scenarios whose outcome or faults differ, in the order of ``now``."""
    changes = []
    for scenario, found in now.items():
        known = before.get(scenario, {"outcome": "", "faults": [], "at": 0.0})
        if (known["outcome"], known["faults"]) == (found["outcome"], found["faults"]):
            continue
        if not known["outcome"] and found["outcome"] in ("passed", "not applicable") and not found["faults"]:
            continue  # looked at for the first time, and good: no news
        said = tuple(fault for fault in found["faults"] if fault not in known["faults"])
        gone = tuple(fault for fault in known["faults"] if fault not in found["faults"])
        changes.append(Change(names[scenario], known["outcome"], found["outcome"], known["at"], said, gone))
    return changes


def _faults(record: ScenarioRecord) -> Iterable[str]:
    for step in record.steps:
        for evidence in step.evidence:
            for finding in evidence.findings:
                if not finding.verdict.holds:
                    yield steady(finding.asked)


def steady(text: str) -> str:
    """The same words in every run: marks, queue ids, times and numbers that change by themselves taken out."""
    text = re.sub(r"\b(?=[0-9a-z]*[0-9])(?=[0-9a-z]*[a-z])[0-9a-z]{6,}\b", "…", text, flags=re.I)
    return re.sub(r"\b\d{3,}\b", "…", text)
