"""The new server is gone after people have used it: the old one serves again, and what stays behind is named."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mailmove.lab import network
from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from mailmove.progress import Deadline
from mailmove.report.closing import Status
from tests.lab.conftest import ROOT, Mailmove, environment
from tests.lab.test_10_verify import shell

WAY = ("features/1_verify", "features/2_prepare", "features/3_cutover", "--move")
FORWARDED = 5
HANDED_OVER = "grep -c 'postfix/mailmove/smtp.*status=sent' /var/log/mail.log || true"
NEXT_UID = "doveadm mailbox status -u john@example.org uidnext INBOX | tail -n 1"
FIRST_OF_ALL = r"""
    printf 'Message-ID: <first@lab>\r\nSubject: first\r\n\r\nhello\r\n' | doveadm save -u john@example.org -m INBOX
    doveadm fetch -u john@example.org uid mailbox INBOX header message-id first@lab | sed -n 's/^uid: //p'
"""
GREYLISTED_S = 300  # so long rspamd puts strangers off
LATE = (  # they try again, as every sender does
    f"for n in $(seq {FORWARDED}); do (for attempt in $(seq 100); do swaks --server 203.0.113.20 --from friend@elsewhere.example"
    " --to john@example.org --header 'Message-ID: <cached-'$n'@lab>' --silent 3 && break; sleep 4; done)"
    " </dev/null >/dev/null 2>&1 & done"
)

# Marks of the letters that the world itself brought to new
HANDED_DIRECTLY = r"""
    journalctl -o cat --no-pager -t postfix/smtp | sed -n 's/^\([0-9A-Za-z]*\): .*relay=mail2.*status=sent.*/\1/p' | sort -u > /tmp/direct
    journalctl -o cat --no-pager -t postfix/cleanup | sed -n 's/^\([0-9A-Za-z]*\): message-id=<\([^@]*\)@.*/\1 \2/p' | sort -u |
        join - /tmp/direct | cut -d ' ' -f 2
"""


def without_new(lab: Lab) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mailmove", "without-new", "--lab", lab.name]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400, env=environment()
    )


@pytest.mark.timeout(2700)
def test_old_serves_again_without_new(lab: Lab, mailmove: Mailmove) -> None:
    assert "nothing was moved" in without_new(lab).stderr
    traffic = Traffic(lab)
    traffic.start()
    try:
        run = mailmove(*WAY)
        assert run.status == Status.HOLDS, run.bad()
        refused = without_new(lab)
        assert refused.returncode == 1 and "still takes mail" in refused.stderr
        shell(lab, "world", LATE)
        for _left in Deadline(GREYLISTED_S + 90):
            if int(shell(lab, "old", HANDED_OVER)[0]) >= FORWARDED:
                break
        shown = int(shell(lab, "new", NEXT_UID)[0].rpartition("=")[2])
        before = traffic.log.read_text().count('"what": "sent"')
        _cut_off(lab)
        for _left in Deadline(60):  # letters that only wait for new
            if traffic.log.read_text().count('"what": "sent"') > before + 10:
                break

        _goes_back(lab, mailmove)
    finally:
        traffic.stop()
    _is_told(lab, traffic, shown)
    for way in ("--move", "--undo"):
        run = mailmove("features", way)
        assert run.status == Status.REFUSED and "cannot be reached" in run.output, run.output


def _cut_off(lab: Lab) -> None:
    """New answers nobody any more. It is not killed: a lab of which a machine is off is not up."""
    subprocess.run(["ip", "-n", network.namespace(lab.name, "net"), "link", "set", "dev", "new", "down"], check=True)


def _goes_back(lab: Lab, mailmove: Mailmove) -> None:
    back = mailmove("features", "--undo")
    assert back.status == Status.REFUSED, back.output
    assert "cannot be reached by ssh" in back.output and "mailmove without-new" in back.output
    done = without_new(lab)
    assert done.returncode == 0, done.stdout + done.stderr


def _is_told(lab: Lab, traffic: Traffic, shown: int) -> None:
    named = (lab.home / "letters-only-new-has.txt").read_text()
    assert [f"<cached-{n}@lab>" in named for n in range(1, FORWARDED + 1)] == [True] * FORWARDED
    assert shell(lab, "old", "systemctl is-active postfix dovecot") == ["active", "active"]
    (uid,) = shell(lab, "old", FIRST_OF_ALL)
    assert int(uid) > shown  # no letter on old gets a UID that new has shown
    again = without_new(lab)
    assert again.returncode == 0, again.stdout + again.stderr

    for _left in Deadline(180):  # what the world kept meanwhile
        if (
            shell(lab, "world", "postqueue -f; postqueue -j | grep -cE 'example.org|example.net|xn--' || true")[-1]
            == "0"
        ):
            break
    # A letter is on old, or the world or old handed it to new: which ones, their logs say
    count = traffic.count("old")
    direct = set(shell(lab, "world", HANDED_DIRECTLY))
    assert count.doubled == []
    marks = {each.split(" ")[0] for each in count.lost}
    assert sorted(mark for mark in marks if mark not in direct and f"<{mark}@" not in named) == []
    assert marks & direct  # new was live: this test is about something
