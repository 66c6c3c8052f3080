"""Whom a server shuts out: fail2ban, a firewall or Postfix' limits make a healthy server look dead to one machine alone."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from checks.offers import other_addresses
from checks.outside import is_public
from mailmove.clients import smtp
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination, Finding, Verdict
from mailmove.server import Server

HERE = "this machine"
MAIL_JAIL = re.compile("postfix|dovecot|sieve|mail|smtp|imap|pop3|sasl|recidive", re.I)

# Postfix counts these for each client, within anvil_rate_time_unit; 0 is no limit
RATES = (
    "smtpd_client_connection_rate_limit",
    "smtpd_client_auth_rate_limit",
    "smtpd_client_message_rate_limit",
    "smtpd_client_recipient_rate_limit",
    "smtpd_client_new_tls_session_rate_limit",
)
AT_ONCE = "smtpd_client_connection_count_limit"
ENOUGH = 200  # a minute: more than any look at a server needs
_WATCHERS = {
    "crowdsec": "cscli allowlists, or /etc/crowdsec/parsers/s02-enrich",
    "sshguard": "/etc/sshguard/whitelist",
    "denyhosts": "/etc/hosts.allow",
}


@dataclass(frozen=True)
class Look:
    """What one server said of whom it shuts out (see ``remote/shutout.py``), and who was asked about."""

    server: Server
    said: Mapping[str, Any]
    people: Mapping[str, str] = field(default_factory=dict)  # address -> whose it is

    @property
    def shut_out(self) -> dict[str, list[str]]:
        """Address -> by what; of those asked about."""
        found: dict[str, list[str]] = {}
        for address, what in self.said["shut_out"]:
            found.setdefault(address, []).append(self._words(what))
        return found

    def jails(self, address: str) -> list[str]:
        """Those that do not ignore the address."""
        return [name for name, jail in self.said["jails"].items() if address not in jail["ignored"]]

    def limits(self, name: str) -> str:
        """When a jail shuts somebody out, and for how long."""
        jail = self.said["jails"][name]
        long = "for good" if jail["bantime"] < 0 else f"for {_span(jail['bantime'])}"
        return f"{name} ({jail['maxretry']} failures within {_span(jail['findtime'])}: shut out {long})"

    def _words(self, what: str) -> str:
        name = what.removeprefix("fail2ban's jail ")
        return f"fail2ban's jail {self.limits(name)}" if name in self.said["jails"] else what


def _span(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def ours(server: Server) -> list[str]:
    """The addresses that the server may see this machine come from, as far as can be told from here. ssh's own is told there."""
    found = []
    for address in (server.address, *other_addresses(server)[:1]):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 25))  # sends nothing
                found.append(probe.getsockname()[0])
        except OSError:
            continue  # no way there
    return [address for address in found if is_public(address)]


def look(server: Server, others: Mapping[str, str] | None = None) -> Look:
    """Ask a server whether it shuts out this machine, or ``others`` (address -> whose it is)."""
    others = others or {}
    mine = ours(server)
    (said,) = server.remote("shutout", {"addresses": [*mine, *others], "lease": 0}, timeout_s=60)
    here = dict.fromkeys([*filter(None, [said["client"]]), *mine], HERE)
    return Look(server, said, {**here, **others})


def look_at_both(old: Server, new: Server) -> tuple[Look, Look]:
    """Ask both at once, each about this machine and the other."""
    people = [dict.fromkeys(each.facts.addresses, f"the {each} server") for each in (old, new)]
    with ThreadPoolExecutor(2) as pool:
        theirs, here = pool.submit(look, old, people[1]), pool.submit(look, new, people[0])
        return theirs.result(), here.result()


def nobody_is_shut_out(looks: Iterable[Look]) -> Evidence:
    """Neither server refuses this machine or the other server just now."""
    exam = Examination(
        "Nobody who takes part in the move is shut out",
        "both",
        "To whom a server shuts out it looks dead: what is asked of it is refused or never answered, and nobody says why.",
    )
    remedies = []
    for each in looks:
        for address, whose in each.people.items():
            by = each.shut_out.get(address, [])
            exam.expect(
                f"{address} ({whose}) at the {each.server} server",
                f"shut out by {'; '.join(by)}" if by else "let in",
                good=not by,
                expected="let in",
            )
            remedies += [_let_in(each, address)] if by else []
    exam.hint = "; ".join(remedies)
    return exam.close()


def _let_in(each: Look, address: str) -> str:
    jailed = any(address in jail["banned"] for jail in each.said["jails"].values())
    if jailed:
        return f"on the {each.server} server: fail2ban-client unban {address}, and see to it that it is ignored until the move is over"
    return f"on the {each.server} server: take {address} out of the rule named until the move is over"


def nobody_will_be(looks: Sequence[Look], spared: Iterable[tuple[str, str]] = ()) -> Evidence:
    """Nor will they be for what a move does: wrong passwords on purpose, many connections, letters handed on.

    ``spared``: jail and address that mailmove has ignored on the new server as long as it is at work.
    """
    exam = Examination(
        "Nobody who takes part in the move is about to be shut out",
        "both",
        "Wrong passwords are tried on purpose, many connections are made at once, and the old server hands on letters for "
        "people who are not there: whoever watches takes that for an attack, in the middle of the evening.",
        required=False,
    )
    remedies: list[str] = []
    by_us = set(spared)
    for each in looks:
        remedies += [*_watched(exam, each, by_us), *_limited(exam, each)]
        for name in each.said["watchers"]:
            exam.expect(f"{name} on the {each.server} server", "runs", good=False, expected="told who takes part")
            remedies.append(f"tell {name} who takes part: {_WATCHERS[name]}")
    if not remedies and not any(each.said["jails"] for each in looks):
        asked = "fail2ban, a firewall or limits that shut out whoever comes too often"
        exam.expect(asked, "none on either server", good=True)
    exam.hint = "; ".join(remedies)
    return exam.close()


def _watched(exam: Examination, each: Look, by_us: set[tuple[str, str]]) -> list[str]:
    """The jails of fail2ban. Nobody makes mistakes at the old server, nor by ssh."""
    if each.server.role == "old" or not each.said["jails"]:
        return []
    watched: dict[str, None] = {}
    watching: dict[str, None] = {}
    for address, whose in each.people.items():
        jails = each.jails(address)
        asked = f"{address} ({whose}) and fail2ban on the {each.server} server"
        ignored = [name for name in each.said["jails"] if address in each.said["jails"][name]["ignored"]]
        words = f"ignored by {', '.join(ignored)}" if ignored else "watched by no jail for mail"
        if whose != HERE:  # it makes no mistakes until it hands letters on
            if for_mail := [name for name in jails if MAIL_JAIL.search(name)]:
                words = f"watched by {', '.join(for_mail)} until it hands letters on: then mailmove has it ignored"
            exam.expect(asked, words, good=True)
            continue
        if any((name, address) in by_us for name in ignored):
            words += " as long as mailmove is at work"
        exam.expect(
            asked,
            f"watched by {', '.join(map(each.limits, jails))}" if jails else words,
            good=not jails,
            expected="ignored until the move is over",
        )
        if jails:
            watched[address] = None
            watching |= dict.fromkeys(jails)
    return [_have_ignored(each.server, watching, watched)] if watched else []


def _have_ignored(server: Server, jails: Iterable[str], addresses: Iterable[str]) -> str:
    every = " ".join(addresses)
    return (
        f"on the {server} server: for jail in {' '.join(jails)}; do for address in {every}; do fail2ban-client set $jail addignoreip "
        "$address; done; done (until fail2ban is reloaded); the same with delignoreip when the move is over"
    )


def _limited(exam: Examination, each: Look) -> list[str]:
    """Firewalls that count, on both; Postfix' own limits, on new."""
    remedies = []
    for rule in each.said["limits"]:
        asked = f"the firewall of the {each.server} server shuts out whoever comes too often"
        exam.expect(
            asked, rule, good=False, expected="no such rule before this machine and the other server are let in"
        )
    if each.said["limits"]:
        who = ", ".join(each.people)
        remedies.append(f"on the {each.server} server, until the move is over: accept {who} before the rule named")
    if each.server.role == "new":
        mine = [address for address, whose in each.people.items() if whose == HERE]
        limits = postfix_limits(each.server, mine)
        for name, value in limits.items():
            exam.expect(f"{name} on the new server", value, good=False, expected=f"0, or {ENOUGH} and more")
        if limits:
            add = " ".join(f"[{address}]" if ":" in address else address for address in mine)
            remedies.append(
                f"on the new server, until the move is over: postconf 'smtpd_client_event_limit_exceptions = $mynetworks {add}', postfix reload"
            )
    return remedies


def postfix_limits(server: Server, addresses: Sequence[str]) -> dict[str, str]:
    """Postfix' limits for one client that a look at the server would run into, by name."""
    if all(_is_among(address, server.setting("smtpd_client_event_limit_exceptions")) for address in addresses):
        return {}
    named = {name: server.setting(name) for name in (*RATES, AT_ONCE)}
    for line in server.run("postconf", "-P").out.splitlines():
        where, _, value = line.partition("=")
        name = where.strip().rpartition("/")[2]
        if name in named:
            named[where.strip()] = value.strip()
    return {name: value for name, value in named.items() if value.isdigit() and 0 < int(value) < _enough(name)}


def _enough(name: str) -> int:
    return smtp.AT_ONCE if name.endswith(AT_ONCE) else ENOUGH


def _is_among(address: str, networks: str) -> bool:
    """Whether an address is in Postfix' list of networks: ``127.0.0.0/8 [::1]/128``."""
    wanted = ipaddress.ip_address(address)
    for word in re.split(r"[\s,]+", networks):
        try:
            network = ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            continue  # a table, or empty
        if network.version == wanted.version and wanted in network:
            return True
    return False


# Why nobody answered

_UNANSWERED = re.compile(
    r"ECONNREFUSED|[Cc]onnection refused|ConnectionRefused|^refused$|^silent for|timed out|TimeoutError|ETIMEDOUT|EHOSTUNREACH"
    r"|ERR_(CONNECTION|TIMED_OUT|ADDRESS)|no (connection|greeting) within|no end after|ECONNRESET|reset by peer"
)
_TOO_MANY = re.compile(r"too many (connections|new TLS|AUTH|errors)|too much mail|(connection|rate) limit", re.I)


def explained(evidence: Sequence[Evidence], old: Server, new: Server) -> tuple[Evidence, ...]:
    """The same evidence; where somebody was not answered because a server shuts them out, it says so.

    The servers are asked once for all of it, and only when something was not answered.
    """
    looks: Sequence[Look] | MailmoveError = ()
    if any(_matches(each, _UNANSWERED) for each in evidence):
        try:
            looks = look_at_both(old, new)
        except MailmoveError as error:
            looks = error
    return tuple(_with_cause(each, looks) for each in evidence)


def _matches(evidence: Evidence, sign: re.Pattern[str]) -> bool:
    return any(not each.verdict.holds and sign.search(each.answer) for each in evidence.findings)


def _with_cause(evidence: Evidence, looks: Sequence[Look] | MailmoveError) -> Evidence:
    asked = "whether that is because somebody is shut out"
    if _matches(evidence, _UNANSWERED) and isinstance(looks, MailmoveError):
        cause = Finding(asked, f"cannot be asked by ssh any more either: {looks.fact}", Verdict.UNKNOWN)
        hint = "if it answers from elsewhere, this machine is shut out: look on its own console (fail2ban-client banned, nft list ruleset)"
        return dataclasses.replace(evidence, findings=(cause, *evidence.findings), hint=f"{hint}; {evidence.hint}")
    if _matches(evidence, _UNANSWERED) and not isinstance(looks, MailmoveError):
        found = [
            (each, address)
            for each in looks
            for address, whose in each.people.items()
            # What is asked of the new server is asked from here; with the old one, either may ask the other
            if address in each.shut_out and (evidence.subject != "new" or (each.server.role, whose) == ("new", HERE))
        ]
        if found:
            words = "; ".join(
                f"the {each.server} server shuts out {address} ({each.people[address]}): {', '.join(each.shut_out[address])}"
                for each, address in found
            )
            cause = Finding(asked, words, Verdict.FAILED, "everybody who takes part is let in")
            hint = "; ".join(_let_in(each, address) for each, address in found)
            return dataclasses.replace(
                evidence, findings=(cause, *evidence.findings), hint=f"{hint}; then run it again"
            )
    if _matches(evidence, _TOO_MANY):
        hint = (
            "Postfix there counts what one client does (postconf smtpd_client_event_limit_exceptions smtpd_client_connection_rate_limit): "
            "have it leave this machine out until the move is over, then run it again"
        )
        return dataclasses.replace(evidence, hint=f"{hint}; {evidence.hint}" if evidence.hint else hint)
    return evidence
