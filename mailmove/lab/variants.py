"""Variants: the lab's servers as people build them who follow the guide in their own way.

Each is a file ``variants/NAME.toml``: ``what`` it is in a few words, and in ``[old]`` and ``[new]`` what their owners
decided otherwise. Provisioning finds each decision as ``LAB_<KEY>``; ``provision/common/choices.sh`` has them all, with
the guide's own. ``domains``, ``fqdn``, ``ssh_port`` and ``login`` are known to the lab itself.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files

from mailmove.lab import plan
from mailmove.lab.errors import LabError

GUIDE = "guide"
"""The name of the lab as it is without a variant: everything as the guide has it."""
OWN_KEYS = ("fqdn", "ssh_port")
"""Decisions the lab itself carries out, not the provisioning."""


@dataclass(frozen=True)
class Variant:
    """One variant. ``choices``: what the owner of each server decided otherwise, by host and name."""

    name: str = GUIDE
    what: str = "everything as the guide has it"
    machines: tuple[plan.Host, ...] = plan.MACHINES
    domains: tuple[str, ...] = plan.HOSTED_DOMAINS
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[plan.Host, ...]:
        """All hosts, with the operator, who is only a namespace."""
        return (*self.machines, plan.OPERATOR)

    def host(self, key: str) -> plan.Host:
        """The host of this key."""
        return next(host for host in self.hosts if host.key == key)


def names() -> list[str]:
    """The names of all variants, the guide's first."""
    found = (path.name for path in (files("mailmove.lab") / "variants").iterdir())
    return [GUIDE, *sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))]


def find(name: str) -> Variant:
    """The variant of this name; LabError with the nearest name if there is none."""
    if name == GUIDE:
        return Variant()
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        raise LabError(
            f"no variant of the lab is called {name!r}",
            f"did you mean {near[0]!r}? " * bool(near) + f"there are: {', '.join(names())}",
        )
    raw = tomllib.loads((files("mailmove.lab") / "variants" / f"{name}.toml").read_text("utf-8"))
    choices = {key: {k: str(v) for k, v in raw.get(key, {}).items()} for key in ("old", "new")}
    return Variant(
        name,
        str(raw["what"]),
        tuple(_decided(host, choices.get(host.key, {})) for host in plan.MACHINES),
        tuple(raw.get("domains", plan.HOSTED_DOMAINS)),
        {key: {k: v for k, v in chosen.items() if k not in OWN_KEYS} for key, chosen in choices.items()},
    )


def _decided(host: plan.Host, choices: Mapping[str, str]) -> plan.Host:
    first, *more = host.addresses
    addresses = (replace(first, name=choices.get("fqdn", first.name)), *more)
    port, login = int(choices.get("ssh_port", host.ssh_port)), choices.get("login", host.login)
    return replace(host, addresses=addresses, ssh_port=port, login=login)
