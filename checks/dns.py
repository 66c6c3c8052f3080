"""Looking at DNS: does the world find the servers, do its answers agree, and may the new server send?"""

from __future__ import annotations

import functools
import ipaddress
import time
from collections.abc import Iterable, Mapping, Sequence

from cryptography import x509

from checks.machine import NO_ROUTE, OPEN, knock
from mailmove import routing
from mailmove.clients import spf, tags, tls
from mailmove.clients.dns import Change, Question, Records, Reply, exchangers, load_key, reverse_name
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.migration import Migration
from mailmove.progress import Deadline, Progress, Silence
from mailmove.routing import Survey, dns_of

SECONDARIES_S = 20  # a secondary is told of a change at once (RFC 1996), and needs moments to fetch it
SLOW_SECONDARIES_S = 180  # after our own change: a provider's servers may take minutes
RESOLVER_MARGIN_S = 15
PATIENCE_S = 600.0  # for so long a person waits for a cache that says itself when it forgets

STRANGERS = ("192.0.2.1", "100::1")
"""Addresses that are nobody's (RFC 5737, RFC 6666): nobody's policy can mean them."""

OLD_TTLS = "ttl before"
LOWERED_AT = "ttl lowered at"
PUT_BACK = "ttl put back"
"""What the moves leave in the journal: [name, type, seconds] each, when all servers had the low TTL, and what was
put back on the way back."""

CHAPTER = "guide: Setting DNS records"


def every_domain_is_led_to_us(migration: Migration, journal: Journal) -> Evidence:
    """Every domain of the old server is in DNS, and its mail is led to the old server; after the switch to the new."""
    if journal.proved("switch"):
        return every_domain_leads_to_new(migration)
    exam = Examination(
        "every domain's MX leads to the old server (or to the new one already)",
        "DNS",
        why="mail for a domain that leads elsewhere, or that is not in DNS, would not follow the move",
        hint="give the domain an MX that leads to the mail server, or remove it from the mail database if it is "
        f"not used any more ({CHAPTER})",
    )
    return _routes(migration, exam, frozenset({"old", "new"}), frozenset())


def every_domain_leads_to_new(migration: Migration) -> Evidence:
    """Every domain's mail is led to the new server, and none to the old one."""
    exam = Examination(
        "every domain's MX leads to the new server",
        "DNS",
        why="a domain that is left behind loses its mail when the old server goes",
        hint="look who changed the records back, and run the switch again: pytest features/3_cutover --move",
    )
    return _routes(migration, exam, frozenset({"new"}), frozenset({"old"}))


def every_domain_leads_to_old(migration: Migration) -> Evidence:
    """Every domain's mail is led to the old server: how it is before the switch, and after the way back."""
    exam = Examination(
        "every domain's MX leads to the old server",
        "DNS",
        why="on the way back nobody's mail may be left behind on the new server",
        hint="set the records named back by hand; the plan of the switch in the journal has them",
    )
    return _routes(migration, exam, frozenset({"old"}), frozenset())


def caches_lead_to_new(migration: Migration) -> Evidence:
    """Who asks a caching resolver, as senders do, finds the new server for every domain."""
    exam = Examination(
        "a caching resolver leads the mail of every domain to the new server",
        "DNS",
        why="senders do not ask the name servers themselves, but a cache",
        hint="a cache forgets an old answer when its TTL is over; if it comes again, see where the resolver asks",
    )
    dns, new = dns_of(migration), routing.addresses_of(migration.new)
    mx: dict[Question, Reply] = {}
    found: dict[Question, Reply] = {}
    for _left in Deadline(migration.settings.dns.ttl + RESOLVER_MARGIN_S):
        mx = dns.resolve_all((domain, "MX") for domain in migration.domains)
        best = {q[0]: exchangers(r.values)[0].host for q, r in mx.items() if r.values}
        found = dns.resolve_all((host, kind) for host in best.values() if host for kind in ("A", "AAAA"))
        leads = {d: {v for k in ("A", "AAAA") if h for v in found[h, k].values} for d, h in best.items()}
        if all(leads.get(d) and leads[d] <= new for d in migration.domains):
            break
    for (domain, _), reply in mx.items():
        ends = ", ".join(sorted(leads.get(domain, ())))
        answer = f"{', '.join(reply.values)}: {ends}" if reply.values else reply.words
        if not reply.told:
            exam.unknown(f"MX of {domain} at {reply.server}", reply.words)
        else:
            good = bool(leads.get(domain)) and leads[domain] <= new
            exam.expect(f"MX of {domain} at {reply.server}", answer, good, f"leads to {', '.join(sorted(new))}")
    return exam.close()


def _routes(
    migration: Migration, exam: Examination, wanted: frozenset[routing.Leads], forbidden: frozenset[routing.Leads]
) -> Evidence:
    seen = _survey(migration, exam)
    for route in seen.routes if seen else ():
        asked = f"MX of {route.domain}"
        if not route.told:
            exam.unknown(asked, route.problem)
            continue
        where = "; ".join(
            f"{t.exchanger.preference} {t.exchanger.host or '.'} ({', '.join(t.addresses) or 'no address'}): {t.leads}"
            for t in route.targets
        )
        good = bool(route.leads & wanted) and not route.leads & forbidden
        exam.expect(asked, where or route.problem, good, f"leads to {' or '.join(sorted(wanted, reverse=True))}")
    return exam.close()


def exchangers_are_names(migration: Migration) -> Evidence:
    """Every mail exchanger is a name with an address of its own, neither an alias nor an address."""
    exam = Examination(
        "every mail exchanger is a name with an address",
        "DNS",
        why="other servers need not follow an MX that is an alias or an address: their mail would stay away (RFC 2181)",
        hint=f"let the MX name a host that has A or AAAA records itself ({CHAPTER})",
    )
    seen = _survey(migration, exam)
    for route in seen.routes if seen else ():
        if not route.told:
            exam.unknown(f"MX of {route.domain}", route.problem)
        for target in route.targets:
            asked = f"{route.domain}: mail exchanger {target.exchanger.host or '.'}"
            if target.problem.startswith("its address cannot be told"):
                exam.unknown(asked, target.problem)
            else:
                answer = target.problem or ", ".join(target.addresses)
                exam.expect(asked, answer, not target.problem, "a name with addresses")
    return exam.close()


def name_servers_agree(migration: Migration) -> Evidence:
    """Every authoritative server of every domain gives the same answers."""
    exam = Examination(
        "every authoritative name server gives the same answers",
        "DNS",
        why="a server that is not told of changes keeps sending a part of the mail to the old address",
        hint="look at the transfers between the zone's servers: serial number raised, notify sent and accepted?",
    )
    seen = _survey(migration, exam)
    if not seen:
        return exam.close()
    domains = [r.reply.name for r in seen.routes if r.reply.state == "found"]
    questions: list[Question] = [(d, kind) for d in domains for kind in ("NS", "MX", "TXT")]
    questions += [(f"_dmarc.{d}", "TXT") for d in domains]
    questions += [(r.name, r.kind) for r in seen.hosts]
    questions += [(seen.new_name, kind) for kind in ("A", "AAAA")]
    replies = {}
    for _left in Deadline(SECONDARIES_S):
        replies = dns_of(migration).everywhere(questions)
        if all(_same(r for r in said if r.told) for said in replies.values()):
            break
    for (name, kind), said in replies.items():
        _every_server(exam, f"{kind} of {name}", said, _same(r for r in said if r.told), "the same at each")
    return exam.close()


def name_servers_stay(migration: Migration) -> Evidence:
    """No authoritative name server of a domain is the old machine, which is to be switched off."""
    exam = Examination(
        "no name server of a domain is the old server",
        "DNS",
        why="with the old server the domain would go out of the world: its web site, its mail, everything",
        hint="let another machine serve the zone, and tell the registrar, before the old server is dismissed",
        required=False,
    )
    seen = _survey(migration, exam)
    domains = [r.reply.name for r in seen.routes if r.reply.state == "found"] if seen else []
    zones = list(dict.fromkeys(seen.zones.get(domain, domain) for domain in domains)) if seen else []
    servers = dns_of(migration).current((zone, "NS") for zone in zones)
    hosts = {value.rstrip(".").lower() for reply in servers.values() for value in reply.values}
    found = dns_of(migration).known((host, kind) for host in hosts for kind in ("A", "AAAA"))
    for (zone, _), reply in servers.items():
        if not reply.told:
            exam.unknown(f"NS of {zone}", reply.words)
            continue
        ours = [
            host
            for host in (value.rstrip(".").lower() for value in reply.values)
            if seen and seen.old_addresses & {a for kind in ("A", "AAAA") for a in found[host, kind].values}
        ]
        words = f"{', '.join(ours)} is the old server" if ours else ", ".join(reply.values)
        exam.expect(f"NS of {zone}", words, not ours, "other machines")
    return exam.close()


def names_move_along(migration: Migration) -> Evidence:
    """Every name by which mail programs reach old (the usual ones, and those in its certificates) is changed by the switch."""
    exam = Examination(
        "every name by which mail programs reach the old server moves to the new one",
        "DNS",
        why="mail programs are set to a name: one that still leads to the old server finds nobody there, or a mailbox in which "
        "nothing comes any more",
        hint='set dns.switch = "both" in mailmove.toml: then the addresses of these names become the new server\'s on the '
        "evening. A name that it does not know must be changed by hand, and stand in the new server's certificate. If "
        "everybody was told to use the new server's name, waive this",
    )
    seen = _survey(migration, exam)
    if not seen:
        return exam.close()
    switch = migration.settings.dns.switch
    known = {records.name for records in seen.hosts}
    certificates = [x509.load_der_x509_certificate(each) for each in migration.old.own_certificates()]
    # A web site is no mail server because its certificate lies there
    shown = {name.lower() for each in certificates for name in tls.names_of(each)} - {*migration.old.facts.websites}
    names = known | {name for name in shown if "." in name and "*" not in name}
    found = dns_of(migration).known((name, kind) for name in names for kind in ("A", "AAAA"))
    for name in sorted(names):
        addresses = {value for kind in ("A", "AAAA") for value in found[name, kind].values}
        if not addresses & seen.old_addresses:
            continue
        if name in known:
            words = f'dns.switch = "{switch}" ' + (
                "changes its address" if switch != "mx" else "changes MX records only"
            )
        else:
            words = "leads to the old server, and is no name that the switch knows"
        exam.expect(name, words, name in known and switch != "mx", "moves with the switch")
    evidence = exam.close()
    return evidence if evidence.findings else exam.not_applicable("no name of a mail server leads to the old one")


def new_addresses_are_confirmed(migration: Migration) -> Evidence:
    """Each address of the new server has a name in DNS that leads back to it."""
    exam = Examination(
        "the new server's addresses have names (PTR) that lead back to them",
        "DNS",
        why="large receivers refuse mail from an address without a forward-confirmed name",
        hint=f"set the PTR record where you rent the address, and the A or AAAA record in your zone ({CHAPTER})",
    )
    dns = dns_of(migration)
    senders = sending_addresses(migration)
    seen = _survey(migration, exam)
    if not seen:
        return exam.close()
    pointers = dns.known((reverse_name(a), "PTR") for a in senders)
    names = {a: [v.rstrip(".") for v in pointers[reverse_name(a), "PTR"].values] for a in senders}
    forward = dns.known((n, _kind(a)) for a, pointed in names.items() for n in pointed)
    for address, pointed in names.items():
        reply = pointers[reverse_name(address), "PTR"]
        if not reply.told:
            exam.unknown(f"PTR of {address}", reply.words)
            continue
        leads = {n: forward[n, _kind(address)] for n in pointed}
        back = [n for n, r in leads.items() if address in r.values or _comes_with_the_switch(seen, n, r)]
        said = "; ".join(f"{n} → {', '.join(r.values) or r.words}" for n, r in leads.items())
        exam.expect(f"PTR of {address}, and back", said or reply.words, bool(back), f"a name that leads to {address}")
    return exam.close()


def greeting_leads_to_new(migration: Migration) -> Evidence:
    """The name by which the new server introduces itself (EHLO) leads to it."""
    exam = Examination(
        "the name the new server says in EHLO leads to it",
        "DNS",
        why="receivers look the name up, and distrust a server that calls itself something else (RFC 5321, 4.1.4)",
        hint=f"set myhostname in Postfix to the server's full name, and give that name an address ({CHAPTER})",
    )
    name = (migration.new.setting("smtp_helo_name") or routing.own_name(migration.new)).lower()
    seen = _survey(migration, exam)
    if not seen:
        return exam.close()
    found = dns_of(migration).known((name, kind) for kind in ("A", "AAAA"))
    values = [v for r in found.values() for v in r.values]
    if not values and not all(r.told for r in found.values()):
        exam.unknown(f"addresses of {name}", "; ".join(r.words for r in found.values() if not r.told))
        return exam.close()
    later = any(_comes_with_the_switch(seen, name, r) for r in found.values())
    note = " (the old server's, until the switch)" if later and not set(values) & seen.new_addresses else ""
    exam.expect(
        f"addresses of {name}", (", ".join(values) or "none") + note, bool(set(values) & seen.new_addresses) or later,
        f"one of {', '.join(sorted(seen.new_addresses))}",
    )  # fmt: skip
    # An address that the machine does not know of may still lead to it (NAT): what counts is whether somebody answers there
    strange = [value for value in values if value not in seen.new_addresses | seen.old_addresses]
    for (address, port), answer in knock((value, 25) for value in strange).items():
        if answer not in (OPEN, NO_ROUTE):
            exam.expect(
                f"{address}, also an address of {name}, port {port}", answer, False, "an answer, or no such record"
            )
    return exam.close()


def spf_lets_new_send(migration: Migration) -> Evidence:
    """SPF lets the new server send for every domain that has an SPF record, as it will be after the switch."""
    exam = Examination(
        "SPF lets the new server send for every domain",
        "DNS",
        why="after the move receivers would call your users' mail forged",
        hint="add the new server to the SPF record: an mx term follows the switch by itself, ip4: and ip6: terms "
        f"do not ({CHAPTER})",
    )
    seen = _survey(migration, exam)
    if not seen:
        return exam.close()
    try:
        lookup = lookup_after_switch(migration, seen)
    except MailmoveError as error:
        exam.unknown("the records after the switch", error.fact)
        return exam.close()
    without = []
    for domain in (r.reply.name for r in seen.routes if r.reply.state == "found"):
        for address in sending_addresses(migration):
            judged = spf.judge(address, f"postmaster@{domain}", lookup, seen.new_name)
            if judged.result == "none":
                without.append(domain)
                break
            asked = f"SPF of {domain} for {address}"
            answer = f"{judged.result}: {judged.because} ({judged.record}; {judged.lookups} lookups)"
            if judged.result == "temperror":
                exam.unknown(asked, judged.because)
            else:
                exam.expect(asked, answer, judged.result == "pass", "pass")
    evidence = exam.close()
    if without and not evidence.findings:
        return exam.not_applicable(f"no domain has an SPF record: {', '.join(without)}")
    return evidence


def forged_mail_is_answered_for(migration: Migration) -> Evidence:
    """Every domain publishes SPF and a DMARC policy that receivers can read."""
    exam = Examination(
        "every domain publishes SPF and DMARC",
        "DNS",
        why="without them everybody can send in your users' names, and large receivers distrust your own mail",
        hint=f"publish a TXT record v=spf1 … at the domain and v=DMARC1; p=… at _dmarc ({CHAPTER})",
        required=False,
    )
    seen = _survey(migration, exam)
    domains = [r.reply.name for r in seen.routes if r.reply.state == "found"] if seen else []
    texts = dns_of(migration).current([q for d in domains for q in ((d, "TXT"), (f"_dmarc.{d}", "TXT"))])
    owners = {d: f"_dmarc.{tags.organisation(d)}" for d in domains if tags.organisation(d) != d}
    above = dns_of(migration).known((name, "TXT") for name in owners.values())
    for domain in domains:
        own, policy = texts[domain, "TXT"], texts[f"_dmarc.{domain}", "TXT"]
        if domain in owners and policy.told and not _dmarc_records(policy.values):
            policy = above[owners[domain], "TXT"]  # the owner's holds (RFC 7489, 6.6.3)
        for asked, reply in ((f"SPF of {domain}", own), (f"DMARC of {domain}", policy)):
            if not reply.told:
                exam.unknown(asked, reply.words)
        if own.told:
            found = spf.records(own.values)
            exam.expect(f"SPF of {domain}", "; ".join(found) or "none", len(found) == 1, "one v=spf1 record")
            _expect_no_stranger(exam, migration, domain)
        if policy.told:
            answer, good = _dmarc(policy.values)
            exam.expect(f"DMARC of {domain}", answer, good, "one v=DMARC1 record with a policy")
    return exam.close()


def _expect_no_stranger(exam: Examination, migration: Migration, domain: str) -> None:
    """Write down that SPF does not let everybody send."""
    dns = dns_of(migration)

    @functools.cache
    def lookup(name: str, kind: str) -> tuple[str, ...]:
        reply = dns.known([(name.lower(), kind)])[name.lower(), kind]
        if not reply.told:
            raise spf.Untold(f"{kind} of {name}: {reply.words}")
        return reply.values

    for stranger in STRANGERS:
        judged = spf.judge(stranger, f"postmaster@{domain}", lookup)
        if judged.result == "pass":
            answer = f"pass: {judged.because} ({judged.record})"
            exam.expect(f"SPF of {domain} for a stranger at {stranger}", answer, False, "fail or softfail")


def _dmarc_records(values: Sequence[str]) -> list[str]:
    return [v for v in values if v.lower().replace(" ", "").startswith("v=dmarc1")]


def _dmarc(values: Sequence[str]) -> tuple[str, bool]:
    found = _dmarc_records(values)
    if len(found) != 1:
        return ("; ".join(found) or "none"), False
    try:
        policy = tags.dmarc(found[0])
    except tags.Malformed as error:
        return f"{found[0]}: {error}", False
    return f"{found[0]}: policy {policy.policy}", True


def zones_take_changes(migration: Migration) -> Evidence:
    """The zones take updates signed with our key (tried with one that changes nothing)."""
    exam = Examination(
        "every zone takes our signed updates",
        "DNS",
        why="on the evening the records must change within seconds",
        hint="let the key change these records at the zone's primary (BIND: update-policy), "
        'or set dns.update = "manual" in mailmove.toml and change them by hand when asked to',
    )
    settings = migration.settings.dns
    if settings.update == "manual":
        return exam.not_applicable('the records are changed by hand (dns.update = "manual")')
    seen = _survey(migration, exam)
    if not seen:
        return exam.close()
    dns = dns_of(migration)
    by_zone: dict[str, list[Records]] = {}
    for records in (*seen.mx, *seen.hosts):
        by_zone.setdefault(seen.zones.get(records.name, ""), []).append(records)
    try:
        key = load_key(settings, migration.directory)
    except MailmoveError as error:
        exam.expect("the TSIG key", error.fact, False, "a key")
        return exam.close()
    for name, together in by_zone.items():
        asked = f"an update of {', '.join(f'{r.name} {r.kind}' for r in together)} that changes nothing"
        try:
            zone = dns.zone_of(name)
            assert zone is not None, name
            exam.expect(asked, f"taken by {dns.would_take(zone, together, key)}", True)
        except MailmoveError as error:
            exam.expect(asked, error.fact, False, "taken")
    return exam.close()


# what the moves are proved with


def ttl_is_low(migration: Migration, journal: Journal) -> Evidence:
    """Every authoritative server gives the mail's records for no longer than while moving."""
    limit = migration.settings.dns.ttl
    exam = Examination(
        f"MX and addresses may be remembered for {limit} s at most, at every authoritative server",
        "DNS",
        why="until the old answers have expired, mail goes on to the old server",
        hint="lower the TTL of these records at the servers named: pytest features/2_prepare/20_ttl.feature --move",
    )
    before: list[tuple[str, str, int]] = journal.recall(OLD_TTLS, [])
    questions = [(name, kind) for name, kind, _ in before]
    replies: dict[Question, list[Reply]] = {}
    for _left in Deadline(SECONDARIES_S):
        replies = dns_of(migration).everywhere(questions)
        if all(r.records is None or r.records.ttl <= limit for said in replies.values() for r in said):
            break
    for (name, kind), said in replies.items():
        low = all(r.records is None or r.records.ttl <= limit for r in said)
        _every_server(exam, f"TTL of {name} {kind}", said, low, f"at most {limit} s", ttl=True)
    return exam.close()


def ttl_is_back(migration: Migration, journal: Journal) -> Evidence:
    """Every authoritative server gives the mail's records for as long as before the move."""
    return _ttl_is(migration, journal.recall(OLD_TTLS, []))


def no_ttl_is_lowered(migration: Migration, journal: Journal) -> Evidence:
    """After the way back: every TTL that was lowered is as before."""
    return _ttl_is(migration, journal.recall(PUT_BACK, []))


def _ttl_is(migration: Migration, before: list[tuple[str, str, int]]) -> Evidence:
    exam = Examination(
        "MX and addresses may be remembered as long as before the move, at every authoritative server",
        "DNS",
        why="short TTLs cost every sender a question each minute, and make an outage of the name servers felt at once",
        hint="set the TTL of these records at the servers named",
    )
    if not before:
        return exam.not_applicable("no TTL was lowered")
    wanted = {(name, kind): ttl for name, kind, ttl in before}
    replies: dict[Question, list[Reply]] = {}
    for _left in Deadline(SECONDARIES_S):
        replies = dns_of(migration).everywhere(wanted)
        if all(r.records is None or r.records.ttl == wanted[q] for q, said in replies.items() for r in said):
            break
    for question, said in replies.items():
        good = all(r.records is None or r.records.ttl == wanted[question] for r in said)
        _every_server(exam, f"TTL of {question[0]} {question[1]}", said, good, f"{wanted[question]} s", ttl=True)
    return exam.close()


def expires_at(journal: Journal) -> float | None:
    """When the last answer with an old TTL has expired everywhere, in seconds since 1970; None if none was lowered."""
    lowered_at: float | None = journal.recall(LOWERED_AT)
    before: list[tuple[str, str, int]] = journal.recall(OLD_TTLS, [])
    return lowered_at + max((ttl for _, _, ttl in before), default=0) if lowered_at else None


def old_ttl_is_waited_out(migration: Migration, journal: Journal, now: float | None = None) -> Evidence:
    """The answers given with the old TTL have expired in every cache, by the journal's clock."""
    exam = Examination(
        "the old answers have expired in every cache",
        "DNS",
        why="whoever remembers an old answer goes on sending to the old server, whatever DNS says",
        hint="wait until the time named; before that, lower the TTLs: pytest features/2_prepare/20_ttl.feature --move",
    )
    expiry = expires_at(journal)
    if expiry is None:
        exam.expect("TTLs lowered", "not yet", False, "lowered at every authoritative server")
        return exam.close()
    before: list[tuple[str, str, int]] = journal.recall(OLD_TTLS, [])
    longest = max(before, key=lambda entry: entry[2], default=("", "", 0))
    at = time.time() if now is None else now
    left = expiry - at
    exam.expect(
        f"lowered at {_clock(expiry - longest[2])}; longest TTL before: {longest[2]} s ({longest[0]} {longest[1]})",
        f"expired at {_clock(expiry)}" if left <= 0 else f"expires at {_clock(expiry)}, in {left:.0f} s",
        left <= 0,
        "expired",
    )
    return exam.close()


def records_stand(
    migration: Migration,
    changes: Sequence[Change],
    wait_s: float = SLOW_SECONDARIES_S,
    progress: Progress | None = None,
) -> Evidence:
    """Every authoritative server gives the records as they are to be."""
    exam = Examination(
        "every authoritative name server gives the records as planned",
        "DNS",
        why="each server that still gives the old records sends its part of the mail to the wrong place",
        hint="look why the servers named have not taken the change: transfer, notify, serial number",
    )
    dns = dns_of(migration)
    replies: dict[Question, list[Reply]] = {}
    for left in Deadline(wait_s):
        replies = dns.everywhere((c.name, c.kind) for c in changes)
        behind = [r for c in changes for r in replies[c.name, c.kind] if not r.told or r.values != c.after]
        # A server that does not answer at all is given less time than one that has yet to take the change.
        if not behind or (wait_s - left > SECONDARIES_S and not any(r.told for r in behind)):
            break
        words = f"waiting for {behind[0].server}: {behind[0].name} {behind[0].kind}"
        (progress or Silence()).at(words, wait_s - left, wait_s)
    for change in changes:
        said = replies[change.name, change.kind]
        good = all(r.values == change.after for r in said if r.told)
        wanted = ", ".join(change.after) or "no such record"
        _every_server(exam, f"{change.name} {change.kind}", said, good, wanted)
    return exam.close()


def resolver_gives(
    migration: Migration,
    changes: Sequence[Change],
    wait_s: float,
    progress: Progress | None = None,
    required: bool = True,
) -> Evidence:
    """The caching resolver, like any sender's, gives the records as they are to be.

    An old answer that it still knows is waited for as long as it says itself to keep it, if that is not too long.
    """
    exam = Examination(
        "a caching resolver gives the records as planned",
        "DNS",
        why="senders do not ask the name servers themselves, but a cache",
        hint="a cache forgets an old answer when its TTL is over; if it comes again, see where the resolver asks",
        required=required,
    )
    dns = dns_of(migration)
    replies = dns.resolve_all((c.name, c.kind) for c in changes)
    if required:
        wait_s = max(wait_s, _forgotten_in(replies, changes))
    for number, left in enumerate(Deadline(wait_s)):
        if number:
            replies = dns.resolve_all((c.name, c.kind) for c in changes)
        behind = [c for c in changes if replies[c.name, c.kind].values != c.after]
        if not behind:
            break
        words = f"waiting for {dns.resolver_name}: {behind[0].name} {behind[0].kind}"
        (progress or Silence()).at(words, wait_s - left, wait_s)
    for change in changes:
        reply = replies[change.name, change.kind]
        asked = f"{change.name} {change.kind} at {reply.server}"
        if not reply.told:
            exam.unknown(asked, reply.words)
        else:
            exam.expect(asked, reply.words, reply.values == change.after, ", ".join(change.after) or "no such record")
    return exam.close()


def _forgotten_in(replies: Mapping[Question, Reply], changes: Sequence[Change]) -> float:
    """In how many seconds a cache has forgotten what is not as planned; 0 if nobody would wait for that.

    A name server that stayed behind may have told it the old records moments ago, with a TTL that was theirs before.
    """
    found = [replies[change.name, change.kind].records for change in changes]
    old = [each.ttl for each, change in zip(found, changes, strict=True) if each and each.values != change.after]
    longest = max(old, default=0)
    return longest + RESOLVER_MARGIN_S if 0 < longest <= PATIENCE_S else 0.0


def records_can_be_switched(migration: Migration) -> Evidence:
    """The records of every domain are such that the switch can lead its mail to the new server."""
    exam = Examination(
        "every domain's records can be switched",
        "DNS",
        why="a domain left behind loses its mail when the old server goes",
        hint="mend the records named (a domain that is not used any more: remove it from the mail database); "
        "a TTL that is too long: pytest features/2_prepare/20_ttl.feature --move",
    )
    seen = _survey(migration, exam)
    if not seen:
        return exam.close()
    for problem in seen.problems:
        exam.expect("the way of a domain's mail", problem, False, "an MX that leads to the old or the new server")
    try:
        changes = routing.planned_changes(seen, migration.settings.dns.switch)
    except MailmoveError as error:
        exam.expect(f'what dns.switch = "{migration.settings.dns.switch}" does', error.fact, False, "a plan")
        return exam.close()
    low = migration.settings.dns.ttl
    for change in changes:
        said = f"{', '.join(change.before)} → {', '.join(change.after) or 'none'} (TTL {change.ttl} s)"
        exam.expect(f"{change.name} {change.kind}", said, change.ttl <= low, f"a TTL of at most {low} s by now")
    if not changes:
        exam.expect("records that lead to the old server", "none", True)
    return exam.close()


# inside


def _survey(migration: Migration, exam: Examination) -> Survey | None:
    try:
        return routing.survey(migration)
    except MailmoveError as error:
        exam.unknown("the zones of the old server's domains", error.fact)
        return None


def _same(replies: Iterable[Reply]) -> bool:
    return len({r.values for r in replies}) <= 1


def _every_server(
    exam: Examination, asked: str, replies: Sequence[Reply], good: bool, expected: str, ttl: bool = False
) -> None:
    """One finding if all servers say it, else one for each server."""
    told = [r for r in replies if r.told]
    for reply in replies:
        if not reply.told:
            exam.unknown(f"{asked} at {reply.server}", reply.words)
    if not told:
        if not replies:
            exam.unknown(asked, "it has no name servers")
        return
    servers = ", ".join(r.server.partition(" ")[0] for r in told)
    words = {f"{r.records.ttl} s" if ttl and r.records else ", ".join(r.values) or r.words for r in told}
    if good or len(words) == 1:
        exam.expect(f"{asked} at {servers}", "; ".join(sorted(words)), good, expected)
        return
    for reply in told:
        exam.expect(f"{asked} at {reply.server}", reply.words, False, expected)


def sending_addresses(migration: Migration) -> list[str]:
    """The public addresses from which the new server's Postfix sends."""
    new = migration.new
    protocols = new.setting("inet_protocols")
    bound = [new.setting(s) for s in ("smtp_bind_address", "smtp_bind_address6") if new.setting(s)]
    found = []
    for address in sorted(routing.addresses_of(new), key=lambda a: (":" in a, a)):
        version = ipaddress.ip_address(address).version
        fixed = [b for b in bound if routing.is_address(b) and ipaddress.ip_address(b).version == version]
        if protocols in ("all", "") or f"ipv{version}" in protocols:
            found += fixed or [address]
    return list(dict.fromkeys(found))


def _kind(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _comes_with_the_switch(seen: Survey, name: str, reply: Reply) -> bool:
    """Whether a name is the old server's as well, and follows with its address."""
    return name in seen.old_names and bool(set(reply.values) & seen.old_addresses)


def lookup_after_switch(migration: Migration, seen: Survey) -> spf.Lookup:
    """DNS as it will be after the switch, or is already. Raises MailmoveError when that cannot be told."""
    dns = dns_of(migration)
    changes = routing.planned_changes(seen, migration.settings.dns.switch)
    known: dict[Question, tuple[str, ...]] = {(r.name, r.kind): r.values for r in (*seen.mx, *seen.hosts)}
    known |= {(c.name, c.kind): c.after for c in changes}

    def lookup(name: str, kind: str) -> tuple[str, ...]:
        question = (name.lower(), kind)
        if question not in known:
            reply = dns.current([question])[question]
            if reply.state in ("no record", "no answer"):
                reply = dns.resolve(*question)
            if not reply.told:
                raise spf.Untold(f"{kind} of {name}: {reply.words}")
            known[question] = reply.values
        return known[question]

    return lookup


def _clock(at: float) -> str:
    return time.strftime("%F %T", time.localtime(at))
