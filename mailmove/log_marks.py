"""Whether a mail log still holds what it held: the last line of each is noted whenever mailmove comes by.

A log that was emptied looks like one in which nothing happened; a letter that was lost then is lost without a trace. Each line
that was noted must be found again when the log is read: if one is not, others are missing with it. Of a line its time and
its digest are kept: who wrote to whom is nobody's business here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from mailmove.errors import MailmoveError, ServerError
from mailmove.journal import Journal
from mailmove.server import Role, Server

KEY = "log mark"
Mark = tuple[float, str]
"""When a line was written, by the server's clock, and its digest."""


def note(journal: Journal, servers: Iterable[Server]) -> None:
    """Note the last line of each server's log, but not while people wait: in the downtime each question counts.

    One that cannot be had holds nothing up: the others tell as well.
    """
    if journal.people_wait:
        return
    every = list(servers)
    with ThreadPoolExecutor(len(every)) as pool:
        for server, mark in zip(every, pool.map(_last, every), strict=True):
            if mark is not None:
                with contextlib.suppress(MailmoveError):  # a journal that cannot be written says so at the next entry
                    journal.keep_first(f"{KEY} {server.role} {mark[1]}", [server.role, *mark])


def noted(journal: Journal, role: Role) -> list[Mark]:
    """What was noted of this server's log."""
    return [(at, digest) for of, at, digest in journal.recall_all(f"{KEY} ") if of == role]


def _last(server: Server) -> Mark | None:
    try:
        (said,) = server.remote("maillog", {"mark": True}, timeout_s=60)
    except ServerError:
        return None
    return (said["mark"][0], said["mark"][1]) if said["mark"] else None
