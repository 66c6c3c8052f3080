"""The command `mailmove queue`: what waits on either server, with its cause and age; and the admin's hand on single letters."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mailmove import labmode, migration, stuck
from mailmove.errors import MailmoveError, ServerError
from mailmove.journal import Journal
from mailmove.postfix import Queued
from mailmove.report.display import tame
from mailmove.server import Role, Server

LOOK_AGAIN_S = 5


def add(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Make the command known."""
    text = "what waits in the queues and why; try a letter again, release it, or remove it and keep a copy"
    parser = tools.add_parser("queue", help=text, description=text)
    parser.add_argument("action", nargs="?", choices=["list", "watch", "retry", "release", "remove"], default="list")
    parser.add_argument("ids", nargs="*", metavar="ID", help="queue ids, for retry, release and remove")
    parser.add_argument(
        "--server", choices=["old", "new"], default="new", help="whose letters the ids are (default: new)"
    )
    parser.add_argument("--copies", type=Path, metavar="DIR", help="default: removed/ beside mailmove.toml")
    parser.add_argument("--settings", type=Path, metavar="FILE", default=Path("mailmove.toml"))
    parser.add_argument("--old", metavar="LOGIN@HOST")
    parser.add_argument("--new", metavar="LOGIN@HOST")
    parser.add_argument("--lab", nargs="?", const="main", metavar="NAME", help="on the lab's servers")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List, watch, or lay hands on letters. Raises MailmoveError; what was refused has changed nothing."""
    labmode.enter_command(arguments)
    home = arguments.settings.resolve().parent
    plan = migration.load(arguments.settings, arguments.old, arguments.new, Journal.pinned(home))
    try:
        if arguments.action in ("list", "watch"):
            if arguments.ids:
                raise MailmoveError(f"{arguments.action} takes no queue ids", "retry, release and remove do")
            return _watch([plan.old, plan.new]) if arguments.action == "watch" else _list([plan.old, plan.new])
        server, copies = plan.old if arguments.server == "old" else plan.new, arguments.copies or home / "removed"
        _handle(server, arguments, copies, partial(Journal.note, plan.journal_file))
        return 0
    finally:
        plan.connection.close()


def _list(servers: list[Server]) -> int:
    """Show both queues. A server that cannot be asked is said so, and is no reason not to show the other's."""
    unseen = 0
    for server in servers:
        try:
            letters = stuck.waiting(server)
        except ServerError as error:
            unseen += 1
            print(f"{server.role}: not looked at: {error}", file=sys.stderr)
            continue
        print(f"{server.role}: {len(letters)} in the queue")
        for each in letters:
            print("  " + tame(each.words(time.time())))
    return 1 if unseen else 0


def _watch(servers: list[Server]) -> int:
    """Say what begins to wait, what its cause becomes, and what went; until Ctrl-C."""
    known: dict[Role, dict[str, str]] = {server.role: {} for server in servers}
    silent: set[Role] = set()

    def say(role: Role, words: str) -> None:
        print(f"{time.strftime('%T')} {role}: {tame(words)}", flush=True)

    print("watching both queues; Ctrl-C ends it", flush=True)
    while True:
        for server in servers:
            role = server.role
            try:
                now = {each.id: each for each in stuck.waiting(server) if each.waits}
            except ServerError as error:
                if role not in silent:
                    say(role, f"not looked at: {error}")
                silent.add(role)
                continue
            silent.discard(role)
            causes = {each.id: f"{each.queue} {sorted(to.reason for to in each.recipients)}" for each in now.values()}
            for each in now.values():
                if known[role].get(each.id) != causes[each.id]:
                    say(role, each.words(time.time()))
            for gone in known[role].keys() - now.keys():
                say(role, f"{gone} waits no more")
            known[role] = causes
        time.sleep(LOOK_AGAIN_S)


def _handle(server: Server, arguments: argparse.Namespace, copies: Path, note: stuck.Note) -> None:
    letters = stuck.chosen(server, arguments.ids)
    if arguments.action == "remove":
        for each in stuck.remove(server, letters, copies, note):
            print(f"{each.letter.id} is out of the queue of the {server.role} server; its copy: {each.copy}")
            print(f"  hand it in once more, from that directory: {tame(each.again)}")
        return
    act: Callable[[Server, list[Queued]], None] = stuck.retry if arguments.action == "retry" else stuck.release
    act(server, letters)
    for letter in letters:
        print(f"{letter.id} is tried at once; `mailmove queue` shows what became of it")
