"""Queues of a server, as a person should see them after the move."""

from __future__ import annotations

import time

from mailmove import postfix
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

CHAPTER = "guide: Migrating from your old server; monitoring and backup"
SETTLE_S = 60  # a letter younger than this may simply be under way


def nothing_is_stuck(server: Server, *, required: bool = True) -> Evidence:
    """Every letter in the queue is shown; none waits for a mailbox of this server."""
    exam = Examination(
        "no letter is stuck in the queue",
        server.role,
        why="people wait for these letters",
        hint="mend the cause named, then: mailmove queue retry ID (or release one on hold; remove takes one out and keeps a "
        f"copy) ({CHAPTER})",
        required=required,
    )
    try:
        waiting = postfix.queue(server)
    except ServerError as error:
        exam.unknown("postqueue -j", error.fact)
        return exam.close()
    now, here = time.time(), set(server.facts.domains)
    exam.expect("letters in the queue", len(waiting), True)
    for each in waiting:
        if each.is_ours:
            continue
        # Elsewhere's servers may be slow or down; a mailbox here is this server's own business.
        stuck = bool(each.to(here)) and each.waits and now - each.arrived > SETTLE_S
        words = each.words(now)
        if stuck:
            exam.expect("waits for a mailbox here", words, False, "delivered")
        else:
            exam.expect("under way" if each.to(here) else "waits for a server elsewhere", words, True)
    return exam.close()


def what_waits_on_old(old: Server) -> Evidence:
    """What still waits on the old server is shown, and goes on being tried."""
    exam = Examination(
        "what waits on the old server is known",
        "old",
        why="it goes on being tried from there; before the server is dismissed it must be gone",
        hint="postcat -q ID shows a letter, postqueue -i ID tries it again",
    )
    try:
        waiting = [each for each in postfix.queue(old) if not each.is_ours]
    except ServerError as error:
        exam.unknown("postqueue -j", error.fact)
        return exam.close()
    now, here = time.time(), set(old.facts.domains)
    exam.expect("letters in the queue", len(waiting), True)
    for each in waiting:
        # Put off by the new server it is safe; with no answer from there it hangs.
        hangs = bool(each.to(here)) and each.queue == "deferred" and not all("said:" in r.reason for r in each.to(here))
        where = "waits for the new server" if each.to(here) else "waits for a server elsewhere"
        exam.expect(where, each.words(now), not hangs, "delivered, or an answer")
    return exam.close()
