"""Which services must run for a scenario to be looked at: without them it could only say once more that they do not."""

from __future__ import annotations

from collections.abc import Collection

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
    said = server.run("systemctl", "show", "--property=Id,LoadState,ActiveState", *units)
    found = []
    for block in said.out.strip().split("\n\n"):
        state = dict(line.partition("=")[::2] for line in block.splitlines())
        there = state.get("LoadState") in ("loaded", "masked")
        if there and state.get("ActiveState") in ("inactive", "failed", "deactivating"):
            found.append(state["Id"].removesuffix(".service"))
    return sorted(set(found))
