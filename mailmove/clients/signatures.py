"""Is a letter signed (DKIM, RFC 6376), and do the signatures hold? dkimpy is known to this module only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dkim

from mailmove.clients.dns import Reply

Look = Callable[[str], Reply]
"""A name -> what DNS says of its TXT records."""


@dataclass(frozen=True)
class Signature:
    """One signature of a letter: whose, by which key, and whether it holds. ``words`` say it to a person."""

    domain: str
    selector: str
    holds: bool
    words: str


def of(letter: bytes, look: Look) -> list[Signature]:
    """Every signature of a letter, verified with the keys that ``look`` finds; empty if it bears none."""
    try:
        verifier = dkim.DKIM(letter)
    except dkim.MessageFormatError as error:
        return [Signature("", "", False, f"it cannot be read as a letter: {error}")] if letter else []
    number = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)
    return [_verify(letter, index, look) for index in range(number)]


def _verify(letter: bytes, index: int, look: Look) -> Signature:
    trouble: list[str] = []

    def key(name: bytes, timeout: int = 5) -> bytes | None:
        plain = name.decode("ascii", "replace").rstrip(".")
        reply = look(plain)
        if not reply.values:
            trouble.append(f"TXT of {plain}: {reply.words}")
            return None
        return reply.values[0].encode("utf-8", "surrogateescape")

    verifier = dkim.DKIM(letter)
    try:
        holds = bool(verifier.verify(index, dnsfunc=key))
    except dkim.DKIMException as error:
        holds = False
        trouble.append(str(error))
    said = {
        k.decode("ascii", "replace"): v.decode("ascii", "replace") for k, v in (verifier.signature_fields or {}).items()
    }
    domain, selector = said.get("d", "").lower(), said.get("s", "")
    words = f"d={domain} s={selector}: " + ("holds" if holds else "; ".join(["does not hold", *trouble]))
    return Signature(domain, selector, holds, words)
