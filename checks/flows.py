"""Mail as the world sends it: by the MX of each domain, to wherever DNS leads."""

from __future__ import annotations

from collections.abc import Sequence

from checks.outside import Outside, expect_arrived, expect_taken, post
from mailmove.clients import letters, smtp
from mailmove.clients.account import Account
from mailmove.clients.dns import exchangers
from mailmove.evidence import Evidence, Examination
from mailmove.migration import Migration
from mailmove.routing import addresses_of, dns_of


def letters_find_their_way(migration: Migration, outside: Outside, accounts: Sequence[Account]) -> Evidence:
    """A letter sent where each domain's MX leads is in its mailbox on the new server, once."""
    exam = Examination(
        "a letter from outside, led by DNS alone, arrives once in every domain",
        "new",
        why="this is how all mail comes; what the servers say of themselves does not help if the world goes elsewhere",
        hint="compare the MX and its addresses with the new server's (guide: Setting DNS records)",
    )
    if not accounts:
        return exam.not_applicable("the old server hosts no domains")
    ours = addresses_of(migration.new)
    items: list[tuple[letters.Letter, Account, smtp.Call]] = []
    for account in accounts:
        hosts, addresses = _way(migration, account.domain)
        words = f"{', '.join(hosts) or 'no MX'} at {', '.join(addresses) or 'no address'}"
        good = bool(addresses) and set(addresses) <= ours
        exam.expect(
            f"where DNS leads mail for {account.domain}", words, good, f"the new server: {', '.join(sorted(ours))}"
        )
        reachable = [address for address in addresses if not smtp.can_reach(address)]
        if reachable:
            letter = letters.compose(outside.sender, account.email)
            call = smtp.Call(reachable[0], sender=outside.sender, recipients=[account.email], message=letter.data)
            items.append((letter, account, call))
    posted = post(items)
    expect_taken(exam, posted)
    expect_arrived(exam, outside, posted)
    return exam.close()


def _way(migration: Migration, domain: str) -> tuple[list[str], list[str]]:
    """The names and addresses to which a sender's resolver leads, best first."""
    dns = dns_of(migration)
    found = dns.resolve_all([(domain, "MX")])[domain, "MX"]
    hosts = [each.host for each in sorted(exchangers(found.values)) if each.host]
    kinds = ("A", "AAAA")
    replies = dns.resolve_all([(host, kind) for host in hosts for kind in kinds])
    return hosts, [a for host in hosts for kind in kinds for a in replies[host, kind].values]
