"""The table of what was broken and what said so, for docs/: made by the run that tried them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mailmove.lab.breakages import CHAPTERS, Breakage
from tests.sabotage.expected import Expected
from tests.sabotage.reds import Red

HEAD = """\
# What each check is tested with

Each row is something that happens to real admins. It was done to a server of the lab (`mailmove lab break NAME`),
`pytest features/1_verify` was run, the scenario named turned red with a message that leads to the cause, no other scenario did but
those that truly depend on it, and after mending (`mailmove lab mend NAME`) all was green again.

This page is written by the run that tried them all: `tox -e sabotage`.
"""


@dataclass
class Table:
    """The rows so far, by breakage."""

    rows: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, breakage: Breakage, meant: Expected, found: dict[str, Red]) -> None:
        """Put down what one breakage turned red."""
        others = len(found) - 1
        also = f"{others} that depend on it" if others else ""
        self.rows[name] = f"| `{name}` | {breakage.host} | {breakage.what} | {meant.red} | {also} |"

    def write(self, path: Path) -> None:
        """Write the page, chapter by chapter."""
        parts = [HEAD, f"{len(self.rows)} breakages.\n"]
        for chapter, names in CHAPTERS.items():
            rows = [self.rows[name] for name in names if name in self.rows]
            if rows:
                parts.append(f"## {chapter.capitalize()}\n")
                parts.append("| breakage | on | what happens | the scenario that says so | also red |")
                parts.append("| --- | --- | --- | --- | --- |")
                parts += [*rows, ""]
        path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
