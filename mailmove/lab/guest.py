"""What the lab does inside a machine: give it its identity, provision it, let it trust the outside's CA."""

from __future__ import annotations

import os
import shutil
import uuid
from importlib.resources import as_file, files
from pathlib import Path

from mailmove.lab import plan
from mailmove.lab.errors import LabError
from mailmove.lab.images import discard
from mailmove.lab.machine import Machine
from mailmove.lab.snapshot import IN_MACHINE, environment
from mailmove.lab.state import State, write
from mailmove.lab.variants import Variant

PROVISION_TIME = 900.0
"""Seconds the provisioning of one machine may take."""
ROOTS = IN_MACHINE / "roots.pem"
"""The CA certificates to trust in this lab. The world writes its own at each start, the lab those of the others."""
TRUSTED = Path("usr/local/share/ca-certificates/mailmove-lab")
"""Where Debian keeps the administrator's own trusted roots."""
END = "-----END CERTIFICATE-----\n"
LOGIN_ID = 1100
"""Of who logs in where root does not."""


def personalise(machine: Machine, state: State, tsig_secret: str, variant: Variant) -> None:
    """Put into a machine, before it boots, what makes it this host of this lab."""
    host, etc = machine.host, machine.root / "etc"
    short = host.fqdn.partition(".")[0]
    if len((etc / "machine-id").read_text().strip()) != 32:
        write(etc / "machine-id", f"{uuid.uuid4().hex}\n")
    write(etc / "hostname", f"{short}\n")
    write(
        etc / "hosts",
        f"127.0.0.1 localhost\n{host.ipv4} {host.fqdn} {short}\n{host.ipv6} {host.fqdn} {short}\n"
        "::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n",
    )
    write(etc / "resolv.conf", f"nameserver {plan.RESOLVER}\n")
    key = state.host_key(host)
    write(etc / "ssh/ssh_host_ed25519_key", key.read_text(), mode=0o600)
    write(etc / "ssh/ssh_host_ed25519_key.pub", key.with_name(key.name + ".pub").read_text())
    if host.ssh_port != 22:
        write(etc / "ssh/sshd_config.d/port.conf", f"Port {host.ssh_port}\n")
    let_in(machine.root / "root", state, 0)
    if host.login != "root":
        let_in(machine.root / "home" / host.login, state, LOGIN_ID)
    write(machine.root / IN_MACHINE / "env", environment(host, tsig_secret, variant), mode=0o600)
    copy_provision(machine)


def let_in(home: Path, state: State, owner: int) -> None:
    """Let the lab's key in there."""
    place = home / ".ssh"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(place / "authorized_keys", (state.home / "id_ed25519.pub").read_text(), mode=0o600)
    for path in (home, place, place / "authorized_keys"):
        os.chown(path, owner, owner)


def copy_provision(machine: Machine) -> None:
    """Copy the provisioning's files into the machine, in the place of older ones."""
    target = machine.root / IN_MACHINE / "provision"
    discard(target)
    with as_file(files("mailmove.lab") / "provision") as directory:
        shutil.copytree(directory, target, ignore=shutil.ignore_patterns("__pycache__"))


def provision(machine: Machine, log: Path) -> None:
    """Run the host's own `run` in the booted machine. A host without one stays as its image made it.

    Raises LabError with the last it said if it fails; all of it is in `log`.
    """
    script = f"/{IN_MACHINE}/provision/{machine.host.key}/run"
    if not (machine.root / script[1:]).exists():
        return
    shell = f"set -a; . /{IN_MACHINE}/env; exec {script}"
    done = machine.inside(["sh", "-c", shell], timeout=PROVISION_TIME)
    write(log, done.stdout + done.stderr, mode=0o600)
    if done.returncode:
        last = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-3:]
        raise LabError(
            f"provisioning {machine.host.key} failed with status {done.returncode}: {' | '.join(last)}",
            f"all it said is in {log}; `mailmove lab shell {machine.host.key}` looks around",
        )


def trust(machine: Machine, roots: str) -> None:
    """Let a machine trust these CA certificates, and make its ACME accounts known to the outside as it runs now."""
    known = machine.root / TRUSTED / "roots.pem"
    if not roots or (known.exists() and known.read_text() == roots):
        return
    machine.wait_until_usable()
    for number, certificate in enumerate(roots.split(END)[:-1]):
        write(known.with_name(f"{number}.crt"), certificate + END)
    write(machine.root / ROOTS, roots)
    for command in (["update-ca-certificates"], [f"/{IN_MACHINE}/provision/acme-accounts", plan.ACME_DIRECTORY]):
        done = machine.inside(command)
        if done.returncode:
            said = (done.stderr.strip() or "nothing").splitlines()[-1]
            raise machine.failure(f"does not get on with the outside's CA: {said}", "try `mailmove lab reset`")
    write(known, roots)
