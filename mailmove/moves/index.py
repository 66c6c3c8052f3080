"""Indexes, virtual sizes and quotas of all mailboxes on new, made by Dovecot from what was copied.

They are built outside of the downtime: after the hot copies, and once more wholly when people are back. In between, the
folders that the cold copy touches lose theirs, and Dovecot makes them again when such a folder is opened. Dovecot must
run for it (the guide's own order, with Dovecot stopped, ends in a panic). Indexes are disposable: nothing here touches
a letter, a UID or a flag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks import dovecot_view, start
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence
from mailmove.moves.base import Action, Context, Move
from mailmove.server import Server
from mailmove.units import is_running

TIME_S = 6 * 3600
_FAULT = re.compile(r"\b(Error|Fatal|Panic)\b")
_TRIES = 3
# An index still named a letter that a copy took away, a UID list was broken on old, or a letter's name tells another size than
# it has: by saying so Dovecot has noticed, and does not stumble again. Of such lists and names the comparison tells.
_OUTDATED = re.compile(
    r"Message was expunged|Broken file \S.*/dovecot-uidlist line"
    r"|Cached message size (larger|smaller) than expected|Deleting corrupted cache record"
)
# A directory whose name is no folder's: Dovecot lists it, cannot open it, and goes on. The acceptance names it.
_NO_FOLDER = re.compile(r"Invalid mailbox name|Mailbox doesn't exist")
_NEXT = re.compile(r"\n(?=doveadm\b|$)")  # the name of a folder may have a line end in it
_ADDED = ["doveadm", "index", "-A", "*"]
_ANEW = ["doveadm", "force-resync", "-A", "*"]
_SIZES = ["doveadm", "mailbox", "status", "-A", "messages vsize", "*"]
_QUOTAS = ["doveadm", "quota", "recalc", "-A"]


def _commands(new: Server, first: list[str]) -> list[list[str]]:
    """In the order that works."""
    quotas = "quota" in new.facts.doveconf.get("mail_plugins", "").split()
    return [first, _SIZES, *([_QUOTAS] if quotas else [])]


def plan(*, anew: bool = False) -> list[Action]:
    """The commands for people to read."""
    return [
        Action("new", "doveadm force-resync -A '*'", "every folder's index is built anew from its letters")
        if anew
        else Action("new", "doveadm index -A '*'", "every folder's index is built, while people use the old server"),
        Action("new", "doveadm mailbox status -A 'messages vsize' '*'", "virtual sizes, which quotas count, are known"),
        Action("new", "doveadm quota recalc -A", "quotas are counted anew (where the quota plugin is loaded)"),
    ]


def build(context: Context) -> bool:
    """Build what is missing, before the downtime. Returns whether it could: Dovecot on new must run."""
    if not is_running(context.new, "dovecot.service"):
        context.progress.say("no indexes are built: Dovecot does not run on the new server; it makes them when needed")
        return False
    _run(context, _ADDED)
    return True


def _run(context: Context, first: list[str]) -> None:
    """Raises MoveFailed when Dovecot complains of anything, or does not know a mailbox of old."""
    known = set(context.new.run("doveadm", "user", "*", timeout_s=600, check=True).out.split("\n"))
    unknown = [user for user in context.old.facts.users if user not in known]
    if unknown:
        # With nobody to do it for, the commands below succeed without a word.
        raise MoveFailed(
            f"Dovecot on the new server does not know {len(unknown)} of {len(context.old.facts.users)} mailboxes,"
            f" for example {unknown[0]}",
            "carry the accounts over first; and its userdb needs an iterate_query (guide: Setting up Dovecot)",
        )
    for argv in _commands(context.new, first):
        context.progress.at(f"indexes: {' '.join(argv[:3])}")
        for _ in range(_TRIES):
            said = context.new.run(*argv, timeout_s=TIME_S)
            complaints = [line for line in _NEXT.split(said.err) if _FAULT.search(line)]
            faults = [line for line in complaints if not _NO_FOLDER.search(line)]
            if not faults or not all(map(_OUTDATED.search, faults)):
                break
        if (said.ok or complaints) and not faults:
            continue
        raise MoveFailed(
            f"{' '.join(argv)} on the new server ended with {said.rc}: " + "\n  ".join((faults or [said.text])[:20]),
            "see Dovecot's log on the new server, mend what it names and run it again. What Dovecot on the old server cannot read either"
            " is to be mended there, as the copy brings it as it is: a file or directory that is another's (chown), a letter whose name"
            " tells another size than it has (rename it, without ,S=… and ,W=…), a link to nothing (remove it), a folder that has"
            " given its last UID (move its dovecot-uidlist away)",
        )


class Indexes(Move):
    """Building the indexes of all mailboxes anew.

    When it succeeds, Dovecot's indexes, virtual sizes and quotas are made of what lies on the disk, as the guide has it,
    while people read their mail. When it fails, people read their mail all the same; run it again.
    """

    name = "indexes"

    def needs(self) -> Iterable[Evidence]:
        yield start.has_started(self.journal)

    def plan(self) -> list[Action]:
        return plan(anew=True)

    def do(self) -> None:
        _run(self.context, _ANEW)

    def prove(self) -> Iterable[Evidence]:
        yield dovecot_view.dovecot_shows_what_is_there(self.new)
        yield dovecot_view.quotas_count_what_is_there(self.new)

    def undo(self) -> None:
        """Nothing to do: indexes hold nothing of their own."""
