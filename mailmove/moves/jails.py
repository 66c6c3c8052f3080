"""fail2ban on a server that the other one hands letters to: whoever hands them on is no attacker.

Letters for people who are not there, and many connections from one address, are what a jail for mail looks for. That the other
server is ignored stands in a file of its own, which a restart of fail2ban reads again, and is told to the running one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from checks.shutout import MAIL_JAIL
from mailmove.errors import ServerError
from mailmove.moves.service_state import put_file, take_file
from mailmove.server import Server

PACKAGE = "fail2ban"
FILE = "/etc/fail2ban/jail.d/zz-mailmove-trust.local"  # remote/shutout.py knows it too


def ignore(server: Server, addresses: Sequence[str]) -> None:
    """Have every jail for mail ignore these addresses from now on, and let them out. Done twice equals done once.

    Raises ServerError when fail2ban does not take it; nothing is left then.
    """
    if PACKAGE not in server.facts.packages:
        return
    take_file(server, FILE)
    jails = configured(server)
    if not jails:
        return
    put_file(server, FILE, text(jails, addresses))
    tested = server.run("fail2ban-client", "-t", timeout_s=60)
    if not tested.ok:
        take_file(server, FILE)
        raise ServerError(
            f"fail2ban on the {server.role} server would not ignore {', '.join(addresses)}: {tested.text[-500:]}",
            "run fail2ban-client -t there",
        )
    _tell(
        server,
        (f"set {jail} {act} {each}" for jail in jails for each in addresses for act in ("addignoreip", "unbanip")),
    )


def watch_again(server: Server) -> None:
    """What :func:`ignore` did is taken back. Done twice equals done once."""
    if PACKAGE not in server.facts.packages or not server.run("test", "-e", FILE).ok:
        return
    with_it = configured(server)
    take_file(server, FILE)
    without = configured(server)
    ours = ((jail, each) for jail, ignored in with_it.items() for each in ignored if each not in without.get(jail, []))
    _tell(server, (f"set {jail} delignoreip {each}" for jail, each in ours))


def configured(server: Server) -> dict[str, list[str]]:
    """The jails for mail, by fail2ban's files, and whom each ignores. None where the files cannot be read.

    Not what the running fail2ban says: that may know of addresses that are to be ignored for a moment only.
    """
    said = server.run("fail2ban-client", "-d", timeout_s=60)
    return for_mail(said.out) if said.ok else {}


def for_mail(dump: str) -> dict[str, list[str]]:
    """The same, from what ``fail2ban-client -d`` prints: each command it would begin with, as a list of Python's."""
    found: dict[str, list[str]] = {}
    for line in dump.splitlines():
        match ast.literal_eval(line) if line.startswith("[") else []:
            case ["add", str(jail), *_] if MAIL_JAIL.search(jail):
                found.setdefault(jail, [])
            case ["set", str(jail), "addignoreip", *who] if jail in found:
                found[jail] += map(str, who)
    return found


def text(jails: Mapping[str, Sequence[str]], addresses: Sequence[str]) -> str:
    """The file (jail.conf(5)): each jail keeps whom it ignored, as what stands there is replaced."""
    sections = (
        f"[{jail}]\nignoreip = {' '.join(dict.fromkeys([*ignored, *addresses]))}\n".replace("%", "%%")
        for jail, ignored in jails.items()
    )
    return "# Written by mailmove: the other server forwards. Taken away when it does so no more\n" + "".join(sections)


def _tell(server: Server, commands: Iterable[str]) -> None:
    """Tell the running fail2ban, by one client. One that does not run reads the file when it starts."""
    server.run("fail2ban-client", "-i", stdin="".join(f"{each}\n" for each in [*commands, "quit"]), timeout_s=60)
