"""Which services must run for a scenario to be looked at: without them it could only say once more that they do not."""

from __future__ import annotations

import time
from collections.abc import Collection

from checks.offers import ask
from mailmove.clients import imap
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.server import Server

UNITS = {
    "mariadb": ("mariadb.service", "mysql.service"),
    "postfix": ("postfix@-.service", "postfix.service"),
    "dovecot": ("dovecot.service",),
    "rspamd": ("rspamd.service",),
    "apache": ("apache2.service",),
}
"""The tags of features that need a service, and the units that service may be."""


def resting(server: Server, needed: Collection[str]) -> list[str]:
    """The units of the services needed that are installed and do not run, just now. Empty if they run, or are others."""
    units = [unit for service, names in UNITS.items() if service in needed for unit in names]
    if not units:
        return []
    states: dict[str, dict[str, str]] = ask(server, "units", units=units)["units"]
    found = {
        state["Id"].removesuffix(".service")
        for state in states.values()
        if state.get("LoadState") in ("loaded", "masked")
        and state.get("ActiveState") in ("inactive", "failed", "deactivating")
    }
    return sorted(found)


ANSWER_S = 8  # until Dovecot has said whether it knows somebody; without its database it takes a minute each time
AGAIN_AFTER_S = 120.0
KILLED = "137"
# doveadm waits for its answer whatever milder signal it gets
_ASK = 'timeout --signal=KILL "$1" doveadm user -u "$2" >/dev/null 2>&1; echo $?'
_dumb_since: dict[str, float] = {}  # address of a server whose Dovecot gave no answer -> when (time.monotonic)


def dumb(server: Server, needed: Collection[str]) -> bool:
    """Whether Dovecot is needed, runs, and knows nobody's name in time: every question would wait as long, and tell no more.

    Asked only after somebody's login was not answered; and again after a while.
    """
    if "dovecot" not in needed or not imap.kept_waiting(server.address):
        return False
    asked = _dumb_since.get(server.address)
    if asked is None or time.monotonic() - asked > AGAIN_AFTER_S:
        nobody = f"{PROBE_PREFIX}nobody@{PROBE_DOMAIN}"
        said = server.sh(_ASK, str(ANSWER_S), nobody, what="asking Dovecot for somebody")
        if said.out.strip() != KILLED:
            _dumb_since.pop(server.address, None)
            return False
        _dumb_since[server.address] = time.monotonic()
    return True
