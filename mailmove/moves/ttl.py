"""How long the world may remember where the mail server is: short while moving, as before afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import ClassVar

from checks import dns as checks
from mailmove import routing
from mailmove.clients.dns import Change
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.publish import Good, actions, publish, same_or_shorter, same_ttl
from mailmove.routing import dns_of

PATIENCE_S = 600  # longer waits are for another day


class LowerTtl(Move):
    """The TTLs of MX and mail host addresses are lowered.

    Succeeded: every authoritative server gives these records with the short TTL; the old TTLs are in the journal,
    and its clock runs until the last old answer has expired. Failed: some records may have the short TTL already,
    which harms nobody; running it again goes on.
    """

    name: ClassVar[str] = "ttl"
    overtaken_by: ClassVar[tuple[str, ...]] = ("ttl_back",)

    def needs(self) -> Iterable[Evidence]:
        """Every domain is led to us, and its zone takes changes."""
        yield checks.every_domain_is_led_to_us(self.migration, self.journal)
        yield checks.exchangers_are_names(self.migration)
        yield checks.zones_take_changes(self.migration)

    def plan(self) -> list[Action]:
        """The records and TTLs, by zone."""
        changes = self._changes(self._before())
        return actions(self.context, changes, "the TTL only; the old ones are remembered") or [
            Action("dns", "nothing", f"every TTL is {self.migration.settings.dns.ttl} s or less already")
        ]

    def do(self) -> None:
        """Remember the old TTLs, lower them, and start the clock when every server has them."""
        before = self._before()
        self.journal.keep(checks.OLD_TTLS, before)
        changes = self._changes(before)
        publish(self.context, changes, same_or_shorter)
        if changes or self.journal.recall(checks.LOWERED_AT) is None:
            self.journal.keep(checks.LOWERED_AT, time.time())

    def _before(self) -> list[tuple[str, str, int]]:
        """What was remembered, never overwritten, and what has come since."""
        known = [(name, kind, ttl) for name, kind, ttl in self.journal.recall(checks.OLD_TTLS, [])]
        seen = routing.survey(self.migration)
        names = {(name, kind) for name, kind, _ in known}
        return known + [(r.name, r.kind, r.ttl) for r in (*seen.mx, *seen.hosts) if (r.name, r.kind) not in names]

    def _changes(self, before: list[tuple[str, str, int]]) -> list[Change]:
        limit = self.migration.settings.dns.ttl
        wanted = {(name, kind): min(ttl, limit) for name, kind, ttl in before}
        return _ttl_changes(self.context, wanted, only_lower=True)

    def prove(self) -> Iterable[Evidence]:
        """Asked of every authoritative server."""
        yield checks.ttl_is_low(self.migration, self.journal)

    def undo(self) -> None:
        """The remembered TTLs are set again."""
        _put_back(self.context, same_ttl)

    def prove_undone(self) -> Iterable[Evidence]:
        """Asked of every authoritative server; then what was remembered may be forgotten."""
        before = self.journal.recall(checks.OLD_TTLS)
        if before:
            yield checks.ttl_is_back(self.migration, self.journal)
            self.journal.keep(checks.PUT_BACK, before)
        self.journal.forget(checks.OLD_TTLS)
        self.journal.forget(checks.LOWERED_AT)


class TtlBack(Move):
    """The TTLs are raised to what they were before the move.

    Succeeded: every authoritative server gives the records with the TTL they had. Failed: some still have the short
    TTL, which harms nobody; running it again goes on.
    """

    name: ClassVar[str] = "ttl_back"

    def needs(self) -> Iterable[Evidence]:
        """The old TTLs are known, and the zones take changes."""
        exam = Examination(
            "the TTLs of before the move are remembered", "journal",
            why="only what was remembered can be put back",
            hint="lower the TTLs with mailmove, or set the usual ones by hand",
        )  # fmt: skip
        before = self.journal.recall(checks.OLD_TTLS, [])
        words = ", ".join(f"{name} {kind} {ttl} s" for name, kind, ttl in before)
        exam.expect("old TTLs", words or "none", bool(before), "at least one")
        yield exam.close()
        yield checks.zones_take_changes(self.migration)

    def plan(self) -> list[Action]:
        """The records and TTLs, by zone; before they are lowered, in words."""
        changes = _ttl_changes(self.context, _remembered(self.context))
        return actions(self.context, changes, "the TTL only") or [
            Action("dns", "each TTL as the journal remembers it", "what it was before mailmove lowered it")
        ]

    def do(self) -> None:
        """Set the remembered TTLs."""
        _put_back(self.context, same_ttl)

    def prove(self) -> Iterable[Evidence]:
        """Asked of every authoritative server."""
        yield checks.ttl_is_back(self.migration, self.journal)

    def undo(self) -> None:
        """They are short again, for the way back; answers given meanwhile have to be waited out like before."""
        limit = self.migration.settings.dns.ttl
        wanted = {question: min(ttl, limit) for question, ttl in _remembered(self.context).items()}
        changes = _ttl_changes(self.context, wanted, only_lower=True)
        publish(self.context, changes, same_or_shorter)
        if changes:
            self.journal.keep(checks.LOWERED_AT, time.time())

    def prove_undone(self) -> Iterable[Evidence]:
        """Asked of every authoritative server."""
        yield checks.ttl_is_low(self.migration, self.journal)


def wait_out(context: Context) -> Evidence:
    """Wait until the answers given with the old TTL have expired, if that is soon; say when, if it is not."""
    expiry = checks.expires_at(context.journal)
    total = max(0.0, expiry - time.time()) if expiry else 0.0
    while expiry and 0 < (left := expiry - time.time()) <= PATIENCE_S:
        context.progress.at("waiting until the old answers have expired everywhere", total - left, total)
        time.sleep(min(1.0, left))
    return checks.old_ttl_is_waited_out(context.migration, context.journal)


def look_at_the_clock(context: Context) -> Evidence:
    """The same without waiting: before the TTLs are lowered there is nothing to wait for."""
    if not context.journal.touched(LowerTtl.name):
        exam = Examination("the old answers have expired in every cache", "DNS")
        return exam.not_applicable("the TTLs are not lowered yet; from then on the longest old TTL is waited out")
    return checks.old_ttl_is_waited_out(context.migration, context.journal)


def look_at_the_ttls(context: Context) -> Evidence:
    """Whether the TTLs are low, as long as they are meant to be."""
    exam = Examination("MX and addresses may be remembered for a short time only", "DNS")
    if context.journal.touched(TtlBack.name):
        return exam.not_applicable("the usual TTLs are set again")
    if not context.journal.touched(LowerTtl.name):
        return exam.not_applicable("no TTL was lowered")
    return checks.ttl_is_low(context.migration, context.journal)


def _remembered(context: Context) -> dict[tuple[str, str], int]:
    return {(name, kind): ttl for name, kind, ttl in context.journal.recall(checks.OLD_TTLS, [])}


def _put_back(context: Context, good: Good) -> None:
    publish(context, _ttl_changes(context, _remembered(context)), good)


def _ttl_changes(context: Context, wanted: dict[tuple[str, str], int], only_lower: bool = False) -> list[Change]:
    """Changes of nothing but the TTL, for records that are there and have another one."""
    dns = dns_of(context.migration)
    changes = []
    for question, reply in dns.current(wanted).items():
        if not reply.told:
            raise MailmoveError(
                f"{' '.join(question)}: {reply.words}",
                "see that the zone's name servers answer this machine; run it again",
            )
        records, ttl = reply.records, wanted[question]
        if records is None or records.ttl == ttl or (only_lower and records.ttl < ttl):
            continue  # an address that went with the switch, or nothing to do
        zone = dns.zone_of(records.name)
        name = zone.name if zone else ""
        changes.append(Change(name, records.name, records.kind, records.values, records.values, ttl))
    return changes
