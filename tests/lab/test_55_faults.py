"""Faults in the middle of a move: each is told with its cause, nothing later is done, and once it is mended the move comes to its end.

One journey, with letters arriving and people reading all the time: each test takes it a piece further, in the order of the file;
the last ones take it back, after new was live.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailmove.collect import all_places
from mailmove.lab import network
from mailmove.lab.breakages import BREAKAGES
from mailmove.lab.breakages.base import Breakage, mend, perform
from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from mailmove.progress import Deadline
from mailmove.report.closing import Status
from tests.lab import leftovers
from tests.lab.conftest import ROOT, Mailmove, Run, environment, from_another_laptop
from tests.lab.test_10_verify import shell

pytestmark = pytest.mark.timeout(900)

MACHINE = "features/1_verify/10_machine.feature"
ACCOUNTS = "features/2_prepare/30_accounts.feature"
WEBMAIL = "features/2_prepare/40_webmail_data.feature"
TRAINING = "features/2_prepare/50_spam_training.feature"
CERTIFICATES = "features/2_prepare/60_certificates_and_signing.feature"
HOT = "features/2_prepare/70_mailboxes_hot.feature"
WAITED = "features/2_prepare/80_old_answers.feature"
FREEZE = "features/3_cutover/10_freeze.feature"
CHANGES = "features/3_cutover/20_last_changes.feature"
COLD = "features/3_cutover/30_mailboxes_cold.feature"
NET = "features/3_cutover/40_safety_net.feature"
START = "features/3_cutover/50_start.feature"
SWITCH = "features/3_cutover/60_switch.feature"
FORWARD = "features/3_cutover/70_forwarding.feature"

FIRST = ("features/2_prepare/10_announcement.feature", "features/2_prepare/20_ttl.feature")

ACCOUNTS_OF_NEW = "mariadb -e 'SHOW DATABASES'; mariadb-dump --skip-dump-date --skip-comments mailserver"
CERTIFICATE_FILES = "cd /etc/letsencrypt; find live archive -type f -exec sha256sum {} + | sort"
ROOM = "mount -o remount,size=400m,nr_inodes=100000 /var/vmail"
SMALL_DISK = """
    systemctl stop dovecot.socket dovecot.service
    mount -t tmpfs -o "size=400m,uid=$(id -u vmail),gid=$(id -g vmail),mode=$(stat -c %a /var/vmail)" tmpfs /var/vmail
    systemctl start dovecot.service
"""
USED_BYTES = "$(df --output=used -B1 /var/vmail | tail -n 1)"
USED_INODES = "$(df --output=iused /var/vmail | tail -n 1)"
CUT_SSH = """
    until pids=$(pgrep -f '[r]sync --server --sender'); do sleep 0.1; done
    for pid in $pids; do
        while [ "$pid" -gt 1 ] && [ "$(cat /proc/$pid/comm)" != sshd ]; do pid=$(ps -o ppid= -p $pid | tr -d ' '); done
        kill -9 $pid
    done
"""
CUT_CARRYING = """
    count() { find /var/vmail/example.org -type f ! -path '*/tmp/*' -size +1000k -cnewer /root/lab-large | wc -l; }
    until [ "$(count)" -gt 0 ]; do sleep 0.05; done
    until pids=$(pgrep -f '[m]ailmove-remote'); do sleep 0.02; done
    for pid in $pids; do
        while [ "${pid:-1}" -gt 1 ] && [ "$(cat /proc/$pid/comm)" != sshd ]; do pid=$(ps -o ppid= -p $pid | tr -d ' '); done
        [ "${pid:-1}" -le 1 ] || kill -9 $pid
    done
    true
"""
# Every connection there is; whoever tries again is cut off again
CUT_FOR_A_WHILE = """
    end=$(($(date +%s) + 8))
    while [ "$(date +%s)" -lt $end ]; do
        for pid in $(pgrep -x sshd); do [ "$(ps -o ppid= -p $pid | tr -d ' ')" = 1 ] || kill -9 $pid; done
        sleep 0.05
    done 2>/dev/null
    true
"""
ONTO_A_SMALL_DISK = """
    set -e
    rsync -aHAX /var/vmail/ /root/lab-vmail/
    mount -t tmpfs -o size=400m tmpfs /var/vmail
    rsync -aHAX /root/lab-vmail/ /var/vmail/
    rm -rf /root/lab-vmail
"""
ONTO_A_LARGE_DISK = """
    set -e
    rsync -aHAX /var/vmail/ /root/lab-vmail/
    umount /var/vmail
    rsync -aHAX --delete /root/lab-vmail/ /var/vmail/
    rm -rf /root/lab-vmail
"""
LARGE_LETTERS = r"""
    set -e
    head -c 1500000 /dev/urandom | base64 > /root/lab-large
    for n in $(seq 12); do
        { printf 'From: john@example.org\r\nMessage-ID: <large-%s-%s@lab>\r\nSubject: large and $1\r\n\r\n' "$n" "$1"; cat /root/lab-large; } |
            doveadm save -u john@example.org -m INBOX
    done
    rm /root/lab-large
"""
# In folders, not in what Dovecot caches of it
LARGE_AND_NEW = r"""
    find /var/vmail/example.org -type f \( -path '*/cur/*' -o -path '*/new/*' \) \
        -exec grep -lF 'Subject: large and new' {} + | xargs -r grep -hm1 '^Message-ID:' | tr -d '\r'
"""
LATE_LETTER = r"""
    printf 'From: john@example.org\r\nMessage-ID: <late@lab>\r\nSubject: late\r\n\r\nhello\r\n' |
        doveadm save -u john@example.org -m INBOX
"""
GONE = "find /var/vmail/example.org/john -type f -size +1000k -delete"
PULLING = "ls /run/mailmove/pull-*/pid.*"
# The small disk of these tests is memory; verification does not let that pass
WAIVED = """
[[waiver]]
scenario = "Every disk is there again after a reboot"
reason = "a disk that can be filled"
by = "the tests"
until = 2099-12-31
"""
SLOW = '\n[copy]\nbwlimit = "2M"\n'  # so that there is a middle of the copy


@contextmanager
def broken(lab: Lab, name: str, breakage: Breakage | None = None) -> Iterator[None]:
    """The lab broken in this way, and mended afterwards."""
    breakage = breakage or BREAKAGES[name]
    perform(lab, name, breakage)
    try:
        yield
    finally:
        mend(lab, name, breakage)


@contextmanager
def settings(lab: Lab, more: str) -> Iterator[None]:
    """With these lines in mailmove.toml."""
    before = lab.settings_file.read_text()
    lab.settings_file.write_text(before + more)
    try:
        yield
    finally:
        lab.settings_file.write_text(before)


@contextmanager
def meanwhile(holds: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Does it as soon as ``holds``, beside what runs in the block. Fails if that never came."""
    over, done, wrong = threading.Event(), threading.Event(), []

    def watch() -> None:
        while not over.wait(0.05):
            if holds():
                try:
                    act()
                except Exception as error:  # told below, in the test's own thread
                    wrong.append(error)
                done.set()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert not wrong, wrong
    assert done.is_set(), "it was over before the fault could be put in place"


def network_dead(lab: Lab, seconds: float) -> None:
    """Nothing goes between old and new for so long; both reach everybody else."""
    middle = network.namespace(lab.name, "net")
    for isolated in ("on", "off"):
        for host in ("old", "new"):
            subprocess.run(["bridge", "-n", middle, "link", "set", "dev", host, "isolated", isolated], check=True)
        if isolated == "on":
            time.sleep(seconds)


def told(run: Run, *words: str, status: Status, move: str, back: bool = False) -> None:
    """It ended with this status and said what is wrong in these words, with a hint: of the move, or of its way back."""
    said = run.bad()
    assert run.status == status, said
    assert "Traceback" not in run.output, run.output[-5000:]
    assert "hint: " in said, said
    for each in words:
        assert each.lower() in said.lower(), f"{each!r} is not said:\n{said}"
    scenarios = [
        p.name
        for p in all_places(ROOT / "features")
        if (p.is_undo if back else p.is_move) and move.endswith(f"{p.phase}/{p.file}")
    ]
    assert {run.outcomes().get(name) for name in scenarios} & {"failed", "unknown"}, said


def held(run: Run, mailmove: Mailmove, move: str) -> None:
    """The move after it was blocked, and nothing of it was done."""
    assert "blocked" in run.outcomes().values(), run.bad()
    assert mailmove.events(move) == []


def waits(run: Run, mailmove: Mailmove, move: str) -> None:
    """The way back of this move was blocked, and nothing of it was done."""
    assert "blocked" in run.outcomes().values(), run.bad()
    assert mailmove.events(move)[-1] == "proved"


def holds(run: Run) -> None:
    assert run.status == Status.HOLDS, run.bad()


def pulling(lab: Lab) -> Callable[[], bool]:
    """Whether new fetches mail from old just now."""
    return lambda: lab.machines["new"].inside(["sh", "-c", PULLING]).returncode == 0


def again(mailmove: Mailmove, move: str, event: str) -> Callable[[], bool]:
    """Whether the journal has one more such entry of this move than now."""
    before = mailmove.events(move).count(event)
    return lambda: mailmove.events(move).count(event) > before


def on(lab: Lab, host: str, script: str) -> Callable[[], None]:
    return lambda: shell(lab, host, script) and None


def test_the_database_of_new_is_gone_or_locked(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    holds(mailmove("features/1_verify", *FIRST, "--move"))
    stopped = Breakage("new", "systemctl stop mariadb", "MariaDB is stopped", mend="systemctl start mariadb")
    locked = Breakage(
        "new",
        "systemd-run --quiet --unit=lab-backup mariadb mailserver -e 'LOCK TABLES virtual_users WRITE; DO SLEEP(600)'",
        "somebody holds a lock on a table",
        mend="systemctl stop lab-backup",
    )
    before = shell(lab, "new", ACCOUNTS_OF_NEW)

    with broken(lab, "lab-stopped", stopped):
        run = mailmove(ACCOUNTS, WEBMAIL, "--move")
    told(
        run, "MariaDB on the new server does not answer", "systemctl start mariadb", status=Status.FAILED, move=ACCOUNTS
    )
    held(run, mailmove, "roundcube")

    with broken(lab, "lab-locked", locked):
        run = mailmove(ACCOUNTS, WEBMAIL, "--move")
    told(run, "somebody on the new server holds a lock", "SHOW FULL PROCESSLIST", status=Status.FAILED, move=ACCOUNTS)
    held(run, mailmove, "roundcube")

    read_only = Breakage("new", locked.command.replace("WRITE", "READ"), locked.what, mend=locked.mend)
    with broken(lab, "lab-locked", read_only):
        run = mailmove(ACCOUNTS, WEBMAIL, "--move")
    told(run, "somebody on the new server holds a lock", "SHOW FULL PROCESSLIST", status=Status.HALFWAY, move=ACCOUNTS)
    held(run, mailmove, "roundcube")
    assert shell(lab, "new", ACCOUNTS_OF_NEW) == before

    holds(mailmove(ACCOUNTS, "--move"))
    webmail = Breakage(
        "new",
        read_only.command.replace("mailserver", "roundcube").replace("virtual_users", "users"),
        locked.what,
        mend=locked.mend,
    )
    with broken(lab, "lab-locked", webmail):
        run = mailmove(WEBMAIL, TRAINING, "--move")
    told(run, "somebody on the new server holds a lock", "SHOW FULL PROCESSLIST", status=Status.HALFWAY, move=WEBMAIL)
    held(run, mailmove, "training")
    assert shell(lab, "new", "mariadb -BNe 'SHOW DATABASES' | grep mailmove || true") == []

    holds(mailmove(WEBMAIL, "--move"))


def test_redis_refuses_to_start_with_the_data_in_place(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    edited = Breakage(
        "new",
        "keep /etc/redis/redis.conf; echo 'maxmemory lots' >> /etc/redis/redis.conf",
        "Redis was edited and not restarted",
    )
    with broken(lab, "lab-redis", edited):
        run = mailmove(TRAINING, CERTIFICATES, "--move")
        told(
            run,
            "Redis on the new server does not start",
            "journalctl -u redis-server",
            status=Status.HALFWAY,
            move=TRAINING,
        )
        held(run, mailmove, "certificates")
        run = mailmove(TRAINING, CERTIFICATES, "--move")  # not mended yet
        told(run, "systemctl status redis-server rspamd on the new server", status=Status.HALFWAY, move=TRAINING)
        held(run, mailmove, "certificates")

    shell(lab, "new", "systemctl reset-failed redis-server; systemctl start redis-server")
    holds(mailmove(TRAINING, "--move"))


@pytest.mark.parametrize(
    "damage",
    [
        "head -c 300 privkey1.pem > /root/part; cat /root/part > privkey1.pem; rm /root/part",
        "head -c 1500 fullchain1.pem > /root/part; cat /root/part > fullchain1.pem; rm /root/part",
        "openssl genrsa -out privkey1.pem 2048",
    ],
    ids=["half a key", "half a chain", "another key"],
)
def test_a_certificate_half_copied_is_found_and_copied_again(
    lab: Lab, mailmove: Mailmove, traffic: Traffic, damage: str
) -> None:
    holds(mailmove(CERTIFICATES, "--move"))
    before = shell(lab, "new", CERTIFICATE_FILES)
    shell(lab, "new", f"set -e; cd /etc/letsencrypt/archive/mail.example.org; {damage}")
    assert shell(lab, "new", CERTIFICATE_FILES) != before

    run = mailmove(CERTIFICATES, "--move")

    holds(run)
    assert "no longer holds; doing it again" in run.output
    assert shell(lab, "new", CERTIFICATE_FILES) == before
    assert shell(lab, "new", "systemctl is-active postfix dovecot apache2") == ["active"] * 3


def test_the_first_copy_is_cut_off_and_finds_no_room(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    shell(lab, "new", SMALL_DISK)
    lab.settings_file.write_text(lab.settings_file.read_text() + WAIVED)

    faults = (
        ("old", CUT_SSH, "true", ("look at old's /var/log/auth.log",)),
        ("new", f"mount -o remount,size=$(({USED_BYTES} + 1000000)) /var/vmail", ROOM, ("No space left", "df -h")),
        ("new", f"mount -o remount,nr_inodes=$(({USED_INODES} + 100)) /var/vmail", ROOM, ("No space left", "df -i")),
    )
    for host, fault, mended, words in faults:
        with settings(lab, SLOW), meanwhile(pulling(lab), on(lab, host, fault)):
            run = mailmove(HOT, WAITED, FREEZE, "--move")
        told(run, *words, status=Status.HALFWAY, move=HOT)
        held(run, mailmove, "freeze")
        assert shell(
            lab, "old", "systemctl is-active postfix dovecot; grep -c rrsync ~/.ssh/authorized_keys || true"
        ) == [
            *("active", "active"),
            "0",
        ]
        shell(lab, host, mended)

    with settings(lab, SLOW), meanwhile(pulling(lab), lambda: network_dead(lab, 60)):
        run = mailmove(HOT, "--move")
    if run.status:  # whether ssh gives up within that minute is a matter of luck
        told(run, "look at", status=Status.HALFWAY, move=HOT)
    holds(mailmove(HOT, WAITED, "--move"))


def test_the_clock_of_new_is_ten_minutes_off_at_the_gate(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    fast = BREAKAGES["clock-fast"]
    ten_minutes = Breakage(fast.host, fast.command.replace("+ 90", "+ 600"), "the clock is ten minutes fast")
    assert ten_minutes.command != fast.command
    with broken(lab, "lab-clock", ten_minutes):
        run = mailmove(MACHINE, FREEZE, "--move")

    assert run.status == Status.FAILED, run.bad()
    assert "clock of the new server against this machine's" in run.bad()
    assert "timedatectl" in run.bad()
    held(run, mailmove, "freeze")
    holds(mailmove(MACHINE, "--move"))


def test_old_comes_back_from_a_reboot_with_everything_enabled(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    shell(lab, "old", LARGE_LETTERS.replace("$1", "late"))  # for the last copy
    holds(mailmove(FREEZE, CHANGES, "--move"))
    old = lab.machines["old"]
    old.kill()
    lab.up()
    assert shell(lab, "old", "systemctl is-active dovecot.service dovecot.socket || true") == ["inactive", "inactive"]

    shell(lab, "old", "systemctl unmask dovecot.service dovecot.socket; systemctl enable dovecot.service")
    old.kill()
    lab.up()
    assert shell(lab, "old", "systemctl is-active dovecot.service") == ["active"]
    shell(lab, "old", LATE_LETTER)  # somebody has used the moment

    run = mailmove(COLD, NET, "--move")
    told(run, "(old)", "dovecot.service: active, enabled", "features/3_cutover --move", status=Status.FAILED, move=COLD)
    held(run, mailmove, "safety_net")

    run = mailmove(FREEZE, CHANGES, "--move")
    holds(run)
    assert "no longer holds; doing it again" in run.output
    assert shell(lab, "old", "systemctl is-active dovecot.service dovecot.socket || true") == ["inactive", "inactive"]


def test_the_last_copy_is_cut_off_finds_no_room_and_loses_the_new_server(
    lab: Lab, mailmove: Mailmove, traffic: Traffic
) -> None:
    full = f"mount -o remount,size=$(({USED_BYTES} + 1000000)) /var/vmail"
    faults = (
        (on(lab, "old", CUT_SSH), ("old's /var/log/auth.log",), lambda: None),
        (on(lab, "new", full), ("No space left", "df -h"), on(lab, "new", f"{ROOM}\n{ONTO_A_LARGE_DISK}")),
        (lab.machines["new"].kill, ("the new server", "cannot be reached by ssh"), lab.up),
    )
    for fault, words, mended in faults:
        shell(lab, "new", GONE)  # the stop itself has fetched what came late: this is what the last copy has to do
        with settings(lab, SLOW), meanwhile(pulling(lab), fault):
            run = mailmove(COLD, NET, START, "--move")
        told(run, *words, status=Status.HALFWAY, move=COLD)
        held(run, mailmove, "safety_net")
        held(run, mailmove, "start")
        mended()
        stopped = shell(lab, "new", "systemctl is-active postfix.service dovecot.service dovecot.socket || true")
        assert stopped == ["inactive"] * 3

    holds(mailmove(COLD, "--move"))
    assert shell(lab, "old", "grep -c rrsync ~/.ssh/authorized_keys || true") == ["0"]
    assert shell(lab, "new", "grep -rl 'Message-ID: <late@lab>' /var/vmail/example.org/john | wc -l") == ["1"]


def test_a_name_server_refuses_or_stays_behind_at_the_switch(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    holds(mailmove(NET, START, "--move"))
    with broken(lab, "updates-refused"):
        run = mailmove(SWITCH, FORWARD, "--move")
    told(run, "xn--bcher-kva.example", "key", status=Status.FAILED, move=SWITCH)
    held(run, mailmove, "forward")

    with broken(lab, "secondary-dns-old-zone"):
        run = mailmove(SWITCH, FORWARD, "--move")
    told(run, "not every name server gives it", "look at the transfer", status=Status.HALFWAY, move=SWITCH)
    held(run, mailmove, "forward")

    for _ in Deadline(60):  # a resolver knows what the one that was behind told it, for as long as that one said
        run = mailmove(SWITCH, FORWARD, "--move")
        if run.status == Status.HOLDS:
            break
    holds(run)
    traffic.stop()
    count = traffic.count()
    assert (count.lost, count.doubled, count.strayed) == ([], [], [])
    assert count.sent > 60


def test_the_way_back_waits_for_a_name_server_that_refuses(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    traffic.start()
    shell(lab, "new", LARGE_LETTERS.replace("$1", "new"))
    with broken(lab, "updates-refused"):
        run = mailmove("features", "--undo")
    told(run, "xn--bcher-kva.example", "key", status=Status.HALFWAY, move=SWITCH, back=True)
    waits(run, mailmove, "start")
    assert shell(lab, "new", "systemctl is-active postfix dovecot") == ["active", "active"]


def test_nothing_is_taken_back_without_the_accounts_of_old(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    stopped = Breakage("old", "systemctl stop mariadb", "MariaDB is stopped", mend="systemctl start mariadb")
    locked = Breakage(
        "old",
        "systemd-run --quiet --unit=lab-backup mariadb mailserver -e 'LOCK TABLES virtual_users WRITE; DO SLEEP(600)'",
        "somebody holds a lock on a table",
        mend="systemctl stop lab-backup",
    )
    for fault, words in ((stopped, "MariaDB on the old server does not answer"), (locked, "holds a lock")):
        with broken(lab, "lab-accounts", fault):
            run = mailmove("features", "--undo")
        assert run.status == Status.REFUSED, run.output[-3000:]
        assert words in run.output and "hint: " in run.output and "Traceback" not in run.output, run.output[-3000:]
        assert mailmove.events("start")[-1] == "proved"


def test_mail_on_its_way_back_finds_no_room_is_cut_off_and_old_loses_its_database(
    lab: Lab, mailmove: Mailmove, traffic: Traffic
) -> None:
    def brought_back() -> int:
        return len(shell(lab, "old", LARGE_AND_NEW))

    shell(lab, "old", ONTO_A_SMALL_DISK)
    shell(lab, "old", f"mount -o remount,size=$(({USED_BYTES} + 5000000)) /var/vmail")
    run = mailmove("features", "--undo")
    told(run, "on the old server", "No space left", "df -h", status=Status.HALFWAY, move=START, back=True)
    waits(run, mailmove, "freeze")
    assert 0 <= brought_back() < 12
    assert shell(lab, "old", "find /var/vmail -path '*/tmp/*' -size +100k; systemctl is-active dovecot || true") == [
        "inactive"
    ]
    shell(lab, "old", f"{ROOM}\ntouch /root/lab-large")

    with meanwhile(again(mailmove, "start", "undoing"), on(lab, "old", CUT_CARRYING)):
        run = mailmove("features", "--undo")
    told(
        run,
        "the connection to the old server",
        "broke",
        "/var/log/auth.log",
        status=Status.HALFWAY,
        move=START,
        back=True,
    )
    waits(run, mailmove, "freeze")

    def cut_new_off() -> object:
        return lab.machines["new"].inside(["sh", "-c", CUT_FOR_A_WHILE])

    with meanwhile(again(mailmove, "start", "undoing"), cut_new_off):
        run = mailmove("features", "--undo")
    told(
        run,
        "the new server",
        "Connection",
        status=Status.HALFWAY,
        move=START,
        back=True,
    )
    waits(run, mailmove, "freeze")

    with meanwhile(again(mailmove, "start", "undoing"), on(lab, "old", "systemctl stop mariadb")):
        run = mailmove("features", "--undo")
    told(run, "MariaDB on the old server does not answer", status=Status.HALFWAY, move=START, back=True)
    waits(run, mailmove, "freeze")
    shell(lab, "old", "systemctl start mariadb")


def test_nobody_comes_between_and_a_table_locked_leaves_nothing_half_done(
    lab: Lab, mailmove: Mailmove, traffic: Traffic, tmp_path: Path
) -> None:
    locked = Breakage(
        "new",
        "systemd-run --quiet --unit=lab-backup mariadb mailserver -e 'LOCK TABLES virtual_users READ; DO SLEEP(600)'",
        "somebody holds a lock on a table",
        mend="systemctl stop lab-backup",
    )

    def called(command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env=environment()
        )

    def others() -> None:
        for direction in ("--move", "--undo"):
            same = called(mailmove.command("features", direction))
            other = called(from_another_laptop(lab, tmp_path / "laptop", "features", direction))
            for said, words in (
                (same, "at work with this journal"),
                (other, "another run of mailmove is at work on the"),
            ):
                assert said.returncode == Status.REFUSED, said.stdout[-3000:] + said.stderr
                assert words in said.stderr and "hint: " in said.stderr, said.stderr
                assert str(lab.home) in said.stderr, said.stderr
        looking = called(from_another_laptop(lab, tmp_path / "laptop", MACHINE))
        assert looking.returncode == Status.REFUSED, looking.stdout[-3000:] + looking.stderr

    undone = mailmove.events("start").count("undoing")
    with broken(lab, "lab-locked", locked), meanwhile(again(mailmove, "start", "undoing"), others):
        run = mailmove("features", "--undo")
    told(run, "somebody on the new server holds a lock", status=Status.HALFWAY, move=ACCOUNTS, back=True)
    assert mailmove.events("start").count("undoing") == undone + 1
    assert mailmove.events("freeze")[-1] == "undone"
    assert shell(lab, "old", "systemctl is-active postfix dovecot") == ["active", "active"]
    assert shell(lab, "new", "mariadb -BNe 'SHOW DATABASES' | grep mailmove || true") == []
    # As many letters at once as the database had connections for, then as before
    assert shell(
        lab, "old", "grep -c ^default_process_limit /var/backups/mailmove/postfix-freeze-pace/main.cf || true"
    ) == ["0"]
    assert shell(lab, "old", "postconf -n default_process_limit") == []
    assert leftovers.at_work(lab) == []


def test_all_of_it_is_taken_back_at_last(lab: Lab, mailmove: Mailmove, traffic: Traffic) -> None:
    holds(mailmove("features", "--undo"))
    traffic.stop()
    time.sleep(60)  # as long as Dovecot waits for its database, when all that had waited comes at once
    shell(lab, "old", "postqueue -f")

    count = traffic.count("old")
    # What its owner deleted on new is on old still: mail there is never deleted
    strayed = [each for each in count.strayed if "its owner had deleted it" not in each]
    assert (count.lost, count.doubled, strayed) == ([], [], [])
    assert count.sent > 60
    assert sorted(shell(lab, "old", LARGE_AND_NEW)) == sorted(f"Message-ID: <large-{n}-new@lab>" for n in range(1, 13))
    assert shell(lab, "old", "systemctl is-active postfix dovecot") == ["active", "active"]
    assert shell(lab, "new", "mariadb -BNe 'SHOW DATABASES' | grep mailmove || true") == []
