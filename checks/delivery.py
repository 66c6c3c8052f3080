"""Mail from outside reaches its mailbox (guide: let Postfix send emails to Dovecot, testing email delivery)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from checks.maps import ORIGIN
from checks.outside import ARRIVAL_S, Outside, Posted, expect, expect_arrived, expect_taken, post, what_became_of
from mailmove.clients import imap, letters, smtp
from mailmove.clients.account import Account
from mailmove.clients.dns import Dns
from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline

AT_ONCE = 20  # letters in flight
LARGEST = 26_214_400  # bytes of the largest letter that is really sent; a larger limit is only asked about
ROOM = 16_384  # bytes that the servers on the way may add to a header

ADMIN = "root"
# Postfix' log: a recipient, the name it was asked for by, and what would become of the letter
_VERIFIED = re.compile(r"to=<([^>]*)>(?:, orig_to=<([^>]*)>)?,.* status=(deliverable|undeliverable) \((.*)\)")

EIGHT_BIT = "Grüße aus Zürich: žluťoučký kůň, αβγ, 漢字, 🐦\n.\n..a line that begins with dots\n"
_GUIDE = "(guide: let Postfix send emails to Dovecot; testing email delivery)"
_LOG = f"follow the letter in the mail log by its mark {_GUIDE}"


def letters_arrive_once(outside: Outside, account: Account, family: str) -> Evidence:
    """A letter from outside is in its mailbox, once and unchanged."""
    exam = Examination(
        f"a letter from outside arrives once, over {family}",
        str(outside.server),
        why="this is what a mail server is for; a letter that comes twice or changed is as bad as one that is lost",
        hint=f"not even a connection: postconf inet_protocols inet_interfaces, and the firewall; else {_LOG}",
    )
    if reason := outside.no_way(family):
        return exam.not_applicable(reason)
    letter = letters.compose(outside.sender, account.email)
    return _sent(exam, outside, [(letter, account, outside.call([account.email], letter, family=family))])


def aliases_lead_to_the_mailbox(outside: Outside, account: Account, alias: str) -> Evidence:
    """A letter to an alias is in the mailbox of the person behind it."""
    exam = Examination(
        "a letter to an alias reaches the person behind it",
        str(outside.server),
        why="people are known by more addresses than one",
        hint=f"postmap -q {alias} $(postconf -hx virtual_alias_maps) on the server must say {account.email}; if it does, "
        "postconf receive_override_options must not hold no_address_mappings (guide: making Postfix get its "
        "information from the MariaDB database)",
    )
    letter = letters.compose(outside.sender, alias)
    return _sent(exam, outside, [(letter, account, outside.call([alias], letter))])


def capitals_make_no_difference(outside: Outside, account: Account) -> Evidence:
    """A letter to an address that is typed in capitals is in the mailbox of that name."""
    exam = Examination(
        "a letter to an address in capitals arrives",
        str(outside.server),
        why="telephones begin a word with a capital, and forms are filled in in capitals: such a letter would lie in a "
        "mailbox that nobody opens, or come back",
        hint="Dovecot's user_query must return email AS user, and auth_username_format be %Lu as it is by itself "
        "(in 2.4 %{user|lower}); the tables must not compare letter by letter (SHOW CREATE TABLE: no …_bin)",
    )
    typed = account.email.upper()
    letter = letters.compose(outside.sender, account.email)
    return _sent(exam, outside, [(letter, account, outside.call([typed], letter))])


def tagged_addresses_arrive(outside: Outside, account: Account, usual: str = "") -> Evidence:
    """A letter to a tagged address (anna+news@…) is in Anna's mailbox. ``usual`` is what parts name and tag on old."""
    exam = Examination(
        "a letter to a tagged address arrives",
        str(outside.server),
        why="people give such addresses to shops and lists; refused, these letters are lost to them",
        hint="postconf recipient_delimiter and doveconf recipient_delimiter must agree (Debian: + in both)",
    )
    delimiter = outside.server.setting("recipient_delimiter")
    if not delimiter and not usual:
        return exam.not_applicable("recipient_delimiter is empty on both servers: addresses have no tags here")
    if usual and not exam.expect("recipient_delimiter", delimiter or "empty", usual[0] in delimiter, f"{usual} as old"):
        return exam.close()
    local, _, domain = account.email.rpartition("@")
    tagged = f"{local}{(usual or delimiter)[0]}news@{domain}"
    letter = letters.compose(outside.sender, tagged)
    return _sent(exam, outside, [(letter, account, outside.call([tagged], letter))])


def eight_bits_survive(outside: Outside, account: Account) -> Evidence:
    """A letter in 8-bit characters arrives byte for byte."""
    exam = Examination(
        "letters in any script arrive byte for byte",
        str(outside.server),
        why="a letter whose umlauts are broken cannot be mended by its reader",
        hint="postconf -n must not hold disable_mime_input_processing, smtpd_discard_ehlo_keywords or "
        "lmtp_discard_lhlo_keywords: Debian leaves them as they are",
    )
    letter = letters.compose(outside.sender, account.email, text=EIGHT_BIT)
    return _sent(exam, outside, [(letter, account, outside.call([account.email], letter))])


STATIONS = 20  # RFC 5321, 6.3, wants a hundred; a letter that went through lists and filters has had as many
WRITTEN_TO = 200


def long_headers_survive(outside: Outside, account: Account) -> Evidence:
    """A letter that went through many servers, written to many people, arrives with all of its header."""
    exam = Examination(
        "a letter with many stations and many recipients in its header arrives whole",
        str(outside.server),
        why="a letter that came through lists and filters is taken for one that runs in a circle, and of one to many people the "
        "header is cut off: what follows stands in its text, and no signature holds",
        hint="postconf -X hopcount_limit header_size_limit, and header_checks must not throw Received away: Postfix' own limits "
        "are 50 stations and 102400 bytes",
    )
    station = (
        "from relay{0}.mailmove.invalid (relay{0}.mailmove.invalid [192.0.2.{0}])\r\n by relay{1}.mailmove.invalid"
    )
    people = [f"somebody-{number}@mailmove.invalid" for number in range(WRITTEN_TO)]
    headers = [
        *(("Received", station.format(number, number + 1)) for number in range(1, STATIONS + 1)),
        ("Cc", ",\r\n ".join(people)),
    ]
    letter = letters.compose(outside.sender, account.email, headers=headers)
    posted = post([(letter, account, outside.call([account.email], letter))])
    expect_taken(exam, posted)
    places = expect_arrived(exam, outside, posted).get(letter.mark, [])
    if len(places) == 1:
        _expect_header(exam, outside, account, places[0], people)
    return exam.close()


def _expect_header(
    exam: Examination, outside: Outside, account: Account, place: tuple[str, int], people: Sequence[str]
) -> None:
    """Write down that nothing of the letter's header is missing: too long a one is cut off without a word."""
    folder, uid = place
    try:
        with outside.mailbox(account) as box:
            header = box.raw(uid, folder).partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return
    there = sum(name in header for name in people)
    exam.expect("people it was written to, in its header", f"{there} of {len(people)}", there == len(people), "all")
    stations = len(re.findall(r"\(relay\d+\.mailmove\.invalid \[192", header))
    exam.expect("servers it came through, in its header", f"{stations} of {STATIONS}", stations == STATIONS, "all")


def international_headers_are_handled(outside: Outside, account: Account) -> Evidence:
    """What is announced is kept: a letter with UTF-8 in its header is delivered, or refused at once."""
    exam = Examination(
        "a letter with UTF-8 in its header is delivered or refused at once",
        str(outside.server),
        why="Postfix announces SMTPUTF8 (RFC 6531), but Dovecot's LMTP does not know it: such a letter is accepted, "
        "then bounced, and one without a sender vanishes",
        hint="postconf -e smtputf8_enable=no && postfix reload, until Dovecot's LMTP offers SMTPUTF8",
        required=False,
    )
    letter = letters.compose(outside.sender, account.email, headers=[("X-Greeting", "Grüße")])
    call = outside.call([account.email], letter, sender="", options=["SMTPUTF8"])
    talk = smtp.converse_all([call])[0]
    if talk.trouble:
        exam.unknown("a letter with UTF-8 in its header", talk.words)
        return exam.close()
    if not talk.offers("SMTPUTF8"):
        return exam.not_applicable("SMTPUTF8 is not announced: such letters are not sent here")
    posted = Posted(letter, account, smtp.Attempts(talk))
    if exam.expect("a letter with UTF-8 in its header", talk.words, True, "taken, or refused at once") and talk.taken:
        for _ in Deadline(ARRIVAL_S):
            if "status=" in what_became_of(outside.server, letter.mark):
                break
        expect_arrived(exam, outside, [posted], seconds=1.0)
    return exam.close()


def large_letters_arrive(outside: Outside, account: Account, usual: int = 0) -> Evidence:
    """A letter nearly as large as the server says it takes arrives; ``usual`` is the old server's limit in bytes."""
    exam = Examination(
        "a letter nearly as large as the limit arrives",
        str(outside.server),
        why="a limit that is announced and not kept bounces people's attachments",
        hint="set postconf message_size_limit as on the old server; if it is, compare with rspamd's max_message and "
        "Dovecot's quota_max_mail_size: the log names the one",
    )
    limit = _limit(outside)
    if limit is None:
        exam.unknown("the limit announced", "the server does not answer")
        return exam.close()
    said = f"{limit:,} bytes" if limit else "none"
    wanted = f"at least {usual:,} bytes, as on the old server" if usual else ""
    if not exam.expect("the limit announced", said, not limit or limit >= usual, wanted):
        return exam.close()
    size = min(max(limit - ROOM, limit // 2), LARGEST) if limit else LARGEST
    letter = letters.compose(outside.sender, account.email, size=size)
    return _sent(exam, outside, [(letter, account, outside.call([account.email], letter, time_s=120))])


def too_large_letters_are_refused(outside: Outside, account: Account) -> Evidence:
    """A letter one byte larger than the server takes is refused, whether it says its size or not."""
    exam = Examination(
        "a letter one byte over the limit is refused at once",
        str(outside.server),
        why="taken and bounced later it would be sent back to whoever was named as its sender",
        hint="postconf message_size_limit; it is announced by SIZE (RFC 1870)",
    )
    limit = _limit(outside)
    if limit is None:
        exam.unknown("the limit announced", "the server does not answer")
        return exam.close()
    if not limit:
        exam.required = False  # a choice that the RFC allows
        exam.expect("the limit announced", "none: one letter can fill the disk", False, "a limit")
        return exam.close()
    told = outside.call([account.email], sender=outside.sender, options=[f"SIZE={limit + 1}"])
    calls = [told]
    if limit <= LARGEST:
        letter = letters.compose(outside.sender, account.email, size=limit + 1)
        calls.append(outside.call([account.email], letter, declare_size=False, time_s=120))
    codes = outside.refusal(552)
    for call, talk in zip(calls, smtp.converse_all(calls), strict=True):
        asked = f"{limit + 1:,} bytes, " + ("told before" if call is told else "not told before")
        refused = talk.refused_at
        good = refused is not None and refused.code in codes
        expect(exam, asked, talk, good, "552")
    return exam.close()


def unknown_recipients_are_refused(outside: Outside, domain: str, safety_net: bool = False) -> Evidence:
    """Mail to somebody who is not there is refused at once; for now only, while mailmove's ``safety_net`` is set."""
    exam = Examination(
        "mail to somebody who is not there is refused at once",
        str(outside.server),
        why="taken first and bounced later it would go to forged senders: others then refuse this server's mail",
        hint="virtual_mailbox_maps must be the query that finds mailboxes, and smtpd_reject_unlisted_recipient = yes "
        "(guide: making Postfix get its information from the MariaDB database)",
    )
    nobody = f"nobody-{secrets.token_hex(4)}@{domain}"
    talk = smtp.converse_all([outside.call([nobody])])[0]
    code, status = (450, "4.1.1") if safety_net else (550, "5.1.1")
    refused = talk.refused_at
    good = refused is not None and refused.command.startswith("RCPT") and str(refused).startswith(f"{code} {status}")
    expected = f"{code} {status} to RCPT" + (" (the safety net of the evening is set)" if safety_net else "")
    soft = " (soft_bounce is on: postconf -X soft_bounce)" if not safety_net and outside.soft_bounce else ""
    expect(exam, f"RCPT TO:<{nobody}> from outside{soft}", talk, good, expected)
    _expect_no_local_nobody(exam, outside)
    return exam.close()


def _expect_no_local_nobody(exam: Examination, outside: Outside) -> None:
    """Write down that nobody is known in the machine's own domains either who is not there."""
    server = outside.server
    if any(server.setting(name) for name in ("luser_relay", "fallback_transport", "fallback_transport_maps")):
        return  # who is not there is somebody's
    names = [word for word in re.split(r"[,\s]+", server.setting("mydestination")) if re.fullmatch(r"[\w.-]+", word)]
    calls = [outside.call([f"nobody-{secrets.token_hex(4)}@{name}"]) for name in names[:MOST_OWN]]
    for talk in smtp.converse_all(calls):
        # Between two refusals for good and one for now it is the other question that tells
        answers = talk.of("RCPT")
        if not talk.trouble and answers:
            exam.expect(
                f"RCPT TO:<{talk.call.recipients[0]}> from outside (mydestination; local_recipient_maps must not be empty)",
                talk.words,
                not answers[0].good,
                "refused",
            )


MOST_OWN = 5


def the_admin_is_reached(outside: Outside, account: Account, names: Dns) -> Evidence:
    """A letter to root would be delivered, and comes from a domain that is there. Nothing is delivered: Postfix only tries.

    ``sendmail -bv`` (sendmail(1)): the report goes to ``account``, under a tag of its own by which the log is read.
    """
    exam = Examination(
        "what the server has to say reaches somebody",
        str(outside.server),
        why="jobs, certbot and the disks say in letters to root that they failed; on a new server these letters lead nowhere",
        hint="postconf -e 'mydestination=$myhostname,localhost' && postfix reload, so that letters to the server itself stay on it; "
        "root: you@your.example in /etc/aliases, and newaliases; the name in /etc/mailname must be in DNS",
        required=False,
    )
    origin = outside.server.sh(ORIGIN, what="the name in letters of its own").out.strip()
    found_there = names.known((origin, kind) for kind in ("MX", "A", "AAAA"))
    values = [value for reply in found_there.values() for value in reply.values]
    if values or all(reply.told for reply in found_there.values()):
        exam.expect(
            f"DNS about {origin}, of which it writes as {ADMIN}",
            ", ".join(values) or "nothing",
            bool(values),
            "a server",
        )
    else:
        exam.unknown(f"DNS about {origin}", "; ".join(r.words for r in found_there.values() if not r.told))
    mark = f"mm{secrets.token_hex(8)}"
    local, _, domain = account.email.partition("@")
    asked = outside.server.run("sendmail", "-bv", "-f", f"{local}+{mark}@{domain}", ADMIN)
    if not asked.ok:
        exam.unknown(f"whether a letter to {ADMIN} would be delivered", asked.text)
        return exam.close()
    log, found = "", []
    for _ in Deadline(ARRIVAL_S, every=0.3):
        log = what_became_of(outside.server, mark)
        found = [each for each in _VERIFIED.findall(log) if each[0] == ADMIN or each[1] == ADMIN]
        if found:
            break
    for address, _alias, status, words in found:
        exam.expect(
            f"a letter to {ADMIN}, that is to {address}", f"{status}: {words}", status == "deliverable", "deliverable"
        )
    if not found:
        exam.unknown(f"whether a letter to {ADMIN} would be delivered", log or "the log has not a word about it")
    return exam.close()


def names_are_not_told(outside: Outside, account: Account, alias: str) -> Evidence:
    """Nobody learns by VRFY or EXPN who has a mailbox, or who is behind an alias."""
    exam = Examination(
        "nobody is told who has a mailbox here (VRFY, EXPN)",
        str(outside.server),
        why="who collects addresses asks so without ever writing a letter, past every rule for recipients",
        hint=f"postconf -e disable_vrfy_command=yes && postfix reload {_GUIDE}",
        required=False,
    )
    nobody = f"nobody-{secrets.token_hex(4)}@{account.domain}"
    asked = [f"{verb} {name}" for verb in ("VRFY", "EXPN") for name in (account.email, alias, nobody)]
    talk = smtp.converse_all([outside.call([], questions=asked)])[0]
    answers = {reply.command: reply for reply in (*talk.of("VRFY"), *talk.of("EXPN"))}
    if len(answers) < len(asked):
        expect(exam, "VRFY and EXPN", talk, False, "an answer")
        return exam.close()
    told = answers[f"VRFY {account.email}"].code != answers[f"VRFY {nobody}"].code
    words = f"{account.email}: {answers[f'VRFY {account.email}']}; {nobody}: {answers[f'VRFY {nobody}']}"
    exam.expect("VRFY of somebody who is there, and of somebody who is not", words, not told, "the same answer")
    for command in asked[:2] + asked[3:5]:
        answer = answers[command]
        behind = account.email in answer.text and account.email not in command
        listed = behind or (command.startswith("EXPN") and answer.good)
        exam.expect(command, answer, not listed, "nobody named")
    return exam.close()


def bounces_are_let_in(outside: Outside, account: Account) -> Evidence:
    """A letter without a sender, as bounces are, arrives."""
    exam = Examination(
        "a bounce from another server arrives",
        str(outside.server),
        why="people would never learn that their letters did not arrive; RFC 5321, 4.5.5 demands it",
        hint="no restriction may refuse the sender <>: look at smtpd_sender_restrictions, smtpd_recipient_restrictions",
    )
    letter = letters.compose(f"MAILER-DAEMON@{outside.sender.rpartition('@')[2]}", account.email, about="test bounce")
    return _sent(exam, outside, [(letter, account, outside.call([account.email], letter, sender=""))])


def many_letters_arrive(outside: Outside, accounts: Sequence[Account]) -> Evidence:
    """Many letters at the same time arrive, each once."""
    exam = Examination(
        f"{AT_ONCE} letters sent at the same time arrive, each once",
        str(outside.server),
        why="mail comes in bursts: what holds for one letter must hold for many",
        hint="postconf -n | grep rate_limit, process limits in master.cf, Dovecot's lmtp and auth limits; the log names "
        "the one that was reached",
    )
    items = []
    for number in range(AT_ONCE):
        account = accounts[number % len(accounts)]
        letter = letters.compose(outside.sender, account.email, about=f"letter {number + 1}")
        items.append((letter, account, outside.call([account.email], letter)))
    return _sent(exam, outside, items)


def _sent(exam: Examination, outside: Outside, items: Sequence[tuple[letters.Letter, Account, smtp.Call]]) -> Evidence:
    posted = post(items)
    expect_taken(exam, posted)
    expect_arrived(exam, outside, posted)
    return exam.close()


def _limit(outside: Outside) -> int | None:
    """The size limit the server announces, in bytes; 0 for none, None if it announces nothing at all."""
    talk = smtp.converse_all([outside.call([])])[0]
    return talk.size_limit if talk.extensions else None
