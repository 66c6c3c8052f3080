"""TLS as a client sees it: the certificate a port shows, whether it is trusted, and what is offered before TLS."""

from __future__ import annotations

import functools
import socket
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mailmove.errors import MailmoveError

TIME_S = 15.0
LONGEST_LINE = 16384  # bytes; a server that sends more without a newline is not talked to any further

Dialogue = Literal["implicit", "smtp", "imap", "pop3", "sieve"]
"""How TLS begins: at once, or after STARTTLS in that protocol."""


DISTRUST = "the certificate is not trusted"
"""How every message begins that says so."""

T = TypeVar("T")


class ProtocolError(OSError):
    """The server said something its protocol does not allow at this place; the message quotes it."""


class NotTrusted(MailmoveError):
    """Whoever answered could not prove to be the server that was meant: nothing was asked."""


@dataclass(frozen=True)
class Trust:
    """Whom a client takes for the server it means.

    That is who shows a certificate for its name from a CA that the system or ``ca_file`` knows; or, where that fails,
    who shows one of the server's ``own`` (DER), told by the server itself over a way that is trusted already. They are
    asked for only then. Nothing is said to anybody else.
    """

    ca_file: Path | None = None
    own: Callable[[], frozenset[bytes]] | None = None


BY_CA = Trust()


def trusting(name: str, trust: Trust, connect: Callable[[ssl.SSLContext], T]) -> T:
    """What ``connect`` returns, called with a context that takes only the server ``name`` as ``trust`` knows it.

    It may be called twice. Raises what ``connect`` raises: SSLCertVerificationError when somebody else answers.
    """
    try:
        return connect(context(name, trust.ca_file))
    except ssl.SSLCertVerificationError as error:
        return connect(own_context(name, trust, error))


def own_context(name: str, trust: Trust, distrust: ssl.SSLCertVerificationError) -> Context:
    """A context that takes the server's own certificates only. Raises ``distrust`` when none is known."""
    own = trust.own() if trust.own else frozenset()
    if not own:
        raise distrust
    made = Context(ssl.PROTOCOL_TLS_CLIENT)
    made.name = name
    made.own = own
    made.distrust = distrust.verify_message
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.sslsocket_class = _OwnSocket
    made.sslobject_class = _OwnObject
    return made


def names_of(certificate: x509.Certificate) -> list[str]:
    """The host names a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name) for name in names.get_values_for_type(x509.DNSName)]


def told(error: ssl.SSLCertVerificationError) -> str:
    """Why the other side was not trusted, for a person."""
    return f"{DISTRUST}: {error.verify_message or error}"


def distrusted(host: str, port: int, error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """The same as the two lines of a NotTrusted: the fact, and its hint."""
    fact = f"{told(error)} ({host}:{port}): nothing was asked"
    return fact, "renew it, or name the CA in mailmove.toml as probes.ca_file"


class Context(ssl.SSLContext):
    """A client's context that expects a certificate for ``name``, whatever address was connected to."""

    name = ""
    own: frozenset[bytes] = frozenset()  # the certificates that are taken without a CA; see own_context
    distrust = ""  # why a CA did not do

    def wrap_socket(self, sock: socket.socket, *args: Any, **settings: Any) -> ssl.SSLSocket:
        """As ssl.SSLContext's, for ``name``. Libraries pass the address they connected to."""
        settings["server_hostname"] = self.name or settings.get("server_hostname")
        return super().wrap_socket(sock, *args, **settings)


class _OwnSocket(ssl.SSLSocket):
    """Ends the handshake when the certificate is none of its context's own."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _expect_own(self)


class _OwnObject(ssl.SSLObject):
    """The same for asyncio."""

    def do_handshake(self) -> None:
        super().do_handshake()
        _expect_own(self)


def _expect_own(connection: ssl.SSLSocket | ssl.SSLObject) -> None:
    using = connection.context
    assert isinstance(using, Context)
    if connection.getpeercert(binary_form=True) not in using.own:
        words = f"{using.distrust}, and it is none that the server's own services show"
        error = ssl.SSLCertVerificationError(1, words)
        error.verify_code, error.verify_message = 0, words
        raise error


@functools.cache  # reading the system's CAs takes longer than a letter
def context(name: str, ca_file: Path | None = None, *, verify: bool = True) -> Context:
    """Trusts the system's CAs and those in ``ca_file``, and wants a certificate for the host ``name``.

    Many connections share it: it is not to be changed.
    """
    return _new_context(name, ca_file, verify=verify)


def _new_context(name: str, ca_file: Path | None = None, *, verify: bool = True) -> Context:
    made = Context(ssl.PROTOCOL_TLS_CLIENT)
    made.name = name
    made.load_default_certs()
    if ca_file:
        made.load_verify_locations(ca_file)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def old_protocols_only(name: str) -> Context:
    """A context that speaks TLS 1.0 and 1.1 only, to see whether a server still does."""
    made = _new_context(name, verify=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # deprecated is what it is about
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.maximum_version = ssl.TLSVersion.TLSv1_1
    made.set_ciphers("ALL:@SECLEVEL=0")  # at OpenSSL's own level we would refuse them ourselves
    return made


def tls_12_only(name: str) -> Context:
    """A context that speaks TLS 1.2 and nothing newer, as programs and servers of some years ago do."""
    made = _new_context(name, verify=False)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


@dataclass(frozen=True)
class Served:
    """The TLS a port showed."""

    port: int
    version: str  # "TLSv1.3"
    certificate: x509.Certificate
    distrust: str  # why a client would not trust it; empty if it does

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def is_one_of(self, own: frozenset[bytes]) -> bool:
        """Whether the certificate is among these (DER)."""
        return self.certificate.public_bytes(serialization.Encoding.DER) in own


class Plain:
    """A line-by-line connection that can turn to TLS. Lines are bytes without their CRLF."""

    def __init__(self, host: str, port: int, time_s: float = TIME_S) -> None:
        self.socket: socket.socket = socket.create_connection((host, port), timeout=time_s)
        self._buffer = b""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def line(self) -> bytes:
        """The next line. Raises ProtocolError when the server closes or floods, TimeoutError when it is silent."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise ProtocolError(f"a line longer than {LONGEST_LINE} bytes: {self._buffer[:60]!r}…")
            received = self.socket.recv(8192)
            if not received:
                raise ProtocolError(f"it closed the connection after {self._buffer[:200]!r}")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        while len(self._buffer) < size:
            received = self.socket.recv(65536)
            if not received:
                raise ProtocolError(f"it closed the connection {size - len(self._buffer)} bytes too early")
            self._buffer += received
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def send(self, line: bytes) -> None:
        self.socket.sendall(line + b"\r\n")

    def starttls(self, using: ssl.SSLContext) -> None:
        """Turn to TLS. What a man in the middle put before the handshake is refused (CVE-2011-0411)."""
        if self._buffer:
            raise ProtocolError(f"it sent {self._buffer[:60]!r} before TLS began")
        self.socket = using.wrap_socket(self.socket)


def dial(host: str, port: int, using: ssl.SSLContext, time_s: float = TIME_S) -> ssl.SSLSocket:
    """A socket to a port where TLS begins at once. The caller closes it."""
    plain = socket.create_connection((host, port), timeout=time_s)
    try:
        return using.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def before_tls(connection: Plain, dialogue: Dialogue) -> list[str]:
    """Greet the server and ask what it offers without TLS: its capability lines, upper-cased."""
    lines: list[bytes] = []
    if dialogue == "smtp":
        _smtp_reply(connection)
        connection.send(b"EHLO operator.mailmove.invalid")
        lines = _smtp_reply(connection)[1:]
    elif dialogue == "imap":
        connection.line()
        connection.send(b"c CAPABILITY")
        while not (line := connection.line()).startswith(b"c "):
            lines += line.removeprefix(b"* CAPABILITY ").split()
    elif dialogue == "pop3":
        connection.line()
        connection.send(b"CAPA")
        if connection.line().startswith(b"+OK"):
            while (line := connection.line()) != b".":
                lines.append(line)
    elif dialogue == "sieve":
        while not (line := connection.line()).upper().startswith((b"OK", b"NO", b"BYE")):
            lines.append(line)
    return [line.decode("utf-8", "replace").upper() for line in lines]


_STARTTLS = {
    "smtp": (b"STARTTLS", b"220"),
    "imap": (b"t STARTTLS", b"t OK"),
    "pop3": (b"STLS", b"+OK"),
    "sieve": (b"STARTTLS", b"OK"),
}


def start(connection: Plain, dialogue: Dialogue, using: ssl.SSLContext) -> None:
    """Begin TLS after the greeting was read by :func:`before_tls`. Raises ProtocolError when it is refused."""
    command, consent = _STARTTLS[dialogue]
    connection.send(command)
    answer = connection.line()
    if not answer.upper().startswith(consent.upper()):
        raise ProtocolError(f"{command.decode()} was answered {answer.decode('utf-8', 'replace')!r}")
    connection.starttls(using)


def open_(host: str, port: int, dialogue: Dialogue, using: ssl.SSLContext, time_s: float = TIME_S) -> Plain:
    """A TLS connection to a port, STARTTLS said where it begins that way. The caller closes it."""
    connection = Plain(host, port, time_s)
    try:
        if dialogue == "implicit":
            connection.starttls(using)
        else:
            before_tls(connection, dialogue)
            start(connection, dialogue, using)
    except BaseException:
        connection.socket.close()
        raise
    return connection


def look(host: str, port: int, dialogue: Dialogue, name: str, ca_file: Path | None = None) -> Served:
    """The certificate at a port, and whether a client that expects ``name`` trusts it. Raises OSError."""
    try:
        with open_(host, port, dialogue, context(name, ca_file)) as connection:
            return _served(connection, port, "")
    except ssl.SSLCertVerificationError as error:
        with open_(host, port, dialogue, context(name, verify=False)) as connection:
            return _served(connection, port, error.verify_message or str(error))


def speaks_old_protocols(host: str, port: int, dialogue: Dialogue, name: str) -> str:
    """The version (TLSv1.1, TLSv1) a server agrees to with a client that knows nothing newer; empty if it refuses."""
    try:
        with open_(host, port, dialogue, old_protocols_only(name)) as connection:
            assert isinstance(connection.socket, ssl.SSLSocket)
            return connection.socket.version() or ""
    except (ssl.SSLError, ConnectionResetError):
        return ""


def speaks_tls_12(host: str, port: int, dialogue: Dialogue, name: str) -> str:
    """Why a server does not agree to TLS 1.2 with a client that knows nothing newer; empty if it does. Raises OSError."""
    try:
        with open_(host, port, dialogue, tls_12_only(name)):
            return ""
    except (ssl.SSLError, ConnectionResetError) as error:
        return f"refused ({getattr(error, 'reason', '') or error})"


def _served(connection: Plain, port: int, distrust: str) -> Served:
    assert isinstance(connection.socket, ssl.SSLSocket)
    der = connection.socket.getpeercert(binary_form=True)
    if der is None:
        raise ProtocolError("it showed no certificate")
    return Served(port, connection.socket.version() or "", x509.load_der_x509_certificate(der), distrust)


def _smtp_reply(connection: Plain) -> list[bytes]:
    lines = []
    while True:
        line = connection.line()
        lines.append(line[4:])
        if line[3:4] != b"-":
            break
    if not line.startswith((b"2", b"3")):
        raise ProtocolError(f"it answered {line.decode('utf-8', 'replace')!r}")
    return lines
