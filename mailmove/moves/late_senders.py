"""After the way back: whoever was led to the new server reaches people on the old one all the same.

The new server hands on mail for the old one's people, by address. It knows them by name, and refuses everybody else as
before; its own settings stay, this is laid over them until the next attempt stops it. As long the old one does not hold
against the letters that they come from the new one.
"""

from __future__ import annotations

import re
import time

from mailmove import postfix
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.moves import forwarding, trust
from mailmove.moves.base import Context
from mailmove.moves.service_state import Overlay, put_file, reload_postfix, take_file
from mailmove.routing import addresses_of
from mailmove.server import Server
from mailmove.units import postfix_runs

PEOPLE_FILE = "/etc/postfix/mailmove-people-of-old"
ALIASES_FILE = "/etc/postfix/mailmove-aliases-of-old"
TRANSPORT_FILE = "/etc/postfix/mailmove-transport-to-old"
TABLE = f"texthash:{TRANSPORT_FILE}"
KEY = "switch: new was live"


def are_handed_on(journal: Journal) -> bool:
    """Whether new was live, was taken back, and no next attempt has begun: then it hands on what comes for old's people."""
    return journal.recall(KEY) is not None and not journal.touched("freeze")


def prepare(context: Context) -> None:
    """Lay the settings by which new forwards to old; its Postfix rests, and must not deliver a letter before."""
    new, old = context.new, context.old
    try:
        trust.give(old, _trust(context), sorted(addresses_of(new)))
    except ServerError as error:
        # No reason to stop on the way back: what old refuses stays in new's queue, and is seen there.
        context.progress.say(f"the old server judges letters from the new one as any stranger's: {error.fact}")
    before = postfix.expanded(new, "relay_domains", "relay_recipient_maps", "transport_maps", "virtual_alias_maps")
    said = postfix.explicit(new, ["relay_domains"])
    transport = f"{forwarding.TRANSPORT}:{postfix.literal_host(old.address)}"
    put_file(new, PEOPLE_FILE, people(old))
    put_file(new, ALIASES_FILE, themselves(old))
    # A transport, not a class of domains alone: until the accounts are taken back too, they are new's own domains.
    put_file(new, TRANSPORT_FILE, forwarding.transport_file(context.migration.domains, transport))
    new.run("postconf", "-M", forwarding.service_line(), check=True)
    overlay = _overlay(context)
    if not overlay.is_laid:
        _hold_what_would_double(context)
        own = before["relay_domains"] if "relay_domains" in said else ""
        overlay.lay(
            {
                # A table, not the names themselves: Postfix takes one with a slash or a colon for a file to read
                "relay_domains": postfix.joined(own, TABLE),
                "relay_recipient_maps": postfix.joined(before["relay_recipient_maps"], f"texthash:{PEOPLE_FILE}"),
                "transport_maps": postfix.joined(TABLE, before["transport_maps"]),
                # Old expands its aliases; as long as new has them too, a list with one of its own members in it would
                # reach the others twice
                "virtual_alias_maps": postfix.joined(f"texthash:{ALIASES_FILE}", before["virtual_alias_maps"]),
            }
        )


def send_them_on(context: Context) -> None:
    """From now on: Postfix runs on new, also for what its queue still holds."""
    if not postfix_runs(context.new):
        context.new.run("systemctl", "start", "postfix.service", timeout_s=150, check=True)
    context.new.run("postqueue", "-f", check=True)
    context.new.refresh()


def no_more(context: Context) -> None:
    """The new server is as it was before. Done twice equals done once."""
    overlay = _overlay(context)
    if overlay.is_laid:
        overlay.take_off(reload=False)
        forwarding.drop_service(context.new)
        take_file(context.new, PEOPLE_FILE, ALIASES_FILE, TRANSPORT_FILE)
        reload_postfix(context.new)
        context.new.refresh()
    if context.journal.recall(KEY) is not None:
        trust.take(context.old, _trust(context))
    context.journal.forget(KEY)


def what_waits(context: Context) -> Evidence:
    """Letters that new still has, and does not hand on by itself."""
    exam = Examination(
        "letters that stay in the new server's queue are known",
        "new",
        why="from here on the old server is the one people use",
        hint="mailmove queue release ID --server new sends one, remove takes it out and keeps a copy",
    )
    held = [q for q in postfix.queue(context.new) if q.queue == "hold" and q.to(context.migration.domains)]
    exam.expect("letters for people here, on hold there", len(held), True)
    for each in held:
        exam.expect("on hold: one of its readers may have it already", each.words(time.time()), True)
    return exam.close()


def _hold_what_would_double(context: Context) -> None:
    """Letters that new has expanded and could not deliver to all: old would expand them once more. A person has to decide.

    New rests, so that none is on its way.
    """
    letters = [q for q in postfix.queue(context.new) if q.queue != "hold"]
    doubled = postfix.would_double(letters, context.old.facts.aliases, float("inf"))
    if doubled:
        context.new.run("postsuper", "-h", "-", stdin="".join(f"{q.id}\n" for q in doubled), check=True)


def people(old: Server) -> str:
    """A texthash(5) table of everybody the old server takes mail for; names with white space cannot stand in one."""
    return _HEAD + "".join(f"{name} OK\n" for name in _names(old) if not any(c.isspace() or c == "#" for c in name))


def themselves(old: Server) -> str:
    """A table of the same people by which each name leads to itself: virtual(5) asks no further then.

    Names that would be read as more than one address are left out.
    """
    return _HEAD + "".join(f"{name} {name}\n" for name in _names(old) if _PLAIN.fullmatch(name))


_HEAD = "# Written by mailmove; taken away by the next attempt\n"
_PLAIN = re.compile(r"[^\s#,:;<>()\[\]\\\"@]*@[^\s#,:;<>()\[\]\\\"@]+")


def _names(old: Server) -> list[str]:
    facts = old.facts
    return sorted({*facts.users, *(source for source, *_ in facts.aliases)} - {""})


def _overlay(context: Context) -> Overlay:
    return Overlay(context.new, context.journal, "late-senders")


def _trust(context: Context) -> Overlay:
    return Overlay(context.old, context.journal, "late-senders: trust")
