"""The list of what was copied, on new: rsync's own log. What came in another way is written down there as rsync would have."""

from __future__ import annotations

import time
from collections.abc import Iterable

from checks import mailstore
from mailmove.server import Server

_APPEND = 'umask 077; mkdir -p "${1%/*}" && cat >> "$1" && sync "$1"'


def write_down(new: Server, names: Iterable[str]) -> None:
    """These (paths below the mail root) are copies of ours from here on."""
    at = time.strftime("%Y/%m/%d %T")
    lines = "".join(f"{at} [0] >f+++++++++ {printable(name)}\n" for name in names)
    if lines:
        new.sh(_APPEND, mailstore.LEDGER, what="writing down what was copied", stdin=lines, check=True)


def printable(name: str) -> str:
    """As rsync writes names into its log."""
    return "".join(
        chr(byte) if 32 <= byte < 127 else f"\\#{byte:03o}" for byte in name.encode("utf-8", "surrogateescape")
    )
