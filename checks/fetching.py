"""POP3: programs that fetch letters and delete them on the server."""

from __future__ import annotations

import re
import secrets
from contextlib import AbstractContextManager

from checks.mailboxes import exam_of_dovecot, in_mailbox
from checks.offers import Offer, offered
from checks.outside import went_wrong
from mailmove.clients import imap, pop3
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server


def letters_are_fetched_once(old: Server, new: Server, account: Account) -> Evidence:
    """By POP3 a letter is fetched as it is, keeps the number by which programs know it, and is gone once deleted.

    ``account`` must be one that nobody reads by IMAP at the same time.
    """
    exam = exam_of_dovecot(
        "Programs that fetch letters get each once",
        "A program that does not know a letter's number again fetches the whole mailbox a second time.",
        "pop3_uidl_format must be as on the old server; is dovecot-pop3d installed, and pop3 among the protocols?",
    )
    offer = next((each for each in offered(new) if "POP3" in each.what), None)
    if offer is None:
        return exam.not_applicable("POP3 is not offered")
    marks = [secrets.token_hex(8) for _ in range(2)]
    stored = [f"Subject: mailmove {mark}\r\n\r\n.Fetched\r\n..once?\r\n".encode() for mark in marks]
    known: list[str] = []

    def put(box: imap.Mailbox) -> None:
        uids = [uid for letter in stored if (uid := box.append(letter)) is not None]
        validity = box.uidvalidity()
        form = old.run("doveconf", "-h", "pop3_uidl_format").out.strip() if "pop3" in old.facts.protocols else ""
        known.extend(unique_id(form, uid, validity) for uid in uids)

    in_mailbox(exam, new, account, put)
    try:
        _fetch_and_delete(exam, new, account, offer, stored, known)
    except pop3.Pop3Error as error:
        went_wrong(exam, f"POP3 as {account.email}", error, "let in")
    return exam.close()


def _fetch_and_delete(
    exam: Examination, new: Server, account: Account, offer: Offer, stored: list[bytes], known: list[str]
) -> None:
    with _open(new, account, offer) as drop:
        first = drop.uids()
        exam.equal("letters to fetch", len(first), len(stored))
        fetched = [drop.letter(number) for number in sorted(first.values())]
        same = fetched == stored
        exam.expect("the letters fetched", "as stored" if same else "other than stored", same, "as stored")
    with _open(new, account, offer) as drop:
        again = drop.uids()
        exam.equal("unique ids at the next session", sorted(again), sorted(first))
        if known and all(known):
            exam.equal("unique ids, as the old server would make them", sorted(again), sorted(known))
        gone = min(again, key=lambda uid: again[uid], default="")
        if gone:
            drop.delete(again[gone])
    with _open(new, account, offer) as drop:
        exam.equal("unique ids after the first was deleted", sorted(drop.uids()), sorted(set(first) - {gone}))


def _open(new: Server, account: Account, offer: Offer) -> AbstractContextManager[pop3.Maildrop]:
    return pop3.login(
        new.address,
        account,
        name=new.setting("myhostname"),
        trust=new.trust,
        port=offer.port,
        starttls=offer.speaks != "implicit",
    )


_FIELD = re.compile(r"%(?:(0?)(\d*)([xX]?))([uv])")


def unique_id(form: str, uid: int, validity: int) -> str:
    """A letter's unique id by ``pop3_uidl_format``, such as ``%08Xu%08Xv``; empty where it is made of other things."""
    if not form or re.sub(r"[A-Za-z0-9._-]", "", _FIELD.sub("", form)):
        return ""

    def fill(match: re.Match[str]) -> str:
        zero, width, base, letter = match.groups()
        value = uid if letter == "u" else validity
        return format(value, f"{zero}{width}{base.lower() or 'd'}")  # Dovecot's X is hexadecimal in small letters

    return _FIELD.sub(fill, form)
