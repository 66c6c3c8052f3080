"""Looks at the mail database: its tables, and what the readers named in Postfix' and Dovecot's files may do.

Arguments: {"database": NAME, "maps": [files of Postfix' maps]}. One JSON object. Every statement that could write is
refused, or touches no row, or is rolled back.
"""

import glob
import json
import os
import re
import subprocess
import sys

CLIENT = next((c for c in ("/usr/bin/mariadb", "/usr/bin/mysql") if os.path.exists(c)), "")
OPTIONS = ["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]


def client(statements, database, login=None):
    """(exit status, rows, what it complained). ``login`` (host, user, password) travels in an unnamed pipe."""
    argv, pipes = [CLIENT], ()
    if login:
        ours, theirs = os.pipe()
        with os.fdopen(theirs, "w") as file:
            file.write(
                "[client]\n"
                + "".join(
                    '%s="%s"\n' % (key, value.replace("\\", "\\\\").replace('"', '\\"')) for key, value in login.items()
                )
            )
        argv += ["--defaults-extra-file=/proc/self/fd/%d" % ours]
        pipes = (ours,)
    try:
        done = subprocess.run(
            [*argv, *OPTIONS, "--", database],
            input=statements.encode(),
            pass_fds=pipes,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=50,
        )
    finally:
        for each in pipes:
            os.close(each)
    rows = [line.split("\t") for line in done.stdout.decode("utf-8", "replace").splitlines()]
    return done.returncode, rows, done.stderr.decode("utf-8", "replace").strip()


def postfix_login(path):
    """The login in a mysql_table(5) file; None if it cannot be read or names none."""
    values = {}
    try:
        with open(path) as lines:
            for line in lines:
                name, sep, content = line.partition("=")
                if sep and not line.lstrip().startswith("#"):
                    values[name.strip()] = content.strip()
    except OSError:
        return None
    return (
        (values.get("hosts", "localhost").split()[0], values["user"], values.get("password", ""))
        if "user" in values
        else None
    )


def dovecot_login():
    """(file, login) of Dovecot's database: ``connect = host=… user=…`` (2.3) or the mysql block (2.4)."""
    for path in ["/etc/dovecot/dovecot-sql.conf.ext", *sorted(glob.glob("/etc/dovecot/conf.d/*sql*"))]:
        try:
            with open(path, errors="replace") as file:
                text = "\n".join(line for line in file.read().splitlines() if not line.lstrip().startswith("#"))
        except OSError:
            continue
        connect = re.search(r"(?m)^\s*connect\s*=\s*(.+)$", text)
        if connect:
            values = dict(re.findall(r"(\w+)=(\S+)", connect.group(1)))
        else:
            block = re.search(r"(?s)\bmysql\s+(\S+)\s*\{(.*?)\}", text)
            if not block:
                continue
            values = dict(re.findall(r"(?m)^\s*(\w+)\s*=\s*(\S+)", block.group(2)))
            values["host"] = block.group(1)
        if "user" in values:
            return path, (values.get("host", "localhost"), values["user"], values.get("password", ""))
    return None


# Refused for want of the right before a row is looked at; where the right is there, no row fits.
WRITES = (
    ("change a row", "UPDATE virtual_users SET email = email WHERE 1 = 0"),
    ("add a row", "INSERT INTO virtual_domains (name) SELECT name FROM virtual_domains WHERE 1 = 0"),
    ("delete a row", "DELETE FROM virtual_aliases WHERE 1 = 0"),
)


def readers(database, maps):
    """What each reader can do: [[files], host, user, {act: complaint, empty if it could}]."""
    logins = {}
    for path in maps:
        login = postfix_login(path)
        if login:
            logins.setdefault(login, []).append(path)
    dovecot = dovecot_login()
    if dovecot:
        logins.setdefault(dovecot[1], []).append(dovecot[0])
    found = []
    for (host, user, password), files in logins.items():
        login = {"host": host, "user": user, "password": password}
        acts = {}
        rc, _, said = client("SELECT COUNT(*) FROM virtual_domains", database, login)
        acts["read"] = said or "exit status %d" % rc if rc else ""
        if rc == 0:
            for act, statement in WRITES:
                rc, _, said = client("START TRANSACTION; %s; ROLLBACK;" % statement, database, login)
                acts[act] = said if rc else ""
            rc, _, said = client("SELECT COUNT(*) FROM mysql.user", database, login)
            acts["read everybody's database password"] = said if rc else ""
        found.append([files, host, user, acts])
    return found


def rows_of(statements, database):
    """The rows of statements that always have an answer; what MariaDB complains of ends the program."""
    rc, rows, said = client(statements, database)
    if rc:
        sys.exit(said)
    return rows


def columns(database):
    """table -> column -> [type, null, key]."""
    found = {}
    rows = rows_of(
        "SELECT table_name, column_name, column_type, is_nullable, column_key FROM information_schema.columns "
        "WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
        database,
    )
    for table, column, kind, null, key in rows:
        found.setdefault(table, {})[column] = [kind, null, key]
    return found


# Domain, mailbox and alias come and go within one transaction that is never committed
CASCADE = """
START TRANSACTION;
INSERT INTO virtual_domains (name) VALUES ('cascade.mailmove.invalid');
SET @d = LAST_INSERT_ID();
INSERT INTO virtual_users (domain_id, email, password) VALUES (@d, 'mailmove-probe-x@cascade.mailmove.invalid', '');
INSERT INTO virtual_aliases (domain_id, source, destination) VALUES (@d, 'mailmove-probe-y@cascade.mailmove.invalid', 'z');
DELETE FROM virtual_domains WHERE id = @d;
SELECT (SELECT COUNT(*) FROM virtual_users WHERE domain_id = @d), (SELECT COUNT(*) FROM virtual_aliases WHERE domain_id = @d);
ROLLBACK;
"""

ORPHAN = """
START TRANSACTION;
SET @d = (SELECT COALESCE(MAX(id), 0) + 1000000 FROM virtual_domains);
INSERT INTO virtual_users (domain_id, email, password) VALUES (@d, 'mailmove-probe-x@cascade.mailmove.invalid', '');
ROLLBACK;
"""


ROOM = """
SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'wait_timeout');
SHOW GLOBAL STATUS WHERE Variable_name IN ('Max_used_connections', 'Connection_errors_max_connections', 'Uptime');
"""


STRAYS = (
    (
        "mailboxes whose domain is gone",
        "SELECT email FROM virtual_users WHERE domain_id NOT IN (SELECT id FROM virtual_domains) LIMIT 20",
    ),
    (
        "aliases whose domain is gone",
        "SELECT source FROM virtual_aliases WHERE domain_id NOT IN (SELECT id FROM virtual_domains) LIMIT 20",
    ),
    (
        "addresses that have two mailboxes",
        "SELECT email FROM virtual_users GROUP BY email HAVING COUNT(*) > 1 LIMIT 20",
    ),
    (
        "mailboxes whose names differ by capitals or accents only (on old two, to Postfix, Dovecot and the guide's tables one)",
        "SELECT GROUP_CONCAT(email ORDER BY email SEPARATOR ' and ') FROM virtual_users"
        " GROUP BY CONVERT(email USING utf8mb4) COLLATE utf8mb4_general_ci"
        " HAVING COUNT(DISTINCT CAST(email AS BINARY)) > 1 LIMIT 20",
    ),
)
"""Rows that tables with keys, as the guide makes them, do not take."""


def strays(database):
    """what -> the addresses; tables that are not as the guide's are another check's question."""
    found = {}
    for what, statement in STRAYS:
        rc, rows, _ = client(statement, database)
        if rc == 0:
            found[what] = [row[0] for row in rows]
    return found


def sockets(*words):
    """Lines of ss(8); none where it is not there."""
    try:
        return subprocess.run(["ss", "-Hnp", *words], stdout=subprocess.PIPE, timeout=20).stdout.decode().splitlines()
    except OSError:
        return []


def held():
    """program -> the most connections to MariaDB that one process of it holds just now."""
    _, rows, _ = client("SELECT @@port, @@socket", "")
    port, path = rows[0] if rows else ("3306", "/run/mysqld/mysqld.sock")
    lines = sockets("-t", "state", "established", "dport", "=", ":" + port)
    local = [line.split() for line in sockets("-x")]
    there = {words[5] for words in local if len(words) > 7 and os.path.realpath(words[4]) == os.path.realpath(path)}
    lines += [" ".join(words) for words in local if len(words) > 7 and words[7] in there]
    counts = {}
    for line in lines:
        for program, process in set(re.findall(r'\("([^"]+)",pid=(\d+)', line)):
            counts[program, process] = counts.get((program, process), 0) + 1
    found = {}
    for (program, _), number in counts.items():
        found[program] = max(number, found.get(program, 0))
    return found


DOCUMENTED_KEY = "rcmail-!24ByteDESkey*Str"


def webmail_key():
    """Whether Roundcube's key is the one of its documentation; None where it says nothing of it, or is not there."""
    try:
        with open("/etc/roundcube/config.inc.php", errors="replace") as file:
            said = re.findall(r"""(?m)^\s*\$config\[['"]des_key['"]\]\s*=\s*['"]([^'"]*)""", file.read())
    except OSError:
        return None
    return said[-1] == DOCUMENTED_KEY if said else None


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    database = arguments["database"]
    answer = {}
    for question in arguments["ask"]:
        if question == "columns":
            answer["columns"] = columns(database)
            answer["engines"] = dict(
                rows_of(
                    "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE() AND engine IS NOT NULL",
                    database,
                )
            )
            answer["read_only"] = rows_of("SELECT @@global.read_only", "") == [["1"]]
        elif question == "readers":
            answer["readers"] = readers(database, arguments["maps"])
        elif question == "cascade":
            rc, rows, said = client(CASCADE, database)
            answer["cascade"] = [int(cell) for cell in rows[-1]] if rc == 0 and rows else said
            rc, _, said = client(ORPHAN, database)
            answer["orphan"] = said if rc else ""
        elif question == "room":
            rc, rows, said = client(ROOM, "")
            answer["room"] = {name.lower(): int(value) for name, value in rows} if rc == 0 else said
            answer["held"] = held()
        elif question == "strays":
            answer["strays"] = strays(database)
        elif question == "logins":
            answer["logins"] = rows_of(
                "SELECT user, host FROM mysql.user WHERE host NOT IN ('localhost', '127.0.0.1', '::1') OR user = ''", ""
            )
        elif question == "placeholders":
            names = [
                "/etc/postfix/*.cf",
                "/etc/dovecot/*",
                "/etc/dovecot/conf.d/*",
                "/etc/roundcube/plugins/*/config.inc.php",
            ]
            answer["placeholders"] = []
            for path in sorted(path for name in names for path in glob.glob(name) if os.path.isfile(path)):
                with open(path, errors="replace") as file:
                    if re.search(r"MAIL(ADMIN|SERVER)-PASSWORD-HERE", file.read()):
                        answer["placeholders"].append(path)
            answer["webmail_key"] = webmail_key()
    json.dump(answer, sys.stdout)
    print()


main()
