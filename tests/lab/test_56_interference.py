"""What goes on around a move: an ssh that is cut, jobs of the machines that write letters, a laptop that sleeps, logs that are
rotated or emptied, letters of every kind.

One journey with letters arriving and people reading; each test takes it a piece further. The letters of these tests are counted
in the mailboxes, beside those of the traffic.
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
from tests.lab.test_55_faults import again, holds, meanwhile, on, settings

pytestmark = pytest.mark.timeout(1500)

PREPARE = ("features/2_prepare", "--move")
CUTOVER = ("features/3_cutover", "--move")
ACCEPT = ("features/4_accept", "--move")
STORES = "features/4_accept/10_nothing_lost.feature"
LEDGER = "features/4_accept/15_every_letter_accounted_for.feature"
BRING = '\n[copy]\nonly_on_new = "bring"\n'
SLEEP_S = 100  # longer than the servers wait for a machine that is gone

# $1: the mark, $2…: for whom
LETTER = r"""
letter() {
    mark=$1; shift
    printf 'From: friend@elsewhere.example\nMessage-ID: <%s@lab>\nX-Lab-Mark: %s\nSubject: %s\n\nhello\n' "$mark" "$mark" "$mark" |
        sendmail -i -f friend@elsewhere.example "$@"
}
"""
# One of two recipients over quota; one letter put on hold by hand; one for a list that waits when the stop comes. Prints the one on hold.
KINDS_ON_OLD = (
    LETTER
    + r"""
set -e
mariadb mailserver -e "UPDATE virtual_users SET quota = 5000 WHERE email = 'frank@example.org'"
letter odd-full erin@example.org frank@example.org
postconf -e defer_transports=lmtp; postfix reload 2>/dev/null; sleep 1
letter odd-hold john@example.org
letter odd-list team@example.org
sleep 3
for id in $(find /var/spool/postfix/active /var/spool/postfix/deferred -type f -printf '%f\n'); do
    postcat -hq "$id" | grep -q '^X-Lab-Mark: odd-hold' && postsuper -h "$id" 2>/dev/null && echo "$id"
done
postconf -X defer_transports; postfix reload 2>/dev/null
"""
)
CONFIRMED = LETTER.replace("sendmail -i", "sendmail -N success,failure -i")
IN_UTF8 = f"export LC_ALL=C.UTF-8\n{LETTER}"
UTF8_ALIAS = """
mariadb --default-character-set=utf8mb4 mailserver -e "
    INSERT INTO virtual_aliases (domain_id, source, destination)
    SELECT id, 'jürgen@example.org', 'john@example.org' FROM virtual_domains WHERE name = 'example.org'"
"""
IN_BETWEEN = r"""
    printf 'Message-ID: <odd-between@lab>\nX-Lab-Mark: odd-between\nSubject: between\n\nhello\n' > /root/lab-letter
    install -o vmail -g vmail -m 600 /root/lab-letter "/var/vmail/example.org/alice/Maildir/new/$(date +%s).lab.mail2"
"""
CRON = (
    LETTER
    + r"""
n=$(cat /root/lab-cron 2>/dev/null | wc -l)
while :; do
    n=$((n + 1))
    letter "cron-$1-$n" judy@example.org && echo "cron-$1-$n" >> /root/lab-cron
    doveadm quota recalc -A >/dev/null 2>&1
    sleep 3
done
"""
)
ROTATED = """
cd /var/log
for n in 3 2 1; do [ ! -e mail.log.$n ] || mv mail.log.$n mail.log.$((n + 1)); done
"""
MOVED = f"{ROTATED} mv mail.log mail.log.1; systemctl kill -s HUP rsyslog.service"
COPIED = f"{ROTATED} cp mail.log mail.log.1; : > mail.log"
# As rotated without a copy: whoever reads it sees a log in which nothing happened, and older ones beside it
LOG_EMPTIED = """
    cat /var/log/mail.log.1 /var/log/mail.log > /root/lab-mail.log
    : > /var/log/mail.log
    echo 'Jan  1 00:00:00 mail postfix/master[1]: of long ago' > /var/log/mail.log.1
"""
JOURNAL_EMPTIED = "journalctl --rotate; journalctl --vacuum-time=1s; logger -p mail.info -t postfix/master 'goes on'"
LOG_PUT_BACK = "mv /root/lab-mail.log /var/log/mail.log.9"


def jobs(lab: Lab, host: str) -> None:
    """The machine's own jobs write letters, from now on."""
    shell(lab, host, f"systemd-run --quiet --unit=lab-cron sh /root/lab-cron.sh {host}")


@pytest.fixture(scope="module")
def cron(lab: Lab) -> Iterator[None]:
    """Jobs of the machines themselves that hand in letters and look into mailboxes, on both servers all the evening."""
    for host in ("old", "new"):
        shell(lab, host, f"cat > /root/lab-cron.sh <<'EOF'\n{CRON}\nEOF\nrm -f /root/lab-cron")
        jobs(lab, host)
    yield
    for host in ("old", "new"):
        shell(lab, host, "systemctl stop lab-cron || true")


def marked(lab: Lab, host: str = "new") -> Counter[str]:
    """Of each mark and mailbox, how many lie there."""
    command = lab.ssh(host, "python3 - /var/vmail")
    done = subprocess.run(command, input=FINDER, capture_output=True, text=True, check=True, timeout=300)
    return Counter(line for line in done.stdout.splitlines() if line.startswith(("odd-", "cron-")))


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
    shell(lab, "old", UTF8_ALIAS)
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


def test_a_letter_that_comes_to_new_between_the_question_and_its_stop_is_told_before_old_is_stopped(
    lab: Lab, mailmove: Mailmove, traffic: Traffic, cron: None
) -> None:
    """Those of the job are brought to old first, and copied from there."""
    shell(lab, "new", 'systemctl stop lab-cron; until [ -z "$(postqueue -j)" ]; do sleep 0.5; done; sleep 2')
    with settings(lab, BRING):
        holds(mailmove(*PREPARE))

    begun = again(mailmove, "freeze", "begun")
    with meanwhile(begun, on(lab, "new", IN_BETWEEN)):
        run = mailmove(*CUTOVER)
        assert begun(), run.bad()
    assert run.status == Status.FAILED, run.bad()
    assert "the new server got mail just before it was stopped" in run.bad(), run.bad()
    assert "alice@example.org" in run.bad() and "hint: " in run.bad(), run.bad()
    for host in ("old", "new"):
        assert shell(lab, host, "systemctl is-active postfix dovecot") == ["active", "active"]
    assert shell(lab, "old", "postconf -n master_service_disable smtpd_data_restrictions") == []
    with settings(lab, BRING):
        holds(mailmove(*PREPARE))


def test_letters_of_every_kind_and_jobs_of_the_machines_come_through(
    lab: Lab, mailmove: Mailmove, traffic: Traffic, cron: None
) -> None:
    """The laptop sleeps in the downtime, longer than the servers hold themselves for it; the logs are rotated after it."""
    (held,) = [line for line in shell(lab, "old", KINDS_ON_OLD) if line.strip()]
    shell(lab, "world", f"{CONFIRMED}\nletter odd-confirmed john@example.org")
    shell(lab, "world", f"{IN_UTF8}\nletter odd-utf8 jürgen@example.org")

    process = started(mailmove, *CUTOVER)
    come(mailmove, again(mailmove, "cold_copy", "begun"), process)
    asleep = masters(lab)
    os.killpg(process.pid, signal.SIGSTOP)
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    jobs(lab, "new")
    time.sleep(SLEEP_S)
    shell(lab, "world", f"{CONFIRMED}\nletter odd-late alice@example.org")
    for pid in asleep:
        os.kill(pid, signal.SIGCONT)
    os.killpg(process.pid, signal.SIGCONT)
    said = ended(mailmove, process)
    print(said[-6000:])
    if process.returncode:
        holds(mailmove(*CUTOVER))
    shell(lab, "old", MOVED)
    shell(lab, "new", COPIED)
    time.sleep(15)
    for host in ("old", "new"):
        shell(lab, host, "systemctl stop lab-cron")
    shell(lab, "old", f"postsuper -H {held}; postqueue -i {held}")

    run = mailmove(*ACCEPT)
    wanted = Counter(
        f"{mark} judy@example.org" for host in ("old", "new") for mark in shell(lab, host, "cat /root/lab-cron")
    )
    wanted += Counter(
        [
            *("odd-full erin@example.org", "odd-hold john@example.org", "odd-between alice@example.org"),
            *("odd-confirmed john@example.org", "odd-late alice@example.org"),
            *(f"odd-list {who}@example.org" for who in ("alice", "bob", "carol")),
        ]
    )
    for _ in Deadline(120):
        if not wanted - marked(lab):
            break
    print(run.bad())
    print(shell(lab, "old", "mailq"), shell(lab, "new", "mailq"))
    assert marked(lab) == wanted  # Dovecot's LMTP takes no odd-utf8, and the ledger knows its end
    holds(run)


def test_a_log_that_was_emptied_in_the_evening_is_seen_and_put_back(
    lab: Lab, mailmove: Mailmove, traffic: Traffic
) -> None:
    shell(lab, "old", LOG_EMPTIED)
    holds(mailmove(STORES, LEDGER, "--move"))  # the journal has it all

    shell(lab, "old", JOURNAL_EMPTIED)
    run = mailmove(LEDGER, "--move")
    assert run.status == Status.UNKNOWN, run.bad()
    assert "old: lines are missing from" in run.bad() and "/var/log/mail.log.9" in run.bad(), run.bad()

    shell(lab, "old", LOG_PUT_BACK)
    holds(mailmove(LEDGER, "--move"))
