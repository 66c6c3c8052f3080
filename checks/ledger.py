"""Every letter either server took responsibility for, and its end: exactly one for each recipient."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from checks.maillog import read_log
from mailmove import ledger, log_marks, postfix, stores, stuck
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Event, Journal
from mailmove.ledger import Book, End, Fate, Found, Ledger, Role, Waiting
from mailmove.progress import Deadline
from mailmove.server import Server
from mailmove.units import clock

CHAPTER = "guide: Migrating from your old server"
LINES = 5_000_000  # of a log, at most
SETTLE_S = 20.0  # for letters that change hands, or folders, while they are looked for
LATEST_S = 3.0  # younger letters are not followed: mail goes on coming, and what comes between two questions looks lost
SHOWN = 20
GAP_HINT = (
    "put what was taken out of the log back beside it (as /var/log/mail.log.9, or .gz) and look again; if there is no copy of it,"
    " nobody but the senders knows of a letter that was lost then: tell people, and waive it with that reason"
)
NEVER_WRITTEN_HINT = (
    "what journald left out was never written: nobody but the senders knows of a letter that was lost then. Tell people, and waive it"
    " with that reason; that it takes all from now on: RateLimitBurst=0 in /etc/systemd/journald.conf there, and systemctl restart"
    " systemd-journald"
)


def every_letter_has_one_end(old: Server, new: Server, journal: Journal, live: Role = "new") -> Evidence:
    """From both logs, both queues and the mailboxes on the server that is ``live``."""
    exam = Examination(
        "every letter that either server took has exactly one end",
        "both",
        why="a letter that was answered with 250 is nobody else's business any more: its sender has forgotten it",
        hint="the queue id leads through both mail logs (grep ID /var/log/mail.log*); what lies on old only can be"
        f" brought over with doveadm import ({CHAPTER})",
    )
    began = min((entry.at for entry in journal.entries()), default=None)
    if began is None:
        return exam.not_applicable("no move was made yet")
    servers: dict[Role, Server] = {"old": old, "new": new}
    try:
        skew = {role: clock(server) - time.time() for role, server in servers.items()}
        since = {role: began + skew[role] for role in servers}
        now = time.time() - LATEST_S
        until = {role: now + skew[role] for role in servers}
        best: tuple[int, list[Fate], _Reading] | None = None
        for number, _left in enumerate(Deadline(SETTLE_S)):
            try:
                # On a busy machine the journal hands on less to the log's files than it has ("Forwarding to syslog missed")
                reading = _Reading(servers, since, until, live, journal, by_journal=number % 2 == 1)
                fates = reading.fates(skew)
            except ServerError:
                if best is None:
                    raise
                continue  # no journal is kept there
            bad = sum(not fate.end.good for fate in fates) + len(reading.troubles)
            if best is None or bad < best[0]:
                best = bad, fates, reading
            if not bad:
                break
        assert best is not None
        _, fates, reading = best
    except ServerError as error:
        exam.unknown("logs, queues and mailboxes", error.fact)
        return exam.close()
    reading.about(exam)
    _write_down(exam, fates, reading.online(live))
    return exam.close()


class _Reading:
    """One look at both servers: queues first, so that what leaves them meanwhile stands in the log read after."""

    def __init__(
        self,
        servers: dict[Role, Server],
        since: dict[Role, float],
        until: dict[Role, float],
        live: Role,
        journal: Journal,
        *,
        by_journal: bool,
    ) -> None:
        self.servers, self.since, self.until, self.live, self.journal = servers, since, until, live, journal
        self.rests = live == "new" and journal.touched("freeze")
        waiting: list[Waiting] = []
        self.books: dict[Role, Book] = {}
        self.troubles: list[str] = []
        self.remarks: list[str] = []
        self.gaps = self.never_written = False
        self.stop = next((e.at for e in reversed(journal.entries("freeze")) if e.event is Event.BEGUN), None)
        self.lines: dict[Role, str] = {}
        for role in ("old", "new") if live == "new" else ("new", "old"):  # mail goes this way
            server = servers[role]
            waiting += [
                Waiting(role, q.id, tuple(r.address for r in q.recipients), q.arrived, q.sender)
                for q in postfix.queue(server)
            ]
            marks = log_marks.noted(journal, role)
            log = read_log(server, since[role], ledger.PATTERN, LINES, journal=by_journal, marks=marks)
            self.books[role] = ledger.read(role, (ledger.Line(line.at, line.text) for line in log.lines))
            self.lines[role] = f"{log.read:,} lines of {', '.join(log.sources) or 'no file'}"
            if log.cut:
                self.troubles.append(f"{role}: the log has more than {LINES:,} lines of mail")
            late = log.begins is None or log.begins > since[role]
            if late:
                self._begins_late(role, log.begins)
            for gap in log.gaps:
                if not late or gap.before is not None:
                    self._missing(role, gap.after, str(gap), never_written=bool(gap.said))
            if log.sources != ("journal",):
                self._ask_the_journal(role)
        self.waiting = waiting

    def _missing(self, role: Role, until: float | None, words: str, *, never_written: bool = False) -> None:
        """Lines up to then are not there."""
        if until is not None and self.stop is not None and until < self.stop:
            self.remarks.append(
                f"{role}: {words}. What was taken before the stop lies in the stores that were compared"
            )
        else:
            self.troubles.append(f"{role}: {words}")
            self.never_written = self.never_written or never_written
            self.gaps = self.gaps or not never_written

    def _ask_the_journal(self, role: Role) -> None:
        """Files may lack what the journal has: it hands on less when much comes at once, or rsyslog did not run."""
        try:
            log = read_log(self.servers[role], self.since[role] + ledger.CLOCK_S, ledger.TAKEN, LINES, journal=True)
        except ServerError:
            return  # no journal is kept here
        there = ledger.read(role, (ledger.Line(line.at, line.text) for line in log.lines)).letters
        known = {letter.id for letter in self.books[role].letters}
        lacking = [letter for letter in there if letter.id not in known and letter.at < self.until[role]]
        if lacking:
            words = f"{role}: the journal knows {len(lacking):,} letters of which the log's files say nothing"
            self.troubles.append(f"{words}, e.g. {lacking[0].id} at {_clock(lacking[0].at)}")

    def _begins_late(self, role: Role, begins: float | None) -> None:
        """A log that was rotated away. What was delivered long before the stop, the comparison of the stores has found."""
        words = f"{role}: the log begins at {_clock(begins)}" if begins is not None else f"{role}: there is no log"
        if begins is not None and self.stop is not None and begins < self.stop:
            self.remarks.append(
                f"{words}, before the stop; what was taken earlier lies in the stores that were compared"
            )
        else:
            self.troubles.append(f"{words}, and not with the beginning of the move")

    def fates(self, skew: dict[Role, float]) -> list[Fate]:
        with ThreadPoolExecutor(2) as pool:
            here = pool.submit(lambda: list(_letters(self.servers[self.live], self.since[self.live])))
            there = pool.submit(lambda: list(_letters(self.servers["old"], self.since["old"]))) if self.rests else None
            found, on_old = here.result(), there.result() if there else None
        hosts = {role: server.setting("myhostname") for role, server in self.servers.items()}
        unknown = ledger.unknown(self.books, found, hosts, self.since, self.until)
        if unknown:
            last = max(unknown, key=lambda each: each.taken or 0.0)
            words = f"of {len(unknown):,} letters in mailboxes it says nothing, e.g. {last.id} of {_clock(last.taken or 0.0)}"
            self._missing("old" if last.id.startswith(f"{hosts['old']} ") else "new", last.taken, stores.shown(words))
        return Ledger(
            self.books,
            self.waiting,
            found,
            hosts,
            live=self.live,
            addresses={a for server in self.servers.values() for a in (server.address, *server.facts.addresses)},
            seen_on_old=on_old,
            frozen={role: self.stop + skew[role] for role in self.servers} if self.stop else None,
            copied=stuck.removed(self.journal),
            until=self.until,
        ).fates()

    def online(self, role: Role) -> set[str]:
        (seen,) = self.servers[role].remote("deletions", {"since": time.time()}, timeout_s=600)
        return set(seen["online"])

    def about(self, exam: Examination) -> None:
        for role in self.books:
            letters = sum(each.taken and each.at < self.until[role] for each in self.books[role].letters)
            began, ended = _clock(self.since[role]), _clock(self.until[role])
            exam.expect(f"letters {role} took from {began}, the beginning of the move, to {ended}",
                        f"{letters:,}, from {self.lines[role]}", True)  # fmt: skip
        for remark in self.remarks:
            exam.expect("what the log does not tell any more", remark, True)
        for trouble in self.troubles:
            exam.unknown("whether that is all", trouble)
        if self.gaps or self.never_written:
            exam.hint = GAP_HINT if self.gaps else NEVER_WRITTEN_HINT


def _letters(server: Server, since: float) -> Iterator[Found]:
    place = stores.place(server)
    asked = {"root": place.root, "maildir": place.maildir, "since": since, "users": None}
    for line in server.remote("received", asked, timeout_s=3600):
        if "end" not in line:
            folder = stores.shown(stores.folder_name(line["folder"]))
            yield Found(line["user"], folder, line["uid"], line["at"], line["id"], line["mid"], line["taken"])


def _write_down(exam: Examination, fates: list[Fate], online: set[str]) -> None:
    exam.expect("recipients of them", f"{len(fates):,}", True)
    for end, count in ledger.counts(fates).items():
        if end.good:
            exam.expect(str(end), f"{count:,}", True)
        for fate in [each for each in fates if each.end is end][: SHOWN if _is_named(end) else 0]:
            asked = f"{end}, by name" if end.good else str(end)
            if fate.end is End.LOST and fate.user in online:
                exam.unknown(
                    asked, f"{stores.shown(str(fate))}; its reader is logged in, so the log does not say all yet"
                )
            else:
                exam.expect(asked, stores.shown(str(fate)), end.good, "one end that a letter may have")
        if not end.good and count > SHOWN:
            exam.expect(str(end), f"… {count:,} in all", False, "0")


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))


def _is_named(end: End) -> bool:
    return not end.good or end in (End.RETURNED, End.QUEUE, End.DISCARDED, End.KEPT)
