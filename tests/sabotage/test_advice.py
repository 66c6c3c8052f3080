"""What the guide's own server is advised: done as the hint says, it is advised no more.

The scenarios that only recommend cannot turn red where they are red on a healthy server already; here they turn green.
"""

import subprocess
from collections.abc import Iterator

import pytest

from mailmove.lab.lab import Lab
from tests.lab.conftest import Mailmove, Run
from tests.sabotage import reds

ADVISED = {
    "Who collects addresses is told none": ("disable_vrfy_command=yes", "passed"),
    # What the server does not announce any more no sender uses
    "A letter that needs an international header is not taken and then lost": ("smtputf8_enable=no", "not applicable"),
}
"""What is advised, and what the scenario comes to when it was done."""


@pytest.fixture
def advice_taken(lab: Lab) -> Iterator[None]:
    """New as the hints want it, and afterwards as the guide has it."""

    def postfix(*words: str) -> None:
        for command in (["postconf", *words], ["postfix", "reload"]):
            subprocess.run(lab.ssh("new", " ".join(command)), check=True, capture_output=True, timeout=60)

    settings = [setting for setting, _ in ADVISED.values()]
    postfix("-e", *settings)
    yield
    postfix("-X", *(setting.partition("=")[0] for setting in settings))


@pytest.mark.together
@pytest.mark.sample
@pytest.mark.timeout(300)
def test_advice_that_was_taken_is_given_no_more(runs: Mailmove, healthy: Run, advice_taken: None) -> None:
    before = {s["name"]: s for s in reds.scenarios(healthy.report)}
    run = runs("features/1_verify", "-k", reds.any_of(ADVISED))
    after = {s["name"]: s for s in reds.scenarios(run.report)}

    for name, (setting, then) in ADVISED.items():
        assert setting in "\n".join(reds.words(before[name])), f"{name}: not advised on the guide's own server"
        assert after[name]["outcome"] == then
        assert not [*reds.faults(after[name])], f"{name}: still advised with {setting}"
