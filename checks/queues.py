"""Queues and logs of a server, as a person should see them after the move."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mailmove import postfix
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Event, Journal
from mailmove.server import Server

CHAPTER = "guide: Migrating from your old server; monitoring and backup"
SETTLE_S = 60  # a letter younger than this may simply be under way

# Postfix writes "postfix/smtpd[1]: warning: …", Dovecot "imap-login: Error: …" or "imap(anna)<1><x>: Warning: …"
PROBLEM = (
    r"postfix[^ ]*\[\d+\]: (?:[0-9A-Za-z]{6,}: )?(?:warning|error|fatal|panic):"
    r"|dovecot(?:\[\d+\])?: .*?\b(?:Warning|Error|Fatal|Panic): "
)

HARMLESS: tuple[tuple[str, str], ...] = (
    (r"warning: hostname \S+ does not resolve to address", "a client's own DNS is wrong"),
    (r"warning: \S*: (hostname|address) .* (verification failed|not known)", "a client's own DNS is wrong"),
    (r"symlink leaves directory: .*makedefs\.out", "Debian bug 926331"),
    (r"SASL (PLAIN|LOGIN|\S+) authentication (failed|aborted)", "somebody tried a wrong password"),
    (r"non-SMTP command from|too many errors after|improper command pipelining", "a client that is no mail server"),
    (r"TLS library problem:.*(alert|wrong version|no shared cipher|unsupported protocol|unexpected eof|http request)",
     "a client broke off TLS or speaks an old one"),
    (r"Warning: Killed with signal 15 \(by pid=\d+ uid=0", "a service was stopped by root"),
    (r"Warning: SIGHUP received - reloading configuration", "Dovecot was told to read its settings again"),
    (r"Warning: Processes aren't dying after reload", "Dovecot was told to read its settings again"),
    (r"auth client \d+ disconnected with \d+ pending requests", "a client went away while logging in"),
    (r"(stats|anvil).*(Broken pipe|Connection reset)", "Dovecot's own statistics, while it is stopped"),
    (r"run-time library vs\. compile-time header version mismatch", "Debian updated OpenSSL without Postfix"),
    (r"warning: database .*\.db is older than source", "an alias file to be renewed with newaliases"),
)  # fmt: skip
"""Problems in a log that say nothing about this server, with the reason."""

OF_PROBES = rf"@{re.escape(PROBE_DOMAIN)}\b|{re.escape(PROBE_PREFIX)}"
AT_RESTART = r"warning: (connect to Milter service|milter inet:)"
RESTARTING_MOVES = ("forward", "dismiss", "training", "certificates", "last_changes")
CLOCKS_APART_S = 5  # by how much the servers' clocks and the journal's may differ


@dataclass(frozen=True)
class LogLine:
    """A line of the mail log. ``at`` is in seconds since 1970, ``text`` without its time."""

    at: float
    text: str

    @property
    def harmless(self) -> str:
        """Why it may be left alone; empty if somebody should look."""
        return next((reason for pattern, reason in HARMLESS if re.search(pattern, self.text)), "")

    @property
    def kind(self) -> str:
        """The line without what differs each time: numbers, process ids, addresses."""
        text = re.sub(r"\[\d+\]|<[^>]*>|\b[0-9A-F]{8,}\b", "", self.text.partition(" ")[2] or self.text)
        return re.sub(r"\d+", "#", text)


@dataclass(frozen=True)
class Log:
    """What was read of a log: the lines that fit, how many were read in all, and from where."""

    lines: tuple[LogLine, ...]
    read: int
    sources: tuple[str, ...]


def read_log(server: Server, since: float, pattern: str, limit: int = 5000) -> Log:
    """Lines of the mail log since a time (the server's clock) that fit a pattern (re.search), without their time."""
    *found, end = server.remote("maillog", {"since": since, "pattern": pattern, "limit": limit}, timeout_s=600)
    return Log(tuple(LogLine(each["at"], each["line"]) for each in found), end["read"], tuple(end["sources"]))


def nothing_is_stuck(server: Server, *, required: bool = True) -> Evidence:
    """Every letter in the queue is shown; none waits for a mailbox of this server."""
    exam = Examination(
        "no letter is stuck in the queue",
        server.role,
        why="people wait for these letters",
        hint=f"postqueue -i ID tries one again; postcat -q ID shows it ({CHAPTER})",
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


def since(journal: Journal, mark: str) -> float:
    """The time of a mark in the journal (that server's clock); without it, a day ago."""
    return float(journal.recall(mark) or time.time() - 86400)


def own_restarts(journal: Journal) -> list[tuple[float, float]]:
    """When mailmove itself restarted the spam filter: from the beginning of such a move to its proof."""
    found: list[tuple[float, float]] = []
    for move in RESTARTING_MOVES:
        began = 0.0
        for entry in journal.entries(move):
            if entry.event in (Event.BEGUN, Event.UNDOING):
                began = entry.at
            elif began:
                found.append((began - CLOCKS_APART_S, entry.at + CLOCKS_APART_S))
                began = 0.0
    return found


def reason_to_ignore(line: LogLine, restarts: Sequence[tuple[float, float]]) -> str:
    """Why a line may be left alone; empty if somebody should look."""
    if line.harmless:
        return line.harmless
    if re.search(OF_PROBES, line.text):
        return "mailmove's own probe account, taken away again"
    if re.search(AT_RESTART, line.text) and any(began <= line.at <= ended for began, ended in restarts):
        return "mailmove restarted the spam filter; the letter was put off and came again"
    return ""


def log_is_clean(server: Server, since: float, restarts: Sequence[tuple[float, float]] = ()) -> Evidence:
    """The mail log holds no warning or error since then but such as are known to be harmless."""
    exam = Examination(
        "the mail log holds no new trouble",
        server.role,
        why="what goes wrong in the first hours stands there long before anybody complains",
        hint="look at the lines named, in /var/log/mail.log or with journalctl",
    )
    try:
        log = read_log(server, since, PROBLEM)
    except ServerError as error:
        exam.unknown("the mail log", error.fact)
        return exam.close()
    began = time.strftime("%F %T", time.localtime(since))
    exam.expect(f"lines since {began}", f"{log.read}, of {', '.join(log.sources) or 'no file'}", True)
    reasons = [reason_to_ignore(line, restarts) for line in log.lines]
    for problem in grouped([line for line, reason in zip(log.lines, reasons, strict=True) if not reason]):
        exam.expect("problem", problem, False, "none")
    for reason in dict.fromkeys(filter(None, reasons)):
        same = [line for line, why in zip(log.lines, reasons, strict=True) if why == reason]
        exam.expect(f"harmless: {reason}", f"{len(same)} times, e.g. {same[-1].text[:300]}", True)
    return exam.close()


def grouped(lines: list[LogLine]) -> list[str]:
    """One text for each kind of line, with how often it came and its last example."""
    kinds: dict[str, list[LogLine]] = {}
    for line in lines:
        kinds.setdefault(line.kind, []).append(line)
    return [f"{len(same)} times, last at {time.strftime('%T', time.localtime(same[-1].at))}: {same[-1].text[:400]}"
            for same in kinds.values()]  # fmt: skip
