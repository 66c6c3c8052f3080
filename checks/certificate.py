"""The certificate that Postfix, Dovecot and Apache share, and that nobody can log in without it."""

from __future__ import annotations

import base64
import datetime as dt
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from checks import offers
from checks.offers import Offer, ask
from mailmove.clients import smtp, tls
from mailmove.clients.account import Account
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

CHAPTER = "guide: creating a TLS encryption key and certificate"
MARGIN_DAYS = 14  # certbot renews 30 days before the end: less means that renewal does not work
RELOADED_S = 3.0  # a service that was reloaded just now, or is busy, is asked once more after so long


@dataclass(frozen=True)
class Configured:
    """The files a service is told to use."""

    service: str
    certificate: str
    key: str
    fingerprint: str
    key_is_readable: bool  # by the user nobody, really tried
    key_fits: str  # empty if the key belongs to the certificate, else what it is instead

    @property
    def lineage(self) -> str:
        """Its name in certbot's directory; empty if the file is not certbot's."""
        return self.certificate.split("/")[4] if self.certificate.startswith("/etc/letsencrypt/live/") else ""


@dataclass(frozen=True)
class Shown:
    """What a server shows on its ports and has on its disk, asked in one go."""

    server: Server
    offers: tuple[Offer, ...]  # every port that speaks TLS, at the address by which the server is reached
    served: dict[Offer, tls.Served | OSError]
    elsewhere: dict[Offer, tls.Served | OSError]  # the same over the other IP version
    configured: tuple[Configured, ...]
    renewals: dict[str, Any]
    to_move: str = ""  # the old server's name, which will lead here
    under_it: dict[Offer, tls.Served | OSError] = field(default_factory=dict)  # what is shown to who asks for that name

    @property
    def name(self) -> str:
        return self.server.setting("myhostname")

    @property
    def lineages(self) -> list[str]:
        """certbot's certificates that are in use."""
        return sorted({each.lineage for each in self.configured if each.lineage})


def look(new: Server, ca_file: Path | None, to_move: str = "") -> Shown:
    """Ask the server for its files, and each of its TLS ports for its certificate, all at once; also by the name ``to_move``."""
    chain = new.setting("smtpd_tls_chain_files").replace(",", " ").split()
    certificate = new.setting("smtpd_tls_cert_file") or (chain[-1] if chain else "")
    key = new.setting("smtpd_tls_key_file") or (chain[0] if chain else certificate)
    name = new.setting("myhostname")
    web_name = new.facts.website(name)
    answer = ask(new, *offers.QUESTIONS, "certificates", "renewals", postfix=[certificate, key], name=web_name)
    here = tuple(offer for offer in offers.of(new, answer) if offer.speaks)
    there = [replace(offer, address=address) for address in offers.other_addresses(new)[:1] for offer in here]

    # A web site has names of its own, and so has its certificate
    later = [offer for offer in here if not offer.name] if "." in to_move and to_move != name else []

    def ask_port(offer: Offer, name: str = name, *, again: bool = True) -> tls.Served | OSError:
        assert offer.speaks
        try:
            return tls.look(offer.address, offer.port, offer.speaks, offer.name or name, ca_file)
        except OSError as error:
            # Who was given all the time, or cannot be reached from here at all, says nothing else in a moment
            if not again or isinstance(error, TimeoutError) or smtp.can_reach(offer.address, offer.port):
                return error
        time.sleep(RELOADED_S)
        return ask_port(offer, name, again=False)

    with ThreadPoolExecutor(max_workers=len(here) + len(there) + len(later) or 1) as pool:
        under_it = pool.map(lambda offer: ask_port(offer, to_move), later)
        seen = dict(zip([*here, *there], pool.map(ask_port, [*here, *there]), strict=True))
        asked_for = dict(zip(later, under_it, strict=True))
    return Shown(
        new,
        here,
        {offer: seen[offer] for offer in here},
        {offer: seen[offer] for offer in there},
        tuple(Configured(*each) for each in answer["certificates"]),
        answer["renewals"],
        to_move,
        asked_for,
    )


def is_trusted(shown: Shown) -> Evidence:
    """Every service shows a certificate that mail programs trust, for the server's own name."""
    exam = Examination(
        "Mail programs trust the certificate on every service",
        "new",
        "A warning on the first morning teaches people to click warnings away.",
        f"certbot certificates shows names and dates; point Postfix, Dovecot and Apache to fullchain.pem ({CHAPTER})",
    )
    for offer, seen in shown.served.items():
        name = offer.name or shown.name
        where = _where(offer)
        if isinstance(seen, OSError):
            exam.expect(where, f"no TLS: {seen}", good=False, expected=f"a trusted certificate for {name}")
        else:
            words = _words(seen)
            exam.expect(
                where,
                f"{seen.distrust}: {words}" if seen.distrust else words,
                not seen.distrust,
                f"a trusted certificate for {name}",
            )
    return exam.close()


def lasts(shown: Shown) -> Evidence:
    """The certificate is valid for at least two weeks to come."""
    exam = Examination(
        "The certificate does not run out soon",
        "new",
        "With fewer days left, automatic renewal has failed already and nobody noticed.",
        f"certbot renew, and read /var/log/letsencrypt/letsencrypt.log when it fails ({CHAPTER})",
    )
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=MARGIN_DAYS)
    seen = [each for each in shown.served.values() if isinstance(each, tls.Served)]
    for served in {each.fingerprint: each for each in seen}.values():
        end = served.certificate.not_valid_after_utc
        days = (end - dt.datetime.now(dt.UTC)).days
        exam.expect(_words(served), f"valid until {end:%F}, {days} days", end > soon, f"at least {MARGIN_DAYS} days")
    return exam.close()


def is_the_same_everywhere(shown: Shown) -> Evidence:
    """Every service shows the same certificate, over IPv4 and IPv6, and it is the one on disk."""
    exam = Examination(
        "Every service shows the same certificate",
        "new",
        "A service that differs was not restarted after the last renewal; Apple Mail stumbles over a mixture.",
        "systemctl restart postfix dovecot apache2; if it stays, name the same files in all three",
    )
    looked = shown.served | shown.elsewhere
    served = {offer: seen for offer, seen in looked.items() if isinstance(seen, tls.Served)}
    if not served:
        return exam.close()
    # A webmail with a name of its own may have a certificate of its own
    usual = {
        name: _most([each.fingerprint for offer, each in served.items() if offer.name == name])
        for name in {offer.name for offer in served}
    }
    for offer, each in served.items():
        wanted = usual[offer.name]
        exam.expect(_where(offer), _print(each.fingerprint), each.fingerprint == wanted, f"{_print(wanted)}, as most")
    web_name = next((offer.name for offer in served if offer.port == 443), "")
    for file in shown.configured:
        wanted = usual.get(web_name if file.service == "Apache" else "", "")
        exam.expect(
            f"{file.service}'s file {file.certificate}",
            _print(file.fingerprint),
            file.fingerprint == wanted,
            f"{_print(wanted)}, as most services show",
        )
    for offer, asked in shown.under_it.items():
        # The same one is changed with all others; another one stays as it is
        if isinstance(asked, tls.Served) and asked.fingerprint != usual.get("") and asked.distrust:
            exam.expect(
                f"{_where(offer)} when it is asked for {shown.to_move}, the name that is to move",
                f"another one, not trusted: {asked.distrust}: {_words(asked)}",
                False,
                f"{_print(usual[''])}, or a trusted one (local_name in Dovecot, tls_server_sni_maps in Postfix)",
            )
    return exam.close()


def _most(fingerprints: list[str]) -> str:
    return max(fingerprints, key=fingerprints.count)


def key_is_private(shown: Shown) -> Evidence:
    """Nobody but root and the services can read the certificate's key."""
    exam = Examination(
        "The private key is private",
        "new",
        "Whoever has the key can pose as this server.",
        "chmod 600 the file named (certbot keeps /etc/letsencrypt/archive at 0700)",
    )
    for path, can in {each.key: each.key_is_readable for each in shown.configured}.items():
        exam.expect(f"read {path} as the user nobody", "can be read" if can else "refused", not can, "refused")
    return exam.close()


def key_fits(shown: Shown) -> Evidence:
    """Each service's key belongs to its certificate, on the disk: what it will read at its next start."""
    exam = Examination(
        "The key belongs to the certificate",
        "new",
        "Services go on with what they read at their start; with the wrong key beside it they do not start again.",
        "put certificate and key of the same issue beside each other: for certbot's, the links in "
        "/etc/letsencrypt/live/NAME must all lead to the same number in ../../archive/NAME",
    )
    for certificate, key, what in {(each.certificate, each.key, each.key_fits) for each in shown.configured}:
        exam.expect(f"{key} and {certificate}", what or "belong together", not what, "a key and its certificate")
    return exam.close()


def is_renewed(shown: Shown) -> Evidence:
    """Renewal is set up: a timer, a lineage for the certificate in use, and a hook that tells all three services."""
    exam = Examination(
        "The certificate is renewed by itself",
        "new",
        "It runs out every 90 days; a service that is not told of the new one goes on showing the old one.",
        "systemctl enable --now certbot.timer, and in /etc/letsencrypt/cli.ini: "
        f"post-hook = systemctl restart postfix dovecot apache2 ({CHAPTER})",
    )
    lineages = shown.lineages
    if not lineages:
        return exam.not_applicable(_not_certbots(shown))
    answer = shown.renewals
    timer = answer["timer"]
    state = f"{timer.get('ActiveState', 'unknown')}, {timer.get('UnitFileState', 'unknown')}"
    good = timer.get("ActiveState") == "active" and timer.get("UnitFileState") == "enabled"
    exam.expect("certbot.timer", f"{state}; next run {answer['next'] or 'never'}", good, "active, enabled")
    for name in lineages:
        settings: str = answer["lineages"].get(name, "")
        method = re.search(r"(?m)^authenticator\s*=\s*(\S+)", settings)
        exam.expect(
            f"renewal of {name}",
            f"by {method[1]}" if method else "no renewal file names a method",
            bool(method),
            "a renewal file",
        )
    inside = "\n".join(
        line
        for name in lineages
        for line in answer["lineages"].get(name, "").splitlines()
        if re.match(r"\s*(post|deploy|renew)_hook|installer", line)
    )
    hooks = [f"{path}: {text}" for path, text in answer["hooks"]] + ([inside] if inside else [])
    said = "\n".join(hooks)
    for service in dict.fromkeys(each.service for each in shown.configured):
        unit = {"Postfix": "postfix", "Dovecot": "dovecot", "Apache": "apache2"}[service]
        exam.expect(
            f"hook that tells {service}",
            next((each for each in hooks if unit in each), "none"),
            tells(said, unit),
            f"systemctl restart or reload … {unit}",
        )
    return exam.close()


def renewal_succeeds(shown: Shown, old: Server) -> Evidence:
    """The renewal is rehearsed with certbot's own ``--dry-run``, in a copy of its directory and without hooks."""
    exam = Examination(
        "A renewal would succeed today",
        "new",
        "A renewal that fails is noticed when the certificate has run out.",
        "certbot renew --dry-run on the new server says the same; most often the web root is not where it was, "
        f"port 80 is closed, or the name leads elsewhere ({CHAPTER})",
        required=False,
    )
    if not shown.lineages:
        return exam.not_applicable(_not_certbots(shown))
    theirs = {old.address, *old.facts.addresses}
    names = {name for each in shown.served.values() if isinstance(each, tls.Served) for name in names_in(each)}
    if away := sorted(name for name in names if (found := _addresses(name)) and found <= theirs):
        return exam.not_applicable(f"{', '.join(away)} leads to the old server until DNS is switched")
    try:
        rehearsals = list(shown.server.remote("renewal", {"lineages": shown.lineages}, timeout_s=300))
    except ServerError as error:
        exam.unknown("certbot renew --dry-run", error.fact)
        return exam.close()
    tried = [each for each in rehearsals if each["status"] is not None]
    for each in tried:
        good = each["status"] == 0
        words = f"succeeded in {each['seconds']:.1f} s" if good else why_not(each["said"])
        exam.expect(f"certbot renew --dry-run --cert-name {each['lineage']}", words, good, "success")
    if not tried:
        methods = ", ".join(sorted({each["method"] for each in rehearsals}))
        return exam.not_applicable(f"renewal by {methods} is not rehearsed: it would change something meanwhile")
    return exam.close()


def why_not(said: str) -> str:
    """What certbot said of a renewal that failed, without its frame."""
    lines = [line.strip() for line in said.splitlines() if re.search(r"\w", line)]
    frame = re.compile(
        r"Saving debug log|^Processing |^Simulating |^All simulated|\(failure\)$|^Ask for help|^\d+ renew fail"
    )
    return "\n".join(line for line in lines if not frame.search(line)) or "it failed without a word"


def names_in(served: tls.Served) -> list[str]:
    """The host names a certificate is for."""
    return tls.names_of(served.certificate)


def _addresses(name: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, 80, proto=socket.IPPROTO_TCP)}
    except OSError:
        return set()


def _not_certbots(shown: Shown) -> str:
    used = ", ".join(sorted({each.certificate for each in shown.configured})) or "none is configured"
    return f"the certificate is not certbot's ({used}): whoever issued it renews it"


def tells(hooks: str, unit: str) -> bool:
    """Whether hooks restart or reload a unit, in any usual way of saying it."""
    verb = r"(?:restart|reload|reload-or-restart|force-reload|try-restart)"
    words = rf"\b{verb}\b[^\n;&|]*\b{unit}\b|\b{unit}(?:\.service)?\s+{verb}\b|\bdoveadm reload\b"
    if unit != "dovecot":
        words = words.rpartition("|")[0]
    if unit == "apache2":
        words += r"|\bapache(?:2)?ctl\s+(?:graceful|restart)|^\s*installer\s*=\s*apache"
    return re.search(words, hooks, re.M) is not None


def outdated_protocols_are_refused(shown: Shown) -> list[Evidence]:
    """TLS 1.0 and 1.1 are refused where people log in; between mail servers they are at least reported."""
    people = Examination(
        "Outdated encryption is refused where people read their mail",
        "new",
        "TLS 1.0 and 1.1 are broken and forbidden (RFC 8996); a password must not travel under them.",
        "Dovecot: ssl_min_protocol = TLSv1.2; Apache: SSLProtocol all -SSLv3 -TLSv1 -TLSv1.1",
    )
    servers = Examination(
        "Outdated encryption is refused by Postfix too",
        "new",
        "The guide leaves Postfix' default, which still accepts TLS 1.1 from those who insist.",
        "postconf smtpd_tls_mandatory_protocols='>=TLSv1.2' (that is submission)",
        required=False,
    )

    for offer, answer in _spoken(shown, tls.speaks_old_protocols):
        exam = servers if offer.port in (25, 465, 587) else people
        if isinstance(answer, OSError):
            exam.unknown(_where(offer), str(answer))
        else:
            exam.expect(_where(offer), f"agrees to {answer}" if answer else "refused", not answer, "refused")
    return [people.close(), servers.close()]


def tls_12_is_taken(shown: Shown) -> Evidence:
    """Programs and servers that know nothing newer than TLS 1.2 are let in everywhere."""
    exam = Examination(
        "TLS 1.2 is spoken everywhere",
        "new",
        "Many programs and mail servers know nothing newer: who can read and send mail today could no longer.",
        "Dovecot: ssl_min_protocol = TLSv1.2; postconf -e 'smtpd_tls_protocols=>=TLSv1' 'smtpd_tls_mandatory_protocols=>=TLSv1.2'; "
        "Apache: SSLProtocol all -SSLv3 -TLSv1 -TLSv1.1; do the ciphers (ssl_cipher_list, tls_high_cipherlist, SSLCipherSuite) fit "
        "the certificate's key?",
    )

    for offer, answer in _spoken(shown, tls.speaks_tls_12):
        if isinstance(answer, OSError):
            exam.unknown(_where(offer), str(answer))
        else:
            exam.expect(_where(offer), answer or "spoken", not answer, "spoken")
    return exam.close()


def _spoken(shown: Shown, speak: Callable[[str, int, tls.Dialogue, str], str]) -> Iterator[tuple[Offer, str | OSError]]:
    """Each of its TLS ports with what it answers to such a client; all are asked at once."""

    def one(offer: Offer) -> str | OSError:
        assert offer.speaks
        try:
            return speak(offer.address, offer.port, offer.speaks, offer.name or shown.name)
        except OSError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(shown.offers) or 1) as pool:
        yield from zip(shown.offers, pool.map(one, shown.offers), strict=True)


def no_login_before_tls(shown: Shown, account: Account) -> Evidence:
    """Nobody can log in, nor is asked to, before the connection is encrypted; tried with a right password.

    It is sent in the clear: ``account`` must be an exposed one.
    """
    exam = Examination(
        "Nobody can log in without encryption",
        "new",
        "A password that travels in the clear belongs to everybody between.",
        "Dovecot: ssl = required and disable_plaintext_auth = yes (Debian 13: auth_allow_cleartext = no), and nobody in "
        "login_trusted_networks; "
        "Postfix: smtpd_tls_auth_only = yes (guide: relaying; setting up Dovecot)",
    )
    wanted = [offer for offer in shown.offers if offer.speaks != "implicit"]
    with ThreadPoolExecutor(max_workers=len(wanted) or 1) as pool:
        answers = list(pool.map(lambda offer: login_before_tls(offer, account), wanted))
    for offer, answer in zip(wanted, answers, strict=True):
        where = f"{offer.what} (port {offer.port})"
        if isinstance(answer, OSError):
            exam.unknown(where, str(answer))
            continue
        offered = ", ".join(answer.invitations)
        exam.expect(f"{where}: login offered before TLS", offered or "no", not offered, "no")
        exam.expect(f"{where}: login with a right password before TLS", answer.said, not answer.let_in, "refused")
    return exam.close()


@dataclass(frozen=True)
class PlainLogin:
    """A login without TLS: the ways that were offered, what was said to it, and whether it was taken."""

    invitations: list[str]
    said: str
    let_in: bool


def login_before_tls(offer: Offer, account: Account) -> PlainLogin | OSError:
    """Try to log in without TLS. ``account`` must be an exposed one (ValueError)."""
    assert offer.speaks
    if not account.exposed:
        raise ValueError(f"the password of {account.email} is not for whoever answers")
    token = base64.b64encode(f"\0{account.email}\0{account.password}".encode()).decode()
    commands, welcome = {
        "smtp": ([f"AUTH PLAIN {token}"], "235"),
        "imap": ([f'l LOGIN "{account.email}" "{account.password}"'], "l OK"),
        "pop3": ([f"USER {account.email}", f"PASS {account.password}"], "+OK"),
        "sieve": ([f'AUTHENTICATE "PLAIN" "{token}"'], "OK"),
    }[offer.speaks]
    try:
        with tls.Plain(offer.address, offer.port) as connection:
            invitations = logins_offered(tls.before_tls(connection, offer.speaks))
            said = ""
            for command in commands:
                connection.send(command.encode())
                said = connection.line().decode("utf-8", "replace")
                while said.startswith("* "):  # IMAP says other things in between
                    said = connection.line().decode("utf-8", "replace")
                if not said.startswith(welcome) and command != commands[-1]:
                    break
            return PlainLogin(invitations, said, said.startswith(welcome))
    except OSError as error:
        return error


def logins_offered(capabilities: list[str]) -> list[str]:
    """The ways of login among a server's capabilities, upper-cased; an empty SASL list is none."""
    found = []
    for line in capabilities:
        words = line.replace('"', " ").split()
        if not words:
            continue
        head = words[0].replace("AUTH=", "AUTH ").split()
        # USER is POP3's own login
        if (head[0] in ("AUTH", "SASL") and len(words) + len(head) > 2) or head[0] == "USER":
            found.append(line)
    return found


def _where(offer: Offer) -> str:
    return f"{offer.what} ({offer.address} port {offer.port})"


def _print(fingerprint: str) -> str:
    return f"SHA-256 {fingerprint[:16]}…" if re.fullmatch("[0-9a-f]{64}", fingerprint) else fingerprint


def _words(served: tls.Served) -> str:
    """Whom a certificate is for and who says so."""
    holder = ", ".join(names_in(served)) or served.certificate.subject.rfc4514_string()
    return f"for {holder}, issued by {served.certificate.issuer.rfc4514_string()}"
