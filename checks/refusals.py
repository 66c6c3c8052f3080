"""How a server answers to what it will not take: for now, or for good."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from checks.outside import Outside, expect
from mailmove.clients import smtp
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

CHAPTER = "guide: Migrating from your old server"


def nobody(domain: str) -> str:
    """An address that is nobody's."""
    return f"mailmove-nobody-{secrets.token_hex(4)}@{domain}"


def safety_net_is_set(new: Server) -> Evidence:
    """Postfix on the new server is told to refuse for now what it would refuse for good."""
    exam = Examination(
        "the new server is set to refuse nothing for good",
        "new",
        why="a mistake that refuses people's mail then only delays it",
        hint=f"postconf soft_bounce=yes on the new server ({CHAPTER})",
    )
    exam.equal("postconf -hx soft_bounce", new.run("postconf", "-hx", "soft_bounce").out.strip(), "yes")
    other = [line for line in new.run("postconf", "-P").out.splitlines() if "soft_bounce" in line]
    exam.expect("services that say otherwise", "; ".join(other) or "none", not other, "none")
    return exam.close()


def safety_net_is_gone(new: Server) -> Evidence:
    """Postfix on the new server refuses for good what it does not take."""
    exam = Examination("the safety net is gone", "new", why="as it was before", hint="postconf -X soft_bounce there")
    exam.equal("postconf -hx soft_bounce", new.run("postconf", "-hx", "soft_bounce").out.strip(), "no")
    return exam.close()


def unknown_people(outside: Outside, domains: Sequence[str], aliases: Sequence[Sequence[str]], code: int) -> Evidence:
    """Mail to somebody who is not there is put off (450), or refused at once (550), in every domain."""
    for_now = code < 500
    exam = Examination(
        "mail to unknown people is " + ("put off, not refused" if for_now else "refused at once"),
        str(outside.server),
        why="with the safety net on, a missing account costs nobody a letter: the sender keeps it and tries again"
        if for_now
        else "a sender who mistyped an address is told now, not after days",
        hint=f"postconf soft_bounce must be {'yes' if for_now else 'no'}, then postfix reload ({CHAPTER})",
    )
    caught = {source[1:].lower() for source, *_ in aliases if source.startswith("@")}
    asked = [domain for domain in domains if domain.lower() not in caught]
    if not asked:
        return exam.not_applicable("every domain has a catch-all: nobody is unknown")
    calls = [outside.call([nobody(domain)]) for domain in asked]
    for domain, talk in zip(asked, smtp.converse_all(calls), strict=True):
        answer = talk.of("RCPT")
        expect(exam, f"RCPT TO:<somebody unknown@{domain}>", talk, bool(answer) and answer[0].code == code, str(code))
    return exam.close()


def no_relay(outside: Outside) -> Evidence:
    """Mail from outside to outside is refused."""
    exam = Examination(
        "mail from outside to outside is not passed on",
        str(outside.server),
        why="an open relay is found within hours and blacklisted within a day",
        hint="smtpd_relay_restrictions must end with reject_unauth_destination or defer_unauth_destination",
    )
    recipient = outside.settings.recipient or "nobody@mailmove.invalid"
    talk = smtp.converse_all([outside.call([recipient])])[0]
    answer = talk.of("RCPT")
    good = bool(answer) and not answer[0].good
    expect(exam, f"RCPT TO:<{recipient}> without a login", talk, good, "454 or 554")
    return exam.close()
