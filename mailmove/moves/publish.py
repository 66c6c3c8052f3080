"""Changing records in their zones: by signed updates, or by the admin's own hands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from mailmove.clients.dns import Change, Question, Reply, load_key
from mailmove.errors import MailmoveError
from mailmove.moves.base import Action, Context
from mailmove.routing import dns_of

SERVERS_S = 180  # a provider's own secondaries may take minutes
_PAUSES = ((2, 0.25), (60, 1.0), (float("inf"), 15.0))
"""Until so many seconds have gone, so long a pause: an update is seen at once, a person at work now and then."""

Good = Callable[[Change, Reply], bool]
"""Whether a server's reply is what the change asks for."""


def same_values(change: Change, reply: Reply) -> bool:
    """The records are as planned, whatever their TTL."""
    return reply.told and reply.values == change.after


def same_or_shorter(change: Change, reply: Reply) -> bool:
    """The TTL is as planned or lower."""
    return reply.told and (reply.records is None or reply.records.ttl <= change.ttl)


def same_ttl(change: Change, reply: Reply) -> bool:
    """The TTL is as planned."""
    return reply.told and (reply.records is None or reply.records.ttl == change.ttl)


def publish(context: Context, changes: Sequence[Change], good: Good) -> None:
    """Make the changes, each zone's all or none, and return when every authoritative server gives them.

    Each change is made only if the zone still holds what it was planned for. Raises MailmoveError, naming servers
    and records, when a zone does not take it or a server does not follow in time.
    """
    if not changes:
        return
    if context.migration.settings.dns.update == "manual":
        _by_hand(context, changes, good)
        return
    key = load_key(context.migration.settings.dns, context.migration.directory)
    dns = dns_of(context.migration)
    for name, together in by_zone(changes).items():
        zone = dns.zone_of(name)
        if zone is None:
            names = ", ".join(c.name for c in together)
            raise MailmoveError(f"{names}: there is no zone for it", "look at the domain's delegation")
        server = dns.update(zone, together, key)
        context.progress.say(f"{name}: {len(together)} set{'s' * (len(together) != 1)} of records changed at {server}")
    behind = _wait(context, changes, good, SERVERS_S)
    if behind:
        raise MailmoveError(
            f"the zones are changed, but after {SERVERS_S} s not every name server gives it:\n" + "\n".join(behind),
            "look at the transfer to these servers; then run it again",
        )


def _by_hand(context: Context, changes: Sequence[Change], good: Good) -> None:
    wait_s = context.migration.settings.dns.manual_wait
    lines = zone_lines(changes)
    context.progress.say("Please set these records in your zones now:\n" + "\n".join(lines))
    behind = _wait(context, changes, good, wait_s)
    if behind:
        raise MailmoveError(
            f"within {wait_s:.0f} s (dns.manual_wait) these records were not seen at every name server:\n"
            + "\n".join(lines) + "\nseen instead:\n" + "\n".join(behind),
            "set them where you manage the zones, then run it again: it goes on from there",
        )  # fmt: skip


def _wait(context: Context, changes: Sequence[Change], good: Good, wait_s: float) -> list[str]:
    """Until every server says it; returns the servers that do not, with what they say."""
    dns = dns_of(context.migration)
    behind: list[str] = []
    for waited in _patiently(wait_s):
        replies: dict[Question, list[Reply]] = dns.everywhere((c.name, c.kind) for c in changes)
        behind = [
            f"{c.name} {c.kind} at {r.server}: {r.words}"
            for c in changes for r in replies[c.name, c.kind] if not good(c, r)
        ]  # fmt: skip
        if not behind:
            return []
        context.progress.at(f"waiting for the name servers: {behind[0]}", waited, wait_s)
    return behind


def _patiently(wait_s: float) -> Iterator[float]:
    begin = time.monotonic()
    while True:
        waited = time.monotonic() - begin
        yield waited
        left = begin + wait_s - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(next(pause for until, pause in _PAUSES if waited < until), left))


def by_zone(changes: Sequence[Change]) -> dict[str, list[Change]]:
    """The changes of each zone."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(change.zone, []).append(change)
    return found


def zone_lines(changes: Sequence[Change]) -> list[str]:
    """The records as they are to be, as lines of BIND zone files, each zone under its origin."""
    lines = []
    for zone, together in by_zone(changes).items():
        lines += [f"; zone {zone}", *(line for change in together for line in change.lines)]
    return lines


def actions(context: Context, changes: Sequence[Change], what: str) -> list[Action]:
    """The changes as a plan: what nsupdate would be told, or the lines to set by hand."""
    if context.migration.settings.dns.update == "manual":
        hand = "set by hand; mailmove prints this again, and waits until every name server gives it"
        return [
            Action("dns", "\n".join(zone_lines(together)), f"{what} ({hand})") for together in by_zone(changes).values()
        ]
    return [Action("dns", nsupdate(zone, together), what) for zone, together in by_zone(changes).items()]


def nsupdate(zone: str, changes: Sequence[Change]) -> str:
    """The update in nsupdate's words: first what must still hold, then what changes."""
    lines = [f"zone {zone}."]
    for c in changes:
        name = f"{c.name}."
        nothing = [f"prereq nxrrset {name} {c.kind}"]
        lines += [f"prereq yxrrset {name} {c.kind} {value}" for value in c.before] or nothing
    for c in changes:
        lines += [f"update delete {c.name}. {c.kind}"]
        lines += [f"update add {c.name}. {c.ttl} {c.kind} {value}" for value in c.after]
    return "\n".join([*lines, "send"])
