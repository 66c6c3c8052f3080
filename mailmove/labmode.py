"""``--lab``: another pair of ssh targets, reached from inside the lab's operator namespace."""

from __future__ import annotations

import os
import sys

import pytest

from mailmove.lab.lab import Lab

INSIDE = "MAILMOVE_LAB_INSIDE"


def enter(config: pytest.Config) -> int | None:
    """Point the options at the lab; outside of its namespace, start over inside it.

    Raises pytest.UsageError when the lab is not up.
    """
    name = config.option.lab
    lab = Lab(name)
    if not lab.is_up():
        raise pytest.UsageError(f"the lab {name!r} is not up\nhint: mailmove lab up --name {name}")
    config.option.settings = str(lab.settings_file)
    if os.environ.get(INSIDE) == name:
        return None
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()
    os.environ[INSIDE] = name
    arguments = [str(argument) for argument in config.invocation_params.args]
    os.execvp("ip", ["ip", "netns", "exec", lab.namespace, sys.executable, "-m", "pytest", *arguments])
