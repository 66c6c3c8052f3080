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
    """The rows on ``page``, by breakage. A breakage that was not tried in this run keeps the row it has.

    With ``kept`` the page is written whenever a row comes: a run of hours may be ended at any time.
    """

    page: Path
    kept: bool
    rows: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.page.exists():
            lines = self.page.read_text("utf-8").splitlines()
            self.rows = {row.split("`")[1]: row for row in lines if row.startswith("| `")}

    def add(self, name: str, breakage: Breakage, meant: Expected, found: Mapping[str, Red], company: int) -> None:
        """Put down what one breakage turned red, and how many others stood beside it."""
        also = [each.scenario for each in found.values() if {each.scenario, each.feature} & {*meant.also, *WITNESSES}]
        depend = str(len(also)) if also else ""
        beside = str(company) if company else "alone"
        self.rows[name] = f"| `{name}` | {breakage.host} | {breakage.what} | {meant.red} | {depend} | {beside} |"
        if self.kept:
            self.write()

    def write(self) -> None:
        """Write the page, chapter by chapter."""
        known = sum(len(names) for names in CHAPTERS.values())
        tried = sum(name in self.rows for names in CHAPTERS.values() for name in names)
        parts = [HEAD, f"{known} breakages; {tried} of them were tried so far and stand here.\n"]
        for chapter, names in CHAPTERS.items():
            rows = [self.rows[name] for name in names if name in self.rows]
            if rows:
                parts.append(f"## {chapter.capitalize()}\n")
                parts.append("| breakage | on | what happens | the scenario that says so | also red, at most | with |")
                parts.append("| --- | --- | --- | --- | --- | --- |")
                parts += [*rows, ""]
        self.page.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
