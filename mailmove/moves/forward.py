"""The old server hands everything to the new one: a sender with an old cache loses nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable

from checks import forwarding as checks
from checks import refusals
from checks.freeze import DOVECOT, connect, stays_down, takes_nothing_from_outside
from checks.outside import Outside
from mailmove import postfix
from mailmove.clients.account import Account
from mailmove.evidence import Evidence
from mailmove.moves import forwarding, jails, put_off, trust
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.probes import ProbeAccounts
from mailmove.moves.service_state import Overlay, plan_settings, put_file, reload_postfix
from mailmove.progress import Deadline
from mailmove.routing import addresses_of

# A Unix socket below Postfix' queue directory or a port: does anybody answer there?
_ANSWERS = """
import socket, sys
for name in sys.stdin.read().split():
    kind, _, where = name.partition(":")
    try:
        if kind == "unix":
            socket.socket(socket.AF_UNIX).connect(where if where.startswith("/") else sys.argv[1] + "/" + where)
        elif kind == "inet":
            host, _, port = where.rpartition(":")
            socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), 3)
    except OSError:
        print(name)
"""


AGAIN = 2  # times that letters are sent once more when the first ones were put off


class Forward(Move):
    """Letting the old server forward to the new one.

    When it succeeds, the old server takes mail for its domains again and hands it on by the new server's address,
    whatever DNS says; letters it still had go the same way; the new server does not hold the detour against them. When
    it fails, the old server takes nothing, and senders try again. Run it again, or take it back.
    """

    name = "forward"
    overtaken_by = ("dismiss",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.doors = Overlay(self.old, self.journal, "freeze-doors")
        self.overlay = Overlay(self.old, self.journal, "forward")
        self.trust = Overlay(self.new, self.journal, "trust")

    @property
    def target(self) -> str:
        """The new server's address, as the old one reaches it."""
        return self.new.address

    @property
    def transport(self) -> str:
        return f"{forwarding.TRANSPORT}:{postfix.literal_host(self.target)}"

    def needs(self) -> Iterable[Evidence]:
        yield stays_down(self.old, *DOVECOT)
        yield checks.old_reaches_new(self.old, self.target)

    def plan(self) -> list[Action]:
        trusted = trust.address_words(self._addresses)
        return [
            Action("new", f"put {trust.INCLUDED}; rspamadm configtest && systemctl restart rspamd",
                   f"no SPF, blacklist, greylist or rate penalty for {trusted}; nothing is relayed for it"),
            *self._ignored(trusted),
            Action("old", f"postconf -M '{forwarding.service_line()}'", "the way to the new server, by address"),
            Action("old", plan_settings(self._settings("defer_unauth_destination")) + " && postfix reload",
                   "what comes for its domains is handed on as it came; unknown people are put off"),
            Action("old", "postqueue -f", "what waited goes the same way"),
            Action("outside", f"a letter to {self.old.address}", "arrives once, at the new server"),
        ]  # fmt: skip

    def _ignored(self, trusted: str) -> list[Action]:
        if jails.PACKAGE not in self.new.known.packages:
            return []
        return [
            Action(
                "new",
                f"put {jails.FILE}; fail2ban-client set JAIL addignoreip …",
                f"no jail for mail watches {trusted}",
            )
        ]

    @property
    def _addresses(self) -> list[str]:
        return sorted(addresses_of(self.old))

    def do(self) -> None:
        self.progress.at("the new server learns whom to trust")
        trust.give(self.new, self.trust, self._addresses)
        self.new.refresh()
        self.progress.at("the old server learns the way")
        own = forwarding.own(self.old, self.journal)
        self._hold_what_would_double()
        self.old.run("postconf", "-M", forwarding.service_line(), check=True)
        if own.transports:
            text = forwarding.transport_file(self.migration.domains, self.transport)
            put_file(self.old, forwarding.TRANSPORT_FILE, text)
        put_file(self.old, forwarding.PROBES_FILE, forwarding.PROBES_TEXT)
        wanted = postfix.expanded(self.old, "smtpd_recipient_restrictions")["smtpd_recipient_restrictions"]
        self.overlay.lay({**forwarding.relaying(own, self.transport), **self._settings(self._without_dead(wanted))})
        self.old.run("postqueue", "-f", check=True)
        self.journal.keep("forwarding since", time.time())
        self.old.refresh()
        self._wait_until_handed_over()

    def _settings(self, restrictions: str) -> dict[str, str]:
        submission = [s.id for s in postfix.services(self.old) if s.takes_mail_from_outside and s.port not in (25, 0)]
        return {
            "relay_transport": self.transport,
            "master_service_disable": " ".join(submission),
            "smtpd_data_restrictions": self.doors.before("smtpd_data_restrictions") or "",
            # Logins were Dovecot's business, which is down: without it smtpd would die at every STARTTLS
            "smtpd_sasl_auth_enable": "no",
            "smtpd_recipient_restrictions": restrictions,
            "smtpd_relay_restrictions": "permit_mynetworks, defer_unauth_destination",
        }

    def _without_dead(self, restrictions: str) -> str:
        """Restrictions without the policy servers that went down with Dovecot: one that is gone refuses everybody."""
        asked = forwarding.policies(restrictions)
        directory = self.old.run("postconf", "-hx", "queue_directory", check=True).out.strip()
        dead = self.old.run("python3", "-c", _ANSWERS, directory, stdin="\n".join(asked), check=True).out.split()
        return forwarding.without_dead_policies(restrictions, set(dead)) or "defer_unauth_destination"

    def _hold_what_would_double(self) -> None:
        """Letters that were expanded before the stop and would be expanded once more: a person has to decide."""
        since = self.journal.recall("freeze: relays since", 0.0)
        letters = [q for q in postfix.queue(self.old) if q.queue != "hold"]
        doubled = postfix.would_double(letters, self.old.facts.aliases, since)
        if doubled:
            held = {*self.journal.recall("forward: held", []), *(q.id for q in doubled)}
            self.journal.keep("forward: held", sorted(held))  # first: whom nobody knows to be held, nobody lets go
            self.old.run("postsuper", "-h", "-", stdin="".join(f"{q.id}\n" for q in doubled), check=True)

    def _wait_until_handed_over(self) -> None:
        here = self.migration.domains
        for left in Deadline(30):
            if not [q for q in postfix.queue(self.old) if not q.waits and q.to(here)]:
                return
            self.progress.at("the old queue goes to the new server", 30 - left, 30)

    def prove(self) -> Iterable[Evidence]:
        outside = Outside(self.old, self.migration.settings.probes)
        yield stays_down(self.old, *DOVECOT)
        yield checks.closed_to_people(self.old)
        with ProbeAccounts(self.new, self.migration) as probes:
            accounts = [probes.in_domain(domain) for domain in self.migration.domains]
            try:
                yield self._letters_go_through(accounts)
            finally:
                self._drop_own_letters()
        yield checks.people_are_known(outside, self.old)
        yield refusals.unknown_people(outside, self.migration.domains, self.old.facts.aliases, 450)
        yield refusals.no_relay(outside)
        # What the world had kept comes all at once when it finds the way: what was put off in the rush is tried again.
        put_off.try_again(self.context)
        yield checks.queue_went_across(self.old, self.migration.domains, self.journal.recall("forward: held", []))

    def _letters_go_through(self, accounts: list[Account]) -> Evidence:
        """A new server that is just taking in what waited in the world puts some letters off for a moment: then others are sent."""
        settings = self.migration.settings.probes
        evidence = checks.letters_are_forwarded(self.old, self.new, settings, accounts)
        for _ in range(AGAIN):
            if evidence.holds or not [q for q in postfix.queue(self.old) if q.waits and q.is_ours]:
                break
            self.progress.say("the new server put letters off that the old one handed on: they are tried once more")
            self._drop_own_letters()
            self.old.run("postqueue", "-f", check=True)
            evidence = checks.letters_are_forwarded(self.old, self.new, settings, accounts)
        return evidence

    def _drop_own_letters(self) -> None:
        """Letters to probes that did not get through: with the probes gone they would be tried for days."""
        ours = [q.id for q in postfix.queue(self.old) if q.recipients and q.is_ours]
        if ours:
            self.old.run("postsuper", "-d", "-", stdin="".join(f"{each}\n" for each in ours))

    def undo(self) -> None:
        """The doors of the old server closed again, as the freeze left them; the new server trusts nobody specially."""
        self.close()
        trust.take(self.new, self.trust)
        for key in ("forwarding since", "forward: held"):
            self.journal.forget(key)
        self.old.refresh()
        self.new.refresh()

    def close(self) -> None:
        """The old server's part of it."""
        self.overlay.take_off()
        forwarding.drop_service(self.old)
        reload_postfix(self.old)
        held: list[str] = self.journal.recall("forward: held", [])
        if held:
            self.old.run("postsuper", "-H", "-", stdin="".join(f"{each}\n" for each in held))
        own = forwarding.own(self.old, self.journal)
        if own.transports:
            text = forwarding.transport_file(self.migration.domains, forwarding.WAITING)
            put_file(self.old, forwarding.TRANSPORT_FILE, text)

    def prove_undone(self) -> Iterable[Evidence]:
        for _left in Deadline(15):
            if "connected" not in connect(self.old.address, [25]).values():
                break
        yield takes_nothing_from_outside(self.old)
        yield checks.trust_is_gone(self.new, trust.INCLUDED, trust.SETTINGS, jails.FILE)
