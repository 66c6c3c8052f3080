"""Waivers: a required scenario that may fail for a while, because somebody says so by name, with a reason and an end."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable

from mailmove.collect import Place
from mailmove.errors import SettingsError
from mailmove.migration import Settings


def check(settings: Settings, places: Iterable[Place]) -> None:
    """Refuse waivers that waive nothing, and those of a move: what comes after a failed move may lose mail.

    Raises SettingsError naming the scenario.
    """
    known = {place.name: place for place in places}
    for each in settings.waiver:
        place = known.get(each.scenario)
        if place is None:
            near = difflib.get_close_matches(each.scenario, known, n=1)
            raise SettingsError(
                f"a waiver names a scenario that there is not: {each.scenario!r}"
                + (f"; did you mean {near[0]!r}?" if near else ""),
                "write the scenario's name as it stands in the report",
            )
        if place.is_move or place.is_undo:
            raise SettingsError(
                f"a waiver names a move: {each.scenario!r}; a move that failed cannot be waived",
                "mend what holds it up, or take it back with --undo",
            )


def words(settings: Settings, name: str, today: dt.date) -> str:
    """The waiver's words if the scenario of this name may fail today; empty if not."""
    for each in settings.waiver:
        if each.scenario == name and today <= each.until:
            return f"waived by {each.by} until {each.until}: {each.reason}"
    return ""


def ended(settings: Settings, name: str, today: dt.date) -> str:
    """Says that the scenario was waived and no longer is; empty if it never was, or still is."""
    past = [each.until for each in settings.waiver if each.scenario == name and today > each.until]
    return f"its waiver ended on {max(past)}" if past and not words(settings, name, today) else ""
