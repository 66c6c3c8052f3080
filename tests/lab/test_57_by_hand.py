"""Hands that interfere, and what dies beside a move: each is told, nothing is lost, and the same call again gets out.

One journey with letters arriving and people reading; each test takes it a piece further, the last one takes it back, with plugs pulled.
"""

from __future__ import annotations

import pytest

from mailmove.lab import plan
from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from mailmove.progress import Deadline
from mailmove.report.closing import Status
from tests.lab import leftovers
from tests.lab.conftest import Mailmove, Run
from tests.lab.test_10_verify import shell
from tests.lab.test_55_faults import (
    CHANGES,
    COLD,
    FORWARD,
    FREEZE,
    LATE_LETTER,
    NET,
    START,
    SWITCH,
    again,
    held,
    holds,
    meanwhile,
    on,
    settings,
    told,
)

pytestmark = pytest.mark.timeout(1500)

FULL = ("/etc/postfix", "/etc/rspamd")
NO_ROOM = "set -e\n" + "".join(
    f"""
    rsync -aHAX {path}/ /root/lab-etc/
    mount -t tmpfs -o size=3m tmpfs {path}
    rsync -aHAX /root/lab-etc/ {path}/
    rm -rf /root/lab-etc
    cat /dev/zero > {path}/lab-fill 2>/dev/null || true
    """
    for path in FULL
)
ACCEPT = ("features/4_accept", "--move")
TO_OLD = (
    f"swaks --server {plan.OLD.ipv4} -f friend@elsewhere.example -t john@example.org"
    " --h-Message-Id '<waits@lab>' --h-Subject waits --silent 1"
)
# As Dovecot sees it: what people read stands in its index cache, too
WAITED_FOR = "doveadm search -u john@example.org mailbox '*' header message-id waits@lab | wc -l"
ROOM_AGAIN = "set -e\n" + "".join(f"umount {path}\n" for path in FULL)


def went_on_or_told(run: Run, move: str, *words: str) -> None:
    """Whether the fault was in time to do any harm is a matter of luck."""
    if run.status:
        told(run, *words, status=Status.HALFWAY, move=move)


def test_dovecot_that_is_started_by_hand_on_old_in_the_downtime_is_told(
    lab: Lab, mailmove: Mailmove, traffic: Traffic
) -> None:
    holds(mailmove("features/1_verify", "features/2_prepare", "--move"))
    holds(mailmove(FREEZE, CHANGES, "--move"))
    shell(
        lab, "old", f"dovecot > /root/lab-dovecot 2>&1 < /dev/null; sleep 3; {LATE_LETTER}"
    )  # past systemd, in which it is masked

    run = mailmove(COLD, NET, "--move")
    told(run, "(old)", "dovecot, process", "doveadm stop", status=Status.FAILED, move=COLD)
    held(run, mailmove, "safety_net")

    holds(mailmove(FREEZE, CHANGES, "--undo"))
    assert shell(lab, "old", "systemctl is-active dovecot") == ["active"]
    holds(mailmove("features/2_prepare", FREEZE, CHANGES, COLD, "--move"))
    assert shell(lab, "new", "grep -rl 'Message-ID: <late@lab>' /var/vmail/example.org/john | wc -l") == ["1"]


def test_the_switch_waits_for_the_hold_file_and_survives_the_end_of_a_name_server(
    lab: Lab, mailmove: Mailmove, traffic: Traffic
) -> None:
    hold = lab.settings_file.parent / "hold-dns"
    hold.touch()
    with settings(lab, '\n[gates]\nhold = "hold-dns"\n'):
        run = mailmove(NET, START, SWITCH, FORWARD, "--move")
        told(run, "the hold file", f"rm {hold}", status=Status.FAILED, move=SWITCH)
        held(run, mailmove, "forward")
        hold.unlink()

        with meanwhile(
            again(mailmove, "switch", "done"),
            lambda: lab.machines["world"].inside(["systemctl", "kill", "-s", "KILL", "named-ns1"]),
        ):
            run = mailmove(SWITCH, "--move")
        went_on_or_told(run, SWITCH, "no answer")
        shell(lab, "world", "systemctl reset-failed named-ns1; systemctl start named-ns1")
        holds(mailmove(SWITCH, "--move"))


def test_new_loses_room_filter_and_postfix_while_old_learns_to_hand_on(
    lab: Lab, mailmove: Mailmove, traffic: Traffic
) -> None:
    shell(lab, "new", NO_ROOM)
    run = mailmove(FORWARD, "--move")
    told(run, "on the new server", "No space left", status=Status.HALFWAY, move=FORWARD)
    shell(lab, "new", ROOM_AGAIN)
    assert shell(lab, "new", "postfix check; rspamadm configtest 2>&1 | tail -n 1") == ["syntax OK"]

    with meanwhile(
        again(mailmove, "forward", "begun"), on(lab, "new", "systemctl kill -s KILL rspamd redis-server || true")
    ):
        run = mailmove(FORWARD, "--move")
    went_on_or_told(run, FORWARD)
    shell(lab, "new", "systemctl reset-failed; systemctl start redis-server rspamd")
    with meanwhile(again(mailmove, "forward", "begun"), on(lab, "new", "systemctl stop postfix")):
        run = mailmove(FORWARD, "--move") if run.status else mailmove_again(lab, mailmove)
    told(run, "Connection refused", status=Status.HALFWAY, move=FORWARD)
    shell(lab, "new", "systemctl start postfix")
    holds(mailmove(FORWARD, "--move"))


def mailmove_again(lab: Lab, mailmove: Mailmove) -> Run:
    """The forwarding once more, from its beginning: somebody has stopped it."""
    shell(lab, "old", "postconf -e relay_transport=retry:stopped; postfix reload")
    return mailmove(FORWARD, "--move")


def test_postfix_on_new_that_is_stopped_by_hand_is_told_and_what_waits_on_old_comes(
    lab: Lab, mailmove: Mailmove, traffic: Traffic
) -> None:
    """After the switch, before it is accepted: what old has for it waits there."""
    shell(lab, "new", "systemctl stop postfix")
    shell(lab, "world", TO_OLD)
    for _ in Deadline(30):
        if any("refused" in line for line in shell(lab, "old", "mailq")):
            break
    run = mailmove(*ACCEPT)
    assert run.status == Status.UNKNOWN, run.bad()  # what it shows at its ports
    assert "Traceback" not in run.output and "blocked" in run.outcomes().values(), run.bad()
    assert "port 25: [Errno 111] Connection refused" in run.bad() and "hint: restart postfix" in run.bad(), run.bad()

    shell(lab, "new", "systemctl start postfix")
    shell(lab, "old", "postqueue -f")
    holds(mailmove(*ACCEPT))
    assert shell(lab, "new", WAITED_FOR) == ["1"]


def test_plugs_are_pulled_on_the_way_back(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    for point, host in (
        ("start:undoing:1.5", "new"),
        ("start:undoing:3", "old"),
        ("freeze:undoing:0.7", "old"),
        ("freeze:undoing:2", "new"),
    ):
        status = mailmove.crash_at(point, "features", "--undo", host=host)
        said = (mailmove.directory / "crashed.log").read_text(errors="replace")
        (mailmove.directory / "crashed.log").unlink()
        assert "Traceback" not in said, said[-8000:]
        assert status == 0 or "hint: " in said, said[-8000:]
    holds(mailmove("features", "--undo"))
    traffic.stop()
    for _ in Deadline(60, every=5):
        shell(lab, "old", "postqueue -f")
    shell(lab, "world", "postqueue -f")

    count = traffic.count("old")
    strayed = [each for each in count.strayed if "its owner had deleted it" not in each]
    assert (count.lost, count.doubled, strayed) == ([], [], [])
    assert count.sent > 60
    assert shell(lab, "old", "systemctl is-active postfix dovecot") == ["active", "active"]
    assert leftovers.at_work(lab) == []
