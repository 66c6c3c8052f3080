"""The command `mailmove queue`: what waits on either server, with its cause and age; and the admin's hand on single letters."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mailmove import migration, stuck
from mailmove.errors import MailmoveError
from mailmove.journal import Journal
from mailmove.lab.lab import Lab
from mailmove.postfix import Queued
from mailmove.report.display import tame
from mailmove.server import Role, Server

LOOK_AGAIN_S = 5
INSIDE = "MAILMOVE_LAB_INSIDE"


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
    parser.add_argument("--old", metavar="root@HOST")
    parser.add_argument("--new", metavar="root@HOST")
    parser.add_argument("--lab", nargs="?", const="main", metavar="NAME", help="on the lab's servers")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List, watch, or lay hands on letters. Raises MailmoveError; what was refused has changed nothing."""
    if arguments.lab:
        lab = Lab(arguments.lab)
        if os.environ.get(INSIDE) != arguments.lab:
            os.environ[INSIDE] = arguments.lab
            argv = lab.command([sys.executable, "-m", "mailmove", *sys.argv[1:]])
            os.execvp(argv[0], argv)
        arguments.settings = lab.settings_file
    home = arguments.settings.resolve().parent
    plan = migration.load(arguments.settings, arguments.old, arguments.new, Journal.pinned(home))
    try:
        if arguments.action in ("list", "watch"):
            if arguments.ids:
                raise MailmoveError(f"{arguments.action} takes no queue ids", "retry, release and remove do")
            return _watch([plan.old, plan.new]) if arguments.action == "watch" else _list([plan.old, plan.new])
        _handle(plan.old if arguments.server == "old" else plan.new, arguments, arguments.copies or home / "removed")
        return 0
    finally:
        plan.connection.close()


def _list(servers: list[Server]) -> int:
    for server in servers:
        letters = stuck.waiting(server)
        print(f"{server.role}: {len(letters)} in the queue")
        for each in letters:
            print("  " + tame(each.words(time.time())))
    return 0


def _watch(servers: list[Server]) -> int:
    """Say what begins to wait, what its cause becomes, and what went; until Ctrl-C."""
    known: dict[tuple[Role, str], str] = {}
    print("watching both queues; Ctrl-C ends it", flush=True)
    while True:
        now = {(server.role, each.id): each for server in servers for each in stuck.waiting(server) if each.waits}
        for key, each in now.items():
            cause = f"{each.queue} {sorted(to.reason for to in each.recipients)}"
            if known.get(key) != cause:
                print(f"{time.strftime('%T')} {key[0]}: {tame(each.words(time.time()))}", flush=True)
            known[key] = cause
        for key in [*known]:
            if key not in now:
                print(f"{time.strftime('%T')} {key[0]}: {key[1]} waits no more", flush=True)
                del known[key]
        time.sleep(LOOK_AGAIN_S)


def _handle(server: Server, arguments: argparse.Namespace, copies: Path) -> None:
    letters = stuck.chosen(server, arguments.ids)
    if arguments.action == "remove":
        for each in stuck.remove(server, letters, copies):
            print(f"{each.letter.id} is out of the queue of the {server.role} server; its copy: {each.copy}")
            print(f"  hand it in once more, from that directory: {tame(each.again)}")
        return
    act: Callable[[Server, list[Queued]], None] = stuck.retry if arguments.action == "retry" else stuck.release
    act(server, letters)
    for letter in letters:
        print(f"{letter.id} is tried at once; `mailmove queue` shows what became of it")
