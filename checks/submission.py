"""Strangers cannot send through the server, people can, as themselves (guide: relaying outgoing emails)."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence

from checks.outside import (
    ARRIVAL_S,
    SUBMISSION,
    Outside,
    Posted,
    expect,
    expect_arrived,
    expect_taken,
    find_all,
    given_up,
    is_public,
    post,
    ways_in,
    what_became_of,
)
from mailmove.clients import imap, letters, smtp
from mailmove.clients.account import PROBE_DOMAIN, Account
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline

AT_A_TIME = 8  # recipients in one conversation: after 10 errors Postfix slows a client down, after 20 it hangs up

WIDE = {4: 8, 6: 16}  # bits of a prefix: shorter ones are no house's own network

_GUIDE = "(guide: relaying outgoing emails through Postfix)"
_RELAY = (
    "postconf mynetworks must hold the server itself only (if this machine stands in it by right, ask from one that "
    "does not), relay_domains nothing that is not ours, and smtpd_relay_restrictions must end in "
    f"defer_unauth_destination or reject_unauth_destination {_GUIDE}"
)


def forms(target: str, domain: str, host: str) -> list[str]:
    """The ways in which ``target``, a mailbox elsewhere, has been smuggled past relay rules of a server.

    ``domain`` is one the server hosts, ``host`` its own name. Without the angle brackets of RCPT TO.
    """
    local, _, elsewhere = target.rpartition("@")
    return [
        target,
        # percent hack: the part before the @ is an address again
        f"{local}%{elsewhere}",
        f"{local}%{elsewhere}@{domain}",
        f"{local}%{elsewhere}@{host}",
        # bang path (UUCP)
        f"{elsewhere}!{local}",
        f"{elsewhere}!{local}@{domain}",
        f"{host}!{elsewhere}!{local}",
        # quoted local parts
        f'"{target}"',
        f'"{target}"@{domain}',
        f'"{local}%{elsewhere}"@{host}',
        # source routes (RFC 5321, appendix F.2: to be stripped or refused)
        f"@{domain}:{target}",
        f"@{host},@{domain}:{target}",
        # two at once
        f"{target}@{domain}",
        f"{target}@{host}",
    ]


def strangers_cannot_relay(outside: Outside, domain: str, family: str) -> Evidence:
    """Nobody outside can send through the server to somebody elsewhere, however the address is written."""
    exam = Examination(
        f"nobody outside can send through it, over {family}",
        str(outside.server),
        why="an open relay is found within hours, sends spam for the world, and is blocked by everybody",
        hint=_RELAY,
    )
    if reason := outside.no_way(family):
        return exam.not_applicable(reason)
    target = outside.settings.recipient or outside.sender
    written = forms(target, domain, outside.name)
    cases = [(outside.sender, written[i : i + AT_A_TIME]) for i in range(0, len(written), AT_A_TIME)]
    # Whose name is taken does not matter either
    own = [f"anna@{domain}", f"postmaster@{outside.name}", target, ""]
    cases += [(sender, [target]) for sender in own]
    calls = [outside.call(recipients, sender=sender, family=family) for sender, recipients in cases]
    for (sender, recipients), talk in zip(cases, smtp.converse_all(calls), strict=True):
        _expect_refusals(exam, sender, recipients, talk)
    return exam.close()


def _expect_refusals(exam: Examination, sender: str, recipients: Sequence[str], talk: smtp.Conversation) -> None:
    answers = talk.of("RCPT")
    if len(answers) < len(recipients):
        refused = talk.refused_at is not None and not talk.refused_at.command.startswith("RCPT")
        expect(exam, f"MAIL FROM:<{sender}>", talk, refused and not talk.trouble, "a refusal")
    for recipient, answer in zip(recipients, answers, strict=False):
        exam.expect(f"from <{sender}> RCPT TO:<{recipient}>", answer, not answer.good, "a refusal")


def few_are_trusted(outside: Outside) -> Evidence:
    """Nobody is trusted for the address they call from, but the server itself and whom the house knows."""
    exam = Examination(
        "the server trusts nobody outside for their address",
        str(outside.server),
        why="whoever calls from a trusted address need not log in: one restriction less, and it is an open relay",
        hint="postconf mynetworks should hold 127.0.0.0/8 and [::1]/128 only; machines of your own may log in "
        f"like everybody {_GUIDE}",
    )
    setting = outside.server.setting("mynetworks")
    networks = trusted(setting)
    wide = [net for net in networks if net.prefixlen < WIDE[net.version]]
    strange = [net for net in networks if _is_public(net.network_address) and not _only(net, outside)]
    exam.required = bool(wide)  # a machine of one's own elsewhere is a choice
    bad = ", ".join(map(str, wide or strange))
    exam.expect("mynetworks", setting or "empty", not bad, "no public networks" + f": not {bad}" * bool(bad))
    return exam.close()


def trusted(setting: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks in Postfix' mynetworks; tables and exceptions (!) are left out."""
    found = []
    for word in re.split(r"[,\s]+", setting):
        try:
            found.append(ipaddress.ip_network(re.sub(r"[\[\]]", "", word), strict=False))
        except ValueError:
            continue
    return found


def _only(net: ipaddress.IPv4Network | ipaddress.IPv6Network, outside: Outside) -> bool:
    """Whether a network holds one address, and that the server's own."""
    return net.num_addresses == 1 and str(net.network_address) in {*outside.addresses.values(), outside.server.address}


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    plain = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else address
    return is_public(str(plain))


def passwords_need_tls(outside: Outside) -> Evidence:
    """Before TLS no port offers or takes a login."""
    exam = Examination(
        "no password is taken in the clear",
        str(outside.server),
        why="whoever listens on the way reads it",
        hint=f"postconf smtpd_tls_auth_only=yes, for submission in master.cf as well {_GUIDE}",
    )
    stranger = Account(f"nobody@{PROBE_DOMAIN}", secrets.token_urlsafe(12), exposed=True)
    ports = [25, *([outside.port(SUBMISSION)] if outside.port(SUBMISSION) else [])]
    calls = [outside.submit(stranger, tls="none", port=port) for port in ports]
    looked = outside.refusal(535)  # would mean that the password was looked at
    for port, talk in zip(ports, smtp.converse_all(calls), strict=True):
        offered = talk.offers("AUTH")
        expect(exam, f"EHLO on port {port}", talk, not talk.unreachable, "an answer")
        if not talk.of("EHLO"):
            continue
        exam.expect(f"AUTH offered before TLS on port {port}", offered or "not offered", not offered, "not offered")
        answer = talk.of("AUTH")[0] if talk.of("AUTH") else None
        good = answer is not None and not answer.good and answer.code not in looked
        exam.expect(f"AUTH before TLS on port {port}", answer or talk.words, good, "a refusal without a look, 5xx")
    return exam.close()


def submission_needs_tls(outside: Outside, account: Account) -> Evidence:
    """Without TLS nothing can be handed in for sending."""
    exam = Examination(
        "nothing is taken for sending without TLS",
        str(outside.server),
        why="mail programs that are set up wrongly must fail, not send people's letters in the clear",
        hint=f"postconf -P submission/inet/smtpd_tls_security_level=encrypt {_GUIDE}",
    )
    if not ways_in(outside):
        return _no_submission(exam, outside)
    port = outside.port(SUBMISSION)
    if not port:
        return exam.not_applicable("letters are handed in by port 465 only, where everything is encrypted")
    talk = smtp.converse_all([outside.submit(None, [account.email], sender=account.email, tls="none", port=port)])[0]
    refused = talk.refused_at
    good = refused is not None and refused.code in outside.refusal(530)
    expect(exam, f"MAIL FROM:<{account.email}> without TLS", talk, good, "530 5.7.0")
    return exam.close()


def submission_needs_a_login(outside: Outside, account: Account) -> Evidence:
    """Without a login nothing can be handed in for sending, not even to somebody here."""
    exam = Examination(
        "nothing is taken for sending without a login",
        str(outside.server),
        why="it would be an open relay beside the one on port 25",
        hint=f"master.cf: submission with smtpd_recipient_restrictions=permit_sasl_authenticated,reject {_GUIDE}",
    )
    ways = ways_in(outside)
    if not ways:
        return _no_submission(exam, outside)
    target = outside.settings.recipient or outside.sender
    cases = [(way, recipient) for way in ways for recipient in (target, account.email)]
    calls = [outside.submit(None, [to], sender=account.email, tls=tls, port=port) for (port, tls), to in cases]
    for ((port, _), to), talk in zip(cases, smtp.converse_all(calls), strict=True):
        refused = talk.refused_at
        good = refused is not None and refused.command.split(" ")[0] in ("MAIL", "RCPT")
        expect(exam, f"from {account.email} to {to} on port {port} without a login", talk, good, "a refusal")
    return exam.close()


def wrong_passwords_are_refused(outside: Outside, account: Account) -> Evidence:
    """A wrong password is refused."""
    exam = Examination(
        "a wrong password is refused",
        str(outside.server),
        why="a login that lets in whoever comes is none",
        hint=f"doveconf -n: which passdb says yes to everybody? {_GUIDE}",
    )
    ways = ways_in(outside)
    if not ways:
        return _no_submission(exam, outside)
    wrong = Account(account.email, account.password[::-1] + "x")
    calls = [outside.submit(wrong, tls=tls, port=port) for port, tls in ways]
    codes = outside.refusal(535)
    for (port, _), talk in zip(ways, smtp.converse_all(calls), strict=True):
        answer = talk.of("AUTH")
        good = any(_is(answer, code) for code in codes)
        expect(exam, f"a wrong password for {account.email} on port {port}", talk, good, "535 5.7.8")
    return exam.close()


def right_passwords_are_accepted(outside: Outside, account: Account) -> Evidence:
    """The right password is accepted on every port where people send."""
    exam = Examination(
        "the right password is accepted",
        str(outside.server),
        why="people could read but not write",
        hint=f"is Dovecot's auth socket where postconf smtpd_sasl_path says, for Postfix to open? {_GUIDE}",
    )
    ways = ways_in(outside)
    if not ways:
        return _no_submission(exam, outside)
    calls = [outside.submit(account, tls=tls, port=port) for port, tls in ways]
    for (port, _), talk in zip(ways, smtp.converse_all(calls), strict=True):
        expect(exam, f"login as {account.email} on port {port}", talk, _is(talk.of("AUTH"), 235), "235 2.7.0")
    return exam.close()


def people_send_as_themselves_only(outside: Outside, account: Account, other: Account, alias: str) -> Evidence:
    """Whoever is logged in cannot send under somebody else's address; ``alias`` leads to ``other``.

    Whether people may send under an alias of their own is for the admin to say: it is reported.
    """
    exam = Examination(
        "nobody can send under somebody else's address",
        str(outside.server),
        why="one stolen password would be enough to write in everybody's name, with this server's signature",
        hint="postconf smtpd_sender_login_maps must be the query email2email, and submission must have "
        "smtpd_sender_restrictions=reject_sender_login_mismatch,permit_sasl_authenticated,reject "
        f"{_GUIDE}",
    )
    ways = ways_in(outside)
    if not ways:
        return _no_submission(exam, outside)
    port, tls = ways[0]
    foreign = [other.email, alias, outside.sender, f"nobody-{secrets.token_hex(4)}@{other.domain}"]
    calls = [outside.submit(account, [account.email], sender=sender, tls=tls, port=port) for sender in foreign]
    calls.append(outside.submit(other, [account.email], sender=alias, tls=tls, port=port))
    *talks, own = smtp.converse_all(calls)
    for sender, talk in zip(foreign, talks, strict=True):
        refused = talk.refused_at
        good = (
            refused is not None
            and refused.command.split(" ")[0] in ("MAIL", "RCPT")
            and "5.7.1" in (refused.text if not outside.soft_bounce else refused.text.replace("4.7.1", "5.7.1"))
        )
        expect(exam, f"logged in as {account.email}, writing as {sender}", talk, good, "553 5.7.1 not owned by user")
    policy = "refused" if own.refused_at else "allowed"
    expect(exam, f"logged in as {other.email}, writing as {alias}, an alias of theirs: {policy}", own, not own.trouble,
           "allowed or refused, as you like it")  # fmt: skip
    return exam.close()


def letters_get_to_others_here(outside: Outside, account: Account, other: Account) -> Evidence:
    """A letter that somebody here sends to somebody here arrives, from every port where people send."""
    exam = Examination(
        "a letter from one mailbox to another arrives",
        str(outside.server),
        why="people of one house write to each other most",
        hint=f"follow the letter in the mail log by its mark {_GUIDE}",
    )
    ways = ways_in(outside)
    if not ways:
        return _no_submission(exam, outside)
    items = []
    for port, tls in ways:
        letter = letters.compose(account.email, other.email)
        call = outside.submit(account, [other.email], letter, sender=account.email, tls=tls, port=port)
        items.append((letter, other, call))
    posted = post(items)
    expect_taken(exam, posted, f"a letter from {account.email}")
    expect_arrived(exam, outside, posted)
    return exam.close()


def sending_domain(outside: Outside, domains: Sequence[str]) -> str:
    """The one of ``domains`` in whose name a letter may go out: hosted here already. Empty if none is."""
    return next((domain for domain in domains if domain in outside.server.facts.domains), "")


def letters_get_out(outside: Outside, account: Account) -> Evidence:
    """A letter that somebody here sends to somebody elsewhere arrives there."""
    exam = Examination(
        "a letter to somebody elsewhere arrives there",
        str(outside.server),
        why="a server that only receives is half a mail server",
        hint="what the mail log says about it is above; many providers block port 25 towards the outside, and many "
        f"servers refuse senders without a good PTR record {_GUIDE}",
    )
    settings = outside.settings
    ways = ways_in(outside)
    if not ways:
        return _no_submission(exam, outside)
    if reason := outside.no_mailbox_elsewhere:
        return exam.not_applicable(reason)
    letter = letters.compose(account.email, settings.recipient)
    port, tls = ways[0]
    call = outside.submit(account, [settings.recipient], letter, sender=account.email, tls=tls, port=port)
    posted = post([(letter, account, call)])
    if expect_taken(exam, posted, f"a letter from {account.email}"):
        refusal = _expect_outside(exam, outside, account, posted[0])
        if refusal:
            return exam.not_applicable(refusal)
    return exam.close()


def _expect_outside(exam: Examination, outside: Outside, account: Account, posted: Posted) -> str:
    """Look into the mailbox elsewhere. Returns why it cannot be told yet (the probes' domain is nobody's)."""
    settings, mark = outside.settings, posted.letter.mark
    asked = f"the letter {mark} in the mailbox of {settings.recipient}"
    try:
        with outside.mailbox_elsewhere() as box:
            for _ in Deadline(ARRIVAL_S):
                places = find_all(box, [mark], seconds=0)[mark]
                if places or given_up(outside.server, mark):
                    break
    except MailmoveError as error:
        exam.unknown(asked, error.fact)
        return ""
    if places:
        words = ", ".join(f"{folder} (UID {uid})" for folder, uid in places)
        exam.expect(asked, words, len(places) == 1, "there once")
        return ""
    became = what_became_of(outside.server, mark)
    if account.domain == PROBE_DOMAIN and "status=bounced" in became and "domain" in became.lower():
        return (
            f"{settings.recipient} refuses letters from {PROBE_DOMAIN}, which is nobody's domain; it is asked "
            f"again with a real one once the new server hosts it. The log: {became.splitlines()[-1]}"
        )
    exam.expect(asked, f"not there after {ARRIVAL_S:.0f} s; the server's log:\n{became}", False, "there once")
    return ""


def undeliverable_letters_come_back(outside: Outside, account: Account) -> Evidence:
    """Whoever writes to somebody who is not there learns of it."""
    exam = Examination(
        "a letter that cannot be delivered comes back to its sender",
        str(outside.server),
        why="otherwise people believe that their letter arrived",
        hint="postconf notify_classes and bounce_service_name; the mail log says what became of the bounce",
    )
    ways = ways_in(outside)
    if not ways:
        return _no_submission(exam, outside)
    if outside.soft_bounce:
        return exam.not_applicable("soft_bounce is on: nothing is bounced for now, it stays in the queue")
    nobody = f"nobody-{secrets.token_hex(4)}@{account.domain}"
    letter = letters.compose(account.email, nobody)
    port, tls = ways[0]
    call = outside.submit(account, [nobody], letter, sender=account.email, tls=tls, port=port)
    talk = smtp.converse_all([call])[0]
    asked = f"a letter from {account.email} to {nobody}"
    if talk.refused_at is not None and talk.refused_at.command.startswith("RCPT"):
        exam.expect(asked, talk.words, talk.refused_at.for_good, "refused for good, or a bounce")
        return exam.close()
    if not expect(exam, asked, talk, talk.taken, "250 queued, or refused to RCPT"):
        return exam.close()
    try:
        with outside.mailbox(account) as box:
            found: list[int] = []
            for _ in Deadline(ARRIVAL_S, every=0.1):
                found = box.search("TEXT", letter.mark, "FROM", "MAILER-DAEMON")
                if found:
                    break
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return exam.close()
    words = f"INBOX (UID {', '.join(map(str, found))})" if found else what_became_of(outside.server, letter.mark)
    exam.expect(f"the bounce in the mailbox of {account.email}", words, len(found) == 1, "there once")
    return exam.close()


def _no_submission(exam: Examination, outside: Outside) -> Evidence:
    offered = ", ".join(outside.server.facts.services) or "none"
    exam.expect("services for sending in master.cf", offered, False, "submission (587) or submissions (465)")
    return exam.close()


def _is(answers: Sequence[smtp.Reply], code: int) -> bool:
    return bool(answers) and answers[0].code == code
