"""The zones of the lab's two name servers: a root, the domains, the reverse zones. Standard library only.

Usage: zones.py DIRECTORY; the addresses come from the environment (LAB_*). Writes DIRECTORY/ZONE.zone for each zone,
and prints the zones' names, those that take updates marked with a star.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

NAME_SERVERS = ("ns1.elsewhere.example.", "ns2.elsewhere.example.")
HOSTED_TTL = 40
"""Seconds that MX and addresses of the hosted domains may be cached: a day in real life."""
STABLE_TTL = 3600
NEGATIVE_TTL = 5
REVERSE = ("113.0.203.in-addr.arpa", "3.1.1.0.8.b.d.0.1.0.0.2.ip6.arpa")


def main(directory: Path) -> None:
    """Write all zones."""
    env = dict(os.environ)
    outside, hosted = env["LAB_OUTSIDE_DOMAIN"], env["LAB_DOMAINS"].split()
    zones = {".": root([outside, *hosted, *REVERSE], env), outside: elsewhere(outside, env)}
    zones |= {name: hosted_zone(name, env) for name in hosted}
    zones |= {name: reverse(name, addresses(env)) for name in REVERSE}
    directory.mkdir(parents=True, exist_ok=True)
    for name, records in zones.items():
        (directory / f"{file_name(name)}.zone").write_text(head(name) + "".join(f"{line}\n" for line in records))
        print(name + (" *" if name in hosted else ""))


def file_name(zone: str) -> str:
    """A zone's name as part of a file name."""
    return "root" if zone == "." else zone


def head(zone: str) -> str:
    """What each zone begins with: SOA and NS."""
    origin = zone if zone == "." else f"{zone}."
    lines = [
        f"$ORIGIN {origin}",
        f"$TTL {STABLE_TTL}",
        f"@ SOA {NAME_SERVERS[0]} hostmaster.elsewhere.example. 1 10 3 86400 {NEGATIVE_TTL}",
    ]
    return "".join(f"{line}\n" for line in [*lines, *(f"@ NS {server}" for server in NAME_SERVERS)])


def root(children: list[str], env: dict[str, str]) -> list[str]:
    """The fake root: it delegates our zones, and so knows that nothing else exists."""
    lines = [f"{child}. NS {server}" for child in children for server in NAME_SERVERS]
    for number, server in enumerate(NAME_SERVERS, 2):
        lines += [f"{server} A {env[f'LAB_WORLD_{number}']}", f"{server} AAAA {env[f'LAB_WORLD_{number}_6']}"]
    return lines


def elsewhere(domain: str, env: dict[str, str]) -> list[str]:
    """The outside's own domain, with every host of it; mail from it may come from its MX and from the operator."""
    lines = [f"@ MX 10 {env['LAB_WORLD_FQDN']}."]
    senders = " ".join(f"ip4:{env[f'LAB_{host}']} ip6:{env[f'LAB_{host}_6']}" for host in ("WORLD", "OP"))
    lines += [f'@ TXT "v=spf1 {senders} -all"']
    for name, (ipv4, ipv6) in addresses(env).items():
        if name.endswith(f".{domain}"):
            lines += [f"{name}. A {ipv4}", f"{name}. AAAA {ipv6}"]
            # receivers that check SPF of the HELO name ask here
            lines += [f'{name}. TXT "v=spf1 a -all"']
    # a list of senders of spam, with the entries for trying it only (RFC 5782, 5)
    lines += [f"{listed(text)}.blocklist A 127.0.0.2" for text in ("127.0.0.2", "::ffff:7f00:2")]
    return [*lines, f"acme A {env['LAB_WORLD']}", f"acme AAAA {env['LAB_WORLD_6']}"]


def hosted_zone(domain: str, env: dict[str, str]) -> list[str]:
    """A domain whose mail is on the old server. Its DKIM key is added later, by the old server itself."""
    mx = env["LAB_OLD_FQDN"] if domain != env["LAB_DOMAINS"].split()[-1] else f"mx.{domain}"
    ttl = HOSTED_TTL
    lines = [f"@ {ttl} MX 10 {mx}.", '@ TXT "v=spf1 mx -all"']
    lines += [f'_dmarc TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}"']
    hosts = {mx: "LAB_OLD"}
    for server in ("LAB_OLD", "LAB_NEW"):
        hosts |= {env[name]: server for name in (f"{server}_FQDN", f"{server}_WEBMAIL") if name in env}
    hosts = {name: server for name, server in hosts.items() if name.endswith(f".{domain}")}
    for name, variable in hosts.items():
        lines += [f"{name}. {ttl} A {env[variable]}", f"{name}. {ttl} AAAA {env[f'{variable}_6']}"]
        lines += [f'{name}. TXT "v=spf1 a -all"']
    return lines


def reverse(zone: str, names: dict[str, tuple[str, str]]) -> list[str]:
    """The PTR records that belong into a reverse zone."""
    pointers = {ipaddress.ip_address(text).reverse_pointer: name for name, pair in names.items() for text in pair}
    return [f"{pointer}. PTR {name}." for pointer, name in pointers.items() if pointer.endswith(f".{zone}")]


def listed(address: str) -> str:
    """How an address is written on a blocklist."""
    return ipaddress.ip_address(address).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def addresses(env: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Name of each address pair in the lab, from LAB_x, LAB_x_6 and LAB_x_FQDN; LAB_FQDN is this host again."""
    found = {}
    for variable, name in env.items():
        base = variable.removesuffix("_FQDN")
        if variable.startswith("LAB_") and base not in ("LAB", variable):
            found[name] = (env[base], env[f"{base}_6"])
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
