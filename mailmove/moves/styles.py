"""Probe accounts whose passwords are hashed in the ways that people's are, by the old server's own Dovecot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from mailmove.clients.account import Account
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


# Lines of scheme, name and password, with tabs between; prints the hash of each, or an empty line. It asks twice; what
# it is told must not be on a command line.
_HASH = """
while IFS='\t' read -r scheme name password; do
    hash=$(printf '%s\\n%s\\n' "$password" "$password" | doveadm pw -s "$scheme" -u "$name" 2>/dev/null | tail -n 1)
    printf '%s\\n' "$hash"
done
"""


def accounts_hashed(probes: ProbeAccounts, old: Server, ways: Iterable[str]) -> dict[str, Account | None]:
    """For each way an account of ours on the new server whose hash was made so by old; None if old's Dovecot cannot."""
    wanted = {
        way: probes.reserve("hashed-" + hashlib.sha256(way.encode()).hexdigest()[:10])
        for way in ways
        if scheme_for(way)
    }
    lines = "".join(f"{scheme_for(way)}\t{each.email}\t{each.password}\n" for way, each in wanted.items())
    said = old.sh(_HASH, stdin=lines, check=True).out.split("\n") if wanted else []
    made = {way: stored for way, stored in zip(wanted, said, strict=False) if "}" in stored}
    probes.store({wanted[way]: in_the_way_of(way, stored) for way, stored in made.items()})
    return {way: wanted[way] if way in made else None for way in ways}
