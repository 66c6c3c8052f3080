"""`pytest features/` looks, and touches nothing."""

import subprocess
from pathlib import Path

import pytest

from mailmove.collect import all_places
from mailmove.lab.lab import Lab
from tests.lab.conftest import ROOT, Mailmove

# What lives by itself, mail server or not: logs, sockets, caches of daemons. Databases are compared as dumps.
RESTLESS = [
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/root/.cache"),
    *("/var/lib/mysql", "/var/lib/redis", "/var/lib/rspamd", "/var/lib/systemd", "/var/lib/dovecot"),
    *("/var/lib/php/sessions", "/var/lib/roundcube/temp", "/var/lib/postfix"),
    *("/var/spool/rsyslog", "/var/spool/postfix/pid", "/var/spool/postfix/dev"),
]

PRINT = f"""
set -e
cd /
find / -xdev \\( {" -o ".join(f"-path {path}" for path in RESTLESS)} \\) -prune -o \\
    -type f -printf '%m %u %g %T@ ' -exec sha256sum {{}} \\; -o -type l -printf '%p -> %l\\n' | sort
"""
DUMP = r"""
for database in mailserver roundcube; do
    mysqldump --skip-dump-date --skip-comments --single-transaction --ignore-table=$database.session $database \
        | sed -E 's/ AUTO_INCREMENT=[0-9]+//'
done
"""


def shell(lab: Lab, host: str, script: str) -> list[str]:
    done = subprocess.run(
        lab.ssh(host, "sh -s"), input=script, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def differences(before: list[str], after: list[str]) -> list[str]:
    return [f"- {line}" for line in sorted(set(before) - set(after))] + [
        f"+ {line}" for line in sorted(set(after) - set(before))
    ]


@pytest.mark.timeout(1200)
def test_verify_leaves_both_servers_as_they_were(lab: Lab, mailmove: Mailmove) -> None:
    def state(host: str) -> list[str]:
        return shell(lab, host, PRINT) + shell(lab, host, DUMP)

    before = {host: state(host) for host in ("old", "new")}

    run = mailmove("features")

    assert run.status == 0, run.bad()
    for host in ("old", "new"):
        assert differences(before[host], state(host)) == []

    outcomes = run.outcomes()
    forward = [place for place in all_places(ROOT / "features") if not place.is_undo]
    assert sorted(outcomes) == sorted(place.name for place in forward)
    assert {outcomes[place.name] for place in forward if place.is_move} == {"planned"}


def test_the_junit_file_and_the_report_agree(mailmove: Mailmove, tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    run = mailmove("features/1_verify/10_machine.feature", f"--junitxml={junit}")

    assert run.status == 0, run.bad()
    assert junit.read_text().count("<testcase ") == len(run.outcomes())
