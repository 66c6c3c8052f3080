"""What one mail server does that the other does not: pure comparison of what ``remote/parity.py`` saw on both.

Names, addresses and places that every server has of its own are put aside first; what remains is judged by
``parity_rules``.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from mailmove import parity_rules as rules
from mailmove.parity_rules import Weight

Seen = Mapping[str, Any]
"""The JSON object of ``remote/parity.py``."""

HERE = "«this server»"
TABLE = re.compile(
    r"\b(?:proxy:)?((?:mysql|pgsql|ldap|sqlite|hash|btree|lmdb|cdb|dbm|texthash|regexp|pcre|cidr):(/[^\s,{}]+))"
)


@dataclass(frozen=True)
class Difference:
    """Something old does and new does not, or the other way round. ``name`` is how a decision calls it."""

    name: str
    old: str
    new: str
    weight: Weight
    reason: str = ""


@dataclass(frozen=True)
class Side:
    """One server: what was seen, and what is its own there."""

    seen: Seen
    names: Sequence[str] = ()  # host names and addresses of its own
    root: str = ""  # the mail root
    domains: Sequence[str] = ()  # hosted ones
    plugins: frozenset[str] = frozenset()
    protocols: Sequence[str] = ()
    mechanisms: Sequence[str] = ()
    websites: Sequence[str] = field(default=())
    dovecot: str = ""  # its version, "2.3"
    release: int = 12
    users: frozenset[str] = frozenset()  # who has a mailbox by the database, in small letters

    def plain(self, value: str) -> str:
        """A value without what is this server's own: names, addresses, mail root."""
        for name in sorted((n for n in self.names if n), key=len, reverse=True):
            value = re.sub(rf"(?<![\w.:-]){re.escape(name)}(?![\w-])", HERE, value, flags=re.I)
        if self.root:
            value = value.replace(self.root, "«mail root»")
        return " ".join(value.split())

    def setting(self, name: str) -> str:
        """The value of a Postfix setting that is in force."""
        return str(self.seen["postfix"].get(name, ""))


# How letters go


def size(old: Side, new: Side) -> Iterator[Difference]:
    """Whether new takes letters as large as old does."""
    name = "message_size_limit"
    theirs, ours = (int(side.setting(name) or 0) for side in (old, new))
    if theirs == ours:
        return
    smaller = ours != 0 and (theirs == 0 or ours < theirs)
    yield Difference(
        f"postfix {name}",
        f"{theirs:,} bytes" if theirs else "no limit",
        f"{ours:,} bytes" if ours else "no limit",
        Weight.REQUIRED if smaller else Weight.EXPLAINED,
        "letters that people get today are refused" if smaller else "the new server takes larger letters",
    )


def routes(old: Side, new: Side) -> Iterator[Difference]:
    """What of old's tables and rules for the way of letters new does not have, and what it has besides."""
    for name, loss in rules.ROUTES.items():
        there, here = (_route(side, name) for side in (old, new))
        gone, more = there - here, here - there
        if gone:
            yield Difference(f"postfix {name}", _list(gone), "not there", Weight.REQUIRED, loss)
        elif more and "_bcc" in name:
            loss = "somebody gets a copy of people's letters, which nobody got on old: left over from a test?"
            yield Difference(f"postfix {name}", "not there", _list(more), Weight.REQUIRED, loss)
        elif more and name in rules.REWRITE and not re.search(r"\b(tcp|socketmap):", new.setting(name)):
            loss = "it makes others of addresses that old leaves as they are: left over from a test?"
            yield Difference(f"postfix {name}", "not there", _list(more), Weight.REQUIRED, loss)
        elif more:
            yield Difference(f"postfix {name}", "not there", _list(more), Weight.RECOMMENDED, "only new has it")
        else:
            changed = _led_elsewhere(old.seen["tables"], new.seen["tables"], old.setting(name), new.setting(name))
            if changed:
                words = f"{len(changed)} entries: {_list(changed)}"
                yield Difference(
                    f"postfix {name}",
                    words,
                    "they lead elsewhere",
                    Weight.REQUIRED,
                    "changed on one server since the other was set up",
                )


def _led_elsewhere(theirs: Seen, ours: Seen, there: str, here: str) -> list[str]:
    """The entries that stand in the files named by old's setting and by new's, and do not say the same."""
    known: dict[str, set[str]] = {}
    for table, _ in TABLE.findall(here):
        for key, lead in ours.get(table, {}).get("leads", {}).items():
            known.setdefault(key, set()).add(lead)
    leads = [pair for table, _ in TABLE.findall(there) for pair in theirs.get(table, {}).get("leads", {}).items()]
    return sorted({key for key, lead in leads if key in known and lead not in known[key]})


def _route(side: Side, name: str) -> set[str]:
    value = side.setting(name)
    found: set[str] = set()
    for table, path in TABLE.findall(value):
        if "/mailmove-" in path:
            continue
        known = side.seen["tables"].get(table) or {"queries": [], "keys": []}
        found |= {f"a question to the database: {query}" for query in known["queries"]}
        found |= {f"entry {key}" for key in known["keys"]}
    for word in re.split(r"[,\s]+", TABLE.sub(" ", value)):
        plain = side.plain(word)
        if plain and not (name == "mydestination" and _of_its_own(side, word, plain)):
            found.add(plain)
    return found


def _of_its_own(side: Side, word: str, plain: str) -> bool:
    """Whether a word in mydestination is one of the server's own names: local mail, not people's."""
    host = word.lower()
    own = host.partition(".")[0] in {n.partition(".")[0].lower() for n in side.names if not n[:1].isdigit()}
    parent = any(n.lower().endswith("." + host) for n in side.names) and host not in side.domains
    return HERE in plain or own or parent or host.startswith("localhost") or host == "$mydomain"


def doors(old: Side, new: Side) -> Iterator[Difference]:
    """Who may hand letters in: services, networks that are trusted, and what is refused."""
    theirs, ours = old.seen["services"], new.seen["services"]
    used = " ".join(old.setting(name) for name in rules.ROUTES)
    for name in sorted(set(theirs) - set(ours)):
        if name.startswith("mailmove"):
            continue
        service, kind = name.split("/")
        needed = kind == "inet" or service in rules.INNER or re.search(rf"(?<![\w-]){re.escape(service)}:", used)
        yield Difference(
            f"postfix service {name}",
            str(theirs[name]["command"]),
            "not there",
            Weight.REQUIRED if needed else Weight.RECOMMENDED,
            "mail programs and servers that call there find nobody"
            if kind == "inet"
            else rules.INNER.get(service, "letters go through it on old"),
        )
    for name in sorted(set(ours) - set(theirs)):
        yield Difference(
            f"postfix service {name}", "not there", str(ours[name]["command"]), Weight.EXPLAINED, "one way more"
        )
    for name in sorted(set(theirs) & set(ours)):
        yield from _options(name, old, new)
        yield from _at_once(name, old, new)
    yield from networks(old, new)
    for name in rules.RESTRICTIONS:
        yield from restrictions(f"postfix {name}", old.plain(old.setting(name)), new.plain(new.setting(name)))
    yield from _lists(old, new)


def _lists(old: Side, new: Side) -> Iterator[Difference]:
    """What stands in the files by which both servers let people in and refuse them."""
    theirs, ours = (" ".join(_restricting(side)) for side in (old, new))
    here = {path.rpartition("/")[2]: table for table, path in TABLE.findall(ours)}
    for table, path in sorted(set(TABLE.findall(theirs))):
        name = path.rpartition("/")[2]
        there, now = old.seen["tables"].get(table, {}), new.seen["tables"].get(here.get(name, ""), {})
        if name not in here or not there.get("leads"):
            continue  # a table that new does not ask at all is told with the restriction
        known = now.get("leads", {})
        if lost := sorted(key for key, lead in there["leads"].items() if known.get(key) != lead):
            yield Difference(
                f"postfix list {name}",
                f"{len(lost)} entries: {_list(lost)}",
                "not there, or another word for them",
                Weight.RECOMMENDED,
                "whom it lets in or refuses on old is treated in another way on new",
            )


def _restricting(side: Side) -> Iterator[str]:
    for name in rules.RESTRICTIONS:
        yield side.setting(name)
        for service in side.seen["services"].values():
            yield service["options"].get(name, "")


def _options(service: str, old: Side, new: Side) -> Iterator[Difference]:
    theirs, ours = (side.seen["services"][service]["options"] for side in (old, new))
    for option in sorted(set(theirs) | set(ours)):
        # What a service does not set is as in main.cf
        here = new.plain(ours.get(option, new.setting(option)))
        there = old.plain(theirs.get(option, old.setting(option)))
        name = f"postfix service {service} {option}"
        if option in rules.RESTRICTIONS:
            yield from restrictions(name, there, here)
        elif there != here:
            weight, reason = Weight.RECOMMENDED, ""
            if option == "smtpd_sasl_auth_enable" and there == "yes":
                weight, reason = Weight.REQUIRED, "people who log in there can no longer"
            yield Difference(name, there or "(empty)", here or "(empty)", weight, reason)


FEW = 10  # conversations at once: a few slow clients, and nobody else is answered


def _at_once(service: str, old: Side, new: Side) -> Iterator[Difference]:
    """Whether a service of new does less at once than old's."""
    theirs, ours = (_processes(side, service) for side in (old, new))
    if ours >= theirs:
        return
    few = service.endswith("/inet") and ours < FEW
    yield Difference(
        f"postfix service {service} processes",
        "as many as come" if theirs == math.inf else f"{theirs:.0f} at once",
        f"{ours:.0f} at once",
        Weight.REQUIRED if few else Weight.RECOMMENDED,
        "whoever calls while these are busy is not answered (the column maxproc in master.cf, default_process_limit)",
    )


def _processes(side: Side, service: str) -> float:
    limit = side.seen["services"][service]["limit"]
    said = int(limit if limit.isdigit() else side.setting("default_process_limit") or 100)
    return said or math.inf


def networks(old: Side, new: Side) -> Iterator[Difference]:
    """Networks whose machines may send without a login."""
    theirs, ours = (_networks(side) for side in (old, new))
    if gone := [n for n in theirs if not _within(n, ours) and not _own_network(n, old)]:
        yield Difference(
            "postfix mynetworks",
            _list(gone),
            "not there",
            Weight.REQUIRED,
            "machines there may no longer send without a login",
        )
    if more := [n for n in ours if not _within(n, theirs) and not _own_network(n, new)]:
        yield Difference(
            "postfix mynetworks more",
            "not there",
            _list(more),
            Weight.RECOMMENDED,
            "machines there may send to the world",
        )


def _networks(side: Side) -> list[str]:
    return [word for word in re.split(r"[,\s]+", side.setting("mynetworks")) if word]


def _within(network: str, others: Iterable[str]) -> bool:
    mine = _parsed(network)
    for other in others:
        theirs = _parsed(other)
        if (
            network == other
            or (
                isinstance(mine, ipaddress.IPv4Network)
                and isinstance(theirs, ipaddress.IPv4Network)
                and mine.subnet_of(theirs)
            )
            or (
                isinstance(mine, ipaddress.IPv6Network)
                and isinstance(theirs, ipaddress.IPv6Network)
                and mine.subnet_of(theirs)
            )
        ):
            return True
    return False


def _own_network(network: str, side: Side) -> bool:
    parsed = _parsed(network)
    if parsed is None:
        return False
    own = [ipaddress.ip_address(n) for n in side.names if re.fullmatch(r"[\da-f.:]+", n) and not n.isdigit()]
    # postconf's default holds the server's own networks; a network of a thousand machines is nobody's own by chance
    return parsed.is_loopback or any(a in parsed for a in own)


def _parsed(network: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(network.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def restrictions(name: str, theirs: str, ours: str) -> Iterator[Difference]:
    """What new refuses that old takes, and the other way round. Order is not compared."""
    there, here = (_clauses(text) for text in (theirs, ours))
    for clause in sorted(here - there):
        harmless = rules.HARMLESS_RESTRICTIONS.get(clause)
        if clause.startswith("permit"):
            weight, reason = Weight.RECOMMENDED, "the new server lets more in"
        elif clause == "reject_sender_login_mismatch":
            weight, reason = (
                Weight.RECOMMENDED,
                "people can no longer send under addresses that are not theirs (guide: relaying)",
            )
        else:
            weight, reason = Weight.REQUIRED, "the new server may refuse letters that the old one takes"
        yield Difference(
            f"{name} {clause}", "not there", clause, Weight.EXPLAINED if harmless else weight, harmless or reason
        )
    for clause in sorted(there - here):
        harmless = rules.HARMLESS_RESTRICTIONS.get(clause)
        if clause.startswith("permit") and clause not in ("permit_mynetworks",):
            weight, reason = Weight.REQUIRED, "who is let in by this is refused on the new server"
        else:
            weight, reason = Weight.RECOMMENDED, "the new server takes what the old one refuses or asks about"
        yield Difference(
            f"{name} {clause}", clause, "not there", Weight.EXPLAINED if harmless else weight, harmless or reason
        )


def _clauses(text: str) -> set[str]:
    words = [TABLE.sub(lambda m: m[1].partition(":")[0] + " table " + m[2].rpartition("/")[2], w) for w in _words(text)]
    found: list[str] = []
    for word in words:
        if (
            found
            and found[-1].startswith(("check_", "reject_rbl", "reject_rhsbl", "permit_dnswl", "permit_rhswl"))
            and " " not in found[-1]
        ):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return set(found)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def postfix(old: Side, new: Side) -> Iterator[Difference]:
    """Every other setting that somebody made on one of the servers."""
    special = {*rules.ROUTES, *rules.RESTRICTIONS, "message_size_limit", "mynetworks"}
    for name in sorted({*old.seen["explicit"], *new.seen["explicit"]} - special):
        there, here = old.seen["postfix"].get(name), new.seen["postfix"].get(name)
        if there is None or here is None:
            if name in old.seen["explicit"] and here is None:
                yield _judged(f"postfix {name}", old.plain(there or ""), "this Postfix has no such setting", new)
            continue
        if TABLE.search(there + here):
            more, less = _route(old, name) - _route(new, name), _route(new, name) - _route(old, name)
            if name.endswith(("header_checks", "body_checks")) and less:
                loss = (
                    "it changes, refuses or throws away letters that old delivers as they are: left over from a test?"
                )
                yield Difference(f"postfix {name}", _list(more) or "nothing more", _list(less), Weight.REQUIRED, loss)
            elif name != "smtpd_sender_login_maps" and name not in ("alias_maps", "alias_database") and more | less:
                yield _judged(f"postfix {name}", _list(more) or "nothing more", _list(less) or "nothing more", new)
            elif name == "smtpd_sender_login_maps" and (not there or not here):
                words = "bound to their own address", "not bound to any address"
                yield _judged(f"postfix {name}", words[not there], words[not here], new)
            continue
        if old.plain(there) != new.plain(here):
            if (
                name in ("smtpd_tls_security_level", "smtp_tls_security_level")
                and _insists(here)
                and not _insists(there)
            ):
                # The edition for Debian 13 wants it so
                weight = Weight.RECOMMENDED if new.release >= 13 else Weight.REQUIRED
                yield Difference(f"postfix {name}", there or "(empty)", here, weight, _UNENCRYPTED[name])
                continue
            if name == "smtpd_sasl_auth_enable" and there == "yes":
                weight = Weight.RECOMMENDED if new.release >= 13 else Weight.REQUIRED
                loss = "people whose programs hand in letters at port 25 can no longer log in there"
                yield Difference(f"postfix {name}", there, here, weight, loss)
                continue
            yield _judged(f"postfix {name}", old.plain(there) or "(empty)", new.plain(here) or "(empty)", new)


_UNENCRYPTED = {
    "smtpd_tls_security_level": "letters from servers and devices that do not encrypt, which old takes, are refused",
    "smtp_tls_security_level": "letters to servers that do not encrypt, which old delivers, come back after days",
}


def _insists(level: str) -> bool:
    return level not in ("", "none", "may", "dane")


def _judged(name: str, there: str, here: str, new: Side) -> Difference:
    rule = rules.judge(name, new.release)
    return (
        Difference(name, there, here, rule.weight, rule.reason)
        if rule
        else Difference(name, there, here, Weight.RECOMMENDED)
    )


# How people read them


def reading(old: Side, new: Side) -> Iterator[Difference]:
    """Protocols and ways of logging in."""
    for kind, theirs, ours, loss in (
        ("protocol", old.protocols, new.protocols, "mail programs that are set up so find nobody"),
        ("login", old.mechanisms, new.mechanisms, "mail programs that log in so are refused"),
    ):
        for word in sorted({w.lower() for w in theirs} - {w.lower() for w in ours}):
            yield Difference(f"dovecot {kind} {word}", "offered", "not offered", Weight.REQUIRED, loss)
        for word in sorted({w.lower() for w in ours} - {w.lower() for w in theirs}):
            yield Difference(f"dovecot {kind} {word}", "not offered", "offered", Weight.EXPLAINED, "one way more")
    yield from _accounts(old, new)
    yield from _queries(old, new)


_OF_THE_MACHINE = ("pam", "passwd", "shadow", "bsdauth")


def _accounts(old: Side, new: Side) -> Iterator[Difference]:
    """Who is known to old's Dovecot beside the database."""
    ours: dict[tuple[str, ...], set[str]] = {}
    for kind, driver, deny, master, names in new.seen["accounts"]:
        ours.setdefault((kind, driver, deny, master), set()).update(names)
    for kind, driver, deny, master, names in old.seen["accounts"]:
        here = ours.get((kind, driver, deny, master))
        lost = sorted({name for name in names if name.lower() not in old.users or deny or master} - (here or set()))
        beside = driver not in ("sql", "static", "prefetch", "passwd-file") and here is None
        if not lost and not beside:
            continue
        weight, reason = Weight.REQUIRED, "who is known there and not in the database can no longer log in"
        if driver in _OF_THE_MACHINE:
            reason = "users of the machine itself, who read mail with their login, can no longer"
        elif kind == "userdb":
            reason = "mailboxes that are in no database are not known on new: letters for them are refused"
        if deny:
            reason = "who is shut out by it on old gets in on new"
        elif master:
            weight, reason = (
                Weight.RECOMMENDED,
                "programs that open everybody's mailbox with it (a backup, an archive) cannot",
            )
        word = " that refuses" if deny else " of masters" if master else ""
        yield Difference(f"dovecot {kind} {driver}{word}", _list(lost) or "in use", "not there", weight, reason)


def _queries(old: Side, new: Side) -> Iterator[Difference]:
    """By which conditions Dovecot finds people in the database, and what else it takes from there."""
    for query, (condition, fields) in sorted(old.seen["queries"].items()):
        now, taken = new.seen["queries"].get(query, (condition, fields))
        if condition.lower() != now.lower():
            reason = "who is let in and who is not, or which mailbox is theirs, is decided in another way"
            yield Difference(f"dovecot {query}", f"where {condition}", f"where {now}", Weight.REQUIRED, reason)
        if lost := sorted(set(fields) - set(taken)):
            reason = (
                "what it says of single people (where their mail lies, from where they may log in) is not asked for"
            )
            yield Difference(f"dovecot {query} fields", _list(lost), "not asked for", Weight.REQUIRED, reason)


def mailboxes(old: Side, new: Side) -> Iterator[Difference]:
    """Plugins, namespaces, limits, folders for a purpose, Sieve for everybody, and whatever else is set."""
    for plugin in sorted(old.plugins - new.plugins):
        loss = rules.PLUGINS_NEEDED.get(plugin, "")
        weight = Weight.REQUIRED if loss else Weight.RECOMMENDED
        if plugin == "quota":
            weight, loss = Weight.RECOMMENDED, "mailboxes have no limit any more"
        yield Difference(f"dovecot plugin {plugin}", "in use", "not in use", weight, loss)
    for plugin in sorted(new.plugins - old.plugins):
        yield Difference(
            f"dovecot plugin {plugin}", "not in use", "in use", Weight.EXPLAINED, "the new server does more"
        )
    there, here = (int(side.seen["watchers"] or 0) for side in (old, new))
    if 0 < here < there:
        loss = (
            "programs of more people than that, waiting at once, are told late of a new letter (sysctl, /etc/sysctl.d)"
        )
        yield Difference("kernel fs.inotify.max_user_instances", str(there), str(here), Weight.RECOMMENDED, loss)
    yield from _sieve(old, new)
    yield from _programs(old, new)
    yield from _kept(old, new)
    if new.seen["shut"]:
        yield Difference(
            "what Dovecot on new may not read",
            "",
            _owned(new.seen["shut"]),
            Weight.REQUIRED,
            "letters for people there are put off, and then come back to those who wrote: chown -R to the mailboxes' own user",
        )
    if old.dovecot != new.dovecot:
        return  # another language: single settings cannot be laid side by side
    theirs, ours = old.seen["dovecot"], new.seen["dovecot"]
    lost = {k.split("/")[0] for k in theirs if k.startswith("namespace ")} - {k.split("/")[0] for k in ours}
    for namespace in sorted(lost):
        yield Difference(f"dovecot {namespace}", "there", "not there", Weight.REQUIRED, "all folders in it are gone")
    for name in sorted(set(theirs) | set(ours)):
        if name.split("/")[0] in lost:
            continue
        there, here = theirs.get(name), ours.get(name)
        if name.endswith("/autoexpunge"):
            if _days(here) and (not _days(there) or _days(here) < _days(there)):
                yield _judged(f"dovecot {name}", there or "kept", f"deleted after {here}", new)
        elif name.endswith("/special_use"):
            if there and not here:
                yield _judged(f"dovecot {name}", there, "no folder for it", new)
        elif old.plain(there or "") != new.plain(here or ""):
            yield _judged(
                f"dovecot {name}", old.plain(there or "") or "(default)", new.plain(here or "") or "(default)", new
            )


def _kept(old: Side, new: Side) -> Iterator[Difference]:
    """What old's Dovecot keeps of people's outside the mail root: no move looks there."""
    known = {digest for each in new.seen["kept"].values() for digest in each["digests"]}
    for name, each in sorted(old.seen["kept"].items()):
        loss = next((words for pattern, words in rules.KEPT if fnmatchcase(name, pattern)), "")
        lost = [digest for digest in each["digests"] if digest not in known]
        if lost:
            yield Difference(
                f"dovecot files of {name}",
                f"{each['files']:,}{' and more' * each['more']} in {each['path']}",
                "not there",
                Weight.REQUIRED if loss else Weight.RECOMMENDED,
                f"no move carries over what lies outside the mail root: {loss}" if loss else "no move carries it over",
            )


def _days(text: str | None) -> float:
    """A time in Dovecot's words in days; 0 is never."""
    match = re.fullmatch(r"(\d+)\s*([a-z]*)", (text or "").strip())
    if not match:
        return 0.0
    units = {"s": 1 / 86400, "m": 1 / 1440, "h": 1 / 24, "d": 1.0, "w": 7.0}
    return int(match[1]) * units.get(match[2][:1], 1 / 86400)


def _sieve(old: Side, new: Side) -> Iterator[Difference]:
    theirs, ours = old.seen["sieve"], new.seen["sieve"]
    for name, script in sorted(theirs.items()):
        same = ours.get(name)
        if any(each["digest"] == script["digest"] for each in ours.values()):
            continue
        does = f"{', '.join(script['does']) or 'nothing'} (looks at {', '.join(script['looks_at']) or 'everything'})"
        if any(_alike(script, each) for each in ours.values()):
            reason = "both do the guide's work; the chapter on spam tries it"
            yield Difference(f"dovecot global sieve {name}", does, "another text", Weight.EXPLAINED, reason)
        elif same:
            yield Difference(
                f"dovecot global sieve {name}", does, "another text", Weight.RECOMMENDED, "it may do something else"
            )
        else:
            loss = "it works on everybody's letters, and no longer will"
            yield Difference(f"dovecot global sieve {name}", does, "not there", Weight.REQUIRED, loss)
    known = {each["digest"] for each in theirs.values()}
    for name, script in sorted(ours.items()):
        if name not in theirs and script["digest"] not in known and not any(_alike(script, e) for e in theirs.values()):
            does = ", ".join(script["does"]) or "nothing"
            weight, reason = Weight.RECOMMENDED, "only new has it"
            if TAKING & set(script["does"]):
                weight = Weight.REQUIRED
                reason = "it keeps letters of everybody's from the mailbox, which old delivers: left over from a test?"
            yield Difference(f"dovecot global sieve {name}", "not there", does, weight, reason)


TAKING = {"discard", "reject", "ereject", "redirect"}  # a letter that is filed is still there


def _programs(old: Side, new: Side) -> Iterator[Difference]:
    """What rules of old may start, and cannot on new."""
    theirs, ours = old.seen["sieve_programs"], new.seen["sieve_programs"]
    known = {each["digest"] for each in ours.values()}
    teacher = any(each["teaches"] for each in ours.values())
    for name, program in sorted(theirs.items()):
        if program["digest"] in known and name in ours:
            continue
        if program["teaches"] and teacher:
            weight, reason = Weight.EXPLAINED, "it teaches the spam filter; the chapter on spam tries it"
        elif name in ours:
            weight, reason = Weight.RECOMMENDED, "it may do something else with what rules hand to it"
        else:
            weight, reason = Weight.REQUIRED, "rules that hand letters to it (pipe, filter, execute) no longer can"
        yield Difference(
            f"dovecot sieve program {name}", "there", "another one" if name in ours else "not there", weight, reason
        )


def _owned(shut: Sequence[Sequence[str]]) -> str:
    """Paths and whose they are: of what lies below a path that is named, only how much it is."""
    tops: dict[str, int] = {}
    users: dict[str, str] = {each[0]: each[1] for each in shut}
    for path in sorted(users):
        above = next((top for top in tops if path.startswith(top + "/")), path)
        tops[above] = tops.get(above, -1) + 1
    return _list(f"{top}{f' and {more} below' * bool(more)} (belongs to {users[top]})" for top, more in tops.items())


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both do the guide's work on spam: file what the filter marked, or teach the filter."""
    filing = all(
        s["does"] == ["fileinto"]
        and s["looks_at"]
        and {w.lower() for w in s["looks_at"]} <= {"x-spam", "x-spam-flag", "x-spam-status"}
        for s in (one, other)
    )
    return filing or all(s["does"] == ["pipe"] for s in (one, other))


# Beside


def database(old: Side, new: Side, carried: Iterable[str]) -> Iterator[Difference]:
    """Databases, tables, triggers and events that old has. ``carried``: databases that the moves carry over, old: new."""
    theirs, ours = old.seen["database"].get("tables", {}), new.seen["database"].get("tables", {})
    names = dict(pair.split(":", 1) for pair in carried)
    for base, tables in sorted(theirs.items()):
        there = ours.get(names.get(base, base))
        if base not in names:
            if there is None:
                yield Difference(
                    f"database {base}",
                    f"{len(tables)} tables",
                    "not there",
                    Weight.RECOMMENDED,
                    "no move carries it over",
                )
            continue
        for table, columns in sorted(tables.items()):
            if there is None or table not in there:
                yield Difference(
                    f"database {base}.{table}", "a table", "not there", Weight.RECOMMENDED, "no move carries it over"
                )
            elif more := [column for column in columns if column not in there[table]]:
                yield Difference(
                    f"database {base}.{table}",
                    _list(more),
                    "not there",
                    Weight.RECOMMENDED,
                    "columns new does not have",
                )
    known = {(kind, name) for kind, _, name in new.seen["database"].get("extra", [])}
    for kind, base, name in old.seen["database"].get("extra", []):
        if (kind, name) not in known:
            yield Difference(
                f"database {kind} {base}.{name}",
                "there",
                "not there",
                Weight.RECOMMENDED,
                "it does something by itself",
            )


def jobs(old: Side, new: Side) -> Iterator[Difference]:
    """Jobs of the admin's own that touch mail, and by which clock they are done."""
    (there, *theirs), (here, *ours) = old.seen["zone"], new.seen["zone"]
    if theirs != ours:
        reason = "jobs, people's rules that ask for the hour, and what the logs say go by another clock (timedatectl set-timezone)"
        yield Difference("time zone", there, here, Weight.RECOMMENDED, reason)
    known = {each["digest"] for lines in new.seen["jobs"].values() for each in lines}
    for where, lines in sorted(old.seen["jobs"].items()):
        for each in lines:
            if each["digest"] not in known:
                runs = ", ".join(each["runs"]) or "a command"
                found = _judged(f"job {where}", f"runs {runs}", "not there", new)
                yield (
                    found
                    if found.reason
                    else Difference(found.name, found.old, found.new, found.weight, "nobody does it on new")
                )


def system_mail(old: Side, new: Side) -> Iterator[Difference]:
    """The system's own aliases, mail in /var/mail, and people with a login."""
    theirs, ours = old.seen["aliases"], new.seen["aliases"]
    for name, target in sorted(theirs.items()):
        if old.plain(ours.get(name, "")) != old.plain(target) and new.plain(ours.get(name, "")) != old.plain(target):
            programs = re.search(r"[|/]|:include:", target) is not None
            yield Difference(
                f"system alias {name}",
                "a program or a file" if programs else target,
                "elsewhere" if name in ours else "not there",
                Weight.REQUIRED if "|" in target else Weight.RECOMMENDED,
                "letters are handed to a program there (a list, a ticket system), and no longer will be"
                if "|" in target
                else "reports of the machine itself reach nobody, or somebody else",
            )
    for user, spool in sorted(old.seen["spools"].items()):
        yield Difference(
            f"mail in {user}" if "/" in user else f"mail in /var/mail of {user}",
            f"{spool['bytes']:,} bytes",
            "not carried over",
            Weight.REQUIRED if spool["person"] else Weight.RECOMMENDED,
            "no move carries over letters that lie outside the mail root",
        )
    left = [home for home in old.seen["homes"] if home.lower() not in old.users]
    if left:
        yield Difference(
            "mailboxes without an account",
            _list(set(left)),
            "seen by nobody",
            Weight.RECOMMENDED,
            "they come along as they are, and nobody can look into them: delete them, or give them accounts",
        )
    if old.seen["shut"]:
        yield Difference(
            "what Dovecot on old may not read",
            _owned(old.seen["shut"]),
            "shut there as well",
            Weight.REQUIRED,
            "nobody sees what lies there, and the move cannot prove that it came along: give it to the mailboxes' own user "
            "(chown), or move it out of the mail root",
        )
    if away := old.seen["elsewhere"]:
        yield Difference(
            "mailboxes with a home elsewhere",
            _list(f"{user} in {home}" for user, home in away),
            "not carried over",
            Weight.REQUIRED,
            "moves look below the mail root only: move the directory there, and let Dovecot's user query say so",
        )
    for path, target in old.seen["links"]:
        yield Difference(
            f"mail behind the link {path}",
            f"lies in {target}",
            "not carried over",
            Weight.REQUIRED,
            "a link is carried over as a link: move the directory to where the link is, or mount it there (mount --bind)",
        )
    for user, forward in sorted(old.seen["people"].items()):
        here = new.seen["people"].get(user)
        if here is None:
            yield Difference(
                f"login {user}", "there", "not there", Weight.RECOMMENDED, "somebody has an account on old"
            )
        elif forward and not here:
            yield Difference(
                f"forward of {user}",
                "there",
                "not there",
                Weight.RECOMMENDED,
                "mail for this user is passed on, on old",
            )


def web(old: Side, new: Side) -> Iterator[Difference]:
    """Web sites, paths and the webmail's plugins."""
    own = {n.lower() for n in (*old.names, *old.websites)} & {n.lower() for n in old.seen["websites"]["names"]}
    mail = {name for name in own if name in {n.lower() for n in old.names}}
    for name in old.seen["websites"]["names"]:
        covered = name in new.seen["websites"]["names"] or name in mail
        if not covered and not name.endswith(tuple(f".{d}" for d in old.domains)):
            yield Difference(
                f"web site {name}", "there", "not there", Weight.RECOMMENDED, "it goes with the old server"
            )
        elif not covered:
            reason = "a name of the mail server's; certificates and signing keys carry it over where it is in use"
            yield Difference(f"web site {name}", "there", "not there", Weight.EXPLAINED, reason)
    for path in sorted(set(old.seen["websites"]["paths"]) - set(new.seen["websites"]["paths"])):
        yield Difference(f"web path {path}", "there", "not there", Weight.RECOMMENDED, "it goes with the old server")
    yield from webmail(old, new)


def webmail(old: Side, new: Side) -> Iterator[Difference]:
    """Roundcube's plugins and settings, and what may be attached to a letter there."""
    theirs, ours = old.seen["webmail"], new.seen["webmail"]
    for plugin in sorted(set(theirs["plugins"]) - set(ours["plugins"])):
        yield Difference(
            f"webmail plugin {plugin}", "in use", "not in use", Weight.RECOMMENDED, "people miss what it does"
        )
    if not theirs["settings"] or not ours["settings"]:
        return  # one of them has no webmail, which other scenarios say
    largest, here = theirs["attachment"], ours["attachment"]
    if here and (not largest or here < largest):
        yield Difference(
            "webmail attachments",
            f"up to {largest:,} bytes" if largest else "without limit",
            f"up to {here:,} bytes",
            Weight.RECOMMENDED,
            "files that people attach in the webmail today are refused (upload_max_filesize, post_max_size)",
        )
    for name in sorted(set(theirs["settings"]) | set(ours["settings"])):
        there, now = (old.plain(theirs["settings"].get(name, "")), new.plain(ours["settings"].get(name, "")))
        if there != now:
            yield _judged(f"webmail setting {name}", there or "not set", now or "not set", new)


def spam_filter(old: Side, new: Side) -> Iterator[Difference]:
    """The filter's own settings, lists and thresholds."""
    theirs, ours = old.seen["spam_filter"], new.seen["spam_filter"]
    known = {each["digest"] for each in ours.values()}
    for name, each in sorted(theirs.items()):
        if each["digest"] not in known:
            there = "another text" if name in ours else "not there"
            found = _judged(f"spam filter {name}", f"{each['lines']} lines", there, new)
            reason = found.reason or "letters are judged in another way: white and black lists are not carried over"
            yield Difference(found.name, found.old, found.new, found.weight, reason)
    usual = {each["digest"] for each in theirs.values()}
    for name, each in sorted(ours.items()):
        if name not in theirs and each["digest"] not in usual:
            found = _judged(f"spam filter {name}", "not there", f"{each['lines']} lines", new)
            reason = found.reason or "letters are judged by something that only new has"
            yield Difference(found.name, found.old, found.new, found.weight, reason)
    yield from _thresholds(old.seen["thresholds"], new.seen["thresholds"])


SPAM_TO_ALL = 15.0  # rspamd's own score for a refusal: who refuses below it refuses letters of people


def _thresholds(theirs: Mapping[str, float], ours: Mapping[str, float]) -> Iterator[Difference]:
    """From which score on a letter is refused, marked or put off."""
    if not theirs or not ours:
        return  # one of them has no filter, or it tells nobody
    for action in sorted({*theirs, *ours}):
        there, here = (side.get(action) for side in (theirs, ours))
        if there == here:
            continue
        stricter = here is not None and (there is None or here < there)
        refused = action == "reject" and stricter and here is not None and here < SPAM_TO_ALL
        reason = "letters are judged more strictly than people are used to" if stricter else "more spam comes through"
        yield Difference(
            f"spam filter threshold {action}",
            "never" if there is None else f"from {there:g} on",
            "never" if here is None else f"from {here:g} on",
            Weight.REQUIRED if refused else Weight.RECOMMENDED,
            "letters that come through on old are refused" if refused else reason,
        )


def daemons(old: Side, new: Side) -> Iterator[Difference]:
    """Services that run on old only, what systemd was told about those of both, and what guards the machine."""
    for name in sorted(set(old.seen["daemons"]) - set(new.seen["daemons"])):
        yield _judged(f"service {name}", "runs", "does not run", new)
    for unit in sorted({*old.seen["overrides"], *new.seen["overrides"]}):
        there, here = (set(side.seen["overrides"].get(unit, [])) for side in (old, new))
        if there != here:
            yield _judged(
                f"unit {unit}", _list(there - here) or "nothing more", _list(here - there) or "nothing more", new
            )
    theirs, ours = old.seen["firewall"], new.seen["firewall"]
    if theirs["rules"] and not ours["rules"]:
        yield Difference(
            "firewall", f"{theirs['rules']} rules", "none", Weight.RECOMMENDED, "nothing is kept out on new"
        )
    for jail in sorted(set(theirs["jails"]) - set(ours["jails"])):
        yield Difference(
            f"fail2ban {jail}",
            "watched",
            "not watched",
            Weight.RECOMMENDED,
            "whoever guesses passwords is not shut out",
        )


def _list(words: Iterable[str]) -> str:
    found = sorted(words)
    more = f" … and {len(found) - 8} more" if len(found) > 8 else ""
    return "; ".join(found[:8]) + more
