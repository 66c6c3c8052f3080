"""Records made of ``tag=value`` pairs: DKIM keys (RFC 6376, 3.6.1) and DMARC policies (RFC 7489, 6.3)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass


class Malformed(ValueError):
    """The record is none; the message says why."""


@dataclass(frozen=True)
class DkimKey:
    """A public key in DNS. ``public`` is empty for a revoked key."""

    kind: str
    public: bytes
    testing: bool


@dataclass(frozen=True)
class Dmarc:
    """What a domain asks receivers to do with mail that is not its own."""

    policy: str
    subdomains: str
    percent: int
    reports: tuple[str, ...]


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
    return DkimKey(tags.get("k", "rsa").lower(), public, "y" in tags.get("t", "").split(":"))


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
    return Dmarc(policy, subdomains, int(percent), reports)
