"""What domains publish beyond the way of their mail, and whether it is kept: before the switch, and after it."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from checks.dns import lookup_after_switch
from checks.outside import Outside, expect
from mailmove import routing
from mailmove.clients import smtp, spf, tags, tls, web
from mailmove.clients.dns import Reply, exchangers
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.migration import Migration
from mailmove.postfix import expanding
from mailmove.routing import Survey, dns_of

CHAPTER = "guide: Setting DNS records"
MANDATORY = ("postmaster", "abuse")  # RFC 5321, 4.5.1; RFC 2142

SERVICES: dict[str, tls.Dialogue] = {
    "_imaps._tcp": "implicit",
    "_imap._tcp": "imap",
    "_pop3s._tcp": "implicit",
    "_pop3._tcp": "pop3",
    "_submissions._tcp": "implicit",
    "_submission._tcp": "smtp",
    "_sieve._tcp": "sieve",
}
"""Where mail programs look for the servers (RFC 6186, RFC 8314, RFC 5804), and how TLS begins there."""

_AUTOCONFIG = "/mail/config-v1.1.xml"
_KNOWN_CAS = {"https://acme-v02.api.letsencrypt.org/directory": ("letsencrypt.org",)}


@dataclass(frozen=True)
class _Seen:
    """The domains in DNS, and what their records are after the switch."""

    migration: Migration
    survey: Survey
    after: spf.Lookup

    @property
    def domains(self) -> list[str]:
        return [route.reply.name for route in self.survey.routes if route.reply.state == "found"]

    def exchangers(self, domain: str) -> tuple[list[str], list[str]]:
        """The hosts its MX name now, and after the switch."""
        now = next(route.reply.values for route in self.survey.routes if route.reply.name == domain)
        later = self.after(domain, "MX")
        return [each.host for each in exchangers(now)], [each.host for each in exchangers(later)]

    def addresses(self, host: str) -> list[str]:
        """Where a name leads now."""
        found = dns_of(self.migration).known((host, kind) for kind in ("A", "AAAA"))
        return [value for reply in found.values() for value in reply.values]


def _look(migration: Migration, exam: Examination) -> _Seen | None:
    try:
        survey = routing.survey(migration)
        return _Seen(migration, survey, lookup_after_switch(migration, survey))
    except MailmoveError as error:
        exam.unknown("the records of the domains, now and after the switch", error.fact)
        return None


def _texts(exam: Examination, seen: _Seen, label: str, begins: str) -> dict[str, str]:
    """domain -> the one TXT record at ``label`` below it; what is there twice or not told is written down."""
    names = {f"{label}.{domain}": domain for domain in seen.domains}
    found = {}
    for (name, _), reply in dns_of(seen.migration).current((name, "TXT") for name in names).items():
        if not reply.told:
            exam.unknown(f"TXT of {name}", reply.words)
        texts = [value for value in reply.values if value.startswith(begins)]
        if len(texts) > 1:
            exam.expect(f"TXT of {name}", f"{len(texts)} records", False, "one")
        elif texts:
            found[names[name]] = texts[0]
    return found


def _closed(exam: Examination, nothing: str) -> Evidence:
    evidence = exam.close()
    return evidence if evidence.findings else exam.not_applicable(nothing)


def promises_to_encrypt_are_kept(migration: Migration) -> Evidence:
    """Whoever publishes MTA-STS has a policy that can be fetched, and that names the servers of before and after."""
    exam = Examination(
        "the MTA-STS policy names the mail servers of now and of after the switch",
        "DNS",
        why="senders that hold on to the policy deliver nothing to a server that it does not name (RFC 8461)",
        hint="add an mx: line with the new server's name to the policy and change id= in the record, days before the "
        "switch: senders remember the policy for max_age seconds",
    )
    seen = _look(migration, exam)
    for domain, text in (_texts(exam, seen, "_mta-sts", "v=STSv1") if seen else {}).items():
        assert seen is not None
        try:
            exam.expect(f"TXT of _mta-sts.{domain}", f"id {tags.sts_id(text)}", True)
        except tags.Malformed as error:
            exam.expect(f"TXT of _mta-sts.{domain}", f"{text}: {error}", False, "v=STSv1; id=…")
        _expect_policy(exam, seen, domain)
    return _closed(exam, "no domain publishes MTA-STS")


def _expect_policy(exam: Examination, seen: _Seen, domain: str) -> None:
    name = f"mta-sts.{domain}"
    pages = [
        web.get(address, "/.well-known/mta-sts.txt", name=name, trust=tls.Trust(seen.migration.settings.probes.ca_file))
        for address in seen.addresses(name)
        if not smtp.can_reach(address, 443)
    ]
    good = next((page for page in pages if page.status == 200), None)
    if good is None:
        words = pages[0].words if pages else "the name leads nowhere"
        exam.expect(f"the policy at https://{name}/.well-known/mta-sts.txt", words, False, "200")
        return
    try:
        policy = tags.sts_policy(good.text)
    except tags.Malformed as error:
        exam.expect(f"the policy at {good.url}", str(error), False, "a policy that senders understand")
        return
    said = f"mode {policy.mode}, for {', '.join(policy.hosts) or 'no server'}"
    exam.expect(f"the policy at {good.url}", said, True)
    now, later = seen.exchangers(domain)
    for host in dict.fromkeys((*now, *later)) if policy.mode != "none" else ():
        when = "now" if host in now else "after the switch"
        covered = policy.covers(host)
        exam.expect(f"{domain}: {host}, its mail server {when}", said, covered, f"a policy that names {host}")


def published_keys_are_shown(migration: Migration) -> Evidence:
    """Where TLSA records stand for a mail server, it shows the key they name: now, and after the switch."""
    exam = Examination(
        "every key published for a mail server (TLSA) is the one it shows",
        "DNS",
        why="senders that look at DANE deliver nothing to a server with another key (RFC 7672)",
        hint="publish the new server's key beside the old one (3 1 1 and the SHA-256 of its public key) before the "
        "switch; with certbot --reuse-key it stays the same when the certificate is renewed",
    )
    seen = _look(migration, exam)
    if not seen:
        return exam.close()
    where: dict[tuple[str, str], None] = {}  # host and address at which it is asked
    for domain in seen.domains:
        now, later = seen.exchangers(domain)
        for host in filter(None, (*now, *later)):
            addresses = [*seen.addresses(host), *(a for kind in ("A", "AAAA") for a in seen.after(host, kind))]
            reached = [a for a in addresses if a in seen.survey.old_addresses | seen.survey.new_addresses]
            where |= {(host, address): None for address in reached if not smtp.can_reach(address)}
    found = dns_of(migration).known((f"_25._tcp.{host}", "TLSA") for host in {host for host, _ in where})
    for host, address in where:
        reply = found[f"_25._tcp.{host}", "TLSA"]
        if not reply.told:
            exam.unknown(f"TLSA of _25._tcp.{host}", reply.words)
        elif reply.values:
            _expect_key(exam, migration, host, address, reply.values)
    return _closed(exam, "no TLSA record stands for any mail server")


def _expect_key(exam: Examination, migration: Migration, host: str, address: str, values: Sequence[str]) -> None:
    asked = f"TLSA of {host} ({'; '.join(values)}) and the key shown at {address}"
    own = [value for value in values if value.split()[0] in ("1", "3")]
    try:
        served = tls.look(address, 25, "smtp", host, migration.settings.probes.ca_file)
    except OSError as error:
        exam.unknown(asked, str(error))
        return
    if not own:
        exam.unknown(asked, "they name an authority (usage 0 or 2), which the server need not show")
        return
    same = any(key_matches(value, served.certificate) for value in own)
    exam.expect(asked, "the same" if same else f"another: 3 1 1 {_digest(served.certificate)}", same, "the same")


def key_matches(value: str, certificate: x509.Certificate) -> bool:
    """Whether a TLSA record (``3 1 1 ab01…``) names this certificate or its key (RFC 6698, 2.1)."""
    words = value.split()
    if len(words) < 4:
        return False
    whole = words[1] == "0"
    data = certificate.public_bytes(Encoding.DER) if whole else _public(certificate)
    shown = {"0": data.hex(), "1": hashlib.sha256(data).hexdigest(), "2": hashlib.sha512(data).hexdigest()}
    return shown.get(words[2], "") == "".join(words[3:]).lower()


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _digest(certificate: x509.Certificate) -> str:
    return hashlib.sha256(_public(certificate)).hexdigest()


def reports_have_an_address(migration: Migration) -> Evidence:
    """Whoever asks for reports on encryption (TLS-RPT) says where they go."""
    exam = Examination(
        "reports on encryption (TLS-RPT) have somewhere to go",
        "DNS",
        why="a record that nobody understands brings no reports, and nobody misses them",
        hint="v=TLSRPTv1; rua=mailto:postmaster@… at _smtp._tls (RFC 8460)",
        required=False,
    )
    seen = _look(migration, exam)
    for domain, text in (_texts(exam, seen, "_smtp._tls", "v=TLSRPTv1") if seen else {}).items():
        try:
            exam.expect(f"TXT of _smtp._tls.{domain}", ", ".join(tags.tls_reports(text)), True)
        except tags.Malformed as error:
            exam.expect(f"TXT of _smtp._tls.{domain}", f"{text}: {error}", False, "v=TLSRPTv1; rua=…")
    return _closed(exam, "no domain asks for reports on encryption")


@dataclass(frozen=True)
class Offered:
    """A service as mail programs find it: where that is said, its host and port, and how TLS begins there."""

    said: str
    host: str
    port: int
    speaks: tls.Dialogue


def programs_find_the_servers(migration: Migration) -> Evidence:
    """What mail programs are told of the servers (SRV, autoconfig) is there, and will be on the new server."""
    exam = Examination(
        "mail programs that look for the servers find them (SRV, autoconfig)",
        "DNS",
        why="who sets up a new telephone is led to a port where nobody answers",
        hint="correct the record or the file named, or open the port; what is not offered has the target . (RFC 6186)",
        required=False,
    )
    seen = _look(migration, exam)
    if not seen:
        return exam.close()
    offers = [*_srv(exam, seen), *_autoconfig(exam, seen)]
    places = {offer: seen.addresses(offer.host) for offer in offers}
    _expect_answers(exam, migration, [(offer, found, True) for offer, found in places.items()])
    moving = [o for o, found in places.items() if set(found) & seen.survey.old_addresses]
    _expect_answers(exam, migration, [(offer, [migration.new.address], False) for offer in moving])
    return _closed(exam, "no domain publishes SRV records or autoconfig")


def _srv(exam: Examination, seen: _Seen) -> Iterator[Offered]:
    names = {f"{service}.{domain}": service for domain in seen.domains for service in SERVICES}
    for (name, _), reply in dns_of(seen.migration).current((name, "SRV") for name in names).items():
        if not reply.told:
            exam.unknown(f"SRV of {name}", reply.words)
        for value in reply.values:
            _, _, port, target = value.split()
            if target == ".":
                exam.expect(f"SRV of {name}", "said not to be offered", True)
            else:
                yield Offered(f"SRV of {name}", target.rstrip("."), int(port), SERVICES[names[name]])


def _autoconfig(exam: Examination, seen: _Seen) -> Iterator[Offered]:
    trust = tls.Trust(seen.migration.settings.probes.ca_file)
    for domain in seen.domains:
        name = f"autoconfig.{domain}"
        address = next((a for a in seen.addresses(name) if not smtp.can_reach(a, 80)), "")
        if not address:
            continue
        page = web.get(address, _AUTOCONFIG, name=name, port=80)
        if page.headers.get("location", "").startswith("https://"):
            where = urllib.parse.urlsplit(page.headers["location"])
            page = web.get(address, where.path, name=where.hostname or name, trust=trust)
        try:
            found = autoconfig(page.body if page.status == 200 else b"", domain)
        except ET.ParseError as error:
            exam.expect(f"the settings at {page.url}", f"{page.words}: {error}", False, "settings for mail programs")
            continue
        exam.expect(f"the settings at {page.url}", f"{len(found)} services", bool(found), "settings for mail programs")
        yield from found


def autoconfig(text: bytes, domain: str) -> list[Offered]:
    """The services in a file of settings, as Thunderbird reads it. Raises ParseError."""
    dialogues: dict[str, tls.Dialogue] = {"imap": "imap", "pop3": "pop3", "smtp": "smtp"}
    found = []
    for server in ET.fromstring(text).iter():  # noqa: S314 - expat bounds what entities may grow to
        if server.tag in ("incomingServer", "outgoingServer"):
            kind = server.get("type", "")
            host, port = ((server.findtext(tag) or "").strip() for tag in ("hostname", "port"))
            secure = (server.findtext("socketType") or "").strip().upper() == "SSL"
            if kind in dialogues and port.isdecimal():
                host = host.replace("%EMAILDOMAIN%", domain)
                found.append(
                    Offered(
                        f"autoconfig of {domain}: {kind}", host, int(port), "implicit" if secure else dialogues[kind]
                    )
                )
    return found


def _expect_answers(exam: Examination, migration: Migration, items: Sequence[tuple[Offered, list[str], bool]]) -> None:
    """Write down what answers at each place; ``trusted`` also by a certificate for its name."""

    def ask(item: tuple[Offered, list[str], bool]) -> tuple[str, bool]:
        offer, addresses, trusted = item
        reachable = [a for a in addresses if not smtp.can_reach(a, offer.port)]
        if not reachable:
            return "the name leads nowhere", False
        try:
            served = tls.look(reachable[0], offer.port, offer.speaks, offer.host, migration.settings.probes.ca_file)
        except OSError as error:
            return f"{reachable[0]}: {error}", False
        if served.distrust and trusted:
            return f"{reachable[0]}: the certificate is not trusted: {served.distrust}", False
        return f"{reachable[0]} answers, {served.version}", True

    with ThreadPoolExecutor(8) as pool:
        for (offer, _, trusted), (words, good) in zip(items, pool.map(ask, items), strict=True):
            where = f"{offer.host} port {offer.port}" if trusted else f"the new server's port {offer.port}"
            exam.expect(f"{offer.said} → {where}", words, good, "an answer" + ", trusted" * trusted)


def certificates_may_be_issued(migration: Migration) -> Evidence:
    """Where CAA records say who may issue certificates, the authority that the new server uses is among them."""
    exam = Examination(
        "the new server's certificate authority may issue for its name (CAA)",
        "DNS",
        why="the next renewal is refused, and weeks later every program warns of the certificate (RFC 8659)",
        hint='add a record: CAA 0 issue "letsencrypt.org", or whoever the authority is',
    )
    name = routing.own_name(migration.new)
    reply = _caa(migration, name)
    if not reply.told:
        exam.unknown(f"CAA of {name}", reply.words)
        return exam.close()
    issuers = {found[1].strip().lower() for value in reply.values if (found := re.match(r'\d+ issue "([^";]*)', value))}
    if not issuers:
        return exam.not_applicable("no CAA record stands above the new server's name")
    asked = f"CAA of {reply.name}: {', '.join(reply.values)}"
    if issuers == {""}:
        exam.expect(asked, "nobody may issue certificates", False, "the authority that the new server uses")
        return exam.close()
    known = migration.new.sh("sed -nE 's/^server *= *//p' /etc/letsencrypt/renewal/*.conf | sort -u").out.split()
    if not known:
        return exam.not_applicable("no certificate on the new server is renewed by certbot")
    for directory in known:
        ours = _KNOWN_CAS.get(directory) or _identities(migration, directory)
        if ours:
            exam.expect(asked, f"{directory} calls itself {', '.join(ours)}", bool(issuers & set(ours)), "among them")
        else:
            exam.required = False  # nothing speaks against it
            exam.unknown(asked, f"{directory} does not say what it calls itself (caaIdentities)")
    return exam.close()


def _caa(migration: Migration, name: str) -> Reply:
    """The CAA records that hold for a name: its own, or those of the nearest name above (RFC 8659, 3)."""
    labels = name.split(".")
    names = [".".join(labels[start:]) for start in range(len(labels) - 1)] or [name]
    found = dns_of(migration).known((each, "CAA") for each in names)
    replies = [found[each, "CAA"] for each in names]
    return next((reply for reply in replies if reply.values or not reply.told), replies[-1])


def _identities(migration: Migration, directory: str) -> tuple[str, ...]:
    """The names by which an ACME server stands in CAA records (RFC 8555, 7.1.1); none if it does not say."""
    where = urllib.parse.urlsplit(directory)
    host = where.hostname or ""
    found = dns_of(migration).resolve_all((host, kind) for kind in ("A", "AAAA"))
    for address in (value for reply in found.values() for value in reply.values):
        page = web.get(
            address, where.path, name=host, port=where.port or 443, trust=tls.Trust(migration.settings.probes.ca_file)
        )
        try:
            names = json.loads(page.body)["meta"]["caaIdentities"]
        except (ValueError, KeyError, TypeError):
            continue
        return tuple(str(each).lower() for each in names)
    return ()


def the_postmaster_is_reached(migration: Migration, outside: Outside) -> Evidence:
    """Mail to postmaster and abuse of every domain finds somebody: on the server that has the domain."""
    exam = Examination(
        "postmaster and abuse are there in every domain",
        "both",
        why="other postmasters write there when something is wrong, and so do those who take a server off a block list",
        hint=f"make an alias for each that leads to somebody who reads it ({CHAPTER})",
        required=False,
    )
    facts = migration.old.facts
    lead = {user.lower(): {user.lower()} for user in facts.users} | expanding(facts.aliases)
    here = [domain for domain in migration.domains if domain in migration.new.facts.domains]
    for domain in (each for each in migration.domains if each not in here):
        for name in (f"{local}@{domain}" for local in MANDATORY):
            ends = lead.get(name) or lead.get("@" + domain, set())  # whether these exist is another check's question
            exam.expect(f"{name} on the old server", ", ".join(sorted(ends)) or "nobody", bool(ends), "somebody")
    asked = [f"{local}@{domain}" for domain in here for local in MANDATORY]
    for name, talk in zip(asked, smtp.converse_all([outside.call([name]) for name in asked]), strict=True):
        answers = talk.of("RCPT")
        expect(exam, f"RCPT TO:<{name}>", talk, bool(answers) and answers[0].good, "250")
    return _closed(exam, "the old server hosts no domain")
