"""Talking to a mail server as other mail servers and people's mail programs do (RFC 5321), answer by answer.

Every answer is kept, the refusals above all: what a server refuses says as much as what it takes. Synchronous from
outside; several conversations go on at once inside.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import errno
import functools
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import aiosmtplib

from mailmove.clients.account import Account
from mailmove.clients.tls import BY_CA, Context, Trust, context, own_context, told

Tls = Literal["none", "opportunistic", "starttls", "implicit"]
"""``opportunistic`` as servers do among themselves: STARTTLS if it is offered, whatever the certificate
(RFC 7435). ``starttls`` and ``implicit`` as people's programs do: with it or not at all, and the name must be right."""

TIME_S = 30.0  # for one conversation
SILENT_S = 3.0  # for the next greeting of a server that did not greet last time: it must not make every question slow
STALLED_S = 6.0  # for the next conversation with one that fell silent in the middle of the last
QUIT_S = 2.0  # for a polite end
AT_ONCE = 10  # conversations; Debian's Postfix lets one client hold 50
AGAIN_AFTER_S = 5.0  # a sender that was put off tries again after this pause

T = TypeVar("T")

_SILENT: set[tuple[str, int]] = set()  # where nobody greeted when we last called
_STALLED: set[tuple[str, int]] = set()  # and where the conversation came to no end


@dataclass(frozen=True)
class Reply:
    """One command and its answer. The command is as it was sent, but for passwords and the letter's content."""

    command: str
    code: int
    text: str

    @property
    def good(self) -> bool:
        """Positive (RFC 5321, 4.2.1). A number that is no reply code is no yes."""
        return 200 <= self.code < 400

    @property
    def for_good(self) -> bool:
        """Refused, and the sender need not try again."""
        return self.code >= 500

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass(frozen=True)
class Call:
    """One conversation to be had. Ends after the first refusal that leaves nothing more to be said.

    ``host`` is an address, ``name`` and ``trust`` say whose it must be (but see :data:`Tls`). Without a ``message`` it ends
    after the last recipient; without a ``sender`` (None; "" is the null sender) after the login. Raises ValueError for a
    ``login`` that whoever answers could read, unless it is an exposed one.
    """

    host: str
    port: int = 25
    tls: Tls = "opportunistic"
    name: str = ""
    trust: Trust = BY_CA
    login: Account | None = None
    sender: str | None = None
    recipients: Sequence[str] = ()
    message: bytes | None = field(default=None, repr=False)
    options: Sequence[str] = ()  # of MAIL FROM, beside those that follow from the message
    declare_size: bool = True
    questions: Sequence[str] = ()  # commands that are asked after the login, e.g. "VRFY anna"; with them, nothing else
    source: str | None = None  # our own address to call from
    time_s: float = TIME_S

    def __post_init__(self) -> None:
        if self.login is not None and self.tls in ("none", "opportunistic") and not self.login.exposed:
            raise ValueError(f"the password of {self.login.email} is not for whoever answers ({self.tls})")


@dataclass(frozen=True)
class Conversation:
    """What was said. ``trouble`` is why it broke off without an answer (no connection, no trust, a time limit)."""

    call: Call
    replies: tuple[Reply, ...] = ()
    extensions: tuple[str, ...] = ()  # of the last EHLO: "SIZE 10240000", "AUTH PLAIN LOGIN", …
    before_tls: tuple[str, ...] = ()  # of the EHLO before STARTTLS
    encrypted: str = ""  # TLS version
    distrust: str = ""  # why no CA vouches for the server; what was said was said to the right one all the same
    trouble: str = ""
    unreachable: bool = False  # the trouble is that nobody answers there
    seconds: float = 0.0

    @property
    def refused_at(self) -> Reply | None:
        """The first answer that was a refusal."""
        return next((reply for reply in self.replies if not reply.good), None)

    @property
    def last(self) -> Reply | None:
        return self.replies[-1] if self.replies else None

    @property
    def taken(self) -> bool:
        """The server took responsibility for the letter, for all its recipients (RFC 5321, 6.1)."""
        return not self.trouble and self.refused_at is None and self.last is not None and self.last.command == "DATA"

    @property
    def put_off(self) -> bool:
        """Refused for now: a sender has to try again (greylisting, a service that is just starting).

        Not so 4.3.5, a server that is set up wrongly (RFC 3463, 3.4), nor a login that fails for now (RFC 4954, 6: 454): a
        program that sends for a person tells them, and nobody greylists before that.
        """
        refusal = self.refused_at
        lasts = refusal is None or refusal.text.startswith("4.3.5") or refusal.command.startswith("AUTH")
        return refusal is not None and refusal.code < 500 and not lasts

    def of(self, verb: str) -> list[Reply]:
        """The answers to one command, e.g. ``RCPT``."""
        return [reply for reply in self.replies if reply.command.split(" ")[0].upper() == verb]

    def offers(self, keyword: str) -> str:
        """The line of the last EHLO that offers ``keyword``; empty if it is not offered."""
        return offer(self.extensions, keyword)

    @property
    def size_limit(self) -> int:
        """In bytes, from SIZE (RFC 1870); 0 if none is told."""
        words = self.offers("SIZE").split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    @property
    def words(self) -> str:
        """How it ended, for a person: the refusal, else the trouble, else the last answer."""
        if self.trouble:
            return self.trouble
        reply = self.refused_at or self.last
        return f"{reply} (to {reply.command})" if reply else "nothing was said"


@dataclass(frozen=True)
class Attempts:
    """What came of a letter that was tried again as long as it was only put off."""

    conversation: Conversation
    put_off: tuple[Reply, ...] = ()

    @property
    def words(self) -> str:
        tried = f" after being put off {len(self.put_off)} times, first with {self.put_off[0]}" if self.put_off else ""
        return self.conversation.words + tried


def offer(extensions: Sequence[str], keyword: str) -> str:
    """The line among ``extensions`` that offers ``keyword``; empty if there is none."""
    return next((line for line in extensions if line.replace("=", " ").split(" ")[0].upper() == keyword), "")


def converse(host: str, port: int = 25, **how: Any) -> Conversation:
    """One conversation. ``how``: the fields of :class:`Call`."""
    return converse_all([Call(host, port, **how)])[0]


def converse_all(calls: Sequence[Call]) -> list[Conversation]:
    """Several conversations at once, in the order of ``calls``. What the other side does is never raised.

    Raises ValueError for an address of ours that would break the line.
    """

    async def all_of_them() -> list[Conversation]:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(call: Call) -> Conversation:
            async with room:
                return await _converse(call)

        return list(await asyncio.gather(*(one(call) for call in calls)))

    return _run(all_of_them())


def deliver_all(calls: Sequence[Call], time_s: float) -> list[Attempts]:
    """Like :func:`converse_all`, but what is only put off (4xx) is tried again until ``time_s`` seconds are over.

    That is how a mail server sends (RFC 5321, 4.5.4.1), and what greylisting waits for.
    """
    end = time.monotonic() + time_s
    results = [Attempts(each) for each in converse_all(calls)]
    while again := [i for i, result in enumerate(results) if result.conversation.put_off]:
        pause = min(AGAIN_AFTER_S, end - time.monotonic())
        if pause <= 0:
            break
        time.sleep(pause)
        for i, new in zip(again, converse_all([calls[i] for i in again]), strict=True):
            refusal = results[i].conversation.refused_at
            assert refusal is not None
            results[i] = dataclasses.replace(results[i], conversation=new, put_off=(*results[i].put_off, refusal))
    return results


def deliver(call: Call, time_s: float) -> Attempts:
    """One letter of :func:`deliver_all`."""
    return deliver_all([call], time_s)[0]


def can_reach(address: str, port: int = 25) -> str:
    """Why this machine has no way at all to ``address`` (no IPv6 here); empty if it has one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
    except OSError as error:
        return f"this machine has no way to {address}: {error.strerror}"
    return ""


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:  # somebody else's loop runs in this thread
        return pool.submit(asyncio.run, work).result()


class _Ended(Exception):
    """A refusal after which nothing more can be said."""


async def _converse(call: Call) -> Conversation:
    name = call.name or call.host
    if call.tls in ("none", "opportunistic"):
        return (await _attempt(call, context(name, verify=False)))[0]
    said, stranger = await _attempt(call, context(name, call.trust.ca_file))
    if stranger is not None:
        with contextlib.suppress(ssl.SSLCertVerificationError):  # it has no certificates of its own that are known
            said, _ = await _attempt(call, await asyncio.to_thread(own_context, name, call.trust, stranger))
    return said


async def _attempt(call: Call, using: Context) -> tuple[Conversation, ssl.SSLCertVerificationError | None]:
    """What was said, and the error with which it ended if the other side is not to be trusted."""
    talk = _Talk(call, using)
    place = (call.host, call.port)
    began = time.monotonic()
    trouble, unreachable, stranger, stalled = "", False, None, False
    try:
        async with asyncio.timeout(min(call.time_s, STALLED_S) if place in _STALLED else call.time_s):
            await talk.through(min(call.time_s, SILENT_S) if place in _SILENT else call.time_s)
    except _Ended:
        pass
    except TimeoutError:
        what = "no end after" if talk.replies else "no greeting within" if talk.connected else "no connection within"
        trouble = f"{what} {time.monotonic() - began:.0f} s"
        stalled = bool(talk.replies)
        unreachable = not talk.connected
    except (aiosmtplib.SMTPException, OSError) as error:
        cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPException) else error
        stranger = cause if isinstance(cause, ssl.SSLCertVerificationError) else None
        trouble = told(stranger) if stranger else _say(error)
        unreachable = isinstance(error, OSError) and not talk.connected
    finally:
        await talk.hang_up(polite=not trouble)
    (_SILENT.discard if talk.replies else _SILENT.add)(place)
    (_STALLED.add if stalled else _STALLED.discard)(place)
    said = Conversation(
        call,
        tuple(talk.replies),
        talk.extensions,
        talk.before_tls,
        talk.encrypted,
        using.distrust if talk.encrypted else "",
        trouble,
        unreachable,
        time.monotonic() - began,
    )
    return said, stranger


def _say(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    if isinstance(error, OSError) and error.errno:
        # asyncio's own words for a connection that failed repeat the address and leave out the reason
        words = os.strerror(error.errno) if "call failed" in (error.strerror or "") else error.strerror
        return f"{errno.errorcode.get(error.errno, error.errno)}: {words}"
    return f"{type(error).__name__}: {error}"


class _Talk:
    """A conversation at work."""

    def __init__(self, call: Call, using: Context) -> None:
        self.call = call
        self.using = using
        self.replies: list[Reply] = []
        self.extensions: tuple[str, ...] = ()
        self.before_tls: tuple[str, ...] = ()
        self.encrypted = ""
        self.connected = False
        self.client: aiosmtplib.SMTP | None = None

    async def through(self, greeting_s: float) -> None:
        """The whole conversation; TimeoutError when the greeting has not come within ``greeting_s``."""
        call = self.call
        client = await asyncio.wait_for(self._connect(), greeting_s)
        await self._hello()
        if call.tls == "starttls" or (call.tls == "opportunistic" and offer(self.extensions, "STARTTLS")):
            await self._encrypt(client)
        if call.login is not None:
            await self._login(call.login)
        for question in call.questions:
            await self._say(*question.split(" "), end=False)
        if call.sender is None or call.questions:
            return
        await self._say("MAIL", f"FROM:<{call.sender}>", *self._mail_options())
        taken = 0
        for recipient in call.recipients:
            taken += (await self._say("RCPT", f"TO:<{recipient}>", end=False)).good
        if call.message is not None and taken and taken == len(call.recipients):
            await self._data(client, call.message)

    async def _connect(self) -> aiosmtplib.SMTP:
        call = self.call
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in call.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if call.source:
                sock.bind((call.source, 0))
            await loop.sock_connect(sock, (call.host, call.port))
            self.connected = True
            hello = await asyncio.to_thread(_our_name, sock.getsockname()[0])
            client = aiosmtplib.SMTP(
                hostname=call.name or call.host,
                port=None,
                sock=sock,
                local_hostname=hello,
                use_tls=call.tls == "implicit",
                start_tls=False,
                tls_context=self.using,
                timeout=call.time_s,
            )
        except BaseException:
            sock.close()
            raise
        self.client = client
        try:
            greeting = await client.connect()
        except aiosmtplib.SMTPConnectResponseError as error:
            self.replies.append(Reply("(connect)", error.code, _one_line(error.message)))
            raise _Ended from None
        self.replies.append(Reply("(connect)", greeting.code, _one_line(greeting.message)))
        self._note_tls(client)
        return client

    async def _hello(self) -> None:
        assert self.client is not None
        command = f"EHLO {self.client.local_hostname}"
        try:
            answer = await self.client.ehlo()
        except aiosmtplib.SMTPHeloError as error:
            self.replies.append(Reply(command, error.code, _one_line(error.message)))
            raise _Ended from None
        self.extensions = tuple(line.strip() for line in answer.message.splitlines()[1:])
        self.replies.append(Reply(command, answer.code, _one_line(answer.message)))

    async def _encrypt(self, client: aiosmtplib.SMTP) -> None:
        if not offer(self.extensions, "STARTTLS"):
            self.replies.append(Reply("STARTTLS", 502, "not offered (not sent)"))
            raise _Ended
        self.before_tls = self.extensions
        try:
            reply = await client.starttls(server_hostname=self.call.name or self.call.host)
        except aiosmtplib.SMTPResponseException as error:
            self.replies.append(Reply("STARTTLS", error.code, _one_line(error.message)))
            raise _Ended from None
        self.replies.append(Reply("STARTTLS", reply.code, _one_line(reply.message)))
        self._note_tls(client)
        await self._hello()

    def _note_tls(self, client: aiosmtplib.SMTP) -> None:
        tls = client.get_transport_info("ssl_object")
        if isinstance(tls, ssl.SSLObject):
            self.encrypted = tls.version() or ""

    async def _login(self, account: Account) -> None:
        # SASL PLAIN (RFC 4616): whom to act for (empty: oneself), who, password
        secret = base64.b64encode(f"\0{account.email}\0{account.password}".encode()).decode()
        await self._say("AUTH", "PLAIN", secret, shown="AUTH PLAIN")

    def _mail_options(self) -> list[str]:
        options = list(self.call.options)
        message = self.call.message
        if message is None:
            return options
        if self.call.declare_size and offer(self.extensions, "SIZE"):
            options.append(f"SIZE={len(message)}")
        if not message.isascii() and offer(self.extensions, "8BITMIME"):
            options.append("BODY=8BITMIME")
        return options

    async def _say(self, verb: str, *words: str, shown: str = "", end: bool = True) -> Reply:
        assert self.client is not None
        answer = await self.client.execute_command(*(word.encode() for word in (verb, *words)))
        reply = Reply(shown or " ".join((verb, *words)), answer.code, _one_line(answer.message))
        self.replies.append(reply)
        if end and not reply.good:
            raise _Ended
        return reply

    async def _data(self, client: aiosmtplib.SMTP, message: bytes) -> None:
        try:
            answer = await client.data(message, timeout=self.call.time_s)
        except aiosmtplib.SMTPDataError as error:
            self.replies.append(Reply("DATA", error.code, _one_line(error.message)))
            raise _Ended from None
        self.replies.append(Reply("DATA", answer.code, _one_line(answer.message)))

    async def hang_up(self, polite: bool) -> None:
        """End the connection, ``polite`` with QUIT, so that nothing of it outlives the loop."""
        client = self.client
        if client is None:
            return
        transport = client.transport
        if polite and client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit(timeout=QUIT_S)
        client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()  # close() alone would wait for the other side's end of TLS
        await asyncio.sleep(0)


def _one_line(text: str) -> str:
    return " ".join(text.split())


@functools.lru_cache
def _our_name(address: str) -> str:
    """What to say in EHLO: the name our address has in DNS, else the address itself (RFC 5321, 4.1.4)."""
    try:
        name = socket.gethostbyaddr(address)[0]
        if "." in name and any(info[4][0] == address for info in socket.getaddrinfo(name, None)):
            return name
    except OSError:
        pass  # no name: that is an answer too
    ip = ipaddress.ip_address(address)
    return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"
