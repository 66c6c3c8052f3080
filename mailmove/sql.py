"""Asking a server's MariaDB: rows of text. Statements travel by standard input, so nothing shows in a process list."""

from __future__ import annotations

import re

from mailmove import failures
from mailmove.errors import ServerError
from mailmove.server import Server

# ``mysql`` is only an alias in Debian 13, and missing without mariadb-client-compat.
_CLIENT = (
    "c=$(command -v mariadb || command -v mysql) || { echo 'no mariadb or mysql client' >&2; exit 127; }; "
    # Somebody else's lock is told as that, before the command as a whole takes too long
    'exec "$c" --batch --skip-column-names --default-character-set=utf8mb4 '
    '--init-command="SET SESSION lock_wait_timeout=30, innodb_lock_wait_timeout=30" -- "$1"'
)
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\\\": "\\", "\\0": "\0"}


def literal(text: str) -> str:
    """``text`` as an SQL string that needs no quoting, whatever stands in it and whatever the ``sql_mode``.

    In hexadecimal: quotes, backslashes and newlines of other people's addresses never reach the SQL parser.
    """
    return f"_utf8mb4 X'{text.encode('utf-8', 'surrogateescape').hex()}'"


def name(identifier: str) -> str:
    """A database, table or column name in backticks."""
    return "`" + identifier.replace("`", "``") + "`"


def run(server: Server, database: str, statements: str) -> str:
    """Run statements as the server's root in ``database`` (may be empty); what the client printed.

    Stops at the first error. Raises ServerError with MariaDB's own words.
    """
    answer = server.sh(_CLIENT, database, what="asking MariaDB", stdin=statements)
    if not answer.ok:
        raise failures.of_mariadb(server.role, answer.err) or ServerError(
            f"MariaDB on the {server.role} server refused: {failures.in_mariadbs_words(answer.err)[:1000]}",
            "try `mariadb` there as root: Debian lets root in by the socket (guide: prepare the database)",
        )
    return answer.out


def rows(server: Server, database: str, query: str) -> list[list[str]]:
    """The rows of one query; NULL comes as the text ``NULL``. Raises ServerError."""
    return parse(run(server, database, query))


def parse(out: str) -> list[list[str]]:
    """Rows from the client's batch output, in which tab, newline, backslash and NUL are escaped."""
    return [
        [re.sub(r"\\[tn\\0]", lambda found: _ESCAPES[found[0]], cell) for cell in line.split("\t")]
        for line in out.split("\n")
        if line
    ]
