"""A login."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Account:
    """A mailbox one can log in to. The password never shows in a repr.

    That of an ``exposed`` account may be read by whoever is in between: it opens nothing, or nothing any more in a
    moment. Only such a one is sent where nobody had to prove who they are.
    """

    email: str
    password: str = field(repr=False)
    exposed: bool = False

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]


PROBE_DOMAIN = "probe.mailmove.invalid"  # RFC 2606: nobody's
PROBE_PREFIX = "mailmove-probe-"  # of local parts in real domains; comparisons leave these out


def is_probe(email: str) -> bool:
    """Whether an address is mailmove's own, not a person's; however it is written."""
    email = email.lower()
    return email.startswith(PROBE_PREFIX) or email.endswith("@" + PROBE_DOMAIN) or email == PROBE_DOMAIN
