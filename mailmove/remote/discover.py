"""Looks at a mail server and prints what it is: one JSON object. Changes nothing.

In: {"mail_bytes": how much mail there is, if that is known already: measuring a large store takes minutes; else null}
"""

import glob
import json
import os
import re
import socket
import subprocess
import sys
import time

PACKAGES = (
    "postfix postfix-mysql dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-managesieved dovecot-mysql "
    "mariadb-server apache2 roundcube roundcube-core rspamd redis-server certbot rsync rsyslog python3 fail2ban"
).split()
DOVECOT = (
    "mail_location mail_home protocols ssl disable_plaintext_auth auth_mechanisms mail_plugins "
    "protocol/lmtp/mail_plugins protocol/imap/mail_plugins plugin/quota plugin/sieve_before plugin/sieve_after"
).split()

# A crashed run's probe accounts (clients/account.py) are nobody's
OURS = "? LIKE 'mailmove-probe-%' OR ? LIKE '%@probe.mailmove.invalid'"

problems = []


def run(*argv, data=None, limit_s=50):
    """The output of a command, or "" with the reason among the problems."""
    try:
        done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        problems.append("%s: %s" % (argv[0], error))
        return ""
    if done.returncode and argv[0] not in ("dpkg-query",):
        problems.append(
            "%s: exit %d: %s" % (" ".join(argv)[:80], done.returncode, done.stderr.decode("utf-8", "replace")[:200])
        )
    return done.stdout.decode("utf-8", "surrogateescape")


def release():
    values = {}
    try:
        with open("/etc/os-release") as lines:
            for line in lines:
                name, _, value = line.strip().partition("=")
                values[name] = value.strip('"')
    except OSError as error:
        problems.append(str(error))
    number = values.get("VERSION_ID", "0")
    return (int(number) if values.get("ID") == "debian" and number.isdigit() else 0), values.get(
        "PRETTY_NAME", "unknown"
    )


def addresses():
    found = []
    try:
        links = json.loads(run("ip", "-j", "addr") or "[]")
    except ValueError as error:
        problems.append("ip -j addr: %s" % error)
        links = []
    for link in links:
        for info in link.get("addr_info", []):
            if info.get("scope") == "global":
                found.append(info["local"])
    return found


def map_file(value):
    """The first mysql: file a Postfix map setting names, read as a dict."""
    match = re.search(r"(?:mysql|proxy:mysql):(\S+?)[,\s]*(?:\s|$)", value + " ")
    if not match:
        return {}
    values = {}
    try:
        with open(match.group(1)) as lines:
            for line in lines:
                name, sep, content = line.partition("=")
                if sep and not line.lstrip().startswith("#"):
                    values[name.strip()] = content.strip()
    except OSError as error:
        problems.append(str(error))
    return values


CLIENT = next((c for c in ("/usr/bin/mariadb", "/usr/bin/mysql") if os.path.exists(c)), "")


PATIENCE = "--init-command=SET SESSION lock_wait_timeout=10"  # seconds; MariaDB's own is a day


def sql(database, statement):
    """Rows of text. The statement travels by standard input; batch output escapes tab, newline and backslash."""
    out = run(
        *(CLIENT, "--batch", "--skip-column-names", "--default-character-set=utf8mb4", PATIENCE, database),
        data=statement.encode(),
    )
    unescape = {"\\t": "\t", "\\n": "\n", "\\\\": "\\", "\\0": "\0"}
    return [
        [re.sub(r"\\[tn\\0]", lambda m: unescape[m.group()], cell) for cell in line.split("\t")]
        for line in out.split("\n")
        if line
    ]


def mail_root(said, users):
    """Where the mailboxes lie: from Dovecot's settings ``said`` (doveconf -n) and the files they name; else from a home that
    Dovecot gives one of the users; else the vmail user's home."""
    texts = [said]
    for path in [*re.findall(r"(?m)^\s*args = (/\S+)$", said), *glob.glob("/etc/dovecot/conf.d/*sql*")]:
        try:
            with open(path, errors="replace") as file:
                texts.append(file.read())
        except OSError:
            continue
    lines = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")]
    # People's rules, indexes and the like may lie elsewhere, below directories of the same names
    homes = [line for line in lines if re.search(r"\bhome\b|\bmail_(home|location|path)\b", line)]
    for line in homes + [line for line in lines if not re.search(r"sieve|acl|fts|index|quota", line)]:
        match = re.search(r"(/[\w./@+-]*?)/%(?:L?d|\{user *\| *domain[^}]*\})/%", line)
        if match:
            return match.group(1)
    for user in users[:1]:
        local, _, domain = user.partition("@")
        home = run("doveadm", "user", "-f", "home", "--", user).strip()
        if home.endswith("/%s/%s" % (domain, local)):
            return home[: -len("/%s/%s" % (domain, local))]
    for line in run("getent", "passwd", "vmail").splitlines():
        return line.split(":")[5]
    return ""


def websites():
    """The names of the sites Apache serves with TLS, as Apache itself tells them; the default one first."""
    if not os.path.exists("/usr/sbin/apache2ctl"):
        return []
    found = re.findall(
        r"(?m)(?::443\s+|port 443 namevhost )([\w.-]+) \(/", run("apache2ctl", "-t", "-D", "DUMP_VHOSTS")
    )
    return list(dict.fromkeys(name.lower() for name in found))


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    number, pretty = release()
    postconf = {}
    for line in run("postconf", "-x").splitlines():
        name, sep, value = line.partition(" = ")
        if sep:
            postconf[name] = value
        elif line.endswith(" ="):
            postconf[line[:-2]] = ""
    services = [
        " ".join(line.split()[:2]).replace(" ", "/") for line in run("postconf", "-M").splitlines() if line[:1].strip()
    ]
    doveconf = {}
    said = run("doveconf", "-n")
    for line in run("doveconf").splitlines():
        match = re.match(r"(\w+) = (.*)", line)
        if match:
            doveconf[match.group(1)] = match.group(2)
    for name in DOVECOT:
        if "/" in name:
            done = subprocess.run(["doveconf", "-h", name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            doveconf[name] = done.stdout.decode("utf-8", "replace").strip()
    packages = {}
    for line in run("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *PACKAGES).splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "installed":
            packages[words[0]] = words[1]
    # While the old server only forwards, its own domains stand among those it relays for.
    asking = ("virtual_mailbox_domains", "relay_domains", "virtual_mailbox_maps", "relay_recipient_maps")
    settings = map_file(" ".join(postconf.get(name, "") for name in asking))
    database = settings.get("dbname", "")
    domains, users, aliases, roundcube = [], [], [], ""
    before = len(problems)
    if CLIENT:
        known = {row[0] for row in sql("", "SHOW DATABASES")}
        if database in known:
            domains = [
                row[0]
                for row in sql(
                    database, "SELECT name FROM virtual_domains WHERE name NOT LIKE '%.mailmove.invalid' ORDER BY name"
                )
            ]
            users = [
                row[0]
                for row in sql(
                    database,
                    "SELECT email FROM virtual_users WHERE NOT (%s) ORDER BY email" % OURS.replace("?", "email"),
                )
            ]
            aliases = sql(
                database,
                "SELECT source, destination FROM virtual_aliases WHERE NOT (%s) ORDER BY source, destination"
                % OURS.replace("?", "source"),
            )
        roundcube = "roundcube" if "roundcube" in known else ""
        try:
            with open("/etc/roundcube/debian-db.php", errors="replace") as file:
                match = re.search(r"\$dbname='([^']+)'", file.read())
            if match and match.group(1) in known:
                roundcube = match.group(1)
        except OSError:
            pass
    else:
        problems.append("no mariadb or mysql client")
    unread = "; ".join(problems[before:]) if database else ""
    root = mail_root(said, users)
    place = os.path.realpath(root) if root else ""
    used, free, inodes = 0, 0, 0
    if root and os.path.isdir(root):
        used = arguments.get("mail_bytes")
        if used is None:
            words = run("du", "-s", "-B1", "-x", place, limit_s=900).split()
            used = int(words[0]) if words else -1
        stat = os.statvfs(root)
        free, inodes = stat.f_bavail * stat.f_frsize, stat.f_favail
    elif root:
        problems.append("the mail root %s is not there" % root)
    try:
        with open("/etc/machine-id") as file:
            machine = file.read().strip()
    except OSError as error:
        machine = ""
        problems.append(str(error))
    json.dump(
        {
            "root": os.geteuid() == 0,
            "hostname": socket.gethostname(),
            "fqdn": run("hostname", "-f").strip(),
            "machine_id": machine,
            "debian": number,
            "release": pretty,
            "clock": time.time(),
            "addresses": addresses(),
            "packages": packages,
            "postconf": postconf,
            "services": services,
            "doveconf": doveconf,
            "protocols": doveconf.get("protocols", "").strip('"').split(),
            "database": database,
            "unread": unread,
            "domains": domains,
            "users": users,
            "aliases": aliases,
            "roundcube": roundcube,
            "websites": websites(),
            "mail_root": root,
            "mail_place": place,
            "mail_bytes": used,
            "free_bytes": free,
            "free_inodes": inodes,
            "problems": problems,
        },
        sys.stdout,
    )
    print()


if __name__ == "__main__":
    main()
