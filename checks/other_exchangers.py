"""Mail exchangers that are neither of our servers: a backup of a provider's, a filter in front, or one long forgotten.

Whoever finds the mail server silent goes on to the next one (RFC 5321, 5.1), and in the downtime it is silent for everybody.
"""

from __future__ import annotations

from collections import defaultdict

from checks.outside import Outside
from mailmove import routing
from mailmove.clients import smtp
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.migration import Migration

CHAPTER = "guide: Setting DNS records"


def they_take_letters(migration: Migration, outside: Outside) -> list[Evidence]:
    """Every other exchanger takes letters for the domains it is named for, and is there at all. No letter is sent."""
    refusing = Examination(
        "every other mail exchanger takes letters for its domains",
        "DNS",
        why="in the downtime senders go on to it: what it refuses for good comes back to them at once",
        hint=f"let its owner take letters for the domain again, or remove the MX record that names it ({CHAPTER})",
    )
    silent = Examination(
        "every other mail exchanger answers",
        "DNS",
        why="an exchanger that nobody runs any more helps nobody; whoever gets its address one day gets letters as well",
        hint=f"remove the MX record that names it, or start it again ({CHAPTER})",
        required=False,
    )
    try:
        seen = routing.survey(migration)
    except MailmoveError as error:
        refusing.unknown("the zones of the old server's domains", error.fact)
        return [refusing.close()]
    asked: dict[tuple[str, str], list[str]] = defaultdict(list)
    for route in seen.routes:
        for target in route.targets:
            if target.leads == "elsewhere":
                for address in target.addresses:
                    asked[target.exchanger.host, address].append(_somebody(migration, route.domain))
    if not asked:
        none = "no domain names another mail exchanger"
        return [refusing.not_applicable(none), silent.not_applicable(none)]
    unreached = {address: smtp.can_reach(address) for _, address in asked}
    places = [place for place in asked if not unreached[place[1]]]
    calls = [
        smtp.Call(address, name=host, sender=outside.sender, recipients=asked[host, address])
        for host, address in places
    ]
    answered = dict(zip(places, smtp.converse_all(calls), strict=True))
    for host in {host: None for host, _ in asked}:
        talks = {address: talk for (name, address), talk in answered.items() if name == host}
        there = {address: talk for address, talk in talks.items() if not talk.unreachable}
        words = "; ".join(f"{address}: {talk.words}" for address, talk in talks.items())
        if not talks:
            silent.unknown(host, "; ".join(unreached[address] for name, address in asked if name == host))
        else:
            silent.expect(host, words, bool(there), "an answer at port 25")
        for talk in there.values():
            expect_taken(refusing, host, talk)
    evidence = refusing.close()
    return [
        evidence if evidence.findings else refusing.not_applicable("none of them answers from here"),
        silent.close(),
    ]


def expect_taken(exam: Examination, host: str, talk: smtp.Conversation) -> None:
    """Write down what one exchanger answered. What is refused for now is tried again by whoever sends: no harm."""
    where = f"{host} ({talk.call.host})"
    answers = talk.of("RCPT")
    if not answers:
        refusal = talk.refused_at
        if refusal is None:
            exam.unknown(f"{where}: a letter from {talk.call.sender}", talk.words)
        else:
            exam.expect(f"{where}: a letter from {talk.call.sender}", talk.words, not refusal.for_good, "no refusal")
    for recipient, answer in zip(talk.call.recipients, answers, strict=False):
        exam.expect(f"{where}: RCPT TO:<{recipient}>", answer, not answer.for_good, "no refusal for good")


def _somebody(migration: Migration, domain: str) -> str:
    """A mailbox of the domain, else its postmaster: an exchanger may know who there is."""
    return next((user for user in migration.old.facts.users if user.endswith(f"@{domain}")), f"postmaster@{domain}")
