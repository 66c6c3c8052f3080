"""Indexes, virtual sizes and quotas of all mailboxes on new, made anew by Dovecot from what was copied.

Dovecot must run (the guide's own order, with Dovecot stopped, ends in a panic). Indexes are disposable: nothing here
touches a letter, a UID or a flag.
"""

from __future__ import annotations

import re

from mailmove.errors import MoveFailed
from mailmove.moves.base import Action, Context
from mailmove.server import Server

TIME_S = 6 * 3600
_FAULT = re.compile(r"\b(Error|Fatal|Panic)\b")


def commands(new: Server) -> list[tuple[list[str], str]]:
    """The commands in the order that works, each with what it is for."""
    every = [
        (["doveadm", "force-resync", "-A", "*"], "every folder's index is built from its letters"),
        (["doveadm", "mailbox", "status", "-A", "messages vsize", "*"], "virtual sizes, which quotas count, are known"),
    ]
    if "quota" in new.facts.doveconf.get("mail_plugins", "").split():
        every.append((["doveadm", "quota", "recalc", "-A"], "quotas are counted anew"))
    return every


def plan() -> list[Action]:
    """The commands for people to read."""
    return [
        Action("new", "doveadm force-resync -A '*'", "every folder's index is built from its letters"),
        Action("new", "doveadm mailbox status -A 'messages vsize' '*'", "virtual sizes, which quotas count, are known"),
        Action("new", "doveadm quota recalc -A", "quotas are counted anew (where the quota plugin is loaded)"),
    ]


def rebuild(context: Context) -> None:
    """Build them. Raises MoveFailed when Dovecot complains of anything, or does not know a mailbox of old."""
    known = set(context.new.run("doveadm", "user", "*", timeout_s=600, check=True).out.split("\n"))
    unknown = [user for user in context.old.facts.users if user not in known]
    if unknown:
        # With nobody to do it for, the commands below succeed without a word.
        raise MoveFailed(
            f"Dovecot on the new server does not know {len(unknown)} of {len(context.old.facts.users)} mailboxes,"
            f" for example {unknown[0]}",
            "carry the accounts over first; and its userdb needs an iterate_query (guide: Setting up Dovecot)",
        )
    for argv, what in commands(context.new):
        context.progress.at(f"indexes: {what}")
        said = context.new.run(*argv, timeout_s=TIME_S)
        faults = [line for line in said.err.splitlines() if _FAULT.search(line)]
        if said.ok and not faults:
            continue
        raise MoveFailed(
            f"{' '.join(argv)} on the new server ended with {said.rc}: " + "\n  ".join((faults or [said.text])[:5]),
            "see Dovecot's log on the new server, mend what it names and run it again",
        )
