"""The letter that tells people about the move, one to every mailbox of the old server."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from mailmove.clients.account import is_probe
from mailmove.errors import SettingsError
from mailmove.migration import Migration
from mailmove.routing import own_name

SENT_TO = "notice sent to"
"""In the journal: version of the letter -> addresses that were sent it."""
ENDED_AS = "notice ended as"
"""In the journal: version -> address -> what became of it: sent, bounced, deferred, queued."""

EXAMPLE = (
    '[announcement] with date = 2026-11-24T20:00:00 and send = true, or attested_by = "…" and attested_on = 2026-11-20'
)


@dataclass(frozen=True)
class Notice:
    """What is written to whom. ``version`` changes with the text: another date is another letter."""

    subject: str
    text: str
    recipients: tuple[str, ...]
    senders: dict[str, str]  # recipient's domain -> address that the letter comes from
    migration_id: str
    host: str

    @property
    def version(self) -> str:
        """Names this wording of the letter."""
        return hashlib.sha256(f"{self.subject}\n{self.text}".encode()).hexdigest()[:8]

    @property
    def mark(self) -> str:
        """What the Message-ID of each of these letters begins with."""
        return f"mailmove-notice.{self.migration_id}.{self.version}."

    def letter_id(self, recipient: str) -> str:
        """The Message-ID without brackets: the same for the same letter, whenever it is made."""
        return f"{self.mark}{hashlib.sha256(recipient.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}@{self.host}"

    def sender(self, recipient: str) -> str:
        """The address the letter comes from, and to which it comes back."""
        return self.senders.get(recipient.rpartition("@")[2], f"postmaster@{self.host}")

    def compose(self, recipient: str, now: dt.datetime) -> bytes:
        """The letter with LF line ends, for sendmail. Text in any language; on the wire pure ASCII."""
        letter = EmailMessage(policy=SMTP.clone(linesep="\n"))
        letter["From"] = _address(self.sender(recipient))
        # A mailbox name that no header can hold is served all the same: the envelope decides.
        letter["To"] = _address(recipient) or "undisclosed-recipients:;"
        letter["Subject"] = self.subject
        letter["Date"] = format_datetime(now)
        letter["Message-ID"] = f"<{self.letter_id(recipient)}>"
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation replies, please
        letter.set_content(self.text, charset="utf-8", cte="quoted-printable")
        return letter.as_bytes()


def of(migration: Migration) -> Notice:
    """The notice that the settings ask for. Raises SettingsError when there is no announcement in them."""
    announcement = migration.settings.announcement
    if announcement is None:
        raise SettingsError("mailmove.toml does not say when the move is announced for", f"add {EXAMPLE}")
    facts = migration.old.facts
    host = own_name(migration.old)
    receiving = {*facts.users, *(source for source, _ in facts.aliases)}
    senders = {d: f"postmaster@{d}" for d in facts.domains if receiving & {f"postmaster@{d}", f"@{d}"}}
    names = {"old": host, "new": own_name(migration.new), "date": say_date(announcement.date)}
    text = announcement.text or _default_text(migration)
    for name, value in names.items():
        text = text.replace("{" + name + "}", value)
    recipients = tuple(u for u in facts.users if not is_probe(u))
    return Notice(announcement.subject, text.strip() + "\n", recipients, senders, migration.id, host)


def say_date(date: dt.datetime) -> str:
    """A date as people write it: Tuesday, 24 November 2026, 20:00."""
    return f"{date:%A}, {date.day} {date:%B %Y, %H:%M}" + (f" ({date.tzname()})" if date.tzinfo else "")


def _default_text(migration: Migration) -> str:
    old, new = own_name(migration.old), own_name(migration.new)
    names_move = migration.settings.dns.switch != "mx" or old == new
    todo = (
        "You need not do anything: your address, your password, your folders\nand your mail stay as they are.\n"
        if names_move
        else "Your address, your password, your folders and your mail stay as they\n"
        "are. In the settings of your mail program please change the server's\n"
        "name from {old} to {new} afterwards.\n"
    )
    return (
        "Dear user,\n\n"
        "our mail server moves to a new machine on\n\n    {date}\n\n"
        "For a short time around then you will not be able to read or send\n"
        "mail. Mail that is sent to you meanwhile is not lost; it arrives a\n"
        "little later.\n\n"
        f"{todo}\n"
        "If something is missing or does not work afterwards, please reply to\n"
        "this letter.\n\n"
        "Your postmaster\n"
    )


def envelope(address: str) -> str:
    """An address as sendmail must be told it: an odd local part is quoted, else it would be taken for several.

    RFC 5321, 4.1.2: a dot-string stands as it is, anything else as a quoted string.
    """
    local, _, domain = address.rpartition("@")
    if re.fullmatch(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", local):
        return address
    escaped = re.sub(r'(["\\])', r"\\\1", local)
    return f'"{escaped}"@{domain}'


def _address(text: str) -> Address | None:
    """The address for a header; None when it cannot stand in one (no ASCII, control characters)."""
    local, _, domain = text.rpartition("@")
    if not text.isascii() or not text.isprintable():
        return None
    try:
        return Address(username=local, domain=domain)
    except (ValueError, IndexError):
        return None
