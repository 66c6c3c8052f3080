"""Looking at the old server while it forwards: everything comes across, once, and nothing else passes."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from checks.freeze import MAIL_PORTS, SIEVE_PORT, connect
from checks.outside import Outside, expect, expect_arrived, expect_taken, find_all, post
from mailmove import postfix
from mailmove.clients import imap, letters, smtp
from mailmove.clients.account import Account
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.migration import Probes
from mailmove.server import Server

PENALTIES = re.compile(r"\b(R_SPF_FAIL|R_SPF_SOFTFAIL|DMARC_POLICY_\w+|GREYLIST|RBL_\w+|RECEIVED_SPAMHAUS\w*)\b")

_BANNER = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 25), 10) as connection:
        print(connection.makefile("rb").readline().decode("utf-8", "replace").strip())
except OSError as error:
    print(error)
"""


def old_reaches_new(old: Server, address: str) -> Evidence:
    """The old server can hand mail to the new one's address."""
    exam = Examination(
        "the old server reaches the new one's SMTP port",
        "old",
        why="it is to hand on what late senders still bring it",
        hint="open port 25 from the old server to the new one, in the firewalls of both",
    )
    said = old.run("python3", "-c", _BANNER, address).out.strip()
    exam.expect(f"connect from old to {address} port 25", said, said.startswith("220"), "220, the greeting")
    return exam.close()


def closed_to_people(old: Server) -> Evidence:
    """Nobody reads or submits mail at the old server any more."""
    exam = Examination(
        "nobody can log in at the old server any more",
        "old",
        why="what is read, moved or sent there is missing on the new server",
        hint="see who listens there: ss -ltnp",
    )
    ports = {port: name for port, name in {**MAIL_PORTS, SIEVE_PORT: "ManageSieve"}.items() if port != 25}
    for port, answer in connect(old.address, ports).items():
        exam.expect(f"connect to port {port} ({ports[port]})", answer, answer != "connected", "no connection")
    return exam.close()


def letters_are_forwarded(old: Server, new: Server, settings: Probes, accounts: Sequence[Account]) -> Evidence:
    """A letter handed to the old server arrives on the new one, once, in every domain, and without a penalty."""
    exam = Examination(
        "a letter handed to the old server arrives on the new one, once",
        "both",
        why="senders remember the old address for hours, some for days",
        hint="follow the letter in both mail logs by its mark; mailq on the old server says why it waits",
    )
    at_old, at_new = Outside(old, settings), Outside(new, settings)
    items = []
    for account in accounts:
        letter = letters.compose(at_old.sender, account.email)
        items.append((letter, account, at_old.call([account.email], letter)))
    posted = post(items)
    if not expect_taken(exam, posted, "a letter to the old server"):
        return exam.close()
    found = expect_arrived(exam, at_new, posted, unchanged=True, seconds=45)
    if not all(found.get(each.letter.mark) for each in posted):
        _say_what_waits(exam, old)
    for each in posted:
        places = found.get(each.letter.mark, [])
        if len(places) != 1:
            continue
        try:
            with at_new.mailbox(each.account) as box:
                raw = box.raw(places[0][1], places[0][0])
                again = find_all(box, [each.letter.mark], 0)[each.letter.mark]
        except imap.ImapError as error:
            exam.unknown(f"the mailbox of {each.account.email}", error.fact)
            continue
        header = raw.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        marks = sorted(set(PENALTIES.findall(_newest_result(header))))
        folder = places[0][0]
        exam.expect("penalty for the detour", ", ".join(marks) or f"none, in {folder}",
                    not marks and folder == "INBOX", "none, in INBOX")  # fmt: skip
        exam.expect("found", f"{len(again)} times", len(again) == 1, "once")
    return exam.close()


def _say_what_waits(exam: Examination, old: Server) -> None:
    """Why letters of ours are still on the old server: it is seldom in new's log."""
    try:
        waiting = [each for each in postfix.queue(old) if each.is_ours]
    except ServerError as error:
        exam.unknown("postqueue -j on old", error.fact)
        return
    for each in waiting:
        exam.expect("waits on the old server", each.words(time.time()), False, "handed on")


def _newest_result(header: str) -> str:
    """What the last filter on the way wrote: header fields are put on top."""
    match = re.search(r"^X-Spamd-Result:.*(?:\r?\n[ \t].*)*", header, re.M | re.I)
    return match[0] if match else ""


def people_are_known(outside: Outside, old: Server) -> Evidence:
    """The old server takes mail for its people: asked for one mailbox and one alias of each domain, without sending."""
    exam = Examination(
        "the old server takes mail for its people",
        "old",
        why="a late sender must not be told that somebody is gone",
        hint="postconf relay_domains relay_recipient_maps on the old server; postmap -q asks one of them",
    )
    asked: list[str] = []
    for domain in old.facts.domains:
        asked += [u for u in old.facts.users if u.endswith("@" + domain)][:1]
        asked += [s for s, *_ in old.facts.aliases if s.endswith("@" + domain) and not s.startswith("@")][:1]
    if not asked:
        return exam.not_applicable("the old server has no mailboxes")
    for address, talk in zip(asked, smtp.converse_all([outside.call([a]) for a in asked]), strict=True):
        answer = talk.of("RCPT")
        expect(exam, f"RCPT TO:<{address}>", talk, bool(answer) and answer[0].good, "250")
    return exam.close()


def queue_went_across(old: Server, domains: Sequence[str], held: Sequence[str]) -> Evidence:
    """What the old server still had for people here is on the new one, or named with its cause."""
    exam = Examination(
        "the old queue holds nothing for people here",
        "old",
        why="mail that stays behind in the old queue is the mail a move loses",
        hint="the cause stands there; postqueue -i ID tries one again. A letter on hold would reach some of its "
        "readers twice: read it (postcat -q ID), then mailmove queue release ID --server old "
        "sends it, remove takes it out and keeps a copy",
    )
    try:
        waiting = postfix.queue(old)
    except ServerError as error:
        exam.unknown("postqueue -j", error.fact)
        return exam.close()
    now = time.time()
    mine = [q for q in waiting if q.to(domains) and not q.is_ours]
    exam.expect("letters for people here in the old queue", len(mine), True)
    for each in mine:
        if each.id in held:
            exam.expect("on hold: one of its readers may have it already", each.words(now), True)
            continue
        if each.queue == "hold":  # put there before the move, by a person or a rule: nobody waits for it
            release = f"mailmove queue release {each.id} --server old sends it to the new one"
            exam.expect("on hold, and stays so", f"{each.words(now)}; {release}", True)
            continue
        # The new server may put it off as it would any sender's (a full mailbox): it is safe, tried again, and shown.
        answered = each.queue == "active" or all("said:" in r.reason for r in each.to(domains))
        exam.expect("waits for the new server", each.words(now), answered, "delivered, or an answer of the new server")
    elsewhere = [q for q in waiting if q not in mine and not q.is_ours]
    for each in elsewhere:
        exam.expect("waits for a server elsewhere, and goes on being tried from here", each.words(now), True)
    return exam.close()


def trust_is_gone(new: Server, included: str, settings: str, ignored: str) -> Evidence:
    """The new server trusts the old one no more than anybody.

    ``included``, ``settings``: files of rspamd; ``ignored``: fail2ban's, by which it ignored the old one.
    """
    exam = Examination(
        "the new server trusts the old one no longer",
        "new",
        why="the address may be somebody else's tomorrow",
        hint=f"remove {included} and the line with # mailmove in {settings}, then restart rspamd; "
        f"remove {ignored}, then restart fail2ban",
    )
    for path in (included, ignored):
        there = new.run("test", "-e", path).ok
        exam.expect(path, "still there" if there else "gone", not there, "gone")
    said = new.run("grep", "-sF", "mailmove", settings).out.strip()
    exam.expect(f"lines of mailmove in {settings}", said or "none", not said, "none")
    return exam.close()
