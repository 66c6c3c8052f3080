"""The lab's network: a namespace per host, one more for the bridge between them, and no way out of it.

Everything is made by `ensure` and taken away by `remove`; both may be called at any time, also after a half-done one.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from mailmove.lab.errors import LabError
from mailmove.lab.plan import HOSTS, RESOLVER, Host
from mailmove.lab.run import attempt, run

BRIDGE = "br0"
INTERFACE = "eth0"
NETNS_SETTINGS = Path("/etc/netns")
NETNS = Path("/run/netns")


def namespace(lab: str, host: str) -> str:
    """The name of a host's network namespace."""
    return f"mm-{lab}-{host}"


def ensure(lab: str) -> None:
    """Make what is missing of the lab's network; what is there and right is left alone, with whoever runs in it."""
    middle = namespace(lab, "net")
    if not _has_links(middle, {BRIDGE}):
        _remove_namespace(middle)
        run(["ip", "netns", "add", middle])
        run(["ip", "-n", middle, "link", "set", "lo", "up"])
        run(["ip", "-n", middle, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"])
        run(["ip", "-n", middle, "link", "set", BRIDGE, "up"])
    for host in HOSTS:
        if not _is_right(lab, host):
            _remove_namespace(namespace(lab, host.key))
            attempt(["ip", "-n", middle, "link", "del", host.key])
            _add_host(lab, host)
    settings = NETNS_SETTINGS / namespace(lab, "op")
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")


def remove(lab: str) -> None:
    """Take the lab's namespaces away with every link and process in them, except the caller's own."""
    for name in [namespace(lab, host.key) for host in HOSTS] + [namespace(lab, "net")]:
        _remove_namespace(name)
    settings = NETNS_SETTINGS / namespace(lab, "op")
    (settings / "resolv.conf").unlink(missing_ok=True)
    if settings.is_dir():
        settings.rmdir()
    if NETNS_SETTINGS.is_dir() and not any(NETNS_SETTINGS.iterdir()):
        NETNS_SETTINGS.rmdir()


def exists(lab: str, host: str) -> bool:
    """Is there a namespace for this host?"""
    return (NETNS / namespace(lab, host)).exists()


def processes(name: str) -> list[int]:
    """The processes in a namespace."""
    found = attempt(["ip", "netns", "pids", name])
    return [int(pid) for pid in found.stdout.split()] if found.returncode == 0 else []


def process_outside(name: str) -> int | None:
    """If we run in the namespace `name`: the nearest process above us that does not. Else None.

    `ip netns exec` gives its command a mount namespace too, so from in there nothing can be mounted for others.
    """
    place = NETNS / name
    if not place.exists() or not _in_namespace(os.getpid(), place):
        return None
    for pid in _ancestors():
        if not _in_namespace(pid, place):
            return pid
    raise LabError(
        f"this process was born in the namespace {name} and cannot leave it",
        "call `mailmove lab` from a shell on the host itself",
    )


def kill(pids: Iterable[int], *, wait: float = 5) -> None:
    """End processes at once, and wait up to `wait` seconds until they are gone. Our own ancestors are spared."""
    doomed = set(pids) - set(_ancestors())
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline and any(_is_alive(pid) for pid in doomed):
        time.sleep(0.02)


def _add_host(lab: str, host: Host) -> None:
    name, middle = namespace(lab, host.key), namespace(lab, "net")
    run(["ip", "netns", "add", name])
    # systemd as PID 1 cannot bring `lo` up itself here, and much waits for it
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    run(["ip", "-n", middle, "link", "add", host.key, "type", "veth", "peer", "name", INTERFACE, "netns", name])
    run(["ip", "-n", middle, "link", "set", host.key, "master", BRIDGE, "up"])
    run(["ip", "-n", name, "link", "set", INTERFACE, "up"])
    for position, address in enumerate(host.addresses):
        run(["ip", "-n", name, "addr", "add", f"{address.ipv4}/24", "dev", INTERFACE])
        # nodad: usable at once. All but the first are never chosen as the source of a connection
        rest = ["preferred_lft", "0"] if position else []
        run(["ip", "-n", name, "addr", "add", f"{address.ipv6}/64", "dev", INTERFACE, "nodad", *rest])


def _is_right(lab: str, host: Host) -> bool:
    asked = attempt(["ip", "-json", "-n", namespace(lab, host.key), "addr", "show", "dev", INTERFACE])
    if asked.returncode or not asked.stdout.strip():
        return False
    link = json.loads(asked.stdout)[0]
    there = {entry["local"] for entry in link.get("addr_info", [])}
    wanted = {text for address in host.addresses for text in (address.ipv4, address.ipv6)}
    return wanted <= there and "UP" in link.get("flags", []) and link.get("operstate") == "UP"


def _has_links(name: str, wanted: set[str]) -> bool:
    asked = attempt(["ip", "-json", "-n", name, "link", "show"])
    return asked.returncode == 0 and wanted <= {link["ifname"] for link in json.loads(asked.stdout or "[]")}


def _remove_namespace(name: str) -> None:
    kill(processes(name))
    if (NETNS / name).exists():
        run(["ip", "netns", "del", name])


def _ancestors() -> list[int]:
    """We, our parent, its parent, ..."""
    found, pid = [], os.getpid()
    while pid > 1:
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _in_namespace(pid: int, place: Path) -> bool:
    return os.stat(f"/proc/{pid}/ns/net").st_ino == place.stat().st_ino


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
