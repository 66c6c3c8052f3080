"""ManageSieve (RFC 5804): people's filter rules on the server.

Our own, because neither sievelib nor managesieve takes a CA or an address that differs from the certificate's name.
"""

from __future__ import annotations

import base64
import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mailmove.clients import tls
from mailmove.clients.account import Account
from mailmove.errors import MailmoveError

LONGEST_STRING = 1 << 22  # bytes; Sieve scripts are small


class SieveError(MailmoveError):
    """The server could not be reached or did not do what it was asked."""


class LoginRefused(SieveError):
    """The server answered and said no to this name and password."""


class NotTrusted(SieveError, tls.NotTrusted):
    """Somebody answered who may be another: name and password were not sent."""


class Refused(SieveError):
    """The server answered and said no to a command, such as a script that is wrong."""


@dataclass(frozen=True)
class Answer:
    """What a command came to: ``OK``, ``NO`` or ``BYE``, its text, and the lines of data before it."""

    status: str
    text: str
    data: list[list[bytes]]  # each line as its words, strings unquoted


class Scripts:
    """One logged-in ManageSieve session. Made by :func:`login`."""

    def extensions(self) -> frozenset[str]:
        """What scripts may use, such as ``fileinto`` (RFC 5804, 1.7)."""
        lines = {words[0].upper(): words[1:] for words in self._ask(b"CAPABILITY").data}
        return frozenset(b" ".join(lines.get(b"SIEVE", [])).decode("utf-8", "replace").split())

    def __init__(self, connection: tls.Plain) -> None:
        self._connection = connection

    def list(self) -> dict[str, bool]:
        """The scripts by name, and whether each is the active one."""
        answer = self._ask(b"LISTSCRIPTS")
        return {words[0].decode("utf-8", "replace"): words[-1].upper() == b"ACTIVE" for words in answer.data}

    def put(self, name: str, script: bytes) -> None:
        """Upload a script. Raises Refused with the compiler's words when it is wrong."""
        self._ask(b"PUTSCRIPT " + _string(name) + b" " + _literal(script))

    def get(self, name: str) -> bytes:
        return self._ask(b"GETSCRIPT " + _string(name)).data[0][0]

    def activate(self, name: str) -> None:
        """Make a script the active one; the empty name makes none active."""
        self._ask(b"SETACTIVE " + _string(name))

    def delete(self, name: str) -> None:
        self._ask(b"DELETESCRIPT " + _string(name))

    def _ask(self, command: bytes) -> Answer:
        answer = ask(self._connection, command)
        if answer.status != "OK":
            verb = command.split()[0].decode()
            raise Refused(f"ManageSieve {verb} was refused: {answer.text}", "Dovecot's log on the server says more")
        return answer


@contextlib.contextmanager
def login(
    host: str,
    account: Account,
    *,
    name: str = "",
    trust: tls.Trust = tls.BY_CA,
    port: int = 4190,
    time_s: float = tls.TIME_S,
    ready: Callable[[], object] = lambda: None,
) -> Iterator[Scripts]:
    """Log in at ``host``, which must be the server ``name`` (default ``host``) as ``trust`` knows it.

    Raises LoginRefused when name or password are not accepted, NotTrusted when somebody else may answer, SieveError when
    it does not come to that. ``ready`` is called when name and password are about to be sent.
    """
    try:
        connection = tls.trusting(name or host, trust, lambda using: tls.open_(host, port, "sieve", using, time_s))
    except ssl.SSLCertVerificationError as error:
        raise NotTrusted(*tls.distrusted(host, port, error)) from None
    except OSError as error:
        raise SieveError(
            f"{host}:{port} does not talk ManageSieve with TLS: {error}",
            "is dovecot-managesieved installed there, and the port open?",
        ) from None
    with connection:
        try:
            read(connection)  # RFC 5804, 2.2: after STARTTLS the server repeats its capabilities
            ready()
            answer = ask(connection, _authenticate(account))
            if "TRYLATER" in answer.text:
                raise SieveError(
                    f"{host}:{port} cannot tell who may log in: {answer.text}", "Dovecot's log on the server says why"
                )
            if answer.status != "OK":
                raise LoginRefused(
                    f"{host}:{port} does not let {account.email} in: {answer.text}",
                    "compare name and password with the database",
                )
            yield Scripts(connection)
        except OSError as error:
            raise SieveError(f"{host}:{port}: {error}", "Dovecot's log on the server says more") from None
        finally:
            with contextlib.suppress(OSError):
                connection.send(b"LOGOUT")


def login_without_tls(host: str, account: Account, port: int = 4190, time_s: float = tls.TIME_S) -> Answer:
    """What is said to a login before TLS. Raises OSError when it does not come to that.

    ``account`` must be an exposed one (ValueError).
    """
    if not account.exposed:
        raise ValueError(f"the password of {account.email} is not for whoever answers")
    with tls.Plain(host, port, time_s) as connection:
        tls.before_tls(connection, "sieve")
        return ask(connection, _authenticate(account))


def _authenticate(account: Account) -> bytes:
    token = base64.b64encode(b"\0" + account.email.encode() + b"\0" + account.password.encode())
    return b'AUTHENTICATE "PLAIN" "' + token + b'"'


def ask(connection: tls.Plain, command: bytes) -> Answer:
    """Send a command and read its answer. Raises OSError."""
    connection.send(command)
    return read(connection)


def read(connection: tls.Plain) -> Answer:
    """Read an answer up to its OK, NO or BYE. Raises OSError, and ProtocolError when it is none."""
    data: list[list[bytes]] = []
    while True:
        words = _words(connection)
        status = words[0].upper() if words else b""
        if status in (b"OK", b"NO", b"BYE"):
            said = b" ".join(word.removeprefix(b'"') for word in words[1:])
            return Answer(status.decode(), said.decode("utf-8", "replace").strip(), data)
        data.append([word.removeprefix(b'"') for word in words])


_WORD = re.compile(rb'\s*(?:("(?:[^"\\]|\\.)*)"|\{(\d+)\+?\}$|(\([^)]*\))|([^\s"{(]+))')


def _words(connection: tls.Plain) -> list[bytes]:
    """The words of one line: quoted strings keep a leading quote (so that "OK" is no OK), literals are read."""
    words: list[bytes] = []
    line = connection.line()
    while line.strip():
        found = _WORD.match(line)
        if not found:
            raise tls.ProtocolError(f"this is no ManageSieve: {line[:200]!r}")
        quoted, size, group, atom = found.groups()
        line = line[found.end() :]
        if size is not None:
            if int(size) > LONGEST_STRING:
                raise tls.ProtocolError(f"a string of {int(size)} bytes")
            words.append(b'"' + connection.read(int(size)))
            line = connection.line()
        elif quoted is not None:
            words.append(re.sub(rb"\\(.)", rb"\1", quoted))
        else:
            words.append(group or atom)
    return words


def _string(text: str) -> bytes:
    return b'"' + text.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _literal(data: bytes) -> bytes:
    return b"{%d+}\r\n" % len(data) + data
