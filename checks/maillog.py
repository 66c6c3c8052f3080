"""Mail logs: what a server complained of since a moment, without what is known to be harmless."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from checks.outside import Outside
from mailmove import log_marks
from mailmove.clients import smtp
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Event, Journal
from mailmove.log_marks import Mark
from mailmove.progress import Deadline
from mailmove.server import Server

# Postfix writes "postfix/smtpd[1]: warning: …", Dovecot "imap-login: Error: …" or "imap(anna)<1><x>: Warning: …"
PROBLEM = (
    r"postfix[^ ]*\[\d+\]: (?:[0-9A-Za-z]{6,}: )?(?:warning|error|fatal|panic):"
    r"|dovecot(?:\[\d+\])?: .*?\b(?:Warning|Error|Fatal|Panic): "
)

# Dovecot's auth_verbose_passwords (unless it shortens them to a hash) and auth_debug_passwords; Postfix' smtpd -v
LEAK = r"given password: (?![0-9a-f]{6,40}\))|dovecot.*resp=(?!<hidden>)[\w+/=]{8}|smtpd\[\d+\]: < \S+: AUTH \w+ \S{8}"
NO_LEAK = "none: auth_debug_passwords and auth_verbose_passwords are no in Dovecot, no smtpd -v in Postfix' master.cf"

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
    (r"master: Warning: Sent SIGTERM to \d+ \S+ processes", "Dovecot was told to read its settings again"),
    (r"sqlpool\(mysql\): Query failed, retrying", "the database was restarted; Dovecot asked it again"),
    (r"auth client \d+ disconnected with \d+ pending requests", "a client went away while logging in"),
    (r"(stats|anvil).*(Broken pipe|Connection reset)", "Dovecot's own statistics, while it is stopped"),
    (r"run-time library vs\. compile-time header version mismatch", "Debian updated OpenSSL without Postfix"),
    (r"queue file size limit exceeded|mail_stream_cleanup: close error", "somebody sent a letter larger than allowed"),
    (r"policy query from MTA in unexpected state VRFY", "somebody asked by VRFY who is there"),
    (r"do not list domain \S+ in BOTH virtual_mailbox_domains and relay_domains",
     "after an undo this server sends late senders' letters on to the old one"),
    (r"file system clock is 1 seconds (ahead of|behind)|resetting file time stamps - this hurts",
     "a tick between the clocks of the kernel and of its file system"),
    (r"Mail system is down -- accessing queue directly", "the queue of a server that rests was read"),
    (r"warning: database .*\.db is older than source", "an alias file to be renewed with newaliases"),
)  # fmt: skip
"""Problems in a log that say nothing about this server, with the reason."""

OF_PROBES = rf"(?i:@{re.escape(PROBE_DOMAIN)}\b|{re.escape(PROBE_PREFIX)})"
GONE = r"No such file or directory|does(n't| not) exist|[Uu]nknown user|not found"
AT_RESTART = r"warning: (connect to Milter service|milter inet:)"
# What cannot be asked yet while a machine starts; the same words an hour later are trouble
AT_BOOT = (
    r"Can't connect to|Connect failed to database|Not connected to database|Internal auth worker failure|Auth request was queued"
    r"|warning: (connect to (Milter service|mysql server)|milter inet:|mysql:)|table lookup problem|lookup (error|failure)"
)
# Debian's unit copies them before Postfix starts; a machine that lost its power while it did has half a file there
COPIED_AT_BOOT = r"postfix-script\[\d+\]: warning: /var/spool/postfix/\S+ and \S+ differ"
BOOT_S = 90.0
AT_LIMIT = re.compile(r'service "\S+" \(\S+\) has reached its process limit "(\d+)"')
BESIDE_LIMIT = r"to avoid this condition, increase the process count|postfix\.org/STRESS_README"
PACE = "pace of new"  # in the journal: to how many letters at once mailmove has limited it
RESTARTING_MOVES = ("forward", "dismiss", "training", "certificates", "last_changes")
WRITTEN_S = 15.0  # within which a line is in the log
KILLED_S = 120.0  # what a killed run has begun is over then
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
class Gap:
    """Between two lines of a log others are missing: one that stood there, written at ``mark``, is gone.

    ``before`` and ``after``: when the lines around it were written; None where there is none. ``said``: what systemd's journal
    says of lines that it never took, at ``mark``, some time after them.
    """

    mark: float
    before: float | None
    after: float | None
    said: str = ""

    def __str__(self) -> str:
        if self.said:
            return f"lines are missing before {_clock(self.mark)}: too many came at once for systemd's journal ({self.said})"
        began = f"from {_clock(self.before)}" if self.before is not None else "from its beginning"
        ended = f"to {_clock(self.after)}" if self.after is not None else "to its end"
        return f"lines are missing {began} {ended}: what it said at {_clock(self.mark)} stands there no more"


@dataclass(frozen=True)
class Log:
    """What was read of a log: the lines that fit, how many were read in all, and from where.

    ``cut``: there were more lines that fit; ``begins``: when the oldest line there is was written; ``boots``: when the machine
    started; ``gaps``: where lines are missing.
    """

    lines: tuple[LogLine, ...]
    read: int
    sources: tuple[str, ...]
    cut: bool = False
    begins: float | None = None
    boots: tuple[float, ...] = ()
    gaps: tuple[Gap, ...] = ()


def read_log(
    server: Server,
    since: float,
    pattern: str,
    limit: int = 5000,
    *,
    journal: bool = False,
    boots: bool = False,
    marks: Sequence[Mark] | None = None,
) -> Log:
    """Lines of the mail log since a time (the server's clock) that fit a pattern (re.search), without their time.

    ``journal``: of systemd's journal, even if there are files. ``boots``: also when the machine started since then.
    ``marks``: lines that were there once (:mod:`mailmove.log_marks`); None: it is not looked for gaps.
    """
    asked = {"since": since, "pattern": pattern, "limit": limit, "journal": journal, "boots": boots, "marks": marks}
    *found, end = server.remote("maillog", asked, timeout_s=600)
    lines = tuple(LogLine(each["at"], each["line"]) for each in found)
    gaps = tuple(Gap(**each) for each in end["gaps"])
    return Log(lines, end["read"], tuple(end["sources"]), end["cut"], end["begins"], tuple(end["boots"]), gaps)


def since(journal: Journal, mark: str) -> float:
    """The time of a mark in the journal (that server's clock); without it, a day ago."""
    return float(journal.recall(mark) or time.time() - 86400)


def since_frozen(journal: Journal) -> float:
    """When the old server had come to rest. Of the second in which it did, its log tells how services lose each other as they
    are stopped, and many a log tells no more of a time than the second.
    """
    return since(journal, "frozen since") + 1


def own_restarts(journal: Journal) -> list[tuple[float, float]]:
    """When mailmove itself restarted the spam filter: from the beginning of such a move to what is known of it next.

    A run that was killed wrote nothing more: what it had begun may have gone on for a while.
    """
    found: list[tuple[float, float]] = []
    for move in RESTARTING_MOVES:
        began = 0.0
        for entry in journal.entries(move):
            begins = entry.event in (Event.BEGUN, Event.UNDOING)
            if began:
                ended = min(entry.at, began + KILLED_S) if begins else entry.at
                found.append((began - CLOCKS_APART_S, ended + CLOCKS_APART_S))
            began = entry.at if begins or entry.event is Event.DONE else 0.0
        if began:
            found.append((began - CLOCKS_APART_S, began + KILLED_S))
    return found


@dataclass(frozen=True)
class Own:
    """What mailmove itself knows of the log: when it restarted the spam filter, the limit it set (0: none), and by server
    which lines stood there.
    """

    restarts: Sequence[tuple[float, float]] = ()
    limit: int = 0
    marks: Mapping[str, Sequence[Mark]] = field(default_factory=dict)


def own(journal: Journal) -> Own:
    """By the journal."""
    marks = {role: log_marks.noted(journal, role) for role in ("old", "new")}
    return Own(own_restarts(journal), int(journal.recall(PACE, 0)), marks)


def reason_to_ignore(line: LogLine, own: Own, boots: Sequence[float] = ()) -> str:
    """Why a line may be left alone; empty if somebody should look. ``boots``: when the machine started."""
    if line.harmless:
        return line.harmless
    if any(-1 <= line.at - boot <= BOOT_S for boot in boots):
        if re.search(AT_BOOT, line.text):
            return "the machine was starting: its database and its spam filter were not there yet"
        if re.search(COPIED_AT_BOOT, line.text):
            return "the machine was starting: Postfix' copies of the system's files were just being made anew"
    if re.search(OF_PROBES, line.text) and re.search(GONE, line.text):
        return "a probe account of mailmove's own, used before its first letter or taken away again"
    if re.search(AT_RESTART, line.text) and any(began <= line.at <= ended for began, ended in own.restarts):
        return "mailmove restarted the spam filter; the letter was put off and came again"
    reached = AT_LIMIT.search(line.text)
    if own.limit and (int(reached[1]) == own.limit if reached else re.search(BESIDE_LIMIT, line.text)):
        return f"what waited in the world came all at once; mailmove let in {own.limit} letters at a time"
    return ""


def log_is_clean(server: Server, since: float, own: Own | None = None, *, required: bool = True) -> Evidence:
    """The mail log holds no warning or error since then but such as are known to be harmless, or of our ``own`` doing."""
    exam = Examination(
        "the mail log holds no new trouble",
        server.role,
        why="what goes wrong stands there long before anybody complains",
        hint="look at the lines named, in /var/log/mail.log or with journalctl; the program at their beginning "
        "says whose setting it is about",
        required=required,
    )
    marks = [mark for mark in own.marks.get(server.role, ()) if mark[0] >= since] if own else []
    try:
        log = read_log(server, since, f"{PROBLEM}|{LEAK}", boots=True, marks=marks)
    except ServerError as error:
        exam.unknown("the mail log", error.fact)
        return exam.close()
    if not log.sources:
        exam.unknown("the mail log", "there is none, neither /var/log/mail.log nor in the journal")
        return exam.close()
    exam.expect(f"lines since {_clock(since)}", f"{log.read}, of {', '.join(log.sources)}", True)
    for gap in log.gaps:
        exam.expect("what the log does not tell any more", str(gap), True)
    leaks = [line for line in log.lines if re.search(LEAK, line.text)]  # shown to nobody
    exam.expect("lines with a password in them", len(leaks), not leaks, NO_LEAK)
    lines = [line for line in log.lines if not re.search(LEAK, line.text)]
    reasons = [reason_to_ignore(line, own or Own(), log.boots) for line in lines]
    for problem in grouped([line for line, reason in zip(lines, reasons, strict=True) if not reason]):
        exam.expect("problem", problem, False, "none")
    for reason in dict.fromkeys(filter(None, reasons)):
        same = [line for line, why in zip(lines, reasons, strict=True) if why == reason]
        exam.expect(f"harmless: {reason}", f"{len(same)} times, e.g. {same[-1].text[:300]}", True)
    return exam.close()


def log_is_written(outside: Outside, nobody: str) -> Evidence:
    """What happens on a server stands in its mail log: a letter to ``nobody`` is refused, and the refusal is there."""
    server = outside.server
    exam = Examination(
        "what happens stands in the mail log",
        server.role,
        why="nothing can be found out about a letter without it, and after the move every letter is traced in it",
        hint="systemctl status rsyslog, and whether the file system of /var/log is full (df); on a server without "
        f"rsyslog: journalctl -u postfix; {ON_DISK}",
    )
    talk = smtp.converse_all([outside.call([nobody])])[0]
    if talk.trouble or not talk.of("RCPT"):
        exam.unknown(f"a letter from outside to <{nobody}>", talk.words)
        return exam.close()
    since = server.facts.clock
    for _ in Deadline(WRITTEN_S):
        log = read_log(server, since, re.escape(nobody), limit=1)
        if log.lines:
            break
    _expect_it_lasts(exam, server)
    words = log.lines[0].text if log.lines else f"no line about it within {WRITTEN_S:g} s"
    exam.expect(f"the server says {talk.words}; in {', '.join(log.sources) or 'the log'}", words, bool(log.lines), "it")
    return exam.close()


# Where what happens stays: a journal without a directory of its own on the disk is gone with the next reboot
_KEPT = r"""
if ls /var/log/mail.log* >/dev/null 2>&1; then echo /var/log/mail.log
elif find /var/log/journal -name '*.journal' 2>/dev/null | grep -q .; then echo "the journal, in /var/log/journal"
else echo memory; fi
"""
ON_DISK = (
    "is it in memory only: Storage=persistent in /etc/systemd/journald.conf and systemctl restart systemd-journald, or apt install "
    "rsyslog"
)


def _expect_it_lasts(exam: Examination, server: Server) -> None:
    """Write down whether what is logged outlasts a reboot."""
    place = server.sh(_KEPT).out.strip()
    lasts = place not in ("memory", "")
    exam.expect(
        "where it is kept", place if lasts else "in memory only: the next reboot takes it", lasts, "on the disk"
    )


QUIET_S = 14 * 86400.0  # a server that had no letter and no stranger for so long is none, or tells of them elsewhere
# When the newest file with a word of Postfix in it was last written to, and its last line
_LAST_WORD = r"""
word='postfix[^ ]*/[a-z]+\[[0-9]+\]: '
if ls /var/log/mail.log* >/dev/null 2>&1; then
    ls -t /var/log/mail.log* | while IFS= read -r file; do
        line=$(zcat -f "$file" | grep -aE "$word" | tail -n 1)
        [ -z "$line" ] || { printf '%s\t%s\n' "$(stat -c %Y "$file")" "$line"; break; }
    done
else journalctl -q -o short-unix -n 1 SYSLOG_FACILITY=2 --grep="$word" | sed -E 's/^([0-9]+)[^ ]* /\1\t/'
fi
"""


def old_log_is_written(old: Server) -> Evidence:
    """The old server's mail log, by which each of its letters is followed, is written to."""
    exam = Examination(
        "what happens on the old server stands in its mail log",
        old.role,
        why="by it every letter is accounted for after the move, and it is known in which ways people read mail: a log that is "
        "empty tells of no loss",
        hint="postconf -e maillog_file= on old and restart Postfix; mail.* to /var/log/mail.log in /etc/rsyslog.d; is the log's "
        f"file system full (df)? {ON_DISK}",
    )
    own_file = old.setting("maillog_file")
    written = not own_file or own_file == "/var/log/mail.log"
    exam.expect("where Postfix writes (maillog_file)", own_file or "to the system's log", written, "the system's log")
    _expect_it_lasts(exam, old)
    answer = old.sh(_LAST_WORD, timeout_s=300)
    if not answer.ok:
        exam.unknown("the mail log", answer.text)
        return exam.close()
    changed, _, line = answer.out.strip().partition("\t")
    recent = changed.isdigit() and int(changed) > old.facts.clock - QUIET_S
    exam.expect("the last word of Postfix in it", line or "none", recent, f"one within {QUIET_S / 86400:g} days")
    return exam.close()


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))


def grouped(lines: list[LogLine]) -> list[str]:
    """One text for each kind of line, with how often it came and its last example."""
    kinds: dict[str, list[LogLine]] = {}
    for line in lines:
        kinds.setdefault(line.kind, []).append(line)
    return [f"{len(same)} times, last at {time.strftime('%T', time.localtime(same[-1].at))}: {same[-1].text[:400]}"
            for same in kinds.values()]  # fmt: skip
