"""The clients of a mailbox, against servers that say what the RFCs say, or what an attacker would."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from mailmove.clients import imap, managesieve, pop3, tls
from mailmove.clients.account import Account
from tests.scripted import ANNA, NAME, Serve, read_line, secured, server_context, serving


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


# TLS


def implicit(context: ssl.SSLContext) -> Serve:
    return secured(context, lambda connection: connection.recv(1) and None)


def test_a_certificate_is_judged_by_the_servers_name_not_by_its_address(ca: tuple[trustme.CA, Path]) -> None:
    with serving(implicit(server_context(ca[0]))) as port:
        seen = tls.look("127.0.0.1", port, "implicit", NAME, ca[1])

    assert seen.distrust == ""
    assert len(seen.fingerprint) == 64


def test_a_certificate_for_another_name_is_seen_and_not_trusted(ca: tuple[trustme.CA, Path]) -> None:
    with serving(implicit(server_context(ca[0], "www.example.org"))) as port:
        seen = tls.look("127.0.0.1", port, "implicit", NAME, ca[1])

    assert "Hostname mismatch" in seen.distrust


def test_a_certificate_of_an_unknown_ca_is_seen_and_not_trusted(ca: tuple[trustme.CA, Path]) -> None:
    with serving(implicit(server_context(ca[0]))) as port:
        seen = tls.look("127.0.0.1", port, "implicit", NAME)

    assert "issuer" in seen.distrust


def test_tls_begins_after_starttls_in_each_dialogue(ca: tuple[trustme.CA, Path]) -> None:
    context = server_context(ca[0])
    scripts: dict[tls.Dialogue, tuple[bytes, dict[bytes, bytes]]] = {
        "smtp": (
            b"220-hello\r\n220 there\r\n",
            {b"EHLO": b"250-me\r\n250-SIZE 1\r\n250 STARTTLS\r\n", b"STAR": b"220 go\r\n"},
        ),
        "imap": (
            b"* OK hi\r\n",
            {b"c CA": b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nc OK\r\n", b"t ST": b"t OK\r\n"},
        ),
        "pop3": (b"+OK hi\r\n", {b"CAPA": b"+OK\r\nSTLS\r\n.\r\n", b"STLS": b"+OK\r\n"}),
        "sieve": (b'"STARTTLS"\r\n"SASL" ""\r\nOK "hi"\r\n', {b"STAR": b"OK\r\n"}),
    }

    for dialogue, (greeting, answers) in scripts.items():

        def serve(connection: socket.socket, greeting: bytes = greeting, answers: dict[bytes, bytes] = answers) -> None:
            connection.sendall(greeting)
            for _ in answers:
                connection.sendall(answers[read_line(connection)[:4]])
            implicit(context)(connection)

        with serving(serve) as port:
            assert tls.look("127.0.0.1", port, dialogue, NAME, ca[1]).distrust == "", dialogue


def test_what_is_slipped_in_before_the_handshake_is_refused(ca: tuple[trustme.CA, Path]) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"* OK hi\r\n")
        read_line(connection)
        connection.sendall(b"* CAPABILITY STARTTLS\r\nc OK\r\n")
        read_line(connection)
        connection.sendall(b"t OK begin\r\n* OK injected\r\n")

    with serving(serve) as port, pytest.raises(tls.ProtocolError, match="before TLS began"):
        tls.look("127.0.0.1", port, "imap", NAME, ca[1])


def test_a_line_without_an_end_is_given_up() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"x" * (4 * tls.LONGEST_LINE))

    with (
        serving(serve) as port,
        tls.Plain("127.0.0.1", port) as connection,
        pytest.raises(tls.ProtocolError, match="longer"),
    ):
        connection.line()


def test_a_server_that_hangs_up_is_a_protocol_error() -> None:
    with (
        serving(lambda connection: None) as port,
        tls.Plain("127.0.0.1", port) as connection,
        pytest.raises((tls.ProtocolError, ConnectionError)),
    ):
        connection.line()


# IMAP


def imap_server(ca: trustme.CA, login: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"* OK [CAPABILITY IMAP4rev1] hi\r\n")
        while line := read_line(connection):
            tag, command = line.split()[:2]
            if command.upper() == b"CAPABILITY":
                connection.sendall(b"* CAPABILITY IMAP4rev1\r\n")
            answer = login if command.upper() == b"LOGIN" else b"OK done"
            connection.sendall(tag + b" " + answer + b"\r\n" if answer else b"")

    return secured(server_context(ca), serve)


def test_a_wrong_password_is_a_refused_login(ca: tuple[trustme.CA, Path]) -> None:
    answer = b"NO [AUTHENTICATIONFAILED] no"
    with (
        serving(imap_server(ca[0], answer)) as port,
        pytest.raises(imap.LoginRefused, match=r"\[AUTHENTICATIONFAILED\] no") as caught,
        imap.login("127.0.0.1", ANNA, name=NAME, trust=tls.Trust(ca[1]), port=port),
    ):
        pass

    assert ANNA.password not in str(caught.value)


def test_a_server_that_cannot_tell_is_no_refused_login(ca: tuple[trustme.CA, Path]) -> None:
    with (
        serving(imap_server(ca[0], b"NO [UNAVAILABLE] later")) as port,
        pytest.raises(imap.ImapError, match="UNAVAILABLE") as caught,
        imap.login("127.0.0.1", ANNA, name=NAME, trust=tls.Trust(ca[1]), port=port),
    ):
        pass

    assert not isinstance(caught.value, imap.LoginRefused)


def test_an_untrusted_certificate_is_told_as_such(ca: tuple[trustme.CA, Path]) -> None:
    with (
        serving(imap_server(ca[0], b"OK")) as port,
        pytest.raises(imap.ImapError, match="not trusted"),
        imap.login("127.0.0.1", ANNA, name="other.example.org", trust=tls.Trust(ca[1]), port=port),
    ):
        pass


def test_a_closed_port_is_told_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(imap.ImapError, match="hint: is Dovecot running"), imap.login("127.0.0.1", ANNA, port=port):
        pass


# POP3


def pop3_server(ca: trustme.CA, login: bytes, heard: list[bytes] | None = None) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"+OK hi\r\n")
        while line := read_line(connection):
            if heard is not None:
                heard.append(line)
            connection.sendall(login if line.startswith(b"PASS") else b"+OK\r\n")

    return secured(server_context(ca), serve)


@pytest.mark.parametrize(("answer", "refused"), [(b"-ERR [AUTH] no\r\n", True), (b"-ERR [SYS/TEMP] later\r\n", False)])
def test_pop3_tells_a_wrong_password_from_a_server_in_trouble(
    ca: tuple[trustme.CA, Path], answer: bytes, refused: bool
) -> None:
    with (
        serving(pop3_server(ca[0], answer)) as port,
        pytest.raises(pop3.Pop3Error) as caught,
        pop3.login("127.0.0.1", ANNA, name=NAME, trust=tls.Trust(ca[1]), port=port),
    ):
        pass

    assert isinstance(caught.value, pop3.LoginRefused) is refused


# ManageSieve


def answer_to(data: bytes) -> managesieve.Answer:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        connection = tls.Plain.__new__(tls.Plain)
        connection.socket, connection._buffer = ours, b""
        return managesieve.read(connection)


def test_scripts_are_listed_with_the_active_one() -> None:
    answer = answer_to(b'"summer \\"21\\""\r\n"OK" ACTIVE\r\n{4+}\r\nab\r\n\r\nOK (WARNINGS) "done"\r\n')

    assert answer.status == "OK"
    assert answer.data == [[b'summer "21"'], [b"OK", b"ACTIVE"], [b"ab\r\n"]]


def test_a_refusal_carries_the_compilers_words() -> None:
    assert answer_to(b"NO {11}\r\nline 1: bad\r\n").text == "line 1: bad"


@given(st.binary(max_size=200))
def test_whatever_a_server_says_is_an_answer_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(tls.ProtocolError):
        assert answer_to(data).status in ("OK", "NO", "BYE")


def test_a_string_of_gigabytes_is_not_waited_for() -> None:
    with pytest.raises(tls.ProtocolError, match="9999999999 bytes"):
        answer_to(b"{9999999999}\r\n")


# about to log in


def test_whoever_waits_for_others_is_asked_just_before_the_password(ca: tuple[trustme.CA, Path]) -> None:
    heard: list[bytes] = []
    with (
        serving(pop3_server(ca[0], b"-ERR [AUTH] no\r\n", heard)) as port,
        pytest.raises(pop3.LoginRefused),
        pop3.login(
            "127.0.0.1", ANNA, name=NAME, trust=tls.Trust(ca[1]), port=port, ready=lambda: heard.append(b"ready")
        ),
    ):
        pass

    assert heard.index(b"ready") + 1 == next(n for n, line in enumerate(heard) if line.startswith(b"PASS"))


def test_a_pop3_server_that_does_not_answer_a_login_is_told_as_that(ca: tuple[trustme.CA, Path]) -> None:
    with (
        serving(pop3_server(ca[0], b"")) as port,
        pytest.raises(pop3.Pop3Error, match="no answer to a login"),
        pop3.login("127.0.0.1", ANNA, name=NAME, trust=tls.Trust(ca[1]), port=port, time_s=0.5),
    ):
        pytest.fail("nobody let us in")


def test_a_login_without_tls_is_told_what_the_server_says() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b'"SASL" ""\r\n"STARTTLS"\r\nOK "hi"\r\n')
        read_line(connection)
        connection.sendall(b'NO (ENCRYPT-NEEDED) "TLS first."\r\n')

    with serving(serve) as port:
        said = managesieve.login_without_tls("127.0.0.1", Account(ANNA.email, "x", exposed=True), port)

    assert (said.status, said.text.endswith("TLS first.")) == ("NO", True)


def test_a_server_that_did_not_answer_a_login_is_waited_for_briefly_next_time(
    ca: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "SILENT_S", 0.2)
    for patience, at_least in ((1.0, 0.8), (30.0, 0.1)):
        began = time.monotonic()
        with (
            serving(imap_server(ca[0], b"")) as port,
            pytest.raises(imap.ImapError, match="timed out"),
            imap.login("127.0.0.1", ANNA, name=NAME, trust=tls.Trust(ca[1]), port=port, time_s=patience),
        ):
            pytest.fail("nobody let us in")
        assert at_least < time.monotonic() - began < 20
    imap._SILENT.clear()
