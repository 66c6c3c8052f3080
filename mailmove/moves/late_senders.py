"""After the way back: whoever was led to the new server reaches people on the old one all the same.

The new server hands on mail for the old one's people, by address. It knows them by name, and refuses everybody else as
before; its own settings stay, this is laid over them until the next attempt stops it. As long the old one does not hold
against the letters that they come from the new one.
"""

from __future__ import annotations

from mailmove import postfix
from mailmove.errors import ServerError
from mailmove.journal import Journal
from mailmove.moves import forwarding, trust
from mailmove.moves.base import Context
from mailmove.moves.service_state import Overlay, put_file, reload_postfix, take_file
from mailmove.routing import addresses_of
from mailmove.server import Server
from mailmove.units import postfix_runs

PEOPLE_FILE = "/etc/postfix/mailmove-people-of-old"
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
    before = postfix.expanded(new, "relay_domains", "relay_recipient_maps", "transport_maps")
    said = postfix.explicit(new, ["relay_domains"])
    transport = f"{forwarding.TRANSPORT}:{postfix.literal_host(old.address)}"
    put_file(new, PEOPLE_FILE, people(old))
    # A transport, not a class of domains alone: until the accounts are taken back too, they are new's own domains.
    put_file(new, TRANSPORT_FILE, forwarding.transport_file(context.migration.domains, transport))
    new.run("postconf", "-M", forwarding.service_line(), check=True)
    overlay = _overlay(context)
    if not overlay.is_laid:
        own = before["relay_domains"] if "relay_domains" in said else ""
        overlay.lay(
            {
                # A table, not the names themselves: Postfix takes one with a slash or a colon for a file to read
                "relay_domains": postfix.joined(own, TABLE),
                "relay_recipient_maps": postfix.joined(before["relay_recipient_maps"], f"texthash:{PEOPLE_FILE}"),
                "transport_maps": postfix.joined(TABLE, before["transport_maps"]),
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
        take_file(context.new, PEOPLE_FILE, TRANSPORT_FILE)
        reload_postfix(context.new)
        context.new.refresh()
    if context.journal.recall(KEY) is not None:
        trust.take(context.old, _trust(context))
    context.journal.forget(KEY)


def people(old: Server) -> str:
    """A texthash(5) table of everybody the old server takes mail for; names with white space cannot stand in one."""
    facts = old.facts
    names = {*facts.users, *(source for source, *_ in facts.aliases)}
    good = sorted(name for name in names if name and not any(c.isspace() or c == "#" for c in name))
    return "# Written by mailmove; taken away by the next attempt\n" + "".join(f"{name} OK\n" for name in good)


def _overlay(context: Context) -> Overlay:
    return Overlay(context.new, context.journal, "late-senders")


def _trust(context: Context) -> Overlay:
    return Overlay(context.old, context.journal, "late-senders: trust")
