"""What a server's Postfix says of itself: its queue, its services, its settings. Asks only, changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailmove.clients.account import is_probe
from mailmove.errors import ServerError
from mailmove.server import Server

_LOOPBACK = re.compile(r"^(127\.|localhost$|\[?::1\]?$)")
_PORTS = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}


@dataclass(frozen=True)
class Recipient:
    """One recipient of a queued letter, and why it was not delivered yet (empty: not tried)."""

    address: str
    reason: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2].lower()


@dataclass(frozen=True)
class Queued:
    """A letter in a queue. ``arrived`` is in seconds since 1970 by the server's clock, ``size`` in bytes."""

    id: str
    queue: str  # maildrop, incoming, active, deferred, hold
    arrived: float
    size: int
    sender: str
    recipients: tuple[Recipient, ...]

    @property
    def waits(self) -> bool:
        """Whether Postfix is not at work on it just now."""
        return self.queue in ("deferred", "hold")

    @property
    def is_ours(self) -> bool:
        """Whether it concerns only mailmove's own probe accounts."""
        return all(is_probe(each.address) for each in self.recipients)

    def to(self, domains: Iterable[str]) -> list[Recipient]:
        """Its recipients in any of these domains."""
        wanted = {domain.lower() for domain in domains}
        return [each for each in self.recipients if each.domain in wanted]

    def words(self, now: float) -> str:
        """The letter for a person: id, age, sender, recipients, cause."""
        people = ", ".join(f"<{each.address}>" for each in self.recipients)
        reasons = sorted({each.reason for each in self.recipients if each.reason})
        untried = {"hold": "on hold", "maildrop": "not picked up yet"}.get(self.queue, "no attempt yet")
        cause = "; ".join(reasons) or untried
        return f"{self.id} in {self.queue}, {age(now - self.arrived)} old, <{self.sender}> to {people}: {cause}"


def age(seconds: float) -> str:
    """A length of time for a person."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def parse_queue(listing: str) -> list[Queued]:
    """Letters from ``postqueue -j``: one JSON object a line (postqueue(1))."""
    found = []
    for line in listing.splitlines():
        if not line.strip():
            continue
        letter = json.loads(line)
        recipients = tuple(Recipient(each["address"], each.get("delay_reason", "")) for each in letter["recipients"])
        found.append(
            Queued(
                letter["queue_id"],
                letter["queue_name"],
                float(letter["arrival_time"]),
                int(letter["message_size"]),
                letter["sender"],
                recipients,
            )
        )
    return found


def queue(server: Server) -> list[Queued]:
    """All letters in the server's queue, also when its Postfix is stopped. Raises ServerError."""
    answer = server.run("postqueue", "-j")
    if not answer.ok:
        raise ServerError(
            f"the queue of the {server.role} server cannot be listed: {answer.text[:500]}", "try postqueue -p there"
        )
    return parse_queue(answer.out)


@dataclass(frozen=True)
class Service:
    """A line of master.cf."""

    name: str  # smtp, submission, 127.0.0.1:10025
    kind: str  # inet, unix, pass, fifo
    command: str  # smtpd, postscreen, lmtp …

    @property
    def id(self) -> str:
        return f"{self.name}/{self.kind}"

    @property
    def host(self) -> str:
        """The address it listens at; empty for all."""
        return self.name.rpartition(":")[0]

    @property
    def port(self) -> int:
        """0 if it is a name unknown to us."""
        word = self.name.rpartition(":")[2]
        return int(word) if word.isdigit() else _PORTS.get(word, 0)

    @property
    def takes_mail_from_outside(self) -> bool:
        """Whether the network can hand it mail. A loopback listener is a content filter's way back, not a door."""
        return self.kind == "inet" and self.command in ("smtpd", "postscreen") and not _LOOPBACK.match(self.host)


def parse_services(text: str) -> list[Service]:
    """master.cf as ``postconf -M`` prints it: a service a line, perhaps folded."""
    lines = (line.split() for line in text.splitlines() if line and not line[0].isspace())
    return [Service(words[0], words[1], words[7]) for words in lines if len(words) >= 8]


def services(server: Server) -> list[Service]:
    """The services of the server's master.cf."""
    return parse_services(server.run("postconf", "-M", check=True).out)


def closing(every: list[Service]) -> str | None:
    """The ``master_service_disable`` that closes all doors to the outside and nothing else; None if there is no such.

    A name with a colon cannot stand in that list: Postfix takes it for a lookup table.
    """
    doors = [s for s in every if s.takes_mail_from_outside]
    others = [s for s in every if s.kind == "inet" and not s.takes_mail_from_outside]
    if all(":" not in s.name for s in doors):
        return " ".join(s.id for s in doors)
    if all(":" not in s.name for s in others):
        return " ".join([*(f"!{s.id}" for s in others), "inet"])
    return None


def explicit(server: Server, names: Iterable[str]) -> dict[str, str]:
    """Those of the settings that stand in main.cf, as written there (unexpanded)."""
    return {k: v for k, v in parse_settings(server.run("postconf", "-n", check=True).out).items() if k in set(names)}


def expanded(server: Server, *names: str) -> dict[str, str]:
    """Settings with what stands for other settings filled in, defaults where main.cf says nothing."""
    return parse_settings(server.run("postconf", "-x", *names, check=True).out)


def parse_settings(text: str) -> dict[str, str]:
    """``name = value`` lines of postconf."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, sep, value in pairs if sep}


def joined(*lists: str) -> str:
    """Lookup tables or lists of Postfix one after another, without empty ones and doubles."""
    return ", ".join(dict.fromkeys(each for value in lists if (each := value.strip(" ,"))))


def literal_host(address: str) -> str:
    """An address as Postfix wants a next hop: no MX lookup, IPv6 with its tag."""
    return f"[ipv6:{address}]" if ":" in address else f"[{address}]"


def expanding(aliases: Iterable[Iterable[str]]) -> dict[str, set[str]]:
    """Addresses that expand to anything but themselves: source -> destinations (from [source, destination] rows)."""
    found: dict[str, set[str]] = {}
    for source, destination in aliases:
        found.setdefault(source.lower(), set()).update(d.strip().lower() for d in destination.split(",") if d.strip())
    return {source: targets for source, targets in found.items() if targets != {source}}


def would_double(letters: Iterable[Queued], aliases: Iterable[Iterable[str]], before: float) -> list[Queued]:
    """Waiting letters whose recipients were expanded already (queued before ``before``) and would expand once more.

    ``sybil -> sybil, boss``: a letter that waits for sybil has perhaps reached the boss already; handed to a server
    that expands again, the boss gets it twice.
    """
    again: Mapping[str, set[str]] = expanding(aliases)
    return [q for q in letters if q.arrived < before and any(r.address.lower() in again for r in q.recipients)]
