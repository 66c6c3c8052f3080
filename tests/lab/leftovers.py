"""What mailmove made for itself on the servers and must not leave there: accounts, keys, files, databases, trust, processes."""

import subprocess

from mailmove.lab.lab import Lab

# The old name's certificate is moved like everything else: its files stay.
_LOOK = r"""
ls -d /run/mailmove* /tmp/mm-* /tmp/mailmove* /root/.ssh/*mailmove* 2>/dev/null
grep -l mailmove-pull /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys 2>/dev/null
mariadb -BNe "SELECT email FROM mailserver.virtual_users WHERE email LIKE 'mailmove-probe-%' OR email LIKE '%@probe.mailmove.invalid'"
mariadb -BNe "SHOW DATABASES" | grep mailmove
ls -d /etc/rspamd/mailmove* /etc/dovecot/conf.d/*mailmove* /etc/fail2ban/jail.d/*mailmove* 2>/dev/null | grep -v mailmove-old-name
true
"""
_AT_WORK = r"""
grep '@mailmove$' /proc/net/unix | sed 's/.*@/held for a run: @/'
pgrep -af '[m]ailmove-remote|[m]ailmove-claim|[r]sync --server|[/]run/mailmove/' | cut -c1-160
true
"""


def left(lab: Lab) -> list[str]:
    """Each with the server it is on."""
    return [*_lines(lab, _LOOK), *at_work(lab)]


def at_work(lab: Lab) -> list[str]:
    """Processes that a run left at work, or waiting."""
    return _lines(lab, _AT_WORK)


def _lines(lab: Lab, script: str) -> list[str]:
    found = []
    for host in ("old", "new"):
        said = subprocess.run(lab.ssh(host, script), capture_output=True, text=True, check=True, timeout=60)
        found += [f"{host}: {line}" for line in said.stdout.splitlines()]
    return found
