"""What the guide's own server is advised: done as the hint says, it is advised no more.

The scenarios that only recommend cannot turn red where they are red on a healthy server already; here they turn green.
"""

import shlex
import subprocess
from collections.abc import Iterator

import pytest

from mailmove.lab.lab import Lab
from tests.lab.conftest import Mailmove, Run
from tests.sabotage import reds

ADVISED = {
    "Who collects addresses is told none": ("disable_vrfy_command=yes", "passed"),
    "What the server has to say reaches its admin": ("mydestination=$myhostname,localhost", "passed"),
    # What the server does not announce any more no sender uses
    "A letter that needs an international header is not taken and then lost": ("smtputf8_enable=no", "not applicable"),
}
"""What is advised, and what the scenario comes to when it was done."""
MAIN = "/etc/postfix/main.cf"


@pytest.fixture
def advice_taken(lab: Lab) -> Iterator[None]:
    """New as the hints want it, and afterwards as the guide has it."""

    def on_new(*commands: str) -> None:
        for command in (*commands, "postfix reload"):
            subprocess.run(lab.ssh("new", command), check=True, capture_output=True, timeout=60)

    on_new(f"cp -p {MAIN} {MAIN}.before", shlex.join(["postconf", "-e", *(setting for setting, _ in ADVISED.values())]))
    yield
    on_new(f"mv {MAIN}.before {MAIN}")


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
