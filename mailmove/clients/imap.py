"""IMAP as a mail program speaks it (RFC 3501, 6851, 9208), typed. IMAPClient is known to this module only."""

from __future__ import annotations

import contextlib
import datetime as dt
import imaplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError
from imapclient.exceptions import LoginError as _LoginError

from mailmove.clients import tls
from mailmove.clients.account import Account
from mailmove.errors import MailmoveError
from mailmove.progress import Deadline

SILENT_S = 5.0  # for the next answer of a server that gave none to a login: it must not make every question slow
_SILENT: set[str] = set()  # hosts where the last login was not answered in time


class ImapError(MailmoveError):
    """The server could not be reached or did not do what it was asked."""


class LoginRefused(ImapError):
    """The server answered and said no to this name and password."""


class NotTrusted(ImapError, tls.NotTrusted):
    """Somebody answered who may be another: name and password were not sent."""


@dataclass(frozen=True)
class Folder:
    """A folder as LIST shows it. ``name`` is decoded from modified UTF-7; ``flags`` like ``\\Junk``, ``\\Noselect``."""

    name: str
    flags: frozenset[str]
    separator: str


@dataclass(frozen=True)
class Namespace:
    """How folders are named: what stands before each name, and between a folder and those in it."""

    prefix: str
    separator: str


@dataclass(frozen=True)
class Letter:
    """A letter as FETCH shows it. ``raw`` is empty unless it was asked for."""

    uid: int
    flags: frozenset[str]
    date: dt.datetime  # INTERNALDATE
    size: int
    raw: bytes = b""


class Mailbox:
    """One logged-in IMAP session. Made by :func:`login`."""

    def __init__(self, client: IMAPClient) -> None:
        self._client = client
        self._selected = ("", False)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset(_text(each).upper() for each in self._do("CAPABILITY", self._client.capabilities))

    def folders(self) -> list[Folder]:
        """All folders, subscribed or not."""
        return [
            Folder(name, frozenset(map(_text, flags)), _text(separator or b""))
            for flags, separator, name in self._do("LIST", self._client.list_folders)
        ]

    def subscribed(self) -> list[str]:
        return sorted(name for _, _, name in self._do("LSUB", self._client.list_sub_folders))

    def namespace(self) -> Namespace:
        """Where the person's own folders are (RFC 2342)."""
        personal = self._do("NAMESPACE", self._client.namespace).personal
        prefix, separator = personal[0] if personal else ("", "")
        return Namespace(prefix, separator)

    def unsubscribe(self, folder: str) -> None:
        self._do("UNSUBSCRIBE", self._client.unsubscribe_folder, folder)

    def create(self, folder: str) -> None:
        """Create and subscribe a folder."""
        self._do("CREATE", self._client.create_folder, folder)
        self._do("SUBSCRIBE", self._client.subscribe_folder, folder)

    def rename(self, folder: str, to: str) -> None:
        self._do("RENAME", self._client.rename_folder, folder, to)

    def delete(self, folder: str) -> None:
        self._leave(folder)
        self.unsubscribe(folder)
        self._do("DELETE", self._client.delete_folder, folder)

    def uidvalidity(self, folder: str = "INBOX") -> int:
        return int(self._do("STATUS", self._client.folder_status, folder, ["UIDVALIDITY"])[b"UIDVALIDITY"])

    def count(self, folder: str = "INBOX") -> int:
        return int(self._do("STATUS", self._client.folder_status, folder, ["MESSAGES"])[b"MESSAGES"])

    def append(
        self, message: bytes, folder: str = "INBOX", flags: Sequence[str] = (), date: dt.datetime | None = None
    ) -> int | None:
        """Put a letter into a folder; its UID where the server says it (UIDPLUS)."""
        answer: bytes = self._do("APPEND", self._client.append, folder, message, flags, date)
        if b"APPENDUID" not in answer:
            return None
        return int(answer.partition(b"APPENDUID ")[2].split(b"]")[0].split()[1])

    def search(self, *criteria: str, folder: str = "INBOX") -> list[int]:
        """UIDs that fit, for example ``search("FLAGGED", folder="Sent")``; a fresh look each time."""
        self._select(folder)
        return sorted(self._do("SEARCH", self._client.search, list(criteria) or "ALL", "UTF-8"))

    def with_text(self, mark: str, folder: str = "INBOX") -> list[int]:
        """UIDs of the letters that have ``mark`` anywhere in header or body."""
        return self.search("TEXT", mark, folder=folder)

    def find(self, mark: str, folder: str = "INBOX", seconds: float = 20.0) -> list[int]:
        """Wait until a letter with ``mark`` is there: its UIDs, several if it came twice, none if not in time."""
        found: list[int] = []
        for _ in Deadline(seconds):
            with contextlib.suppress(_NoSuchFolder):
                found = self.with_text(mark, folder)
            if found:
                break
        return found

    def fetch(self, uids: Sequence[int], folder: str = "INBOX", *, raw: bool = False) -> list[Letter]:
        """Letters by UID, in the order of their UIDs. With ``raw`` their bytes too; nothing is marked as read."""
        self._select(folder)
        if not uids:
            return []
        items = ["FLAGS", "INTERNALDATE", "RFC822.SIZE", *(["BODY.PEEK[]"] if raw else [])]
        found: dict[int, dict[bytes, Any]] = self._do("FETCH", self._client.fetch, list(uids), items)
        return [
            Letter(
                uid,
                frozenset(map(_text, data[b"FLAGS"])),
                data[b"INTERNALDATE"],
                data[b"RFC822.SIZE"],
                data.get(b"BODY[]", b""),
            )
            for uid, data in sorted(found.items())
        ]

    def raw(self, uid: int, folder: str = "INBOX") -> bytes:
        """The bytes of one letter. Raises ImapError when there is none with this UID."""
        for letter in self.fetch([uid], folder, raw=True):
            return letter.raw
        raise ImapError(f"there is no letter with UID {uid} in {folder}", "it was expunged meanwhile")

    def add_flags(self, uids: Sequence[int], flags: Sequence[str], folder: str = "INBOX") -> None:
        self._select(folder, write=True)
        self._do("STORE", self._client.add_flags, list(uids), list(flags))

    def remove_flags(self, uids: Sequence[int], flags: Sequence[str], folder: str = "INBOX") -> None:
        self._select(folder, write=True)
        self._do("STORE", self._client.remove_flags, list(uids), list(flags))

    def move(self, uids: Sequence[int], to: str, folder: str = "INBOX") -> None:
        """Move letters as a mail program does."""
        self._select(folder, write=True)
        self._do("MOVE", self._client.move, list(uids), to)

    def copy(self, uids: Sequence[int], to: str, folder: str = "INBOX") -> None:
        self._select(folder, write=True)
        self._do("COPY", self._client.copy, list(uids), to)

    def expunge(self, uids: Sequence[int], folder: str = "INBOX") -> None:
        """Delete letters for good."""
        self.add_flags(uids, ["\\Deleted"], folder)
        self._do("EXPUNGE", self._client.expunge, list(uids))

    def quota(self, folder: str = "INBOX") -> list[tuple[str, int, int]]:
        """(resource, used, limit) of a folder's quota root; STORAGE in KiB. Empty if there is none."""
        _, found = self._do("GETQUOTAROOT", self._client.get_quota_root, folder)
        return [(_text(each.resource), int(each.usage), int(each.limit)) for each in found]

    def idle(self, seconds: float, begun: Callable[[], object] = lambda: None) -> list[str]:
        """What the server announces within ``seconds`` while nothing is asked (RFC 2177); back at the first word.

        ``begun`` is called once the server has agreed to tell.
        """
        self._select("INBOX")
        self._do("IDLE", self._client.idle)
        try:
            begun()
            said = self._do("IDLE", self._client.idle_check, seconds)
        finally:
            self._do("DONE", self._client.idle_done)
        return [str(each) for each in said]

    def _select(self, folder: str, write: bool = False) -> None:
        if self._selected in ((folder, write), (folder, True)):
            self._do("NOOP", self._client.noop)  # so that what came meanwhile is seen
            return
        self._selected = ("", False)
        self._do("SELECT", self._client.select_folder, folder, not write)
        self._selected = (folder, write)

    def _leave(self, folder: str) -> None:
        if self._selected[0] == folder:
            self._do("CLOSE", self._client.unselect_folder)
            self._selected = ("", False)

    def _do(self, what: str, act: Any, *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except IMAPClientError as error:
            words = _words(error)
            kind = _NoSuchFolder if "NONEXISTENT" in words or "doesn't exist" in words else ImapError
            raise kind(f"IMAP {what} was refused: {words[:300]}", "Dovecot's log on the server says more") from None
        except OSError as error:
            raise ImapError(f"IMAP {what}: the connection failed: {error}", "is Dovecot still running there?") from None


class _NoSuchFolder(ImapError):
    pass


def kept_waiting(host: str) -> bool:
    """Whether the last login at ``host`` was neither taken nor refused within its time."""
    return host in _SILENT


@contextlib.contextmanager
def login(
    host: str,
    account: Account,
    *,
    name: str = "",
    trust: tls.Trust = tls.BY_CA,
    port: int = 993,
    starttls: bool = False,
    time_s: float = tls.TIME_S,
    ready: Callable[[], object] = lambda: None,
) -> Iterator[Mailbox]:
    """Log in at ``host`` (an address or a name), which must be the server ``name`` (default ``host``) as ``trust`` knows it.

    With ``starttls`` TLS begins by STARTTLS (port 143). Raises LoginRefused when name or password are not
    accepted, NotTrusted when somebody else may answer, ImapError when it does not come to that. ``ready`` is called when
    name and password are about to be sent.
    """
    if host in _SILENT:
        time_s = min(time_s, SILENT_S)

    def connect(using: ssl.SSLContext) -> IMAPClient:
        client = IMAPClient(host, port, ssl=not starttls, ssl_context=None if starttls else using, timeout=time_s)
        if starttls:
            try:
                client.starttls(using)
            except BaseException:
                with contextlib.suppress(OSError):  # a handshake that failed has closed the socket
                    client.shutdown()
                raise
        return client

    try:
        client = tls.trusting(name or host, trust, connect)
    except (OSError, IMAPClientError) as error:
        raise _unreachable(host, port, error) from None
    try:
        try:
            ready()
            client.login(account.email, account.password)
        except _LoginError as error:
            if "UNAVAILABLE" in _words(error):  # RFC 5530: the server cannot tell just now
                raise _unreachable(host, port, error) from None
            raise LoginRefused(
                f"{host}:{port} does not let {account.email} in: {_words(error)}",
                "compare name and password with the database",
            ) from None
        except (OSError, IMAPClientError) as error:
            (_SILENT.add if isinstance(error, TimeoutError) else _SILENT.discard)(host)
            raise _unreachable(host, port, error) from None
        _SILENT.discard(host)
        client.normalise_times = False  # INTERNALDATE keeps its zone
        yield Mailbox(client)
    finally:
        try:
            client.logout()
        except (OSError, IMAPClientError):  # whoever ended it before us left the socket to be closed
            with contextlib.suppress(OSError):
                client.shutdown()


def _unreachable(host: str, port: int, error: Exception) -> ImapError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotTrusted(*tls.distrusted(host, port, error))
    return ImapError(
        f"{host}:{port} does not talk IMAP: {_words(error)}", "is Dovecot running there, and the port open?"
    )


def _words(error: Exception) -> str:
    """The server's answer in an exception of IMAPClient, which may carry it as bytes."""
    if isinstance(error, OSError):
        return str(error)
    said = " ".join(each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in error.args)
    return said[2:-1] if said.startswith(("b'", 'b"')) and said.endswith(("'", '"')) else said


def _text(word: bytes | str | int) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


imaplib._MAXLINE = 10_000_000  # type: ignore[attr-defined]  # a SEARCH over a large folder answers in one line
