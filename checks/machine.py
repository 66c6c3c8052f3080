"""The machine under the mail server: release, packages, services, ports, clock and disk."""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from checks import database, offers
from checks.offers import Listener, Offer, ask, listeners
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

INSTALL = "guide: install the software packages"

# Package -> what does not work without it. Only what every edition of the guide needs.
PACKAGES = {
    "postfix": "sending and receiving mail",
    "postfix-mysql": "Postfix finding domains, mailboxes and aliases in the database",
    "dovecot-imapd": "reading mail by IMAP",
    "dovecot-lmtpd": "delivering mail into mailboxes",
    "dovecot-mysql": "Dovecot finding people in the database",
    "mariadb-server": "the database of domains, mailboxes and aliases",
    "python3": "mailmove's own look at this server",
    "rsync": "carrying the mailboxes over",
}
# Present on the old server, so somebody needs it on the new one too. Either name of a pair will do.
CARRIED = (
    ("rspamd",),
    ("redis-server", "valkey-server"),
    ("roundcube", "roundcube-core"),
    ("apache2",),
    ("certbot",),
)

WANTED = [*PACKAGES, *(name for names in CARRIED for name in names), "dovecot-core"]

SERVICES = (  # unit, the package it comes from, the processes that must be there
    ("postfix", "postfix", ("master", "qmgr")),
    ("dovecot", "dovecot-core", ("dovecot",)),
    ("mariadb", "mariadb-server", ("mariadbd", "mysqld")),
    ("redis-server", "redis-server", ("redis-server",)),
    ("valkey-server", "valkey-server", ("valkey-server",)),
    ("rspamd", "rspamd", ("rspamd",)),
    ("apache2", "apache2", ("apache2",)),
)

PRIVATE = {3306: "MariaDB", 6379: "Redis", 11332: "rspamd", 11333: "rspamd", 11334: "rspamd"}
PRIVATE_PROGRAMS = {
    "mariadbd": "MariaDB",
    "mysqld": "MariaDB",
    "redis-server": "Redis",
    "valkey-server": "Redis",
    "rspamd": "rspamd",
}

CLOCK_S = 5.0  # more would spoil TLS, DKIM times and the order of letters
SPARE = 1.1  # of the old mail's size: letters arrive while it is copied, indexes are built
CONNECT_S = 4.0
LETTERS_AT_ONCE = 20  # of the largest size, for which the queue needs room

COMMANDS = {  # by which a service looks at its own configuration
    "Postfix": "postfix check",
    "Dovecot": "doveconf -n",
    "Apache": "apache2ctl configtest",
    "rspamd": "rspamadm configtest",
    "MariaDB": "mariadbd --verbose --help",
}
AFRESH = "/etc/postfix/main.cf"  # most of Postfix' processes live for minutes and read it when they start

IN_MEMORY = ("tmpfs", "ramfs")

KEPT_AT = ("/var/lib/mysql", "/var/lib/redis", "/etc")
"""What else must be there for mail to be there."""

# Said by a healthy server, and why it does no harm.
HARMLESS = (
    "symlink leaves directory: /etc/postfix/./makedefs.out",  # Debian bug 926331
    "address resolution for fuzzy",  # rspamd's public fuzzy storage; without it only that one rule is silent
    "cannot read servers definition",  # follows from it
    "Syntax OK",
    "syntax OK",
    "Could not reliably determine the server's fully qualified domain name",  # Apache guesses; vhosts name theirs
)


@dataclass(frozen=True)
class Looked:
    """What both machines said of themselves, asked in one go (see ``remote/machine.py``)."""

    old: Server
    new: Server
    old_said: dict[str, Any]
    said: dict[str, Any]  # by the new server

    @property
    def listeners(self) -> list[Listener]:
        return listeners(self.said["listeners"])

    @property
    def offered(self) -> list[Offer]:
        return offers.of(self.new, self.said)


def look(old: Server, new: Server) -> Looked:
    """Ask both machines, at the same time, all that the checks below want to know of them."""
    units = [unit for unit, package, _ in SERVICES if package in new.facts.packages or package == "valkey-server"]
    questions = ["packages", "units", "running", "failed", "stale", "configurations", "keeper", *offers.QUESTIONS]
    questions += ["mounts", "leans", "unread", "firewall", "resolvers"]
    names = {old.setting("myhostname"), old.facts.fqdn} - {new.setting("myhostname"), new.facts.fqdn}
    asked = {
        old: (
            ["configurations", "unread", *(["disk"] if old.facts.mail_root else [])],
            {"path": old.facts.mail_place, "services": ["Dovecot"]},
        ),
        new: (
            [*questions, "room", *(["disk"] if new.facts.mail_root else [])],
            {
                "packages": WANTED,
                "services": [*COMMANDS],
                "units": units,
                "path": new.facts.mail_place,
                "rooms": [new.setting("queue_directory")],
                "kept_at": [new.facts.mail_place, new.setting("queue_directory"), *KEPT_AT],
                "theirs": [*{old.address, *old.facts.addresses}, *(name for name in names if "." in name)],
                "maps": database.map_files(new),
                "ask_for": new.setting("myhostname"),
            },
        ),
    }
    with ThreadPoolExecutor(max_workers=2) as pool:
        theirs, ours = pool.map(lambda each: ask(each[0], *each[1][0], **each[1][1]), asked.items())
    return Looked(old, new, theirs, ours)


def release_is_supported(old: Server, new: Server) -> Evidence:
    """The new server runs a Debian that the guide was written for, not older than the old one's."""
    exam = Examination(
        "The new server runs a supported Debian release",
        "new",
        "Mailboxes and databases can go forward to newer versions of Dovecot and MariaDB, never back.",
        "install the new server with Debian 12 or 13 (guide: install the software packages)",
    )
    exam.expect(
        "Debian release of the new server", new.facts.release, new.facts.debian in (11, 12, 13), "Debian 11, 12 or 13"
    )
    exam.expect(
        "new compared with old",
        f"{new.facts.release}; old: {old.facts.release}",
        new.facts.debian >= old.facts.debian,
        "the same release or a newer one",
    )
    return exam.close()


def packages_are_installed(looked: Looked) -> Evidence:
    """Everything the guide installs, and everything the old server uses, is installed completely."""
    exam = Examination(
        "All packages are installed completely",
        "new",
        "A missing package shows only when somebody needs it, on the evening or after it.",
        f"apt install what is missing; `dpkg --configure -a` finishes what is half done ({INSTALL})",
    )
    answer = looked.said["packages"]
    installed: dict[str, str] = answer["installed"]
    for name, purpose in PACKAGES.items():
        exam.expect(f"{name} ({purpose})", installed.get(name, "not installed"), name in installed, "installed")
    for names in CARRIED:
        if any(name in looked.old.facts.packages for name in names):
            found = [name for name in names if name in installed]
            version = f"{found[0]} {installed[found[0]]}" if found else "not installed, but the old server has it"
            exam.expect(names[0], version, bool(found), "installed, as on the old server")
    there = "rsync" in looked.old.facts.packages
    exam.expect(
        "rsync on the old server (it hands the mailboxes over)",
        "installed" if there else "not installed",
        there,
        "installed",
    )
    exam.expect("half-installed packages (dpkg --audit)", answer["audit"] or "none", not answer["audit"], "none")
    return exam.close()


def services_run(looked: Looked) -> Evidence:
    """Every service runs, and will again after a reboot."""
    exam = Examination(
        "Every service runs now and after a reboot",
        "new",
        "A service that was started by hand is gone after the next reboot, and mail with it.",
        "systemctl enable --now the unit named; journalctl -u says why it does not run (guide: the service's chapter)",
    )
    running: dict[str, int] = looked.said["running"]
    states: dict[str, dict[str, str]] = looked.said["units"]
    for unit, _, programs in (each for each in SERVICES if each[0] in states):
        state = states[unit]
        if state.get("LoadState") == "not-found" and unit == "valkey-server":
            continue
        exam.expect(
            f"systemctl is-active {unit}",
            state.get("ActiveState", "unknown"),
            state.get("ActiveState") == "active",
            "active",
        )
        # Debian's postfix.service is "active" before version 13 whatever its processes do.
        alive = [f"{name} ({running[name]})" for name in programs if name in running]
        enough = len(alive) == len(programs) if unit == "postfix" else bool(alive)
        exam.expect(f"processes of {unit}", ", ".join(alive) or "none", enough, " ".join(programs[:1]) + " is running")
        enabled = state.get("UnitFileState", "unknown")
        exam.expect(
            f"systemctl is-enabled {unit}", enabled, enabled in ("enabled", "alias", "generated", "static"), "enabled"
        )
    return exam.close()


def disks_come_back(looked: Looked) -> Evidence:
    """What was mounted by hand is not there after a reboot."""
    exam = Examination(
        "Every disk is there again after a reboot",
        "new",
        "Without its disk Dovecot finds an empty directory: all mail seems lost, and new letters lie where nobody finds them.",
        "write the mount into /etc/fstab (findmnt shows it; a tmpfs there has to go), systemctl daemon-reload, and try a reboot "
        "before the evening",
    )
    for path, [mount, unit, lasting, kind] in looked.said["mounts"].items():
        words = f"mounted by {unit}" if unit else "there since the start" if lasting else "mounted by hand"
        memory = f", which is memory ({kind}): empty after a reboot" if kind in IN_MEMORY else ""
        exam.expect(path, f"on {mount}, {words}{memory}", lasting, "on a disk that is mounted at boot")
    return exam.close()


def firewall_stays(looked: Looked) -> Evidence:
    """A reboot brings the firewall that stands now: no other one, and not none."""
    exam = Examination(
        "The firewall is the same after a reboot",
        "new",
        "Rules that were loaded by hand are gone after a reboot, and what they shut stands open; a file that was never loaded shuts "
        "out then whom it forgot.",
        "write what shall hold into the file that is loaded at boot (nft list ruleset > /etc/nftables.conf, and systemctl enable "
        "nftables; netfilter-persistent save), or load that file now and verify again",
        required=False,
    )
    found = looked.said["firewall"]
    if not found:
        return exam.not_applicable("there is no nft on the new server")
    if "by" in found:
        return exam.not_applicable(f"the rules are kept by {found['by']}")
    units = " and ".join(found["units"]) or "nothing"
    for words in found["trouble"]:
        exam.expect("loading the rules at boot", words, False, "no complaint")
    for name, rules, words in (
        ("rules that stand now, and not after a reboot", found["gone"], "none"),
        ("rules that stand after a reboot, and not now", found["new"] if not found["trouble"] else [], "none"),
    ):
        shown = "; ".join(rules[:MOST_RULES]) + f" … and {len(rules) - MOST_RULES} more" * (len(rules) > MOST_RULES)
        exam.expect(f"{name} ({units} loads rules at boot)", shown or "none", not rules, words)
    return exam.close()


MOST_RULES = 8


def name_servers_answer(looked: Looked) -> Evidence:
    """Every name server in /etc/resolv.conf answers."""
    exam = Examination(
        "Every name server that is asked answers",
        "new",
        "Each question waits for one that is dead before the next is asked: letters, logins and the spam filter get slow, or give up.",
        "take it out of /etc/resolv.conf, or out of what writes that file (/etc/network/interfaces, DHCP, systemd-resolved); then "
        "systemctl restart postfix rspamd: both remember it",
        required=False,
    )
    answers: list[tuple[str, str]] = looked.said["resolvers"]
    for server, trouble in answers:
        exam.expect(f"name server {server} in /etc/resolv.conf", trouble or "answers", not trouble, "an answer")
    if not answers:
        exam.expect("name servers in /etc/resolv.conf", "none", False, "one that answers")
    return exam.close()


def nothing_leans_on_old(looked: Looked) -> Evidence:
    """New asks old neither for names nor for accounts, passes no mail on to it, and has no disk from it."""
    exam = Examination(
        "The new server needs nothing of the old one",
        "new",
        "From the evening on the old server passes all mail on to the new one, and one day it is switched off: what still asks "
        "it then runs in a circle or stands still.",
        "let what is named ask somebody else",
    )
    leans: list[list[str]] = looked.said["leans"]
    for where, what in leans:
        exam.expect(where, what, good=False, expected="nothing of the old server's")
    if not leans:
        exam.expect("name servers, ways of mail, databases, disks and connections", "none is the old server", good=True)
    return exam.close()


def no_unit_failed(looked: Looked) -> Evidence:
    """No other service of the machine has failed either."""
    exam = Examination(
        "No unit of the machine has failed",
        "new",
        "A failed timer or mount is how a backup, a renewal or a disk goes missing unnoticed.",
        "systemctl status UNIT says why; mend it, then systemctl reset-failed UNIT",
        required=False,
    )
    failed: list[str] = looked.said["failed"]
    exam.expect("systemctl --failed", ", ".join(failed) or "none", not failed, "none")
    return exam.close()


def binaries_are_current(looked: Looked) -> Evidence:
    """What runs is what is installed: nothing was upgraded under a running service."""
    exam = Examination(
        "The running programs are the installed ones",
        "new",
        "A service that still runs what an upgrade replaced behaves differently after the next restart.",
        "systemctl restart the service named (needrestart lists them all)",
    )
    stale: list[list[object]] = looked.said["stale"]
    for name, pid, what in stale:
        exam.expect(f"{name} (process {pid})", f"runs the replaced {what}", good=False, expected="the installed file")
    running: dict[str, int] = looked.said["running"]
    if not stale and running:
        count = sum(running.values())
        exam.expect(
            "programs and libraries of the mail services' processes",
            f"{count} processes, none replaced on disk",
            good=True,
        )
    return exam.close()


def configurations_are_accepted(looked: Looked) -> Evidence:
    """Postfix, Dovecot, Apache, rspamd and MariaDB find nothing wrong in their own configuration, and could start with it."""
    exam = Examination(
        "Each service accepts its own configuration",
        "both",
        "A service with a broken file runs on with the old one, until a restart on the evening stops it.",
        "run the command named on the server named and mend the line it points at; the old server's services must start "
        "again, too, if the evening is taken back",
    )
    found: dict[str, tuple[int, str]] = looked.said["configurations"]
    for name, (status, words) in found.items():
        said = without_harmless(words)
        exam.expect(
            COMMANDS[name],
            said or f"nothing to complain (exit status {status})",
            status == 0 and not said,
            "no complaint",
        )
    # Of the old server's only what the way back would start again; what it merely grumbles about has been so for years
    theirs: dict[str, tuple[int, str]] = looked.old_said["configurations"]
    for name, (status, words) in theirs.items():
        exam.expect(f"{COMMANDS[name]} on old", words if status else "it would start", status == 0, "it would start")
    return exam.close()


def settings_are_read(looked: Looked) -> list[Evidence]:
    """No file of a service was changed since the service read it: what is tried here is what runs after a restart, too."""
    firm, advice = (
        Examination(
            "The services run with what their files say",
            "both",
            "What is verified here is not what runs later: the evening restarts the services, with whatever their files say by then.",
            "is the change meant, let it be read, and verify again: systemctl reload postfix (postmap for a table, newaliases for "
            "aliases), doveadm reload, systemctl reload rspamd apache2, systemctl restart mariadb redis-server",
            required=required,
        )
        for required in (True, False)
    )
    advised = False
    for server, said in ((looked.new, looked.said), (looked.old, looked.old_said)):
        unread: list[tuple[str, str, float, float]] = said["unread"]
        for service, path, at, after in unread:
            changed, read = (time.strftime("%F %T", time.localtime(each)) for each in (at, at - after))
            recommended = server is looked.old or path == AFRESH
            exam = advice if recommended else firm
            answer = f"changed on {changed}, read on {read}"
            exam.expect(f"{service}: {path} on {server}", answer, False, "read since it was changed")
            advised = advised or recommended
        firm.expect(f"files of the services on {server}", f"{len(unread)} changed since they were read", good=True)
    return [firm.close(), *([advice.close()] if advised else [])]


def without_harmless(words: str) -> str:
    """What a service said to its configuration, without what is known to be harmless."""
    return "\n".join(
        line for line in words.splitlines() if line.strip() and not any(known in line for known in HARMLESS)
    )


def clocks_are_right(old: Server, new: Server) -> Evidence:
    """The clocks of both servers agree with the operator's."""
    exam = Examination(
        "The clocks are right",
        "both",
        "Certificates, DKIM signatures and the order of letters depend on the time, and the copy compares times.",
        "timedatectl set-ntp true on the server that is wrong; if both differ the same way it is this machine's clock",
    )
    for server in (old, new):
        before = time.time()
        theirs: float = ask(server, "clock")["clock"]
        after = time.time()
        # What it said lies between the moments before and after; only what is beyond them is an error.
        off = max(before - theirs, theirs - after, 0.0)
        exam.expect(
            f"clock of the {server} server against this machine's",
            f"{off:.1f} s off",
            off <= CLOCK_S,
            f"at most {CLOCK_S:g} s",
        )
    return exam.close()


def clock_is_kept_right(looked: Looked) -> Evidence:
    """Something keeps the new server's clock right."""
    exam = Examination(
        "The clock is kept right",
        "new",
        "A clock that is right tonight drifts away within weeks.",
        "apt install systemd-timesyncd (or chrony), then timedatectl set-ntp true",
        required=False,
    )
    keeper = looked.said["keeper"]
    if keeper["container"]:
        return exam.not_applicable("the new server is a container: its host keeps the clock")
    services = ", ".join(keeper["services"])
    exam.expect("services that keep the clock", services or "none runs", bool(services), "systemd-timesyncd or chrony")
    exam.equal("timedatectl: NTPSynchronized", keeper["synchronised"], "yes")
    return exam.close()


def disk_is_large_enough(looked: Looked) -> Evidence:
    """The new server has room for all mail of the old one, and for letters on their way."""
    exam = Examination(
        "The new server has room for all mail",
        "both",
        "A full disk stops the copy in the middle of the night, and every delivery after it.",
        "give the file system of the directory named more room (inodes: make it anew with more of them, mkfs.ext4 -i)",
    )
    old, new = looked.old, looked.new
    for path, (free, mount) in looked.said["room"].items():
        # Postfix itself takes no letter when less than 1.5 times the largest is left
        need = 1.5 * int(new.setting("message_size_limit") or 0) * LETTERS_AT_ONCE
        exam.expect(
            f"free for the queue at {path} on new (file system {mount})",
            size(free),
            free >= need,
            f"at least {size(need)}: {LETTERS_AT_ONCE} of the largest letters",
        )
    if not old.facts.mail_root or not new.facts.mail_root:
        exam.unknown(
            "where the mailboxes lie",
            f"not found on the {new if old.facts.mail_root else old} server: Dovecot's user query names no home",
        )
        return exam.close()
    theirs, ours = looked.old_said["disk"], looked.said["disk"]
    if not theirs or not ours:
        server = old if not theirs else new
        exam.expect(f"{server.facts.mail_root} on {server}", "not there", good=False, expected="the mailboxes")
        return exam.close()
    need = theirs["bytes"] * SPARE - ours["bytes"]
    exam.expect(
        f"free at {new.facts.mail_root} on new, for {size(theirs['bytes'])} on old",
        f"{size(ours['free_bytes'])}, {size(ours['bytes'])} carried over already",
        theirs["bytes"] >= 0 and ours["free_bytes"] >= need,
        f"at least {size(max(need, 0))}",
    )
    files = theirs["files"] * SPARE - ours["files"]
    exam.expect(
        f"free inodes there, for {theirs['files']} files on old",
        str(ours["free_files"]) if ours["counts_files"] else "as many as needed (this file system does not count them)",
        not ours["counts_files"] or ours["free_files"] >= files,
        f"at least {max(int(files), 0)}",
    )
    return exam.close()


def size(count: float) -> str:
    """Bytes for a person: ``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def ports_are_open(looked: Looked) -> list[Evidence]:
    """Everything people and other servers need can be reached from outside, over IPv4 and IPv6."""
    new = looked.new
    return [_open(new, looked.offered, address) for address in (new.address, *offers.other_addresses(new)[:1])]


def _open(new: Server, found: Iterable[Offer], address: str) -> Evidence:
    version = "IPv6" if ":" in address else "IPv4"
    exam = Examination(
        f"Everything offered can be reached from outside over {version}",
        "new",
        "What is closed to the outside is closed to your users and to every other mail server.",
        "open the port in the firewall, and look whether the service listens there (ss -ltnp)",
        required=address == new.address,
    )
    wanted = {offer.port: offer.what for offer in found}
    answers = knock([(address, port) for port in wanted])
    if all(answers[address, port] == NO_ROUTE for port in wanted):
        exam.unknown(
            f"{version} address {address}", f"this machine has no way to {version} addresses; try from another"
        )
        return exam.close()
    for port, what in wanted.items():
        answer = answers[address, port]
        exam.expect(f"{what} ({address} port {port})", answer, answer == OPEN, OPEN)
    if new.jump and any(answers[address, port] != OPEN for port in wanted):
        exam.hint = (
            f"ssh gets there through {new.jump}, but mail ports are called from here: let this machine in, or start mailmove "
            f"on the jump host; else: {exam.hint}"
        )
    return exam.close()


def private_services_are_closed(looked: Looked) -> Evidence:
    """MariaDB, Redis and rspamd cannot be reached from outside, whatever their port is."""
    exam = Examination(
        "The database and the spam filter cannot be reached from outside",
        "new",
        "They trust whoever can connect: Redis and rspamd have no password at all.",
        "bind them to 127.0.0.1 (bind-address in MariaDB, bind in Redis, bind_socket in rspamd's workers), then restart",
    )
    new, running = looked.new, looked.listeners
    wanted = dict(PRIVATE) | {
        each.port: PRIVATE_PROGRAMS[each.program] for each in running if each.program in PRIVATE_PROGRAMS
    }
    addresses = [new.address, *offers.other_addresses(new)[:1]]
    answers = knock([(address, port) for address in addresses for port in wanted])
    for (address, port), answer in answers.items():
        if answer == NO_ROUTE and address != new.address:
            continue  # no IPv6 here; what it listens on is looked at below
        exam.expect(f"{wanted[port]} ({address} port {port})", answer, answer != OPEN, "closed")
    for each in running:
        if each.program in PRIVATE_PROGRAMS:
            exam.expect(
                f"{PRIVATE_PROGRAMS[each.program]} listens at",
                f"{each.address} port {each.port}",
                each.is_local,
                "127.0.0.1 or ::1 only",
            )
    return exam.close()


def nothing_else_listens(looked: Looked) -> Evidence:
    """Nothing listens to the outside that no chapter of the guide put there."""
    exam = Examination(
        "Nothing else listens to the outside",
        "new",
        "Each open port is one more thing to keep safe.",
        "stop what is not needed, or close it in the firewall; ignore this if you know what it is for",
        required=False,
    )
    known = {offer.port for offer in looked.offered} | set(PRIVATE) | {22}
    ssh = {each.port for each in looked.listeners if each.program == "sshd"}
    others = unexpected(looked.listeners, known | ssh)
    for each in others:
        exam.expect(
            f"port {each.port}",
            f"{each.program or 'somebody'} listens at {each.address}",
            good=False,
            expected="nobody",
        )
    if not others:
        exam.expect(
            "listeners at outside addresses (ss -ltn)", f"only on ports {', '.join(map(str, sorted(known)))}", good=True
        )
    return exam.close()


def unexpected(found: Iterable[Listener], known: Iterable[int]) -> list[Listener]:
    """Listeners that the outside can reach on ports nobody expects; one a port and program."""
    seen = {(each.port, each.program): each for each in found if not each.is_local and each.port not in set(known)}
    return sorted(seen.values(), key=lambda each: each.port)


OPEN = "open"
NO_ROUTE = "no route from this machine"


def knock(doors: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """What each (address, port) answers from here: open, refused, silent, or no route. All at once."""
    doors = list(doors)
    with ThreadPoolExecutor(max_workers=max(len(doors), 1)) as pool:
        return dict(zip(doors, pool.map(lambda door: _knock(*door), doors), strict=True))


def _knock(address: str, port: int) -> str:
    try:
        with socket.create_connection((address, port), timeout=CONNECT_S):
            return OPEN
    except TimeoutError:
        return f"silent for {CONNECT_S:g} s"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return NO_ROUTE
        return re.sub(r"^\[Errno \d+\] ", "", str(error))
