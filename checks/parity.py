"""What the old server does that the new one would not: each difference is explained, decided, or shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mailmove.evidence import Evidence, Examination
from mailmove.migration import Migration
from mailmove.parity import beside, dovecot, postfix
from mailmove.parity.model import Difference, Side
from mailmove.parity.rules import Weight
from mailmove.server import Server

Compare = Callable[[Side, Side], Iterator[Difference]]

HINT = (
    'bring it over to the new server, or write down why not: [[decision]] difference = "…" with reason and by in '
    "mailmove.toml (docs/settings.md)"
)
# Which questions a scenario needs the answers of: the programs whose troubles make it unknown
_ASKED = {
    "postfix": ("postconf", "the lookup table"),
    "dovecot": ("doveconf",),
    "database": ("/usr/bin/mariadb", "/usr/bin/mysql"),
    "web": ("php", "Roundcube"),
    "daemons": ("systemctl",),
}


@dataclass(frozen=True)
class Pair:
    """Both servers, seen at the same time and once for all scenarios of a run."""

    migration: Migration

    @functools.cached_property
    def sides(self) -> tuple[Side, Side]:
        """Old and new."""
        with ThreadPoolExecutor(2) as pool:
            old, new = pool.map(_side, (self.migration.old, self.migration.new))
        return old, new

    def forwards(self) -> str:
        """Why the old server's Postfix is no measure any more; empty as long as it is."""
        if any(name.startswith("mailmove/") for name in self.sides[0].seen["services"]):
            return "the old server only forwards by now"
        return ""


def _side(server: Server) -> Side:
    facts = server.facts
    asked = {
        "mail_root": facts.mail_root,
        "users": facts.users,
        "databases": [name for name in (facts.database, facts.roundcube) if name],
    }
    (seen,) = server.remote("parity", asked, timeout_s=300)
    names = [facts.fqdn, server.setting("myhostname"), *facts.addresses]
    said = {**seen["dovecot"], **facts.doveconf}  # a protocol may have more of them
    plugins = " ".join(value for name, value in said.items() if name.endswith("mail_plugins"))
    plugins += " " + " ".join(  # Dovecot 2.4
        name.rpartition("/")[2] for name, value in said.items() if "mail_plugins/" in name and value == "yes"
    )
    version = ".".join(facts.packages.get("dovecot-core", "").partition(":")[2].split(".")[:2])
    return Side(
        seen,
        tuple(dict.fromkeys(name for name in names if "." in name or ":" in name)),  # "mail" is an everyday word
        facts.mail_root,
        tuple(facts.domains),
        frozenset(word for word in plugins.split() if not word.startswith("$")),
        tuple(facts.protocols),
        tuple(facts.doveconf.get("auth_mechanisms", "").split()),
        tuple(facts.websites),
        version,
        facts.debian,
        frozenset(user.lower() for user in facts.users),
    )


def sizes(pair: Pair) -> list[Evidence]:
    """No letter is too large for new that old takes."""
    return _told(pair, "Letters may be as large as on the old server", postfix.size, "postfix", _BOUNCES)


def routes(pair: Pair) -> list[Evidence]:
    """Every table and rule by which old knows where a letter goes is on new."""
    return _told(pair, "Letters go the same ways as on the old server", postfix.routes, "postfix", _BOUNCES)


def doors(pair: Pair) -> list[Evidence]:
    """Whoever may hand in letters on old may do so on new."""
    why = "Printers, web sites and mail programs that send today are refused after the move."
    return _told(
        pair, "Whoever sends through the old server can send through the new one", postfix.doors, "postfix", why
    )


def postfix_settings(pair: Pair) -> list[Evidence]:
    """Every other setting of Postfix that somebody made is the same, or it is known why not."""
    why = "Somebody had a reason for it, and nobody remembers it on the evening."
    return _told(pair, "Postfix is set as on the old server", postfix.settings, "postfix", why)


def reading(pair: Pair) -> list[Evidence]:
    """Every protocol and way of logging in that old offers is offered by new."""
    why = "People's programs are set up for what they found; they call when it is gone."
    return _told(pair, "People read and log in as on the old server", dovecot.reading, "dovecot", why)


def mailboxes(pair: Pair) -> list[Evidence]:
    """Plugins, namespaces, limits and everybody's Sieve scripts are as on old."""
    why = "What works on everybody's mailbox is missed by everybody."
    return _told(pair, "Mailboxes work as on the old server", dovecot.mailboxes, "dovecot", why)


def tables(pair: Pair) -> list[Evidence]:
    """Nothing lies in old's database that no move carries over."""
    facts = pair.migration.old.facts, pair.migration.new.facts
    carried = [f"{old}:{new}" for old, new in zip(*((f.database, f.roundcube) for f in facts), strict=True) if old]

    def compare(old: Side, new: Side) -> Iterator[Difference]:
        return beside.database(old, new, carried)

    why = "Tables and triggers of other programs stay behind."
    return _told(pair, "Everything in the old server's databases has its place", compare, "database", why)


def jobs(pair: Pair) -> list[Evidence]:
    """Every job of the admin's own that touches mail is on new."""
    why = "Backups, reports and clean-ups are missed when they are needed."
    return _told(pair, "Everything that the old server does by itself is done", beside.jobs, "", why)


def system_mail(pair: Pair) -> list[Evidence]:
    """No letter lies outside the mailboxes, and the system's own mail goes where it went."""
    why = "Letters outside the mail root are carried over by nobody."
    return _told(pair, "No letter is left outside the mailboxes", beside.system_mail, "", why)


def spam_filter(pair: Pair) -> list[Evidence]:
    """The filter's own lists and settings are on new."""
    why = "Who stood on the white list is taken for spam again."
    return _told(pair, "The spam filter judges as on the old server", beside.spam_filter, "", why)


def web(pair: Pair) -> list[Evidence]:
    """Every site, path and plugin of the webmail is on new."""
    why = "What else the machine served goes with it."
    return _told(pair, "The web server offers what the old one offers", beside.web, "web", why)


def daemons(pair: Pair) -> list[Evidence]:
    """Nothing runs on old only, and new is guarded like it."""
    why = "A machine that was set up years ago does more than anybody remembers."
    return _told(pair, "Nothing else runs on the old server only", beside.daemons, "daemons", why)


_BOUNCES = "What the old server takes and the new one refuses comes back to those who wrote."


def _told(pair: Pair, title: str, compare: Compare, asks: str, why: str) -> list[Evidence]:
    """The evidence of one comparison: what holds the move up, and what is for a decision only."""
    firm = Examination(title, "both", why, HINT)
    if asks == "postfix" and (reason := pair.forwards()):
        return [firm.not_applicable(reason)]
    old, new = pair.sides
    trouble = [
        (role, problem)
        for role, side in (("old", old), ("new", new))
        for problem in side.seen["problems"]
        if asks and problem.startswith(_ASKED[asks])
    ]
    for role, problem in trouble:
        firm.unknown(f"a question to the {role} server", problem)
    found = list(compare(old, new))
    decisions = {each.difference: f"{each.reason} ({each.by})" for each in pair.migration.settings.decision}
    advice = Examination(f"{title}: for a decision", "both", why, HINT, required=False)
    open_ = 0
    for each in found:
        open_ += not _write(advice if each.weight is Weight.RECOMMENDED else firm, each, decisions)
    firm.expect("differences that hold nothing up, and those decided", len(found) - open_, good=True)
    advised = any(each.weight is Weight.RECOMMENDED for each in found)
    return [firm.close(), *([advice.close()] if advised else [])]


def _write(exam: Examination, found: Difference, decisions: dict[str, str]) -> bool:
    answer = f"old: {found.old}; new: {found.new}"
    if found.name in decisions:
        return exam.expect(found.name, f"{answer}; decided: {decisions[found.name]}", good=True)
    if found.reason:
        answer += f": {found.reason}"
    return exam.expect(found.name, answer, found.weight is Weight.EXPLAINED, "the same on both, or a decision")
