"""Which journal the servers are moved by: it stands on both, so that no other one goes on from what it does not know.

A second laptop whose journal is a copy of last week's, or none at all, would take the old server at rest for one that always
rested, and stop the new one while it serves. The claim (:mod:`mailmove.claim`) keeps two runs apart at one time; this keeps two
journals apart for as long as something is moved.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from mailmove.errors import Refused, ServerError
from mailmove.journal import Journal
from mailmove.moves.service_state import put_file
from mailmove.server import Server

FILE = "/var/backups/mailmove/moved-by"
KEY = "journal id"
_TAKE = 'rm -f -- "$1"; rmdir -- "${1%/*}" 2>/dev/null || true'


def refuse_other(journal: Journal, servers: Iterable[Server]) -> None:
    """Raises Refused when a server was moved by another journal, or by a later state of this one."""
    every = list(servers)
    with ThreadPoolExecutor(len(every)) as pool:
        for server, said in zip(every, pool.map(_read, every), strict=True):
            if not said:
                continue
            where = f"{said.get('where', 'an unknown place')}, at {_clock(said.get('at'))}"
            if said.get("journal") != journal.recall(KEY):
                what = f"the {server.role} server is being moved by another journal: {where}"
            elif int(said.get("entries", 0)) > journal.length:
                what = f"the {server.role} server was moved further than this journal knows: {where}"
            else:
                continue
            raise Refused(
                what,
                "go on there, or copy mailmove.toml, mailmove.journal and what lies beside them from there as they are now. If that"
                f" journal is lost for good, rm {FILE} on both servers: what was moved is not known then, nor how it is taken back",
            )


def note(journal: Journal, servers: Iterable[Server]) -> None:
    """Write it on both servers, but not while people wait.

    A server on which it cannot be written holds nothing up: the move itself says what is wrong there.
    """
    if not journal.people_wait:
        _note(journal, list(servers))


def note_end(journal: Journal, servers: Iterable[Server]) -> None:
    """At the end of a run: how far it came; away with it if nothing is moved any more."""
    if any(journal.touched(move) for move in {entry.move for entry in journal.entries()}):
        _note(journal, list(servers))
    else:
        forget(list(servers))


def _note(journal: Journal, servers: Sequence[Server]) -> None:
    own = {
        "journal": journal.keep_first(KEY, secrets.token_hex(8)),
        "entries": journal.length,
        "where": f"{getpass.getuser()}@{socket.gethostname()}:{journal.path.parent}",
        "at": time.time(),
    }
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(partial(_write, json.dumps(own)), servers))


def forget(servers: Sequence[Server]) -> None:
    """Whichever journal it was: the servers are no longer moved by it."""
    for server in servers:
        _take_away(server)


def _read(server: Server) -> dict[str, Any]:
    text = server.sh('cat -- "$1" 2>/dev/null', FILE).out
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _write(text: str, server: Server) -> None:
    with contextlib.suppress(ServerError):
        server.run("install", "-d", "-m", "0700", FILE.rpartition("/")[0], check=True)
        put_file(server, FILE, text, "0600")


def _take_away(server: Server) -> None:
    with contextlib.suppress(ServerError):
        server.sh(_TAKE, FILE)


def _clock(at: object) -> str:
    return time.strftime("%F %T", time.localtime(at)) if isinstance(at, int | float) else "an unknown time"
