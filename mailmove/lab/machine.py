"""One machine: a booted systemd-nspawn container. It is known by its root directory and its network namespace, so
that it is found again by any later run, however the run that started it ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailmove.lab import network
from mailmove.lab.errors import LabError
from mailmove.lab.plan import Host
from mailmove.lab.run import attempt

BOOT_TIME = 240.0
"""Seconds a machine may take until systemd says it is running."""
START_TIME = 5.0
"""Seconds a machine just started may take until there is a process of it to be seen."""
STOP_TIME = 40.0
"""Seconds a machine may take to power off in order."""
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """The machine of `host` in the lab called `lab`, with its files in `home`."""

    lab: str
    host: Host
    home: Path

    @property
    def name(self) -> str:
        """The machine's name, that of its network namespace."""
        return network.namespace(self.lab, self.host.key)

    @property
    def root(self) -> Path:
        """Where its disk is mounted."""
        return self.home / "root"

    @property
    def console(self) -> Path:
        """What it printed while booting."""
        return self.home / "console.log"

    def start(self) -> None:
        """Boot it, detached from us. Its disk must be mounted, its network there."""
        argv = ["systemd-nspawn", "--quiet", "-D", str(self.root), "--boot", "--register=no", "--keep-unit"]
        argv += [f"--network-namespace-path={network.NETNS / self.name}", f"--machine={self.name}"]
        argv += ["--capability=CAP_NET_ADMIN"]  # a firewall of its own, in its own network
        argv += ["--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off"]
        with self.console.open("wb") as log:
            # It lives on after us: as nobody's child, in a session of its own
            subprocess.run(
                ["setsid", "--fork", *_contained(self.name), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                check=True,
            )

    def supervisors(self) -> list[int]:
        """The systemd-nspawn processes of this machine, on the host's side."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if argv[0].endswith(b"systemd-nspawn") and f"--machine={self.name}".encode() in argv:
                found.append(int(entry.name))
        return found

    def leader(self) -> int | None:
        """The host's number of the machine's PID 1; None if it is not running."""
        for pid in network.processes(self.name):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue
            numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
            if len(numbers) > 1 and numbers[-1] == "1":
                return pid
        return None

    def inside(self, argv: Sequence[str], *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine as root, without ssh. The caller looks at `returncode`."""
        leader = self.leader()
        if leader is None:
            raise self.failure("is not running", "bring it up with `mailmove lab up`")
        return self._enter(leader, argv, timeout)

    def _enter(self, leader: int, argv: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        return attempt(["nsenter", "--target", str(leader), "--all", *clean, *argv], timeout=timeout)

    def state(self) -> str:
        """What its systemd says: running, degraded, starting, ...; `off`, or `mute` if it does not answer yet."""
        leader = self.leader()
        if leader is None:
            return "off"
        done = self._enter(leader, ["systemctl", "is-system-running"], timeout=60)
        return done.stdout.strip() or "mute"

    def failed_units(self) -> list[str]:
        """The units its systemd could not start."""
        listed = self.inside(["systemctl", "--failed", "--plain", "--no-legend"]).stdout
        return [line.split()[0] for line in listed.splitlines() if line.strip()]

    def wait_until_usable(self) -> None:
        """Wait until its systemd has prepared the file systems (basic.target): before, /tmp is emptied, for example."""
        self._wait_for({"starting", "running", "degraded", "maintenance"})

    def wait_until_running(self, *, strict: bool = True) -> None:
        """Wait until systemd has started everything. A failed unit is a failure, if `strict`."""
        if self._wait_for({"running", "degraded"}) == "degraded" and strict:
            raise self.failure(
                f"is up, but these units failed: {', '.join(self.failed_units())}",
                f"`mailmove lab shell {self.host.key}` and `systemctl status` say why; `reset` begins anew",
            )

    def _wait_for(self, wanted: set[str]) -> str:
        """Wait until systemd calls the machine one of these; returns which."""
        deadline = time.monotonic() + BOOT_TIME
        started = time.monotonic()
        state = "off"
        while time.monotonic() < deadline:
            state = self.state()
            if state in wanted:
                return state
            # nspawn itself takes a moment to appear
            if state == "off" and not self.supervisors() and time.monotonic() > started + START_TIME:
                raise self.failure("stopped while booting", f"see {self.console}")
            time.sleep(0.2)
        raise self.failure(
            f"was not up after {BOOT_TIME:.0f} s (systemd says: {state})",
            f"see {self.console}; is this computer short of memory or processors?",
        )

    def power_off(self) -> None:
        """Shut down in order, by force after a while. Idempotent."""
        for pid in self.supervisors():
            os.kill(pid, signal.SIGTERM)  # nspawn hands it on to systemd as "halt"
        deadline = time.monotonic() + STOP_TIME
        while self.supervisors() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.kill()

    def kill(self) -> None:
        """End it at once, as if the plug were pulled. Idempotent."""
        leader = self.leader()
        network.kill([*([leader] if leader else []), *self.supervisors()], wait=10)
        network.kill(network.processes(self.name))
        _remove_cgroups(self.name)
        (self.home / ".#root.lck").unlink(missing_ok=True)

    def failure(self, fact: str, hint: str) -> LabError:
        """An error about this machine, with the last it printed."""
        last = ""
        if self.console.exists():
            lines = [line for line in self.console.read_text(errors="replace").splitlines() if line.strip()]
            last = "".join(f"\n    {line}" for line in lines[-5:])
        return LabError(f"{self.host.key} of the lab {self.lab} {fact}{last}", hint)


def _contained(name: str) -> list[str]:
    """What to start a machine with, so that its control groups are apart from those of the other machines."""
    if Path("/run/systemd/system").is_dir():
        return ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={name}", "--property=Delegate=yes", "--"]
    # The host's own PID 1 is not systemd: make the groups ourselves, in every hierarchy systemd keeps its units in
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
    enter = "".join(f"echo $$ > {hierarchy / name}/cgroup.procs && " for hierarchy in _hierarchies())
    return ["sh", "-c", f'{enter}exec "$@"', "sh"]


def _hierarchies() -> list[Path]:
    candidates = [CGROUPS, CGROUPS / "systemd", CGROUPS / "unified"]
    return [path for path in candidates if (path / "cgroup.procs").exists()]


def _remove_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        top = hierarchy / name
        if not top.is_dir():
            continue
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:  # the kernel has not buried the last process yet; the next `down` takes it
                continue
