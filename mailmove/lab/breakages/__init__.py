"""Ways to break a server of the lab as a real mishap would, a module for each chapter, and to mend it again."""

from __future__ import annotations

import difflib

from mailmove.lab.breakages import (
    certificate,
    database,
    delivery,
    dns,
    machine,
    mailboxes,
    maps,
    parity,
    quota,
    sieve,
    spam,
    submission,
    webmail,
)
from mailmove.lab.breakages.base import Breakage, broken, mend, perform
from mailmove.lab.errors import LabError

__all__ = ["BREAKAGES", "CHAPTERS", "Breakage", "broken", "find", "mend", "perform"]

CHAPTERS: dict[str, dict[str, Breakage]] = {
    "machine": machine.BREAKAGES,
    "certificate": certificate.BREAKAGES,
    "database": database.BREAKAGES,
    "maps": maps.BREAKAGES,
    "mailboxes": mailboxes.BREAKAGES,
    "sieve": sieve.BREAKAGES,
    "quota": quota.BREAKAGES,
    "delivery": delivery.BREAKAGES,
    "submission": submission.BREAKAGES,
    "spam": spam.BREAKAGES,
    "webmail": webmail.BREAKAGES,
    "dns": dns.BREAKAGES,
    "parity": parity.BREAKAGES,
}
BREAKAGES: dict[str, Breakage] = {name: each for chapter in CHAPTERS.values() for name, each in chapter.items()}


def find(name: str) -> Breakage:
    """The breakage of this name; LabError with the nearest names if there is none."""
    if name in BREAKAGES:
        return BREAKAGES[name]
    near = difflib.get_close_matches(name, BREAKAGES, n=1, cutoff=0.4)
    raise LabError(
        f"no breakage is called {name!r}",
        f"did you mean {near[0]!r}? " * bool(near) + "`mailmove lab break` lists them all",
    )
