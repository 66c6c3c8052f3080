"""Dovecot: who gets in, where the mailbox lies, and that it does what mail programs ask of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress

from checks import hand_in
from checks.offers import Offer, offered, other_addresses
from checks.outside import Outside, find_all, went_wrong
from mailmove import sql
from mailmove.clients import imap, letters, managesieve, pop3
from mailmove.clients.account import Account
from mailmove.clients.tls import DISTRUST
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.server import Answer, Server

CHAPTER = "guide: setting up Dovecot"

_REFUSED = (imap.LoginRefused, pop3.LoginRefused, managesieve.LoginRefused)


def right_password_gets_in(new: Server, account: Account) -> Evidence:
    """Everybody gets in with the right password, in each way that is offered."""
    exam = exam_of_dovecot(
        "The right password opens the mailbox in every way offered",
        "A login that works in one mail program and not in another is a long first morning.",
        "doveadm auth test USER -x service=imap (or pop3) on the server says whether it is the password or the way in; "
        "the connect line and the queries are in dovecot-sql.conf.ext",
    )
    answers = _log_in(new, _ways_to_read(new), account)
    said = _complaints(new) if any(answers.values()) else ""
    for offer, answer in answers.items():
        asked = f"{offer.what} (port {offer.port})"
        if answer.startswith(DISTRUST):
            exam.unknown(asked, answer)
        else:
            exam.expect(asked, f"{answer}{said}" if answer else "let in", not answer, "let in")
    return exam.close()


def _complaints(new: Server) -> str:
    """What Dovecot itself called an error just now; empty if nothing."""
    words = ("-q", "-u", "dovecot", "-p", "err", "--since", "-1min", "-o", "cat", "-n", "2")
    said = new.run("journalctl", *words).out.strip()
    return f"; Dovecot's log: {said}" if said else ""


def wrong_password_stays_out(new: Server, account: Account) -> Evidence:
    """Nobody gets in with a wrong password, an empty one, or as somebody who is not there.

    ``account`` should be one whose password takes a while to be tried: whoever tries after the first was told no has to
    wait for longer.
    """
    exam = exam_of_dovecot(
        "Nobody gets in with a wrong password",
        "A mailbox that opens to anybody is read and sends spam within hours.",
        "look for passdb static, nopassword or allow_nets in Dovecot's configuration (doveconf -n passdb)",
    )
    wrong = dataclasses.replace(account, password=account.password + "x")
    strangers = {
        "an empty password": dataclasses.replace(account, password=""),
        "nobody's name": Account(f"mailmove-nobody@{account.domain}", account.password),
    }

    def ask_dovecot(stranger: Account) -> Answer:
        # As if from a network of nobody's (RFC 3849), another each time, so that nobody waits for its mistakes
        address = f"rip=2001:db8:{secrets.randbelow(1 << 16):x}::1"
        return new.run("doveadm", "auth", "test", "-x", address, stranger.email, stdin=f"{stranger.password}\n")

    # One wrong login by each way, the others on the server itself: Dovecot makes an address wait longer with each other
    # wrong login that comes from there, and the next right one as well. So all at once, and from an address that no
    # other check comes from.
    ways = [_aside(new, offer) for offer in _ways_to_read(new)]
    with ThreadPoolExecutor(max_workers=len(strangers)) as pool:
        said = pool.map(ask_dovecot, strangers.values())
        for offer, words in _log_in(new, ways, wrong).items():
            asked = f"{offer.what} (port {offer.port}) with a wrong password"
            if words and not words.startswith(_SAID_NO):
                exam.unknown(asked, words)
            else:
                exam.expect(asked, words.removeprefix(_SAID_NO) or "let in", bool(words), "refused")
        for what, answer in zip(strangers, said, strict=True):
            asked = f"doveadm auth test with {what}"
            if answer.rc in (0, NO_PERMISSION):
                exam.expect(asked, answer.text, not answer.ok, "refused")
            else:
                exam.unknown(asked, answer.text or f"exit status {answer.rc}")
    return exam.close()


_SAID_NO = "refused: "
TOGETHER_S = 20.0
PROGRAMS = 8  # as a phone, a laptop and the webmail have open together
NO_PERMISSION = 77  # how doveadm says that Dovecot works and the password is wrong (EX_NOPERM)


def _ways_to_read(new: Server) -> list[Offer]:
    return [offer for offer in offered(new) if offer.speaks in ("imap", "pop3", "sieve") or offer.port in (993, 995)]


def _aside(new: Server, offer: Offer) -> Offer:
    """The same way in over the other IP version, if the server can be reached so."""
    for address in other_addresses(new):
        with suppress(OSError), socket.create_connection((address, offer.port), timeout=1):
            return dataclasses.replace(offer, address=address)
    return offer


def _log_in(new: Server, ways: Sequence[Offer], account: Account) -> dict[Offer, str]:
    """For each way of reading mail: empty if the account was let in, else why not.

    All send their password in the same moment: Dovecot makes those wait who come after somebody with a wrong one.
    """
    name = new.setting("myhostname")
    together = threading.Barrier(len(ways) or 1)

    def ready() -> None:
        with suppress(threading.BrokenBarrierError):
            together.wait(timeout=TOGETHER_S)

    def attempt(offer: Offer) -> str:
        session: AbstractContextManager[object]
        if offer.speaks == "sieve":
            session = managesieve.login(
                offer.address, account, name=name, trust=new.trust, port=offer.port, ready=ready
            )
        else:
            login: Callable[..., AbstractContextManager[object]] = pop3.login if "POP3" in offer.what else imap.login
            starttls = offer.speaks != "implicit"
            session = login(
                offer.address, account, name=name, trust=new.trust, port=offer.port, starttls=starttls, ready=ready
            )
        try:
            with session:
                return ""
        except _REFUSED as error:
            return _SAID_NO + error.fact
        except MailmoveError as error:
            together.abort()  # nobody waits for who is not coming
            return error.fact

    with ThreadPoolExecutor(max_workers=len(ways) or 1) as pool:
        return dict(zip(ways, pool.map(attempt, ways), strict=True))


# Logins of each kind by person, from the log files (rotated ones too) or the journal.
_LOGINS = """
if ls /var/log/mail.log* >/dev/null 2>&1; then zgrep -ahE 'dovecot.*-login: Log(in|ged in): user=<' /var/log/mail.log*
else journalctl -q -o cat -u dovecot --grep='-login: Log(in|ged in): user=<'
fi | sed -nE 's/.*(imap|pop3|managesieve)-login: Log[a-z ]+: user=<([^>]*)>.*/\\1 \\2/p' | sort -u
"""


def ways_in_stay(old: Server, new: Server) -> Evidence:
    """Whatever people read their mail with on the old server works on the new one: IMAP, POP3, filter rules."""
    exam = Examination(
        "Every way to the mailbox that people use stays",
        "both",
        "Who reads mail by POP3 and finds it gone cannot read mail at all.",
        "apt install dovecot-pop3d or dovecot-managesieved on the new server, or tell the people named below",
    )
    names = {"imap": ("IMAP", "imap"), "pop3": ("POP3", "pop3"), "sieve": ("ManageSieve", "managesieve")}
    used = [line.split(" ", 1) for line in old.sh(_LOGINS, timeout_s=300).out.splitlines()]
    for protocol, (what, logged) in names.items():
        if protocol not in old.facts.protocols:
            continue
        if protocol in new.facts.protocols:
            exam.expect(what, "offered on both servers", good=True)
        elif not used:
            exam.unknown(what, "offered on the old server only; its log has no logins, so who uses it cannot be told")
        else:
            people = sorted({person for kind, person in used if kind == logged})
            words = f"used by {len(people)}: {', '.join(people[:20])}" if people else "used by nobody in its log"
            exam.expect(what, f"offered on the old server only, {words}", not people, "offered on both servers")
    return exam.close()


def everybody_is_known(new: Server, account: Account) -> Evidence:
    """Dovecot knows each mailbox of the database by name, and can list them all."""
    exam = exam_of_dovecot(
        "Dovecot knows everybody in the database",
        "Without the list no index can be rebuilt and no quota recalculated for all.",
        "add iterate_query = SELECT email AS user FROM virtual_users to Dovecot's SQL settings",
    )
    answer = new.run("doveadm", "user", "*")
    listed = set(answer.out.split())
    rows = sql.rows(new, new.facts.database, "SELECT email FROM virtual_users")
    people = {row[0] for row in rows}
    exam.expect(
        "doveadm user '*'", answer.err.strip() or f"{len(listed)} mailboxes", answer.ok and bool(listed), "a list"
    )
    if listed:
        missing = sorted(people - listed)
        exam.expect("in the database, not in the list", ", ".join(missing[:20]) or "nobody", not missing, "nobody")
        strange = sorted(listed - people)
        exam.expect("in the list, not in the database", ", ".join(strange[:20]) or "nobody", not strange, "nobody")
    unknown = new.run("doveadm", "user", "-u", f"mailmove-nobody@{account.domain}")
    exam.expect("doveadm user of somebody who is not there", unknown.text, not unknown.ok, "not found")
    return exam.close()


def mailbox_lies_in_its_place(new: Server, account: Account) -> Evidence:
    """A new mailbox is made at its first use, below the mail directory, for nobody's eyes but the mail system's."""
    exam = exam_of_dovecot(
        "A mailbox lies where it belongs and is private",
        "The mailboxes are copied to this place; what Dovecot looks for elsewhere seems lost.",
        "user_query must return home = /var/vmail/%d/%n and the uid and gid of vmail; chown -R vmail:vmail /var/vmail",
    )
    fields = {}
    answer = new.run("doveadm", "user", account.email)
    for line in answer.out.splitlines():
        key, _, value = line.partition("\t")
        fields[key.strip()] = value.strip()
    home, root = fields.get("home", ""), new.facts.mail_root
    if not home:
        exam.expect(f"doveadm user {account.email}", answer.text, good=False, expected="a home")
        return exam.close()
    exam.expect("its home", home, bool(root) and home.startswith(root + "/"), f"below {root or 'the mail directory'}")

    def use(box: imap.Mailbox) -> None:
        box.append(b"Subject: mailmove\r\n\r\nIs this your place?\r\n")

    in_mailbox(exam, new, account, use)
    # Owner, group and mode of each directory of the mailbox; whether somebody else can look into it.
    said = new.sh(
        'find "$1" -type d -printf "%U\\t%G\\t%m\\t%P\\n"; runuser -u nobody -- ls "$1" >/dev/null 2>&1 && echo open',
        home,
    ).out.splitlines()
    directories = [line.split("\t") for line in said if "\t" in line]
    exam.expect("directories made at the first login", len(directories), len(directories) > 1, "a Maildir")
    letters = [path for *_, path in directories if path.rpartition("/")[2] == "cur"]
    exam.expect("Maildirs", ", ".join(letters) or "none", bool(letters), "at least one")
    uid, gid = fields.get("uid", ""), fields.get("gid", "")
    foreign = [
        path or "."
        for user, group, _, path in directories
        if (user, group) != (_number(new, "passwd", uid), _number(new, "group", gid))
    ]
    exam.expect(f"directories not owned by {uid}:{gid}", ", ".join(foreign) or "none", not foreign, "none")
    owner = new.run("stat", "-L", "-c", "%u:%g", root).out.strip()
    theirs = f"{_number(new, 'passwd', uid)}:{_number(new, 'group', gid)}"
    exam.expect(f"owner by the user database, uid:gid ({root} belongs to {owner})", theirs, theirs == owner, owner)
    exam.expect(
        "opened as the user nobody", "can be listed" if "open" in said else "refused", "open" not in said, "refused"
    )
    return exam.close()


def _number(server: Server, database: str, name: str) -> str:
    """A user's or group's number; numbers stay."""
    if name.isdigit():
        return name
    return [*server.run("getent", database, name).out.split(":"), "", "", ""][2]


def letters_can_be_handled(new: Server, account: Account) -> Evidence:
    """A letter can be stored, found, read, flagged, moved, copied and deleted, and keeps its bytes and its date."""
    exam = exam_of_dovecot(
        "Letters can be stored, found, flagged, moved and deleted",
        "It is what people do with their mail all day.",
        "Dovecot's log in /var/log/mail.log (or journalctl -u dovecot) says what it did not like",
    )
    in_mailbox(exam, new, account, lambda box: _handle_a_letter(exam, box))
    return exam.close()


def _handle_a_letter(exam: Examination, box: imap.Mailbox) -> None:
    mark = secrets.token_hex(8)
    folder = f"{box.namespace().prefix}mailmove-{mark} Ünïcode & more"
    letter = (
        f"From: a@mailmove.invalid\r\nSubject: mailmove {mark}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße, ☃\r\n"
    ).encode()
    date = dt.datetime(2001, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    box.append(letter, flags=["\\Seen", "$MailmoveKeyword"], date=date)
    uids = box.search("HEADER", "Subject", mark)
    exam.expect("search for a letter just stored", f"{len(uids)} found", len(uids) == 1, "1 found")
    if len(uids) != 1:
        return
    (found,) = box.fetch(uids, raw=True)
    exam.expect(
        "the letter's bytes",
        f"{len(found.raw)} bytes",
        found.raw == letter,
        f"the {len(letter)} bytes that were stored",
    )
    exam.expect("the date it was received", found.date, found.date == date, str(date))
    flags = found.flags - {"\\Recent"}
    exam.expect("flags", " ".join(sorted(flags)), flags == {"\\Seen", "$MailmoveKeyword"}, "$MailmoveKeyword \\Seen")
    box.add_flags(uids, ["\\Flagged"])
    box.remove_flags(uids, ["\\Seen"])
    box.create(folder)
    box.move(uids, folder)
    exam.equal("in the inbox after it was moved out", len(box.search("HEADER", "Subject", mark)), 0)
    moved = box.fetch(box.search("HEADER", "Subject", mark, folder=folder), folder, raw=True)
    exam.equal(f"in the folder {folder!r} after it was moved there", len(moved), 1)
    for each in moved:
        kept = (
            each.raw == letter and each.date == date and each.flags - {"\\Recent"} == {"\\Flagged", "$MailmoveKeyword"}
        )
        words = f"{len(each.raw)} bytes, {each.date}, {' '.join(sorted(each.flags))}"
        exam.expect("bytes, date and flags after the move", words, kept, "unchanged but for what was flagged")
        box.expunge([each.uid], folder)
    exam.equal("in the folder after it was deleted", box.count(folder), 0)
    box.delete(folder)
    exam.expect("folders after it was deleted", "gone", folder not in {f.name for f in box.folders()}, "gone")


def new_letters_are_announced(new: Server, account: Account) -> Evidence:
    """A mail program that waits is told of a new letter at once (IDLE, RFC 2177)."""
    exam = exam_of_dovecot(
        "A waiting mail program is told of a new letter",
        "Without it phones show new mail minutes late.",
        "look for imap_capability without IDLE, and for exhausted inotify watches (sysctl fs.inotify)",
    )
    in_mailbox(exam, new, account, lambda box: _wait_for_a_letter(exam, box, new, account))
    return exam.close()


def _wait_for_a_letter(exam: Examination, box: imap.Mailbox, new: Server, account: Account) -> None:
    if "IDLE" not in box.capabilities:
        exam.expect("capabilities", "no IDLE", good=False, expected="IDLE")
        return

    began = time.monotonic()

    def store() -> None:
        nonlocal began
        with open_mailbox(new, account) as other:
            other.append(b"Subject: mailmove\r\n\r\nAre you waiting?\r\n")
            began = time.monotonic()

    said = box.idle(15, store)
    took = time.monotonic() - began
    told = any("EXISTS" in line for line in said)
    exam.expect("told of a new letter", f"after {took:.1f} s: {'; '.join(said) or 'nothing'}", told, "EXISTS")


def several_programs_at_once(new: Server, account: Account) -> Evidence:
    """A mailbox can be open in several programs at once, and what one does the others see."""
    exam = exam_of_dovecot(
        "Several programs can be open on one mailbox",
        "A phone, a laptop and the webmail each keep some connections; who is one too many gets an error.",
        "doveconf mail_max_userip_connections (10 is Dovecot's own); the limits of service imap-login and imap",
    )
    mark = secrets.token_hex(8)
    try:
        with ExitStack() as stack, ThreadPoolExecutor(max_workers=PROGRAMS) as pool:

            def one_more(_: int) -> imap.Mailbox | str:
                try:
                    return stack.enter_context(open_mailbox(new, account))
                except imap.NotTrusted:
                    raise
                except imap.ImapError as error:
                    return error.fact

            opened = list(pool.map(one_more, range(PROGRAMS)))
            boxes = [each for each in opened if isinstance(each, imap.Mailbox)]
            refused = [each for each in opened if isinstance(each, str)]
            words = f"{len(boxes)} of {PROGRAMS}" + "".join(f"; {each}" for each in refused[:1])
            exam.expect("sessions of one person at once", words, not refused, f"{PROGRAMS} of {PROGRAMS}")
            if len(boxes) > 1:
                _expect_shared(exam, boxes[0], boxes[-1], f"mailmove {mark}")
    except imap.ImapError as error:
        went_wrong(exam, f"IMAP as {account.email}", error, "OK")
    return exam.close()


def _expect_shared(exam: Examination, one: imap.Mailbox, other: imap.Mailbox, subject: str) -> None:
    other.search("HEADER", "Subject", subject)  # so that it has the inbox open
    one.append(f"Subject: {subject}\r\n\r\nSeen by both?\r\n".encode())
    one.add_flags(one.search("HEADER", "Subject", subject), ["\\Flagged"])
    seen = other.search("FLAGGED", "HEADER", "Subject", subject)
    exam.expect(
        "a letter that another program has put there and flagged", f"{len(seen)} seen", len(seen) == 1, "1 seen"
    )
    one.expunge(seen)
    exam.equal("seen after the other program has deleted it", len(other.search("HEADER", "Subject", subject)), 0)


def postfix_hands_over(outside: Outside, account: Account) -> Evidence:
    """Dovecot takes letters from Postfix for who is there, and makes the mailbox; for who is not it refuses them."""
    exam = exam_of_dovecot(
        "Postfix can hand letters over to Dovecot",
        "Without it every letter waits in the queue, unseen, until its sender is told after days that it was lost.",
        "service lmtp in 10-master.conf: unix_listener /var/spool/postfix/private/dovecot-lmtp, mode 0600, user and group "
        "postfix; a userdb static after the SQL one makes Dovecot take letters for anybody",
    )
    if reason := hand_in.why_no_lmtp(outside):
        return exam.not_applicable(reason)
    nobody = f"mailmove-nobody@{account.domain}"
    letter, stray = letters.compose(outside.sender, account.email), letters.compose(outside.sender, nobody)
    taken, refused = hand_in.by_lmtp(
        outside,
        [
            hand_in.Envelope(outside.sender, account.email, letter),
            hand_in.Envelope(outside.sender, nobody, stray),
        ],
    )
    exam.expect(f"a letter for {account.email}, by LMTP", taken.words, taken.code == 250, "250")
    exam.expect(f"a letter for {nobody}, who is not there", refused.words, refused.code == 550, "550 5.1.1")
    if taken.code == 250:

        def look(box: imap.Mailbox) -> None:
            found = find_all(box, [letter.mark])[letter.mark]
            words = ", ".join(folder for folder, _ in found) or "nowhere"
            exam.expect("where it was put", words, [folder for folder, _ in found] == ["INBOX"], "INBOX, once")

        in_mailbox(exam, outside.server, account, look)
    return exam.close()


PLAIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def unusual_characters(addresses: Iterable[str]) -> str:
    """What stands in the local parts beside letters, digits, dot, dash and underscore, each once."""
    return "".join(sorted({each for address in addresses for each in address.rpartition("@")[0]} - PLAIN_NAME))


def unusual_names_get_in(old: Server, new: Server, make_account: Callable[[str], Account]) -> Evidence:
    """Who has an apostrophe or the like in the name gets in as everybody else does.

    ``make_account`` makes an account on the new server with a local part.
    """
    exam = Examination(
        "Nobody is locked out for an unusual name",
        "both",
        "Dovecot refuses names with characters it was not told of before it asks the database.",
        f"put the characters into auth_username_chars in 10-auth.conf ({CHAPTER})",
    )
    characters = unusual_characters(old.facts.users)
    if not characters:
        return exam.not_applicable("all names on the old server are of letters, digits, dots, dashes and underscores")
    account = make_account(f"name{characters}x")
    people = [each for each in old.facts.users if unusual_characters([each])]
    asked = f"a name with {' '.join(characters)} in it, as of {', '.join(people[:5])}"
    try:
        with open_mailbox(new, account):
            exam.expect(asked, "let in", good=True)
    except imap.ImapError as error:
        went_wrong(exam, asked, error, "let in")
    return exam.close()


def capitals_make_no_difference(new: Server, account: Account) -> Evidence:
    """Who types the name in capitals gets in, and into the same mailbox."""
    exam = exam_of_dovecot(
        "A name in capitals opens the same mailbox",
        "Telephones begin with a capital by themselves: people would be refused, or find an empty mailbox.",
        "user_query must return email AS user; auth_username_format %Lu, as it is by itself (in 2.4 %{user|lower})",
    )
    typed = dataclasses.replace(account, email=account.email.upper())
    mark = secrets.token_hex(8)

    def put(box: imap.Mailbox) -> None:
        box.append(f"Subject: mailmove {mark}\r\n\r\nSeen by both?\r\n".encode())

    def look(box: imap.Mailbox) -> None:
        found = box.search("HEADER", "Subject", mark)
        exam.expect(f"the letter of {account.email}, as {typed.email}", f"{len(found)} seen", len(found) == 1, "1 seen")

    in_mailbox(exam, new, account, put)
    in_mailbox(exam, new, typed, look)
    return exam.close()


def quota_is_shown(new: Server, account: Account, limit: int) -> Evidence:
    """The limit set in the database is the one Dovecot keeps, and mail programs can see it where that is offered."""
    exam = Examination(
        "A mailbox knows its limit",
        "new",
        "People see how full their mailbox is before mail is refused.",
        "user_query must return quota_rule = *:bytes=…; mail_plugins must have quota (guide: quotas)",
    )
    if "quota" not in new.facts.doveconf.get("mail_plugins", "").split() and not new.facts.doveconf.get("plugin/quota"):
        return exam.not_applicable("the quota plugin is not loaded: the chapter on quotas was left out")
    answer = new.run("doveadm", "-f", "tab", "quota", "get", "-u", account.email)
    shown = storage_limit(answer.out)
    exam.expect(
        f"doveadm quota get, for {limit} bytes in the database",
        shown or answer.text,
        shown == limit // 1024,
        f"{limit // 1024} KiB",
    )

    def ask_by_imap(box: imap.Mailbox) -> None:
        if "QUOTA" in box.capabilities:
            limits = [most for resource, _, most in box.quota() if resource == "STORAGE"]
            exam.expect("shown to mail programs", limits, limits == [limit // 1024], f"{limit // 1024} KiB")

    in_mailbox(exam, new, account, ask_by_imap)
    return exam.close()


def storage_limit(table: str) -> int | None:
    """The STORAGE limit in KiB from ``doveadm -f tab quota get``; None if there is none."""
    lines = [line.split("\t") for line in table.splitlines()]
    if not lines:
        return None
    for row in (dict(zip(lines[0], line, strict=False)) for line in lines[1:]):
        if row.get("Type", row.get("type")) == "STORAGE":
            limit = row.get("Limit", row.get("limit", ""))
            return int(limit) if limit.isdigit() else None
    return None


def open_mailbox(new: Server, account: Account) -> AbstractContextManager[imap.Mailbox]:
    """The mailbox of a probe, by IMAP."""
    return imap.login(new.address, account, name=new.setting("myhostname"), trust=new.trust)


def in_mailbox(exam: Examination, new: Server, account: Account, look: Callable[[imap.Mailbox], None]) -> None:
    """Look into a mailbox; whatever command fails is written down as what was found."""
    try:
        with open_mailbox(new, account) as box:
            look(box)
    except imap.ImapError as error:
        went_wrong(exam, f"IMAP as {account.email}", error, "OK")


def exam_of_dovecot(title: str, why: str, hint: str, *, required: bool = True) -> Examination:
    """An examination of the new server's Dovecot."""
    return Examination(title, "new", why, f"{hint} ({CHAPTER})", required)
