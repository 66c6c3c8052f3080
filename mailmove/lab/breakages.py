"""Ways to break a server of the lab as a real mishap would. `mailmove lab reset` heals all of them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailmove.lab.errors import LabError

if TYPE_CHECKING:
    from mailmove.lab.lab import Lab


@dataclass(frozen=True)
class Breakage:
    """Something that can go wrong: on which `host`, by which shell `command`, and `what` it is in a few words."""

    host: str
    command: str
    what: str


BREAKAGES = {
    "dovecot-stopped": Breakage("new", "systemctl stop dovecot.socket dovecot.service", "Dovecot does not run"),
    "redis-stopped": Breakage("new", "systemctl stop redis-server", "Redis does not run: rspamd forgets"),
    "wrong-certificate": Breakage(
        "new",
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=wrong.example -keyout /etc/ssl/private/wrong.key"
        " -out /etc/ssl/certs/wrong.pem"
        " && postconf smtpd_tls_cert_file=/etc/ssl/certs/wrong.pem smtpd_tls_key_file=/etc/ssl/private/wrong.key"
        " && systemctl reload postfix",
        "Postfix shows a self-signed certificate of another name",
    ),
    "mydestination-has-domain": Breakage(
        "new",
        "postconf 'mydestination=localhost, example.org' && systemctl reload postfix",
        "a virtual domain stands in mydestination too: its mail goes to system users",
    ),
    "mailbox-map-password": Breakage(
        "new",
        "sed -i 's/^password *=.*/password = wrong/' /etc/postfix/mysql-virtual-mailbox-maps.cf"
        " && systemctl reload postfix",
        "the database password in Postfix' mailbox map is wrong",
    ),
    "no-spam-filter": Breakage(
        "new", "postconf smtpd_milters= non_smtpd_milters= && systemctl reload postfix", "Postfix asks rspamd no more"
    ),
    "old-postfix-stopped": Breakage("old", "systemctl stop postfix", "the old server takes no mail"),
    "secondary-dns-stopped": Breakage("world", "systemctl stop named-ns2", "one of two name servers does not answer"),
}


def find(name: str) -> Breakage:
    """The breakage of this name; LabError with the nearest names if there is none."""
    if name in BREAKAGES:
        return BREAKAGES[name]
    near = difflib.get_close_matches(name, BREAKAGES, n=1, cutoff=0.4)
    raise LabError(
        f"no breakage is called {name!r}",
        f"did you mean {near[0]!r}? " * bool(near) + "`mailmove lab break` lists them all",
    )


def perform(lab: Lab, breakage: Breakage) -> None:
    """Break it. Raises LabError if the command fails: then nothing can be said about the server."""
    done = lab.machines[breakage.host].inside(["sh", "-c", breakage.command])
    if done.returncode:
        raise LabError(
            f"could not break {breakage.host} ({breakage.what}): {done.stderr.strip() or done.stdout.strip()}",
            f"look at it with `mailmove lab shell {breakage.host}`",
        )
