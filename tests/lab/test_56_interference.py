"""What goes on around a move: an ssh that is cut, jobs of the machines that write letters.

One journey with letters arriving and people reading; each test takes it a piece further.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailmove.lab import network
from mailmove.lab.lab import Lab
from mailmove.lab.traffic import FINDER, Traffic
from mailmove.progress import Deadline
from mailmove.report.closing import Status
from tests.lab import leftovers
from tests.lab.conftest import ROOT, Mailmove, environment
from tests.lab.test_10_verify import shell
from tests.lab.test_55_faults import again, holds

pytestmark = pytest.mark.timeout(1500)

PREPARE = ("features/2_prepare", "--move")
CUTOVER = ("features/3_cutover", "--move")

CRON = r"""
n=0
while :; do
    n=$((n + 1))
    printf 'From: root\nMessage-ID: <cron-%s-%s@lab>\nX-Lab-Mark: cron-%s-%s\nSubject: job\n\nhello\n' "$1" "$n" "$1" "$n" |
        sendmail -i judy@example.org
    doveadm quota recalc -A >/dev/null 2>&1
    sleep 3
done
"""


@pytest.fixture(scope="module")
def cron(lab: Lab) -> Iterator[None]:
    """Jobs of the machines themselves that hand in letters and look into mailboxes, on both servers all the evening."""
    for host in ("old", "new"):
        shell(lab, host, f"cat > /root/lab-cron.sh <<'EOF'\n{CRON}\nEOF\nrm -f /root/lab-cron")
        shell(lab, host, f"systemd-run --quiet --unit=lab-cron sh /root/lab-cron.sh {host}")
    yield
    for host in ("old", "new"):
        shell(lab, host, "systemctl stop lab-cron || true")


def marked(lab: Lab, host: str = "new") -> Counter[str]:
    """Of each mark and mailbox, how many lie there."""
    command = lab.ssh(host, "python3 - /var/vmail")
    done = subprocess.run(command, input=FINDER, capture_output=True, text=True, check=True, timeout=300)
    return Counter(line for line in done.stdout.splitlines() if line.startswith("cron-"))


def started(mailmove: Mailmove, *arguments: str) -> subprocess.Popen[bytes]:
    with open(mailmove.directory / "beside.log", "ab") as out:
        return subprocess.Popen(
            mailmove.command(*arguments), cwd=ROOT, stdout=out, stderr=out, start_new_session=True, env=environment()
        )


def come(mailmove: Mailmove, moment: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    for _ in Deadline(600, every=0.05):
        if moment():
            return
        if process.poll() is not None:
            break
    pytest.fail(f"the moment did not come:\n{(mailmove.directory / 'beside.log').read_text(errors='replace')[-5000:]}")


def masters(lab: Lab) -> list[int]:
    """mailmove's standing ssh connections in this lab."""
    return [
        pid
        for pid in network.processes(network.namespace(lab.name, "op"))
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ssh: /tmp/mm-")
    ]


def ended(mailmove: Mailmove, process: subprocess.Popen[bytes]) -> str:
    """What it said; it ended by itself, and not in a mess."""
    process.wait(1200)
    said = (mailmove.directory / "beside.log").read_text(errors="replace")
    assert "Traceback" not in said, said[-5000:]
    assert process.returncode == 0 or "hint: " in said, said[-5000:]
    return said


def test_standing_connections_are_cut_in_the_first_copy(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    holds(mailmove("features/1_verify", "--move"))
    process = started(mailmove, *PREPARE)
    come(mailmove, again(mailmove, "hot_copy", "begun"), process)
    time.sleep(0.5)
    for pid in masters(lab):
        os.kill(pid, signal.SIGKILL)
    ended(mailmove, process)

    holds(mailmove(*PREPARE))
    assert leftovers.at_work(lab) == []


def test_letters_that_only_new_takes_are_told_before_the_old_server_is_stopped(
    lab: Lab, mailmove: Mailmove, traffic: Traffic, cron: None
) -> None:
    """A job on new writes to somebody whose account is there already: the letter lies on new alone."""
    for _ in Deadline(60):
        if any(line.startswith("cron-new") for line in marked(lab)):
            break
    run = mailmove(*CUTOVER)
    assert run.status == Status.FAILED, run.bad()
    assert "the new server holds no mail that the old one never had" in run.bad(), run.bad()
    assert "begun" not in mailmove.events("freeze")
    assert shell(lab, "old", "systemctl is-active postfix dovecot") == ["active", "active"]
