"""The safety net: for the first hours the new server refuses nothing for good."""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks import maillog, refusals
from checks.database import MAPS
from checks.outside import Outside
from mailmove import postfix, sql
from mailmove.evidence import Evidence
from mailmove.moves.base import Action, Context, Move
from mailmove.moves.service_state import Overlay, reload_postfix, remove_settings, write_settings
from mailmove.server import Server
from mailmove.units import postfix_runs

LIMIT = "default_process_limit"
DIRECT = re.compile(r"(?<!proxy:)\bmysql:(/[^\s,}]+)")
FOR_OTHERS = 40  # connections: Dovecot, the webmail, Postfix' trivial-rewrite
FEWEST = 10


class SafetyNet(Move):
    """Spreading the safety net on the new server.

    When it succeeds, Postfix on the new server is set to put off (4xx) what it would refuse for good (5xx), and to take no
    more letters at once than its database has connections for: what waited in the world comes all at once. Postfix
    itself still rests: that it really answers so is proved as soon as it is started. When it fails, nothing changed.
    """

    name = "safety_net"
    overtaken_by = ("safety_net_off",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.overlay = Overlay(self.new, self.journal, "safety-net")

    def plan(self) -> list[Action]:
        limit = pace(self.new)
        return [
            Action("new", "postconf -e soft_bounce=yes", "refusals become temporary: senders try again"),
            *(
                [
                    Action(
                        "new",
                        f"postconf -e {LIMIT}={limit}",
                        "what waited in the world comes in as fast as the database "
                        "bears, and no faster; until the safety net is taken away",
                    )
                ]
                if limit
                else []
            ),
            Action("new", "postfix reload", "only if it runs already; else it takes the setting when it starts"),
        ]

    def do(self) -> None:
        limit = pace(self.new)
        if limit:
            self.journal.keep(maillog.PACE, limit)
        settings = {"soft_bounce": "yes", **({LIMIT: str(limit)} if limit else {})}
        self.overlay.lay(settings)
        self.new.learn(settings)  # nobody can read mail: what is known of new need not be asked again

    def prove(self) -> Iterable[Evidence]:
        yield refusals.safety_net_is_set(self.new)
        if postfix_runs(self.new):
            yield unknown_get(self.context, 450)

    def undo(self) -> None:
        self.overlay.take_off()
        self.journal.forget(maillog.PACE)
        self.new.refresh()

    def prove_undone(self) -> Iterable[Evidence]:
        yield refusals.safety_net_is_gone(self.new)


class SafetyNetOff(Move):
    """Taking the safety net away.

    When it succeeds, the new server refuses for good what it does not take: senders learn at once of a mistyped
    address. When it fails, refusals stay temporary, and nothing is lost.
    """

    name = "safety_net_off"

    def plan(self) -> list[Action]:
        return [Action("new", "postconf -e soft_bounce=no && postfix reload", "unknown people get 550")]

    def do(self) -> None:
        net = Overlay(self.new, self.journal, "safety-net")
        if net.lies_over(LIMIT):
            limit = net.before(LIMIT)
            if limit is None:
                remove_settings(self.new, LIMIT)
            else:
                write_settings(self.new, {LIMIT: limit})
        before = net.before("soft_bounce")
        if before == "yes":
            self.progress.say("soft_bounce was on before the move already; it is switched off now")
        if before in (None, "yes"):
            remove_settings(self.new, "soft_bounce")
        else:
            write_settings(self.new, {"soft_bounce": before})
        reload_postfix(self.new)
        self.new.refresh()

    def prove(self) -> Iterable[Evidence]:
        yield unknown_get(self.context, 550)

    def undo(self) -> None:
        write_settings(self.new, {"soft_bounce": "yes"})
        reload_postfix(self.new)
        self.new.refresh()

    def prove_undone(self) -> Iterable[Evidence]:
        yield refusals.safety_net_is_set(self.new)
        yield unknown_get(self.context, 450)


def pace(server: Server) -> int | None:
    """How many letters at once leave connections to the database for people; None if it bears as many as are let in.

    Each smtpd keeps a connection for every map that is asked directly, and each cleanup one for every map of aliases.
    """
    said = postfix.expanded(server, *MAPS)
    maps = {name: set(DIRECT.findall(said.get(name, ""))) for name in MAPS}
    each = len(set().union(*maps.values())) + len(maps["virtual_alias_maps"])
    if not each:
        return None  # they share a few through proxymap
    most = int(sql.rows(server, "", "SELECT @@GLOBAL.max_connections")[0][0])
    limit = max(FEWEST, (most - FOR_OTHERS) // each)
    return limit if limit < int(server.run("postconf", "-hx", LIMIT, check=True).out) else None


def unknown_get(context: Context, code: int) -> Evidence:
    """What somebody unknown gets in each hosted domain, asked from outside."""
    outside = Outside(context.new, context.migration.settings.probes)
    return refusals.unknown_people(outside, context.migration.domains, context.new.facts.aliases, code)
