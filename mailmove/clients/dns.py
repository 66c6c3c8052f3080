"""Asking DNS as its own servers and as everybody's resolver see it, and changing it (RFC 2136, signed with TSIG).

Names come and go without the final dot, in lower case, as DNS spells them (``xn--…``); values as a zone file has them.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import socket
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.reversename
import dns.rrset
import dns.tsig
import dns.update
from dns.rdtypes.ANY.TXT import TXT

from mailmove.errors import MailmoveError, SettingsError
from mailmove.migration import Dns as DnsSettings

TIMEOUT_S = 2.0  # for one packet and its answer
TRIES = 2  # a lost packet is no missing server
SILENT_S = 10.0  # for so long a server that gave no answer is asked only once
UPDATE_TIME_S = 15.0
_AT_ONCE = 16  # questions in flight

Question = tuple[str, str]
"""A name and a type."""

T = TypeVar("T")
R = TypeVar("R")


class UpdateOutdated(MailmoveError):
    """The zone does not hold what the update was made for; nothing was changed (RFC 2136, 3.2)."""


class UpdateRefused(MailmoveError):
    """No server of the zone takes updates signed with our key; nothing was changed."""


@dataclass(frozen=True)
class Records:
    """All records of one name and type. Values are sorted, and as in a zone file; of TXT the text itself."""

    name: str
    kind: str
    ttl: int
    values: tuple[str, ...]


class Exchanger(NamedTuple):
    """One MX record. ``host`` is empty for the null MX (RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True)
class Reply:
    """What one server said. ``no answer`` (timeout, refused, not responsible) tells nothing about the records."""

    server: str
    name: str
    kind: str
    state: Literal["found", "no record", "no name", "no answer"]
    records: Records | None = None
    detail: str = ""

    @property
    def told(self) -> bool:
        return self.state != "no answer"

    @property
    def values(self) -> tuple[str, ...]:
        return self.records.values if self.records else ()

    @property
    def words(self) -> str:
        """The answer for a person."""
        if self.records:
            return f"{', '.join(self.values)} (TTL {self.records.ttl} s)"
        return {"no record": "no such record", "no name": "no such name"}.get(self.state, self.detail or "no answer")


@dataclass(frozen=True)
class NameServer:
    """One authoritative server of a zone."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Zone:
    """A zone, its authoritative servers, and the primary: the one its SOA record names."""

    name: str
    servers: tuple[NameServer, ...]
    primary: NameServer


@dataclass(frozen=True)
class Change:
    """One set of records to be replaced. ``before`` and ``after`` may be empty: no such records."""

    zone: str
    name: str
    kind: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    ttl: int

    @property
    def back(self) -> Change:
        """The way back."""
        return Change(self.zone, self.name, self.kind, self.after, self.before, self.ttl)

    @property
    def lines(self) -> list[str]:
        """What has to stand in the zone file afterwards, in BIND's form."""
        if not self.after:
            return [f"; {self.name}. has no {self.kind} record any more: delete {', '.join(self.before)}"]
        return [f"{self.name}. {self.ttl} IN {self.kind} {value}" for value in self.after]


@dataclass(frozen=True)
class UpdateKey:
    """The TSIG key that signs updates (RFC 8945)."""

    name: str
    algorithm: str
    secret: bytes = field(repr=False)


def load_key(settings: DnsSettings, directory: Path) -> UpdateKey:
    """The key ``dns.tsig_*`` name. The file holds the secret in base64, or is a key file of BIND's tsig-keygen.

    A relative file name counts from ``directory``. Raises SettingsError: no such file, readable by others, no secret.
    """
    assert settings.tsig_secret_file is not None
    path = directory / settings.tsig_secret_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"the TSIG key {path} cannot be read: {reason}", "correct dns.tsig_secret_file in mailmove.toml"
        ) from None
    if mode & 0o077:
        raise SettingsError(f"the TSIG key {path} is open to others (mode {mode:04o})", f"chmod 600 {path}")
    return UpdateKey(_plain(name_of(settings.tsig_name)), settings.tsig_algorithm, parse_secret(text, path))


def parse_secret(text: str, path: Path) -> bytes:
    """The secret in a key file: base64 alone, or the ``secret "…";`` of a BIND key clause."""
    found = re.search(r'secret\s+"([^"]*)"', text)
    try:
        secret = base64.b64decode((found[1] if found else "".join(text.split())).encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret:
        raise SettingsError(
            f"there is no TSIG secret in {path}", "put the base64 secret there, or the whole output of tsig-keygen"
        )
    return secret


def name_of(text: str) -> dns.name.Name:
    """An absolute DNS name. Raises MailmoveError when the text can be none (too long, an empty label)."""
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise MailmoveError(
            f"{text!r} can be no name in DNS: {error}",
            "correct it where it comes from: the domains of the mail database",
        ) from None


def exchangers(values: Iterable[str]) -> list[Exchanger]:
    """MX values (``10 mail.example.org.``), the preferred one first."""
    found = []
    for value in values:
        preference, _, host = value.partition(" ")
        found.append(Exchanger(int(preference), host.rstrip(".").lower()))
    return sorted(found)


def reverse_name(address: str) -> str:
    """The name under which an address's PTR record stands."""
    return _plain(dns.reversename.from_address(address))


def printable(text: str) -> str:
    """Text from DNS, with control characters made visible: strangers write it, terminals obey it."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


class Dns:
    """Questions to the resolver and to the authoritative servers. Safe to use from several threads."""

    def __init__(self, resolver: str = "", timeout_s: float = TIMEOUT_S) -> None:
        """``resolver`` is an IP address; empty for the system's own.

        Raises SettingsError when there is none, or when the address is none.
        """
        self.timeout_s = timeout_s
        try:
            self._resolver = dns.resolver.Resolver(configure=not resolver)
            if resolver:
                self._resolver.nameservers = [resolver]
        except (dns.resolver.NoResolverConfiguration, ValueError) as error:
            raise SettingsError(
                f"no DNS resolver can be asked: {error}", "set dns.resolver in mailmove.toml to its IP address"
            ) from None
        self._resolver.timeout = timeout_s
        self._resolver.lifetime = timeout_s * 3
        self.resolver_name = "resolver " + ", ".join(str(n) for n in self._resolver.nameservers)
        self._zones: dict[str, Zone | None] = {}
        self._silent: dict[str, float] = {}  # address -> when it last gave no answer

    def resolve(self, name: str, kind: str) -> Reply:
        """What the caching resolver says; the TTL is what remains of it."""
        who = self.resolver_name
        try:
            answer = self._resolver.resolve(name_of(name), kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return Reply(who, name, kind, "no name")
        except dns.exception.DNSException as error:
            return Reply(who, name, kind, "no answer", detail=printable(str(error)))
        if answer.rrset is None:
            return Reply(who, name, kind, "no record")
        return Reply(who, name, kind, "found", _records(name, answer.rrset))

    def resolve_all(self, questions: Iterable[Question]) -> dict[Question, Reply]:
        """Many questions to the caching resolver at once."""
        asked = list(dict.fromkeys(questions))
        return dict(zip(asked, _together(lambda q: self.resolve(*q), asked), strict=True))

    def zone_of(self, name: str) -> Zone | None:
        """The zone a name stands in, with all its authoritative servers; None if only the root would know it.

        Raises MailmoveError when the resolver cannot tell.
        """
        if name not in self._zones:
            try:
                found = dns.resolver.zone_for_name(name_of(name), resolver=self._resolver)
            except (dns.exception.DNSException, dns.resolver.NoRootSOA) as error:
                raise MailmoveError(
                    f"the zone of {name} cannot be found: {printable(str(error))}",
                    f"try it by hand: dig +trace {name} soa; is {self.resolver_name} the right one to ask?",
                ) from None
            self._zones[name] = self._zone(_plain(found)) if found != dns.name.root else None
        return self._zones[name]

    @functools.cache  # noqa: B019 - lives as long as the run
    def _zone(self, zone: str) -> Zone:
        names, soa = (self.resolve(zone, kind) for kind in ("NS", "SOA"))
        if not names.values or not soa.values:
            bad = soa if names.values else names
            raise MailmoveError(
                f"the name servers of {zone} cannot be found: {bad.words}",
                f"try it by hand: dig {zone} {bad.kind.lower()}",
            )
        primary = soa.values[0].split()[0].rstrip(".").lower()
        hosts = [value.rstrip(".").lower() for value in names.values]
        found = self.resolve_all((host, kind) for host in {*hosts, primary} for kind in ("A", "AAAA"))
        servers = {h: NameServer(h, found[h, "A"].values + found[h, "AAAA"].values) for h in {*hosts, primary}}
        return Zone(zone, tuple(servers[h] for h in sorted(hosts)), servers[primary])

    def ask(self, server: NameServer, name: str, kind: str) -> Reply:
        """What one authoritative server says itself: no recursion, and only an authoritative answer counts."""
        problem = f"{server.name} has no address"
        query = dns.message.make_query(name_of(name), kind, flags=0, use_edns=0, payload=1232)
        for address in server.addresses:
            who = f"{server.name} [{address}]"
            # One that was silent a moment ago is asked once: a dead server must not make every question slow.
            dead = time.monotonic() - self._silent.get(address, -SILENT_S) < SILENT_S
            for _ in range(1 if dead else TRIES):
                try:
                    response, _tcp = dns.query.udp_with_fallback(query, address, timeout=self.timeout_s)
                except (dns.exception.DNSException, OSError, EOFError) as error:
                    problem = _say(error, self.timeout_s)
                    self._silent[address] = time.monotonic()
                    if isinstance(error, OSError):
                        break  # no route: asking again does not help
                    continue
                self._silent.pop(address, None)
                return _reply(who, name, kind, response)
        return Reply(server.name, name, kind, "no answer", detail=problem)

    def everywhere(self, questions: Iterable[Question]) -> dict[Question, list[Reply]]:
        """What every authoritative server says, asked directly and all at once."""
        asked = list(dict.fromkeys(questions))
        servers = dict(zip(asked, _together(lambda q: self._servers(*q), asked), strict=True))
        tasks = [(q, server) for q in asked for server in servers[q] if isinstance(server, NameServer)]
        replies = _together(lambda task: self.ask(task[1], *task[0]), tasks)
        result: dict[Question, list[Reply]] = {q: [r for r in servers[q] if isinstance(r, Reply)] for q in asked}
        for (question, _), reply in zip(tasks, replies, strict=True):
            result[question].append(reply)
        return result

    def _servers(self, name: str, kind: str) -> Sequence[NameServer | Reply]:
        """The servers to ask, or the one reply that says why there are none."""
        try:
            zone = self.zone_of(name)
        except MailmoveError as error:
            return [Reply("", name, kind, "no answer", detail=error.fact)]
        return zone.servers if zone else [Reply("root", name, kind, "no name")]

    def current(self, questions: Iterable[Question]) -> dict[Question, Reply]:
        """What stands in the zones now: the primary's word, else another authoritative server's, never a cache's."""
        asked = list(dict.fromkeys(questions))
        return dict(zip(asked, _together(lambda q: self._current(*q), asked), strict=True))

    def _current(self, name: str, kind: str) -> Reply:
        try:
            zone = self.zone_of(name)
        except MailmoveError as error:
            return Reply("", name, kind, "no answer", detail=error.fact)
        if zone is None:
            return Reply("root", name, kind, "no name")
        reply = None
        # A hidden primary is not among the NS records, and may not answer everybody.
        public = sorted(zone.servers, key=lambda s: s.name != zone.primary.name)
        for server in public:
            reply = self.ask(server, name, kind)
            if reply.told:
                return reply
        return reply or Reply(zone.name, name, kind, "no answer", detail=f"{zone.name} has no name servers")

    def known(self, questions: Iterable[Question]) -> dict[Question, Reply]:
        """What stands in the zones now, aliases followed; the resolver's word where their servers do not tell."""
        found = self.current(questions)
        again = [q for q, reply in found.items() if reply.state in ("no record", "no answer")]
        return {**found, **self.resolve_all(again)}

    def update(self, zone: Zone, changes: Sequence[Change], key: UpdateKey) -> str:
        """Make the changes, all or none, if the zone still holds every ``before``; returns which server took them.

        Raises UpdateOutdated when it does not, UpdateRefused when no server of the zone takes it,
        SettingsError when the key is wrong, MailmoveError when it cannot be told whether it was taken.
        """
        message = _update(zone, key)
        for change in changes:
            name = name_of(change.name)
            if change.before:
                message.present(name, change.kind, *change.before)
            else:
                message.absent(name, change.kind)
            if change.after:
                message.replace(name, change.ttl, change.kind, *change.after)
            else:
                message.delete(name, change.kind)
        return self._send(zone, message, [f"{c.name} {c.kind}" for c in changes])

    def would_take(self, zone: Zone, records: Sequence[Records], key: UpdateKey) -> str:
        """Try whether the zone takes our updates of these records, changing nothing; returns which server does.

        Deletes from each a value that is not in it: the server looks at key and permission, and finds nothing to do.
        """
        nothing = {"MX": "65535 not-there.mailmove.invalid.", "A": "0.0.0.0", "AAAA": "::"}  # noqa: S104
        message = _update(zone, key)
        for each in records:
            name = name_of(each.name)
            message.present(name, each.kind, *each.values)
            message.delete(name, each.kind, nothing[each.kind])
        return self._send(zone, message, [f"{r.name} {r.kind}" for r in records])

    def _send(self, zone: Zone, message: dns.update.UpdateMessage, what: list[str]) -> str:
        refusals = []
        key_name = _plain(message.keyname) if message.keyname else "key"
        servers = [zone.primary, *(s for s in zone.servers if s.name != zone.primary.name)]
        for server in servers:
            for address in server.addresses:
                who = f"{server.name} [{address}]"
                try:
                    # TCP: a datagram that is sent again could be taken twice. Connecting alone is given little time.
                    with socket.create_connection((address, 53), TIMEOUT_S * TRIES) as connected:
                        connected.setblocking(False)
                        response = dns.query.tcp(message, address, timeout=UPDATE_TIME_S, sock=connected)
                except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.message.UnknownTSIGKey) as error:
                    if server.name != zone.primary.name:  # a secondary need not know the key
                        refusals.append(f"{who}: does not know the key ({type(error).__name__})")
                        continue
                    if not isinstance(error, dns.tsig.PeerBadTime):
                        raise SettingsError(
                            f"{who} refuses the update of {zone.name}: it knows no such TSIG key as our "
                            f"{key_name} ({type(error).__name__})",
                            "compare dns.tsig_name, tsig_algorithm and the secret with the name server's key",
                        ) from None
                    raise SettingsError(
                        f"{who} refuses the update of {zone.name}: the clocks differ (BADTIME)",
                        "set this machine's clock (timedatectl) and the name server's",
                    ) from None
                except OSError as error:
                    refusals.append(f"{who}: {_say(error, UPDATE_TIME_S)}")
                    continue  # not connected, or cut off: what is asked of the next one holds only once
                except dns.exception.Timeout:
                    raise MailmoveError(
                        f"{who} did not answer the update of {zone.name} within {UPDATE_TIME_S:.0f} s: "
                        "whether it was made is not known",
                        "run it again: it looks first at what stands in the zone now",
                    ) from None
                except (dns.exception.DNSException, EOFError) as error:
                    refusals.append(f"{who}: {_say(error, UPDATE_TIME_S)}")
                    continue
                code = response.rcode()
                if code == dns.rcode.NOERROR:
                    return who
                if code in (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN):
                    raise UpdateOutdated(
                        f"{who}: the zone {zone.name} no longer holds what was read ({dns.rcode.to_text(code)}) "
                        f"for {', '.join(what)}",
                        "somebody changed it meanwhile; look at the zone, then run it again",
                    )
                refusals.append(f"{who}: {dns.rcode.to_text(code)}")
        raise UpdateRefused(
            f"no server of the zone {zone.name} takes the update of {', '.join(what)}: " + "; ".join(refusals),
            "allow the key at the primary (BIND: update-policy or allow-update), "
            'or set dns.update = "manual" in mailmove.toml',
        )


@functools.lru_cache(maxsize=8)
def client(resolver: str = "") -> Dns:
    """The one client of a run for this resolver (an IP address; empty: the system's): it remembers zones."""
    return Dns(resolver)


def _update(zone: Zone, key: UpdateKey) -> dns.update.UpdateMessage:
    keyring = dns.tsig.Key(name_of(key.name), key.secret, name_of(key.algorithm))
    return dns.update.UpdateMessage(name_of(zone.name), keyring=keyring)


def _reply(who: str, name: str, kind: str, response: dns.message.Message) -> Reply:
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Reply(who, name, kind, "no answer", detail=f"{dns.rcode.to_text(code)} from {who}")
    if not response.flags & dns.flags.AA:
        return Reply(who, name, kind, "no answer", detail=f"{who} is not responsible for it (no authoritative answer)")
    if code == dns.rcode.NXDOMAIN:
        return Reply(who, name, kind, "no name")
    wanted = dns.rdatatype.from_text(kind)
    found = response.get_rrset(response.answer, name_of(name), dns.rdataclass.IN, wanted)
    if found is None:
        return Reply(who, name, kind, "no record")
    return Reply(who, name, kind, "found", _records(name, found))


def _records(name: str, found: dns.rrset.RRset) -> Records:
    kind = dns.rdatatype.to_text(found.rdtype)
    return Records(name.rstrip(".").lower(), kind, found.ttl, tuple(sorted(_value(rdata) for rdata in found)))


def _value(rdata: dns.rdata.Rdata) -> str:
    if isinstance(rdata, TXT):
        return printable(b"".join(rdata.strings).decode("utf-8", "backslashreplace"))
    return rdata.to_text().lower()


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _say(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, dns.exception.Timeout):
        return f"no answer within {timeout_s:g} s"
    return printable(str(error) or type(error).__name__)


def _together(ask: Callable[[T], R], items: Sequence[T]) -> list[R]:
    if not items:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        return list(pool.map(ask, items))
