"""A lab's own directory: its keys, and the files by which others use it (ssh_config, mailmove.toml, lab.json, ...)."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import shutil
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from mailmove.lab import plan
from mailmove.lab.network import namespace
from mailmove.lab.run import run
from mailmove.lab.variants import Variant, find

KEPT = frozenset({"id_ed25519", "id_ed25519.pub", "known_hosts", "ssh_config", "hostkeys", "machines", "variant"})
"""What `reset` leaves in the directory: who could log in before can do so afterwards."""

_SSH_HOST = """\
Host {key}
    HostName {address}
    Port {port}
    User root
    IdentityFile {home}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {home}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    PasswordAuthentication no
    ConnectTimeout 10

"""

_SETTINGS = """\
# The settings of a migration between the servers of the lab "{lab}". Written by `mailmove lab up`.

[servers]
old = "{old}"
new = "{new}"
ssh_config = "{home}/ssh_config"

[dns]
ttl = 5
switch = "both"
update = "rfc2136"
tsig_name = "{tsig_name}"
tsig_algorithm = "hmac-sha256"
tsig_secret_file = "{home}/tsig.key"
resolver = "{resolver}"
blocklists = ["blocklist.{outside}"]

[announcement]
date = {date:%Y-%m-%d}T20:00:00
send = true

[retirement]
quiet = "20s"

[probes]
sender = "probe@{outside}"
recipient = "sink@{outside}"
imap_host = "{mx}"
imap_user = "sink"
imap_password_file = "{home}/sink.password"
ca_file = "{home}/ca.pem"
"""


@dataclass(frozen=True)
class State:
    """The directory of the lab called `lab`."""

    lab: str
    home: Path
    variant: Variant = field(default_factory=Variant)

    @staticmethod
    def known_variant(home: Path) -> Variant:
        """The variant that the lab with this directory is."""
        path = home / "variant"
        return find(path.read_text().strip()) if path.exists() else Variant()

    def ensure_keys(self) -> None:
        """The client's key, each machine's host key, and the files that tell ssh about both. Idempotent."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o755)
        write(self.home / "variant", f"{self.variant.name}\n")
        _ensure_key(self.home / "id_ed25519", f"mailmove-lab-{self.lab}")
        known = []
        for host in self.variant.machines:
            key = self.host_key(host)
            _ensure_key(key, f"root@{host.fqdn}")
            names = [text for address in host.addresses for text in (address.name, address.ipv4, address.ipv6)]
            if host.ssh_port != 22:
                names = [f"[{name}]:{host.ssh_port}" for name in names]
            public = " ".join(key.with_name(key.name + ".pub").read_text().split()[:2])
            known.append(f"{','.join([host.key, *names])} {public}\n")
        write(self.home / "known_hosts", "".join(known))
        hosts = [
            _SSH_HOST.format(key=host.key, address=host.ipv4, port=host.ssh_port, home=self.home)
            for host in self.variant.machines
        ]
        write(self.home / "ssh_config", "".join(hosts))

    def host_key(self, host: plan.Host) -> Path:
        """The private ssh host key of a machine; the public one lies beside it."""
        return self.home / "hostkeys" / f"{host.key}_ed25519"

    def write_for_users(self, tsig_secret: str, roots: str, users: object) -> None:
        """Write what those need who work on the lab: secrets, trusted roots, settings, and the list of everything.

        `users` is what provisioning said about the users of the old server, put into lab.json as it is.
        """
        write(self.home / "tsig.key", tsig_secret + "\n", mode=0o600)
        write(self.home / "sink.password", plan.OUTSIDE_USERS["sink"] + "\n", mode=0o600)
        write(self.home / "ca.pem", roots)
        write(self.home / "resolv.conf", f"nameserver {plan.RESOLVER}\n")
        if not (self.home / "mailmove.toml").exists():  # somebody may have changed it for their rehearsal
            settings = _SETTINGS.format(
                lab=self.lab,
                **{host.key: f"{host.login}@{host.key}" for host in self.variant.machines if host is not plan.WORLD},
                home=self.home,
                date=dt.date.today() + dt.timedelta(days=1),  # an evening that is still to come
                tsig_name=plan.TSIG_NAME,
                resolver=plan.RESOLVER,
                outside=plan.OUTSIDE_DOMAIN,
                mx=plan.WORLD.fqdn,
            )
            write(self.home / "mailmove.toml", settings)
        write(self.home / "lab.json", json.dumps(self._everything(users), indent=2, ensure_ascii=False), mode=0o600)

    def forget(self) -> None:
        """Remove what belongs to the servers as they were: all but the keys, also what others left here."""
        if not self.home.is_dir():
            return
        for entry in self.home.iterdir():
            if entry.name in KEPT:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _everything(self, users: object) -> dict[str, object]:
        return {
            "lab": self.lab,
            "variant": self.variant.name,
            "operator": namespace(self.lab, "op"),
            "hosts": {
                host.key: {
                    "fqdn": host.fqdn,
                    "ipv4": host.ipv4,
                    "ipv6": host.ipv6,
                    "release": host.release,
                    "addresses": [vars(address) for address in host.addresses],
                }
                for host in self.variant.hosts
            },
            "domains": list(self.variant.domains),
            "outside": {
                "domain": plan.OUTSIDE_DOMAIN,
                "imap_host": plan.WORLD.fqdn,
                "users": plan.OUTSIDE_USERS,
            },
            "dns": {"ns1": plan.NS1, "ns2": plan.NS2, "resolver": plan.RESOLVER, "tsig_name": plan.TSIG_NAME},
            "acme": plan.ACME_DIRECTORY,
            "users": users,
        }


def new_tsig_secret() -> str:
    """A fresh secret for hmac-sha256, base64."""
    return b64encode(secrets.token_bytes(32)).decode()


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a whole file or nothing: beside its place, then renamed into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as handle:
        os.fchmod(handle.fileno(), mode)
        handle.write(text)
    half.rename(path)


def _ensure_key(path: Path, comment: str) -> None:
    public = path.with_name(path.name + ".pub")
    if path.exists() and public.exists():
        return
    path.unlink(missing_ok=True)
    public.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
