"""fail2ban on the new server: mailmove is not shut out for its wrong passwords, and leaves no trace of that."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from mailmove.lab import breakages
from mailmove.lab.lab import Lab
from mailmove.progress import Deadline
from tests.lab.conftest import Mailmove

JAILS = "fail2ban-client status | sed -n 's/.*Jail list:[[:space:]]*//p' | tr -d ,"
IGNORED = f"for jail in $({JAILS}); do fail2ban-client get $jail ignoreip | sed -n 's/^[|`]- /'$jail' /p'; done"
BANNED = "fail2ban-client banned"
# What holds the jails to it is watched by a process of its own, in a session of its own
KILL_ITS_HOLDER = """
pids=" $(pgrep -f '[m]ailmove-remote' | tr '\\n' ' ')"
for pid in $pids; do
    set -- $(ps -o ppid=,sid= -p $pid)
    case "$pids" in *" $1 "*) if [ "$2" = $pid ]; then kill -KILL "$1"; fi;; esac
done
"""
WRONG = ("features/1_verify", "-k", "wrong and password")


def on_new(lab: Lab, command: str) -> str:
    done = subprocess.run(lab.ssh("new", command), capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def watched(lab: Lab) -> Iterator[Lab]:
    breakage = breakages.find("fail2ban-watches")
    breakages.perform(lab, "fail2ban-watches", breakage)
    yield lab
    breakages.mend(lab, "fail2ban-watches", breakage)


@pytest.mark.timeout(600)
def test_wrong_passwords_shut_nobody_out(watched: Lab, mailmove: Mailmove) -> None:
    before = on_new(watched, IGNORED)

    for _ in range(2):
        run = mailmove(*WRONG)
        assert run.status == 0, run.bad()

    assert on_new(watched, IGNORED) == before
    assert "203.0.113.40" not in on_new(watched, BANNED)
    assert "2001:db8:113::40" not in on_new(watched, BANNED)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("killed", ["mailmove", "what waits on the server"])
def test_a_killed_run_is_watched_again(killed: str, watched: Lab, mailmove: Mailmove) -> None:
    before = on_new(watched, IGNORED)

    def ignored() -> bool:
        if "dovecot 203.0.113.40" not in on_new(watched, IGNORED):
            return False
        if killed != "mailmove":
            on_new(watched, KILL_ITS_HOLDER)
        return True

    mailmove.kill_when(ignored, *WRONG)

    for _ in Deadline(20, every=0.5):
        if on_new(watched, IGNORED) == before:
            break
    assert on_new(watched, IGNORED) == before


@pytest.mark.timeout(600)
def test_what_is_not_answered_names_who_shut_us_out(watched: Lab, mailmove: Mailmove) -> None:
    on_new(watched, "fail2ban-client set dovecot banip 203.0.113.40")
    try:
        run = mailmove("features/1_verify", "-k", "right and password and opens")
    finally:
        on_new(watched, "fail2ban-client unban 203.0.113.40")

    said = json.dumps(run.report)
    assert run.status != 0
    assert "shuts out 203.0.113.40 (this machine): fail2ban's jail dovecot" in said
    assert "fail2ban-client unban 203.0.113.40" in said
