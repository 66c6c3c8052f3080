"""Does the world believe that letters from here are from here? DKIM, SPF and DMARC of letters as they arrived elsewhere."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import email.utils
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from email.message import Message

from checks import dns
from checks.outside import ARRIVAL_S, Outside, expect_taken, find_all, post, ways_in, what_became_of
from mailmove import routing
from mailmove.clients import letters, signatures, spf, tags
from mailmove.clients.account import Account
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.migration import Migration
from mailmove.routing import dns_of

CHAPTER = "guide: Prevent spoofing using DKIM"

_HOP = re.compile(r"from\s+(\S+)\s+\([^()]*?\[(?:IPv6:)?([0-9A-Fa-f.:]+)\]\)")


@dataclass(frozen=True)
class Arrived:
    """What a receiver knows of a letter: who handed it over, in whose name, and who says to have written it."""

    raw: bytes
    address: str  # empty if no header tells
    helo: str
    sender: str  # of the envelope
    author: str  # the domain in From


def arrived(raw: bytes, ours: Collection[str]) -> Arrived:
    """Read a letter as it was delivered. ``ours`` are the addresses that the server sends from.

    The receiver's own hops stand on top; the first that was handed over by one of ours is the one that counts,
    else (a provider's relay in between) the first that names an address of the outside.
    """
    letter = email.message_from_bytes(raw, policy=email.policy.compat32)
    hops = [(found[1], found[2]) for line in letter.get_all("Received") or [] if (found := _HOP.search(str(line)))]
    hops = [(helo, address) for helo, address in hops if routing.is_address(address)]
    chosen = next((hop for hop in hops if hop[1] in ours), None)
    chosen = chosen or next((hop for hop in hops if not hop[1].startswith("127.") and hop[1] != "::1"), ("", ""))
    return Arrived(
        raw, chosen[1], chosen[0], _address(letter, "Return-Path"), _address(letter, "From").partition("@")[2]
    )


def _address(letter: Message, header: str) -> str:
    return email.utils.parseaddr(str(letter.get(header, "")))[1].lower()


def letters_are_believed(
    migration: Migration, outside: Outside, accounts: Sequence[Account], signing: Collection[str]
) -> Evidence:
    """A letter from each account arrives elsewhere with a signature that holds, from an address that may send it.

    ``signing`` are the domains that have a key. Evaluated as receivers do, with the records as they are after the switch.
    """
    exam = Examination(
        "letters from every domain are believed elsewhere (DKIM, SPF, DMARC)",
        "outside",
        why="a letter whose signature, sender and address do not fit together is filed as spam, or refused",
        hint="not signed: does rspamd learn who is logged in (milter_mail_macros), can it read the key? Does not hold: "
        f"the key in DNS is another one. SPF: add the new server to the record ({CHAPTER})",
    )
    if not accounts:
        return exam.not_applicable(
            "the new server hosts none of the domains yet; it is asked when they have been moved: features/4_accept"
        )
    if reason := outside.no_mailbox_elsewhere:
        return exam.not_applicable(reason)
    ways = ways_in(outside)
    if not ways:
        return exam.not_applicable("letters cannot be handed in, as another check says")
    to, (port, tls) = outside.settings.recipient, ways[0]
    written = [letters.compose(account.email, to) for account in accounts]
    calls = [
        outside.submit(account, [to], letter, sender=account.email, tls=tls, port=port)
        for account, letter in zip(accounts, written, strict=True)
    ]
    posted = post(list(zip(written, accounts, calls, strict=True)))
    expect_taken(exam, posted, "a letter to elsewhere")
    sent = {each.letter.mark: each.account for each in posted if each.taken}
    found: dict[str, bytes] = {}
    try:
        lookup = dns.lookup_after_switch(migration, routing.survey(migration))
        with outside.mailbox_elsewhere() as box:
            for mark, places in find_all(box, list(sent), ARRIVAL_S, outside.server).items():
                if places:
                    folder, uid = places[0]
                    found[mark] = box.raw(uid, folder)
    except MailmoveError as error:
        exam.unknown(f"the letters in the mailbox of {to}", error.fact)
        return exam.close()
    ours = routing.addresses_of(migration.new)
    for mark, account in sent.items():
        if mark not in found:
            words = f"not there; the server's log:\n{what_became_of(outside.server, mark)}"
            exam.expect(f"a letter from {account.domain} in the mailbox of {to}", words, False, "there")
            continue
        _judge(exam, migration, arrived(found[mark], ours), account.domain in signing, lookup)
    return exam.close()


def _judge(exam: Examination, migration: Migration, letter: Arrived, signs: bool, lookup: spf.Lookup) -> None:
    """Judge one letter as its receiver does (RFC 6376, RFC 7208, RFC 7489)."""
    names = dns_of(migration)
    marks = signatures.of(letter.raw, lambda name: names.known([(name, "TXT")])[name, "TXT"])
    policy, record = _policy(migration, letter.author)
    good = [m for m in marks if m.holds and tags.aligned(m.domain, letter.author, bool(policy and policy.dkim_strict))]
    words = "; ".join(m.words for m in marks) or "not signed"
    exam.expect(
        f"DKIM of a letter from {letter.author}", words, bool(good) or not (signs or marks), "a signature that holds"
    )
    asked = f"SPF of <{letter.sender}> for {letter.address or 'an address that no header names'}"
    passes = False
    if letter.address:
        judged = spf.judge(letter.address, letter.sender or f"postmaster@{letter.helo}", lookup, letter.helo)
        passes = judged.result == "pass"
        if judged.result == "temperror":
            exam.unknown(asked, judged.because)
        else:
            exam.expect(asked, f"{judged.result}: {judged.because}", judged.result in ("pass", "none"), "pass")
    else:
        exam.unknown(asked, "the letter's Received lines do not tell")
    if policy is None:
        exam.expect(
            f"DMARC of a letter from {letter.author}", record or "no record", not record, "a record that is right"
        )
        return
    domain = letter.sender.rpartition("@")[2]
    ways = ["DKIM"] if good else []
    ways += ["SPF"] if passes and tags.aligned(domain, letter.author, policy.spf_strict) else []
    said = f"aligned by {' and '.join(ways)}" if ways else f"not aligned: receivers are asked to {policy.policy} it"
    exam.expect(f"DMARC of a letter from {letter.author} ({record})", said, bool(ways), "aligned by DKIM or SPF")


def _policy(migration: Migration, author: str) -> tuple[tags.Dmarc | None, str]:
    """The DMARC policy that holds for a domain, its own or else its owner's, and the record or what is wrong with it."""
    for domain in dict.fromkeys((author, tags.organisation(author))):
        name = f"_dmarc.{domain}"
        reply = dns_of(migration).known([(name, "TXT")])[name, "TXT"]
        for text in (value for value in reply.values if value.lower().replace(" ", "").startswith("v=dmarc1")):
            try:
                policy = tags.dmarc(text)
            except tags.Malformed as error:
                return None, f"{text}: {error}"
            return policy if domain == author else dataclasses.replace(policy, policy=policy.subdomains), text
    return None, ""
