"""The database of domains, mailboxes and aliases, and who may do what with it."""

from __future__ import annotations

import re
import shlex
from typing import Any

from checks.outside import Outside, expect_taken, post
from mailmove.clients import letters
from mailmove.clients.account import Account
from mailmove.errors import TookTooLong
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

CHAPTER = "guide: prepare the database"

TABLES = {
    "virtual_domains": ("id", "name"),
    "virtual_users": ("id", "domain_id", "email", "password"),
    "virtual_aliases": ("id", "domain_id", "source", "destination"),
}
# Settings of Postfix that ask the database.
MAPS = (
    "virtual_mailbox_domains",
    "virtual_mailbox_maps",
    "virtual_alias_maps",
    "smtpd_sender_login_maps",
)
KEPT_S = 60  # Postfix itself hangs up after so long (idle_interval); one that breaks before counts as a database that is down
FULL = 0.9  # of max_connections: from here on the next busy minute turns somebody away
LOGIN_S = 20  # without its database Dovecot says nothing for a minute and longer
SAMPLE = ("john@example.org", "summersun")  # the guide's own mailbox; its password is known to everybody


def schema_is_as_the_guide_makes_it(new: Server) -> Evidence:
    """The tables have the columns that Postfix and Dovecot ask for, and can keep what people put in."""
    exam = _exam(
        "The database has the tables of the guide",
        "Postfix, Dovecot, Roundcube and the accounts carried over all rely on these tables.",
        f"create what is missing as the guide does ({CHAPTER})",
    )
    if not new.facts.database:
        exam.expect(
            "database that virtual_mailbox_domains names", "none", good=False, expected="one, usually mailserver"
        )
        return exam.close()
    answer = _ask(new, "columns")
    columns: dict[str, dict[str, list[str]]] = answer["columns"]
    for table, names in TABLES.items():
        there = columns.get(table, {})
        missing = [name for name in names if name not in there]
        exam.expect(
            f"columns of {table}",
            ", ".join(f"{n} {there[n][0]}" for n in there) or "no such table",
            not missing,
            ", ".join(names),
        )
        engine = answer["engines"].get(table, "none")
        exam.expect(f"engine of {table}", engine, engine == "InnoDB", "InnoDB (it keeps the tables in step)")
    exam.expect(
        "whether it takes changes (read_only)",
        "it only reads" if answer["read_only"] else "it does",
        not answer["read_only"],
        "it does: read_only = 0 in /etc/mysql (it was a copy of another server's), and SET GLOBAL read_only = 0",
    )
    if "email" in columns.get("virtual_users", {}):
        key = columns["virtual_users"]["email"][2]
        exam.expect("virtual_users.email is unique", key or "no key", key in ("UNI", "PRI"), "UNI")
    return exam.close()


def old_content_fits(old: Server, new: Server) -> Evidence:
    """What stands in the old server's tables has a place in the new one's."""
    exam = _exam(
        "The old server's accounts fit into the new tables",
        "What only the old server has, somebody added on purpose and will miss.",
        "look who uses it on the old server (an admin tool, a script) and set that up on the new one too",
        required=False,
    )
    if not (old.facts.database and new.facts.database):
        exam.unknown("both databases", "one of them was not found")
        return exam.close()
    theirs: dict[str, dict[str, list[str]]] = _ask(old, "columns")["columns"]
    ours: dict[str, dict[str, list[str]]] = _ask(new, "columns")["columns"]
    for table, names in theirs.items():
        if table not in ours:
            exam.expect(f"table {table}", "only on the old server", good=False, expected="known on both")
            continue
        extra = [name for name in names if name not in ours[table]]
        exam.expect(f"columns of {table} only on the old server", ", ".join(extra) or "none", not extra, "none")
        for name in names:
            if name in ours[table]:
                here, there = ours[table][name][0], names[name][0]
                if narrower(here, there):
                    exam.expect(
                        f"{table}.{name}", f"{here} on new, {there} on old", good=False, expected="as wide as on old"
                    )
    for what, rows in _ask(old, "strays")["strays"].items():
        exam.expect(what, ", ".join(rows) or "none", not rows, "none")
    quota = theirs.get("virtual_users", {}).get("quota", [""])[0]
    if quota:
        # The tables come over with their types: 2 GiB is the end of what int can say.
        exam.expect("virtual_users.quota on old", quota, quota.startswith("bigint"), "bigint, for quotas over 2 GiB")
    return exam.close()


def narrower(here: str, there: str) -> bool:
    """Whether a column type holds less than another of its kind: varchar(50) than varchar(100), int than bigint."""
    rank = {"tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 5}
    kinds = [re.fullmatch(r"(\w+)(?:\((\d+)\))?.*", kind) for kind in (here, there)]
    if not (kinds[0] and kinds[1]):
        return False
    (a, a_size), (b, b_size) = kinds[0].groups(), kinds[1].groups()
    if a in rank and b in rank:
        return rank[a] < rank[b]
    return a == b and a_size is not None and b_size is not None and int(a_size) < int(b_size)


def readers_only_read(new: Server) -> Evidence:
    """Postfix and Dovecot can read the tables with their password, and cannot write to them. Really tried."""
    exam = _exam(
        "Postfix and Dovecot can read the database and not write it",
        "Both talk to the whole world; what breaks into them must not make itself an account.",
        "GRANT SELECT ON mailserver.* TO 'mailserver'@'127.0.0.1', nothing more, and the same password in every file",
    )
    if not new.facts.database:
        exam.unknown("the readers", "no database was found")
        return exam.close()
    readers = _ask(new, "readers", maps=map_files(new))["readers"]
    for files, host, user, acts in readers:
        who = f"{user} at {host} ({', '.join(path.rpartition('/')[2] for path in files)})"
        exam.expect(f"{who}: read", acts["read"] or "allowed", not acts["read"], "allowed")
        for act, refusal in acts.items():
            if act == "read":
                continue
            denied = "denied" in refusal or "--read-only" in refusal  # that everybody is refused is said above
            exam.expect(f"{who}: {act}", refusal or "allowed", denied, "refused: command denied")
    return exam.close()


def domains_take_their_accounts_along(new: Server) -> Evidence:
    """Deleting a domain deletes its mailboxes and aliases; none can be made without a domain. Tried and rolled back."""
    exam = _exam(
        "No account can be without its domain",
        "A mailbox whose domain is gone still lets its owner log in and send.",
        "the foreign keys are missing: FOREIGN KEY (domain_id) REFERENCES virtual_domains(id) ON DELETE CASCADE",
    )
    if not new.facts.database:
        exam.unknown("the tables", "no database was found")
        return exam.close()
    answer = _ask(new, "cascade")
    left = answer["cascade"]
    if isinstance(left, str):
        exam.expect("a domain, a mailbox and an alias are added", left, good=False, expected="added, then rolled back")
    else:
        exam.expect(
            "left after their domain was deleted", f"{left[0]} mailboxes, {left[1]} aliases", left == [0, 0], "none"
        )
    exam.expect(
        "a mailbox without a domain is added", answer["orphan"] or "accepted", bool(answer["orphan"]), "refused"
    )
    return exam.close()


def nobody_logs_in_from_elsewhere(new: Server) -> Evidence:
    """The database lets nobody in from another machine, and nobody without a name."""
    exam = _exam(
        "The database lets nobody in from elsewhere",
        "The guide's users exist for this machine only; one more is a door.",
        "DROP USER what is named and not needed",
        required=False,
    )
    found = _ask(new, "logins")["logins"]
    words = ", ".join(f"'{user}'@'{host}'" for user, host in found)
    exam.expect("database users for other hosts, or without a name", words or "none", not found, "none")
    return exam.close()


def lets_enough_in(old: Server, outside: Outside, account: Account) -> Evidence:
    """As many may ask the database at once as Postfix takes letters at once, and as ever asked the old server's."""
    new = outside.server
    exam = _exam(
        "The database lets in everybody who asks at once",
        "Each process of Postfix keeps a connection for each of its maps. After the downtime the world's letters come all at "
        "once; with no connection left they are put off (451), and people and the webmail hear that they have no account.",
        f"{_shared(new)}or raise max_connections in /etc/mysql/mariadb.conf.d/50-server.cnf, and restart MariaDB",
        required=False,
    )
    letter = letters.compose(outside.sender, account.email)
    if not expect_taken(exam, post([(letter, account, outside.call([account.email], letter))])):
        return exam.close()
    found: dict[str, dict[str, Any]] = {server.role: _ask(server, "room") for server in (new, old)}
    for role, said in found.items():
        if isinstance(said["room"], str):
            exam.unknown(f"connections of the database on the {role} server", said["room"] or "no answer")
            return exam.close()
    here = found["new"]["room"]
    most = here["max_connections"]
    full = int(most * FULL)
    turned = here["connection_errors_max_connections"]
    since = f"in the {here['uptime'] / 86400:.1f} days since it was started"
    exam.expect(f"turned away on the new server {since}", f"{turned:,}", turned == 0, "0")
    exam.expect(
        "a connection over which nothing is asked is kept for (wait_timeout)",
        f"{here['wait_timeout']:,} s",
        here["wait_timeout"] > KEPT_S,
        f"more than {KEPT_S} s: Postfix asks over it until then, and puts letters off for a minute when it is gone",
    )
    for role, said in found.items():
        peak = said["room"]["max_used_connections"]
        exam.expect(f"most at once on the {role} server until now", f"{peak:,}", peak <= full, f"at most {full:,}")
    held = {program: found["new"]["held"].get(program, 0) for program in ("smtpd", "cleanup")}
    at_once = _letters_at_once(new)
    exam.expect(
        f"{at_once} letters at once (default_process_limit, or master.cf)",
        f"{at_once * sum(held.values()):,} connections: {held['smtpd']} of each smtpd, {held['cleanup']} of each cleanup",
        at_once * sum(held.values()) <= full,
        f"at most {full:,} (max_connections is {most:,})",
    )
    return exam.close()


def _letters_at_once(server: Server) -> int:
    """As many processes as may take letters from outside at one time."""
    limit = server.run("postconf", "-hx", "default_process_limit", check=True).out.strip()
    lines = [line.split() for line in server.run("postconf", "-M", check=True).out.splitlines()]
    # Behind postscreen it is smtpd/pass that takes them
    doors = [line for line in lines if line[7:8] == ["smtpd"] and (line[0] in ("smtp", "25") or line[1] == "pass")]
    return max((int(line[6] if line[6].isdigit() and line[6] != "0" else limit) for line in doors), default=0)


def _shared(server: Server) -> str:
    """The command that lets Postfix' processes share connections; empty if they do."""
    settings = {name: server.setting(name) for name in MAPS}
    shared = {name: re.sub(r"(?<!proxy:)\bmysql:", "proxy:mysql:", value) for name, value in settings.items()}
    wanted = [f"{name}={shared[name]}" for name in MAPS if shared[name] != settings[name]]
    if not wanted:
        return ""
    return (
        f"let Postfix' processes share a few connections: {shlex.join(['postconf', '-e', *wanted])} && postfix reload; "
    )


def samples_are_gone(old: Server, new: Server) -> Evidence:
    """The guide's sample mailbox and sample passwords are not in use on the new server."""
    exam = _exam(
        "The guide's sample passwords are gone",
        "They stand on a public web page: the first spammer who tries them sends through this server.",
        "DELETE FROM mailserver.virtual_domains WHERE name='example.org', or a new password; "
        "ALTER USER and the files named for the database's own (guide: going live); for Roundcube 24 characters of `openssl rand "
        "-base64 18`",
    )
    email, password = SAMPLE
    asked = f"log in as {email} with the guide's password"
    try:
        answer = new.run("doveadm", "auth", "test", email, stdin=f"{password}\n", timeout_s=LOGIN_S)
    except TookTooLong:
        exam.unknown(
            asked, f"not looked at: Dovecot gave no answer within {LOGIN_S} s; its lines in the mail log say why"
        )
    else:
        # 77 is Dovecot's EX_NOPERM: the answer of a working service.
        if answer.rc not in (0, 77):
            exam.unknown(asked, answer.text or f"exit status {answer.rc}")
        else:
            exam.expect(asked, "let in" if answer.ok else "refused", not answer.ok, "refused")
    said = _ask(new, "placeholders")
    files = said["placeholders"]
    exam.expect("files with the guide's dummy database passwords", ", ".join(files) or "none", not files, "none")
    if said["webmail_key"] is not None:
        known = said["webmail_key"]
        exam.expect(
            "the key by which Roundcube hides people's passwords (des_key in config.inc.php)",
            "the one of its documentation" if known else "one of its own",
            not known,
            "one of its own",
        )
    return exam.close()


def map_files(server: Server) -> list[str]:
    """Files of the Postfix maps that ask MariaDB, each once, in the order of the settings."""
    found = [path for setting in MAPS for path in mysql_files(server.setting(setting))]
    return list(dict.fromkeys(found))


def mysql_files(setting: str) -> list[str]:
    """The files in a setting like ``mysql:/etc/postfix/a.cf, proxy:mysql:/etc/postfix/b.cf``."""
    return re.findall(r"(?:^|[\s,{])(?:proxy:)?mysql:(/[^\s,}]+)", setting)


def _exam(title: str, why: str, hint: str, required: bool = True) -> Examination:
    return Examination(title, "new", why, hint, required)


def _ask(server: Server, *questions: str, **arguments: Any) -> dict[str, Any]:
    (answer,) = server.remote("database", {"ask": list(questions), "database": server.facts.database, **arguments})
    return answer
