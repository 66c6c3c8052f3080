"""Asking once, by the old server's name, before anything is changed."""

from __future__ import annotations

import sys

import pytest

from mailmove import forecast
from mailmove.errors import Refused
from mailmove.journey import Journey, Mode


def ask(config: pytest.Config, journey: Journey) -> None:
    """Return if the admin agrees; raise Refused if not, or if there is nobody to ask."""
    if config.option.yes or config.option.lab:
        return
    name = journey.migration.old.facts.fqdn
    doing = "move everything from" if journey.mode is Mode.MOVE else "take back what was moved from"
    if not sys.stdin.isatty():
        raise Refused(
            f"nobody is there to agree that mailmove may {doing} {name}", "add --yes, or run it in a terminal"
        )
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        to = journey.migration.new
        print(f"\nmailmove is about to {doing} {name} ({journey.migration.old.target})")
        print(f"to {to.facts.fqdn} ({to.target}).")
        if journey.mode is Mode.MOVE:
            print("\n".join(forecast.plan(journey)))
        answer = input("Type the old server's full name to go on: ")
    if answer.strip() != name:
        raise Refused(
            f"{answer.strip()!r} is not {name!r}", "nothing was changed; look at the plan with: pytest features/"
        )
