"""Images: a Debian root directory per suite and package list, made once by mmdebstrap and kept in the cache.

The mirror is always the one the host's own apt uses. An image is built beside its place and renamed into it, under
a lock: a build that is killed leaves nothing that could be taken for an image.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailmove.lab.errors import LabError
from mailmove.lab.locks import locked
from mailmove.lab.plan import BUILDER_VERSION, MASKED_UNITS, Host
from mailmove.lab.run import run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
WITHOUT_UPDATES = frozenset({"bullseye"})
"""Suites of which the main archive alone is taken: Debian 11's security archive is incomplete in places."""
NO_MIRROR_HINT = "add Debian's `main` to /etc/apt/sources.list.d and run `apt-get update`"


@dataclass(frozen=True)
class Mirror:
    """Where the host gets Debian from. `security` is empty if it has no such source."""

    main: str
    security: str = ""


def mirror_from_targets(targets: str) -> Mirror:
    """Find the mirror in what `apt-get indextargets` printed, one `URI RELEASE COMPONENT` a line.

    Raises LabError if no Debian archive is among them.
    """
    main = security = ""
    for line in targets.splitlines():
        uri, _, rest = line.partition(" ")
        release, _, component = rest.partition(" ")
        if component != "main" or not uri.startswith(("http:", "https:", "file:")):
            continue
        path = uri.rstrip("/").rpartition("/")[2]
        if release.endswith(("-security", "/updates")):
            security = security or uri
        elif path == "debian" and not re.search(r"-(updates|backports|proposed)", release):
            main = main or uri
    if not main:
        raise LabError("no Debian mirror among the host's apt sources", NO_MIRROR_HINT)
    return Mirror(main, security)


def host_mirror() -> Mirror:
    """The mirror the host's own apt is configured for."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    return mirror_from_targets(run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).stdout)


def sources(suite: str, mirror: Mirror) -> list[str]:
    """The apt source lines an image of `suite` is made from."""
    option = f"[signed-by={KEYRING}]"
    lines = [f"deb {option} {mirror.main} {suite} main"]
    if suite not in WITHOUT_UPDATES:
        lines.append(f"deb {option} {mirror.main} {suite}-updates main")
        if mirror.security:
            lines.append(f"deb {option} {mirror.security} {suite}-security main")
    return lines


def image_key(suite: str, packages: Sequence[str]) -> str:
    """Name of the image in the cache: equal input, equal name."""
    text = "\n".join([BUILDER_VERSION, suite, *sorted(packages), *MASKED_UNITS])
    return f"{suite}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def proxy_options() -> list[str]:
    """The host's apt proxy settings as mmdebstrap options: it does not look at them itself."""
    dump = run(["apt-config", "dump"]).stdout
    settings = re.findall(r'^(Acquire::https?::Proxy\S*) "(.+)";$', dump, re.MULTILINE)
    return [f'--aptopt={name} "{value}"' for name, value in settings]


def build_command(suite: str, packages: Sequence[str], target: Path, mirror: Mirror) -> list[str]:
    """The command that makes an image in `target`.

    It runs in process and mount namespaces of its own that die with the caller: nothing is left mounted or running.
    """
    contained = ["setpriv", "--pdeathsig", "KILL", "--"]
    contained += ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    return [
        *contained,
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "info", "locale")),
        *proxy_options(),
        f"--keyring={KEYRING}",
        f"--include={','.join(packages)}",
        suite,
        str(target),
        *sources(suite, mirror),
    ]


def ensure_image(host: Host, cache: Path, on_build: Callable[[], object]) -> Path:
    """The root directory of the host's image, built first if the cache has none. Never write into it.

    `on_build` is called before it is built. Raises LabError if it cannot be.
    """
    key = image_key(host.suite, host.packages)
    place = cache / "images" / key
    if place.is_dir():
        return place
    on_build()
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_name(key + ".lock")):
        if place.is_dir():  # somebody else built it while we waited
            return place
        half = place.with_name(key + ".half")
        discard(half)
        log = place.with_name(key + ".log")
        command = build_command(host.suite, host.packages, half, host_mirror())
        with log.open("w") as out:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
        if done.returncode:
            last = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("E: ")][:1]
            raise LabError(
                f"mmdebstrap could not make a {host.suite} image: {last[0][3:] if last else 'see the log'}",
                f"the whole of it is in {log}; is the mirror of the host's apt reachable?",
            )
        _finish(half)
        run(["sync", "-f", str(half)], timeout=300)
        half.rename(place)
    return place


def discard(tree: Path) -> None:
    """Remove a directory tree of ours, of any owner and mode, never crossing into a mounted file system."""
    run(["rm", "-rf", "--one-file-system", str(tree)], timeout=300)


def _finish(root: Path) -> None:
    """Take out of a fresh image what must differ per machine, and what only costs time."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("uninitialized\n")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/hostname").unlink(missing_ok=True)
    for unit in MASKED_UNITS:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text("HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\n")
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    (root / "var/lib/apt/lists").mkdir()
