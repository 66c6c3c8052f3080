"""The command `mailmove without-new`: the old server back in service when the new one is gone for good."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mailmove import labmode, migration
from mailmove.claim import Claim
from mailmove.errors import Refused
from mailmove.journal import Journal
from mailmove.moves import moved_by, without_new
from mailmove.moves.base import Context
from mailmove.report.display import tame


def add(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Make the command known."""
    text = "the old server back in service when the new one is gone for good: its mail is not carried, but named"
    parser = tools.add_parser("without-new", help=text, description=text)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--settings", type=Path, metavar="FILE", default=Path("mailmove.toml"))
    parser.add_argument("--lab", nargs="?", const="main", metavar="NAME", help="on the lab's servers")
    parser.set_defaults(run=run)


class Lines:
    """Progress, a line each."""

    def say(self, text: str) -> None:
        print(tame(text), flush=True)

    def at(self, text: str, done: float = 0, total: float = 0) -> None:
        pass


def run(arguments: argparse.Namespace) -> int:
    """Ask, and go back. Raises MailmoveError; what was refused has changed nothing."""
    labmode.enter_command(arguments)
    home = arguments.settings.resolve().parent
    plan = migration.load(arguments.settings, pinned=Journal.pinned(home))
    try:
        if not Journal.exists(plan.journal_file):
            raise Refused(
                f"there is no journal in {home}: nothing was moved from here", "call it where mailmove.toml lies"
            )
        # Which two machines cannot be asked of new: the pinned addresses stand
        journal = Journal(plan.journal_file, None)
        claim = Claim([plan.old], plan.directory, "without-new")
        try:
            claim.hold()
            moved_by.refuse_other(journal, [plan.old])
            context = Context(plan, journal, Lines(), still_ours=claim.hold)
            return _go(context, home / "letters-only-new-has.txt", arguments)
        finally:
            claim.release()
            journal.close()
    finally:
        plan.connection.close()


def _go(context: Context, unknown: Path, arguments: argparse.Namespace) -> int:
    without_new.needs(context)
    name = context.old.facts.fqdn
    print(f"{name} ({context.old.target}) goes back into service, without {context.new.target}:")
    print("\n".join(f"  {line}" for line in without_new.plan(context.journal)))
    if not (arguments.yes or arguments.lab):
        if not sys.stdin.isatty():
            raise Refused("nobody is there to agree", "add --yes, or run it in a terminal")
        if input("Type the old server's full name to go on: ").strip() != name:
            raise Refused(f"that is not {name!r}", "nothing was changed")
    for evidence in without_new.go_back(context):
        without_new.judge(evidence)
        print(f"proved: {evidence.title}")
    if context.journal.touched("start"):
        count = without_new.write_down_unknown(context, unknown)
        print(
            f"{count:,} letters that the old server handed to the new one: their fate is unknown. They stand in {unknown}"
        )
        print("what to do should its disk be found: docs/what-if.md")
    print("the journey ends here; keep the new server off the network: it would take mail that nobody reads")
    return 0
