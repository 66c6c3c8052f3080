"""``--lab``: another pair of ssh targets, reached from inside the lab's operator namespace."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import pytest

from mailmove.lab.errors import LabError
from mailmove.lab.lab import Lab

INSIDE = "MAILMOVE_LAB_INSIDE"


def enter(config: pytest.Config) -> int | None:
    """Point the options at the lab; outside of its namespace, start over inside it.

    Raises pytest.UsageError when the lab is not up.
    """
    try:
        lab = standing(config.option.lab)
    except LabError as error:
        raise pytest.UsageError(str(error)) from None
    config.option.settings = str(lab.settings_file)
    if is_inside(lab):
        return None
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()
    start_over(lab, ["pytest", *map(str, config.invocation_params.args)])


def enter_command(arguments: argparse.Namespace) -> None:
    """With ``--lab``, point a command of `mailmove` at the lab; outside of its namespace, start over inside it.

    Raises LabError when the lab is not up.
    """
    if arguments.lab:
        lab = standing(arguments.lab)
        if not is_inside(lab):
            start_over(lab, ["mailmove", *arguments.argv])
        arguments.settings = lab.settings_file


def standing(name: str) -> Lab:
    """The lab of this name. Raises LabError when it is not up."""
    lab = Lab(name)
    if not lab.is_up():
        raise LabError(f"the lab {name!r} is not up", f"mailmove lab up --name {name}")
    return lab


def is_inside(lab: Lab) -> bool:
    """Whether this process runs in the lab's operator namespace already."""
    return os.environ.get(INSIDE) == lab.name


def start_over(lab: Lab, words: Sequence[str]) -> NoReturn:
    """Become ``python -m WORDS`` in the lab's operator namespace: a mistaken address can never leave the machine."""
    os.environ[INSIDE] = lab.name
    argv = lab.command([sys.executable, "-m", *words])
    os.execvp(argv[0], argv)
