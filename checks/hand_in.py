"""Letters of our own handed in on the server itself: to Dovecot as Postfix does, or to sendmail as a program there does."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from checks.outside import Outside
from mailmove.clients.letters import Letter
from mailmove.server import Server


@dataclass(frozen=True)
class Envelope:
    """A letter, who sends it (empty: the null sender), and to whom."""

    sender: str
    recipient: str
    letter: Letter


@dataclass(frozen=True)
class Answer:
    """What came back: LMTP's code, or sendmail's exit status; LMTP's 0 is no answer at all."""

    code: int
    text: str

    @property
    def words(self) -> str:
        return f"{self.code} {self.text}".strip()


def by_lmtp(outside: Outside, envelopes: Sequence[Envelope]) -> list[Answer]:
    """Hand letters to Dovecot, with Postfix' rights. Only where :func:`why_no_lmtp` has nothing to say."""
    server = outside.server
    return _hand_in(server, envelopes, how="lmtp", user=server.setting("mail_owner") or "postfix", **_place(server))


def by_sendmail(outside: Outside, envelopes: Sequence[Envelope]) -> list[Answer]:
    """Hand letters to Postfix' sendmail."""
    return _hand_in(outside.server, envelopes, how="sendmail")


def why_no_lmtp(outside: Outside) -> str:
    """Why letters do not go to Dovecot by LMTP here; empty if they do."""
    if _place(outside.server):
        return ""
    transport = outside.server.setting("virtual_transport")
    return f"letters are not handed to Dovecot by LMTP here (virtual_transport = {transport})"


def _place(server: Server) -> dict[str, Any]:
    return place(server.setting("virtual_transport"), server.setting("queue_directory"))


def place(transport: str, queue_directory: str) -> dict[str, Any]:
    """Where ``virtual_transport`` leads, as ``remote/hand_in.py`` wants it; empty if it is no LMTP.

    ``lmtp:unix:private/dovecot-lmtp`` is below Postfix' queue directory; ``lmtp:inet:host:24`` and ``lmtp:[host]:24``
    are by TCP (transport(5), lmtp(8)).
    """
    method, _, rest = transport.partition(":")
    if method != "lmtp" or not rest:
        return {}
    if rest.startswith("unix:"):
        return {"socket": str(PurePosixPath(queue_directory) / rest.removeprefix("unix:"))}
    host, _, port = rest.removeprefix("inet:").rpartition(":")
    if not port.isdigit():
        host, port = rest.removeprefix("inet:"), "24"
    return {"host": host.strip("[]"), "port": int(port)}


def _hand_in(server: Server, envelopes: Sequence[Envelope], **how: Any) -> list[Answer]:
    wanted = [
        {"sender": each.sender, "recipient": each.recipient, "letter": base64.b64encode(each.letter.data).decode()}
        for each in envelopes
    ]
    return [Answer(**said) for said in server.remote("hand_in", {**how, "letters": wanted}, timeout_s=120)]
