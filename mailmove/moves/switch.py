"""The DNS switch: from here on the world's mail goes to the new server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import ClassVar

from checks import dns as checks
from mailmove import routing
from mailmove.clients.dns import Change
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.moves import late_senders
from mailmove.moves.base import Action, Move
from mailmove.moves.publish import actions, publish, same_values
from mailmove.moves.ttl import PATIENCE_S
from mailmove.routing import dns_of

PLAN = "switch plan"
"""In the journal: every record that is switched, before and after. What the way back needs."""


class Switch(Move):
    """Mail for every domain is led to the new server.

    Succeeded: every authoritative server and a caching resolver give the new server for every domain.
    Failed: each zone is either wholly switched or untouched; running it again switches the rest, the way back
    takes back what was switched. Mail still led to the old server waits at its senders, or is forwarded.
    """

    name: ClassVar[str] = "switch"

    def needs(self) -> Iterable[Evidence]:
        """Nobody holds it, every domain can be switched, the zones take it, and no cache knows an old TTL any more."""
        yield self._nobody_holds_it()
        yield checks.records_can_be_switched(self.migration)
        yield checks.zones_take_changes(self.migration)
        yield checks.old_ttl_is_waited_out(self.migration, self.journal)

    def _nobody_holds_it(self) -> Evidence:
        hold = self.migration.settings.gates.hold
        path = self.migration.directory / hold if hold else None
        exam = Examination(
            "nobody holds the DNS switch", "here",
            why="the file named in mailmove.toml (gates.hold) holds the switch until the admin removes it",
            hint=f"when you are ready, remove it and run again: rm {path}",
        )  # fmt: skip
        if path is None:
            return exam.not_applicable("no hold file is named (gates.hold)")
        there = path.exists()
        exam.expect(f"the hold file {path}", "there" if there else "not there", not there, "not there")
        return exam.close()

    def plan(self) -> list[Action]:
        """The updates, zone by zone, and what goes on to lead to the old server."""
        seen = routing.survey(self.migration)
        problems = [Action("dns", problem, "must be mended before the switch") for problem in seen.problems]
        changes = routing.planned_changes(seen, self.migration.settings.dns.switch)
        # Whatever their TTL is today: on the evening it is the lowered one.
        changes = [replace(c, ttl=min(c.ttl, self.migration.settings.dns.ttl)) for c in changes]
        what = "made only if the zone still holds what was read; the way back is the reverse"
        steps = actions(self.context, changes, what)
        switched = {(c.name, c.kind) for c in changes}
        staying = [
            Action("dns", f"{r.name} {r.kind} {', '.join(r.values)} stays", "who uses this name meets the old server")
            for r in seen.hosts if (r.name, r.kind) not in switched
        ]  # fmt: skip
        return problems + steps + staying or [Action("dns", "nothing", "every domain leads to the new server already")]

    def do(self) -> None:
        """Switch what is not switched yet; what stood there before is in the journal first."""
        begun = self._remembered()
        now = dns_of(self.migration).current((c.name, c.kind) for c in begun)
        if not any(c.before != c.after == now[c.name, c.kind].values for c in begun):
            begun = []  # nothing of it was done: what was planned then may be out of date
        fresh = routing.planned_changes(routing.survey(self.migration), self.migration.settings.dns.switch)
        known = {(c.name, c.kind) for c in begun}
        plan = [*begun, *(c for c in fresh if (c.name, c.kind) not in known)]
        self.journal.keep(PLAN, [asdict(c) for c in plan])
        self.journal.keep(late_senders.KEY, time.time())
        publish(self.context, self._open(plan), same_values)

    def prove(self) -> Iterable[Evidence]:
        """At every authoritative server, then through the caching resolver, then the way of every domain's mail."""
        plan = self._remembered()
        if plan:
            yield checks.records_stand(self.migration, plan, progress=self.progress)
            wait_s = self.migration.settings.dns.ttl + checks.RESOLVER_MARGIN_S
            yield checks.resolver_gives(self.migration, plan, wait_s, self.progress)
        yield checks.every_domain_leads_to_new(self.migration)

    def undo(self) -> None:
        """Put back what stood there, zone by zone, if it is still as the switch left it."""
        self.put_back()

    def put_back(self) -> list[Change]:
        """Returns what is to stand there now."""
        back = [c.back for c in self._remembered()]
        publish(self.context, self._open(back), same_values)
        return back

    def prove_undone(self) -> Iterable[Evidence]:
        """At every authoritative server; caches follow when what they know has expired."""
        back = [c.back for c in self._remembered()]
        if back:
            yield checks.records_stand(self.migration, back, progress=self.progress)
            # On the way back from long TTLs the caches may know the new server for longer than anybody wants to wait.
            short = float(self.migration.settings.dns.ttl)
            left = max(short, (checks.expires_at(self.journal) or 0) - time.time())
            soon = left <= PATIENCE_S
            wait_s = (left if soon else short) + checks.RESOLVER_MARGIN_S
            yield checks.resolver_gives(self.migration, back, wait_s, self.progress, required=soon)
        self.journal.forget(PLAN)

    def _remembered(self) -> list[Change]:
        lists = self.journal.recall(PLAN, [])
        return [Change(**{**c, "before": tuple(c["before"]), "after": tuple(c["after"])}) for c in lists]

    def _open(self, plan: Sequence[Change]) -> list[Change]:
        """The changes that are yet to be made, with the TTL that the records have now.

        Raises MailmoveError when a record is neither as before nor as planned: somebody else changed it.
        """
        now = dns_of(self.migration).current((c.name, c.kind) for c in plan)
        todo = []
        for change in plan:
            reply = now[change.name, change.kind]
            if not reply.told:
                raise MailmoveError(
                    f"{change.name} {change.kind}: {reply.words}",
                    "see that the zone's name servers answer this machine; run it again",
                )
            if reply.values == change.after:
                continue
            if reply.values != change.before:
                raise MailmoveError(
                    f"{change.name} {change.kind} is neither as it was ({', '.join(change.before) or 'none'}) nor as "
                    f"planned ({', '.join(change.after) or 'none'}), but {reply.words}",
                    "somebody changed it meanwhile; set one or the other by hand, then run it again",
                )
            todo.append(replace(change, ttl=reply.records.ttl if reply.records else change.ttl))
        return todo
