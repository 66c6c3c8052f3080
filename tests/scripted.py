"""Servers on the loopback that say what a test wants, with and without TLS, and keep what they hear."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import trustme

from mailmove.clients.account import Account

NAME = "mail.example.org"
ANNA = Account("anna@example.org", 'pass "word\\')

Serve = Callable[[socket.socket], None]

# Of each dialogue: the greeting, and the answers until TLS begins; %b is IMAP's tag
DIALOGUES: dict[str, tuple[bytes, dict[bytes, bytes]]] = {
    "implicit": (b"", {}),
    "smtp": (b"220 hi\r\n", {b"EHLO": b"250-me\r\n250 STARTTLS\r\n", b"STARTTLS": b"220 go\r\n"}),
    "imap": (
        b"* OK hi\r\n",
        {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n%b OK done\r\n", b"STARTTLS": b"%b OK go\r\n"},
    ),
    "pop3": (b"+OK hi\r\n", {b"CAPA": b"+OK\r\nSTLS\r\n.\r\n", b"STLS": b"+OK go\r\n"}),
    "sieve": (b'"STARTTLS"\r\nOK "hi"\r\n', {b"STARTTLS": b"OK go\r\n"}),
}


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """The port of a server that lives through one connection after another."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(5)
                    serve(connection)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def read_line(connection: socket.socket) -> bytes:
    """The next line, without its end; empty when there is none."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            break
        line += byte
    return line.strip()


def server_context(ca: trustme.CA, name: str = NAME) -> ssl.SSLContext:
    """What a server for ``name`` needs for TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


def secured(context: ssl.SSLContext, serve: Serve) -> Serve:
    """The same server, with TLS from the first byte on."""

    def with_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            serve(inside)

    return with_tls


class Box:
    """A server of one dialogue with a certificate of its own making. Keeps what it heard before TLS and under it."""

    def __init__(self, dialogue: str) -> None:
        self.greeting, self.answers = DIALOGUES[dialogue]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = trustme.CA().issue_cert("wrong.example")
        issued.configure_cert(self.context)
        self.certificate = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        self.heard_before: list[bytes] = []
        self.heard: list[bytes] = []
        self.after_tls: Serve = lambda _: None
        self.port = 0

    def talk(self, connection: socket.socket) -> None:
        """Live through one connection."""
        connection.sendall(self.greeting)
        command = b""
        while self.answers and command not in (b"STARTTLS", b"STLS"):
            line = connection.recv(1000)
            if not line:
                return
            self.heard_before.append(line)
            words = line.split()
            command = next(word for word in words if word in self.answers)
            connection.sendall(self.answers[command].replace(b"%b", words[0]))
        with self.context.wrap_socket(connection, server_side=True) as inside:
            self.after_tls(inside)
            while data := inside.recv(1000):
                self.heard.append(data)


@contextlib.contextmanager
def box(dialogue: str) -> Iterator[Box]:
    """A :class:`Box` at work."""
    made = Box(dialogue)
    with serving(made.talk) as made.port:
        yield made
