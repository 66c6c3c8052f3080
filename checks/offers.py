"""What a server offers to the world, by its own configuration: which ports, spoken how."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from mailmove.clients.tls import Dialogue
from mailmove.server import Server


@dataclass(frozen=True)
class Offer:
    """A port meant for others. ``speaks`` is how TLS begins there; None where there is none (plain HTTP)."""

    port: int
    what: str
    speaks: Dialogue | None
    address: str  # where it is asked: an address of the server
    name: str = ""  # the name by which it is asked for, if that is not the mail server's own


@dataclass(frozen=True)
class Listener:
    """A TCP socket somebody listens on."""

    address: str  # "*" and "0.0.0.0" and "::" are all addresses
    port: int
    program: str

    @property
    def is_local(self) -> bool:
        """Whether only the machine itself can reach it."""
        if self.address == "*":
            return False
        return ipaddress.ip_address(self.address).is_loopback


def ask(server: Server, *questions: str, **arguments: Any) -> dict[str, Any]:
    """The answers of ``remote/machine.py`` to some of its questions, in one go."""
    (answer,) = server.remote("machine", {"ask": list(questions), **arguments})
    return answer


def listeners(raw: list[list[Any]]) -> list[Listener]:
    """Listeners as ``remote/machine.py`` reports them."""
    return [Listener(str(address), int(port), str(program)) for address, port, program in raw]


def offered(server: Server) -> list[Offer]:
    """What the server means to offer to others at :attr:`Server.address`, running or not.

    What begins without TLS and listens on the loopback only is meant for the webmail: ManageSieve in Debian 13's
    edition, IMAP where only its TLS port is for people.
    """
    return of(server, ask(server, *QUESTIONS))


QUESTIONS = ("listeners", "dovecot_ports")


def of(server: Server, said: dict[str, Any]) -> list[Offer]:
    """The offers by the server's answers to QUESTIONS."""
    return _offers(server, said["dovecot_ports"], listeners(said["listeners"]))


def _offers(server: Server, ports: dict[str, int], open_: list[Listener]) -> list[Offer]:
    facts = server.facts
    smtp = {service.partition("/")[0] for service in facts.services if service.endswith("/inet")}
    found: list[tuple[int, str, Dialogue | None]] = [(25, "SMTP", "smtp"), (587, "submission", "smtp")]
    if facts.debian >= 13 or smtp & {"465", "smtps", "submissions"}:
        found.append((465, "submission with TLS", "implicit"))
    dovecot: list[tuple[str, str, int, str, Dialogue]] = [
        ("imap", "imap", 143, "IMAP", "imap"),
        ("imap", "imaps", 993, "IMAP with TLS", "implicit"),
        ("pop3", "pop3", 110, "POP3", "pop3"),
        ("pop3", "pop3s", 995, "POP3 with TLS", "implicit"),
        ("sieve", "sieve", 4190, "ManageSieve", "sieve"),
    ]
    for protocol, listener, usual, what, speaks in dovecot:
        port = ports.get(listener, -1)
        if protocol not in facts.protocols or port == 0:
            continue
        found.append((port if port > 0 else usual, what, speaks))
    if "apache2" in facts.packages:
        found += [(80, "HTTP", None), (443, "HTTPS", "implicit")]
    inside = {each.port for each in open_} - {each.port for each in open_ if not each.is_local}
    local = inside & {port for port, _, speaks in found if speaks in ("imap", "pop3", "sieve")}
    mail_name = server.setting("myhostname")
    web_name = facts.website(mail_name)
    names = {80: web_name, 443: web_name} if web_name != mail_name else {}
    return [
        Offer(port, what, speaks, server.address, names.get(port, ""))
        for port, what, speaks in found
        if port not in local
    ]


def other_addresses(server: Server) -> list[str]:
    """Global addresses of the server of the other IP version than the one it is reached by."""
    version = ipaddress.ip_address(server.address).version
    found = []
    for text in server.facts.addresses:
        address = ipaddress.ip_address(text)
        private = address.version == 6 and address in ipaddress.ip_network("fc00::/7")
        if address.version != version and not address.is_link_local and not private:
            found.append(text)
    return found
