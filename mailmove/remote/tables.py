"""Reads the tables of a MariaDB database as JSON lines; its acts load, build, swap and drop write to that MariaDB.

Only base tables. Names and values travel to the client by standard input, as hexadecimal literals or quoted
identifiers: nothing of them is read by a shell. Values come back as hexadecimal digits, so that no byte is lost or
misread; columns that are not named as plain leave the server only as keyed digests.

load   DATABASE <- FILE: a dump is read into a database of its own.
build  RESULT: the tables of DATABASE in their present shape, widened where SOURCE needs it, with SOURCE's rows.
swap   DATABASE <- RESULT in one statement; what stood there goes to AWAY.
drop   databases of mailmove's own.
"""

import fcntl
import gzip
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys

PATIENCE = "SET SESSION lock_wait_timeout=30"  # seconds; MariaDB's own is a day
OWN = "_mailmove"  # every database that mailmove makes ends in this and a word; no other is ever dropped
INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
TEXTS = ("tinytext", "text", "mediumtext", "longtext")


class Complaint(Exception):
    """Something MariaDB or the data does not allow: said on standard error, exit status 1."""


def client():
    for name in ("mariadb", "mysql"):
        for folder in os.environ.get("PATH", "/usr/bin:/bin").split(":"):
            if os.access(os.path.join(folder, name), os.X_OK):
                return os.path.join(folder, name)
    raise Complaint("there is no mariadb or mysql client")


def name(identifier):
    """A quoted identifier."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text):
    """A string literal made of digits: nothing in it can end it."""
    return "_utf8mb4 0x%s" % text.encode("utf-8", "surrogateescape").hex() if text else "''"


def ask(script, database=""):
    """Run statements; the lines of their rows, cells parted by tabs."""
    argv = [client(), "--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4"]
    argv.append("--init-command=" + PATIENCE)
    done = subprocess.run(
        argv + ([database] if database else []),
        input=script.encode("utf-8", "surrogateescape"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if done.returncode:
        raise Complaint(done.stderr.decode("utf-8", "replace").strip())
    return done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]


def unhex(cell):
    return None if cell == "NULL" else bytes.fromhex(cell).decode("utf-8", "surrogateescape")


def rows(statement, database=""):
    """Rows of texts of a SELECT whose columns are all HEX(...)."""
    return [[unhex(cell) for cell in line.split("\t")] for line in ask(statement, database)]


def base_tables(database):
    found = rows(
        "SELECT HEX(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = %s "
        "ORDER BY TABLE_NAME" % literal(database)
    )
    return [row[0] for row in found]


def shape(database):
    """{table: {column: {type, nullable, charset, generated}}}, columns in their order, and {table: [primary key columns]}."""
    tables = {table: {} for table in base_tables(database)}
    for table, column, kind, nullable, charset, generated in rows(
        "SELECT HEX(TABLE_NAME), HEX(COLUMN_NAME), HEX(COLUMN_TYPE), HEX(IS_NULLABLE), HEX(CHARACTER_SET_NAME), HEX(IS_GENERATED) "
        "FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, ORDINAL_POSITION"
        % literal(database)
    ):
        if table in tables:
            tables[table][column] = {
                "type": kind,
                "nullable": nullable == "YES",
                "charset": charset,
                "generated": generated != "NEVER",
            }
    primary = {table: [] for table in tables}
    for table, column in rows(
        "SELECT HEX(TABLE_NAME), HEX(COLUMN_NAME) FROM information_schema.STATISTICS WHERE INDEX_NAME = 'PRIMARY' "
        "AND TABLE_SCHEMA = %s ORDER BY TABLE_NAME, SEQ_IN_INDEX" % literal(database)
    ):
        primary.get(table, []).append(column)
    return tables, primary


def besides(database):
    """What is no base table: views, triggers, routines, events; as words."""
    asked = (
        ("view", "SELECT HEX(TABLE_NAME) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s"),
        ("trigger", "SELECT HEX(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s"),
        ("routine", "SELECT HEX(ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s"),
        ("event", "SELECT HEX(EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s"),
    )
    return ["%s %s" % (kind, row[0]) for kind, statement in asked for row in rows(statement % literal(database))]


def exists(database):
    return bool(ask("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s" % literal(database)))


def column_value(column, about):
    """The expression that gives a column's value as hexadecimal digits of UTF-8; bytes stay bytes."""
    binary = re.match(r"(tiny|medium|long)?blob|(var)?binary|bit|geometry", about["type"]) is not None
    return "HEX(%s)" % name(column) if binary else "HEX(CONVERT(%s USING utf8mb4))" % name(column)


def read(arguments):
    """Print every table: a line about it, then lines with up to 500 of its rows; all of one moment."""
    database = arguments["database"]
    if not exists(database):
        raise Complaint("there is no database %s" % database)
    salt = bytes.fromhex(arguments["salt"])
    plain = arguments.get("plain", {})
    tables, primary = shape(database)
    wanted = [table for table in tables if arguments.get("tables") is None or table in arguments["tables"]]
    bare = set(arguments.get("without_rows", []))
    script = ["START TRANSACTION WITH CONSISTENT SNAPSHOT;"]
    for number, table in enumerate(wanted):
        script.append("SELECT 'mailmove', %d;" % number)
        if table not in bare and tables[table]:
            cells = ", ".join(column_value(column, about) for column, about in tables[table].items())
            script.append("SELECT %s FROM %s;" % (cells, name(table)))
    out = {"rows": [], "table": None}
    emit({"besides": besides(database)})

    def flush():
        if out["rows"]:
            emit({"table": out["table"], "rows": out["rows"]})
            out["rows"] = []

    for line in ask("\n".join(script), database):
        cells = line.split("\t")
        if cells[0] == "mailmove":
            flush()
            table = out["table"] = wanted[int(cells[1])]
            columns = list(tables[table])
            shown = set(plain.get(table, [])) | set(primary[table])
            emit({"table": table, "columns": tables[table], "primary": primary[table], "read": table not in bare})
            continue
        values = []
        for column, cell in zip(columns, cells):
            if cell == "NULL":
                values.append(None)
            elif column in shown:
                values.append(unhex(cell))
            else:
                values.append("#" + hmac.new(salt, bytes.fromhex(cell), hashlib.sha256).hexdigest()[:32])
        out["rows"].append(values)
        if len(out["rows"]) >= 500:
            flush()
    flush()


def own(database):
    if not re.search(re.escape(OWN) + r"_[a-z]+$", database):
        raise Complaint("%s is no database of mailmove's own" % database)
    return database


def fresh(database, like=""):
    """Make an empty database of mailmove's own, with the character set of another."""
    charset = ""
    if like:
        found = rows(
            "SELECT HEX(DEFAULT_CHARACTER_SET_NAME), HEX(DEFAULT_COLLATION_NAME) FROM information_schema.SCHEMATA "
            "WHERE SCHEMA_NAME = %s" % literal(like)
        )
        if found:
            charset = " CHARACTER SET %s COLLATE %s" % tuple(re.sub(r"\W", "", cell) for cell in found[0])
    ask("DROP DATABASE IF EXISTS %s; CREATE DATABASE %s%s;" % (name(own(database)), name(database), charset))


def load(arguments):
    """Read a dump into a fresh database of its own.

    The dump's first line may switch a new client's sandbox on; an older client stops there with "Unknown command":
    for it the line is left out, and one that knows --sandbox is told so in any case.
    """
    fresh(arguments["database"], arguments.get("like", ""))
    usage = subprocess.run(
        [client(), "--no-defaults", "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout
    sandbox = ["--sandbox"] if b"--sandbox" in usage else []
    argv = [client()] + sandbox + ["--default-character-set=utf8mb4", arguments["database"]]
    opener = gzip.open if arguments["file"].endswith(".gz") else open
    with opener(arguments["file"], "rb") as dump:
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            try:
                process.stdin.write(b"SET SESSION foreign_key_checks=0;\n")
                for number, line in enumerate(dump):
                    if number == 0 and line.startswith(b"/*M!999999\\-"):
                        continue
                    process.stdin.write(line)
                process.stdin.close()
            except BrokenPipeError:
                pass
            said = process.stderr.read().decode("utf-8", "replace")
    if process.returncode:
        raise Complaint("the dump %s cannot be imported: %s" % (arguments["file"], said.strip()))
    emit({"tables": base_tables(arguments["database"])})


def definitions(database, table):
    """SHOW CREATE TABLE, and {column: its line in it}."""
    create = "\n".join(ask("SHOW CREATE TABLE %s" % name(table), database)).partition("\t")[2]
    lines = {}
    for line in create.split("\n")[1:]:
        match = re.match(r"  (`(?:[^`]|``)+`) ", line)
        if match:
            lines[match.group(1)[1:-1].replace("``", "`")] = line.strip().rstrip(",")
    return create, lines


def family(kind):
    """("int", rank), ("char", length) ...: what can be compared by width; None for all else."""
    word = re.match(r"\w+", kind).group()
    length = re.search(r"\((\d+)\)", kind)
    if word in INTEGERS:
        return ("unsigned int" if "unsigned" in kind else "int", INTEGERS.index(word))
    if word in ("char", "varchar"):
        return ("text", int(length.group(1)))
    if word in TEXTS:
        return ("text", 100000 + TEXTS.index(word))
    return None


def needs_old(new, old):
    """Why a column of the new server cannot hold what the old server's can; "" if it can.

    The new server's own definition stays unless it is narrower: its edition of the guide was made for its programs
    (quota bigint instead of int), and a wider column loses nothing.
    """
    here, there = family(new["type"]), family(old["type"])
    if here and there and here[0] == there[0] and here[1] < there[1]:
        return "%s is narrower than %s" % (new["type"], old["type"])
    if here and there and there[0] == "unsigned int" and here[0] == "int" and here[1] <= there[1]:
        return "%s does not hold all of %s" % (new["type"], old["type"])
    if old["charset"] == "utf8mb4" and new["charset"] not in (None, "utf8mb4"):
        return "character set %s does not hold all of utf8mb4" % new["charset"]
    if old["nullable"] and not new["nullable"]:
        return "the old server allows it to be empty (NULL)"
    return ""


def build(arguments):
    """Make RESULT: what DATABASE is to become. Prints each difference of the shapes and what was decided.

    With "shape": "source" RESULT is like SOURCE (the way back); else like DATABASE, widened where SOURCE needs it,
    tables and columns only SOURCE has added, tables only DATABASE has kept with their rows.
    mailmove's own probe rows are never taken from SOURCE, and those that DATABASE has now stay.
    """
    database, source, result = arguments["database"], arguments["source"], arguments["result"]
    as_source = arguments.get("shape") == "source"
    fresh(result, database)
    there, _ = shape(source)
    here, _ = shape(database)
    script = ["SET SESSION foreign_key_checks=0, sql_mode='STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO';"]
    for table in here if not as_source else ():
        create, _ = definitions(database, table)
        script.append(create + ";")
        if table not in there:
            emit({"difference": "table %s is on new only" % table, "decided": "kept as it is"})
            script.append("INSERT INTO %s SELECT * FROM %s.%s;" % (name(table), name(database), name(table)))
    for table, columns in there.items():
        create, lines = definitions(source, table)
        if as_source or table not in here:
            script.append(create + ";")
            if not as_source:
                emit({"difference": "table %s is on old only" % table, "decided": "carried"})
        else:
            for column, about in columns.items():
                if column not in here[table]:
                    emit({"difference": "column %s.%s is on old only" % (table, column), "decided": "carried"})
                    script.append("ALTER TABLE %s ADD COLUMN %s;" % (name(table), lines[column]))
                    continue
                why = needs_old(here[table][column], about)
                if why:
                    emit({"difference": "column %s.%s: %s" % (table, column, why), "decided": "made as on old"})
                    script.append("ALTER TABLE %s MODIFY COLUMN %s;" % (name(table), lines[column]))
                elif here[table][column]["type"] != about["type"]:
                    words = (table, column, here[table][column]["type"], about["type"])
                    emit({"difference": "column %s.%s: %s on new, %s on old" % words, "decided": "kept as on new"})
            for column in here[table]:
                if column not in columns:
                    emit(
                        {
                            "difference": "column %s.%s is on new only" % (table, column),
                            "decided": "kept, with its default",
                        }
                    )
        cells = ", ".join(name(column) for column, about in columns.items() if not about["generated"])
        script.append(
            "INSERT INTO %s (%s) SELECT %s FROM %s.%s%s;"
            % (name(table), cells, cells, name(source), name(table), where_not_probe(table, arguments["probe"]))
        )
    if "probe" in arguments:
        script += keep_probes(here, there if as_source else here, database, arguments["probe"])
    ask("\n".join(script), result)
    emit({"built": result})


def probe_test(column, probe):
    """The condition that an address is mailmove's own; addresses are compared byte by byte."""
    return "(BINARY %s LIKE BINARY %s OR BINARY %s LIKE BINARY %s)" % (
        column,
        literal(probe["prefix"].replace("_", r"\_") + "%"),
        column,
        literal("%@" + probe["domain"]),
    )


def where_not_probe(table, probe):
    column = {"virtual_users": "email", "virtual_aliases": "source"}.get(table)
    if column:
        return " WHERE NOT " + probe_test(column, probe)
    if table == "virtual_domains":
        return " WHERE name <> %s" % literal(probe["domain"])
    return ""


def keep_probes(here, target, database, probe):
    """Statements that carry mailmove's own rows over from DATABASE with fresh numbers: a run is using them."""
    if not all(table in here and table in target for table in ("virtual_domains", "virtual_users", "virtual_aliases")):
        return []
    was = name(database)
    script = [
        "INSERT INTO virtual_domains (name) SELECT name FROM %s.virtual_domains WHERE name = %s;"
        % (was, literal(probe["domain"]))
    ]
    for table, column in (("virtual_users", "email"), ("virtual_aliases", "source")):
        both = [c for c in here[table] if c in target[table] and c not in ("id", "domain_id")]
        script.append(
            "INSERT INTO %s (domain_id, %s) SELECT d.id, %s FROM %s.%s u JOIN %s.virtual_domains w ON w.id = u.domain_id "
            "JOIN virtual_domains d ON d.name = w.name WHERE %s;"
            % (
                name(table),
                ", ".join(map(name, both)),
                ", ".join("u." + name(c) for c in both),
                was,
                name(table),
                was,
                probe_test("u." + name(column), probe),
            )
        )
    return script


def swap(arguments):
    """Exchange the tables of DATABASE for those of RESULT, all in one RENAME: readers see all old or all new rows."""
    database, result, away = arguments["database"], arguments["result"], arguments["away"]
    fresh(away, database)
    if any(word.startswith("trigger ") for word in besides(database)):
        raise Complaint("tables of %s have triggers, with which MariaDB cannot move them" % database)
    moves = ["%s.%s TO %s.%s" % (name(database), name(t), name(away), name(t)) for t in base_tables(database)]
    moves += ["%s.%s TO %s.%s" % (name(own(result)), name(t), name(database), name(t)) for t in base_tables(result)]
    ask("SET SESSION foreign_key_checks=0; RENAME TABLE %s;" % ", ".join(moves))
    emit({"swapped": base_tables(database)})


def drop(arguments):
    for database in arguments["databases"]:
        ask("DROP DATABASE IF EXISTS %s;" % name(own(database)))


def emit(line):
    sys.stdout.write(json.dumps(line) + "\n")


def main():
    arguments = json.loads(sys.stdin.readline())
    if arguments["act"] != "read":
        # One at a time: a run that was killed may have left one at work. The lock ends with this process
        lock = open("/run/lock/mailmove-tables", "w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        {"read": read, "load": load, "build": build, "swap": swap, "drop": drop}[arguments["act"]](arguments)
    except Complaint as complaint:
        sys.exit(str(complaint))


if __name__ == "__main__":
    main()
