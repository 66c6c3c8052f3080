"""How letters go: their size, their ways, who may hand them in, and every other setting of Postfix."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Iterator

from mailmove.parity import rules
from mailmove.parity.model import HERE, TABLE, Difference, Seen, Side, judged, listed
from mailmove.parity.rules import Weight


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
            yield Difference(f"postfix {name}", listed(gone), "not there", Weight.REQUIRED, loss)
        elif more and "_bcc" in name:
            loss = "somebody gets a copy of people's letters, which nobody got on old: left over from a test?"
            yield Difference(f"postfix {name}", "not there", listed(more), Weight.REQUIRED, loss)
        elif more and name in rules.REWRITE and not re.search(r"\b(tcp|socketmap):", new.setting(name)):
            loss = "it makes others of addresses that old leaves as they are: left over from a test?"
            yield Difference(f"postfix {name}", "not there", listed(more), Weight.REQUIRED, loss)
        elif more:
            yield Difference(f"postfix {name}", "not there", listed(more), Weight.RECOMMENDED, "only new has it")
        else:
            changed = _led_elsewhere(old.seen["tables"], new.seen["tables"], old.setting(name), new.setting(name))
            if changed:
                words = f"{len(changed)} entries: {listed(changed)}"
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
                f"{len(lost)} entries: {listed(lost)}",
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
            listed(gone),
            "not there",
            Weight.REQUIRED,
            "machines there may no longer send without a login",
        )
    if more := [n for n in ours if not _within(n, theirs) and not _own_network(n, new)]:
        yield Difference(
            "postfix mynetworks more",
            "not there",
            listed(more),
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


def settings(old: Side, new: Side) -> Iterator[Difference]:
    """Every other setting that somebody made on one of the servers."""
    special = {*rules.ROUTES, *rules.RESTRICTIONS, "message_size_limit", "mynetworks"}
    for name in sorted({*old.seen["explicit"], *new.seen["explicit"]} - special):
        there, here = old.seen["postfix"].get(name), new.seen["postfix"].get(name)
        if there is None or here is None:
            if name in old.seen["explicit"] and here is None:
                yield judged(f"postfix {name}", old.plain(there or ""), "this Postfix has no such setting", new)
            continue
        if TABLE.search(there + here):
            more, less = _route(old, name) - _route(new, name), _route(new, name) - _route(old, name)
            if name.endswith(("header_checks", "body_checks")) and less:
                loss = (
                    "it changes, refuses or throws away letters that old delivers as they are: left over from a test?"
                )
                yield Difference(f"postfix {name}", listed(more) or "nothing more", listed(less), Weight.REQUIRED, loss)
            elif name != "smtpd_sender_login_maps" and name not in ("alias_maps", "alias_database") and more | less:
                yield judged(f"postfix {name}", listed(more) or "nothing more", listed(less) or "nothing more", new)
            elif name == "smtpd_sender_login_maps" and (not there or not here):
                words = "bound to their own address", "not bound to any address"
                yield judged(f"postfix {name}", words[not there], words[not here], new)
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
            yield judged(f"postfix {name}", old.plain(there) or "(empty)", new.plain(here) or "(empty)", new)


_UNENCRYPTED = {
    "smtpd_tls_security_level": "letters from servers and devices that do not encrypt, which old takes, are refused",
    "smtp_tls_security_level": "letters to servers that do not encrypt, which old delivers, come back after days",
}


def _insists(level: str) -> bool:
    return level not in ("", "none", "may", "dane")
