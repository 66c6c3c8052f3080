"""Snapshots: the three machines' disks after provisioning, kept in the cache as layers over their images.

The three belong together (the world's zones hold the DKIM keys of the old server, its ACME server signed their
certificates), so they are made, named and used as one set.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from mailmove.lab import plan
from mailmove.lab.images import discard, image_key
from mailmove.lab.variants import Variant

MOST_DAYS = 30
"""A set older than this is made anew: its certificates are valid for 90 days."""
IN_MACHINE = Path("opt/mailmove-lab")
"""Where the lab's own files lie inside each machine."""
USERS_OF_OLD = IN_MACHINE / "users.json"
"""Written by the old server's provisioning: who its users are."""


@dataclass(frozen=True)
class Snapshot:
    """The set with the name `key`; complete if `place` exists."""

    key: str
    place: Path

    def exists(self) -> bool:
        """Is it there, and fresh enough?"""
        return self.place.is_dir() and time.time() - self.place.stat().st_mtime < MOST_DAYS * 86400

    def layer(self, host: plan.Host) -> Path:
        """The disk of a host, as a layer over its image."""
        return self.place / host.key

    def images(self, cache: Path) -> dict[str, Path]:
        """The images its layers lie on, by host."""
        names = json.loads((self.place / "images.json").read_text())
        return {key: cache / "images" / name for key, name in names.items()}

    @property
    def tsig_secret(self) -> str:
        """The secret of the key its zones take updates with."""
        return (self.place / "tsig.key").read_text().strip()


def wanted(cache: Path, variant: Variant) -> Snapshot:
    """The set that belongs to the code, packages and provisioning as they are now."""
    with as_file(files("mailmove.lab") / "provision") as directory:
        key = snapshot_key(_provision_files(directory), directory, variant)
    return Snapshot(key, cache / "snapshots" / key)


def prune(cache: Path, in_use: set[str]) -> None:
    """Remove sets that no lab's disks lie on, once they are a day old, and what was left of killed builds."""
    sets = [place for place in (cache / "snapshots").iterdir() if place.is_dir() and place.name not in in_use]
    for place in [*sets, *(cache / "images").glob("*.half")]:
        if time.time() - place.stat().st_mtime > 86400:
            discard(place)


def snapshot_key(provision_files: Iterable[Path], top: Path, variant: Variant) -> str:
    """A name that changes with each file of the provisioning, each image, each address and each decision."""
    digest = hashlib.sha256(plan.BUILDER_VERSION.encode())
    for host in variant.machines:
        digest.update(repr((host.addresses, image_key(host.suite, host.packages))).encode())
    digest.update(repr((plan.OUTSIDE_USERS, variant.domains)).encode())
    digest.update(repr(variant.choices).encode() if variant.choices else b"")
    for path in sorted(provision_files):
        digest.update(f"\0{path.relative_to(top)}\0{path.stat().st_mode & stat.S_IXUSR}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _provision_files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def environment(host: plan.Host, tsig_secret: str, variant: Variant) -> str:
    """The file `env` in each machine: what provisioning has to know, for a shell to read."""
    chosen = {f"LAB_{name.upper()}": value for name, value in variant.choices.get(host.key, {}).items()}
    values = chosen | {
        "LAB_HOST": host.key,
        "LAB_FQDN": host.fqdn,
        "LAB_IPV4": host.ipv4,
        "LAB_IPV6": host.ipv6,
        "LAB_DOMAINS": " ".join(variant.domains),
        "LAB_OUTSIDE_DOMAIN": plan.OUTSIDE_DOMAIN,
        "LAB_OUTSIDE_USERS": " ".join(f"{user}:{password}" for user, password in plan.OUTSIDE_USERS.items()),
        "LAB_RESOLVER": plan.RESOLVER,
        "LAB_NS1": plan.NS1,
        "LAB_NS2": plan.NS2,
        "LAB_ACME_DIRECTORY": plan.ACME_DIRECTORY,
        "LAB_CA_FILE": f"/{IN_MACHINE}/roots.pem",
        "LAB_TSIG_NAME": plan.TSIG_NAME,
        "LAB_TSIG_SECRET": tsig_secret,
    }
    for other in variant.hosts:
        for position, address in enumerate(other.addresses, 1):
            end = f"_{position}" if position > 1 else ""
            name = f"LAB_{other.key.upper()}{end}"
            values |= {name: address.ipv4, f"{name}_6": address.ipv6, f"{name}_FQDN": address.name}
        if "webmail" in variant.choices.get(other.key, {}):
            values[f"LAB_{other.key.upper()}_WEBMAIL"] = variant.choices[other.key]["webmail"]
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
