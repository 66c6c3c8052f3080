# ruff: noqa: S608 -- every value goes through sql.literal; the rest is constant
"""Probe accounts whose passwords are hashed in the ways that people's are, by the old server's own Dovecot."""

from __future__ import annotations

import hashlib
import re

from mailmove import sql
from mailmove.clients.account import Account, is_probe
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server

CRYPT = {
    "$1$": "MD5-CRYPT",
    "$2a$": "BLF-CRYPT",
    "$2b$": "BLF-CRYPT",
    "$2y$": "BLF-CRYPT",
    "$5$": "SHA256-CRYPT",
    "$6$": "SHA512-CRYPT",
}


def scheme_for(way: str) -> str:
    """Dovecot's scheme that makes hashes of a way (``{CRYPT}$2y$`` -> BLF-CRYPT); empty if none does."""
    prefix, kind = _parts(way)
    scheme = prefix.strip("{}")
    if kind:
        return CRYPT.get(kind, "" if scheme in ("", "CRYPT") else scheme)
    return scheme


def in_the_way_of(way: str, stored: str) -> str:
    """A hash as Dovecot prints it, with the prefix that people's have: none where theirs have none."""
    prefix, kind = _parts(way)
    plain = stored.partition("}")[2]
    if kind.startswith("$2") and plain.startswith("$2"):
        plain = kind + plain[len(kind) :]  # 2a, 2b and 2y are one algorithm for ASCII passwords such as ours
    return prefix + plain


def _parts(way: str) -> tuple[str, str]:
    found = re.fullmatch(r"(\{[A-Z0-9.-]+\})?(\$[0-9a-zA-Z]+\$)?", way)
    return (found[1] or "", found[2] or "") if found else ("", "")


def account_hashed(probes: ProbeAccounts, old: Server, way: str) -> Account | None:
    """An account of ours on the new server whose hash was made by old in this way; None if old's Dovecot cannot make it."""
    scheme = scheme_for(way)
    if not scheme:
        return None
    account = probes.account("hashed-" + hashlib.sha256(way.encode()).hexdigest()[:10])
    assert is_probe(account.email)
    # It asks twice; what it is told must not be on the command line.
    made = old.run("doveadm", "pw", "-s", scheme, "-u", account.email, stdin=f"{account.password}\n" * 2)
    lines = made.out.strip().splitlines()
    if not made.ok or not lines or "}" not in lines[-1]:
        return None
    stored = sql.literal(in_the_way_of(way, lines[-1]))
    sql.run(
        probes.server,
        probes.server.facts.database,
        f"UPDATE virtual_users SET password = {stored} WHERE email = {sql.literal(account.email)};",
    )
    return account
