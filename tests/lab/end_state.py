"""What a journey leaves behind on the servers, so that two journeys can be compared. Mail is counted elsewhere, letter by letter."""

from __future__ import annotations

from mailmove.lab.lab import Lab
from mailmove.lab.plan import HOSTED_DOMAINS
from tests.lab.test_10_verify import DUMP, differences, shell

# Every start of a lab has a CA of its own: of what it signs the names are compared, not the bytes. A last copy that finds nothing to do
# makes no place for what it replaces; one that was killed and is made again does.
FILES = r"""
cd /
wanted() { find etc root usr/local var/spool/cron -xdev -path root/.cache -prune -o "$@"; }
wanted -printf '%y %m %u %g %p %l\n' | sort | grep -v ' etc/ssl/certs/'
wanted -type f -exec sha256sum {} + | sort -k 2 | grep -v 'etc/letsencrypt\|ca-certificates\|etc/ssl\|mailmove-old-name'
ls /var/backups/mailmove 2>/dev/null | grep -vx mailboxes
true
"""
UNITS = r"""
systemctl list-unit-files --no-legend --type=service,socket,timer | awk '{print $1, $2}' | sort
for unit in postfix dovecot.service dovecot.socket mariadb redis-server rspamd apache2 cron certbot.timer; do
    echo "$unit $(systemctl is-active "$unit")"
done
postconf -n; doveconf -n | grep -v '^#'
"""
RECORDS = r"""
for domain in %s; do
    for name in "$domain" "mail.$domain" "mail2.$domain"; do
        for type in A AAAA MX TXT; do dig +noall +answer @203.0.113.11 "$name" "$type"; done
    done
done | tr -s '\t ' ' ' | sort
"""


def of(lab: Lab) -> dict[str, list[str]]:
    """Lines by what they tell: files, services and settings of both servers, new's databases, the records of every domain."""
    scripts = {"files": FILES, "services and settings": UNITS}
    state = {
        f"{what} of {host}": shell(lab, host, script) for host in ("old", "new") for what, script in scripts.items()
    }
    state["databases of new"] = shell(lab, "new", DUMP)
    state["records in DNS"] = shell(lab, "world", RECORDS % " ".join(HOSTED_DOMAINS))
    return state


def differing(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """What is not the same, line by line."""
    return [f"{what}: {line}" for what in one for line in differences(one[what], other[what])]
