"""The old server goes: a last backup that can be restored, then its rest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from checks import forwarding as forwarding_checks
from checks import retirement as checks
from checks.freeze import DOVECOT, connect, stays_down, takes_nothing_from_outside
from mailmove import sql
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.moves import jails, trust
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.probes import ProbeAccounts
from mailmove.moves.service_state import Overlay, Units
from mailmove.moves.stream import stream
from mailmove.progress import Deadline
from mailmove.routing import addresses_of
from mailmove.server import Server

POSTFIX = "postfix.service"
RENEWAL = "certbot.timer"
SYSTEM = ("information_schema", "performance_schema", "mysql", "sys")
SCRATCH_DATABASE = "mailmove_scratch"

_PATHS = 'for path do [ -e "$path" ] && printf "%s\\n" "$path"; done; true'
_DUMP = (
    "d=$(command -v mariadb-dump || command -v mysqldump) && set -o pipefail && "
    '"$d" --single-transaction --routines --triggers --events --default-character-set=utf8mb4 -- "$1" | gzip -1'
)
_SAVE = 'set -eu; umask 077; cat > "$1.part"; sync "$1.part"; mv -f "$1.part" "$1"'
_REDIS = """
command -v redis-cli >/dev/null || exit 0
[ "$(redis-cli ping 2>/dev/null)" = PONG ] || exit 0
redis-cli save >/dev/null || exit 1
dir=$(redis-cli config get dir | tail -n 1); name=$(redis-cli config get dbfilename | tail -n 1)
[ -f "$dir/$name" ] && printf '%s\\n' "$dir/$name"
"""
# A dump of MariaDB begins with a line that older clients do not understand (mariadb.org, dump file compatibility).
_RESTORE = """
set -eu
c=$(command -v mariadb || command -v mysql)
"$c" -e "DROP DATABASE IF EXISTS $2; CREATE DATABASE $2"
gzip -dc -- "$1" | sed '1{/999999.*sandbox/d}' | "$c" --default-character-set=utf8mb4 "$2"
"""


class FinalBackup(Move):
    """Taking a last backup of the old server.

    When it succeeds, the mail, settings, keys, databases and what the spam filter learned lie on the new server, in a
    directory only root may read, and were unpacked there once and found equal to the old server, file by file. When it
    fails, an incomplete backup may lie there; the old server is as it was.
    """

    name = "final_backup"

    @property
    def directory(self) -> str:
        return f"{self.migration.settings.retirement.backup_directory}/final-{self.old.facts.hostname}"

    @property
    def scratch(self) -> str:
        return f"{self.directory}/.unpacked"

    def needs(self) -> Iterable[Evidence]:
        yield stays_down(self.old, *DOVECOT)
        yield self._room()

    def plan(self) -> list[Action]:
        paths = " ".join(self._paths())
        names = ", ".join(self._databases()) or "none"
        return [
            Action("old", f"tar --numeric-owner -cf - -C / {paths} | gzip -1", f"streamed to new: {self.directory}"),
            Action("old", "mysqldump --single-transaction DATABASE | gzip -1", f"each of: {names}"),
            Action("old", "redis-cli save", "and its dump, if there is one"),
            Action(
                "new", f"sha256sum; tar -xf, in {self.scratch}", "unpacked, compared with old file by file, removed"
            ),
            Action("new", f"CREATE DATABASE {SCRATCH_DATABASE}", "each dump imported, rows counted, dropped"),
        ]

    def _paths(self) -> list[str]:
        wanted = [
            self.old.facts.mail_place or "/var/vmail",
            "/etc",
            "/var/lib/rspamd/dkim",
            "/usr/local",
            "/var/spool/cron",
        ]
        return [path.strip("/") for path in self.old.sh(_PATHS, *wanted, check=True).out.splitlines()]

    def _databases(self) -> list[str]:
        return [row[0] for row in sql.rows(self.old, "", "SHOW DATABASES") if row[0] not in SYSTEM]

    def _room(self) -> Evidence:
        exam = Examination(
            "the new server's disk has room for the backup",
            "new",
            why="a full disk stops the new server from taking mail",
            hint="make room, or name another file system: retirement.backup_directory in mailmove.toml",
        )
        wanted, free = self._wanted(), self._free()
        done = bool(self.journal.recall("final backup: files"))
        exam.expect(
            f"free at {self.directory}", _size(free), done or free > wanted * 1.1, f"more than {_size(wanted * 1.1)}"
        )
        return exam.close()

    def _wanted(self) -> int:
        words = self.old.sh('cd / && du -scxB1 "$@" 2>/dev/null | tail -n 1', *self._paths(), timeout_s=900).out.split()
        return int(words[0]) if words else 0

    def _free(self) -> int:
        script = (
            'd=$1; while [ ! -d "$d" ]; do d=${d%/*}; [ "$d" ] || d=/; done; df -B1 --output=avail "$d" | tail -n 1'
        )
        return int(self.new.sh(script, self.directory, check=True).out)

    def do(self) -> None:
        self._clear()
        self.new.sh('umask 077; install -d -m 0700 "${1%/*}" "$1"', self.directory, check=True)
        files: dict[str, list[Any]] = {}
        paths = self._paths()
        tar = [
            "tar",
            "--numeric-owner",
            "--acls",
            "--xattrs",
            "--warning=no-file-ignored",
            "-cf",
            "-",
            "-C",
            "/",
            "--",
            *paths,
        ]
        packed = ["bash", "-c", 'set -o pipefail; "$@" | gzip -1', "bash", *tar]
        # 1: a file changed while it was read. The comparison afterwards says whether that matters.
        self._fetch(files, "files.tar.gz", packed, self._wanted(), tolerated=(1,))
        for name in self._databases():
            self._fetch(files, f"database-{_plain(name)}.sql.gz", ["bash", "-c", _DUMP, "bash", name])
        dump = self.old.sh(_REDIS, check=True).out.strip()
        if dump:
            self._fetch(files, "redis.rdb", ["cat", "--", dump])
        sums = "".join(f"{entry[0]}  {name}\n" for name, entry in files.items())
        self.new.sh(_SAVE, f"{self.directory}/SHA256SUMS", stdin=sums, check=True)
        self.journal.keep("final backup: files", files)
        self.journal.forget("final backup: restored")

    def _fetch(
        self, files: dict[str, list[Any]], name: str, read: list[str], total: int = 0, tolerated: tuple[int, ...] = ()
    ) -> None:
        write = ["sh", "-c", _SAVE, "sh", f"{self.directory}/{name}"]
        done = stream(self.old, read, self.new, write, self.progress, f"backup: {name}", total, tolerated)
        files[name] = [done.sha256, done.size]

    def prove(self) -> Iterable[Evidence]:
        files: dict[str, list[Any]] = self.journal.recall("final backup: files", {})
        yield self.is_whole()
        restored = self.journal.recall("final backup: restored")
        if restored:
            exam = Examination("the backup was restored once", "new", why="", hint="")
            exam.expect("unpacked and compared with the old server", f"at {_clock(restored)}", True)
            yield exam.close()
            return
        every = [self._files_are_equal(), *self._databases_are_equal(files), *self._redis_is_whole(files)]
        if all(each.holds for each in every):
            self.journal.keep("final backup: restored", time.time())
        yield from every

    def is_whole(self) -> Evidence:
        """Every file of the backup is as it was written, and only root may read it."""
        files: dict[str, list[Any]] = self.journal.recall("final backup: files", {})
        exam = Examination(
            "the backup lies on the new server, whole",
            "new",
            why="it is the last that remains of the old server",
            hint="take it again: pytest features/5_retire --move",
        )
        said = self.new.sh('cd "$1" && sha256sum -c SHA256SUMS', self.directory, timeout_s=3600)
        lines = dict(line.rpartition(": ")[::2] for line in said.out.splitlines())
        for name, (_, size) in files.items():
            exam.expect(
                f"{self.directory}/{name}, {_size(size)}", lines.get(name) or said.err, lines.get(name) == "OK", "OK"
            )
        mode = self.new.run("stat", "-c", "%U %a", self.directory).out.strip()
        exam.expect("who may read it", mode, mode == "root 700", "root 700")
        return exam.close()

    def _files_are_equal(self) -> Evidence:
        exam = Examination(
            "the unpacked backup equals the old server, file by file",
            "both",
            why="a backup that was never restored is a hope",
            hint="something changed on the old server meanwhile, or a disk is failing: take it again",
        )
        archive = f"{self.directory}/files.tar.gz"
        self.progress.at("the old server's files are read")
        before = _manifest(self.old, {"base": "/", "paths": self._paths()})
        if self._free() > self._wanted() * 1.1:
            self.progress.at("the backup is unpacked and compared")
            unpack = 'set -eu; umask 077; rm -rf "$2"; mkdir "$2"; tar --numeric-owner -xpzf "$1" -C "$2"'
            try:
                self.new.sh(unpack, archive, self.scratch, timeout_s=4 * 3600, check=True)
                after = _manifest(self.new, {"base": self.scratch, "paths": self._paths()})
            finally:
                self._clear()
        else:
            exam.expect("unpacked", "into memory, file by file: the disk has no room for a second copy", True)
            after = _manifest(self.new, {"tar": archive})
        checks.compare_files(exam, before, after)
        return exam.close()

    def _databases_are_equal(self, files: dict[str, list[Any]]) -> Iterable[Evidence]:
        for name in self._databases():
            exam = Examination(
                f"the dump of the database {name} can be imported",
                "new",
                why="a dump that was never imported is a hope",
                hint=f"zcat the dump by hand into an empty database on the new server (not {name})",
            )
            dump = f"{self.directory}/database-{_plain(name)}.sql.gz"
            self.progress.at(f"the dump of {name} is imported and counted")
            try:
                answer = self.new.sh(_RESTORE, dump, SCRATCH_DATABASE, timeout_s=3600)
                if not exam.expect("import", answer.text or "no complaint", answer.ok, "no complaint"):
                    yield exam.close()
                    continue
                before, after = _rows(self.old, name), _rows(self.new, SCRATCH_DATABASE)
            finally:
                sql.run(self.new, "", f"DROP DATABASE IF EXISTS {SCRATCH_DATABASE}")
            for table in sorted(before.keys() | after.keys()):
                exam.equal(f"rows of {table}", after.get(table, "no such table"), before.get(table, "no such table"))
            if not before:
                exam.expect("tables", "none", True)
            yield exam.close()

    def _redis_is_whole(self, files: dict[str, list[Any]]) -> Iterable[Evidence]:
        if "redis.rdb" not in files:
            return
        exam = Examination("the dump of Redis can be read", "new", why="it holds what the spam filter learned", hint="")
        if not self.new.sh("command -v redis-check-rdb").ok:
            yield exam.not_applicable("the new server has no redis-check-rdb to read it with")
            return
        answer = self.new.run("redis-check-rdb", f"{self.directory}/redis.rdb", timeout_s=600)
        last = answer.text.splitlines()[-1] if answer.text else ""
        exam.expect("redis-check-rdb", last, answer.ok and "looks OK" in answer.text, "looks OK")
        yield exam.close()

    def _clear(self) -> None:
        """Remove what a comparison unpacked, also that of a run that was killed."""
        self.new.run("rm", "-rf", "--one-file-system", "--", self.scratch, timeout_s=1800, check=True)
        sql.run(self.new, "", f"DROP DATABASE IF EXISTS {SCRATCH_DATABASE}")

    def undo(self) -> None:
        self._clear()
        names = [*self.journal.recall("final backup: files", {}), "SHA256SUMS"]
        script = 'cd "$1" 2>/dev/null || exit 0; shift; rm -f -- "$@" ./*.part; cd ..; rmdir "$OLDPWD"'
        self.new.sh(script, self.directory, *names, check=True)
        for key in ("final backup: files", "final backup: restored"):
            self.journal.forget(key)

    def prove_undone(self) -> Iterable[Evidence]:
        yield self.is_gone()

    def is_gone(self) -> Evidence:
        """Nothing of the backup is left."""
        exam = Examination(
            "the backup is removed", "new", why="as before", hint=f"rm -r {self.directory} on the new server"
        )
        there = self.new.run("test", "-e", self.directory).ok
        exam.expect(self.directory, "still there" if there else "gone", not there, "gone")
        return exam.close()


class Dismiss(Move):
    """Dismissing the old server.

    When it succeeds, Postfix and the renewal of certificates rest on the old server for good, as Dovecot does already,
    and the new server trusts its address no longer. The machine itself is left running: switching it off is yours. When
    it fails, it may still forward; nothing is lost. Run it again, or take it back.
    """

    name = "dismiss"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.units = Units(self.old, self.journal, "dismiss")
        self.trust = Overlay(self.new, self.journal, "trust")

    def needs(self) -> Iterable[Evidence]:
        yield checks.quiet_time_is_over(self.migration, self.journal)
        yield checks.nothing_was_delivered(self.migration, self.journal)
        yield checks.queue_is_empty(self.old)

    def plan(self) -> list[Action]:
        return [
            Action("old", f"systemctl mask {POSTFIX} {RENEWAL}; systemctl stop {POSTFIX} {RENEWAL}",
                   "it takes no more mail and renews no more certificates, also after a reboot"),
            Action("new", f"rm {trust.INCLUDED}; systemctl restart rspamd", "its address is trusted no longer"),
        ]  # fmt: skip

    def do(self) -> None:
        self.units.remember(POSTFIX, RENEWAL)
        self.units.hold(POSTFIX, RENEWAL)
        trust.take(self.new, self.trust)
        self.new.refresh()

    def prove(self) -> Iterable[Evidence]:
        yield takes_nothing_from_outside(self.old)
        yield stays_down(self.old, *DOVECOT, POSTFIX, RENEWAL)
        yield forwarding_checks.trust_is_gone(self.new, trust.INCLUDED, trust.SETTINGS, jails.FILE)
        exam = Examination(
            "the old server may go",
            "old",
            why="the new server is alone from now on",
            hint="see why the new server does not answer before you switch the old one off",
        )
        answer = connect(self.new.address, [25])[25]
        exam.expect("the new server's SMTP port", answer, answer == "connected", "connected")
        exam.expect(
            "what you may do now",
            f"switch {self.old.facts.fqdn} off and cancel it; remove its addresses from SPF and its PTR record; "
            "revoke nothing: its certificates are in use on the new server",
            True,
        )
        yield exam.close()

    def undo(self) -> None:
        """It forwards again."""
        if self.journal.touched("forward"):
            trust.give(self.new, self.trust, sorted(addresses_of(self.old)))
        self.units.release()
        self.new.refresh()
        for _left in Deadline(30):
            if connect(self.old.address, [25])[25] == "connected":
                return
        if self.units.before().get(POSTFIX, {}).get("ActiveState") == "active":
            raise MoveFailed(
                "Postfix on the old server does not answer", "systemctl status postfix there; then --undo again"
            )

    def prove_undone(self) -> Iterable[Evidence]:
        settings = self.migration.settings.probes
        with ProbeAccounts(self.new, self.migration) as probes:
            accounts = [probes.in_domain(domain) for domain in self.migration.domains]
            yield forwarding_checks.letters_are_forwarded(self.old, self.new, settings, accounts)
        self.units.forget()


def _manifest(server: Server, arguments: dict[str, Any]) -> dict[str, list[Any]]:
    # The program prints lists; each is [path, kind, size, mode, uid, gid, content].
    return {line["path"]: line["entry"] for line in server.remote("manifest", arguments, timeout_s=12 * 3600)}


def _rows(server: Server, database: str) -> dict[str, int]:
    tables = [row[0] for row in sql.rows(server, database, "SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")]
    if not tables:
        return {}
    # Names are quoted by sql.literal and sql.name
    counts = " UNION ALL ".join(f"SELECT {sql.literal(each)}, COUNT(*) FROM {sql.name(each)}" for each in tables)  # noqa: S608
    return {row[0]: int(row[1]) for row in sql.rows(server, database, counts)}


def _plain(name: str) -> str:
    """A database's name as part of a file name."""
    return "".join(c if c.isalnum() and c.isascii() else f"%{ord(c):02x}" for c in name)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))
