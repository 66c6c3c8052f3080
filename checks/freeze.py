"""Looking at a server that is to be quiet: nothing comes in, nothing is at work, nothing changes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mailmove import postfix
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.migration import Migration
from mailmove.progress import Deadline
from mailmove.server import Server
from mailmove.units import exists, parse_units

DOVECOT = ("dovecot.socket", "dovecot.service")
# Of the program that a unit starts: its name, and where it writes down its process, whoever started it
_MASTERS = {
    "dovecot.service": "dovecot:/run/dovecot/master.pid",
    "postfix.service": "master:/var/spool/postfix/pid/master.pid",
}
# $1: the units; after it, a master each
_DOWN = """
systemctl show -p LoadState,UnitFileState,ActiveState $1 || exit
printf '\\1'
for each in $1; do [ ! -e "/etc/systemd/system/$each.d/mailmove-held.conf" ] || echo "$each"; done
printf '\\1'
shift
for each do
    pid=$(tr -d ' ' 2>/dev/null < "${each#*:}") && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${each%%:*}" ] &&
        echo "${each%%:*}, process $pid"
done 2>/dev/null
true
"""
MAIL_PORTS = {25: "SMTP", 465: "submissions", 587: "submission", 143: "IMAP", 993: "IMAPS", 110: "POP3", 995: "POP3S"}
SIEVE_PORT = 4190
SERVING_S = 30.0  # for services that were just started
WINDOW_S = 1.0  # between two looks at the mail store
AT_REST = "freeze: mail store at rest"  # in the journal: what one look saw when nothing touched it any more
CHAPTER = "guide: Migrating from your old server"

# What copies, backs up, upgrades or renews might change mail or start services in the middle of the move. The
# unattended-upgrade that only waits for the shutdown is no work. An rsync that is told what to read writes nothing: it may
# be the one that waits for the last copy, whose other half was cut off; it ends by itself.
_COMMANDS = (
    "rsync|dsync|certbot renew|apt|apt-get|aptitude|dpkg|unattended-upgrade|mysqldump|mariadb-dump|imapsync"
    "|tar|borg|restic|doveadm( -[^ ]+)* (backup|sync|expunge|force-resync|purge|import)"
)
_AT_WORK = f"""
ps -eo pid=,args= | grep -E '^ *[0-9]+ ([^ ]*/)?(python3? +(-[^ ]+ +)*([^ ]*/)?)?({_COMMANDS})( |$)' |
grep -vE 'unattended-upgrade-shutdown|rsync --daemon|rsync --server --sender .*--files-from=- ' || true
"""


def announced(journal: Journal) -> Evidence:
    """The people know that the server moves."""
    exam = Examination(
        "the move was announced",
        "journal",
        why="for the time of the move nobody can read or send mail; who does not know calls you in the middle of it",
        hint="pytest features/2_prepare/10_announcement.feature --move",
    )
    told = journal.proved("announce")
    exam.expect("announcement", _since(told.at) if told else "not made", told is not None, "made and proved")
    return exam.close()


def serves_again(old: Server) -> Evidence:
    """Every service the old server is set up for answers from outside."""
    exam = Examination(
        "the old server is back in service",
        "old",
        why="until the next attempt this is the server people use",
        hint="systemctl status postfix dovecot on the old server; then run --undo again",
    )
    wanted = {s.port: "SMTP" for s in postfix.services(old) if s.takes_mail_from_outside and s.port}
    if "imap" in old.facts.protocols:
        wanted |= {143: "IMAP"}
    seen: dict[int, str] = {}
    for _left in Deadline(SERVING_S):
        seen = connect(old.address, wanted)
        if all(answer == "connected" for answer in seen.values()):
            break
    for port, answer in seen.items():
        exam.expect(f"connect to port {port} ({wanted[port]})", answer, answer == "connected", "connected")
    return exam.close()


def hot_copy_is_fresh(migration: Migration, journal: Journal) -> Evidence:
    """What remains to be copied while nobody can read mail is little."""
    fresh = migration.settings.copy_.fresh
    exam = Examination(
        "the hot copy of the mailboxes is fresh",
        "journal",
        why="all that changed since the last copy has to be copied while nobody can read mail",
        hint="copy once more, just before: pytest features/2_prepare --move",
    )
    copied = journal.proved("hot_copy")
    aged = time.time() - copied.at if copied else 0.0
    answer = f"made {postfix.age(aged)} ago" if copied else "not made"
    # Once frozen, nothing changes any more: a freeze that goes on after a break needs no fresher copy.
    begun = journal.recall("frozen since") is not None
    good = copied is not None and (aged <= fresh or begun)
    exam.expect("hot copy", answer, good, f"not older than {postfix.age(fresh)}")
    return exam.close()


def nothing_else_is_at_work(server: Server) -> Evidence:
    """No copy, backup, upgrade or renewal runs that could change mail or start a service."""
    exam = Examination(
        "no backup, copy, upgrade or renewal is at work",
        server.role,
        why="it could write into the mail store, or start a service again that has to stay down",
        hint="wait until it is done, or stop it",
    )
    found = server.sh(_AT_WORK).out.strip().splitlines()
    words = [line.strip()[:160] for line in found]
    exam.expect("such processes", "; ".join(words[:5]) or "none", not found, "none")
    return exam.close()


def doors_can_be_closed(server: Server) -> Evidence:
    """Postfix can be told to close exactly the ports at which mail comes in from outside."""
    exam = Examination(
        "Postfix can stop accepting mail without stopping",
        server.role,
        why="what it took already must still be delivered while nothing new comes in",
        hint="name the services of master.cf by port alone (smtp, submission), without an address before it",
    )
    every = postfix.services(server)
    doors = ", ".join(s.id for s in every if s.takes_mail_from_outside)
    exam.expect(f"services that take mail from outside: {doors or 'none'}", postfix.closing(every),
                postfix.closing(every) is not None, "can be closed by name")  # fmt: skip
    return exam.close()


def takes_nothing_from_outside(server: Server, also: Iterable[int] = ()) -> Evidence:
    """Nobody outside reaches SMTP, IMAP, POP3 or ManageSieve on the server."""
    exam = Examination(
        "nobody outside reaches mail services",
        server.role,
        why="mail that is taken or changed now is not in the copy",
        hint="see who listens there (ss -ltnp) and stop it",
    )
    every = {*MAIL_PORTS, SIEVE_PORT, *also}
    for port, answer in sorted(connect(server.address, every).items()):
        name = MAIL_PORTS.get(port, "ManageSieve" if port == SIEVE_PORT else "mail")
        exam.expect(f"connect to port {port} ({name})", answer, answer != "connected", "no connection")
    return exam.close()


def connect(address: str, ports: Iterable[int], time_s: float = 3.0) -> dict[int, str]:
    """What comes of a connection to each port: ``connected``, or why not."""

    def one(port: int) -> str:
        try:
            socket.create_connection((address, port), time_s).close()
        except OSError as error:
            return (error.strerror or str(error) or type(error).__name__).lower()
        return "connected"

    every = list(ports)
    with ThreadPoolExecutor(len(every) or 1) as pool:
        return dict(zip(every, pool.map(one, every), strict=True))


def stays_down(server: Server, *units: str) -> Evidence:
    """The services are stopped, and nothing starts them: no reboot, socket, timer or renewal."""
    exam = Examination(
        "the mail services are stopped and stay so",
        server.role,
        why="a reboot or a certificate renewal would start them again, and mail would go where nobody looks",
        hint="run pytest features/3_cutover --move (on the way back --undo): it stops and masks them again",
    )
    stopped = True
    masters = [each for unit, each in _MASTERS.items() if unit in units]
    # In one question: nobody can read mail meanwhile
    states, kept, at_work = server.sh(
        _DOWN, " ".join(units), *masters, what="asking for the mail services", check=True
    ).out.split("\1")
    for unit, state in zip(units, parse_units(states), strict=True):
        if not exists(state):
            continue
        held = state["UnitFileState"] == "masked" or unit in kept.split()
        down = state["ActiveState"] in ("inactive", "failed")
        stopped = stopped and down and held
        exam.expect(unit, f"{state['ActiveState']}, {'masked' if held else state['UnitFileState']}", down and held,
                    "inactive, masked")  # fmt: skip
    running = at_work.strip().splitlines()
    if running and stopped:
        exam.hint = "somebody started it by hand, past systemd: doveadm stop, postfix stop; then run it again"
    exam.expect("processes of theirs", "; ".join(running) or "none", not running, "none")
    return exam.close()


def look_at_rest(server: Server) -> dict[str, Any]:
    """One look at the mail store: what :func:`store_is_quiet` compares with; it can be written down."""
    (seen,) = server.remote("quiet", {"root": server.facts.mail_place, "window": 0}, timeout_s=900)
    return {name: seen[name] for name in ("clock", "digest", "newest") if name in seen}


def store_is_quiet(server: Server, before: Mapping[str, Any] | None = None) -> Evidence:
    """No process has the mail store open, and nothing in it changed since an earlier look, or else between two looks."""
    exam = Examination(
        "nothing touches the mail store",
        server.role,
        why="what changes after the last copy is lost",
        hint="see who has it open: lsof +D on the mail root",
    )
    root = server.facts.mail_place
    then = before if before and "digest" in before else None
    asked = {"root": root, "window": 0 if then else WINDOW_S, "before": then}
    (seen,) = server.remote("quiet", asked, timeout_s=900)
    if not seen["exists"]:
        exam.unknown(f"the mail root {root or '(unknown)'}", "it is not there")
        return exam.close()
    holders = "; ".join(f"{name} (process {pid}): {path}" for pid, name, path in seen["holders"][:5])
    exam.expect(f"processes with files open below {root}", holders or "none", not seen["holders"], "none")
    between = seen["clock"] - then["clock"] if then else WINDOW_S
    exam.expect(
        f"directories changed within {between:.3g} s, of {seen['directories']}",
        "; ".join(seen["changed"][:5]) or "none",
        not seen["changed"],
        "none",
    )
    return exam.close()


def store_stays_quiet(old: Server, journal: Journal) -> Evidence:
    """Nothing changed since the freeze found it at rest; or if anything did, nothing touches it now."""
    at_rest = journal.recall(AT_REST)
    evidence = store_is_quiet(old, at_rest) if at_rest else None
    return evidence if evidence and evidence.holds else store_is_quiet(old)


def queue_is_drained(server: Server, domains: Iterable[str], frozen_at: float | None) -> Evidence:
    """What Postfix had for people here is delivered; what cannot be delivered is named, with its cause."""
    exam = Examination(
        "the queue holds nothing more that could be delivered here",
        server.role,
        why="mail that stays behind in the old queue is the mail this move could lose",
        hint="look at the cause; postqueue -i ID tries one letter again",
    )
    try:
        letters = postfix.queue(server)
    except ServerError as error:
        exam.unknown("postqueue -j", error.fact)
        return exam.close()
    now, here = time.time(), list(domains)
    mine = [q for q in letters if q.to(here)]
    after = [q for q in mine if frozen_at is not None and q.arrived >= frozen_at]
    moving = [q for q in mine if not q.waits and q not in after]
    exam.expect("letters for people here on their way", _list(moving, now) or "none", not moving, "none")
    for kept in (q for q in mine if q.waits and q not in after):
        held = "on hold, and stays so until somebody releases it: it goes to the new server then"
        tried = "cannot be delivered now, and is handed to the new server after the switch"
        exam.expect(held if kept.queue == "hold" else tried, kept.words(now), True)
    for kept in after:
        exam.expect("came from this machine itself after the stop, goes to the new server", kept.words(now), True)
    outbound = [q for q in letters if q not in mine]
    exam.expect(f"{len(outbound)} letters for elsewhere: they go on being sent from here",
                _list(outbound, now) or "none", True)  # fmt: skip
    return exam.close()


def _list(letters: list[postfix.Queued], now: float) -> str:
    return "\n".join(each.words(now) for each in letters[:20]) + (
        f"\n… {len(letters)} in all" if len(letters) > 20 else ""
    )


def _since(at: float) -> str:
    return "made at " + time.strftime("%F %T", time.localtime(at))
