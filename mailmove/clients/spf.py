"""Who may send for a domain: SPF (RFC 7208), evaluated as a receiver does, with its limits."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

Result = Literal["pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"]

Lookup = Callable[[str, str], tuple[str, ...]]
"""Name and type -> values, as ``mailmove.clients.dns`` has them; empty if there are none. Raises Untold."""

MOST_LOOKUPS = 10  # RFC 7208, 4.6.4
MOST_VOID = 2
MOST_NAMES = 10  # MX or PTR names of one mechanism
_QUALIFIERS: dict[str, Result] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(
    r"(?P<qualifier>[+\-?~])?(?P<mechanism>[A-Za-z][A-Za-z0-9_.-]*)(?::(?P<domain>[^ ]+?))?"
    r"(?:/(?P<length>\d+))?(?://(?P<length6>\d+))?"
)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.S)
_MACRO = re.compile(r"%(?:\{([slodiphcrtvSLODIPHCRTV])(\d*)([rR]?)([.\-+,/_=]*)\}|([%_\-]))")


class Untold(Exception):
    """DNS did not answer: nothing is known about the name."""


class _Broken(Exception):
    """The record cannot be evaluated: permerror, with the reason."""


@dataclass(frozen=True)
class Judged:
    """What came out, which term decided (or what is wrong), and how many lookups it took."""

    result: Result
    because: str
    record: str = ""
    lookups: int = 0


@dataclass
class _Run:
    lookup: Lookup
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    sender: str
    helo: str
    lookups: int = 0
    void: int = 0
    chain: list[str] = field(default_factory=list)

    def count(self) -> None:
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            raise _Broken(f"it needs more than {MOST_LOOKUPS} DNS lookups (RFC 7208, 4.6.4)")

    def ask(self, name: str, kind: str) -> tuple[str, ...]:
        values = self.lookup(name.rstrip("."), kind)
        if not values:
            self.void += 1
            if self.void > MOST_VOID:
                raise _Broken(f"more than {MOST_VOID} of its names are not in DNS (RFC 7208, 4.6.4)")
        return values


def records(texts: tuple[str, ...]) -> list[str]:
    """The SPF records among TXT values."""
    return [t for t in texts if t.lower() == "v=spf1" or t.lower().startswith("v=spf1 ")]


def judge(address: str, sender: str, lookup: Lookup, helo: str = "") -> Judged:
    """Evaluate ``sender``'s domain for a client at ``address`` (check_host of RFC 7208, 4)."""
    domain = sender.rpartition("@")[2]
    sender = sender if "@" in sender else f"postmaster@{sender}"
    run = _Run(lookup, ipaddress.ip_address(address), sender, helo or domain)
    try:
        result, because, record = _check(run, domain)
    except Untold as error:
        return Judged("temperror", str(error), lookups=run.lookups)
    except _Broken as error:
        where = run.chain[-1] if run.chain else domain
        return Judged("permerror", f"{where}: {error}" if where != domain else str(error), lookups=run.lookups)
    return Judged(result, because, record, run.lookups)


def _check(run: _Run, domain: str) -> tuple[Result, str, str]:
    run.chain.append(domain)
    found = records(run.lookup(domain.rstrip("."), "TXT"))
    if not found:
        return "none", f"{domain} has no SPF record", ""
    if len(found) > 1:
        raise _Broken(f"it has {len(found)} SPF records; only one is allowed (RFC 7208, 3.2)")
    record = found[0]
    terms = record.split()[1:]
    modifiers = [m for t in terms if (m := _MODIFIER.fullmatch(t))]
    names = [m[1].lower() for m in modifiers]
    for once in ("redirect", "exp"):
        if names.count(once) > 1:
            raise _Broken(f"{once}= stands more than once")
    # All of them first: a syntax error counts even behind a term that fits (RFC 7208, 4.6).
    parsed = [(t, _parse(t)) for t in terms if not _MODIFIER.fullmatch(t)]
    for text, term in parsed:
        if _matches(run, domain, term):
            run.chain.pop()
            return _QUALIFIERS[term["qualifier"]], text, record
    redirect = next((m[2] for m in modifiers if m[1].lower() == "redirect"), "")
    if redirect:
        run.count()
        target = expand(redirect, run.sender, domain, str(run.address), run.helo)
        result, because, _ = _check(run, target)
        if result == "none":
            raise _Broken(f"redirect={target} has no SPF record")
        run.chain.pop()
        return result, f"redirect={target}: {because}", record
    run.chain.pop()
    return "neutral", "nothing in it fits", record


def _parse(text: str) -> dict[str, str]:
    match = _TERM.fullmatch(text)
    if not match or match["mechanism"].lower() not in ("all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"):
        raise _Broken(f"{text!r} is no SPF term")
    term = {
        "qualifier": match["qualifier"] or "+",
        "name": match["mechanism"].lower(),
        "domain": match["domain"] or "",
        "length": match["length"] or "32",
        "length6": match["length6"] or "128",
    }
    if term["name"] in ("ip4", "ip6"):
        return _network({**term, "domain": text.partition(":")[2]}, text)
    if term["name"] in ("include", "exists") and not term["domain"]:
        raise _Broken(f"{text!r} names no domain")
    if int(term["length"]) > 32 or int(term["length6"]) > 128:
        raise _Broken(f"{text!r} has a wrong prefix length")
    return term


def _network(term: dict[str, str], text: str) -> dict[str, str]:
    try:
        network = ipaddress.ip_network(term["domain"], strict=False)
    except ValueError:
        raise _Broken(f"{text!r} holds no IP network") from None
    if network.version != int(term["name"][2]):
        raise _Broken(f"{text!r} holds an IPv{network.version} network")
    return term


def _matches(run: _Run, domain: str, term: dict[str, str]) -> bool:
    name = term["name"]
    if name == "all":
        return True
    if name in ("ip4", "ip6"):
        network = ipaddress.ip_network(term["domain"], strict=False)
        return run.address.version == network.version and run.address in network
    run.count()
    target = expand(term["domain"], run.sender, domain, str(run.address), run.helo) if term["domain"] else domain
    if name == "include":
        result, _, _ = _check(run, target)
        if result == "none":
            raise _Broken(f"include:{target} has no SPF record")
        return result == "pass"
    if name == "exists":
        return bool(run.ask(target, "A"))
    if name == "a":
        return _within(run, run.ask(target, _family(run)), term)
    if name == "mx":
        values = run.ask(target, "MX")
        if len(values) > MOST_NAMES:
            raise _Broken(f"{target} has more than {MOST_NAMES} MX records (RFC 7208, 4.6.4)")
        hosts = [v.partition(" ")[2] for v in values]
        # Not run.ask: an MX without an address of this family is no void lookup of the record's making.
        return any(_within(run, run.lookup(h.rstrip("."), _family(run)), term) for h in hosts if h != ".")
    names = [value.rstrip(".").lower() for value in run.ask(run.address.reverse_pointer, "PTR")[:MOST_NAMES]]
    inside = [n for n in names if n == target.lower() or n.endswith("." + target.lower())]
    return any(str(run.address) in run.lookup(n, _family(run)) for n in inside)


def _family(run: _Run) -> str:
    return "A" if run.address.version == 4 else "AAAA"


def _within(run: _Run, addresses: tuple[str, ...], term: dict[str, str]) -> bool:
    length = term["length"] if run.address.version == 4 else term["length6"]
    return any(run.address in ipaddress.ip_network(f"{a}/{length}", strict=False) for a in addresses)


def expand(text: str, sender: str, domain: str, address: str, helo: str) -> str:
    """Macros of RFC 7208, 7. ``p`` is always ``unknown``, as the RFC allows."""
    local, _, sender_domain = sender.rpartition("@")
    ip = ipaddress.ip_address(address)
    dotted = address if ip.version == 4 else ".".join(ip.exploded.replace(":", ""))
    letters = {
        "s": sender, "l": local, "o": sender_domain, "d": domain, "i": dotted, "p": "unknown", "h": helo,
        "v": "in-addr" if ip.version == 4 else "ip6",
    }  # fmt: skip

    def one(match: re.Match[str]) -> str:
        if match[5]:
            return {"%": "%", "_": " ", "-": "%20"}[match[5]]
        letter, keep, backwards, delimiters = match[1], match[2], match[3], match[4] or "."
        if letter.lower() not in letters:
            raise _Broken(f"the macro {match[0]} is for explanations only")
        parts = re.split(f"[{re.escape(delimiters)}]", letters[letter.lower()])
        if backwards:
            parts.reverse()
        if keep:
            if int(keep) == 0:
                raise _Broken(f"the macro {match[0]} keeps nothing")
            parts = parts[-int(keep) :]
        value = ".".join(parts)
        return quote(value, safe="-_.~") if letter.isupper() else value

    bare = _MACRO.sub("", text)
    if "%" in bare:
        raise _Broken(f"{text!r} holds a broken macro")
    return _MACRO.sub(one, text)
