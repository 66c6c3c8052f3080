"""One server as it is compared with another, and a difference between two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailmove.parity import rules
from mailmove.parity.rules import Weight

Seen = Mapping[str, Any]
"""The JSON object of ``remote/parity.py``."""

HERE = "«this server»"
TABLE = re.compile(
    r"\b(?:proxy:)?((?:mysql|pgsql|ldap|sqlite|hash|btree|lmdb|cdb|dbm|texthash|regexp|pcre|cidr):(/[^\s,{}]+))"
)


@dataclass(frozen=True)
class Difference:
    """Something old does and new does not, or the other way round. ``name`` is how a decision calls it."""

    name: str
    old: str
    new: str
    weight: Weight
    reason: str = ""


@dataclass(frozen=True)
class Side:
    """One server: what was seen, and what is its own there."""

    seen: Seen
    names: Sequence[str] = ()  # host names and addresses of its own
    root: str = ""  # the mail root
    domains: Sequence[str] = ()  # hosted ones
    plugins: frozenset[str] = frozenset()
    protocols: Sequence[str] = ()
    mechanisms: Sequence[str] = ()
    websites: Sequence[str] = field(default=())
    dovecot: str = ""  # its version, "2.3"
    release: int = 12
    users: frozenset[str] = frozenset()  # who has a mailbox by the database, in small letters

    def plain(self, value: str) -> str:
        """A value without what is this server's own: names, addresses, mail root."""
        for name in sorted((n for n in self.names if n), key=len, reverse=True):
            value = re.sub(rf"(?<![\w.:-]){re.escape(name)}(?![\w-])", HERE, value, flags=re.I)
        if self.root:
            value = value.replace(self.root, "«mail root»")
        return " ".join(value.split())

    def setting(self, name: str) -> str:
        """The value of a Postfix setting that is in force."""
        return str(self.seen["postfix"].get(name, ""))


def judged(name: str, there: str, here: str, new: Side) -> Difference:
    """A difference with what the rules say of it; shown for a decision where they say nothing."""
    rule = rules.judge(name, new.release)
    return (
        Difference(name, there, here, rule.weight, rule.reason)
        if rule
        else Difference(name, there, here, Weight.RECOMMENDED)
    )


def listed(words: Iterable[str]) -> str:
    """The first words in their order, and how many more there are."""
    found = sorted(words)
    more = f" … and {len(found) - 8} more" if len(found) > 8 else ""
    return "; ".join(found[:8]) + more


def owned(shut: Sequence[Sequence[str]]) -> str:
    """Paths and whose they are: of what lies below a path that is named, only how much it is."""
    tops: dict[str, int] = {}
    users: dict[str, str] = {each[0]: each[1] for each in shut}
    for path in sorted(users):
        above = next((top for top in tops if path.startswith(top + "/")), path)
        tops[above] = tops.get(above, -1) + 1
    return listed(f"{top}{f' and {more} below' * bool(more)} (belongs to {users[top]})" for top, more in tops.items())
