"""Letters of our own: each with a mark that no other letter has, so that it is found again, once, and unchanged."""

from __future__ import annotations

import email.utils
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

LINE = 76  # characters of a line of padding
# Enough different words for a Bayes filter to learn from (rspamd wants 11), and no lone code at the end, which spam
# filters take for a tracking number.
TEXT = """This letter was written by mailmove, a program that verifies mail servers, and sent to see whether it arrives.
Nobody needs to read or to answer it; it is removed at the end together with the mailbox that it lies in.
Should it stay behind somewhere all the same, please delete it without any worry."""
_BREAKS = re.compile(r"[\r\n\0]")

# Put together while it runs: a file that holds such a line is itself taken for spam by the filters it passes.
_GTUBE_TAIL = "*".join(("JS", "C4JDBQADN1.NSBN3", "2IDNEN", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL", "C.34X"))
SPAM_REFUSED = "X" + _GTUBE_TAIL
"""The line every spam filter has to take for spam (spamassassin.apache.org/gtube)."""


@dataclass(frozen=True)
class Letter:
    """A letter as it goes over the wire: CRLF line ends, header and body."""

    mark: str  # stands in the subject, in the Message-ID and in the body
    message_id: str  # with its angle brackets
    data: bytes = field(repr=False)

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def size(self) -> int:
        """In bytes, as SMTP's SIZE counts them (RFC 1870, 3)."""
        return len(self.data)


def new_mark() -> str:
    """A word that stands in no other letter."""
    return f"mailmove-{secrets.token_hex(8)}"


def compose(
    sender: str,
    recipient: str,
    *,
    about: str = "test letter",
    text: str = TEXT,
    headers: Sequence[tuple[str, str]] = (),
    size: int = 0,
    automatic: bool = True,
) -> Letter:
    """A letter with a new mark. ``sender`` and ``recipient`` are what its header says, not its envelope.

    ``text`` may hold any characters: what is not ASCII goes as it is (8bit, UTF-8). ``size`` in bytes pads the letter
    to exactly that many. Without ``automatic`` it looks as if a person had written it, and a notice of absence may answer.
    A header may be folded ("\r\n "). Raises ValueError when one would hold another line break, or when ``size`` is too small.
    """
    mark = new_mark()
    body = "".join(f"{line}\r\n" for line in (mark, *text.splitlines()))
    message_id = f"<{mark}@{sender.rpartition('@')[2] or 'mailmove.invalid'}>"
    eight_bit = not body.isascii()
    fields = [
        ("Date", email.utils.formatdate(time.time(), localtime=True)),
        ("From", sender),
        ("To", recipient),
        ("Message-ID", message_id),
        ("Subject", f"{about} {mark}"),
        # No vacation notice may answer it (RFC 3834, 5)
        *([("Auto-Submitted", "auto-generated")] if automatic else []),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "8bit" if eight_bit else "7bit"),
        *headers,
    ]
    for name, value in fields:
        if _BREAKS.search(name + (value.replace("\r\n ", " ") if (name, value) in headers else value)):
            raise ValueError(f"the header {name!r} would hold a line break: {value!r}")
    data = "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n" + body
    return Letter(mark, message_id, _pad(data.encode(), size))


def _pad(data: bytes, size: int) -> bytes:
    if not size:
        return data
    missing = size - len(data)
    if missing and missing < 3:
        raise ValueError(f"a letter of {size} bytes cannot be made, it has {len(data)} already")
    if missing < 0:
        raise ValueError(f"a letter of {size} bytes cannot be made, it has {len(data)} already")
    full, rest = divmod(missing, LINE + 2)
    if full and 0 < rest < 3:  # a line needs its end and a character: take some from the one before
        full, rest = full - 1, rest + LINE + 2
    lines = (b"." * LINE + b"\r\n") * full  # dots: each line has to be escaped and unescaped on its way
    while rest:
        part = rest if rest <= LINE + 2 else LINE
        lines += b"x" * (part - 2) + b"\r\n"
        rest -= part
    return data + lines
