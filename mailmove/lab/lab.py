"""A lab: three machines, brought up, reset and taken down as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from mailmove.lab import needs, network, overlay, plan
from mailmove.lab.errors import LabError
from mailmove.lab.guest import ROOTS, copy_provision, personalise, provision, trust
from mailmove.lab.images import discard, ensure_image
from mailmove.lab.locks import locked
from mailmove.lab.machine import Machine
from mailmove.lab.progress import Lines, Progress
from mailmove.lab.run import run
from mailmove.lab.snapshot import USERS_OF_OLD, Snapshot, prune, wanted
from mailmove.lab.state import State, new_tsig_secret, write
from mailmove.lab.variants import Variant

_Action = Callable[[Machine], object]


@dataclass(frozen=True)
class HostStatus:
    """A row of `mailmove lab status`. `systemd` is systemd's own word; `-` for a host without a machine."""

    host: plan.Host
    running: bool
    systemd: str


class Lab:
    """The lab called `name`. Making the object touches nothing."""

    def __init__(self, name: str = "main", progress: Progress | None = None, variant: Variant | None = None) -> None:
        """`progress` hears what goes on; lines on standard output by default. `variant`: the one it is, by default."""
        needs.check_name(name)
        self.name = name
        self.progress = progress or Lines()
        self.home = Path(os.environ.get("MAILMOVE_STATE", "/var/lib/mailmove")) / "lab" / name
        self.cache = Path(os.environ.get("MAILMOVE_CACHE", "/var/cache/mailmove"))
        self.variant = variant or State.known_variant(self.home)
        self.state = State(name, self.home, self.variant)
        self.machines = {
            host.key: Machine(name, host, self.home / "machines" / host.key) for host in self.variant.machines
        }

    @property
    def settings_file(self) -> Path:
        """The `mailmove.toml` of a migration from this lab's old to its new server."""
        return self.home / "mailmove.toml"

    @property
    def namespace(self) -> str:
        """The operator's network namespace: whoever works on the lab runs in it."""
        return network.namespace(self.name, "op")

    def is_up(self) -> bool:
        """Has the lab been brought up completely, and are its machines still there?"""
        return (
            self._disks.exists()
            and not self._going_down.exists()
            and self.settings_file.exists()
            and network.exists(self.name, "op")
            and all(machine.leader() for machine in self.machines.values())
        )

    def up(self) -> None:
        """Bring the lab up, making images and snapshots first if the cache has none.

        Idempotent: what runs already is left alone. Disks of an earlier, complete `up` are used again.
        Raises LabError if it cannot be; `up` again then goes on as far as possible.
        """
        needs.meet()
        if self._delegated("up", "--variant", self.variant.name):
            return
        with self._lock():
            self._refuse_another_variant()
            if self.is_up():
                self.progress.done("lab", f"{self.name} was up already")
                return
            self._bring_up()

    def reset(self) -> None:
        """Throw away all that happened on the servers, and boot them as they were first. The network stays."""
        needs.meet()
        if self._delegated("reset"):
            return
        with self._lock():
            self._throw_away()
            self._bring_up()

    def down(self, *, purge: bool = False) -> None:
        """Stop the machines in order, and take away every process, mount, namespace and link of this lab.

        The disks stay for the next `up`, unless `purge`. Idempotent.
        """
        needs.check_root()
        if self._delegated("down", *(["--purge"] if purge else [])):
            return
        with self._lock():
            for machine in self.machines.values():
                self.progress.say(machine.host.key, "shutting down")
            if self._disks.exists():
                write(self._going_down, "")
            self._each(Machine.kill if purge or not self._disks.exists() else Machine.power_off)
            overlay.unmount(self.home / "machines")
            network.remove(self.name)
            for machine in self.machines.values():
                (machine.home / "root").rmdir() if (machine.home / "root").is_dir() else None
                self.progress.done(machine.host.key, "off")
            self._going_down.unlink(missing_ok=True)
            if purge:
                discard(self.home)

    def provision(self, key: str) -> None:
        """Run the provisioning of one machine again where it stands, with its files as they are now."""
        machine = self.machines[key]
        copy_provision(machine)
        self._provision(machine)
        if machine is self._world:
            self._each(lambda each: trust(each, self._roots()))

    def status(self) -> list[HostStatus]:
        """How each host is just now."""
        rows = [
            HostStatus(machine.host, machine.leader() is not None, machine.state())
            for machine in self.machines.values()
        ]
        return [*rows, HostStatus(plan.OPERATOR, network.exists(self.name, "op"), "-")]

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` in the operator's namespace."""
        if not network.exists(self.name, "op"):
            raise LabError(f"the lab {self.name} is not up", f"mailmove lab up --name {self.name}")
        return ["ip", "netns", "exec", self.namespace, *argv]

    def ssh(self, key: str, *words: str) -> list[str]:
        """The command line of an ssh login on a machine, or of a command there."""
        return self.command(["ssh", "-F", str(self.home / "ssh_config"), key, *words])

    # The stages of `up`

    def _refuse_another_variant(self) -> None:
        """Disks of one variant cannot become another."""
        known = State.known_variant(self.home)
        if self._disks.exists() and known.name != self.variant.name:
            raise LabError(
                f"the lab {self.name} is there as the variant {known.name!r}",
                f"`mailmove lab down --purge --name {self.name}` first, or --name for another lab beside it",
            )

    @property
    def _going_down(self) -> Path:
        """Exists while `down` is at work: machines that seem to run may be on their way out."""
        return self.home / "machines" / "going-down"

    @property
    def _disks(self) -> Path:
        """Exists once the disks are complete: which snapshot they lie on, and since which boot of the host."""
        return self.home / "machines" / "disks.json"

    def _bring_up(self) -> None:
        snapshot = self._snapshot_of_disks() or wanted(self.cache, self.variant)
        if self._going_down.exists():
            self._each(Machine.power_off)
            self._going_down.unlink()
        self.state.ensure_keys()
        network.ensure(self.name)
        fresh = not self._disks.exists()
        if fresh:
            self._ensure_snapshot(snapshot)
            self._each(self._image)  # they may be gone although their snapshot is there
        images = snapshot.images(self.cache)

        def start(machine: Machine) -> None:
            if machine.leader() is None:
                self.progress.say(machine.host.key, "booting")
                machine.kill()  # what may be left of it
                self._mount(machine, [snapshot.layer(machine.host), images[machine.host.key]])
                if fresh:
                    personalise(machine, self.state, snapshot.tsig_secret, self.variant)
                machine.start()

        def wait(machine: Machine) -> None:
            machine.wait_until_running(strict=fresh)  # on used disks, whoever used them may have broken something

        def finish(machine: Machine) -> None:
            wait(machine)
            failed = machine.failed_units()
            self.progress.done(
                machine.host.key, f"{machine.host.fqdn} is ready" + f", but not {', '.join(failed)}" * bool(failed)
            )

        self._world_first(start, wait, finish)
        self._ready(snapshot.key)

    def _snapshot_of_disks(self) -> Snapshot | None:
        """The snapshot that the disks at hand lie on. Disks that cannot be used are thrown away: None."""
        present = wanted(self.cache, self.variant)
        if self._disks.exists():
            known = json.loads(self._disks.read_text())
            snapshot = Snapshot(known["key"], present.place.with_name(known["key"]))
            if known["boot"] != _boot_id():  # see overlay.mount: written without fsync
                self.progress.say("lab", "this computer was rebooted: beginning with fresh disks")
            elif not snapshot.place.is_dir() or not all(path.is_dir() for path in snapshot.images(self.cache).values()):
                self.progress.say("lab", "the snapshot under the disks is gone: beginning with fresh ones")
            else:
                if snapshot.key != present.key:
                    self.progress.say("lab", "keeping disks of an earlier provisioning; `reset` takes the present one")
                return snapshot
        self._throw_away()
        return None

    def _ready(self, key: str) -> None:
        """Write the files by which the lab is used, and that its disks are complete."""
        users_file = self.machines["old"].root / USERS_OF_OLD
        users = json.loads(users_file.read_text()) if users_file.exists() else []
        secret = Snapshot(key, self.cache / "snapshots" / key).tsig_secret
        self.state.write_for_users(secret, self._roots(), users)
        write(self._disks, json.dumps({"key": key, "boot": _boot_id()}))

    def _throw_away(self) -> None:
        self._disks.unlink(missing_ok=True)
        self._going_down.unlink(missing_ok=True)
        self._each(Machine.kill)
        overlay.unmount(self.home / "machines")
        for machine in self.machines.values():
            discard(machine.home)
        self.state.forget()

    def _image(self, machine: Machine) -> Path:
        host = machine.host
        text = f"making its image: {host.release}, {len(host.packages)} packages and what they need (minutes)"
        return ensure_image(host, self.cache, lambda: self.progress.say(host.key, text))

    def _ensure_snapshot(self, snapshot: Snapshot) -> None:
        """Provision the three machines in this lab, and keep their disks as the set `snapshot`."""
        if snapshot.exists():
            return
        lock = snapshot.place.with_name(snapshot.key + ".lock")
        with locked(lock, on_wait="another lab is provisioning the same servers: waiting for it"):
            if snapshot.exists():
                return
            discard(snapshot.place)
            secret = new_tsig_secret()
            images: dict[str, str] = {}

            def start(machine: Machine) -> None:
                image = self._image(machine)
                images[machine.host.key] = image.name
                self.progress.say(machine.host.key, "first boot")
                self._mount(machine, [image])
                personalise(machine, self.state, secret, self.variant)
                machine.start()

            def prepare(machine: Machine) -> None:
                machine.wait_until_running(strict=False)  # unprovisioned, some find their ports taken
                self._provision(machine)

            def finish(machine: Machine) -> None:
                if machine is not self._world:
                    prepare(machine)

            self._world_first(start, prepare, finish)
            self._each(self._check_and_stop)
            overlay.unmount(self.home / "machines")
            half = snapshot.place.with_name(snapshot.key + ".half")
            discard(half)
            half.mkdir(parents=True)
            for machine in self.machines.values():
                run(["mv", "-T", str(machine.home / "upper"), str(half / machine.host.key)], timeout=600)
                discard(machine.home)
            write(half / "images.json", json.dumps(images))
            write(half / "tsig.key", secret + "\n", mode=0o600)
            run(["sync", "-f", str(half)], timeout=300)
            if wanted(self.cache, self.variant) != snapshot:
                raise LabError("the provisioning's files were changed while it ran", "once more: `mailmove lab reset`")
            half.rename(snapshot.place)
            prune(self.cache, in_use={snapshot.key, *self._keys_of_all_labs()})

    def _keys_of_all_labs(self) -> list[str]:
        found = self.home.parent.glob("*/machines/disks.json")
        return [json.loads(path.read_text())["key"] for path in found]

    def _check_and_stop(self, machine: Machine) -> None:
        machine.wait_until_running()
        self.progress.say(machine.host.key, "provisioned; shutting down for the snapshot")
        machine.power_off()

    def _mount(self, machine: Machine, layers: Sequence[Path]) -> None:
        overlay.mount(layers, machine.home / "upper", machine.home / "work", machine.root)

    def _provision(self, machine: Machine) -> None:
        self.progress.say(machine.host.key, "provisioning")
        provision(machine, self.home / "machines" / f"provision-{machine.host.key}.log")

    @property
    def _world(self) -> Machine:
        return self.machines["world"]

    def _roots(self) -> str:
        """The CA certificates of the outside as it runs now; empty if the world has no ACME server."""
        path = self._world.root / ROOTS
        return path.read_text() if path.exists() else ""

    def _world_first(self, start: _Action, world: _Action, then: _Action) -> None:
        """Start all machines at once. When `world` is done for the world, let each trust its CA, and do `then`."""
        ready = threading.Event()

        def each(machine: Machine) -> None:
            if machine is self._world:
                try:
                    start(machine)
                    world(machine)
                finally:
                    ready.set()
            else:
                start(machine)
                ready.wait()
            trust(machine, self._roots())
            then(machine)

        self._each(each)

    def _each(self, action: _Action) -> None:
        """Do something to all machines at once; the first failure is raised when all have ended."""
        with ThreadPoolExecutor(len(self.machines)) as pool:
            for running in [pool.submit(action, machine) for machine in self.machines.values()]:
                running.result()

    # Running as one, and from outside

    def _lock(self) -> AbstractContextManager[None]:
        path = self.home.with_name(f"{self.name}.lock")
        return locked(path, on_wait=f"another command is at work on the lab {self.name}: waiting for it")

    def _delegated(self, *words: str) -> bool:
        """Called from within the lab's namespace (tests run there), have it done from the host's own, where mounts
        and links are to be made."""
        outside = network.process_outside(self.namespace)
        if outside is None:
            return False
        here = f"--wd={Path(__file__).parents[2]}"  # so that the same code is found
        argv = ["nsenter", "--target", str(outside), "--mount", "--net", here, sys.executable, "-m", "mailmove"]
        done = subprocess.run([*argv, "lab", *words, "--name", self.name], check=False)
        if done.returncode:
            raise LabError(f"`mailmove lab {words[0]}` failed", "its own message stands above")
        return True


def existing() -> Iterable[str]:
    """The names of the labs that have a directory on this machine."""
    top = Path(os.environ.get("MAILMOVE_STATE", "/var/lib/mailmove")) / "lab"
    return sorted(path.name for path in top.iterdir() if path.is_dir()) if top.is_dir() else []


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
