"""fail2ban on the new server: neither mailmove nor the server that hands letters on is shut out, and no trace is left of that."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mailmove.lab import breakages
from mailmove.lab.lab import Lab
from mailmove.progress import Deadline
from tests.lab.conftest import ROOT, Mailmove

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
# What "forward" does to the new server's fail2ban, and "dismiss" and --undo take back
TRUST = """
import sys
from pathlib import Path
from mailmove import migration
from mailmove.moves import jails
from mailmove.routing import addresses_of
plan = migration.load(Path(sys.argv[1]))
jails.ignore(plan.new, sorted(addresses_of(plan.old))) if sys.argv[2] == "ignore" else jails.watch_again(plan.new)
plan.connection.close()
"""
WRONG = ("features/1_verify", "-k", "wrong and password")


def on_new(lab: Lab, command: str) -> str:
    done = subprocess.run(lab.ssh("new", command), capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def watched(lab: Lab) -> Iterator[Lab]:
    breakage = breakages.find("prober-banned")
    breakages.perform(lab, "prober-banned", breakage)
    on_new(lab, "fail2ban-client unban --all")
    yield lab
    breakages.mend(lab, "prober-banned", breakage)


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


@pytest.mark.timeout(300)
def test_the_server_that_hands_letters_on_is_ignored_as_long_as_it_does(watched: Lab) -> None:
    def trust(what: str) -> None:
        program = [sys.executable, "-c", TRUST, str(watched.settings_file), what]
        subprocess.run(watched.command(program), cwd=ROOT, check=True, timeout=120)

    old = ("203.0.113.20", "2001:db8:113::20")
    on_new(
        watched, "echo 'ignoreip = 127.0.0.0/8 ::1 198.51.100.7' >> /etc/fail2ban/jail.local; fail2ban-client reload"
    )
    before = on_new(watched, IGNORED)
    assert "sieve 198.51.100.7" in before  # the last jail there, so the line is its own
    on_new(watched, "fail2ban-client set dovecot banip 203.0.113.20")

    for _ in range(2):
        trust("ignore")
    told = on_new(watched, IGNORED).splitlines()
    on_new(watched, "systemctl restart fail2ban")
    after_restart = on_new(watched, f"until {JAILS} | grep -q sieve; do sleep 0.2; done; {IGNORED}").splitlines()
    for _ in range(2):
        trust("watch")

    jails = ("dovecot", "postfix", "postfix-sasl", "sieve")
    assert sorted(set(told) - set(before.splitlines())) == sorted(f"{jail} {each}" for jail in jails for each in old)
    assert sorted(after_restart) == sorted(told)
    assert on_new(watched, BANNED).count("203.0.113.20") == 0
    assert sorted(on_new(watched, IGNORED).splitlines()) == sorted(before.splitlines())
    assert on_new(watched, "ls /etc/fail2ban/jail.d") == "defaults-debian.conf"
