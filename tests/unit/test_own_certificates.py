"""A server that no CA vouches for is known by the certificates it told by itself, and nobody else is taken for it."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

import mailmove.remote
from mailmove.clients import imap, managesieve, pop3, smtp, tls, web
from mailmove.remote import shown
from tests.scripted import ANNA, DIALOGUES, NAME, box


def own(*certificates: bytes) -> tls.Trust:
    return tls.Trust(own=lambda: frozenset(certificates))


def other_certificate() -> bytes:
    return ssl.PEM_cert_to_DER_cert(trustme.CA().issue_cert(NAME).cert_chain_pems[0].bytes().decode())


def test_a_server_that_shows_its_own_certificate_is_talked_to() -> None:
    with box("implicit") as server:
        server.after_tls = lambda secured: secured.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
        trust = own(server.certificate, other_certificate())
        connected = tls.trusting(NAME, trust, lambda using: tls.dial("127.0.0.1", server.port, using))
        with connected:
            assert connected.recv(100).startswith(b"HTTP")


@pytest.mark.parametrize(
    ("dialogue", "login"),
    [
        ("implicit", lambda port, trust: imap.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port)),
        ("imap", lambda port, trust: imap.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port, starttls=True)),
        ("implicit", lambda port, trust: pop3.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port)),
        ("pop3", lambda port, trust: pop3.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port, starttls=True)),
        ("sieve", lambda port, trust: managesieve.login("127.0.0.1", ANNA, name=NAME, trust=trust, port=port)),
    ],
    ids=["imap", "imap-starttls", "pop3", "pop3-starttls", "sieve"],
)
def test_nothing_is_said_to_a_stranger(
    dialogue: str, login: Callable[[int, tls.Trust], contextlib.AbstractContextManager[object]]
) -> None:
    for trust, words in (
        (own(other_certificate()), "none that the server's own services show"),
        (own(), "issuer"),
    ):
        with (
            box(dialogue) as server,
            pytest.raises(tls.NotTrusted, match=f"^{tls.DISTRUST}.*{words}.*nothing was asked"),
            login(server.port, trust),
        ):
            pytest.fail("a stranger let us in")
        assert server.heard == []


@pytest.mark.parametrize("begins", ["starttls", "implicit"])
def test_a_letter_is_handed_to_who_shows_a_certificate_of_the_server(begins: smtp.Tls) -> None:
    with box("smtp" if begins == "starttls" else "implicit") as server:

        def greet(secured: socket.socket) -> None:
            secured.sendall(b"220 hi\r\n" if begins == "implicit" else b"")
            while words := secured.recv(1000):
                secured.sendall(b"221 bye\r\n" if words.startswith(b"QUIT") else b"250 me\r\n")

        server.after_tls = greet
        known, stranger = smtp.converse_all(
            [
                smtp.Call("127.0.0.1", server.port, tls=begins, name=NAME, trust=trust)
                for trust in (own(server.certificate), own(other_certificate()))
            ]
        )

    assert known.trouble == ""
    assert known.encrypted.startswith("TLS")
    assert "issuer" in known.distrust
    assert stranger.trouble.startswith(tls.DISTRUST)
    assert stranger.encrypted == ""


def test_a_letter_is_not_handed_to_a_stranger_without_a_word_about_it() -> None:
    with box("smtp") as server:
        call = smtp.Call(
            "127.0.0.1", server.port, tls="starttls", name=NAME, login=ANNA, trust=own(other_certificate())
        )
        talk = smtp.converse_all([call])[0]

    assert server.heard == []
    assert talk.trouble.startswith(tls.DISTRUST)
    assert talk.trouble.endswith("none that the server's own services show")


def test_a_page_is_asked_for_where_the_certificate_is_known_or_does_not_matter() -> None:
    with box("implicit") as server:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        server.after_tls = lambda secured: secured.sendall(answer) if secured.recv(1000) else None

        def ask(trust: tls.Trust | None) -> web.Page:
            return web.get("127.0.0.1", name=NAME, port=server.port, trust=trust)

        assert (ask(own(server.certificate)).status, ask(None).status) == (200, 200)
        assert ask(own(other_certificate())).trouble.startswith(tls.DISTRUST)


def test_the_server_is_not_asked_for_its_certificates_where_a_ca_vouches_for_it(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trust = tls.Trust(tmp_path / "ca.pem", lambda: pytest.fail("asked for nothing"))
    with box("implicit") as server:
        ca.issue_cert(NAME).configure_cert(server.context)
        server.after_tls = lambda secured: secured.sendall(b"hello")
        with tls.trusting(NAME, trust, lambda using: tls.dial("127.0.0.1", server.port, using)) as connected:
            assert connected.recv(5) == b"hello"


@pytest.mark.parametrize("dialogue", sorted(DIALOGUES))
def test_the_machine_sees_what_its_services_show(dialogue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"implicit": "IMPLICIT"}.get(dialogue, dialogue.upper())
    with box(dialogue) as server:
        monkeypatch.setitem(shown.PORTS, server.port, getattr(shown, words))
        assert shown.certificate("127.0.0.1", server.port, NAME) == server.certificate


def test_ports_where_nobody_answers_are_left_out() -> None:
    path = Path(mailmove.remote.__file__).with_name("shown.py")
    asked = json.dumps({"names": [NAME], "addresses": ["127.0.0.1"]})
    done = subprocess.run([sys.executable, path], input=asked, capture_output=True, text=True, check=True)

    for each in json.loads(done.stdout)["certificates"]:
        assert base64.b64decode(each, validate=True)


def test_who_looks_for_old_protocols_leaves_the_others_theirs() -> None:
    usual = tls.context(NAME, verify=False)
    tls.old_protocols_only(NAME)

    assert tls.context(NAME, verify=False) is usual
    assert usual.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
