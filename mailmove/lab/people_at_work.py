"""The world writing letters and people reading them, until SIGTERM. Runs in the operator's namespace.

Called with the lab's state directory, the seconds between two letters and the number of people who read. Every act is
written to ``traffic/log.jsonl`` there, one JSON object a line.
"""

from __future__ import annotations

import imaplib
import json
import re
import signal
import smtplib
import ssl
import sys
import threading
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from mailmove.lab.plan import HOSTED_DOMAINS, OUTSIDE_DOMAIN, WORLD
from mailmove.lab.traffic import MARK

PAUSE = 2.0
"""Seconds between two looks of one person into the mailbox."""
READERS = ("john@example.org", "alice@example.org", "erin@example.org", "office@example.net")
"""Who reads first; when more are wanted, others of the old server's people."""
RECIPIENTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("john@example.org",), ("john@example.org",)),
    (("alice@example.org",), ("alice@example.org",)),
    (("jack@example.org",), ("john@example.org",)),  # an alias
    (("info@xn--bcher-kva.example",), ("info@xn--bcher-kva.example",)),
    (("anything-at-all@example.net",), ("office@example.net",)),  # the catch-all
    (("o'brien@example.org",), ("o'brien@example.org",)),
    (("team@example.org",), ("alice@example.org", "bob@example.org", "carol@example.org")),
    (("erin@example.org", "mike@example.net"), ("erin@example.org", "mike@example.net")),
    (("chain@example.org",), ("verlag@xn--bcher-kva.example",)),
    (("judy@example.org",), ("judy@example.org",)),  # never had a letter before
)


class Log:
    """What happened, one line each, on disk before the next thing happens."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115
        self._lock = threading.Lock()

    def write(self, what: str, **detail: object) -> None:
        with self._lock:
            self._file.write(json.dumps({"at": time.time(), "what": what, **detail}) + "\n")


def here(addresses: tuple[str, ...], domains: list[str]) -> list[str]:
    """The addresses in the domains of this lab: a variant has others in the place of the usual ones."""
    own = dict(zip(HOSTED_DOMAINS, domains, strict=True))
    return [f"{local}@{own[domain]}" for local, _, domain in (address.rpartition("@") for address in addresses)]


def send(log: Log, stop: threading.Event, domains: list[str], every: float) -> None:
    """One letter after another to the world's Postfix, which queues and retries like any sender."""
    number, run = 0, f"lab-{time.time():.0f}"
    log.write("begins", run=run)
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = max(due + every, time.monotonic() - 5 * every)  # a slow server is not made up for in one go
        recipients, mailboxes = (here(each, domains) for each in RECIPIENTS[number % len(RECIPIENTS)])
        mark = f"{run}-{number:05d}"
        letter = EmailMessage()
        letter["From"] = f"A friend <friend@{OUTSIDE_DOMAIN}>"
        letter["To"] = ", ".join(recipients)
        letter["Subject"] = f"Letter {number} of the lab"
        letter["Message-ID"] = f"<{mark}@{OUTSIDE_DOMAIN}>"
        letter["Date"] = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
        letter[MARK] = mark
        letter.set_content(f"This is letter number {number}.\n\nIt has to arrive, and once.\n\nBest wishes\nA friend\n")
        try:
            with smtplib.SMTP(WORLD.ipv4, 25, timeout=20) as smtp:
                refused = smtp.send_message(letter, f"friend@{OUTSIDE_DOMAIN}", recipients)
        except (OSError, smtplib.SMTPException) as error:
            log.write("not sent", mark=mark, why=str(error))
        else:
            log.write("sent" if not refused else "not sent", mark=mark, mailboxes=mailboxes, why=str(refused))
        number += 1


def read(account: dict[str, Any], server: str, log: Log, stop: threading.Event, tls: ssl.SSLContext) -> None:
    """One person: looks again and again, reads, flags, files away, deletes.

    ``server`` is what stands in people's mail programs: the old name, whatever DNS makes of it.
    """
    handled: set[str] = set()
    while not stop.wait(PAUSE):
        try:
            imap = imaplib.IMAP4_SSL(server, ssl_context=tls, timeout=10)
        except OSError as error:
            log.write("no server", mailbox=account["email"], why=str(error))
            continue
        try:
            imap.login(account["email"], account["password"])
            _look(imap, account["email"], log, handled)
            imap.logout()
        except (OSError, imaplib.IMAP4.error) as error:
            log.write("interrupted", mailbox=account["email"], why=str(error))


def _look(imap: imaplib.IMAP4_SSL, mailbox: str, log: Log, handled: set[str]) -> None:
    imap.create("Archive")
    imap.select("INBOX")
    _, (found,) = imap.uid("SEARCH", "HEADER", MARK, "lab-")
    for uid in (found or b"").split()[:8]:
        _, fetched = imap.uid("FETCH", uid.decode(), f"(BODY.PEEK[HEADER.FIELDS ({MARK})])")
        match = re.search(rb"(lab-\d+-\d+)", fetched[0][1]) if fetched and isinstance(fetched[0], tuple) else None
        if not match or match[1].decode() in handled:
            continue
        mark = match[1].decode()
        handled.add(mark)
        number = int(mark.rpartition("-")[2])
        imap.uid("STORE", uid.decode(), "+FLAGS", r"(\Seen)" if number % 2 else r"(\Seen \Flagged $Label1)")
        if number % 7 == 0:
            log.write("deleting", mark=mark, mailbox=mailbox)
            imap.uid("STORE", uid.decode(), "+FLAGS", r"(\Deleted)")
            status, _ = imap.uid("EXPUNGE", uid.decode())
            if status == "OK":
                log.write("deleted", mark=mark, mailbox=mailbox)
        elif number % 3 == 0:
            status, _ = imap.uid("MOVE", uid.decode(), "Archive")
            log.write("filed", mark=mark, mailbox=mailbox, status=status)
        else:
            log.write("read", mark=mark, mailbox=mailbox)


def main() -> None:
    """Work until SIGTERM."""
    home, every, number = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    lab = json.loads((home / "lab.json").read_text())
    users = {user["email"]: user for user in lab["users"]["users"]}
    server = lab["hosts"]["old"]["fqdn"]
    log = Log(home / "traffic" / "log.jsonl")
    tls = ssl.create_default_context(cafile=str(home / "ca.pem"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threads = [threading.Thread(target=send, args=(log, stop, lab["domains"], every))]
    first = here(READERS, lab["domains"])
    everybody = dict.fromkeys([*first, *(email for email, user in users.items() if user["scheme"] == "BLF-CRYPT")])
    threads += [
        threading.Thread(target=read, args=(users[email], server, log, stop, tls)) for email in list(everybody)[:number]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
