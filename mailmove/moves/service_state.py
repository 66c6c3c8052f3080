"""Settings laid over a server's Postfix and services held back: remembered before, so that they can be taken off again.

What stood there is in the journal before anything changes, so a run killed anywhere still knows it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from mailmove import postfix
from mailmove.errors import ServerError
from mailmove.journal import Journal
from mailmove.server import Server
from mailmove.units import exists, postfix_runs, unit_states

RUNNING = ("active", "activating", "reloading")

_SAVE_POSTFIX = """
set -eu; umask 077
install -d -m 0700 /var/backups/mailmove "/var/backups/mailmove/$1"
cd "/var/backups/mailmove/$1"
for file in main.cf master.cf; do
    [ -e "$file" ] || { cp -p "/etc/postfix/$file" "$file.part"; mv "$file.part" "$file"; }
done
"""

# Every program of Postfix waits until main.cf is two seconds old: somebody may still be writing it. postconf puts a whole one
# in its place, so nothing has to be waited for, each time, by everybody who wants to bring a letter.
_WRITE = 'postconf "$@" && touch -c -m -d "3 seconds ago" /etc/postfix/main.cf'

# A unit whose file lies in /etc/systemd/system cannot be masked; a condition that never holds does as well.
_MASK = """
set -eu
# All at once, which systemd takes in at once; one by one where one of them cannot be masked.
systemctl mask -q "$@" 2>/dev/null || for unit do
    if ! systemctl mask -q "$unit" 2>/dev/null; then
        install -d "/etc/systemd/system/$unit.d"
        printf '%s\\n' '# Written by mailmove: this server is moving. Taken away by --undo' \
            '[Unit]' 'ConditionPathExists=/nonexistent/mailmove' \
            > "/etc/systemd/system/$unit.d/mailmove-held.conf"
        systemctl daemon-reload
    fi
done
"""

_RELEASE = """
set -eu
systemctl unmask -q "$@"
for unit do
    if [ -e "/etc/systemd/system/$unit.d/mailmove-held.conf" ]; then
        rm -f "/etc/systemd/system/$unit.d/mailmove-held.conf"
        rmdir --ignore-fail-on-non-empty "/etc/systemd/system/$unit.d"
        systemctl daemon-reload
    fi
done
"""

# One that somebody started by hand meanwhile, past systemd, would keep systemd's own from starting.
_START = """
set -eu
for unit do
    if systemctl -q is-active "$unit"; then continue; fi
    case $unit in
    dovecot.service)
        pid=$(cat /run/dovecot/master.pid 2>/dev/null) || continue
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dovecot ] || continue
        doveadm stop
        for _ in $(seq 300); do [ -e "/proc/$pid" ] || break; sleep 0.1; done ;;
    postfix.service) ! postfix status 2>/dev/null || postfix stop ;;
    esac
done
systemctl start "$@"
"""


class Overlay:
    """main.cf settings of one move on one server."""

    def __init__(self, server: Server, journal: Journal, name: str) -> None:
        self.server = server
        self.journal = journal
        self.name = name
        self._laid = f"{name}: main.cf settings of {server.role}"

    @property
    def is_laid(self) -> bool:
        return bool(self.journal.recall(self._laid))

    def lay(self, settings: Mapping[str, str], *, reload: bool = True) -> None:
        """Write the settings. What stood there is remembered first, and only the first time."""
        before = postfix.explicit(self.server, settings)
        for name in settings:
            self.journal.keep_first(self._key(name), [before[name]] if name in before else [])
        self.journal.keep(self._laid, sorted({*self.journal.recall(self._laid, []), *settings}))
        self.server.sh(_SAVE_POSTFIX, f"postfix-{self.name}", what="keeping Postfix' settings", check=True)
        write_settings(self.server, settings)
        if reload:
            reload_postfix(self.server)

    def lies_over(self, name: str) -> bool:
        """Whether this setting is one of those it was laid over."""
        return name in self.journal.recall(self._laid, [])

    def before(self, name: str) -> str | None:
        """What stood in main.cf before; None if nothing did."""
        found = self.journal.recall(self._key(name), [])
        return str(found[0]) if found else None

    def take_off(self, *, reload: bool = True) -> None:
        """Put back what stood there before. Done twice equals done once."""
        names: list[str] = self.journal.recall(self._laid, [])
        if not names:
            return
        back = {name: value for name in names if (value := self.before(name)) is not None}
        write_settings(self.server, back)
        remove_settings(self.server, *(name for name in names if name not in back))
        if reload:
            reload_postfix(self.server)
        # At once: what is still said to be laid, and of which nothing is known, would be taken out of main.cf
        self.journal.forget(self._laid, *map(self._key, names))

    def _key(self, name: str) -> str:
        return f"{self.name}: before on {self.server.role}: {name}"


class Units:
    """systemd units held back by one move on one server: stopped, and masked so that no reboot, socket, timer or hook
    brings them back."""

    def __init__(self, server: Server, journal: Journal, name: str) -> None:
        self.server = server
        self.journal = journal
        self.key = f"{name}: units of {server.role} before"
        self._masked: dict[tuple[str, ...], list[str]] = {}  # by the names asked for: those that exist

    def remember(self, *names: str) -> dict[str, dict[str, str]]:
        """Their states, as they were the first time; only units that exist."""
        known: dict[str, dict[str, str]] = self.journal.recall(self.key, {})
        states = {unit: state for unit, state in unit_states(self.server, names).items() if exists(state)}
        self.journal.keep(self.key, {**states, **known})
        return {**states, **known}

    def mask(self, *names: str) -> None:
        """Let nothing start those that exist, once they are stopped; they run on. ``remember`` them before."""
        there = [unit for unit, state in unit_states(self.server, names).items() if exists(state)]
        if there:
            self.server.sh(_MASK, *there, what=f"masking {' '.join(there)}", timeout_s=150, check=True)
        self._masked[names] = there

    def hold(self, *names: str) -> None:
        """Stop and mask those that exist, or stop them if they were masked just before. ``remember`` them before."""
        if names not in self._masked:
            self.mask(*names)
        there = self._masked.pop(names)
        if there:
            self.server.run("systemctl", "stop", *there, timeout_s=150, check=True)

    def before(self) -> dict[str, dict[str, str]]:
        """What was remembered: unit -> its properties."""
        known: dict[str, dict[str, str]] = self.journal.recall(self.key, {})
        return known

    def release(self, *names: str, start: bool = True) -> None:
        """Let them go as they were before: unmasked unless they were masked, started if they ran. All by default."""
        known = {unit: state for unit, state in self.before().items() if not names or unit in names}
        unmask = [unit for unit, state in known.items() if state["UnitFileState"] != "masked"]
        if unmask:
            self.server.sh(_RELEASE, *unmask, what=f"letting {' '.join(unmask)} start again", check=True)
        running = [unit for unit, state in known.items() if state["ActiveState"] in RUNNING]
        if running and start:
            self.server.sh(_START, *running, what=f"starting {' '.join(running)}", timeout_s=150, check=True)

    def forget(self) -> None:
        self.journal.forget(self.key)


def write_settings(server: Server, settings: Mapping[str, str]) -> None:
    """Write these into main.cf. Raises ServerError."""
    if settings:
        _write(server, "-e", *(f"{name}={value}" for name, value in settings.items()))


def remove_settings(server: Server, *names: str) -> None:
    """Take these out of main.cf. Raises ServerError."""
    if names:
        _write(server, "-X", *names)


def _write(server: Server, *words: str) -> None:
    server.sh(_WRITE, *words, what=shlex.join(["postconf", *words]), check=True)


def reload_postfix(server: Server) -> None:
    """Let a running Postfix take its settings; a stopped one takes them when it starts. Raises ServerError."""
    if not postfix_runs(server):
        return
    check = server.run("postfix", "check")
    answer = server.run("postfix", "reload")
    if not answer.ok:
        raise ServerError(
            f"Postfix on the {server.role} server does not take its settings: {answer.text} {check.text}"[:800],
            "run postfix check there",
        )


def put_file(server: Server, path: str, text: str, mode: str = "0644") -> None:
    """Write one file of ours: whole or not at all."""
    script = 'set -eu; umask 077; t=$(mktemp "$1.XXXXXX"); cat > "$t"; chmod "$2" "$t"; mv -f "$t" "$1"'
    server.sh(script, path, mode, what=f"writing {path}", stdin=text, check=True)


def take_file(server: Server, *paths: str) -> None:
    """Remove files of ours, if they are there."""
    server.run("rm", "-f", "--", *paths, check=True)


def plan_settings(settings: Mapping[str, str]) -> str:
    """The postconf command for a plan."""
    return shlex.join(["postconf", "-e", *(f"{name}={value}" for name, value in settings.items())])
