"""What a server said when it did not do what it was asked, made into an error for a person: the fact in one line first."""

from __future__ import annotations

import re

from mailmove.errors import ServerError

LONGEST_LINE = 300
_CAUSES = (
    (r"No space left on device|Disk quota exceeded", "make room there (df -h, df -i), then run it again"),
    (r"Read-only file system", "its disk can only be read: dmesg there says why; mount it again, then run it again"),
)
"""What any program may run into, and what to do."""
_ERRNO = re.compile(r"^\w*(?:Error|Exception): \[Errno \d+\] ")


_MARIADB = {
    "ERROR 2002": (
        "MariaDB on the {} server does not answer",
        "start it there: systemctl start mariadb; journalctl -u mariadb says why it stopped",
    ),
    "ERROR 1146": (
        "a table is missing in the database of the {} server",
        "Postfix and Dovecot ask for it too: restore it there, or, if it was never needed, create it empty as the guide does"
        " (guide: prepare the database)",
    ),
    "ERROR 1054": (
        "a table in the database of the {} server lacks a column",
        "mailmove reads the guide's tables: give it that column there, with the guide's name (guide: prepare the database)",
    ),
    "ERROR 1040": (
        "MariaDB on the {} server lets nobody else in for now",
        "SHOW PROCESSLIST there says who is in; proxy:mysql: in the place of mysql: in main.cf lets Postfix' processes share "
        "few connections, or raise max_connections. Then run it again",
    ),
    "ERROR 1205": (
        "somebody on the {} server holds a lock on these tables",
        "mariadb -e 'SHOW FULL PROCESSLIST' there names them (a backup, an ALTER TABLE); when they are done, run it again",
    ),
    "Can't create/write to file": (
        "MariaDB on the {} server cannot write the files that it needs for an answer",
        "ls -ld of the directory named, and df: /tmp is everybody's (chmod 1777 /tmp)",
    ),
}
"""What MariaDB's client says, what that means, and what to do."""


def of_command(role: str, what: str, rc: int, out: str, err: str) -> ServerError:
    """A command that ended with ``rc``. ``what``: what was asked for, in words or as the command that it was."""
    said = (err.strip() or out.strip() or "it said nothing")[:2000]
    line = _one_line(said)
    rest = "" if line == said else f"\n{said}"
    return ServerError(
        f"on the {role} server, {what}: exit status {rc}: {line}{rest}",
        _hint(said, "mend what the server says there, then run it again"),
    )


def of_program(role: str, name: str, rc: int, err: str) -> ServerError:
    """One of mailmove's own programs that did not come to its end on a server."""
    if known := of_mariadb(role, err):
        return known
    said = err.strip()[-1500:]
    last = said.splitlines()[-1].strip() if said else "it said nothing"
    if "Traceback (most recent call last)" not in err:
        said, hint = (
            said or last,
            "this is what the server's python3 said; if it is not plain, report it with these lines",
        )
    elif _ERRNO.match(last):  # a file or a socket: no defect of the program
        said, hint = _ERRNO.sub("", last), "mend what the server says there, then run it again"
    else:
        said, hint = f"{_one_line(last)}\n{said}", "this is a defect of mailmove: report it with these lines"
    return ServerError(f"on the {role} server the program {name} ended with {rc}: {said}", _hint(said, hint))


def of_mariadb(role: str, said: str) -> ServerError | None:
    """What MariaDB's client complained of, where that is a known cause."""
    for sign, (fact, hint) in _MARIADB.items():
        if sign in said:
            return ServerError(f"{fact.format(role)}: {said[said.rindex(sign) :]}", hint)
    return None


def in_mariadbs_words(said: str) -> str:
    """What its client complained of, without the statement that it repeats before it."""
    return said[max(said.rfind("ERROR "), 0) :].strip()


def _one_line(text: str) -> str:
    line = " / ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _hint(said: str, otherwise: str) -> str:
    return next((hint for sign, hint in _CAUSES if re.search(sign, said)), otherwise)
