"""Files from old to new, fetched by new itself: no disk of a third machine between.

New gets a key of its own for the time of the copy; old lets that key in only from new's addresses and only to read
one directory by rsync. Old's host key is told to new over the admin's own, trusted connection. Nothing of it stays.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import re
import secrets
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

from mailmove.errors import MoveFailed, Refused, ServerError
from mailmove.moves.base import Context

MARKER = "mailmove-pull"  # begins the comment of every key line that mailmove adds on old
STILL_S = 600  # rsync gives up when nothing came for so long
VANISHED = 24  # rsync(1), EXIT VALUES: some source files vanished before they could be transferred
HOST = "mailmove-old"
WAY = "pull: way"  # in the journal: the address and port of old by which the last copy went
NO_WAY = (12, 30, 35, 255)  # rsync(1): protocol data stream, timeouts; ssh's own failure

# Also says by which addresses new goes to each of old's, and what its rsync can.
_MAKE_KEY = """
umask 077; d=$1; shift
mkdir -p /run/mailmove && mkdir "$d" && ssh-keygen -q -t ed25519 -N '' -C mailmove-pull -f "$d/key" && cat "$d/key.pub" || exit
for address; do ip -o route get "$address"; done 2>/dev/null
rsync --version
exit 0
"""
# Signals by -s: dash, which is Debian's sh, takes no -- after -TERM.
# The process group is ended only if it is the rsync that was started with the key in that directory, $d.
_END_RUNS = """
end_runs() {
    for f in "$d"/pid.*; do
        if pid=$(cat "$f" 2>/dev/null) && tr '\\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF "$d/"; then
            kill -s TERM -- "-$pid"
            n=0; while kill -s 0 -- "-$pid" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
            kill -s KILL -- "-$pid" 2>/dev/null  # an rsync that waits for its other half only takes note of the first one
        fi
    done
}
"""
_CUT_OFF = _END_RUNS + "d=$1; end_runs; exit 0"
_SWEEP_NEW = (
    _END_RUNS
    + """
for d in /run/mailmove/pull-*; do
    [ -d "$d" ] || continue
    case " $1 " in *" ${d##*/pull-} "*) continue;; esac
    end_runs
    rm -rf "$d"
    echo "$d"
done
rmdir /run/mailmove 2>/dev/null
exit 0
"""
)
_ENDING = "taking away the key of the copy"
_WRITE_SETTINGS = 'umask 077; printf %s "$2" > "$1/known_hosts"; cat > "$1/config"'
_WRITE_LIST = 'umask 077; cat > "$1"'
_TRY = """
rsync --dry-run --dirs --quiet "--rsh=ssh -F $1/config" "$2:." "$1/nothing" 2>&1 || echo "rsync ended with $?"
"""
_RUN = 'f=$1; shift; exec setsid -w sh -c \'echo $$ > "$0"; exec "$@"\' "$f" "$@" </dev/null 2>&1'
# Its standard input is the list of what to copy; then the directory copied into gets its owner and mode back.
_WAIT = """
f=$1; shift
exec setsid -w sh -c 'echo $$ > "$0"; o=$1 m=$2 d=$3; shift 3; "$@"; e=$?; chown "$o" "$d" && chmod "$m" "$d" || e=1; exit $e' "$f" "$@" 2>&1
"""
LONGEST_LIST = 1 << 20  # that an rsync which waits is told; it could come to wait for us to hear what it says


@dataclass(frozen=True)
class Transfer:
    """What one run of rsync came to. ``text`` is all it said but for its progress."""

    rc: int
    text: str
    set_right: bool = False  # whether the directory copied into got its owner and mode back

    @property
    def vanished(self) -> bool:
        """Whether files went away on old while it ran: normal while people use their mail."""
        return self.rc == VANISHED

    def number(self, label: str) -> int:
        """A number from rsync's ``--stats`` (Total file size, Number of files, …); -1 if it is not there."""
        match = re.search(rf"^{re.escape(label)}: ([\d,]+)", self.text, re.MULTILINE)
        return int(match[1].replace(",", "")) if match else -1


class Pull:
    """New's permission to read one directory of old, for as long as the ``with`` block lasts."""

    _active: ClassVar[set[str]] = set()  # of this process: what a sweep must leave alone

    def __init__(self, context: Context, directory: str) -> None:
        """``directory`` on old, an absolute path. Raises Refused if its name cannot stand in a forced command.

        Clear ``attributes`` where there are no ACLs and extended attributes: rsync asks every file for them, on both sides.
        """
        self.attributes = True
        self.context = context
        self.old = context.old
        self.new = context.new
        if not re.fullmatch(r"/[\w./@+-]*", directory):
            raise Refused(
                f"the old server's directory {directory!r} cannot be read through a restricted key",
                "mailmove reads directories whose names are letters, digits and ./@+-_ only",
            )
        self.directory = directory
        self.id = secrets.token_hex(6)
        self.place = f"/run/mailmove/pull-{self.id}"  # on new; a tmpfs: gone after a reboot in any case
        self.address = ""
        self._features: list[str] = []
        self._lists = 0
        self.broken = False  # whether a run found no way to old
        self._file = ""  # on old: where the key was let in
        self._waiting: subprocess.Popen[bytes] | None = None
        self._runs = itertools.count()

    def __enter__(self) -> Self:
        self.context.journal.keep("pull", self.id)
        Pull._active.add(self.id)
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @staticmethod
    def plan(directory: str) -> list[tuple[str, str, str]]:
        """(where, command, what for) of the permission itself, for the plan of a move that pulls."""
        return [
            ("new", "ssh-keygen -t ed25519 -f /run/mailmove/pull-…/key", "a key for the time of the copy"),
            (
                "old",
                f'one line more in the authorized_keys of the login: from="<new>",restrict,command="rrsync -ro {directory}"',
                "that key may read this directory, from the new server only; taken out again at the end",
            ),
        ]

    @staticmethod
    def sweep(context: Context) -> None:
        """Take away what a killed run left on both servers. Costs nothing if the journal knows of none."""
        if context.journal.recall("pull") is not None and not Pull._active:
            Pull._sweep(context)
            context.journal.forget("pull")

    @staticmethod
    def _sweep(context: Context) -> None:
        spare = sorted(Pull._active)
        left = _authorize(context, {"sweep": MARKER, "spare": spare, "key": ""})["removed"]
        Pull._sweep_new(context, left)

    @staticmethod
    def _sweep_new(context: Context, left: list[str]) -> None:
        """The same on new; says so if on either anything was left."""
        swept = context.new.sh(_SWEEP_NEW, " ".join(sorted(Pull._active)), what=_ENDING, check=True).out.split()
        if left or swept:
            context.progress.say("took away what an interrupted copy left: its key, and its permission on old")

    def _open(self) -> None:
        hosts = list(dict.fromkeys([self.old.address, *self.old.facts.addresses]))
        made = self.new.sh(_MAKE_KEY, self.place, *hosts, what="making a key for the copy", check=True).out
        public = made.split("\n", 1)[0].split()
        # The addresses old may see new come from: those of its routes to old first, then all it has.
        allowed = list(dict.fromkeys([*re.findall(r"\bsrc (\S+)", made), *self.new.facts.addresses]))
        answer = _authorize(
            self.context,
            {
                "sweep": MARKER,
                "spare": sorted(Pull._active - {self.id}),
                "key": " ".join(public[:2]),
                "id": self.id,
                "from": allowed,
                "directory": self.directory,
            },
        )
        if not answer["host_keys"]:
            raise ServerError(
                "the old server's own host keys could not be read", "look at /etc/ssh/ssh_host_*_key.pub there"
            )
        self._file = answer["file"]
        Pull._sweep_new(self.context, answer["removed"])
        self._features = _both_have(answer["rsync"], made)
        known = "".join(f"{HOST} {key}\n" for key in answer["host_keys"])
        way = self.context.journal.recall(WAY)
        if way and way[0] in hosts and way[1] in answer["ports"]:
            # The last copy went this way. If it is closed now, rsync says so, and the next time all are tried again.
            self._settle(known, *way)
            return
        said = []
        for address in hosts:
            for port in answer["ports"]:
                self._settle(known, address, port)
                # Not by its exit status: rsync ends with ssh's 255, which here means that new itself is out of reach.
                tried = self.new.sh(_TRY, self.place, HOST, timeout_s=60).out.strip()
                if not tried:
                    self.context.journal.keep(WAY, [address, port])
                    return
                said.append(f"{address} port {port}: {' / '.join(tried.splitlines()[:3])}")
        denied = any("Permission denied" in each for each in said)
        raise ServerError(
            "the new server cannot log in on the old one to fetch files:\n  " + "\n  ".join(said),
            f"old must let {self.old.login} in by key from {', '.join(allowed)}: look at PermitRootLogin, AllowUsers, Match and"
            f" AuthorizedKeysFile in its sshd_config (used here: {answer['file']}); if new reaches it from another"
            " address (NAT), give new a direct one"
            if denied
            else "open ssh from the new server to the old one in the firewalls between them",
        )

    def _settle(self, known: str, address: str, port: int) -> None:
        """Tell new's ssh the way to old, and old's host keys."""
        self.address = address
        self.new.sh(
            _WRITE_SETTINGS, self.place, known, stdin=_settings(self.place, address, port, self.old.login), check=True
        )

    def _close(self) -> None:
        self.take_away()
        self.forget()

    def take_away(self) -> None:
        """Take the key and its permission from both servers. Another thread may do it; :meth:`forget` it afterwards."""
        self._dismiss()
        Pull._active.discard(self.id)
        sweep = {"sweep": MARKER, "spare": sorted(Pull._active), "key": "", "file": self._file}
        with ThreadPoolExecutor(2) as pool:  # each is tried, whatever happens to the other
            there = pool.submit(_authorize, self.context, sweep)
            here = pool.submit(self.new.sh, _SWEEP_NEW, " ".join(sorted(Pull._active)), what=_ENDING, check=True)
        there.result()
        here.result()

    def forget(self) -> None:
        """Nothing of it is left on either server."""
        self.context.journal.forget("pull")
        if self.broken:
            self.context.journal.forget(WAY)

    def wait(self, arguments: Sequence[str], destination: str, owner: str, mode: str) -> None:
        """Start an rsync that logs in on old and waits to be told what to copy: see ``names`` of :meth:`rsync`.

        ``owner`` and ``mode``: those that ``destination`` is to have afterwards.
        """
        self._dismiss()
        words = self.command(["--from0", "--files-from=-", *arguments], destination)
        self._waiting = self._start(_WAIT, [owner, mode, destination, *words], subprocess.PIPE)

    @property
    def waits(self) -> bool:
        """Whether an rsync waits to be told what to copy."""
        return self._waiting is not None

    def _dismiss(self) -> None:
        """The one that waits is not needed. An empty list ends it; should it not come to its end, the sweep ends it."""
        waiting, self._waiting = self._waiting, None
        if waiting:
            assert waiting.stdin and waiting.stdout
            with contextlib.suppress(OSError):
                waiting.stdin.close()
            waiting.kill()
            waiting.wait()
            waiting.stdout.close()

    def _told(self, names: Sequence[str]) -> subprocess.Popen[bytes] | None:
        """The rsync that waits, told what to copy; None if there is none, or it is gone."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return None
        assert waiting.stdin
        told = "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
        try:
            if waiting.poll() is None and len(told) <= LONGEST_LIST:
                waiting.stdin.write(told)
                waiting.stdin.close()
                return waiting
        except OSError:
            pass
        self._waiting = waiting
        self._dismiss()
        return None

    def _start(self, script: str, words: Sequence[str], stdin: int) -> subprocess.Popen[bytes]:
        remote = shlex.join(["sh", "-c", script, "sh", f"{self.place}/pid.{next(self._runs)}", *words])
        return subprocess.Popen(
            self.new.ssh(remote),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def cut_off(self) -> None:
        """End the runs that are under way: an rsync whose other half broke off may say nothing any more, and wait for ever.

        On new: to end ssh here is not enough, its master keeps what rsync writes to until rsync ends.
        """
        with contextlib.suppress(ServerError):  # what broke off first says more
            self.new.sh(_CUT_OFF, self.place)

    def command(self, arguments: Sequence[str], destination: str, shared_by: int = 1) -> list[str]:
        """The rsync command that :meth:`rsync` runs on new."""
        limit = shared_limit(self.context.migration.settings.copy_.bwlimit, shared_by)
        return [
            "rsync",
            "--archive",  # owners and groups go by name: their numbers may differ on new
            "--hard-links",
            "--sparse",
            *(self._features if self.attributes else []),
            f"--timeout={STILL_S}",
            *([f"--bwlimit={limit}"] if limit else []),
            *arguments,
            f"--rsh=ssh -F {self.place}/config",
            f"{HOST}:.",
            destination,
        ]

    def listed(self, names: Iterable[str]) -> list[str]:
        """The options by which one run of rsync takes exactly these paths below the directory, which new is given.

        Of a directory only itself is taken, unless ``--recursive`` is added.
        """
        self._lists += 1
        path = f"{self.place}/files.{self._lists}"
        text = "".join(f"{name}\0" for name in names)
        self.new.sh(_WRITE_LIST, path, what="writing the list of what to copy", stdin=text, timeout_s=600, check=True)
        return ["--from0", f"--files-from={path}"]

    def rsync(
        self,
        arguments: Sequence[str],
        destination: str,
        on_line: Callable[[str], None] | None = None,
        *,
        changing: bool = False,
        shared_by: int = 1,
        names: Sequence[str] | None = None,
    ) -> Transfer:
        """Run rsync on new, from the directory on old to ``destination`` (an absolute path on new).

        ``arguments`` come on top of ``--archive --hard-links``, ACLs and xattrs. ``on_line`` is given each line,
        those of ``--info=progress2`` too. ``changing`` says that people use the files on old while it runs: then files
        that went away meanwhile are no error. ``shared_by`` so
        many runs at once the limit of bandwidth is shared. Of ``names`` (as for :meth:`listed`) alone, if they are given:
        by the rsync that waits with these arguments, if there is one. Raises MoveFailed with what rsync said.
        """
        process = self._told(names) if names is not None else None
        waited = process is not None
        if process is None:
            more = self.listed(names) if names is not None else []
            words = self.command([*more, *arguments], destination, shared_by)
            process = self._start(_RUN, words, subprocess.DEVNULL)
        kept: list[str] = []
        with process:
            try:
                for line, stays in _lines(process):
                    if stays and len(kept) < 5000:
                        kept.append(line)
                    if on_line:
                        on_line(line)
            except BaseException:
                process.kill()
                raise
        transfer = Transfer(process.returncode, "\n".join(kept), waited)
        self.broken = self.broken or transfer.rc in NO_WAY
        if transfer.rc == 0 or (changing and transfer.vanished):
            return transfer
        reason = _reason(kept)
        raise MoveFailed(
            f"rsync on the new server ended with {transfer.rc}: {reason}",
            _HINTS.get(_cause(transfer.rc, reason), _HINT),
        )


def _cause(rc: int, reason: str) -> int:
    """The exit status that says why: also where rsync ended with another one."""
    if re.search(r"No space left|Disk quota exceeded", reason):
        return 11  # 23, where there was no room for a directory
    if rc == 255 and "rsync error: " in reason:
        return 12  # it was rsync's own ssh, to old, that ended; ours stood, or rsync could not have said so
    return rc


_HINT = "run it again: it goes on where it stopped"
_HINTS = {
    11: "look at the free space and the mounts of the new server (df -h, df -i), then run it again",
    12: "the connection broke or old's rsync ended: look at old's /var/log/auth.log, then run it again",
    23: "read the lines above: rsync could not copy those; mend their permissions or names, then run it again",
    24: "files went away on old although it should be quiet: look what still writes there",
    30: "nothing came for ten minutes: look at the network between the servers, then run it again",
    255: "the connection to the new server broke; run it again: it goes on where it stopped",
}


def shared_limit(limit: str, streams: int) -> str:
    """rsync's ``--bwlimit`` for one of several streams: a number of KiB, or of what the letter after it says."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", limit)
    if not match or streams < 2:
        return limit
    return f"{float(match[1]) / streams:.2f}{match[2]}"


def _both_have(old: str, new: str) -> list[str]:
    """ACLs and extended attributes are kept where the rsync of both servers can."""
    lists = [re.findall(r"(?<!no )\b(ACLs|xattrs)\b", text) for text in (old, new)]
    return [
        option for option, word in (("--acls", "ACLs"), ("--xattrs", "xattrs")) if all(word in has for has in lists)
    ]


def _reason(lines: list[str]) -> str:
    telling = [line for line in lines if re.match(r"(rsync|@ERROR|ssh|.*denied|.*error)", line, re.IGNORECASE)]
    return "\n  ".join((telling or lines)[-8:]) or "it said nothing"


def _lines(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it stays: a progress line ends in a carriage return and is overwritten."""
    assert process.stdout
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    rest = ""
    while chunk := process.stdout.read1(65536):  # type: ignore[attr-defined]
        rest += decoder.decode(chunk)
        *parts, rest = re.split(r"([\r\n])", rest)
        for text, end in zip(parts[::2], parts[1::2], strict=True):
            if text.strip():
                yield text, end == "\n"
    if rest.strip():
        yield rest, True


def _authorize(context: Context, wanted: dict[str, Any]) -> dict[str, Any]:
    (answer,) = context.old.remote("authorize", {**wanted, "login": context.old.login}, timeout_s=60)
    return answer


def _settings(place: str, address: str, port: int, login: str) -> str:
    return (
        f"Host {HOST}\n  HostName {address}\n  Port {port}\n  User {login}\n"
        f"  IdentityFile {place}/key\n  IdentitiesOnly yes\n"
        f"  HostKeyAlias {HOST}\n  UserKnownHostsFile {place}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n  UpdateHostKeys no\n  BatchMode yes\n  PasswordAuthentication no\n"
        "  Ciphers ^aes128-gcm@openssh.com\n  Compression no\n  ClearAllForwardings yes\n  ForwardAgent no\n"
        "  ControlPath none\n  ConnectTimeout 10\n  ServerAliveInterval 15\n  ServerAliveCountMax 4\n  LogLevel ERROR\n"
    )
