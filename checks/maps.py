"""Postfix' lookup tables: every domain, mailbox and alias is found, nobody else is."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from checks import database
from checks.offers import ask
from checks.outside import Outside, expect, expect_arrived, expect_taken, find_all, post
from mailmove.clients import imap, letters, smtp
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

ORIGIN = 'name=$(postconf -hx myorigin); case $name in /*) head -n 1 "$name" ;; *) echo "$name" ;; esac'
CHAPTER = "guide: making Postfix get its information from the MariaDB database"

# One question a line on standard input, table and key with a tab between; one answer a line: exit status, tab, value.
_ASK = """
while IFS="$(printf '\\t')" read -r table key; do
    value=$(postmap -q "$key" "$table" 2>&1 </dev/null); status=$?
    printf '%s\\t%s\\n' "$status" "$(printf %s "$value" | tr '\\n\\t' '  ')"
done
"""


_ODD = re.compile(r"[\0\t\n\r]|^\s|\s$|^-?$")  # in a key: it would be another question, or none


@dataclass(frozen=True)
class Found:
    """What a table says about a key. ``trouble`` is why it could not be asked; empty if it could."""

    value: str
    trouble: str

    def __str__(self) -> str:
        return self.trouble or self.value or "not found"


def domains_are_found(new: Server, account: Account) -> Evidence:
    """Postfix finds a hosted domain, and no other."""
    exam = _exam(
        "Postfix finds every hosted domain and no other",
        "A domain that is not found is mail refused; one too many is other people's mail swallowed.",
        "virtual_mailbox_domains = mysql:…, with the query SELECT 1 FROM virtual_domains WHERE name='%s'",
    )
    tables = _required(exam, new, "virtual_mailbox_domains")
    if tables:
        known, unknown = account.domain, "nobody.mailmove.invalid"
        answers = look_up(new, [(table, key) for table in tables for key in (known, unknown)])
        _expect(exam, "a hosted domain", known, [answers[table, known] for table in tables], present=True)
        _expect(
            exam, "a domain of somebody else", unknown, [answers[table, unknown] for table in tables], present=False
        )
    return exam.close()


def mailboxes_are_found(new: Server, account: Account) -> Evidence:
    """Postfix finds a mailbox, and none that is not there."""
    exam = _exam(
        "Postfix finds every mailbox and no other",
        "What is not found is refused; what is found wrongly is accepted, and must be bounced later.",
        "virtual_mailbox_maps = mysql:…, with the query SELECT 1 FROM virtual_users WHERE email='%s'",
    )
    tables = _required(exam, new, "virtual_mailbox_maps")
    if tables:
        known, unknown = account.email, f"mailmove-nobody@{account.domain}"
        answers = look_up(new, [(table, key) for table in tables for key in (known, unknown)])
        _expect(exam, "a mailbox", known, [answers[table, known] for table in tables], present=True)
        _expect(exam, "nobody's address", unknown, [answers[table, unknown] for table in tables], present=False)
    return exam.close()


def aliases_are_found(new: Server, alias: str, account: Account) -> Evidence:
    """Postfix finds an alias and where it leads, and none that is not there."""
    exam = _exam(
        "Postfix finds every alias and where it leads",
        "Sales, info and postmaster are mostly aliases; without them the mail is refused.",
        "virtual_alias_maps = mysql:…, with the query SELECT destination FROM virtual_aliases WHERE source='%s'",
    )
    tables = _required(exam, new, "virtual_alias_maps")
    if tables:
        unknown = f"mailmove-nobody@{account.domain}"
        answers = look_up(new, [(table, key) for table in tables for key in (alias, unknown)])
        found = [answers[table, alias] for table in tables]
        right = any(account.email in re.split(r"[,\s]+", each.value) for each in found)
        exam.expect(f"{alias} leads to", " / ".join(map(str, found)), right, account.email)
        _expect(exam, "nobody's address", unknown, [answers[table, unknown] for table in tables], present=False)
    return exam.close()


def catch_all_spares_mailboxes(old: Server, new: Server, account: Account) -> Evidence:
    """A catch-all alias does not swallow the mail of people who have a mailbox."""
    catch_all = [source for source, _ in old.facts.aliases if source.startswith("@")]
    exam = Examination(
        "A catch-all does not swallow other people's mail",
        "new",
        "Postfix asks for aliases before mailboxes: without help a catch-all takes everything.",
        "add the map that leads every mailbox to itself (email2email) to virtual_alias_maps (guide: catch-all aliases)",
        required=bool(catch_all),
    )
    tables = _required(exam, new, "virtual_alias_maps")
    if tables:
        answers = look_up(new, [(table, account.email) for table in tables])
        led = " / ".join(str(each) for each in answers.values())
        itself = any(account.email in re.split(r"[,\s]+", each.value) for each in answers.values())
        need = f"itself (catch-alls to be moved: {', '.join(catch_all)})" if catch_all else "itself"
        exam.expect(f"{account.email} leads to", led, itself, need)
    return exam.close()


def aliases_reach_everybody(outside: Outside, alias: str, accounts: Sequence[Account]) -> Evidence:
    """A letter to an alias that leads to several, by rows, commas and further aliases, comes to each of them once."""
    exam = Examination(
        "A letter reaches everybody its alias leads to",
        str(outside.server),
        "Lists of a team are aliases of several rows; whoever is left out learns nothing of it.",
        f"postmap -q {alias} and each map of virtual_alias_maps must say all destinations (no LIMIT in the query, no "
        "expansion_limit in the file), and receive_override_options = no_address_mappings must be set nowhere but "
        f"behind another filter ({CHAPTER})",
    )
    letter = letters.compose(outside.sender, alias)
    (sent,) = post([(letter, accounts[0], outside.call([alias], letter))])
    if expect_taken(exam, [sent]):
        expect_arrived(exam, outside, [replace(sent, account=account) for account in accounts])
    return exam.close()


def catch_all_takes_the_rest(old: Server, outside: Outside, catcher: Account, other: Account) -> Evidence:
    """A letter to nobody comes to whom the domain's catch-all leads, one to somebody else to them alone.

    The catch-all of both accounts' domain leads to ``catcher``.
    """
    exam = Examination(
        "A catch-all takes the letters to nobody, and no others",
        str(outside.server),
        "Who has a catch-all writes every shop an address of its own; that mail must go on, and nobody else's go there.",
        "taken from nobody: the query for aliases must ask for '%s' ('%u@%d' is never asked for whole domains); taken from "
        "somebody: virtual_alias_maps needs the map that leads every mailbox to itself (guide: catch-all aliases)",
        required=any(source.startswith("@") for source, _ in old.facts.aliases),
    )
    nobody = f"nobody-{secrets.token_hex(4)}@{catcher.domain}"
    stray, meant = letters.compose(outside.sender, nobody), letters.compose(outside.sender, other.email)
    posted = post([(stray, catcher, outside.call([nobody], stray)), (meant, other, outside.call([other.email], meant))])
    if expect_taken(exam, posted):
        expect_arrived(exam, outside, posted)
        asked = f"the letter to {other.email} in the mailbox of {catcher.email}"
        try:
            with outside.mailbox(catcher) as box:
                places = find_all(box, [meant.mark], 0)[meant.mark]
                exam.expect(asked, "there" if places else "not there", not places, "not there")
        except imap.ImapError as error:
            exam.unknown(asked, error.fact)
    return exam.close()


def senders_are_found(old: Server, new: Server, account: Account, alias: str) -> Evidence:
    """Postfix knows who may send as whom; under an ``alias`` of one's own where that is so on old."""
    exam = _exam(
        "Postfix knows who may send as whom",
        "Without it everybody who can log in can send in everybody's name.",
        "smtpd_sender_login_maps = mysql:…email2email.cf (guide: relaying outgoing emails)",
    )
    setting = new.setting("smtpd_sender_login_maps")
    if not setting:
        theirs = old.setting("smtpd_sender_login_maps")
        if not theirs:
            return exam.not_applicable("smtpd_sender_login_maps is not set, on the old server neither")
        exam.expect("smtpd_sender_login_maps", "(empty)", good=False, expected=f"a map, as on the old server: {theirs}")
        return exam.close()
    tables = tables_in(setting)
    unknown = f"mailmove-nobody@{account.domain}"
    answers = look_up(new, [(table, key) for table in tables for key in (account.email, unknown)])
    owners = [answers[table, account.email] for table in tables]
    good = any(account.email in re.split(r"[,\s]+", each.value) for each in owners)
    exam.expect(f"{account.email} may be used by", " / ".join(map(str, owners)), good, account.email)
    _expect(exam, "nobody's address", unknown, [answers[table, unknown] for table in tables], present=False)
    _expect_aliases_as_senders(exam, old, new, account, alias)
    return exam.close()


ALIASES_ASKED = 500


def _expect_aliases_as_senders(exam: Examination, old: Server, new: Server, account: Account, alias: str) -> None:
    """Where old lets people write under the aliases that lead to them, new must."""
    people = {user.lower() for user in old.facts.users}
    sources = [source for source, _ in old.facts.aliases if not source.startswith("@") and source.lower() not in people]
    sources = list(dict.fromkeys(sources))[:ALIASES_ASKED]
    theirs = look_up(
        old, [(t, source) for t in tables_in(old.setting("smtpd_sender_login_maps")) for source in sources]
    )
    owned = {source: found.value for (_, source), found in theirs.items() if found.value}
    if not owned:
        return
    ours = look_up(new, [(table, alias) for table in tables_in(new.setting("smtpd_sender_login_maps"))])
    found = " / ".join(map(str, ours.values()))
    some = ", ".join(f"{source} by {owners}" for source, owners in list(owned.items())[:3])
    exam.expect(
        f"{alias}, which leads to {account.email}, may be used by",
        found,
        any(account.email in re.split(r"[,\s]+", each.value) for each in ours.values()),
        f"{account.email}: on old people write under their aliases ({len(owned)}: {some}), and would be refused here",
    )


def hosted_domains_are_not_local(old: Server, new: Server, probe_domain: str, handed_on: str) -> Evidence:
    """No domain to be moved is also a local, relayed or alias domain of the new Postfix.

    ``handed_on``: the table by which mailmove itself has new hand mail on to old since a way back; empty if it has none.
    """
    exam = _exam(
        "No hosted domain is claimed by another part of Postfix",
        "A domain in mydestination is looked for among Unix users, and all its mail bounces.",
        "take it out of the setting named; the guide sets mydestination = localhost",
    )
    domains = [*old.facts.domains, *new.facts.domains, probe_domain]
    for setting in ("mydestination", "relay_domains", "virtual_alias_domains"):
        value = new.setting(setting)
        if setting == "virtual_alias_domains" and value == new.setting("virtual_alias_maps"):
            value = ""  # the default: answers for whole domains only, "@example.org" is none
        every = [word for word in re.split(r"[,\s]+", value) if word]
        words = [word for word in every if word != handed_on]
        if len(words) < len(every):
            told = "mailmove's own: what still comes here is handed on to the old server, until the next attempt"
            exam.expect(f"{handed_on} in {setting}", told, True)
        tables = [word for word in words if re.match(r"(?:proxy:)?[a-z]+:", word)]
        claimed = [domain for domain in dict.fromkeys(domains) if domain in words]
        answers = look_up(new, [(table, domain) for table in tables for domain in domains])
        claimed += [domain for (_, domain), found in answers.items() if found.value and domain not in claimed]
        exam.expect(
            f"hosted domains in {setting} = {value or '(empty)'}", ", ".join(claimed) or "none", not claimed, "none"
        )
    return exam.close()


def map_files_are_private(new: Server) -> Evidence:
    """Nobody but root, Postfix and Dovecot can read the database passwords in their files."""
    exam = _exam(
        "The database passwords in the files are private",
        "Any script on the web server could read everybody's password hash with them.",
        "chgrp postfix FILE; chmod u=rw,g=r,o= FILE; and 0600 for Dovecot's",
    )
    files = database.map_files(new)
    pattern = "^[[:space:]]*(connect|password)[[:space:]]*="
    dovecot = new.sh('grep -lE "$1" /etc/dovecot/*sql* /etc/dovecot/conf.d/*sql* 2>/dev/null', pattern)
    files += dovecot.out.splitlines()
    if not files:
        exam.unknown("files that name a database password", "Postfix and Dovecot name none")
        return exam.close()
    readable: dict[str, bool] = ask(new, "readable", paths=files, user="nobody")["readable"]
    for path, can in readable.items():
        exam.expect(f"read {path} as the user nobody", "can be read" if can else "refused", not can, "refused")
    return exam.close()


def aliases_lead_somewhere(server: Server) -> Evidence:
    """No alias runs in a circle or ends at an address that is not there."""
    exam = Examination(
        "No alias runs in a circle or ends nowhere",
        server.role,
        "Mail for such an alias bounces, on the old server already; now is the time to see it.",
        "correct or delete the alias on the old server, before the accounts are carried over",
        required=False,
    )
    facts = server.facts
    aliases: dict[str, list[str]] = {}
    for source, destinations in facts.aliases:
        aliases.setdefault(source.lower(), []).extend(d.lower() for d in re.split(r"[,\s]+", destinations) if d)
    for circle in circles(aliases, facts.users):
        exam.expect("aliases in a circle", " → ".join(circle), good=False, expected="an end")
    for source, destination in dead_ends(aliases, facts.users, facts.domains):
        exam.expect(f"alias {source}", f"{destination} is neither mailbox nor alias", good=False, expected="somebody")
    exam.expect("aliases looked at", len(facts.aliases), good=True)
    return exam.close()


def aliases_end_at_the_machine(old: Server, outside: Outside) -> Evidence:
    """What aliases of old lead to on the machine itself (a Unix user, a program in /etc/aliases) is known to new."""
    exam = Examination(
        "Aliases that lead to the machine itself find somebody there",
        "both",
        "Lists, ticket systems and notices of absence often are such aliases: on a new machine their mail comes back.",
        "make the user there, or bring the line over to /etc/aliases (newaliases) with the program it names; "
        "postconf mydestination must hold the name behind the @",
    )
    local = {word.lower() for word in re.split(r"[,\s]+", old.setting("mydestination")) if word and ":" not in word}
    origin = outside.server.sh(ORIGIN, what="the name in letters of its own").out.strip()
    led: dict[str, list[str]] = {}
    for source, destinations in old.facts.aliases:
        for destination in (each.strip() for each in destinations.split(",") if each.strip()):
            name, _, domain = destination.rpartition("@")
            if domain.lower() in local and name:
                led.setdefault(destination, []).append(source)
            elif not name and re.fullmatch(r"[\w.+-]+", destination):
                led.setdefault(f"{destination}@{origin}", []).append(source)
    if not led:
        return exam.not_applicable("no alias of the old server leads to the machine itself")
    talks = smtp.converse_all([outside.call([destination]) for destination in led])
    for (destination, sources), talk in zip(led.items(), talks, strict=True):
        answers = talk.of("RCPT")
        asked = f"{destination}, to whom {', '.join(sources[:5])} leads: RCPT"
        expect(exam, asked, talk, bool(answers) and answers[0].good, "250")
    return exam.close()


def circles(aliases: Mapping[str, Sequence[str]], users: Iterable[str] = ()) -> list[list[str]]:
    """Chains of aliases that come back to where they were, each once. One that names itself is none: Postfix stops.

    Who is neither alias nor user is taken by the catch-all of the domain.
    """
    people = {user.lower() for user in users}

    def leads_to(address: str) -> Sequence[str]:
        if address in aliases or address in people:
            return aliases.get(address, ())
        catch_all = "@" + address.rpartition("@")[2]
        return (catch_all,) if catch_all in aliases else ()

    found: dict[frozenset[str], list[str]] = {}
    for start in aliases:
        stack: list[tuple[str, list[str]]] = [(start, [start])]
        seen: set[str] = set()
        while stack:
            here, path = stack.pop()
            for there in leads_to(here):
                if there == start and len(path) > 1:
                    found.setdefault(frozenset(path), [*path, start])
                elif there not in seen and there != here:
                    seen.add(there)
                    stack.append((there, [*path, there]))
    return list(found.values())


def dead_ends(
    aliases: Mapping[str, Sequence[str]], users: Iterable[str], domains: Iterable[str]
) -> list[tuple[str, str]]:
    """(alias, destination) where the destination lies in a hosted domain and nobody is there."""
    people = {user.lower() for user in users}
    hosted = {domain.lower() for domain in domains}
    found = []
    for source, destinations in aliases.items():
        for destination in destinations:
            local, _, domain = destination.rpartition("@")
            plain = local.partition("+")[0] + "@" + domain
            known = {destination, plain} & (people | aliases.keys()) or f"@{domain}" in aliases
            if domain in hosted and not known:
                found.append((source, destination))
    return found


def tables_in(setting: str) -> list[str]:
    """The tables a Postfix setting names, in order: ``mysql:/etc/postfix/a.cf``."""
    return [word for word in re.split(r"[,\s]+", setting) if re.match(r"(?:proxy:)?[a-z]+:", word)]


def look_up(server: Server, questions: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Found]:
    """What ``postmap -q`` says to each (table, key), all in one go."""
    found = {each: Found("", "such a name cannot be looked up") for each in questions if _ODD.search(each[1])}
    asked = [each for each in questions if each not in found]
    if not asked:
        return found
    lines = "".join(f"{table.removeprefix('proxy:')}\t{key}\n" for table, key in asked)
    out = server.sh(_ASK, stdin=lines, check=True).out.removesuffix("\n").split("\n")
    for question, line in zip(asked, out, strict=True):
        status, _, value = line.partition("\t")
        value = value.strip()
        # 1 and no word: not there. 1 and words: it could not be asked.
        trouble = value if status != "0" and value else "" if status in ("0", "1") else f"exit status {status}"
        found[question] = Found(value if status == "0" else "", trouble)
    return found


def _required(exam: Examination, new: Server, setting: str) -> list[str]:
    tables = tables_in(new.setting(setting))
    if not tables:
        exam.expect(setting, new.setting(setting) or "(empty)", good=False, expected="a table that asks the database")
    return tables


def _expect(exam: Examination, what: str, key: str, found: Sequence[Found], *, present: bool) -> None:
    trouble = any(each.trouble for each in found)
    there = any(each.value for each in found)
    words = " / ".join(map(str, found))
    exam.expect(f"{what} ({key})", words, there == present and not trouble, "found" if present else "not found")


def _exam(title: str, why: str, hint: str) -> Examination:
    return Examination(title, "new", why, f"{hint} ({CHAPTER})")
