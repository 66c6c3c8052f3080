"""What mailmove made for itself on the servers and must not leave there: accounts, keys, files, databases, trust."""

import subprocess

from mailmove.lab.lab import Lab

# The old name's certificate is moved like everything else: its files stay.
_LOOK = r"""
ls -d /run/mailmove* /tmp/mm-* /tmp/mailmove* /root/.ssh/*mailmove* 2>/dev/null
grep -l mailmove-pull /root/.ssh/authorized_keys 2>/dev/null
mariadb -BNe "SELECT email FROM mailserver.virtual_users WHERE email LIKE 'mailmove-probe-%' OR email LIKE '%@probe.mailmove.invalid'"
mariadb -BNe "SHOW DATABASES" | grep mailmove
ls -d /etc/rspamd/mailmove* /etc/dovecot/conf.d/*mailmove* 2>/dev/null | grep -v mailmove-old-name
true
"""


def left(lab: Lab) -> list[str]:
    """Each with the server it is on."""
    found = []
    for host in ("old", "new"):
        said = subprocess.run(lab.ssh(host, _LOOK), capture_output=True, text=True, check=True, timeout=60)
        found += [f"{host}: {line}" for line in said.stdout.splitlines()]
    return found
