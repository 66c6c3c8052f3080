"""What cannot be a migration is refused with one clear message, and nothing is changed."""

import subprocess
from pathlib import Path

import pytest

from mailmove.lab.lab import Lab
from mailmove.progress import Deadline
from tests.lab import leftovers
from tests.lab.conftest import ROOT, Mailmove, environment, from_another_laptop


def refused(mailmove: Mailmove, *arguments: str) -> str:
    """What it said; it must not have begun."""
    done = subprocess.run(
        mailmove.command("features/1_verify/10_machine.feature", *arguments),
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env=environment(),
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "hint: " in done.stderr
    assert not (mailmove.directory / "signoff.html").exists()
    return done.stderr


def test_old_and_new_swapped(mailmove: Mailmove) -> None:
    assert "the old one is the newer" in refused(mailmove, "--old", "root@new", "--new", "root@old")


def test_old_and_new_the_same_machine(mailmove: Mailmove) -> None:
    assert "are the same machine" in refused(mailmove, "--new", "root@old")


def test_a_server_that_is_no_mail_server(mailmove: Mailmove) -> None:
    assert "hosts no domains" in refused(mailmove, "--old", "root@world")


def test_an_unknown_host_key(mailmove: Mailmove, lab: Lab) -> None:
    known = lab.home / "known_hosts"
    before = known.read_text()
    known.write_text(
        "\n".join(line for line in before.splitlines() if "203.0.113.30" not in line and not line.startswith("new"))
        + "\n"
    )
    try:
        said = refused(mailmove, "--move", "--yes")
    finally:
        known.write_text(before)

    assert "the new server (root@new) cannot be reached by ssh" in said
    assert "host key" in said.lower()


def test_a_login_that_may_not_become_root(mailmove: Mailmove, lab: Lab) -> None:
    subprocess.run(
        lab.ssh("new", "cp -r /root/.ssh /var/mailguest-ssh; useradd -m -s /bin/sh guest; mkdir ~guest/.ssh;"
                " cp /root/.ssh/authorized_keys ~guest/.ssh/; chown -R guest: ~guest; rm -r /var/mailguest-ssh"),
        check=True, capture_output=True,
    )  # fmt: skip

    said = refused(mailmove, "--new", "guest@new")

    assert "guest may not become root on the new server (guest@new) without a password: sudo: " in said


def test_a_login_shell_that_talks(mailmove: Mailmove, lab: Lab) -> None:
    subprocess.run(
        lab.ssh("old", "cp -p .bashrc .bashrc.was; sed -i '1i echo Welcome' .bashrc"), check=True, capture_output=True
    )
    try:
        said = refused(mailmove, "--move", "--yes")
    finally:
        subprocess.run([*lab.ssh("old", "mv .bashrc.was .bashrc")], check=True, capture_output=True)

    assert "the login shell on the old server (root@old) says 'Welcome' before every command" in said


def test_a_disk_too_small(mailmove: Mailmove, lab: Lab) -> None:
    subprocess.run(
        lab.ssh("new", "mount -t tmpfs -o size=8m,uid=5000,gid=5000 none /var/vmail"), check=True, capture_output=True
    )
    try:
        said = refused(mailmove, "--move", "--yes")
    finally:
        subprocess.run(lab.ssh("new", "umount /var/vmail"), check=True, capture_output=True)

    assert "the disk of the new server is too small" in said


def test_two_runs_at_once(mailmove: Mailmove, lab: Lab) -> None:
    import fcntl

    with open(lab.home / "mailmove.journal.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert "another run of mailmove is at work" in refused(mailmove)


def test_a_run_on_another_laptop(mailmove: Mailmove, lab: Lab, tmp_path: Path) -> None:
    laptop = tmp_path / "laptop"
    command = from_another_laptop(lab, laptop, "features/1_verify")  # long enough to be met
    with (
        open(laptop / "log", "w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment()) as other,
    ):
        for _ in Deadline(60):
            if any("held for a run" in line for line in leftovers.at_work(lab)):
                break
        said = refused(mailmove, "--move", "--yes")
        assert other.poll() is None, (laptop / "log").read_text()
        assert other.wait(300) in (0, 1), (laptop / "log").read_text()

    assert "another run of mailmove is at work on the" in said
    assert str(laptop) in said
    assert leftovers.at_work(lab) == []
