"""Letters as people's mailboxes hold them: made from a seed, so that every lab has the same ones.

Nothing here is random in itself: whoever wants a letter brings a `random.Random`. Standard library only (Python 3.9).
"""

# ruff: noqa: SIM905  (a hundred quoted words are no easier to read)
from __future__ import annotations

import base64
import email.utils
import quopri
import random
from email.header import Header
from email.message import EmailMessage

SPAM_WORDS = (
    "viagra cialis pharmacy discount lottery winner million dollars inheritance prince transfer urgent "
    "casino bonus replica watches rolex diploma degree refinance mortgage loan approved credit debt "
    "enlarge pills weight loss miracle cure guaranteed income home crypto bitcoin double investment "
    "secret offer limited click unsubscribe cheap software license warehouse clearance exclusive jackpot "
    "roulette dating singles hot adult prize claim beneficiary attorney confidential barrister deposit "
    "fund kindly congratulations selected risk free trial"
).split()
HAM_WORDS = (
    "meeting agenda minutes project deadline review invoice attached quarter budget draft comments server "
    "backup migration ticket customer release schedule train hotel booking family dinner weekend garden "
    "photos birthday school teacher homework recipe bread apples bicycle repair workshop library chapter "
    "translation committee vote election chair member newsletter concert rehearsal orchestra violin lake "
    "mountain hiking boots weather printer toner paper office keys parking insurance doctor appointment "
    "vaccination dentist tax return receipt"
).split()
SUBJECTS = (
    "Minutes of the meeting",
    "Invoice 2023-{n}",
    "Re: Backup of the server",
    "Photos from the lake",
    "Agenda for {n}. week",
    "Grüße aus München",
    "Re: Übersetzung, Kapitel {n}",
    "Протокол собрания {n}",
    "見積書 No. {n}",
    "Your ticket #{n}",
    "Fwd: Rehearsal on Thursday",
    "",
    "Résumé du comité",
    "Kündigung Versicherung {n}",
    "Żółć i inne {n}",
    "📷 {n} pictures",
)
OUTSIDERS = (
    "friend@elsewhere.example",
    "sink@elsewhere.example",
    "postmaster@elsewhere.example",
)
YEAR = 365 * 86400
NOW = 1732200000  # 2024-11-21: dates do not depend on the day the lab is built


def encoded(text: str) -> str:
    """A header value as a line of ASCII (RFC 2047)."""
    return text if text.isascii() else Header(text, "utf-8").encode()


def words(dice: random.Random, vocabulary: list[str], count: int) -> str:
    """`count` words in lines and sentences."""
    lines = []
    while count > 0:
        length = min(count, dice.randint(6, 13))
        lines.append(" ".join(dice.choice(vocabulary) for _ in range(length)).capitalize() + ".")
        count -= length
    return "\n".join(lines) + "\n"


def date(dice: random.Random) -> int:
    """A moment of the last five years, seconds since 1970."""
    return NOW - dice.randint(0, 5 * YEAR)


def plain(dice: random.Random, sender: str, recipient: str, mark: str, when: int) -> bytes:
    """An ordinary letter: text, 7 bit, 8 bit or quoted-printable."""
    subject = dice.choice(SUBJECTS).format(n=dice.randint(1, 400))
    body = words(dice, HAM_WORDS, dice.randint(20, 220))
    header = [
        f"From: {sender}",
        f"To: {recipient}",
        f"Subject: {encoded(subject)}",
        f"Date: {email.utils.formatdate(when)}",
        f"Message-ID: <{mark}@lab.elsewhere.example>",
        "MIME-Version: 1.0",
    ]
    kind = dice.randint(0, 3)
    if kind == 0:
        header += ["Content-Type: text/plain; charset=us-ascii"]
        text = body.encode()
    elif kind == 1:
        header += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
        text = (body + "Mit freundlichen Grüßen\nJürgen\n").encode()
    elif kind == 2:
        header += ["Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable"]
        text = quopri.encodestring((body + "À bientôt, Éloïse\n").encode("iso-8859-1"))
    else:
        header += ["Content-Type: text/plain; charset=utf-8; format=flowed", "X-Mailer: Lab Mail 1.0"]
        text = (body.replace("\n", " \n") + "\n-- \nsignature\n").encode()
    return ("\n".join(header) + "\n\n").encode() + text


def with_attachment(dice: random.Random, sender: str, recipient: str, mark: str, when: int, size: int) -> bytes:
    """A letter in several parts, one of them `size` bytes of incompressible attachment."""
    letter = EmailMessage()
    letter["From"], letter["To"] = sender, recipient
    letter["Subject"] = dice.choice(SUBJECTS).format(n=dice.randint(1, 400))
    letter["Date"] = email.utils.formatdate(when)
    letter["Message-ID"] = f"<{mark}@lab.elsewhere.example>"
    letter.set_content(words(dice, HAM_WORDS, 40))
    letter.add_alternative("<html><body><p>" + words(dice, HAM_WORDS, 40) + "</p></body></html>", subtype="html")
    name = dice.choice(("offer.pdf", "Gehaltsübersicht.pdf", "写真.jpg", 'it\'s "final".doc'))
    letter.add_attachment(
        dice.getrandbits(8 * size).to_bytes(size, "big"), maintype="application", subtype="octet-stream", filename=name
    )
    return letter.as_bytes()


def forwarded(dice: random.Random, sender: str, recipient: str, mark: str, when: int) -> bytes:
    """A letter inside a letter (message/rfc822)."""
    inner = plain(dice, dice.choice(OUTSIDERS), sender, mark + ".inner", when - 3600)
    return (
        (
            f"From: {sender}\nTo: {recipient}\nSubject: Fwd\nDate: {email.utils.formatdate(when)}\n"
            f"Message-ID: <{mark}@lab.elsewhere.example>\nMIME-Version: 1.0\n"
            'Content-Type: multipart/mixed; boundary="=_b"\n\n--=_b\nContent-Type: text/plain\n\nsee below\n\n'
            "--=_b\nContent-Type: message/rfc822\n\n"
        ).encode()
        + inner
        + b"\n--=_b--\n"
    )


def letter(dice: random.Random, sender: str, recipient: str, mark: str, when: int) -> bytes:
    """Some letter, mostly plain."""
    kind = dice.random()
    if kind < 0.82:
        return plain(dice, sender, recipient, mark, when)
    if kind < 0.95:
        return with_attachment(dice, sender, recipient, mark, when, dice.choice((800, 4000, 15000, 60000)))
    return forwarded(dice, sender, recipient, mark, when)


def odd(recipient: str) -> dict[str, bytes]:
    """The letters that break programs, by what is odd about them. Lines end in LF, as in a Maildir."""
    start = f"From: friend@elsewhere.example\nTo: {recipient}\n".encode()
    shared = b"Message-ID: <shared-by-two@lab.elsewhere.example>\n"
    return {
        "no Message-ID": start + b"Subject: without an id\nDate: Mon, 06 Mar 2023 10:00:00 +0100\n\nno id\n",
        "shared Message-ID, one": start + b"Subject: one\n" + shared + b"\nfirst of two letters with one id\n",
        "shared Message-ID, two": start
        + b"Subject: two\n"
        + shared
        + b"\nsecond of two letters with one id, and longer\n",
        "empty Message-ID": start + b"Subject: empty id\nMessage-ID: \n\nbody\n",
        "Message-ID with spaces and quotes": start
        + b'Message-ID: <it\'s "not" a $(date) id@x y>\nSubject: strange id\n\nbody\n',
        "two Message-IDs": start
        + b"Message-ID: <a1@x.example>\nMessage-ID: <a2@x.example>\nSubject: two ids\n\nbody\n",
        "8 bit header": start
        + b"Subject: Gr\xfc\xdfe aus K\xf6ln\nMessage-ID: <latin1@x.example>\n\nraw latin-1 in the header\n",
        "bytes that are no UTF-8": start
        + b"Subject: bytes\nMessage-ID: <bytes@x.example>\nContent-Type: text/plain; charset=utf-8\n\n"
        + bytes(b for b in range(128, 256))
        + b"\n\xc3\x28\xa0\xff\xfe\n",
        "impossible date": start
        + b"Date: Thu, 31 Feb 2022 25:61:99 +9999\nSubject: date\nMessage-ID: <date@x.example>\n\nbody\n",
        "no date at all": start + b"Subject: no date\nMessage-ID: <nodate@x.example>\n\nbody\n",
        "no header at all": b"\nonly a body\n",
        "no body at all": start + b"Subject: nothing follows\nMessage-ID: <nobody@x.example>\n",
        "very long header": start
        + b"X-Long: "
        + b"x" * 9000
        + b"\nReferences:"
        + b"".join(b"\n <%d@x.example>" % n for n in range(400))
        + b"\nMessage-ID: <long@x.example>\nSubject: long\n\nbody\n",
        "no newline at the end": start + b"Subject: end\nMessage-ID: <noeol@x.example>\n\nends here",
        "lines like a mailbox file": start
        + b"Subject: From\nMessage-ID: <fromline@x.example>\n\nFrom here on\n>From there\n.\n..\n",
        "folded and encoded": start
        + b"Subject: =?utf-8?b?"
        + base64.b64encode("schön".encode())
        + b"?=\n =?utf-8?q?_gr=C3=BC=C3=9Fe?=\n"
        b"Message-ID:\n <folded@x.example>\n\nbody\n",
        "broken multipart": start
        + b'Content-Type: multipart/mixed; boundary="never"\nMessage-ID: <broken@x.example>\n\nno part\n',
    }


def placed_only(recipient: str) -> dict[str, bytes]:
    """Letters that no protocol would carry as they are: only another program's Maildir could bring them."""
    start = f"From: friend@elsewhere.example\nTo: {recipient}\n".encode()
    return {
        "NUL bytes": start + b"Subject: nul\nMessage-ID: <nul@x.example>\n\nbefore\x00\x00after\n",
        "CRLF line ends on disk": start.replace(b"\n", b"\r\n")
        + b"Subject: crlf\r\nMessage-ID: <crlf@x.example>\r\n\r\none\r\ntwo\r\n",
        "a bare CR": start + b"Subject: cr\nMessage-ID: <cr@x.example>\n\none\rtwo\rthree\n",
    }


def teaching(dice: random.Random, number: int, spam: bool, doubtful: bool) -> bytes:
    """A letter to learn from; different enough from all others of its class.

    A doubtful one uses the words of both classes: once Bayes is awake it refuses to learn what it knows for sure.
    """
    vocabulary = SPAM_WORDS + HAM_WORDS if doubtful else SPAM_WORDS if spam else HAM_WORDS
    kind = "spam" if spam else "ham"
    sender = f"offer{number}@mass{number % 37}.example" if spam else f"colleague{number % 29}@office.example"
    subject = " ".join(dice.sample(vocabulary, 5))
    return (
        f"From: {sender}\nTo: john@example.org\nSubject: {subject}\nDate: {email.utils.formatdate(date(dice))}\n"
        f"Message-ID: <teach-{kind}-{number}@lab.elsewhere.example>\nMIME-Version: 1.0\n"
        f"Content-Type: text/plain\n\n{words(dice, vocabulary, dice.randint(40, 120))}"
    ).encode()
