"""The stop: the old server takes nothing more, delivers what it has, and rests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from checks import freeze as checks
from checks.dns import old_ttl_is_waited_out
from mailmove import postfix
from mailmove.errors import MailmoveError, MoveFailed, ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Event
from mailmove.moves import forwarding, late_senders
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.cold_copy import ColdCopy
from mailmove.moves.safety_net import LIMIT, pace
from mailmove.moves.service_state import Overlay, Units, plan_settings, put_file, reload_postfix, take_file
from mailmove.progress import Deadline
from mailmove.units import clock, is_running, postfix_runs

DOVECOT = checks.DOVECOT
POSTFIX = ("postfix.service",)
DRAIN_S = 120  # for letters to people here; what is still there then has a cause that more time does not heal
LAST_WORDS_S = 15  # for conversations that were begun before the stop
RUSH_S = 120  # on the way back: what waited in the world comes all at once
CALM_S = 10  # that it has to be over for
_CONVERSATIONS = "ss -Htn state established 'sport = :25' | wc -l"


class Freeze(Move):
    """Stopping mail on the old server.

    When it succeeds, the old server refuses connections (senders try again later), what it had taken for its people is
    in their mailboxes, Dovecot is stopped on both servers and nothing can start it, and nothing touches the mail
    store. When it fails, mail may be stopped on the old server but nothing is lost: run it again, or take it back.
    """

    name = "freeze"
    overtaken_by = ("start", "forward")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.doors = Overlay(self.old, self.journal, "freeze-doors")
        self.relay = Overlay(self.old, self.journal, "freeze-relay")
        self.pace = Overlay(self.old, self.journal, "freeze-pace")  # on the way back
        self.old_units = Units(self.old, self.journal, "freeze")
        self.new_units = Units(self.new, self.journal, "freeze")

    def needs(self) -> Iterable[Evidence]:
        yield checks.announced(self.journal)
        yield old_ttl_is_waited_out(self.migration, self.journal)
        yield checks.hot_copy_is_fresh(self.migration, self.journal)
        yield checks.nothing_else_is_at_work(self.old)
        yield checks.doors_can_be_closed(self.old)
        yield from ColdCopy(self.context).nothing_foreign()

    def plan(self) -> list[Action]:
        closed = postfix.closing(postfix.services(self.old)) or "smtp/inet submission/inet"
        relaying = forwarding.relaying(forwarding.Own.of(self.old), forwarding.WAITING)
        return [
            Action("new", "systemctl mask postfix dovecot dovecot.socket; systemctl stop postfix dovecot",
                   "nothing is delivered there before all is copied"),
            Action("old", "postconf -e smtpd_data_restrictions=defer && postfix reload",
                   "new letters are put off (450), those being sent just now come to their end"),
            Action("old", f"postconf -e master_service_disable='{closed}' && postfix reload",
                   "the doors close: connections are refused, and every sender tries again"),
            Action("old", "postqueue -f", "what waits for people here is delivered; at most "
                   f"{DRAIN_S} s, what is left is listed with its cause"),
            Action("old", plan_settings(relaying) + " && postfix reload",
                   "mail this machine writes itself from now on waits for the new server"),
            Action("both", "what changed since the last hot pass",
                   "is copied and compared once more while people still read their mail, and all is made ready for the last copy"),
            Action("old", "systemctl mask dovecot dovecot.socket; systemctl stop dovecot",
                   "the downtime begins; no reboot, socket, timer or renewal brings it back"),
        ]  # fmt: skip

    def do(self) -> None:
        self.old_units.remember(*DOVECOT, *POSTFIX)
        self.new_units.remember(*DOVECOT, *POSTFIX)
        self._stop_new()
        late_senders.no_more(self.context)
        if not self.journal.recall("freeze: drained"):
            self._close_doors()
            self._drain()
            self._keep_for_new()
        self.progress.at("making ready for the last copy")
        self.old_units.mask(*DOVECOT)
        self.old.refresh()  # Postfix' settings are others now; all of it is asked while people still read
        for server in (self.old, self.new):
            server.get_ready("quiet", "tables")
            _ = server.facts
        with contextlib.suppress(MailmoveError):  # whatever it is, the copy itself will say it
            ColdCopy(self.context).get_ready()
        self.journal.keep_first("downtime began", time.time())
        self.progress.at("stopping Dovecot on the old server")
        self.old_units.hold(*DOVECOT)
        self._wait_until_quiet()
        # Each time anew: what was delivered before it came to rest again, the last copy takes along
        self.journal.keep("frozen since", clock(self.old))

    def _stop_new(self) -> None:
        """First of all: what it takes from now on, the last copy could only refuse to destroy, with everybody waiting."""
        self.progress.at("stopping mail on the new server")
        self.new_units.hold(*DOVECOT, *POSTFIX)
        if self.doors.is_laid:
            return
        found = [each for each in ColdCopy(self.context).nothing_foreign() if not each.holds]
        if found:
            self.new_units.release()
            self.new_units.forget()
            self.old_units.forget()
            self.journal.record(self.name, Event.UNDONE, why=[each.title for each in found])
            raise MoveFailed(
                "the new server got mail just before it was stopped; it runs again, and on the old one nothing was stopped\n"
                + "\n".join(each.explain() for each in found),
                "stop what brings it there (a job of that machine, a test), mend what is named above, then run it again",
            )

    def _close_doors(self) -> None:
        every = postfix.services(self.old)
        closed = postfix.closing(every)
        if closed is None:
            raise MoveFailed(
                "the services of master.cf that take mail cannot be named one by one",
                "name them by port alone (smtp, submission), without an address before it",
            )
        talking = self._talking()
        self.doors.lay({"smtpd_data_restrictions": "defer"})
        # A conversation cut off between the letter's end and the answer leaves a letter that its sender sends again.
        for left in Deadline(LAST_WORDS_S):
            if not talking & self._talking():
                break
            self.progress.at("letting conversations come to their end", LAST_WORDS_S - left, LAST_WORDS_S)
        if closed:
            self.doors.lay({"master_service_disable": closed})

    def _talking(self) -> set[str]:
        return set(self.old.run("pgrep", "-x", "smtpd").out.split())

    def _drain(self) -> None:
        """Deliver what is there for people here. Letters that wait are tried once more; what then waits has a cause."""
        if not postfix_runs(self.old):
            return
        self.old.run("postqueue", "-f", check=True)
        still = 0
        for left in Deadline(DRAIN_S):
            moving = [
                q for q in postfix.queue(self.old) if not q.waits and (q.to(self.migration.domains) or _from_here(q))
            ]
            still = 0 if moving else still + 1
            if still == 2:  # a letter may be between two queues at the moment of one look
                break
            self.progress.at(f"the old queue drains, {len(moving)} letters to go", DRAIN_S - left, DRAIN_S)

    def _keep_for_new(self) -> None:
        """From now on nothing is delivered into the old store, not even if somebody starts Dovecot by hand."""
        own = forwarding.own(self.old, self.journal)
        put_file(self.old, forwarding.PROBES_FILE, forwarding.PROBES_TEXT)
        if own.transports:
            text = forwarding.transport_file(self.migration.domains, forwarding.WAITING)
            put_file(self.old, forwarding.TRANSPORT_FILE, text)
        if not self.relay.is_laid:
            # Before it is laid: what comes from then on is not expanded, and has to be told by this if the run ends here
            self.journal.keep("freeze: relays since", int(clock(self.old)))  # arrival times have whole seconds
        self.relay.lay(forwarding.relaying(own, forwarding.WAITING))
        # A letter that came in the meantime was expanded and routed by the old rules: let it finish.
        for _left in Deadline(20):
            if not [
                q for q in postfix.queue(self.old) if q.queue in ("incoming", "active") and q.to(self.migration.domains)
            ]:
                break
        self.journal.keep_first("freeze: drained", time.time())

    def _wait_until_quiet(self) -> None:
        before = checks.look_at_rest(self.old)
        for left in Deadline(60):
            evidence = checks.store_is_quiet(self.old, before)
            if evidence.holds:
                self.journal.keep(checks.AT_REST, before)
                return
            before = checks.look_at_rest(self.old)
            self.progress.at("waiting until nobody touches the mail store", 60 - left, 60)
        raise MoveFailed(
            "the old mail store does not come to rest: " + evidence.explain().splitlines()[1].strip(),
            "stop what has it open, then run it again; or take it back with --undo",
        )

    def prove(self) -> Iterable[Evidence]:
        since = self.journal.recall("freeze: relays since")
        at_rest = self.journal.recall(checks.AT_REST)
        with ThreadPoolExecutor(5) as pool:  # asked together: nobody can read mail meanwhile
            asked = [
                pool.submit(checks.takes_nothing_from_outside, self.old, self._extra_ports()),
                pool.submit(checks.stays_down, self.old, *DOVECOT),
                pool.submit(checks.stays_down, self.new, *DOVECOT, *POSTFIX),
                pool.submit(checks.store_is_quiet, self.old, at_rest),
                pool.submit(checks.queue_is_drained, self.old, self.migration.domains, since),
            ]
            yield from (each.result() for each in asked)

    def _extra_ports(self) -> list[int]:
        return [s.port for s in postfix.services(self.old) if s.takes_mail_from_outside and s.port]

    def undo(self) -> None:
        """Everything back in service as it was; letters this machine wrote meanwhile are delivered."""
        self.serve_again()
        was_live = self.journal.recall(late_senders.KEY) is not None
        if was_live:
            late_senders.prepare(self.context)
        self.new_units.release()
        if was_live:
            late_senders.send_them_on(self.context)
        self.set_the_pace_free()
        for key in ("downtime began", "downtime ended"):
            self.journal.forget(key)
        forwarding.forget(self.journal)
        self.old.refresh()
        # What ran before has to be known until all is proved; a second undo finds the same.

    def serve_again(self) -> None:
        """The old server's part of it."""
        # From here on it is no server at rest, however far this comes: a stop that is made again begins with the doors
        for key in ("freeze: drained", "frozen since", checks.AT_REST):
            self.journal.forget(key)
        self.old_units.release(*DOVECOT)
        since = self.journal.recall("freeze: relays since")
        late: list[str] = []
        if since is not None:
            # Queued with unexpanded recipients: they have to go through cleanup again, and not be tried before.
            late = [q.id for q in postfix.queue(self.old) if q.arrived >= since and q.queue != "maildrop"]
            if late:
                self.old.run("postsuper", "-h", "-", stdin="".join(f"{each}\n" for each in late), check=True)
        self.relay.take_off(reload=False)
        self.doors.take_off(reload=False)
        self._pace()  # asks what those had laid themselves over
        reload_postfix(self.old)
        take_file(self.old, forwarding.PROBES_FILE, forwarding.TRANSPORT_FILE)
        if late:
            self.old.run("postsuper", "-r", "-", stdin="".join(f"{each}\n" for each in late), check=True)
        self.journal.forget(
            "freeze: relays since"
        )  # what comes now is expanded: not to be queued again by a second undo
        self.old_units.release(*POSTFIX)
        if postfix_runs(self.old):
            self.old.run("postqueue", "-f", check=True)

    def _pace(self) -> None:
        """No more letters at once than leave connections to old's database for people, as it was on new."""
        try:
            limit = pace(self.old)
        except ServerError as error:  # no reason to keep people waiting: what is too much at once is put off
            self.progress.say(f"the old server takes as many letters at once as before: {error.fact}")
            return
        if limit:
            self.pace.lay({LIMIT: str(limit)}, reload=False)

    def set_the_pace_free(self) -> None:
        """As it was before, once what waited in the world has come; after some time in any case."""
        if not self.pace.is_laid:
            return
        calm = time.monotonic()
        for left in Deadline(RUSH_S, every=1.0):
            count = int(self.old.sh(_CONVERSATIONS, check=True).out)
            limit = int(self.old.run("postconf", "-hx", LIMIT, check=True).out)
            if count >= limit // 2:
                calm = time.monotonic()
            elif time.monotonic() - calm >= CALM_S:
                break
            self.progress.at(
                f"what waited in the world comes: {count} at once, {limit} are let in", RUSH_S - left, RUSH_S
            )
        self.pace.take_off()

    def prove_undone(self) -> Iterable[Evidence]:
        before = self.old_units.before()
        ran = [unit for unit in (*DOVECOT, *POSTFIX) if before.get(unit, {}).get("ActiveState") == "active"]
        every = [checks.serves_again(self.old)] if len(ran) > 1 else []
        exam = Examination("the services run that ran before", "both", why="as before", hint="run --undo again")
        for server, units in ((self.old, self.old_units), (self.new, self.new_units)):
            for unit, state in units.before().items():
                if state["ActiveState"] == "active":
                    running = is_running(server, unit)
                    exam.expect(f"{unit} on {server}", "active" if running else "not active", running, "active")
        every.append(exam.close() if before else exam.not_applicable("none was touched"))
        if self.journal.recall(late_senders.KEY) is not None:
            every.append(late_senders.what_waits(self.context))
        if all(each.holds for each in every):
            self.old_units.forget()
            self.new_units.forget()
        yield from every


def _from_here(letter: postfix.Queued) -> bool:
    return letter.queue == "maildrop"
