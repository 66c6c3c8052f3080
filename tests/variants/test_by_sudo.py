"""The whole move, and the way back, where nobody may log in as root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from mailmove.lab.variants import find
from tests.lab import leftovers
from tests.lab.conftest import NAME, Mailmove


@pytest.fixture
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("the lab needs root: run tox as root on Debian 12")
    made = Lab(f"{NAME}-by-sudo"[:20], variant=find("sudo"))
    made.up()
    try:
        yield made
    finally:
        made.down(purge=True)


def on(lab: Lab, host: str, script: str) -> str:
    said = subprocess.run(lab.ssh(host, script), capture_output=True, text=True, check=True, timeout=60)
    return said.stdout


@pytest.mark.timeout(2400)
def test_an_admin_who_becomes_root_by_sudo_moves_everything_and_back(lab: Lab, tmp_path: Path) -> None:
    mailmove, traffic = Mailmove(lab, tmp_path), Traffic(lab)
    keys = {
        host: on(lab, host, "cat /home/admin/.ssh/authorized_keys; stat -c %U:%a /home/admin/.ssh/*")
        for host in ("old", "new")
    }
    traffic.start()
    try:
        there = mailmove("features", "--move")
        back = mailmove("features", "--undo")
    finally:
        traffic.stop()
    count = traffic.count("old")
    logins = on(lab, "old", "grep -h 'Accepted publickey' /var/log/auth.log")

    assert there.status == 0, there.bad()
    assert back.status == 0, back.bad()
    assert (count.lost, count.doubled, count.strayed) == ([], [], [])
    assert leftovers.left(lab) == ["old: /etc/rspamd/mailmove-trust.conf"]  # as long as new sends late senders on to it
    assert {
        host: on(lab, host, "cat /home/admin/.ssh/authorized_keys; stat -c %U:%a /home/admin/.ssh/*")
        for host in ("old", "new")
    } == keys
    new = next(host.ipv4 for host in lab.variant.machines if host.key == "new")
    assert f"admin from {new}" in logins
    assert f"root from {new}" not in logins
