"""How the world's mail finds its way: which records lead to the old server, and what the switch makes of them.

Read from the zones themselves, never from a cache. Checks ask it what leads where; the moves ask it what to change.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mailmove.clients.dns import Change, Dns, Exchanger, Records, Reply, client, exchangers, name_of
from mailmove.errors import MailmoveError
from mailmove.migration import Migration
from mailmove.server import Server

Leads = Literal["old", "new", "elsewhere", "nowhere"]

SERVICE_LABELS = ("mail", "smtp", "imap", "pop", "pop3", "webmail", "autoconfig", "autodiscover", "mx", "email")
"""Names people's programs are set to. Where they lead to the old server, they move with the mail host's name."""

# ipaddress.is_private would also call documentation addresses private, which labs use.
_INTERNAL = tuple(
    ipaddress.ip_network(n)
    for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
              "fc00::/7", "fe80::/10", "::1/128")
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One MX of a domain and where it leads. ``problem`` says what is wrong with it, empty if nothing."""

    exchanger: Exchanger
    leads: Leads
    addresses: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Route:
    """A domain's MX records. ``problem`` says why mail for it cannot be led over, empty if it can."""

    domain: str
    reply: Reply
    targets: tuple[Target, ...] = ()
    problem: str = ""
    told: bool = True  # False: the name servers did not answer, so nothing is known

    @property
    def leads(self) -> frozenset[Leads]:
        return frozenset(t.leads for t in self.targets)


@dataclass(frozen=True)
class Survey:
    """What the zones say about the way to the two servers."""

    old_addresses: frozenset[str]
    new_addresses: frozenset[str]
    new_name: str  # the new server's own name: what an MX is to say
    new_published: Mapping[str, tuple[str, ...]]  # A and AAAA -> what a name of the new server is to have
    routes: tuple[Route, ...]
    hosts: tuple[Records, ...]  # A and AAAA of every name that leads to the old server
    old_names: frozenset[str]
    zones: Mapping[str, str] = field(default_factory=dict)  # name -> zone
    untold: tuple[str, ...] = ()  # what no server of the zone would say about the old server's names

    @property
    def mx(self) -> tuple[Records, ...]:
        return tuple(r.reply.records for r in self.routes if r.reply.records)

    @property
    def problems(self) -> list[str]:
        """Why the mail of a domain cannot be led over, each naming the domain."""
        return [f"{r.domain}: {r.problem}" for r in self.routes if r.problem]


def dns_of(migration: Migration) -> Dns:
    """The DNS client this migration's settings ask for."""
    return client(migration.settings.dns.resolver)


def public(addresses: Iterable[str]) -> frozenset[str]:
    """The addresses the world can reach; all of them if none looks so (a server in a private network)."""
    every = frozenset(str(ipaddress.ip_address(a.partition("%")[0])) for a in addresses)
    outside = frozenset(a for a in every if not any(ipaddress.ip_address(a) in net for net in _INTERNAL))
    return outside or every


def addresses_of(server: Server) -> frozenset[str]:
    """The addresses at which the world reaches a server: its own, and the one ssh uses."""
    return public([*server.facts.addresses, server.address])


def survey(migration: Migration) -> Survey:
    """Ask the zones of all domains of the old server. Raises MailmoveError when DNS cannot be asked at all."""
    dns = dns_of(migration)
    old, new = addresses_of(migration.old), addresses_of(migration.new)
    new_name = own_name(migration.new)
    domains = {domain: _ascii(domain) for domain in migration.domains}
    mx = dns.current((name, "MX") for name in domains.values() if name)
    hosts = {e.host for reply in mx.values() for e in exchangers(reply.values) if e.host}
    old_names = {own_name(migration.old), migration.old.facts.fqdn.lower()}
    old_names = {n for n in old_names if "." in n}
    # A cache is good enough to find out which of the usual names there are at all.
    usual = {f"{label}.{name}" for name in domains.values() if name for label in SERVICE_LABELS}
    there = dns.resolve_all((name, kind) for name in usual for kind in ("A", "AAAA"))
    named = {q[0] for q, reply in there.items() if reply.state == "found" and (old | new) & set(reply.values)}
    asked = hosts | old_names | named | {new_name}
    zoned = dns.current((name, kind) for name in asked for kind in ("A", "AAAA", "CNAME"))
    found = _through_resolver(dns, zoned)
    routes = tuple(
        _route(domain, mx.get((name, "MX")) if name else None, found, old, new) for domain, name in domains.items()
    )
    leading = tuple(
        reply.records
        for (_, kind), reply in sorted(zoned.items())
        if kind != "CNAME" and reply.records and old & set(reply.values)
    )
    ours = old_names | {t.exchanger.host for r in routes for t in r.targets if t.leads == "old"}
    untold = [f"{name} {kind}: {r.words}" for (name, kind), r in zoned.items() if name in ours and not r.told]
    published = {kind: found[new_name, kind].values for kind in ("A", "AAAA")}
    if new_name in old_names or not any(published.values()):
        # Both servers have one name, or the new one has none in DNS yet: its own word must do.
        published = {k: tuple(sorted(a for a in new if (":" in a) == (k == "AAAA"))) for k in ("A", "AAAA")}
    names = {*domains.values(), *(r.name for r in leading)} - {""}
    zones = {name: zone.name for name in names if (zone := dns.zone_of(name))}
    return Survey(old, new, new_name, published, routes, leading, frozenset(old_names), zones, tuple(untold))


def own_name(server: Server) -> str:
    """The name a mail server gives itself in SMTP (Postfix' myhostname)."""
    return (server.setting("myhostname") or server.facts.fqdn).lower().rstrip(".")


def _ascii(domain: str) -> str:
    """The domain as DNS spells it; empty when it can be no name there."""
    try:
        return name_of(domain).to_text(omit_final_dot=True).lower()
    except MailmoveError:
        return ""


def _through_resolver(dns: Dns, found: dict[tuple[str, str], Reply]) -> dict[tuple[str, str], Reply]:
    """Names of other people's zones, and aliases, may be asked of the resolver where their servers do not tell."""
    aliases = {name for (name, kind), reply in found.items() if kind == "CNAME" and reply.state == "found"}
    again = [q for q, r in found.items() if q[1] != "CNAME" and (not r.told or q[0] in aliases)]
    return {**found, **dns.resolve_all(again)} if again else found


def _route(
    domain: str, reply: Reply | None, found: Mapping[tuple[str, str], Reply], old: frozenset[str], new: frozenset[str]
) -> Route:
    if reply is None:
        nothing = Reply("", domain, "MX", "no name", detail="it can be no name in DNS")
        return Route(domain, nothing, problem="it can be no name in DNS")
    if not reply.told:
        return Route(domain, reply, problem=f"its name servers do not tell: {reply.words}", told=False)
    if reply.state == "no name":
        return Route(domain, reply, problem="it is missing in DNS")
    if reply.state == "no record":
        return Route(domain, reply, problem="it has no MX record")
    targets = tuple(_target(e, found, old, new) for e in exchangers(reply.values))
    bad = [f"{t.exchanger.host or '.'}: {t.problem}" for t in targets if t.problem]
    leads = {t.leads for t in targets}
    if not leads & {"old", "new"}:
        where = ", ".join(f"{t.exchanger.host or '.'} ({', '.join(t.addresses) or 'no address'})" for t in targets)
        bad.append(f"its MX leads to neither server, but to {where}")
    return Route(domain, reply, targets, "; ".join(bad))


def _target(
    exchanger: Exchanger, found: Mapping[tuple[str, str], Reply], old: frozenset[str], new: frozenset[str]
) -> Target:
    host = exchanger.host
    if not host:
        return Target(exchanger, "nowhere", problem="the null MX says that the domain takes no mail (RFC 7505)")
    if is_address(host):
        return Target(exchanger, "nowhere", problem="an MX must be a name, this is an address (RFC 5321, 5.1)")
    replies = [found[host, kind] for kind in ("A", "AAAA")]
    addresses = tuple(a for reply in replies for a in reply.values)
    alias = found[host, "CNAME"]
    problem = f"an MX must not be an alias; it is one for {alias.values[0]} (RFC 2181, 10.3)" if alias.values else ""
    leads: Leads = "nowhere"
    if addresses:
        both = set(addresses)
        leads = "old" if both & old else "new" if both & new else "elsewhere"
    elif all(r.told for r in replies):
        problem = problem or "it has no address"
    else:
        problem = problem or "its address cannot be told: " + "; ".join(r.words for r in replies if not r.told)
    return Target(exchanger, leads, addresses, problem)


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def planned_changes(seen: Survey, switch: Literal["mx", "address", "both"]) -> list[Change]:
    """What the switch makes of the records, each with what stands there now; empty when all lead to the new server.

    ``mx``: the MX that lead to the old server become the new one's name, each keeping its preference; others stay.
    ``address``: the old server's addresses become the new one's, at every name that has them.
    Raises MailmoveError when that would lead mail nowhere.
    """
    if seen.untold:
        raise MailmoveError(
            "the name servers do not tell what the old server's names are: " + "; ".join(seen.untold),
            "see that they answer this machine, then run it again",
        )
    changes: list[Change] = []
    if switch in ("mx", "both") and seen.new_name not in seen.old_names:
        _new_name_must_lead_there(seen)
        for route in seen.routes:
            after = mx_after(route, seen.new_name)
            if route.reply.records and after != route.reply.values:
                changes.append(_change(seen, route.reply.records, after))
    if switch in ("address", "both"):
        for records in seen.hosts:
            after = addresses_after(records, seen.old_addresses, seen.new_published)
            changes.append(_change(seen, records, after))
        names = {r.name for r in seen.hosts}
        for name in sorted(names):
            if not any(c.after for c in changes if c.name == name and c.kind in ("A", "AAAA")):
                raise MailmoveError(
                    f"{name} would have no address after the switch: it and the new server have none of the same kind "
                    f"(new: {', '.join(sorted(seen.new_addresses))})",
                    'give the new server an address of that kind, or set dns.switch = "mx"',
                )
    if not changes and any("old" in r.leads for r in seen.routes):
        raise MailmoveError(
            f'dns.switch = "{switch}" would change nothing: both servers are called {seen.new_name}',
            'set dns.switch = "address" in mailmove.toml, or give the new server a name of its own (myhostname)',
        )
    return changes


def _new_name_must_lead_there(seen: Survey) -> None:
    published = {a for values in seen.new_published.values() for a in values}
    if not published & seen.new_addresses:
        raise MailmoveError(
            f"the new server calls itself {seen.new_name}, but that name leads to "
            f"{', '.join(sorted(published)) or 'no address'}, not to {', '.join(sorted(seen.new_addresses))}",
            "give that name A (and AAAA) records with the new server's address, before mail is led to it",
        )


def mx_after(route: Route, new_name: str) -> tuple[str, ...]:
    """A domain's MX values when those that lead to the old server say ``new_name``. One record per host remains."""
    best: dict[str, int] = {}
    for target in route.targets:
        host = new_name if target.leads == "old" else target.exchanger.host
        best[host] = min(target.exchanger.preference, best.get(host, 65535))
    return tuple(sorted(f"{preference} {host}." for host, preference in best.items()))


def addresses_after(records: Records, old: frozenset[str], published: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """A name's addresses when the old server's are exchanged for the new one's; empty when it has none of that kind."""
    return tuple(sorted({*(v for v in records.values if v not in old), *published.get(records.kind, ())}))


def _change(seen: Survey, records: Records, after: tuple[str, ...]) -> Change:
    return Change(seen.zones.get(records.name, ""), records.name, records.kind, records.values, after, records.ttl)
