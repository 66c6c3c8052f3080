"""Do the lists that receivers ask before they take a letter name the new server? (RFC 5782)"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from checks.dns import sending_addresses
from mailmove.clients.dns import Question, Reply, reverse_name
from mailmove.evidence import Evidence, Examination, Verdict
from mailmove.migration import Migration
from mailmove.routing import dns_of

LISTED, NOT_LISTED = "127.0.0.2", "127.0.0.1"
LISTED_6 = "::ffff:7f00:2"
"""What every list must name, and what none may: so one sees that it is alive (RFC 5782, 5). IPv6 not all of them know."""

_KEY = re.compile(r"^(?=[^.]*\d)(?=[^.]*[a-z])[a-z\d]{20,}(?=(\.[a-z\d-]+){2,})", re.I)
"""The customer's, with which the name of a list begins that is paid for: nobody who reads the report needs it."""

_CODES = ipaddress.ip_network("127.0.0.0/8")
_COMPLAINTS = ipaddress.ip_network("127.255.255.0/24")  # by custom: the list does not answer this resolver


def none_names_the_new_server(migration: Migration) -> Evidence:
    """No list named in the settings has an address on it from which the new server sends."""
    exam = Examination(
        "no blocklist names an address from which the new server sends",
        "DNS",
        why="an address that somebody sent spam from before you had it is refused from the first letter on",
        hint="the list's web page says why and how to be taken off; if that takes longer than you have, let the provider give "
        "you another address (smtp_bind_address) before the switch",
    )
    lists = migration.settings.dns.blocklists
    if not lists:
        return exam.not_applicable("mailmove.toml names no blocklist (dns.blocklists); none is asked of its own accord")
    senders = sending_addresses(migration)
    tests = [LISTED, NOT_LISTED, LISTED_6]
    replies = dns_of(migration).resolve_all(_question(each, name) for name in lists for each in [*tests, *senders])
    for name in lists:
        shown = _KEY.sub("(key)", name)
        listed, not_listed, listed_6 = (replies[_question(each, name)] for each in tests)
        if trouble := _why_silent(listed, not_listed):
            exam.unknown(shown, trouble.replace(name, shown))
            continue
        for address in senders:
            asked = f"{address} on {shown}"
            if ":" in address and not listed_6.values:
                exam.expect(asked, "the list knows no IPv6 addresses", True)
                continue
            verdict, words = judge(replies[_question(address, name)])
            if verdict is Verdict.UNKNOWN:
                exam.unknown(asked, words.replace(name, shown))
            else:
                why = _why_listed(migration, address, name) if verdict is Verdict.FAILED else ""
                exam.expect(asked, (words + why).replace(name, shown), verdict is Verdict.PASSED, "not listed")
    return exam.close()


def judge(reply: Reply) -> tuple[Verdict, str]:
    """What a list's answer about an address means, and in words."""
    if not reply.told:
        return Verdict.UNKNOWN, reply.words
    if not reply.values:
        return Verdict.PASSED, "not listed"
    words = ", ".join(reply.values)
    codes = [ipaddress.ip_address(value) for value in reply.values]
    if any(code in _COMPLAINTS for code in codes):
        return Verdict.UNKNOWN, f"{words}: the list does not answer this resolver; set dns.resolver to one of your own"
    if not all(code in _CODES for code in codes):
        return Verdict.UNKNOWN, f"{words}: this is no blocklist any more"
    return Verdict.FAILED, f"listed: {words}"


def _why_silent(listed: Reply, not_listed: Reply) -> str:
    """Why a list tells nothing; empty if it is alive."""
    verdict, words = judge(listed)
    if verdict is Verdict.UNKNOWN:
        return words
    if verdict is Verdict.PASSED:
        return f"{LISTED} is not on it, as it must be on every list: is its name right, and does it still exist?"
    return f"it names {NOT_LISTED}, and so everybody: it has been given up" if not_listed.values else ""


def _why_listed(migration: Migration, address: str, name: str) -> str:
    """The list's own words, most often with a link."""
    asked, kind = _question(address, name)[0], "TXT"
    said: Sequence[str] = dns_of(migration).resolve_all([(asked, kind)])[asked, kind].values
    return f": {' '.join(said)}" if said else ""


def _question(address: str, name: str) -> Question:
    """How an address is looked up on a list: turned round, before the list's name."""
    turned = reverse_name(address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    return f"{turned}.{name}", "A"
