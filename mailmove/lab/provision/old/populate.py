"""Makes the old server lived in: people, mail, folders, flags, filters, webmail profiles, learned spam.

Run as root on the provisioned old server, once. Everything goes through Dovecot, Sieve, rspamd and MariaDB themselves,
so that their files are genuine. Standard library only (Python 3.9). Writes /opt/mailmove-lab/users.json (root only).
"""

from __future__ import annotations

import base64
import concurrent.futures
import crypt
import hashlib
import imaplib
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Sequence

import letters
import webmail
from people import ALIASES, CATCHALL, DOMAINS, Person, everyone, here, selectors

MAIL = pathlib.Path(os.environ["MAIL_ROOT"])
DATABASE = os.environ["DATABASE"]
PREFIX = os.environ["PREFIX"]
LMTP = "/var/spool/postfix/private/dovecot-lmtp"
NOTES = pathlib.Path("/opt/mailmove-lab/users.json")
LESSONS = pathlib.Path("/opt/mailmove-lab/learned.json")
STARTED = time.monotonic()


def say(text: str) -> None:
    """Progress with seconds since the start."""
    print(f"      {time.monotonic() - STARTED:4.0f}s  {text}", flush=True)


def run(*command: str, stdin: bytes = b"") -> bytes:
    """Standard output of a command; its complaint as an exception."""
    done = subprocess.run(command, input=stdin, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


# -- accounts ----------------------------------------------------------------------------------------------------


def hashed(person: Person) -> str:
    """The password as the database holds it: `{SCHEME}hash`. Salts are seeded, too."""
    dice = random.Random("salt " + person.email)
    salt = "".join(dice.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789") for _ in range(21)) + "."
    if person.scheme == "PLAIN":
        return "{PLAIN}" + person.password
    if person.scheme == "SSHA":
        raw = salt[:8].encode()
        return "{SSHA}" + base64.b64encode(hashlib.sha1(person.password.encode() + raw).digest() + raw).decode()
    method = {
        "BLF-CRYPT": "$2y$05$",
        "CRYPT": "$2y$10$",
        "CRYPT-2A": "$2a$10$",
        "SHA256-CRYPT": "$5$",
        "SHA512-CRYPT": "$6$",
    }[person.scheme]
    value = crypt.crypt(person.password, method + (salt if method.startswith("$2") else salt[:16]))
    if not value:
        raise RuntimeError(f"crypt(3) cannot do {person.scheme}")
    return f"{{{person.scheme.replace('-2A', '')}}}{value}"


def accounts(people: Sequence[Person]) -> None:
    """Domains, mailboxes (without quota, as long as they are filled) and aliases."""
    text = webmail.quoted
    sql = ["SET NAMES utf8mb4;", "DELETE FROM virtual_domains;"]
    number = {domain: n for n, domain in enumerate(DOMAINS, 1)}
    for domain, n in number.items():
        sql.append(f"INSERT INTO virtual_domains (id, name) VALUES ({n}, {text(domain)});")
    for person in people:
        sql.append(
            "INSERT INTO virtual_users (domain_id, email, password) VALUES "
            f"({number[person.email.split('@')[1]]}, {text(person.email)}, {text(hashed(person))});"
        )
    for source, destination in [*ALIASES, CATCHALL]:
        sql.append(
            "INSERT INTO virtual_aliases (domain_id, source, destination) VALUES "
            f"({number[source.split('@')[1]]}, {text(source)}, {text(destination)});"
        )
    run("mariadb", DATABASE, stdin="\n".join(sql).encode())


def set_quota(email: str, size: int) -> None:
    """Limit a mailbox to `size` bytes."""
    run(
        "mariadb",
        DATABASE,
        stdin=f"UPDATE virtual_users SET quota={size} WHERE email={webmail.quoted(email)};".encode(),
    )


# -- Sieve -------------------------------------------------------------------------------------------------------

SIEVE_LISTS = b"""require ["fileinto", "imap4flags", "mailbox"];
# rule:[Listen]
if header :contains "List-Id" "debian" {
    addflag "$label1";
    fileinto :create "Lists.Debian";
    stop;
}
"""
SIEVE_HOLIDAY = b"""require ["vacation"];
vacation :days 7 :subject "On holiday" text:
Back in September. It's quiet here.
.
;
"""
SIEVE_DISCARD = b"""require ["fileinto", "mailbox"];
if header :is "X-Lab-Discard" "yes" { discard; stop; }
if header :contains "List-Id" "debian" { fileinto :create "Lists.Debian"; stop; }
"""
SIEVE_OLD_JUNK = b"""require ["fileinto"];
# rule:[Werbung]
if anyof (header :contains "subject" "Sonderangebot")
{
\tfileinto "INBOX.Junk";
}
"""


def filters(person: Person) -> None:
    """Upload and activate the person's scripts; one stays inactive."""

    def put(name: str, script: bytes, active: bool) -> None:
        script = script.replace(b'"Lists.', b'"' + PREFIX.encode() + b"Lists.")
        run("doveadm", "sieve", "put", "-u", person.email, *(["-a"] if active else []), name, stdin=script)

    if "sieve" in person.traits:
        put("holiday", SIEVE_HOLIDAY, False)
        put("roundcube", SIEVE_LISTS, True)
    if "roundcube-sieve" in person.traits:
        put("roundcube", SIEVE_LISTS, True)
    if "sieve-discard" in person.traits:
        put("main script", SIEVE_DISCARD, True)
    if "old-junk" in person.traits:
        put("roundcube", SIEVE_OLD_JUNK, True)


# -- mail --------------------------------------------------------------------------------------------------------


def utf7(name: str) -> str:
    """A folder's name as IMAP spells it (RFC 3501, 5.1.3), quoted; below the prefix, where there is one."""
    if name != "INBOX" and not name.startswith("INBOX."):
        name = PREFIX + name

    def part(match: re.Match[str]) -> str:
        if match[0] == "&":
            return "&-"
        return "&" + base64.b64encode(match[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"

    spelled = re.sub(r"&|[^\x20-\x7e]+", part, name)
    return '"' + spelled.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Session:
    """An IMAP session as the person, without network or password: `imap -u`."""

    def __init__(self, email: str) -> None:
        self.imap = imaplib.IMAP4_stream("exec doveadm exec imap -u " + shlex.quote(email) + " 2>/dev/null")

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.imap.logout()

    def do(self, command: str, *arguments: str) -> list[bytes]:
        """One command; anything but OK is an error."""
        answer, data = getattr(self.imap, command)(*arguments)
        if answer != "OK":
            raise RuntimeError(f"{command} {arguments}: {answer} {data!r}")
        return [item for item in data if isinstance(item, bytes)]

    def append(self, folder: str, letter: bytes, when: int, flags: str = "") -> None:
        """Store a letter with flags and arrival date."""
        answer, data = self.imap.append(
            utf7(folder), flags, imaplib.Time2Internaldate(time.localtime(when)), re.sub(rb"\r?\n", b"\r\n", letter)
        )
        if answer != "OK":
            raise RuntimeError(f"APPEND {folder}: {answer} {data!r}")

    def select(self, folder: str) -> int:
        """Open a folder; number of letters in it."""
        return int(self.do("select", utf7(folder))[0])


def flags(dice: random.Random, folder: str, lively: bool) -> str:
    """Flags and keywords as clients leave them."""
    chosen = []
    if folder in ("Sent", "Drafts") or dice.random() < 0.75:
        chosen.append("\\Seen")
    if folder == "Drafts":
        chosen.append("\\Draft")
    if lively:
        chosen += [
            flag
            for flag, chance in (
                ("\\Flagged", 0.1),
                ("\\Answered", 0.2),
                ("$Forwarded", 0.08),
                ("$label1", 0.07),
                ("NonJunk", 0.2),
                ("Projekt-X", 0.05),
                ("$MDNSent", 0.05),
            )
            if dice.random() < chance
        ]
    return "(" + " ".join(chosen) + ")"


def deliver(people: Sequence[Person]) -> None:
    """New mail by LMTP, through everybody's Sieve scripts; a third of each inbox, at most twelve letters."""
    with smtplib.LMTP(LMTP) as lmtp:
        for person in people:
            dice = random.Random("delivered " + person.email)
            for number in range(min(12, person.inbox // 3)):
                sender = dice.choice(letters.OUTSIDERS)
                text = letters.letter(
                    dice, sender, person.email, f"in.{number}.{person.email.replace('@', '.')}", letters.date(dice)
                )
                if person.traits and number == 1:
                    text = b"List-Id: <debian-user.lists.debian.org>\n" + text
                if "webmail" in person.traits and number == 2:
                    text = b"X-Spam: Yes\n" + text
                lmtp.sendmail(sender, [person.email], text)


def fill(person: Person) -> None:
    """One person's folders, letters, flags; then moves, copies and deletions, so that UIDs have gaps."""
    dice = random.Random("mail of " + person.email)
    lively = "flags" in person.traits
    with Session(person.email) as session:
        for folder in person.folders:
            # a delivery may have made it already
            answer, data = session.imap.create(utf7(folder))
            if answer != "OK" and b"ALREADYEXISTS" not in data[0]:
                raise RuntimeError(f"CREATE {folder}: {data!r}")
            if folder != "Unsubscribed":
                session.do("subscribe", utf7(folder))
        for folder, wanted in [("INBOX", person.inbox - min(12, person.inbox // 3)), *person.folders.items()]:
            for number in range(wanted):
                other = dice.choice(letters.OUTSIDERS)
                sender, recipient = (person.email, other) if folder == "Sent" else (other, person.email)
                when = letters.date(dice)
                mark = f"{number}.{hashlib.sha256(folder.encode()).hexdigest()[:8]}.{person.email.replace('@', '.')}"
                session.append(
                    folder, letters.letter(dice, sender, recipient, mark, when), when, flags(dice, folder, lively)
                )
        live(person, session, dice)
    place(person)


def live(person: Person, session: Session, dice: random.Random) -> None:
    """What the person's traits ask for, by IMAP."""
    if "odd" in person.traits:
        for number, text in enumerate(letters.odd(person.email).values()):
            session.append(
                "INBOX", text, [0, 86400, 2**31 - 1, 1582934400][number] if number < 4 else letters.date(dice)
            )
    if "large" in person.traits:
        session.append(
            "INBOX",
            letters.with_attachment(dice, "friend@elsewhere.example", person.email, "large", letters.NOW, 8_800_000),
            letters.NOW,
            "(\\Seen)",
        )
    if "nearly-full" in person.traits:
        session.append(
            "INBOX",
            letters.with_attachment(dice, "friend@elsewhere.example", person.email, "videos", letters.NOW, 1_700_000),
            letters.NOW,
            "(\\Seen)",
        )
    if "hardlinks" in person.traits:
        session.select("INBOX")
        session.do("copy", "1:10", utf7("Copies"))
        session.do("copy", "5:15", utf7("Copies.Again"))
        session.do("copy", "1:2", "INBOX")
    if "moves" in person.traits:
        session.select("INBOX")
        for sequence, folder in (("20:24", "Trash"), ("3,7,11", next(iter(person.folders)))):
            session.do("copy", sequence, utf7(folder))
            session.do("store", sequence, "+FLAGS.SILENT", "\\Deleted")
        session.do("expunge")
        session.do("store", "30,33", "+FLAGS.SILENT", "(\\Deleted)")  # marked, and left
    if "flags" in person.traits:
        total = session.select("INBOX")
        for number in range(1, min(total, 12)):
            session.do(
                "store",
                str(number),
                dice.choice(("+FLAGS.SILENT", "-FLAGS.SILENT")),
                dice.choice(("\\Seen", "\\Flagged", "$label2")),
            )
    if "subscriptions" in person.traits:
        session.do("create", utf7("Gone"))
        session.do("subscribe", utf7("Gone"))
        session.do("delete", utf7("Gone"))


def place(person: Person) -> None:
    """Letters that came from another program's Maildir: no size in their file names, and bytes no protocol carries."""
    if "odd" not in person.traits:
        return
    name, domain = person.email.split("@")
    for number, text in enumerate(letters.placed_only(person.email).values()):
        path = MAIL / domain / name / "Maildir" / "new" / f"16094592{number:02d}.{4000 + number}.mail"
        path.write_bytes(text)
        shutil.chown(path, "vmail", "vmail")
    run("doveadm", "index", "-u", person.email, "INBOX")


def later(people: Sequence[Person]) -> None:
    """What happened over the years: deletions and moves by doveadm, quotas, one mailbox nearly full."""
    run("doveadm", "expunge", "-u", here("john@example.org"), "mailbox", "INBOX", "uid", "40:47")
    run("doveadm", "expunge", "-u", here("bob@example.org"), "mailbox", "INBOX", "uid", "5,9,60")
    run("doveadm", "move", "-u", here("alice@example.org"), PREFIX + "日本語", "mailbox", "INBOX", "uid", "50:53")
    run(
        "doveadm",
        "flags",
        "add",
        "-u",
        here("john@example.org"),
        "\\Flagged $label3",
        "mailbox",
        PREFIX + "Archive.2019",
        "uid",
        "1:5",
    )
    for person in people:
        if os.environ["QUOTA"] == "no":
            continue
        if person.quota:
            set_quota(person.email, person.quota)
        if "nearly-full" in person.traits:
            rows = run("doveadm", "-f", "tab", "quota", "get", "-u", person.email).decode().splitlines()
            used = next(int(row.split("\t")[2]) for row in rows if "\tSTORAGE\t" in row)  # kB
            person.quota = (used + 90) * 1024
            set_quota(person.email, person.quota)
            run("doveadm", "quota", "recalc", "-u", person.email)


# -- spam filter and webmail -------------------------------------------------------------------------------------


def learned(seconds: float) -> dict[str, int]:
    """How many letters Bayes knows: what teach.py, which runs beside this, leaves when it is done."""
    deadline = time.monotonic() + seconds
    while not LESSONS.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {LESSONS} after {seconds:.0f} s more: did teach.py fail?")
        time.sleep(0.3)
    found: dict[str, int] = json.loads(LESSONS.read_text())
    return found


def profiles(people: Sequence[Person]) -> dict[str, int]:
    """Roundcube's rows; their number by table."""
    sql, count = webmail.statements(
        [person.email for person in people if "webmail" in person.traits], two_rows=here("john@example.org")
    )
    run("mariadb", "roundcube", stdin=sql.encode())
    return count


def counts(people: Sequence[Person]) -> dict[str, int]:
    """Letters in all folders, by mailbox. Not asked for who never had one: the question alone would make a Maildir."""
    found: dict[str, int] = {person.email: 0 for person in people}
    with tempfile.NamedTemporaryFile("w") as names:
        names.writelines(person.email + "\n" for person in people if person.inbox)
        names.flush()
        listing = run("doveadm", "-f", "tab", "mailbox", "status", "-F", names.name, "messages", "*").decode()
    for row in listing.splitlines()[1:]:
        email, _, number = row.split("\t")
        found[email] += int(number)
    return found


def main(web_password: str | None) -> None:
    """Everything, in the order a server's life has it."""
    people = everyone()
    for domain in DOMAINS:
        shutil.rmtree(MAIL / domain, ignore_errors=True)
    accounts(people)
    say(f"{len(people)} mailboxes, {len(ALIASES)} aliases")
    for person in people:
        filters(person)
    deliver([person for person in people if person.inbox])
    say("letters delivered by LMTP")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(fill, person) for person in people if person.inbox]:
            done.result()
    say("mailboxes filled")
    later(people)
    webmail_rows = profiles(people) if os.environ["ROUNDCUBE"] == "yes" else {}
    stored = counts(people)
    numbers = learned(180)
    say(f"{sum(stored.values())} letters in all, learned {numbers}")
    run("redis-cli", "save")
    NOTES.parent.mkdir(mode=0o755, exist_ok=True)
    with open(os.open(NOTES, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as notes:
        json.dump(
            {
                "users": [
                    {
                        "email": person.email,
                        "password": person.password,
                        "scheme": person.scheme.replace("-2A", ""),
                        "note": person.note,
                        "quota": person.quota,
                        "letters": stored[person.email],
                        "webmail": "webmail" in person.traits,
                    }
                    for person in people
                ],
                "aliases": [{"source": source, "destination": destination} for source, destination in ALIASES],
                "catchall": {"source": CATCHALL[0], "destination": CATCHALL[1]},
                "domains": DOMAINS,
                "selectors": selectors(),
                "roundcube": webmail_rows,
                "learned": numbers,
                "rspamd_password": web_password,
            },
            notes,
            ensure_ascii=False,
            indent=1,
        )


if __name__ == "__main__":
    main(os.environ.get("RSPAMD_PASSWORD"))
