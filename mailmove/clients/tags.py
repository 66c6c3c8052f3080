"""Records made of ``tag=value`` pairs: DKIM keys (RFC 6376, 3.6.1) and DMARC policies (RFC 7489, 6.3)."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from dataclasses import dataclass

from publicsuffixlist import PublicSuffixList


class Malformed(ValueError):
    """The record is none; the message says why."""


@dataclass(frozen=True)
class DkimKey:
    """A public key in DNS. ``public`` is empty for a revoked key."""

    kind: str
    public: bytes
    testing: bool
    hashes: tuple[str, ...] = ()  # only with these; empty: with any
    services: tuple[str, ...] = ()  # only for these; empty: for any


@dataclass(frozen=True)
class Dmarc:
    """What a domain asks receivers to do with mail that is not its own."""

    policy: str
    subdomains: str
    percent: int
    reports: tuple[str, ...]
    dkim_strict: bool = False  # only the very same domain counts as aligned
    spf_strict: bool = False


def parse(text: str) -> dict[str, str]:
    """The tags in order, white space around them removed. Raises Malformed on a doubled or broken one."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise Malformed(f"{part.strip()[:60]!r} is no tag=value")
        if name in tags:
            raise Malformed(f"the tag {name}= stands twice")
        tags[name] = value.strip()
    return tags


def dkim_key(text: str) -> DkimKey:
    """A ``v=DKIM1`` record."""
    tags = parse(text)
    if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        raise Malformed("v=DKIM1 must stand first")
    if "p" not in tags:
        raise Malformed("it holds no key (p=)")
    try:
        public = base64.b64decode("".join(tags["p"].split()), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("its key (p=) is no base64") from None
    hashes, services = (
        tuple(word.strip().lower() for word in tags.get(name, "").split(":") if word.strip()) for name in ("h", "s")
    )
    return DkimKey(tags.get("k", "rsa").lower(), public, "y" in tags.get("t", "").split(":"), hashes, services)


def dmarc(text: str) -> Dmarc:
    """A ``v=DMARC1`` record."""
    tags = parse(text)
    if next(iter(tags), "") != "v" or tags["v"] != "DMARC1":
        raise Malformed("v=DMARC1 must stand first")
    policy = tags.get("p", "").lower()
    subdomains = tags.get("sp", policy).lower()
    for name, value in (("p", policy), ("sp", subdomains)):
        if value not in ("none", "quarantine", "reject"):
            raise Malformed(f"{name}={value} is none of none, quarantine, reject")
    for name in ("adkim", "aspf"):
        if tags.get(name, "r").lower() not in ("r", "s"):
            raise Malformed(f"{name}={tags[name]} is neither r nor s")
    percent = tags.get("pct", "100")
    if not percent.isdecimal() or int(percent) > 100:
        raise Malformed(f"pct={percent} is no percentage")
    reports = tuple(a.strip() for name in ("rua", "ruf") for a in tags.get(name, "").split(",") if a.strip())
    strict = {name: tags.get(name, "r").lower() == "s" for name in ("adkim", "aspf")}
    return Dmarc(policy, subdomains, int(percent), reports, strict["adkim"], strict["aspf"])


def aligned(identifier: str, author: str, strict: bool) -> bool:
    """Whether a domain that was verified stands for the author's domain (RFC 7489, 3.1): the same one, or of the same owner."""
    one, other = identifier.lower().rstrip("."), author.lower().rstrip(".")
    return bool(one) and (one == other or (not strict and organisation(one) == organisation(other)))


def organisation(domain: str) -> str:
    """The domain of its owner: one label more than a public suffix has (RFC 7489, 3.2); itself if it is such a suffix."""
    name = domain.lower().rstrip(".")
    return _suffixes().privatesuffix(name) or name


@functools.cache  # 10,000 lines
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@dataclass(frozen=True)
class StsPolicy:
    """What a domain asks senders to hold on to: encryption, and to which servers (RFC 8461, 3.2)."""

    mode: str
    hosts: tuple[str, ...]  # names, or *.example.org

    def covers(self, host: str) -> bool:
        """Whether mail may be handed to this host."""
        name = host.lower().rstrip(".")
        wildcard = "*." + name.partition(".")[2]
        return any(each in (name, wildcard) for each in self.hosts)


def sts_id(text: str) -> str:
    """The id of a ``v=STSv1`` record; it has to change with the policy."""
    tags = parse(text)
    if next(iter(tags), "") != "v" or tags["v"] != "STSv1":
        raise Malformed("v=STSv1 must stand first")
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", tags.get("id", "")):
        raise Malformed(f"id={tags.get('id', '')} is no identifier of 1 to 32 letters and digits")
    return tags["id"]


def sts_policy(text: str) -> StsPolicy:
    """The policy file of MTA-STS."""
    pairs = [(name.strip(), value.strip()) for line in text.splitlines() for name, _, value in [line.partition(":")]]
    found = dict(pairs)
    if found.get("version") != "STSv1":
        raise Malformed("it has no line version: STSv1")
    mode = found.get("mode", "")
    if mode not in ("enforce", "testing", "none"):
        raise Malformed(f"mode: {mode} is none of enforce, testing, none")
    if not found.get("max_age", "").isdecimal():
        raise Malformed(f"max_age: {found.get('max_age', '')} is no number of seconds")
    hosts = tuple(value.lower().rstrip(".") for name, value in pairs if name == "mx")
    if mode != "none" and not hosts:
        raise Malformed("it names no server (mx:)")
    return StsPolicy(mode, hosts)


def tls_reports(text: str) -> tuple[str, ...]:
    """Where a ``v=TLSRPTv1`` record sends reports to (RFC 8460, 3)."""
    tags = parse(text)
    if next(iter(tags), "") != "v" or tags["v"] != "TLSRPTv1":
        raise Malformed("v=TLSRPTv1 must stand first")
    reports = tuple(each.strip() for each in tags.get("rua", "").split(",") if each.strip())
    for each in reports:
        if not re.match(r"mailto:[^@\s]+@[^@\s]+$|https://[^/\s]+", each):
            raise Malformed(f"rua={each} is neither mailto: nor https:")
    if not reports:
        raise Malformed("it says not where reports go (rua=)")
    return reports
