"""POP3 as a mail program speaks it (RFC 1939, 2595)."""

from __future__ import annotations

import contextlib
import poplib
import ssl
from collections.abc import Callable, Iterator

from mailmove.clients import tls
from mailmove.clients.account import Account
from mailmove.errors import MailmoveError


class Pop3Error(MailmoveError):
    """The server could not be reached or did not do what it was asked."""


class LoginRefused(Pop3Error):
    """The server answered and said no to this name and password."""


class NotTrusted(Pop3Error, tls.NotTrusted):
    """Somebody answered who may be another: name and password were not sent."""


class Maildrop:
    """One logged-in POP3 session. Made by :func:`login`."""

    def __init__(self, client: poplib.POP3) -> None:
        self._client = client

    def uids(self) -> dict[str, int]:
        """Unique id -> number of each letter (UIDL)."""
        _, lines, _ = self._client.uidl()
        pairs = (line.decode("ascii", "replace").split(" ", 1) for line in lines)
        return {uid: int(number) for number, uid in pairs}

    def letter(self, number: int) -> bytes:
        """The bytes of a letter. It stays on the server."""
        _, lines, _ = self._client.retr(number)
        return b"".join(line + b"\r\n" for line in lines)

    def delete(self, number: int) -> None:
        """Delete a letter; it is gone when the session ends well."""
        self._client.dele(number)


@contextlib.contextmanager
def login(
    host: str,
    account: Account,
    *,
    name: str = "",
    trust: tls.Trust = tls.BY_CA,
    port: int = 995,
    starttls: bool = False,
    time_s: float = tls.TIME_S,
    ready: Callable[[], object] = lambda: None,
) -> Iterator[Maildrop]:
    """Log in at ``host``, which must be the server ``name`` (default ``host``) as ``trust`` knows it.

    With ``starttls`` TLS begins by STLS (port 110). Raises LoginRefused when name or password are not accepted, NotTrusted
    when somebody else may answer, Pop3Error when it does not come to that. ``ready`` is called when name and password are
    about to be sent.
    """

    def connect(using: ssl.SSLContext) -> poplib.POP3:
        if not starttls:
            return poplib.POP3_SSL(host, port, timeout=time_s, context=using)
        client = poplib.POP3(host, port, timeout=time_s)
        try:
            client.stls(using)
        except BaseException:
            with contextlib.suppress(OSError):  # a handshake that failed has closed the socket
                client.close()
            raise
        return client

    try:
        client = tls.trusting(name or host, trust, connect)
    except ssl.SSLCertVerificationError as error:
        raise NotTrusted(*tls.distrusted(host, port, error)) from None
    except (OSError, poplib.error_proto) as error:
        raise Pop3Error(
            f"{host}:{port} does not talk POP3 with TLS: {error}",
            "is dovecot-pop3d installed there, and the port open?",
        ) from None
    try:
        try:
            client.user(account.email)
            ready()
            client.pass_(account.password)
        except poplib.error_proto as error:
            if "[SYS/" in _words(error):  # RFC 3206: not the password's fault
                raise Pop3Error(
                    f"{host}:{port} cannot tell who may log in: {_words(error)}", "Dovecot's log on the server says why"
                ) from None
            raise LoginRefused(
                f"{host}:{port} does not let {account.email} in: {_words(error)}",
                "compare name and password with the database",
            ) from None
        except OSError as error:
            raise Pop3Error(
                f"{host}:{port} gave no answer to a login: {error}", "Dovecot's log on the server says more"
            ) from None
        try:
            yield Maildrop(client)
        except OSError as error:
            raise Pop3Error(f"{host}:{port}: {error}", "Dovecot's log on the server says more") from None
        except poplib.error_proto as error:
            raise Pop3Error(
                f"{host}:{port} refused: {_words(error)}", "Dovecot's log on the server says more"
            ) from None
    finally:
        try:
            client.quit()
        except (OSError, poplib.error_proto):
            with contextlib.suppress(OSError):
                client.close()


def _words(error: poplib.error_proto) -> str:
    return " ".join(each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in error.args)
