"""The old server's Postfix as a mere relay to the new one: which settings make it so, and which files they need.

Letters are handed over with the recipients they came with. Aliases are expanded where people's mailboxes are: expanded
on both servers, a list that contains one of its own members would reach the others twice.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from dataclasses import dataclass

from mailmove import postfix
from mailmove.clients.account import PROBE_PREFIX
from mailmove.errors import ServerError
from mailmove.journal import Journal
from mailmove.server import Server

TRANSPORT = "mailmove"  # service in master.cf; its log lines begin with postfix/mailmove
PROBES_FILE = "/etc/postfix/mailmove-probe-recipients"
TRANSPORT_FILE = "/etc/postfix/mailmove-transport"

# Our own probe accounts live on the new server only; the old one has to let their letters through.
PROBES_TEXT = (
    "# Written by mailmove; taken away by --undo or when this server is dismissed\n"
    f"/^{re.escape(PROBE_PREFIX)}[0-9a-z.-]+@/ OK\n"
)
WAITING = "retry:4.3.2 This mail server is moving, your mail is kept and goes on soon"
"""Where mail waits that this machine itself writes between the stop and the forwarding: tried again, never refused."""

_KEPT = "forwarding: own settings of old"

SETTINGS = (
    "virtual_mailbox_domains",
    "virtual_mailbox_maps",
    "virtual_alias_maps",
    "virtual_alias_domains",
    "relay_domains",
    "relay_recipient_maps",
    "transport_maps",
)


@dataclass(frozen=True)
class Own:
    """What the old server's own settings were, unexpanded, before it became a relay."""

    domains: str
    mailboxes: str
    aliases: str
    relay_domains: str
    relay_recipients: str
    transports: str

    @staticmethod
    def of(server: Server) -> Own:
        """As they stand now, expanded: one setting may stand in another. Ask before anything is laid over them."""
        found = postfix.expanded(server, *SETTINGS)
        said = postfix.explicit(server, SETTINGS)  # the default of relay_domains depends on the compatibility level
        return Own(
            found.get("virtual_mailbox_domains", ""),
            found.get("virtual_mailbox_maps", ""),
            found.get("virtual_alias_maps", ""),
            found.get("relay_domains", "") if "relay_domains" in said else "",
            found.get("relay_recipient_maps", ""),
            found.get("transport_maps", ""),
        )


def own(server: Server, journal: Journal) -> Own:
    """The old server's own settings: as they stand the first time this is asked, remembered from then on."""
    kept = journal.keep_first(_KEPT, dataclasses.asdict(Own.of(server)))
    return Own(**kept)


def forget(journal: Journal) -> None:
    """Forget them: they are back in force."""
    journal.forget(_KEPT)


def relaying(own: Own, transport: str) -> dict[str, str]:
    """The settings with which the old server takes mail for its people and hands it to ``transport``.

    Whom it takes mail for it knows from its own tables, as before: unknown recipients are refused at once, not bounced
    later. Refused for now only, because the new server may know people the old one does not.
    """
    settings = {
        "virtual_mailbox_domains": "",
        "virtual_mailbox_maps": "",
        "virtual_alias_maps": "",
        "virtual_alias_domains": "",
        "relay_domains": postfix.joined(own.relay_domains, own.domains),
        "relay_recipient_maps": postfix.joined(
            own.relay_recipients, own.mailboxes, own.aliases, f"regexp:{PROBES_FILE}"
        ),
        "relay_transport": transport,
        "unknown_relay_recipient_reject_code": "450",
    }
    if own.transports:
        settings["transport_maps"] = postfix.joined(f"texthash:{TRANSPORT_FILE}", own.transports)
    return settings


def transport_file(domains: list[str], transport: str) -> str:
    """A transport(5) table for domains that have an entry in the server's own: ours is asked first.

    Names with white space or a comment sign can be no mail domains and are left out.
    """
    good = [domain for domain in domains if re.fullmatch(r"[^\s#]+", domain)]
    return "# Written by mailmove\n" + "".join(f"{domain} {transport}\n" for domain in good)


def service_line() -> str:
    """The line of master.cf by which letters go to the new server, whatever else this one sends through."""
    # Backscatter helps nobody: what the new server refuses stays here, is tried again, and is seen in the queue.
    options = f"-o syslog_name=postfix/{TRANSPORT} -o soft_bounce=yes -o smtp_tls_security_level=may"
    options += " -o smtp_fallback_relay="
    return f"{TRANSPORT}/unix={TRANSPORT} unix - - n - - smtp {options}"


def drop_service(server: Server) -> None:
    """Take that line out of master.cf. Done twice equals done once. Raises ServerError when it is still there."""
    said = server.run("postconf", "-MX", f"{TRANSPORT}/unix")  # complains when it is gone already
    if server.run("postconf", "-M", f"{TRANSPORT}/unix").out.strip():
        raise ServerError(
            f"the line {TRANSPORT}/unix cannot be taken out of master.cf on the {server.role} server: "
            f"{said.text or 'postconf -MX said nothing'}"[:500],
            f"postconf -MX {TRANSPORT}/unix there says why (a full disk, a file that nobody may write); then run it again",
        )


def without_dead_policies(restrictions: str, dead: set[str]) -> str:
    """A list of restrictions without those policy servers that are gone, such as a stopped Dovecot's quota service."""
    words = [word for word in re.split(r"[,\s]+", restrictions) if word]
    kept: list[str] = []
    skip = False
    for i, word in enumerate(words):
        if skip:
            skip = False
            continue
        if word == "check_policy_service" and i + 1 < len(words) and words[i + 1] in dead:
            skip = True
            continue
        kept.append(word)
    return " ".join(kept)


def policies(restrictions: str) -> list[str]:
    """The policy servers a list of restrictions names, e.g. ``unix:private/quota-status``."""
    words = [word for word in re.split(r"[,\s]+", restrictions) if word]
    return [after for word, after in itertools.pairwise(words) if word == "check_policy_service"]
