"""What the lab needs of the host, and how it gets it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from mailmove.lab.errors import LabError
from mailmove.lab.run import attempt, run

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
    "setsid": "util-linux",
    "chromium": "chromium",
    "certutil": "libnss3-tools",
}
"""Programs the lab calls, and Debian's packages that bring them."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_WANTED = 1024
"""Each systemd takes a dozen inotify instances, and all machines share root's; Linux grants 128."""


def meet() -> None:
    """Check what must hold, and install Debian's packages that are missing.

    Raises LabError where the lab cannot run: not root, no Debian, a container without the rights.
    """
    check_root()
    missing = missing_packages()
    if missing:
        _install(missing)
    if int(INOTIFY_INSTANCES.read_text()) < INOTIFY_WANTED:
        INOTIFY_INSTANCES.write_text(f"{INOTIFY_WANTED}\n")
    if attempt(["unshare", "--net", "--mount", "true"]).returncode:
        raise LabError(
            "this machine does not let root make network and mount namespaces",
            "it seems to be a container without privileges: use a virtual machine, or a privileged container",
        )


def check_root() -> None:
    """Raise LabError unless we are root."""
    if os.geteuid() != 0:
        raise LabError(
            "the lab needs root: it boots real systems and makes network namespaces",
            "run it as root, on a machine you may experiment on",
        )


def missing_packages() -> list[str]:
    """Debian packages that have to be installed first, sorted."""
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if not KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def _install(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise LabError(
            f"these programs are missing and there is no apt-get to install them: {', '.join(packages)}",
            "run the lab on Debian 12 or newer",
        )
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    done = attempt(["env", "DEBIAN_FRONTEND=noninteractive", *command], timeout=600)
    if done.returncode:  # perhaps only the package lists are missing or old
        run(["apt-get", "update", "-q"], timeout=600, hint="the lab needs a Debian mirror in the host's apt sources")
        run(
            ["env", "DEBIAN_FRONTEND=noninteractive", *command],
            timeout=600,
            hint=f"install by hand: apt-get install {' '.join(packages)}",
        )


def check_name(name: str) -> None:
    """Refuse names that are no names of a lab: they become parts of paths and of namespaces."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", name):
        raise LabError(
            f"{name!r} cannot be the name of a lab",
            "use up to 20 small letters, digits and hyphens, beginning and ending with a letter or digit",
        )
