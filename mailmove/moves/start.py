"""The new server begins its work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from checks import freeze, maillog, queues, start
from checks.outside import Outside
from mailmove import postfix
from mailmove.clients import imap
from mailmove.clients.account import Account
from mailmove.errors import MoveFailed
from mailmove.evidence import Evidence
from mailmove.moves import put_off
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.carry_back import carry_back, everything_came_back
from mailmove.moves.freeze import DOVECOT, DRAIN_S, POSTFIX
from mailmove.moves.probes import ProbeAccounts
from mailmove.moves.safety_net import unknown_get
from mailmove.moves.service_state import Overlay, Units
from mailmove.progress import Deadline
from mailmove.units import clock, postfix_runs

LOGIN_S = 60
LOG_SINCE = "start: log of new looked at since"  # in the journal, by new's clock


class Start(Move):
    """Starting mail on the new server.

    When it succeeds, Dovecot and Postfix run on the new server as before the stop, and a letter from outside went all
    the way into a mailbox and was read there: the downtime is over. When it fails, the new server may be half started;
    nothing is lost, senders try again. Run it again, or take it back.
    """

    name = "start"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # The freeze stopped them, and knows how they were before.
        self.units = Units(self.new, self.journal, "freeze")
        self.doors = Overlay(self.new, self.journal, "start-doors")  # closed on the way back

    def needs(self) -> Iterable[Evidence]:
        yield freeze.stays_down(self.old, *DOVECOT)
        yield start.enough_was_done(self.journal)

    def plan(self) -> list[Action]:
        return [
            Action("new", "systemctl unmask dovecot dovecot.socket postfix; systemctl start dovecot"),
            Action("outside", "a login to a probe account", "the downtime ends"),
            Action("new", "systemctl start postfix"),
            Action("outside", "a letter to the probe account, read by IMAP", "it goes all the way"),
        ]

    def do(self) -> None:
        now = clock(self.new)
        self.journal.keep_first("start: clock of new", now)
        # Anew each time: what was mended since, or a power cut left behind, would hold it up for ever. The acceptance reads all.
        self.journal.keep(LOG_SINCE, now)
        self.doors.take_off()
        self.progress.at("starting Dovecot")
        probes = ProbeAccounts(self.new, self.migration, in_a_hurry=True)
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as pool:
            # Together: nobody can read mail meanwhile.
            account = pool.submit(lambda: stack.enter_context(probes).account("start"))
            self.units.release(*DOVECOT, *POSTFIX, start=False)
            self.new.run("systemctl", "start", "dovecot.service", timeout_s=150, check=True)
            self.progress.at("logging in from outside")
            self._end_downtime(account.result())
            self.progress.at("starting Postfix")
            self.new.run("systemctl", "start", "postfix.service", timeout_s=150, check=True)
        self.new.refresh()

    def _end_downtime(self, account: Account) -> None:
        outside = Outside(self.new, self.migration.settings.probes)
        reason = ""
        for left in Deadline(LOGIN_S):
            try:
                with outside.mailbox(account) as box:
                    box.count()
            except imap.ImapError as error:
                reason = error.fact
                self.progress.at("logging in from outside", LOGIN_S - left, LOGIN_S)
                continue
            self.journal.keep_first("downtime ended", time.time())
            return
        raise MoveFailed(
            f"nobody can log in at the new server from outside after {LOGIN_S} s: {reason}",
            "see Dovecot's log on the new server, and a firewall before it; then run it again",
        )

    def prove(self) -> Iterable[Evidence]:
        yield start.services_run(self.new)
        outside = Outside(self.new, self.migration.settings.probes)
        with ProbeAccounts(self.new, self.migration) as probes:
            yield start.letter_goes_round(outside, probes.account("start"))
        if not self.journal.touched("safety_net_off"):
            yield unknown_get(self.context, 450)
        put_off.try_again(self.context)
        yield queues.nothing_is_stuck(self.new)
        since = self.journal.recall(LOG_SINCE, self.journal.recall("start: clock of new", clock(self.new)))
        yield maillog.log_is_clean(self.new, since, maillog.own(self.journal))

    def undo(self) -> None:
        """Stopped again, as the freeze had left it; what came to it meanwhile goes to the old server, whose mail rests."""
        if postfix_runs(self.new):
            self._come_to_rest()
        self.units.hold(*DOVECOT, *POSTFIX)
        self.doors.take_off()
        came = carry_back(self.context)
        if came:
            self.progress.say(f"{came:,} letters that came to the new server lie on the old one now")
        for key in ("start: clock of new", LOG_SINCE, "downtime ended"):
            self.journal.forget(key)
        self.new.refresh()

    def _come_to_rest(self) -> None:
        """Nothing more is taken, and what was taken for people here is delivered."""
        closed = postfix.closing(postfix.services(self.new))
        self.doors.lay({"smtpd_data_restrictions": "defer"})
        if closed:
            self.doors.lay({"master_service_disable": closed})
        self.new.run("postqueue", "-f")
        still = 0
        for left in Deadline(DRAIN_S):
            moving = [q for q in postfix.queue(self.new) if not q.waits and q.to(self.migration.domains)]
            still = 0 if moving else still + 1
            if still == 2:  # a letter may be between two queues at the moment of one look
                return
            self.progress.at(f"the new queue drains, {len(moving)} letters to go", DRAIN_S - left, DRAIN_S)

    def prove_undone(self) -> Iterable[Evidence]:
        yield freeze.stays_down(self.new, *DOVECOT, *POSTFIX)
        yield everything_came_back(self.context)
