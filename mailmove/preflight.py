"""Whether these two machines can be a migration at all: asked before anything else, of both at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mailmove.errors import MailmoveError, ServerError, Unreachable
from mailmove.migration import Migration
from mailmove.server import Facts, Role, Server

NEWER = {11: (12, 13), 12: (12, 13)}  # which releases may follow which
SPARE = 1.1  # the copy and what arrives while it runs


WITHOUT_NEW = (
    "mend the way to it, then --undo again: it brings along what only the new server has. If it is gone for good,"
    " `mailmove without-new` puts the old one back into service and names what stays behind (docs/what-if.md)"
)


def look(migration: Migration, *, moved: bool = False, moving: bool = True, back: bool = False) -> None:
    """Refuse two machines that cannot be old and new. ``moved``: mail has been copied already, by the journal.

    Not ``moving``, what keeps the new server from taking the mail is left to the scenarios that look at it. ``back``: on
    the way back, which there is even when new is gone.

    Raises MailmoveError with every problem found, each with its hint. Changes nothing.
    """
    with ThreadPoolExecutor(2) as pool:
        facts = list(pool.map(_facts, (migration.old, migration.new)))
    errors = [f for f in facts if isinstance(f, MailmoveError)]
    if back and moved and isinstance(facts[1], Unreachable) and not isinstance(facts[0], MailmoveError):
        raise Unreachable(facts[1].fact, f"{facts[1].hint}\n      {WITHOUT_NEW}")
    if errors:
        raise ServerError("\n".join(e.fact for e in errors), errors[0].hint)
    old, new = migration.old.facts, migration.new.facts
    for problem in _problems(migration, old, new, moved):
        raise problem
    for problem in _obstacles(old, new, moved) if moving else ():
        raise problem


def _facts(server: Server) -> Facts | MailmoveError:
    try:
        return server.facts
    except MailmoveError as error:
        return error


def _problems(migration: Migration, old: Facts, new: Facts, moved: bool) -> Iterator[MailmoveError]:
    for role, facts, target in (("old", old, migration.old.target), ("new", new, migration.new.target)):
        if not facts.root:
            yield MailmoveError(
                f"the login on the {role} server ({target}) is not root",
                f"use an ssh target that logs in as root, like root@{facts.fqdn}, or as somebody whom sudo makes root",
            )
    if old.machine_id and old.machine_id == new.machine_id:
        yield MailmoveError(
            f"old ({migration.old.target}) and new ({migration.new.target}) are the same machine: {old.fqdn}",
            "name two different servers; a clone needs a machine id of its own (systemd-machine-id-setup)",
        )
    if old.debian and new.debian and old.debian > new.debian:
        yield MailmoveError(
            f"old runs {old.release} and new runs {new.release}: the old one is the newer",
            "exchange servers.old and servers.new (or --old and --new)",
        )
    if old.users == [] and new.users and not moved:
        yield MailmoveError(
            f"the old server has no mailboxes and the new one has {len(new.users)}: they seem to be swapped",
            "exchange servers.old and servers.new (or --old and --new)",
        )
    if old.debian not in NEWER:
        yield _wrong_release("old", old, tuple(NEWER))
    if not old.domains:
        yield MailmoveError(
            f"the old server ({old.fqdn}) hosts no domains"
            + (f" in its database {old.database!r}" if old.database else ": no Postfix map names a database")
            + "".join(f"\n  {p}" for p in old.problems[:5]),
            "check that it is the mail server, and virtual_mailbox_domains there",
        )
    if not old.users:
        yield MailmoveError(
            f"the old server ({old.fqdn}) has no mailboxes in its database {old.database!r}",
            "check that it is the mail server that is to be moved",
        )
    if not moved and old.mail_bytes < 0:
        yield MailmoveError(
            f"how much mail the old server holds could not be measured: {'; '.join(old.problems[:3])}",
            f"try it there: du -s {old.mail_root}",
        )


def _obstacles(old: Facts, new: Facts, moved: bool) -> Iterator[MailmoveError]:
    """What keeps the new server from taking the old one's mail."""
    wanted = NEWER.get(old.debian, (12, 13))
    if new.debian not in wanted:
        yield _wrong_release("new", new, wanted)
    if new.mail_root and not moved and new.free_bytes < old.mail_bytes * SPARE:
        yield MailmoveError(
            f"the disk of the new server is too small: {new.free_bytes / 1e6:,.0f} MB free at {new.mail_root}, "
            f"the old mail takes {old.mail_bytes / 1e6:,.0f} MB",
            "enlarge the disk, or mount a larger one there",
        )


def _wrong_release(role: Role, facts: Facts, wanted: tuple[int, ...]) -> MailmoveError:
    releases = " or ".join(f"Debian {number}" for number in wanted)
    return MailmoveError(
        f"the {role} server runs {facts.release}; mailmove needs {releases} there",
        "name the right server, or install that release",
    )
