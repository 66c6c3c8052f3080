"""Certificates of two servers: which of the old one's are to be taken, and under which names they must still be shown.

A lineage is what certbot calls one certificate through all its renewals: ``/etc/letsencrypt/{live,archive,renewal}/NAME``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mailmove.server import Server

LIVE = "/etc/letsencrypt/live/"


@dataclass(frozen=True)
class Lineage:
    """One certificate. ``ends`` is in seconds since 1970, ``renewal`` what certbot will do then."""

    name: str
    names: tuple[str, ...]
    ends: float
    fingerprint: str
    links: bool
    renewal: dict[str, Any]

    @property
    def paths(self) -> tuple[str, str, str]:
        base = "/etc/letsencrypt"
        return f"{base}/archive/{self.name}", f"{base}/live/{self.name}", f"{base}/renewal/{self.name}.conf"


@dataclass(frozen=True)
class SigningKey:
    """A DKIM key of rspamd's. ``public`` is a digest of its public half; empty if the key cannot be read."""

    domain: str
    selector: str
    path: str
    there: bool
    public: str
    owner: str = ""
    mode: str = ""


@dataclass(frozen=True)
class Look:
    """What ``remote/certificates.py`` told of a server."""

    lineages: dict[str, Lineage]
    served: dict[str, str]  # service -> certificate file
    vhosts: tuple[dict[str, Any], ...]
    keys: tuple[SigningKey, ...]
    signing: dict[str, Any]
    accounts: tuple[str, ...]
    hooks: tuple[str, ...]
    trouble: tuple[str, ...]

    def used(self, lineage: str) -> list[str]:
        """Which services show a lineage."""
        found = [service for service, path in self.served.items() if path.startswith(f"{LIVE}{lineage}/")]
        return found + ["apache2"] * any(str(v["certificate"]).startswith(f"{LIVE}{lineage}/") for v in self.vhosts)

    @property
    def webmail(self) -> dict[str, Any] | None:
        """Apache's virtual host with TLS in which Roundcube is."""
        return next((v for v in self.vhosts if v["roundcube"] and v["certificate"]), None)


def look(server: Server, domains: Sequence[str]) -> Look:
    """Ask a server. ``domains`` are those whose signing keys matter."""
    (told,) = server.remote("certificates", {"domains": list(domains)}, timeout_s=120)
    lineages = {
        name: Lineage(name, tuple(t["names"]), t["ends"], t["fingerprint"], t["links"], t["renewal"])
        for name, t in told["lineages"].items()
    }
    keys = tuple(
        SigningKey(
            k["domain"], k["selector"], k["path"], k["there"], k["public"], k.get("owner", ""), k.get("mode", "")
        )
        for k in told["signing"]["keys"]
    )
    return Look(
        lineages,
        told["served"],
        tuple(told["vhosts"]),
        keys,
        told["signing"],
        tuple(told["accounts"]),
        tuple(told["hooks"]),
        tuple(told["trouble"]),
    )


@dataclass(frozen=True)
class Decision:
    """Whether a lineage of the old server is taken, and why."""

    lineage: Lineage
    take: bool
    why: str


def decide(old: Look, new: Look, now: float) -> list[Decision]:
    """What becomes of each lineage of old.

    Lineages only new has stay. Of two with one name the one that new's services show stays, unless it is no longer
    valid, covers less, or ends earlier than old's; of two that nobody shows the one that is valid longer.
    """
    found = []
    for name, theirs in old.lineages.items():
        ours = new.lineages.get(name)
        if ours is None:
            found.append(Decision(theirs, True, "the new server does not have it"))
        elif ours.fingerprint == theirs.fingerprint:
            found.append(Decision(theirs, False, "the same certificate is there"))
        elif theirs.ends <= now:
            found.append(Decision(theirs, False, "the old one is not valid any more"))
        elif ours.ends <= now:
            found.append(Decision(theirs, True, "the new server's own is not valid any more"))
        elif not set(theirs.names) <= set(ours.names):
            missing = ", ".join(sorted(set(theirs.names) - set(ours.names)))
            found.append(Decision(theirs, True, f"the new server's own does not cover {missing}"))
        elif theirs.ends > ours.ends and set(ours.names) <= set(theirs.names):
            found.append(Decision(theirs, True, "it is valid longer than the new server's own"))
        else:
            users = ", ".join(new.used(name))
            found.append(
                Decision(
                    theirs, False, f"the new server's own is valid as long{f', and shown by {users}' if users else ''}"
                )
            )
    return found


@dataclass(frozen=True)
class FurtherName:
    """A name of the old server that people's programs still use, and the lineage to be shown for it on new."""

    name: str
    lineage: str
    web: bool  # webmail was there under this name

    @property
    def certificate(self) -> str:
        return f"{LIVE}{self.lineage}/fullchain.pem"

    @property
    def key(self) -> str:
        return f"{LIVE}{self.lineage}/privkey.pem"


def covers(names: Iterable[str], host: str) -> bool:
    """Whether a certificate with these names is good for a host (RFC 6125, 6.4.3: a wildcard stands for one label)."""
    return any(n.lower() == host.lower() or n.lower() == "*." + host.lower().partition(".")[2] for n in names)


def further_names(old: Look, new: Look, old_host: str) -> list[FurtherName]:
    """The names under which old's mail services and webmail were reached and new's own certificate is not good for."""
    own = [
        n
        for name, lineage in new.lineages.items()
        if new.used(name) and "postfix" in new.used(name)
        for n in lineage.names
    ]
    web_names = {n.lower() for v in old.vhosts if v["roundcube"] and v["certificate"] for n in v["names"]}
    there = {n.lower() for v in new.vhosts if v["certificate"] for n in v["names"]}
    found: dict[str, FurtherName] = {}
    for name, lineage in old.lineages.items():
        mail = any(service != "apache2" for service in old.used(name))
        web = any(str(v["certificate"]).startswith(f"{LIVE}{name}/") and v["roundcube"] for v in old.vhosts)
        if not (mail or web):
            continue
        names = [n.lower() for n in lineage.names if not n.startswith("*")]
        names += [h for h in (old_host.lower(), *sorted(web_names)) if h not in names and covers(lineage.names, h)]
        for host in names:
            if host not in found and not covers(own, host):
                found[host] = FurtherName(
                    host, name, host in web_names and host not in there and new.webmail is not None
                )
    return list(found.values())
