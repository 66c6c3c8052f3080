"""Somebody in between learns no password: neither with a certificate of another, nor by talking before TLS begins."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from checks import certificate
from checks.offers import Offer
from mailmove.clients import imap, managesieve, pop3, roundcube, smtp, tls, web
from mailmove.clients.account import Account
from mailmove.errors import MailmoveError
from tests.scripted import ANNA, NAME, Serve, box, read_line, serving

SECRETS = (
    ANNA.password.encode(),
    ANNA.password.replace("\\", "\\\\").replace('"', '\\"').encode(),
    base64.b64encode(f"\0{ANNA.email}\0{ANNA.password}".encode()),
    base64.b64encode(ANNA.password.encode()),
)
ANOTHER = tls.Trust(own=lambda: frozenset([b"the server's own certificate, which nobody else has"]))
TIME_S = 3.0


def enter(session: AbstractContextManager[object]) -> None:
    """Log in. Raises MailmoveError when it does not come to that."""
    with session:
        pytest.fail("somebody in between let us in")


def send(begins: smtp.Tls) -> Callable[[int, tls.Trust], None]:
    def login(port: int, trust: tls.Trust) -> None:
        call = smtp.Call("127.0.0.1", port, tls=begins, name=NAME, trust=trust, login=ANNA, time_s=TIME_S)
        assert not smtp.converse_all([call])[0].of("AUTH")

    return login


WAYS: dict[str, tuple[str, tls.Dialogue, Callable[[int, tls.Trust], object]]] = {
    "imap": (
        "imap",
        "implicit",
        lambda port, trust: enter(imap.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port, time_s=TIME_S)),
    ),
    "imap-starttls": (
        "imap",
        "imap",
        lambda port, trust: enter(
            imap.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port, starttls=True, time_s=TIME_S)
        ),
    ),
    "pop3": (
        "pop3",
        "implicit",
        lambda port, trust: enter(pop3.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port, time_s=TIME_S)),
    ),
    "pop3-starttls": (
        "pop3",
        "pop3",
        lambda port, trust: enter(
            pop3.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port, starttls=True, time_s=TIME_S)
        ),
    ),
    "sieve": (
        "sieve",
        "sieve",
        lambda port, trust: enter(
            managesieve.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port, time_s=TIME_S)
        ),
    ),
    "submissions": ("smtp", "implicit", send("implicit")),
    "submission": ("smtp", "smtp", send("starttls")),
    "https": (
        "https",
        "implicit",
        lambda port, trust: web.get(
            "127.0.0.1", name=NAME, port=port, trust=trust, headers={"Password": ANNA.password}
        ),
    ),
}
"""Every way in which a password leaves this machine: its protocol, how TLS begins there, and a login by it."""


# What somebody says who wants the password before TLS: the greeting, what is offered, and how STARTTLS is answered
GREETINGS: dict[str, tuple[bytes, bytes]] = {
    "smtp": (b"220 hi\r\n", b"250-me\r\n%s250 AUTH PLAIN LOGIN\r\n"),
    "imap": (b"* OK hi\r\n", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN %s\r\n%%b OK done\r\n"),
    "pop3": (b"+OK hi\r\n", b"+OK\r\nUSER\r\nSASL PLAIN\r\n%s.\r\n"),
    "sieve": (b'"SASL" "PLAIN"\r\n%sOK "hi"\r\n', b'OK "done"\r\n'),
}
OFFER = {"smtp": b"250-STARTTLS\r\n", "imap": b"STARTTLS", "pop3": b"STLS\r\n", "sieve": b'"STARTTLS"\r\n'}
YES = {"smtp": b"250 ok\r\n", "imap": b"%b OK done\r\n", "pop3": b"+OK\r\n", "sieve": b"OK\r\n"}
NO = {"smtp": b"454 not now\r\n", "imap": b"%b NO not now\r\n", "pop3": b"-ERR not now\r\n", "sieve": b"NO\r\n"}
GO = {"smtp": b"220 go\r\n", "imap": b"%b OK go\r\n", "pop3": b"+OK go\r\n", "sieve": b"OK go\r\n"}


def tempter(dialogue: str, trick: str, heard: list[bytes]) -> Serve:
    """A server that invites to log in at once, and says yes to all."""
    greeting, offered = GREETINGS[dialogue]
    offer = b"" if trick == "stripped" else OFFER[dialogue]
    if trick == "greeted before":
        greeting = b""
    if trick == "greeted as logged in":
        greeting = {"imap": b"* PREAUTH welcome\r\n"}.get(dialogue, greeting)

    def serve(connection: socket.socket) -> None:
        connection.sendall(greeting.replace(b"%s", offer))
        while line := read_line(connection):
            heard.append(line)
            words = line.upper().split()
            tag = line.split()[0]
            answer = YES[dialogue]
            if words[0] in (b"EHLO", b"CAPA") or words[-1] == b"CAPABILITY":
                answer = offered.replace(b"%s", offer).replace(b"%%", b"%")
            elif words[-1] in (b"STARTTLS", b"STLS"):
                answer = {"refused": NO, "goes on in the clear": GO}.get(trick, NO)[dialogue]
                if trick == "goes on in the clear":
                    answer += YES[dialogue]
                if dialogue == "sieve":  # it tells once more what it offers
                    answer += greeting.replace(b"%s", b"")
            connection.sendall(answer.replace(b"%b", tag))

    return serve


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trust", [ANOTHER, tls.BY_CA], ids=["own", "ca"])
def test_who_shows_the_certificate_of_another_hears_no_password(way: str, trust: tls.Trust) -> None:
    protocol, begins, login = WAYS[way]
    heard: list[bytes] = []
    with box(begins) as stranger:
        if protocol in GREETINGS:
            trick = "stripped" if begins == "implicit" or protocol == "sieve" else "greeted before"
            stranger.after_tls = tempter(protocol, trick, heard)
        with contextlib.suppress(MailmoveError):
            login(stranger.port, trust)

    assert heard + stranger.heard == []
    assert not any(secret in b"".join(stranger.heard_before) for secret in SECRETS)


@pytest.mark.parametrize("trick", ["stripped", "refused", "goes on in the clear", "greeted as logged in"])
@pytest.mark.parametrize("way", [way for way, (_, begins, _) in WAYS.items() if begins != "implicit"])
def test_who_talks_before_tls_hears_no_password(way: str, trick: str) -> None:
    protocol, _, login = WAYS[way]
    heard: list[bytes] = []
    with serving(tempter(protocol, trick, heard)) as port, contextlib.suppress(MailmoveError):
        login(port, tls.BY_CA)

    assert not any(line.upper().split()[:1] in ([b"AUTH"], [b"USER"], [b"PASS"]) for line in heard)
    assert not any(b"LOGIN " in line.upper() or b"AUTHENTICATE" in line.upper() for line in heard)
    assert not any(secret in b"\n".join(heard) for secret in SECRETS)


def test_the_webmail_of_another_is_told_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    dial = tls.dial
    with box("implicit") as stranger:
        monkeypatch.setattr(tls, "dial", lambda host, port, using, time_s: dial(host, stranger.port, using, time_s))
        entrance = roundcube.log_in("127.0.0.1", NAME, ANNA, ANOTHER)

    assert stranger.heard == []
    assert entrance.words.startswith(tls.DISTRUST)


def test_a_password_of_worth_is_not_offered_to_whoever_answers() -> None:
    with serving(lambda _: pytest.fail("somebody was called")) as port:
        for begins in ("none", "opportunistic"):
            with pytest.raises(ValueError, match="not for whoever answers"):
                smtp.Call("127.0.0.1", port, tls=begins, login=ANNA)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="not for whoever answers"):
            managesieve.login_without_tls("127.0.0.1", ANNA, port)
        with pytest.raises(ValueError, match="not for whoever answers"):
            certificate.login_before_tls(Offer(port, "IMAP", "imap", "127.0.0.1"), ANNA)


@pytest.mark.parametrize("dialogue", GREETINGS)
def test_whether_a_login_is_taken_in_the_clear_is_tried_with_a_password_that_opens_nothing(
    dialogue: tls.Dialogue,
) -> None:
    heard: list[bytes] = []
    account = Account(ANNA.email, "worthless", exposed=True)
    with serving(tempter(dialogue, "stripped", heard)) as port:
        said = certificate.login_before_tls(Offer(port, dialogue, dialogue, "127.0.0.1"), account)

    assert not isinstance(said, OSError)
    assert said.invitations
    assert heard
