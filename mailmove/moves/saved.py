"""What stood on the new server before a move wrote there: kept once, put back on the way back."""

from __future__ import annotations

from collections.abc import Iterable

from mailmove.journal import Journal
from mailmove.server import Server

# Paths come on standard input, one a line. Each is copied with its parents below $1, then its line is printed.
_SAVE = r"""
set -e
umask 077
mkdir -p "$1"
while IFS= read -r path; do
    if [ -e "$path" ] || [ -L "$path" ]; then
        rm -rf "$1$path"
        mkdir -p "$1${path%/*}"
        cp -a "$path" "$1$path"
        printf 'there %s\n' "$path"
    else
        printf 'absent %s\n' "$path"
    fi
done
"""

# Lines "there PATH" or "absent PATH": the saved one is made ready beside its place, then takes it.
_RESTORE = r"""
set -e
while read -r state path; do
    case $path in /*) ;; *) continue;; esac
    rm -rf "$path.mailmove"
    if [ "$state" = there ]; then
        cp -a "$1$path" "$path.mailmove"
        rm -rf "$path"
        mv "$path.mailmove" "$path"
    else
        rm -rf "$path"
    fi
done
"""


class Saved:
    """Files and directories on the new server, as they were before the move called ``purpose`` first touched them.

    They lie in ``/var/backups/mailmove/PURPOSE/before`` (root only); the journal knows which, and which were not there.
    """

    def __init__(self, journal: Journal, new: Server, purpose: str) -> None:
        self.journal = journal
        self.new = new
        self.directory = f"/var/backups/mailmove/{purpose}/before"
        self._key = f"{purpose}: paths before"

    @property
    def paths(self) -> dict[str, bool]:
        """Each path that was saved, and whether it was there."""
        return dict(self.journal.recall(self._key, {}))

    def save(self, paths: Iterable[str]) -> None:
        """Keep what stands at these paths now, unless that was done before. Call before writing there."""
        known = self.paths
        fresh = [path for path in paths if path not in known]
        if any("\n" in path or not path.startswith("/") or path.endswith("/") for path in fresh):
            raise ValueError(f"paths must be absolute and of one line: {fresh}")
        if not fresh:
            return
        answer = self.new.sh(
            _SAVE,
            self.directory,
            what="keeping what stands there",
            stdin="".join(f"{path}\n" for path in fresh),
            check=True,
        )
        for line in answer.out.splitlines():
            state, _, path = line.partition(" ")
            known[path] = state == "there"
        self.journal.keep(self._key, known)

    def restore(self) -> None:
        """Put everything back as it was. Twice equals once."""
        lines = "".join(f"{'there' if was else 'absent'} {path}\n" for path, was in self.paths.items())
        if lines:
            self.new.sh(_RESTORE, self.directory, what="putting back what stood there", stdin=lines, check=True)

    def forget(self) -> None:
        """Nothing is to be put back any more."""
        self.journal.forget(self._key)
