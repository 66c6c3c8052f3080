"""Moving what people have in Roundcube: profiles, identities, contacts, groups."""

from __future__ import annotations

import time
from collections.abc import Iterable

from checks import webmail_data
from mailmove import databases, roundcube, sql
from mailmove.databases import Content
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.probes import ProbeAccounts

BACKUPS = "/var/backups/mailmove/roundcube"  # on the new server, 0700
TRIES = 3
CARRIED = (webmail_data.CARRIED_OLD, webmail_data.CARRIED_NEW)


class WebmailCopy:
    """Carries Roundcube's tables from old to new, all or nothing, and puts earlier ones back.

    As with the accounts all is made ready in a database beside the live one. An old dump must come into an empty database:
    imported over the new version's tables it leaves some of them behind, and the upgrade fails on those. So: import,
    compare, Roundcube's own upgrade, one profile a person, the new IMAP host; then one RENAME TABLE.
    """

    def __init__(self, context: Context, purpose: str) -> None:
        self.old, self.new = context.old, context.new
        self.journal, self.progress = context.journal, context.progress
        self.purpose = purpose
        self.source, self.target = self.old.facts.roundcube, self.new.facts.roundcube
        self.next = f"{self.target}_mailmove_next"
        self.away = f"{self.target}_mailmove_away"

    @property
    def applies(self) -> bool:
        return bool(self.source and self.target)

    def plan(self) -> list[Action]:
        """What :meth:`carry` runs."""
        if not self.source:
            return [Action("here", "nothing", webmail_data.NONE_ON_OLD)]
        target = self.target or "roundcube"
        return [
            Action(
                "new",
                f"mariadb-dump --single-transaction {target} > {BACKUPS}/before-{self.purpose}-TIME.sql",
                "what stands there now; readable by root only",
            ),
            Action(
                "old",
                f"mariadb-dump --single-transaction --skip-lock-tables --hex-blob --skip-triggers {self.source}",
                f"streams to new: {BACKUPS}/from-old.sql; sessions and caches without their rows",
            ),
            Action(
                "new",
                f"mariadb --sandbox {target}_mailmove_next < {BACKUPS}/from-old.sql",
                "into an empty database; every row compared",
            ),
            Action(
                "new",
                "updatedb.sh --package=roundcube --dir=/usr/share/roundcube/SQL",
                "Roundcube's own schema upgrade, on that database",
            ),
            Action(
                "new",
                "UPDATE … SET user_id; DELETE FROM users; UPDATE users SET mail_host",
                "who has two profiles keeps the one of the latest login, with the contacts of both; the host of imap_host on new",
            ),
            Action(
                "new",
                f"RENAME TABLE {target}.* TO {target}_mailmove_away.*, {target}_mailmove_next.* TO {target}.*",
                "one statement; Roundcube's database user and password stay",
            ),
            Action("new", f"DROP DATABASE {target}_mailmove_next, {target}_mailmove_away"),
        ]

    def carry(self) -> None:
        """Make new's webmail data those of old. Raises MoveFailed or ServerError; then new is as it was."""
        theirs, ours = roundcube.installation(self.old), roundcube.installation(self.new)
        if theirs is None or ours is None:
            return
        with databases.tidied(self.clean):
            self._carry(theirs, ours)
        self.new.refresh()

    def _carry(self, theirs: roundcube.Installation, ours: roundcube.Installation) -> None:
        self.backup(ours.prefix)
        before = self._import(theirs.prefix)
        self.progress.at("upgrading the webmail tables")
        roundcube.upgrade(self.new, self.next)
        people = roundcube.of_people(before)
        probes = {row["user_id"] for row in before.tables["users"].rows} - {
            row["user_id"] for row in people.tables["users"].rows
        }
        self._settle(ours, roundcube.merges(people.tables["users"].rows), [str(each) for each in probes])
        stored = roundcube.read(self.new, self.next, ours.prefix, before.salt)
        if roundcube.version(stored) != ours.newest:
            raise MoveFailed(
                f"Roundcube's upgrade left the tables at {roundcube.version(stored) or 'no version'} instead of {ours.newest}",
                "nothing was changed on new; run updatedb.sh by hand on a copy to see what it says",
            )
        exam = Examination("the webmail tables built", "new")
        webmail_data.compare(exam, before, stored)
        wrong = [f"{f.asked}: {f.answer}" for f in exam.close().findings if not f.verdict.holds]
        if wrong:
            raise MoveFailed(
                "webmail rows did not come through the upgrade unchanged: " + "; ".join(wrong),
                "nothing was changed on new; look at these rows on old by their numbers",
            )
        databases.act(self.new, "swap", database=self.target, result=self.next, away=self.away)
        databases.remember(self.new, webmail_data.CARRIED_OLD, before)
        databases.remember(self.new, webmail_data.CARRIED_NEW, stored)

    def _import(self, prefix: str) -> Content:
        path = f"{BACKUPS}/from-old.sql"
        salt = databases.new_salt()
        different: list[str] = []
        for _ in range(TRIES):
            self.progress.at("reading the webmail data of the old server")
            before = roundcube.read(self.old, self.source, prefix, salt)
            passing = [prefix + name for name in before.tables if name in roundcube.PASSING]
            lasting = [prefix + name for name in before.tables if name not in roundcube.PASSING]
            parts = [databases.dump_command(self.source, lasting)]
            parts += [databases.dump_command(self.source, passing, rows=False)] if passing else []
            databases.dump_to(self.old, self.new, self.source, path, parts)
            databases.act(self.new, "load", database=self.next, file=path, like=self.target)
            arrived = roundcube.read(self.new, self.next, prefix, salt)
            different = [
                name
                for name, table in before.tables.items()
                if name not in arrived.tables
                or sorted(map(repr, arrived.tables[name].rows)) != sorted(map(repr, table.rows))
            ]
            if not different:
                return before
        raise MoveFailed(
            f"the dump of {self.source} differs from the tables on old after {TRIES} tries: {', '.join(different)}",
            "is the webmail used that much just now? run it again at a quieter time",
        )

    def _settle(self, ours: roundcube.Installation, joined: list[tuple[str, str]], probes: list[str]) -> None:
        """One profile a person, at the host that new logs people in to; tables only new has stay, empty."""
        shape = {
            name: set(table.columns)
            for name, table in databases.read(
                self.new, self.next, databases.new_salt(), tables=None, plain={}
            ).tables.items()
        }
        users = sql.name(ours.prefix + "users")
        statements = ["SET SESSION foreign_key_checks=1;", "START TRANSACTION;"]
        owned = [
            t
            for t, columns in shape.items()
            if "user_id" in columns and t.removeprefix(ours.prefix) not in ("users", *roundcube.PASSING)
        ]
        for kept, other in joined:
            k, o = str(int(kept)), str(int(other))
            for table in owned:
                statements += join_rows(table, table.removeprefix(ours.prefix), k, o)
            statements.append(f"DELETE FROM {users} WHERE user_id = {o};")
        statements += [f"DELETE FROM {users} WHERE user_id = {int(each)};" for each in probes]
        if len(ours.hosts) == 1:
            statements.append(f"UPDATE {users} SET mail_host = {sql.literal(ours.hosts[0])};")
        statements.append("COMMIT;")
        live = databases.read(self.new, self.target, databases.new_salt(), plain={}).tables
        for table in live:
            if table not in shape:
                name = sql.name(table)
                statements.append(f"CREATE TABLE {name} LIKE {sql.name(self.target)}.{name};")
        sql.run(self.new, self.next, "\n".join(statements))

    def backup(self, prefix: str) -> None:
        """Dump what stands on new, once for each purpose; a later run of the same move keeps the first."""
        key = f"{self.purpose}: webmail before"
        if self.journal.recall(key):
            return
        content = databases.read(self.new, self.target, databases.new_salt(), plain={})
        path = f"{BACKUPS}/before-{self.purpose}-{time.strftime('%Y%m%d-%H%M%S')}.sql"
        databases.dump_to(self.new, self.new, self.target, path, [databases.dump_command(self.target, content.tables)])
        for name in CARRIED:
            self.new.sh(
                'set -e; [ ! -e "$1" ] || cp -p "$1" "$2"',
                f"{databases.CARRIED}/{name}.json",
                f"{path}.{name}",
                check=True,
            )
        rows = {
            name: len(table.rows)
            for name, table in content.tables.items()
            if name.removeprefix(prefix) not in roundcube.PASSING
        }
        self.journal.keep(key, {"file": path, "tables": rows})

    def restore(self) -> None:
        """Put back what stood there before :meth:`carry`. Twice equals once; what fails leaves nothing of its own."""
        saved = self.journal.recall(f"{self.purpose}: webmail before")
        with databases.tidied(self.clean):
            if saved:
                self._restore(saved["file"])
        self.new.refresh()

    def _restore(self, file: str) -> None:
        live = databases.read(self.new, self.target, databases.new_salt(), plain={})
        path = f"{BACKUPS}/at-undo-of-{self.purpose}-{time.strftime('%Y%m%d-%H%M%S')}.sql"
        databases.dump_to(self.new, self.new, self.target, path, [databases.dump_command(self.target, live.tables)])
        databases.act(self.new, "load", database=self.next, file=file, like=self.target)
        databases.act(self.new, "swap", database=self.target, result=self.next, away=self.away)
        for name in CARRIED:
            databases.forget(self.new, name)
            self.new.sh(
                'set -e; [ ! -e "$1" ] || cp -p "$1" "$2"',
                f"{file}.{name}",
                f"{databases.CARRIED}/{name}.json",
                check=True,
            )

    def restored(self) -> Evidence:
        """The webmail tables are what they were before."""
        exam = Examination(
            "the new server's webmail data are as they were before",
            "new",
            why="taking a move back leaves what was there",
            hint=f"import the dump in {BACKUPS} by hand",
        )
        saved = self.journal.recall(f"{self.purpose}: webmail before")
        if not saved:
            return exam.not_applicable("nothing was changed")
        now = databases.read(self.new, self.target, databases.new_salt(), plain={})
        for name, rows in saved["tables"].items():
            exam.equal(f"rows of {name}", len(now.tables[name].rows) if name in now.tables else "no table", rows)
        return exam.close()

    def clean(self) -> None:
        """Drop the databases that were used on the way."""
        if self.target:
            databases.act(self.new, "drop", databases=[self.next, self.away])


def join_rows(table: str, kind: str, kept: str, other: str) -> list[str]:
    """Statements that give all rows of one profile to another of the same person; nothing of a person's is lost.

    Names that must differ get their number appended, word lists are joined, an address collected twice stays once.
    """
    name = sql.name(table)
    own = f"UPDATE IGNORE {name} SET user_id = {kept} WHERE user_id = {other};"
    if kind == "identities":
        return [f"UPDATE {name} SET standard = 0 WHERE user_id = {other};", own]
    if kind in ("searches", "filestore"):
        column, number = ("name", "search_id") if kind == "searches" else ("filename", "file_id")
        renamed = f"{column} = CONCAT(LEFT({column}, 110), ' (', {number}, ')')"
        return [own, f"UPDATE {name} SET {renamed}, user_id = {kept} WHERE user_id = {other};"]
    if kind == "dictionary":
        words = f"UPDATE {name} k JOIN {name} o ON k.language = o.language SET k.data = CONCAT(k.data, ' ', o.data) "
        return [words + f"WHERE k.user_id = {kept} AND o.user_id = {other};", own]
    return [own]


class CarryRoundcube(Move):
    """Carry the webmail data to the new server.

    Succeeded: every profile, identity, contact and group of the old Roundcube is in the new one, in its schema, each person
    with one profile that belongs to the new IMAP host; nobody is logged in any more. Failed: the new webmail is as it was.
    """

    name = "roundcube"
    overtaken_by = ("freeze", "start", "switch")

    def _copy(self) -> WebmailCopy:
        return WebmailCopy(self.context, self.name)

    def needs(self) -> Iterable[Evidence]:
        yield webmail_data.roundcube_can_be_carried(self.old, self.new)
        if self._copy().applies:
            yield webmail_data.webmail_not_changed_on_new_alone(self.old, self.new)

    def plan(self) -> list[Action]:
        return self._copy().plan()

    def do(self) -> None:
        if self._copy().applies:
            self._copy().carry()

    def prove(self) -> Iterable[Evidence]:
        if not self._copy().applies:
            yield webmail_data.roundcube_can_be_carried(self.old, self.new)
            return
        yield webmail_data.webmail_data_stands_as_carried(self.new)
        yield webmail_data.webmail_knows_its_schema_and_host(self.new)

    def undo(self) -> None:
        self._copy().restore()

    def prove_undone(self) -> Iterable[Evidence]:
        yield self._copy().restored()
        # What stood there before was kept while probe accounts were at work: their profiles came back with it.
        with ProbeAccounts(self.new, self.migration):
            pass
        self.journal.forget(f"{self.name}: webmail before")
