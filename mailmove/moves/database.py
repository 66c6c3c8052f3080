"""Moving the mail accounts: domains, mailboxes, aliases, and whatever else stands in their database."""

from __future__ import annotations

import time
from collections.abc import Iterable

from checks import accounts
from mailmove import databases
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX, is_probe
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence, Examination
from mailmove.moves.base import Action, Context, Move

BACKUPS = "/var/backups/mailmove/database"  # on the new server, 0700
TRIES = 3  # somebody may change a password between the dump and the look at the rows
PROBE = {"prefix": PROBE_PREFIX, "domain": PROBE_DOMAIN}


class AccountsCopy:
    """Carries the account tables from old to new, all or nothing, and puts earlier ones back.

    The dump is read into a database of its own beside the live one, compared, brought into the shape of the new server's
    edition, compared again, and only then exchanged for the live tables by one RENAME TABLE: whoever asks meanwhile sees
    all of the old rows or all of the new ones. Users of the database, their passwords and rights are not touched.
    ``purpose`` names the backup: each move that carries has its own to go back to.
    """

    def __init__(self, context: Context, purpose: str) -> None:
        self.old, self.new = context.old, context.new
        self.journal, self.progress = context.journal, context.progress
        self.purpose = purpose
        self.source, self.target = self.old.facts.database, self.new.facts.database
        self.incoming = f"{self.target}_mailmove_incoming"
        self.next = f"{self.target}_mailmove_next"
        self.away = f"{self.target}_mailmove_away"

    def plan(self) -> list[Action]:
        """What :meth:`carry` runs."""
        return [
            Action(
                "new",
                f"mariadb-dump --single-transaction {self.target} > {BACKUPS}/before-{self.purpose}-TIME.sql",
                "what stands there now; readable by root only",
            ),
            Action(
                "old",
                f"mariadb-dump --single-transaction --skip-lock-tables --hex-blob --skip-triggers {self.source} TABLES",
                f"streams to new: {BACKUPS}/from-old.sql; only tables, no users, no rights",
            ),
            Action(
                "new",
                f"mariadb --sandbox {self.incoming} < {BACKUPS}/from-old.sql",
                "into a database beside the live one; every row compared with old's",
            ),
            Action(
                "new",
                f"build {self.next}: the new server's table definitions, widened where old's rows need it, with old's rows",
                "wider columns of new stay (quota bigint), extra tables and columns of old come along; compared again",
            ),
            Action(
                "new",
                f"RENAME TABLE {self.target}.* TO {self.away}.*, {self.next}.* TO {self.target}.*",
                "one statement: readers see all old or all new rows",
            ),
            Action("new", f"DROP DATABASE {self.incoming}, {self.next}, {self.away}"),
        ]

    def carry(self) -> None:
        """Make new's account tables those of old. Raises MoveFailed or ServerError; then new is as it was."""
        with databases.tidied(self.clean):
            self._carry()
        self.new.refresh()

    def _carry(self) -> None:
        self.backup()
        path = f"{BACKUPS}/from-old.sql"
        salt = databases.new_salt()
        for _ in range(TRIES):
            self.progress.at("reading the accounts of the old server")
            carried = databases.read(self.old, self.source, salt)
            dump = databases.dump_command(self.source, carried.tables)
            databases.dump_to(self.old, self.new, self.source, path, [dump])
            databases.act(self.new, "load", database=self.incoming, file=path, like=self.target)
            arrived = databases.read(self.new, self.incoming, salt)
            different = _different(carried, arrived)
            if not different:
                break
        else:
            raise MoveFailed(
                f"the dump of {self.source} differs from the tables on old after {TRIES} tries: {', '.join(different)}",
                "are the accounts being changed all the time (a script)? stop that for a moment and run it again",
            )
        self.progress.at("building the new account tables")
        built = databases.act(
            self.new, "build", database=self.target, source=self.incoming, result=self.next, probe=PROBE
        )
        self.journal.keep(
            "database differences", [f"{d['difference']}: {d['decided']}" for d in built if "difference" in d]
        )
        exam = Examination("the tables built", "new")
        accounts.compare_tables(exam, carried, databases.read(self.new, self.next, salt))
        wrong = [f.asked + ": " + f.answer for f in exam.close().findings if not f.verdict.holds]
        if wrong:
            raise MoveFailed(
                "rows do not fit into the new server's tables unchanged: " + "; ".join(wrong),
                "compare the table's definition on both servers (SHOW CREATE TABLE); nothing was changed on new",
            )
        databases.act(self.new, "swap", database=self.target, result=self.next, away=self.away)
        databases.remember(self.new, accounts.ACCOUNTS, carried)

    def backup(self) -> None:
        """Dump what stands on new, once for each purpose; a later run of the same move keeps the first."""
        key = f"{self.purpose}: accounts before"
        if self.journal.recall(key):
            return
        content = databases.read(self.new, self.target, databases.new_salt())
        path = f"{BACKUPS}/before-{self.purpose}-{time.strftime('%Y%m%d-%H%M%S')}.sql"
        databases.dump_to(self.new, self.new, self.target, path, [databases.dump_command(self.target, content.tables)])
        self.new.sh(
            'set -e; [ ! -e "$1" ] || cp -p "$1" "$2"',
            f"{databases.CARRIED}/{accounts.ACCOUNTS}.json",
            f"{path}.carried",
            check=True,
        )
        rows = {
            name: [len(table.rows), accounts.digest(accounts.people_only(table), list(table.columns))]
            for name, table in content.tables.items()
        }
        self.journal.keep(key, {"file": path, "salt": content.salt, "tables": rows})

    def restore(self) -> None:
        """Put back what stood there before :meth:`carry`. Twice equals once; what fails leaves nothing of its own."""
        saved = self.journal.recall(f"{self.purpose}: accounts before")
        with databases.tidied(self.clean):
            if saved:
                self._restore(saved["file"])
        self.new.refresh()

    def _restore(self, file: str) -> None:
        live = databases.read(self.new, self.target, databases.new_salt())
        path = f"{BACKUPS}/at-undo-of-{self.purpose}-{time.strftime('%Y%m%d-%H%M%S')}.sql"
        databases.dump_to(self.new, self.new, self.target, path, [databases.dump_command(self.target, live.tables)])
        databases.act(self.new, "load", database=self.incoming, file=file, like=self.target)
        databases.act(
            self.new, "build", database=self.target, source=self.incoming, result=self.next, shape="source", probe=PROBE
        )
        databases.act(self.new, "swap", database=self.target, result=self.next, away=self.away)
        databases.forget(self.new, accounts.ACCOUNTS)
        self.new.sh(
            'set -e; [ ! -e "$1" ] || cp -p "$1" "$2"',
            f"{file}.carried",
            f"{databases.CARRIED}/{accounts.ACCOUNTS}.json",
            check=True,
        )

    def restored(self) -> Evidence:
        """The account tables are what they were before."""
        exam = Examination(
            "the new server's account tables are as they were before",
            "new",
            why="taking a move back leaves what was there",
            hint=f"import the dump in {BACKUPS} by hand",
        )
        saved = self.journal.recall(f"{self.purpose}: accounts before")
        if not saved:
            return exam.not_applicable("nothing was changed")
        now = databases.read(self.new, self.target, saved["salt"])
        exam.equal("tables", sorted(now.tables), sorted(saved["tables"]))
        for name, (_, before) in saved["tables"].items():
            if name in now.tables:
                table = now.tables[name]
                rows = accounts.people_only(table)
                exam.expect(
                    f"table {name}",
                    f"{len(rows)} rows, {accounts.digest(rows, list(table.columns))}",
                    accounts.digest(rows, list(table.columns)) == before,
                    before,
                )
        return exam.close()

    def clean(self) -> None:
        """Drop the databases that were used on the way."""
        if self.target:
            databases.act(self.new, "drop", databases=[self.incoming, self.next, self.away])


def _different(one: databases.Content, other: databases.Content) -> list[str]:
    return [
        name
        for name, table in one.tables.items()
        if name not in other.tables
        or accounts.digest(table.rows, list(table.columns))
        != accounts.digest(other.tables[name].rows, list(table.columns))
    ]


class CarryDatabase(Move):
    """Carry the mail accounts to the new server.

    Succeeded: the new server has every domain, mailbox (password and quota) and alias of the old one, in its own edition's
    tables; Postfix and Dovecot there find each of them; the database's own users and passwords are the new server's.
    Failed: the new server's accounts are as they were before.
    """

    name = "database"
    overtaken_by = ("freeze", "start", "switch")  # Dovecot cannot be asked, then people change their passwords on new

    def needs(self) -> Iterable[Evidence]:
        yield accounts.accounts_can_be_carried(self.old, self.new)
        if self.old.facts.database:
            yield accounts.nothing_else_in_the_database(self.old)
        if self.old.facts.database and self.new.facts.database:
            yield accounts.nothing_changed_on_new_alone(self.old, self.new)

    def plan(self) -> list[Action]:
        gone = sorted(set(self.new.facts.users) - set(self.old.facts.users))
        people = [user for user in gone if not is_probe(user)]
        extra = (
            [
                Action(
                    "new",
                    "accounts there that old does not have go: " + ", ".join(people[:20]),
                    "they are in the backup",
                )
            ]
            if people
            else []
        )
        return AccountsCopy(self.context, self.name).plan() + extra

    def do(self) -> None:
        AccountsCopy(self.context, self.name).carry()

    def prove(self) -> Iterable[Evidence]:
        yield accounts.accounts_stand_as_carried(self.new)
        yield accounts.postfix_knows_every_address(self.old, self.new)
        yield accounts.dovecot_knows_every_user(self.new)
        yield self._what_was_decided()

    def _what_was_decided(self) -> Evidence:
        exam = Examination(
            "differences of the two servers' tables, and what was decided",
            "both",
            why="the new server's edition may have wider columns; extra tables and columns of old are somebody's work",
            hint="nothing has to be done; look whether the programs that use the extra tables are on new, too",
            required=False,
        )
        for each in self.journal.recall("database differences", []) or ["none"]:
            exam.expect("difference", each, True)
        return exam.close()

    def undo(self) -> None:
        AccountsCopy(self.context, self.name).restore()
        self.journal.forget("database differences")

    def prove_undone(self) -> Iterable[Evidence]:
        yield AccountsCopy(self.context, self.name).restored()
        self.journal.forget(f"{self.name}: accounts before")
