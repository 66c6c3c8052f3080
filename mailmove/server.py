"""A server: a testinfra host, and what was discovered about it. testinfra is known to this module only.

One ssh connection each: a generated ssh_config (ControlPath, BatchMode, strict host keys) serves testinfra,
rsync and all else. A new login costs 300 ms, a command on a standing connection 12 ms.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import re
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import testinfra
from testinfra.host import Host

from mailmove import failures
from mailmove.clients.tls import Trust
from mailmove.errors import ServerError, TookTooLong, Unreachable
from mailmove.standby import End, Standby, source_of

Role = Literal["old", "new"]

ROOT = "root"
COMMAND_TIME_S = 60
LONGEST_COMMAND = 80  # of a command in an error's first line


@dataclass(frozen=True)
class Answer:
    """What a command on a server came to. Output is text; bytes that are no UTF-8 are kept as surrogates."""

    command: str
    rc: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.rc == 0

    @property
    def text(self) -> str:
        """All it said, for a person."""
        return "\n".join(part for part in (self.out.strip(), self.err.strip()) if part)


class Connection:
    """The ssh settings of one run: a private directory with an ssh_config that every tool is given."""

    def __init__(self, ssh_config: Path | None, pinned: Mapping[str, tuple[str, str]] | None = None) -> None:
        """``ssh_config`` is the admin's own (default: ``~/.ssh/config``).

        ``pinned`` maps a host in an ssh target to the name its key is known by and the address it had when the
        migration began: after the DNS switch the old server's name leads to the new one.
        """
        # Sockets have short names: 104 bytes are all that a unix socket's path may have.
        self._directory = tempfile.TemporaryDirectory(prefix="mm-", dir="/tmp")
        self.config = Path(self._directory.name) / "ssh_config"
        include = ssh_config or Path.home() / ".ssh" / "config"
        blocks = "".join(
            f"Host {host}\n  HostName {address}\n  HostKeyAlias {name}\n\n"
            for host, (name, address) in (pinned or {}).items()
        )
        self.config.write_text(
            f"{blocks}Host *\n"
            "  ControlMaster auto\n"
            f"  ControlPath {self._directory.name}/%C\n"
            "  ControlPersist 10m\n"
            "  BatchMode yes\n"
            "  StrictHostKeyChecking yes\n"
            "  ConnectTimeout 10\n"
            "  ServerAliveInterval 15\n"
            "  ServerAliveCountMax 4\n"
            "  LogLevel ERROR\n"
            f"Include {include}\n",
            encoding="utf-8",
        )
        self._used: set[str] = set()
        self._standbys: dict[str, Standby] = {}
        self._known: dict[str, dict[str, str]] = {}

    def settings(self, target: str) -> dict[str, str]:
        """What ``ssh -G`` makes of a target: hostname, user, port… Empty, with what it said under "", if it does not understand it."""
        if target not in self._known:
            command = ["ssh", "-G", "-F", str(self.config), target]
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            words = dict(line.partition(" ")[::2] for line in said.stdout.splitlines())
            self._known[target] = words if "hostname" in words else {"": said.stderr.strip()}
        return self._known[target]

    def login(self, target: str) -> str:
        """Who logs in there."""
        return self.settings(target).get("user", ROOT)

    def ssh(self, target: str, command: str) -> list[str]:
        """The command line, here, that runs ``command`` (which a shell reads) as root on ``target``."""
        self._used.add(target)
        return ["ssh", "-F", str(self.config), target, command if self.login(target) == ROOT else by_sudo(command)]

    def standby(self, target: str) -> Standby:
        """Python that waits for programs there."""
        return self._standbys.setdefault(target, Standby(functools.partial(self.ssh, target)))

    def close(self) -> None:
        """End the standing connections; leaves nothing behind."""
        for each in self._standbys.values():
            each.close()
        for target in self._used:
            subprocess.run(
                ["ssh", "-F", str(self.config), "-O", "exit", target], capture_output=True, timeout=10, check=False
            )
        self._directory.cleanup()


def by_sudo(command: str) -> str:
    """``command`` as root, for a login that may become root without a password (sudo(8)).

    sudo takes away all that the login has in its environment; where the login came from is told to our programs by it.
    """
    return f'sudo -n -H -- env SSH_CONNECTION="$SSH_CONNECTION" sh -c {shlex.quote(command)}'


class Server:
    """One of the two servers, reached by ssh: as root, or as somebody who becomes root by sudo."""

    def __init__(self, role: Role, target: str, connection: Connection, ca_file: Path | None = None) -> None:
        """``ca_file``: a CA beside the system's by which its services are known."""
        self.role: Role = role
        self.target = target
        self.connection = connection
        self.trust = Trust(ca_file, self.own_certificates)
        self._mail_bytes: int | None = None
        self._before: Facts | None = None
        self._own: frozenset[bytes] | None = None
        self._asking = threading.Lock()

    def __str__(self) -> str:
        return self.role

    def __repr__(self) -> str:
        return f"Server({self.role!r}, {self.target!r})"

    @functools.cached_property
    def host(self) -> Host:
        """The testinfra host: ``.service()``, ``.package()``, ``.file()``, ``.socket()``."""
        config = str(self.connection.config)
        return testinfra.get_host(f"ssh://{self.target}", ssh_config=config, sudo=self.login != ROOT)

    @property
    def login(self) -> str:
        """Who logs in there: root, or somebody who becomes root by sudo."""
        return self.connection.login(self.target)

    @functools.cached_property
    def ssh_name(self) -> str:
        """The name by which its host key is known: what ``ssh -G`` makes of the target."""
        words = self._ssh_settings
        alias = words.get("hostkeyalias", "none")
        if alias != "none":
            return alias
        port = words.get("port", "22")
        return words["hostname"] if port == "22" else f"[{words['hostname']}]:{port}"

    @property
    def _ssh_settings(self) -> dict[str, str]:
        words = self.connection.settings(self.target)
        if "hostname" not in words:
            raise ServerError(
                f"ssh does not understand the target {self.target!r}: {words['']}",
                "write it as root@host in mailmove.toml, or correct the ssh_config named there",
            )
        return words

    @property
    def jump(self) -> str:
        """The host or the command through which ssh reaches it (ProxyJump, ProxyCommand); empty if it goes there itself."""
        words = self._ssh_settings
        return next((words[name] for name in ("proxyjump", "proxycommand") if words.get(name, "none") != "none"), "")

    @functools.cached_property
    def address(self) -> str:
        """The IP address by which it is reached."""
        name = self._ssh_settings["hostname"]
        found = subprocess.run(["getent", "ahosts", name], capture_output=True, text=True, check=False)
        if not found.stdout:
            behind = (
                f"ssh gets there through {self.jump}, but letters, logins and web pages are tried from here: this machine "
                "must know the name and reach the mail ports (HostName with the address), or start mailmove on the jump host"
            )
            raise ServerError(
                f"the {self.role} server's name {name!r} has no address",
                behind if self.jump else "correct servers.old and servers.new in mailmove.toml, or --old and --new",
            )
        return found.stdout.split()[0]

    def ssh(self, command: str) -> list[str]:
        """The command line, here, that runs ``command`` (which a shell reads) there as root."""
        return self.connection.ssh(self.target, command)

    def run(
        self,
        *argv: str,
        stdin: str | bytes | None = None,
        timeout_s: int = COMMAND_TIME_S,
        check: bool = False,
    ) -> Answer:
        """Run one command, given as words: nothing in them is read by a shell.

        ``stdin`` is where secrets and data go, never ``argv``. With ``check`` a non-zero exit raises ServerError.
        """
        return self._run(shlex.join(argv), _shortened(shlex.join(argv)), stdin, timeout_s, check)

    def sh(
        self,
        script: str,
        *args: str,
        what: str = "",
        stdin: str | bytes | None = None,
        timeout_s: int = COMMAND_TIME_S,
        check: bool = False,
    ) -> Answer:
        """Run a shell script of our own; ``args`` are its $1, $2…: names that come from users go there.

        ``what`` it does, in words, is what an error calls it.
        """
        words = what or (script if len(script) < LONGEST_COMMAND and "\n" not in script else "a script of mailmove's")
        return self._run(shlex.join(["sh", "-c", script, "sh", *args]), words, stdin, timeout_s, check)

    def _run(self, command: str, what: str, stdin: str | bytes | None, timeout_s: int, check: bool) -> Answer:
        data = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
        began = time.monotonic()
        try:
            done = subprocess.run(
                # The shell stays, and tells of a signal: what ssh says of a command that one ended is what it says of no connection
                self.ssh(f"timeout -k 5 {timeout_s} {command}; exit $?"),
                input=data if data is not None else b"",
                capture_output=True,
                timeout=timeout_s + 30,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TookTooLong(
                f"the {self.role} server ({self.target}) did not answer within {timeout_s + 30} s: {what}",
                "look at its load and at the network between, then run again",
            ) from None
        answer = Answer(
            command,
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "surrogateescape"),
        )
        if answer.rc == 255 or self._is_refused(answer.rc, answer.out, answer.err):
            raise unreachable(self, answer.err)
        # timeout(1) ends with 137 when it had to kill what took no milder signal; so does what was killed by others
        if answer.rc == 124 or (answer.rc == 137 and time.monotonic() - began >= timeout_s):
            raise TookTooLong(
                f"on the {self.role} server this took longer than {timeout_s} s: {what}",
                "run it by hand there to see why, then run mailmove again",
            )
        if check and not answer.ok:
            raise failures.of_command(self.role, what, answer.rc, answer.out, answer.err)
        return answer

    def remote(self, program: str, arguments: Mapping[str, Any], *, timeout_s: int = 3600) -> Iterator[dict[str, Any]]:
        """Run ``mailmove/remote/PROGRAM.py`` there and yield the JSON lines it prints, as they come.

        The program travels over standard input and leaves no file; ``arguments`` (plain values) follow it.
        Raises ServerError when it ends with anything but 0.
        """
        data = json.dumps(dict(arguments)).encode() + b"\n"
        lines = self._standby.run(source_of(program), data, timeout_s)
        try:
            while True:
                yield json.loads(next(lines))
        except StopIteration as stop:
            end: End = stop.value
        finally:
            lines.close()
        if end.noise:
            raise ServerError(
                f"the login shell on the {self.role} server ({self.target}) says {_shortened(end.noise)!r} before every command: "
                "nothing it is asked, no rsync and no scp, can be understood",
                f"find the line there, mostly in ~{self.login}/.bashrc, and let it speak to terminals only: [ -t 1 ] && echo …",
            )
        if end.lost or self._is_refused(end.rc, "", end.error):
            raise unreachable(self, end.error)
        if end.rc != 0:
            raise failures.of_program(self.role, program, end.rc, end.error)

    def _is_refused(self, rc: int, out: str, err: str) -> bool:
        """Whether sudo ran nothing. A command may fail, and sudo warn of something else (resource limits), at the same time."""
        return self.login != ROOT and rc in (1, 127) and not out and _NO_SUDO.search(err) is not None

    def get_ready(self, *programs: str) -> None:
        """Have Python wait there, and the connection stand, for these programs: what comes next is begun at once."""
        self._standby.get_ready(map(source_of, programs))

    @property
    def _standby(self) -> Standby:
        return self.connection.standby(self.target)

    @functools.cached_property
    def facts(self) -> Facts:
        """What the machine says of itself, asked in one go and remembered for this run.

        Raises ServerError when the old server's accounts cannot be read: with none known, nothing would be looked at.
        """
        # du of a large, cold store takes minutes
        (raw,) = self.remote("discover", {"mail_bytes": self._mail_bytes}, timeout_s=1000)
        facts = Facts(**raw)
        if self.role == "old" and facts.unread:
            raise failures.of_mariadb(self.role, facts.unread) or ServerError(
                f"the accounts on the old server cannot be read: {facts.unread}",
                "try `mariadb` there as root: Debian lets root in by the socket (guide: prepare the database)",
            )
        return facts

    def own_certificates(self) -> frozenset[bytes]:
        """What its services show on the machine itself (DER), asked when it is first needed."""
        with self._asking:
            if self._own is None:
                names = [self.setting("myhostname"), *self.facts.websites]
                (said,) = self.remote("shown", {"names": names, "addresses": self.facts.addresses}, timeout_s=60)
                self._own = frozenset(map(base64.b64decode, said["certificates"]))
            return self._own

    def refresh(self, *, measure: bool = False) -> None:
        """Forget what was discovered: a move changed it. How much mail there is is remembered unless to ``measure``."""
        before: Facts | None = self.__dict__.pop("facts", None)
        self._before = before or self._before
        self._own = None
        self._mail_bytes = before.mail_bytes if before and before.mail_bytes >= 0 and not measure else None

    def learn(self, settings: Mapping[str, str]) -> None:
        """Postfix was given these settings: whatever else was discovered is as it was."""
        facts: Facts | None = self.__dict__.get("facts")
        if facts:
            self.__dict__["facts"] = dataclasses.replace(facts, postconf={**facts.postconf, **settings})

    @property
    def known(self) -> Facts:
        """What was discovered last, whatever changed since: for the report, also of a server that answers no more."""
        found: Facts | None = self.__dict__.get("facts")
        return found or self._before or self.facts

    def setting(self, name: str) -> str:
        """A Postfix setting as ``postconf -hx`` prints it; empty if unset."""
        return self.facts.postconf.get(name, "")

    def __hash__(self) -> int:
        return hash((self.role, self.target))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Server) and (self.role, self.target) == (other.role, other.target)


@dataclass(frozen=True)
class Facts:
    """What a server says of itself (see ``remote/discover.py``, which asks). Times in seconds, sizes in bytes."""

    root: bool
    hostname: str
    fqdn: str
    machine_id: str
    debian: int  # 11, 12, 13; 0 if it is no Debian
    release: str  # PRETTY_NAME
    clock: float  # seconds since 1970
    addresses: list[str]  # global ones, IPv4 and IPv6
    packages: dict[str, str]  # of the guide's packages: name -> version; absent if not installed
    postconf: dict[str, str]  # expanded (postconf -x)
    services: list[str]  # master.cf service lines (postconf -M), e.g. "submission/inet"
    doveconf: dict[str, str]
    protocols: list[str]  # Dovecot's: imap pop3 lmtp sieve
    database: str  # the name of the mailserver database; empty if no map names one
    unread: str  # why what stands in it could not be read; empty if it could
    domains: list[str]  # hosted, from the database
    users: list[str]  # addresses of all mailboxes, from the database
    aliases: list[list[str]]  # [source, destination]
    roundcube: str  # name of its database; empty if there is none
    websites: list[str]  # the names of the sites its web server serves with TLS, the default one first
    mail_root: str  # as its settings name it, e.g. /var/vmail
    mail_place: str  # where that leads: it may be a link to another disk
    mail_bytes: int  # used by the mail root; -1: could not be measured
    free_bytes: int  # free where the mail root is
    free_inodes: int
    problems: list[str]  # questions that could not be answered, with why

    def website(self, mail_name: str) -> str:
        """The name by which its web pages are asked for: that of the mail server, unless they have names of their own."""
        return mail_name if mail_name.lower() in self.websites or not self.websites else self.websites[0]


def _shortened(command: str) -> str:
    return command if len(command) <= LONGEST_COMMAND else f"{command[: LONGEST_COMMAND - 1]}…"


_BROKE = re.compile("closed by remote host|Broken pipe|reset by peer|from master failed|not responding")


# sudo(8) itself, not a command that it ran: its messages go by the locale; those of a login are C's or not known here
_NO_SUDO = re.compile(r"^sudo: (?!unable to resolve host|setrlimit)|^sh: \d+: sudo: not found|bash: .*sudo: command not found|"
                      r"is not in the sudoers file|is not allowed to execute", re.M)  # fmt: skip


def unreachable(server: Server, error: str) -> ServerError:
    """What ssh said when it did not lead there, or broke off; what sudo said when it did not let the login become root."""
    said = error.strip().splitlines()
    last = said[-1] if said else "ssh said nothing"
    if server.login != ROOT and (refused := next(filter(_NO_SUDO.search, said), "")):
        return Unreachable(
            f"{server.login} may not become root on the {server.role} server ({server.target}) without a password: {refused}",
            f"let the login do so for the time of the move ({server.login} ALL=(ALL) NOPASSWD: ALL, by visudo"
            " -f /etc/sudoers.d/mailmove), or use a target that logs in as root",
        )
    hint = "try it by hand: ssh " + server.target
    if re.search("host key|HOST IDENTIFICATION", error, re.I):
        hint = (
            f"compare the host key with the one on the server's own console, then accept it once: ssh {server.target}"
        )
    elif re.search("Connection refused|timed out|No route to host", error):
        hint += "; if it answers from elsewhere, it shuts this machine out: look on its own console (fail2ban-client banned, nft list ruleset)"
    elif "Permission denied" in error:
        hint = f"put your ssh key there: ssh-copy-id {server.target}"
    elif not said or (_BROKE.search(error) and "kex_exchange" not in error):
        return ServerError(
            f"the connection to the {server.role} server ({server.target}) broke: {last}",
            "look at the network between, and at /var/log/auth.log there; then run it again: it goes on where it stopped",
        )
    return Unreachable(f"the {server.role} server ({server.target}) cannot be reached by ssh: {last}", hint)
