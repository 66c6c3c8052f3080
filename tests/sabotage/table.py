"""The table of what was broken and what said so, for docs/: made by the run that tried them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailmove.lab.breakages import CHAPTERS, Breakage
from tests.sabotage.expected import WITNESSES, Expected
from tests.sabotage.reds import Red

HEAD = """\
# What each check is tested with

Each row is something that happens to real admins. It was done to a server of the lab (`mailmove lab break NAME`),
`pytest features/1_verify` was run, the scenario named turned red with a message that leads to the cause, no other scenario did but
those that truly depend on it, and after mending (`mailmove lab mend NAME`) all was green again. Some stood alone; the others
stood with a few of other chapters ("with"), none of which could turn the scenario named red.

This page is written by the run that tries them: `tox -e sabotage`.
"""


@dataclass
class Table:
    """The rows so far, by breakage. A breakage that was not tried in this run keeps the row it has."""

    rows: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        """Take over the rows of earlier runs."""
        if path.exists():
            self.rows |= {
                row.split("`")[1]: row for row in path.read_text("utf-8").splitlines() if row.startswith("| `")
            }

    def add(self, name: str, breakage: Breakage, meant: Expected, found: Mapping[str, Red], company: int) -> None:
        """Put down what one breakage turned red, and how many others stood beside it."""
        also = [each.scenario for each in found.values() if {each.scenario, each.feature} & {*meant.also, *WITNESSES}]
        depend = str(len(also)) if also else ""
        beside = str(company) if company else "alone"
        self.rows[name] = f"| `{name}` | {breakage.host} | {breakage.what} | {meant.red} | {depend} | {beside} |"

    def write(self, path: Path) -> None:
        """Write the page, chapter by chapter."""
        known = sum(len(names) for names in CHAPTERS.values())
        tried = sum(name in self.rows for names in CHAPTERS.values() for name in names)
        parts = [HEAD, f"{known} breakages; {tried} stand here, tried.\n"]
        for chapter, names in CHAPTERS.items():
            rows = [self.rows[name] for name in names if name in self.rows]
            if rows:
                parts.append(f"## {chapter.capitalize()}\n")
                parts.append("| breakage | on | what happens | the scenario that says so | also red | with |")
                parts.append("| --- | --- | --- | --- | --- | --- |")
                parts += [*rows, ""]
        path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
