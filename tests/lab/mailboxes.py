"""Two servers of a lab, people at work on them, and the moves of the mailboxes between them."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from checks import mailstore
from mailmove.compare import Comparison
from mailmove.evidence import Evidence
from mailmove.journal import Journal
from mailmove.lab.lab import Lab
from mailmove.migration import load
from mailmove.moves.base import Context, Move, Runner
from mailmove.moves.cold_copy import ColdCopy
from mailmove.progress import Deadline
from mailmove.server import Server

NEWNET = 0x40000000  # CLONE_NEWNET
UNITS = "dovecot.socket dovecot.service"
# Independent of all that mailmove uses: every file's name and bytes, but what Dovecot makes anew.
ALL_FILES = r"""cd /var/vmail && find . \( -name 'mailmove-probe-*' -o -path './probe.mailmove.invalid' -o -path '*/tmp/*' \) -prune -o \
-type f ! -name 'dovecot.index*' ! -name 'dovecot.list.index*' ! -name 'dovecot.mailbox.log*' ! -name '*.lock' \
! -name '*.svbin' ! -name maildirsize -print0 | sort -z | xargs -0 sha256sum --zero | tr '\0' '\n'"""

# Runs on old: reads one JSON list of acts, does them by LMTP and IMAP, and says what could not be done.
DRIVER = r"""
import imaplib, json, smtplib, sys, time
user, password, acts = json.loads(sys.stdin.readline())
imap = imaplib.IMAP4("localhost"); imap.login(user, password)
refused = []
def ask(what, *args):
    kind, data = getattr(imap, what)(*args)
    if kind != "OK":
        refused.append([what, repr(data)])
    return kind == "OK"
def some(folder, number):
    if not ask("select", '"%s"' % folder):
        return None
    found = imap.uid("search", None, "ALL")[1][0].split()
    return found[number % len(found)].decode() if found else None
for act, *args in acts:
    if act == "deliver":
        with smtplib.LMTP("/var/spool/postfix/private/dovecot-lmtp") as lmtp:
            text = "Subject: %s\r\nMessage-ID: <%s@x>\r\n\r\n%s\r\n" % (args[0], time.time(), "x" * (args[0] * 37))
            lmtp.sendmail("a@elsewhere.example", [user], text)
    elif act == "append":
        ask("append", '"%s"' % args[0], "(\\Flagged $Label%d)" % args[1], None,
            b"Subject: appended\r\n\r\nbody of %d and %d\r\n" % (args[1], time.time_ns()))
    elif act == "flag":
        uid = some(args[0], args[1])
        if uid:
            imap.uid("store", uid, args[2], "(%s)" % args[3])
    elif act == "expunge":
        uid = some(args[0], args[1])
        if uid:
            imap.uid("store", uid, "+FLAGS", "(\\Deleted)"); imap.expunge()
    elif act in ("copy", "move"):
        uid = some(args[0], args[1])
        if uid:
            imap.uid(act, uid, '"%s"' % args[2])
    elif act == "create":
        imap.create('"%s"' % args[0])
    elif act == "rename":
        imap.select("INBOX"); imap.rename('"%s"' % args[0], '"%s"' % args[1])
    elif act == "delete":
        imap.select("INBOX"); imap.delete('"%s"' % args[0])
    elif act == "subscribe":
        imap.subscribe('"%s"' % args[0])
    elif act == "unsubscribe":
        imap.unsubscribe('"%s"' % args[0])
imap.logout()
print(json.dumps(refused))
"""


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        pass

    def at(self, text: str, done: float = 0, total: float = 0) -> None:
        pass


def _nobody_has_the_store_open(server: Server) -> None:
    """As the evening waits for it (:func:`checks.freeze.store_is_quiet`): a process of a person may outlive Dovecot's stop."""
    holders: list[str] = []
    for _ in Deadline(60):
        (seen,) = server.remote("quiet", {"root": server.facts.mail_place, "window": 0}, timeout_s=900)
        holders = seen["holders"]
        if not holders:
            return
    raise AssertionError(f"{server.name}: still open: {holders}")


class Bench:
    """The two servers of a lab, reached from inside its network, and the moves on them."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.migration = load(lab.settings_file)
        self.context = Context(self.migration, Journal(directory / "mailmove.journal", self.migration.id), Silent())
        self.runner = Runner(self.context)
        everybody = json.loads((lab.home / "lab.json").read_text())["users"]["users"]
        self.password = next(each["password"] for each in everybody if each["email"] == "john@example.org")

    def judge(self, *evidence: Evidence) -> None:
        assert all(each.holds for each in evidence), "\n".join(each.explain() for each in evidence)

    def perform(self, move: type[Move]) -> None:
        self.runner.perform(move(self.context), self.judge)

    def wanting(self, **copy: str) -> Context:
        """With other settings of ``[copy]``, the same journal and servers."""
        ours = self.migration.settings
        wanted = ours.model_copy(update={"copy_": ours.copy_.model_copy(update=copy)})
        return dataclasses.replace(self.context, migration=dataclasses.replace(self.migration, settings=wanted))

    def dovecot(self, *, runs: bool, on: tuple[str, ...] = ("old", "new")) -> None:
        words = (
            f"systemctl unmask {UNITS}; systemctl start dovecot"
            if runs
            else f"systemctl mask {UNITS}; systemctl stop {UNITS}"
        )
        for name in on:
            server = getattr(self.context, name)
            server.sh(words, check=True)
            if not runs:
                _nobody_has_the_store_open(server)

    @contextlib.contextmanager
    def people_at(self, acts: list[tuple[Any, ...]]) -> Iterator[None]:
        """People at work on old meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            people = pool.submit(self.drive, acts)
            yield
            people.result()

    def drive(self, acts: list[tuple[Any, ...]], on: str = "old") -> None:
        """People at work on a server."""
        wanted = json.dumps(["john@example.org", self.password, acts]) + "\n"
        said = getattr(self.context, on).run("python3", "-c", DRIVER, stdin=wanted)
        assert said.ok, said.text

    def compare(self) -> tuple[Evidence, Comparison]:
        """Every letter, byte by byte."""
        return mailstore.nothing_is_lost(self.context.old, self.context.new, self.context.journal)

    def files(self) -> tuple[list[str], list[str]]:
        old, new = (
            server.sh(ALL_FILES, check=True).out.splitlines() for server in (self.context.old, self.context.new)
        )
        return old, new


@contextlib.contextmanager
def bench_of(lab: Lab, directory: Path) -> Iterator[Bench]:
    """From here on this process is in the lab's network."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{lab.namespace}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.setns(there, NEWNET) == 0
    both = Bench(lab, directory)
    try:
        yield both
    finally:
        both.migration.connection.close()
        assert libc.setns(here, NEWNET) == 0


def refused(bench: Bench) -> str:
    """What the guards before a deleting copy say; empty if they let it pass."""
    copy = ColdCopy(bench.context)
    found = list(copy._may_delete(mailstore.recorded(bench.context.journal)))
    return "\n".join(each.explain() for each in found if not each.holds)
