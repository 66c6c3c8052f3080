"""The machines' disks: an overlay of read-only layers (image, snapshot) under one that takes the writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mailmove.lab.errors import LabError
from mailmove.lab.images import discard
from mailmove.lab.run import attempt, run


def mount(layers: Sequence[Path], upper: Path, work: Path, root: Path) -> None:
    """Mount `upper` over `layers` (topmost first) at `root`. Idempotent."""
    if root in mounted_under(root):
        return
    discard(work)
    for directory in (upper, work, root):
        directory.mkdir(parents=True, exist_ok=True)
    # redirect_dir: renaming a folder of a lower layer works as on any disk; without it Dovecot sees EXDEV.
    # volatile: fsync does nothing. A lab outlives its programs' crashes, not the host's; and it is much faster
    options = f"lowerdir={':'.join(map(str, layers))},upperdir={upper},workdir={work},volatile,redirect_dir=on"
    done = attempt(["mount", "-t", "overlay", "-o", options, "overlay", str(root)])
    if done.returncode:
        raise LabError(
            f"cannot mount an overlay at {root}: {done.stderr.strip()}",
            "overlayfs needs an ordinary disk under it (ext4, xfs, btrfs): set MAILMOVE_STATE to a directory on one",
        )


def unmount(root: Path) -> None:
    """Unmount whatever is mounted at or beneath `root`, deepest first. Idempotent."""
    for point in sorted(mounted_under(root), key=lambda path: len(path.parts), reverse=True):
        if attempt(["umount", str(point)]).returncode:
            # somebody looks at a file in there: take it out of the tree, the kernel ends it with the last user
            run(["umount", "--lazy", str(point)])


def mounted_under(directory: Path) -> list[Path]:
    """Mount points at or beneath `directory`."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])
        if Path(point).is_relative_to(directory):
            points.append(Path(point))
    return points
