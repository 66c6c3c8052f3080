"""One server's trust in the other's addresses, for the time that one forwards: new's in old, and after a way back old's in new.

Forwarded mail comes from an address its sender never named: SPF fails, and greylists, rate limits and fail2ban meet a single busy
client. Only what judges the client is switched off for that address; nothing is relayed for it to others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from mailmove import postfix
from mailmove.errors import ServerError
from mailmove.moves import jails
from mailmove.moves.service_state import Overlay, put_file, take_file
from mailmove.server import Server

INCLUDED = "/etc/rspamd/mailmove-trust.conf"
SETTINGS = "/etc/rspamd/local.d/settings.conf"
INCLUDE = f'.include(try=true) "{INCLUDED}" # mailmove'
RATES = (
    "smtpd_client_connection_rate_limit",
    "smtpd_client_message_rate_limit",
    "smtpd_client_recipient_rate_limit",
    "smtpd_client_new_tls_session_rate_limit",
)

# The file is the admin's: it is changed wholly or, on a full disk, not at all.
_INCLUDE = r"""
set -eu
umask 022
install -d -m 0755 "$(dirname "$1")"
file=$(readlink -f "$1")
if grep -qsF '# mailmove' "$file"; then exit 0; fi
trap 'rm -f "$file.mailmove"' EXIT
[ ! -e "$file" ] || cp -p "$file" "$file.mailmove"
printf '%s\n' "$2" >> "$file.mailmove"
mv -f "$file.mailmove" "$file"
"""
_EXCLUDE = r"""
set -eu
[ -e "$1" ] || exit 0
file=$(readlink -f "$1")
trap 'rm -f "$file.mailmove"' EXIT
cp -p "$file" "$file.mailmove"
grep -vF '# mailmove' "$file" > "$file.mailmove" || [ $? -eq 1 ]
if [ -s "$file.mailmove" ]; then mv -f "$file.mailmove" "$file"; else rm -f "$file"; fi
"""


def rspamd_settings(addresses: Sequence[str]) -> str:
    """rspamd's settings for letters from these addresses (rspamd.com/doc/configuration/settings.html).

    What judges the client is off; what judges the content stays on, but leads into the spam folder at most: refused
    here, a letter would have to be bounced by the old server, to a sender who is often forged.
    """
    return (
        "# Written by mailmove: the other server forwards. Taken away when it does so no more\n"
        "mailmove_forwarded {\n"
        "  priority = high;\n"
        f"  ip = {json.dumps(list(addresses))};\n"
        "  apply {\n"
        '    groups_disabled = ["rbl", "spf", "dmarc", "hfilter"];\n'
        '    symbols_disabled = ["GREYLIST_CHECK", "GREYLIST_SAVE", "RATELIMIT_CHECK", "RATELIMIT_UPDATE",'
        ' "IP_SCORE", "REPUTATION", "MX_CHECK"];\n'
        "    actions {\n      reject = null;\n      greylist = null;\n    }\n"
        "  }\n"
        "}\n"
    )


def give(server: Server, overlay: Overlay, addresses: Sequence[str]) -> None:
    """Trust these addresses from now on. Raises ServerError when rspamd or fail2ban does not take it; nothing of it is left then."""
    jails.ignore(server, addresses)
    if has_rspamd(server):
        put_file(server, INCLUDED, rspamd_settings(addresses))
        server.sh(_INCLUDE, SETTINGS, INCLUDE, check=True)
        tested = server.run("rspamadm", "configtest")
        if not tested.ok or "syntax OK" not in tested.text:
            _take_rspamd(server)
            raise ServerError(
                f"rspamd on the {server.role} server would not take the trust in the other one: {tested.text[-500:]}",
                "run rspamadm configtest there",
            )
        reload_rspamd(server)
    limited = [name for name in RATES if server.setting(name) not in ("", "0")]
    if limited:
        before = postfix.expanded(server, "smtpd_client_event_limit_exceptions")
        hosts = " ".join(f"[{a}]" if ":" in a else a for a in addresses)
        value = postfix.joined(before["smtpd_client_event_limit_exceptions"], hosts)
        if not overlay.is_laid:
            overlay.lay({"smtpd_client_event_limit_exceptions": value})


def take(server: Server, overlay: Overlay) -> None:
    """Trust them no longer. Done twice equals done once."""
    overlay.take_off()
    jails.watch_again(server)
    if has_rspamd(server) and server.run("test", "-e", INCLUDED).ok:
        _take_rspamd(server)
        reload_rspamd(server)


def _take_rspamd(server: Server) -> None:
    server.sh(_EXCLUDE, SETTINGS, check=True)
    take_file(server, INCLUDED)


def has_rspamd(server: Server) -> bool:
    """Whether rspamd judges the mail there."""
    return "rspamd" in server.facts.packages


def reload_rspamd(server: Server) -> None:
    """Let a running rspamd read its settings. A restart, not a reload: mail that comes meanwhile is put off and tried
    again, with a reload workers of both kinds answer for a while."""
    server.run("systemctl", "try-restart", "rspamd", timeout_s=150, check=True)


def address_words(addresses: Sequence[str]) -> str:
    """For a plan."""
    return ", ".join(a for a in addresses if re.fullmatch(r"[0-9a-f:.]+", a))
