"""What a breakage is, and how it is brought about and mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailmove.lab.errors import LabError

if TYPE_CHECKING:
    from mailmove.lab.lab import Lab

BROKEN = "/opt/mailmove-lab/broken"
"""In a machine: a directory for each breakage, with the files as they were before it."""

PRELUDE = r"""
set -eu
# keep PATH...: before changing files or directories; mending puts them back, or removes what was not there
keep() {
    for path; do
        printf '%s\n' "$path" >> "$KEPT/list"
        if [ -e "$path" ] || [ -L "$path" ]; then cp -a --parents "$path" "$KEPT/files"; fi
    done
}
# set_line FILE NAME VALUE: `NAME = VALUE` in the place of the line that sets NAME now
set_line() {
    keep "$1"
    NAME="$2" VALUE="$3" perl -i -pe 's/^(\s*)\Q$ENV{NAME}\E\s*=.*/$1$ENV{NAME} = $ENV{VALUE}/' "$1"
}
# postfix_setting NAME=VALUE...: as an admin does it, reload included
postfix_setting() { keep /etc/postfix/main.cf; postconf "$@"; systemctl reload postfix; }
# dovecot_setting LINES: the last word in Dovecot's configuration
dovecot_setting() {
    keep /etc/dovecot/dovecot.conf
    printf '\n%s\n' "$1" >> /etc/dovecot/dovecot.conf
    doveadm reload
}
"""

_BREAK = (
    PRELUDE
    + """
KEPT=$1
mkdir -p "$KEPT/files"
chmod 700 "$KEPT"
date +%s%N > "$KEPT/since"
eval "$2"
"""
)

_MEND = r"""
set -u
KEPT=$1
if [ -f "$KEPT/list" ]; then
    tac "$KEPT/list" | while IFS= read -r path; do
        rm -rf "$path"
        if [ -e "$KEPT/files$path" ] || [ -L "$KEPT/files$path" ]; then
            mkdir -p "${path%/*}/"
            cp -a "$KEPT/files$path" "$path" || exit 1
        fi
    done || exit 1
fi
set -e
eval "$2"
rm -rf "$KEPT"
"""


@dataclass(frozen=True)
class Breakage:
    """Something that happens to real admins.

    On which `host`, by which shell `command` (with `keep` and the other words of PRELUDE), and `what` it is in a few
    words. Mending puts back every file that was kept and then runs `mend`.
    """

    host: str
    command: str
    what: str
    mend: str = "true"


def perform(lab: Lab, name: str, breakage: Breakage) -> None:
    """Break it. Raises LabError if the command fails: then nothing can be said about the server."""
    if name in broken(lab):
        raise LabError(f"{breakage.host} is broken in this way already ({name})", f"mailmove lab mend {name}")
    done = _inside(lab, breakage.host, _BREAK, name, breakage.command)
    if done:
        raise LabError(
            f"could not break {breakage.host} ({breakage.what}): {done}",
            f"look at it with `mailmove lab shell {breakage.host}`, or `mailmove lab reset`",
        )


def mend(lab: Lab, name: str, breakage: Breakage) -> None:
    """Mend it. Raises LabError if that fails; `mailmove lab reset` then begins anew."""
    done = _inside(lab, breakage.host, _MEND, name, breakage.mend)
    if done:
        raise LabError(f"could not mend {breakage.host} ({name}): {done}", "mailmove lab reset")


def broken(lab: Lab) -> list[str]:
    """The names of the breakages that stand unmended, the latest first: in this order they are to be mended.

    Two may have kept the same file; then the older one has it as it was.
    """
    found: list[tuple[int, str]] = []
    for machine in lab.machines.values():
        listed = machine.inside(["sh", "-c", f"grep -H . {BROKEN}/*/since 2>/dev/null || true"])
        for line in listed.stdout.splitlines():
            path, _, since = line.partition(":")
            found.append((int(since), path.split("/")[-2]))
    return [name for _, name in sorted(found, reverse=True)]


def _inside(lab: Lab, host: str, script: str, name: str, command: str) -> str:
    """Run a script in a machine; what it complained of, or nothing."""
    done = lab.machines[host].inside(["sh", "-c", script, "sh", f"{BROKEN}/{name}", command], timeout=120)
    return (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}") if done.returncode else ""
