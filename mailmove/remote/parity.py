"""Looks at everything a mail server does beside and beyond the guide; prints one JSON object. Changes nothing.

Arguments: {"mail_root": path, "users": [addresses of which to ask where they have their home], "databases": [those that moves carry]}. No secret leaves the machine: of tables only the keys, of jobs only the programs, of files only digests and names.
"""

import calendar
import concurrent.futures
import configparser
import glob
import hashlib
import json
import os
import pwd
import re
import subprocess
import sys
import threading
import time
import urllib.request

problems = []


def run(*argv, data=None, limit_s=50, quiet=False):
    """The output of a command; "" with the reason among the problems."""
    try:
        done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        if not quiet:
            problems.append("%s: %s" % (argv[0], error))
        return ""
    if done.returncode and not quiet:
        said = done.stderr.decode("utf-8", "replace").strip()
        said = said[max(said.rfind("ERROR "), 0) :][:200]  # MariaDB's client repeats the statement before it
        problems.append("%s: exit %d: %s" % (" ".join(argv)[:80], done.returncode, said))
    return done.stdout.decode("utf-8", "replace")


def text_of(path, limit=1000000):
    """What stands in a file; "" if it cannot be read or is none."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


def lines_of(text):
    """Its lines without comments, empty ones and surplus blanks."""
    found = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in found if line and not line.startswith(("#", "//"))]


def digest(text):
    """Says whether two texts are the same, and nothing else."""
    return hashlib.sha256("\n".join(lines_of(text)).encode("utf-8", "replace")).hexdigest()[:16]


SECRET = re.compile(r"pass(word|wd)?$|_pw$|secret|token|api_?key|credential", re.I)
# The name of a blocklist that is paid for begins with the customer's key (0123456789abcdefghijklmnop.zen.dq.example.net)
LIST_KEY = re.compile(r"\b(?=[a-z]*\d)(?=\d*[a-z])[a-z\d]{20,}(?=(?:\.[a-z\d-]+){2,})", re.I)


# Keys of encrypted letters. Where one stands in the settings itself, it is told whether both are the same; a path is none.
KEY = re.compile(r"(?:^|/)(?:mail_)?crypt_\w*key\w*$")


def shown(name, value):
    """A value without secrets: those in settings named so, and those that stand in the value itself."""
    if SECRET.search(name.rpartition("/")[2]):
        return "(hidden)" if value else ""
    if KEY.search(name) and value and not value.startswith(("<", "/")):
        return "(hidden, %s)" % digest(value)
    value = re.sub(r"\b(static|inline):\S.*", r"\1:(hidden)", value) if "sasl" in name else value
    value = LIST_KEY.sub("(key)", value)
    return re.sub(r"(?i)\b(\w*(?:pass\w*|secret|token)=)\S+", r"\1(hidden)", value)


# Postfix


def settings(*arguments):
    found = {}
    for line in run("postconf", *arguments).splitlines():
        name, sep, value = line.partition("=")
        if sep:
            found[name.strip()] = shown(name.strip(), value.strip())
    return found


def services():
    """master.cf: "submission/inet" -> its command and options."""
    found = {}
    for line in run("postconf", "-M").splitlines():
        words = line.split()
        if len(words) >= 8:
            # At most so many at once; "-" is default_process_limit, 0 no limit
            found["/".join(words[:2])] = {"command": words[7], "limit": words[6], "options": {}}
    for line in run("postconf", "-P").splitlines():
        where, sep, value = line.partition("=")
        parts = where.strip().split("/")
        service = found.get("/".join(parts[:2]))
        if sep and service and len(parts) == 3:
            service["options"][parts[2]] = shown(parts[2], value.strip())
    return found


MAP = re.compile(
    r"\b(?:proxy:)?(mysql|pgsql|ldap|sqlite|hash|btree|lmdb|cdb|dbm|texthash|regexp|pcre|cidr):(/[^\s,{}]+)"
)
SEARCH_S = 200
CACHES = "/var/lib/postfix/"
ASKING = ("mysql", "pgsql", "ldap", "sqlite")


def tables(values, secret):
    """Each lookup table named in the values: of those that ask a database the queries, of files the keys, and digests of
    what they lead to; not of the tables named in ``secret``, which hold passwords.
    """
    hidden = {path for _, path in MAP.findall(secret)}
    found = {}
    for value in values:
        for kind, path in MAP.findall(value):
            if path.startswith(CACHES):
                continue
            text = text_of(path)
            if not os.path.exists(path) and os.path.exists(path + ".db"):  # its source is gone
                text = run("postmap", "-s", "%s:%s" % (kind, path))
            elif not os.path.exists(path):
                problems.append("the lookup table %s:%s is not there" % (kind, path))
            if kind in ASKING:
                joined = re.sub(r"\n[ \t]+", " ", text)
                query = re.search(r"(?m)^query\s*=\s*(.*)", joined)
                found["%s:%s" % (kind, path)] = {"queries": parts(query.group(1)) if query else [], "keys": []}
            else:
                entries = [(line.split(None, 1) + [""])[:2] for line in lines_of(text)][:2000]
                found["%s:%s" % (kind, path)] = {
                    "queries": [],
                    "keys": sorted(key for key, _ in entries),
                    "leads": {} if path in hidden else {key: digest(value) for key, value in entries},
                }
    return found


def parts(query):
    """The SELECTs of a query, spelt alike."""
    plain = re.sub(r"\s*([=,()])\s*", r"\1", " ".join(query.replace("`", "").split())).rstrip(";")
    return sorted(re.split(r"(?i)\s+union(?:\s+all)?\s+", plain))


# Dovecot


def dovecot():
    """The settings that differ from its own defaults: "protocol imap/mail_plugins" -> value."""
    found = told(run("doveconf", "-n"))
    keys = [
        name for name, value in found.items() if KEY.search(name) and value == "(hidden)" and not SECRET.search(name)
    ]
    if keys:  # where they lie is no secret
        bare = told(run("doveconf", "-n", "-P"))
        found.update({name: bare[name] for name in keys if name in bare})
    return found


def told(text):
    """doveconf(1)'s answer, without secrets."""
    found, inside, seen = {}, [], {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("#") or not line:
            continue
        if line.endswith("{"):
            name = line[:-1].strip()
            inside.append(name)
            if name in ("passdb", "userdb"):  # there may be several without a name
                seen[name] = seen.get(name, 0) + 1
                inside[-1] += " %d" % seen[name] if seen[name] > 1 else ""
        elif line == "}":
            if inside:
                inside.pop()
        elif " = " in line or line.endswith(" ="):
            name, _, value = line.partition(" =")
            hidden = "hidden, use -P" in value
            found["/".join(inside + [name.strip()])] = "(hidden)" if hidden else shown(name.strip(), value.strip())
    return found


BESIDE = 50  # names that are told


def accounts(settings):
    """What Dovecot's passdbs and userdbs are: [kind, driver, deny, master, names in their files]."""
    blocks = {}
    for name, value in settings.items():
        block, _, setting = name.rpartition("/")
        if re.match(r"(passdb|userdb)( [\w-]+)?$", block):
            blocks.setdefault(block, {})[setting] = value
    found = []
    for block, said in sorted(blocks.items()):
        kind, _, name = block.partition(" ")
        places = re.findall(r"/\S+", said.get("args", "") + " " + said.get("passwd_file_path", ""))
        names = set()
        for path in places if said.get("driver", name) == "passwd-file" else []:
            for file in glob.glob(re.sub(VARIABLE, "*", path)):
                names.update(line.partition(":")[0] for line in lines_of(text_of(file)))
        yes = [said.get(flag, "no") == "yes" for flag in ("deny", "master")]
        found.append([kind, said.get("driver", name), *yes, sorted(names)[:BESIDE]])
    return found


VARIABLE = r"%(?:\{[^}]*\}|[\d.-]*[A-Z]?[a-z])"
# Fields of a password query that let fewer in than a password alone; of a user query those of the guide
NARROWING = ("allow_nets", "nologin", "proxy", "host", "proxy_maybe", "nopassword", "allow_real_nets")
USUAL = ("user", "username", "domain", "home", "uid", "gid", "quota_rule", "quota_storage_size", "email", "password")


def queries(settings):
    """Dovecot's questions to the database: {"password_query": [condition, [fields that matter]]}, without what all have."""
    found = {}
    texts = {name: value for name, value in settings.items() if re.search(r"^(passdb|userdb) sql/query$", name)}
    asked = {"passdb sql/query": "password_query", "userdb sql/query": "user_query"}
    told = {asked[name]: value for name, value in texts.items()}
    for name, value in settings.items():
        if re.match(r"(passdb|userdb)( \d+)?/args$", name) and value.startswith("/"):
            joined = re.sub(r"\\\n", " ", text_of(value))
            for query in ("password_query", "user_query"):
                match = re.search(r"(?m)^\s*%s\s*=\s*(.*)" % query, joined)
                if match:
                    told[query] = match.group(1)
    for query, text in told.items():
        plain = re.sub(
            r"%(?:L?u|L?n@%L?d|\{user(?:\s*\|\s*lower)?\})", "USER", " ".join(text.replace("`", "").strip('"').split())
        )
        plain = re.sub(r"\s*([=,()])\s*", r"\1", plain.rstrip("; "))
        chosen, _, rest = plain.partition(" FROM ") if " FROM " in plain else plain.partition(" from ")
        while re.search(r"\([^()]*\)", chosen):  # what functions are given is no field
            chosen = re.sub(r"\([^()]*\)", "", chosen)
        condition = re.sub(r"(?i)^.*?\bwhere\b", "", rest).strip() if re.search(r"(?i)\bwhere\b", rest) else ""
        names = re.findall(r"(?i)\bas ['\"]?([\w/]+)", chosen) + re.findall(r"(?:^|[ ,])(\w+)(?=,|$)", chosen)
        names = {re.sub("^userdb_", "", each) for each in names}
        wanted = names & set(NARROWING) if query == "password_query" else names - set(USUAL) - {"SELECT", "select"}
        found[query] = [condition, sorted(wanted)]
    return found


# Settings by which Dovecot keeps something of people's: letters, rules, rights, keys. Its indexes are made anew.
KEEPS = re.compile(
    r"(?:^|/)(?:mail_location|location|mail_path|mail_alt_path|mail_control_path|mail_attachment_dir|sieve|sieve_dir|acl|"
    r"acl_shared_dict|acl_sharing_map|mail_attribute_dict|dict/[\w-]+|mail_crypt_\w*_key|crypt_\w*_key\w*|last_login_dict|expire_dict|quota\d?|trash)$"
)
IN_FILES_ONLY = ("file", "fs")
IN_FILES = tuple(driver + ":" for driver in IN_FILES_ONLY)  # dicts of other kinds name a file of settings, if any
MADE_ANEW = ("INDEX=", "VOLATILEDIR=", "INDEXCACHE=")
# As in look.py; a folder's UIDs are given by each server
ANEW = re.compile(
    r"(\.lock|\.svbin|/dovecot\.index(?!\.pvt(\.log(\.2)?)?$)[\w.-]*|/dovecot\.(list\.index|mailbox\.log)[\w.-]*"
    r"|/dovecot-(acl-list|uidlist|uidvalidity[\w.-]*))$"
)
MANY_KEPT = 1000
MOST_KEPT = 100000


def kept(settings, root):
    """What Dovecot keeps outside the mail root: setting -> where, how many files, and digests by which they are known again.

    "digests": of their contents, of letters (which never change) of their names and sizes; "letters": of the contents of letters,
    where it is not ``many``. ``more``: there are others, which nobody looked at.
    """
    found = {}
    for name, value in settings.items():
        if not KEEPS.search(name) or (name.startswith("dict/") and not value.startswith(IN_FILES)):
            continue
        places, files, more = [], {}, False
        for piece in re.split(r"[:;,\s]+", value):
            path = re.sub(r"^(?:\w+=)?<?", "", piece)
            if (
                piece.startswith(MADE_ANEW)
                or not path.startswith("/")
                or (root and (path + "/").startswith(root + "/"))
            ):
                continue
            places.append(path)
            for place in glob.glob(re.sub(VARIABLE, "*", path)):
                for file in files_below(place):
                    if len(files) == MOST_KEPT:
                        more = True
                        break
                    files[file] = True
        if files:
            letters = {file for file in files if os.path.basename(os.path.dirname(file)) in ("cur", "new")}
            many = len(files) > MANY_KEPT
            digests = {name_digest(file) if file in letters else content_digest(file) for file in files}
            found[name] = {
                "path": ", ".join(places),
                "digests": sorted(digests),
                "letters": [] if many else sorted({content_digest(file) for file in letters}),
                "files": len(files),
                "many": many,
                "more": more,
            }
    return found


DICTS = re.compile(r"(?:^|/)(acl_shared_dict|mail_attribute_dict)$")


def dicts(settings, carried):
    """What of people's Dovecot keeps in a database that no move carries: setting -> which. ``carried``: names of databases."""
    found = {}
    for name, value in settings.items():
        if not DICTS.search(name) or not value:
            continue
        driver, _, rest = value.partition(":")
        if driver == "proxy":
            driver, _, rest = settings.get("dict/" + rest.rpartition(":")[2], "").partition(":")
        if driver in IN_FILES_ONLY:
            continue
        base = re.search(r"(?m)^\s*connect\s*=.*\bdbname=(\S+)", text_of(rest))
        if not base or base.group(1) not in carried:
            found[name] = "%s%s" % (driver or value, " " + base.group(1) if base else "")
    return found


def files_below(place):
    """The regular files at and below a path, without what Dovecot makes again."""
    if not os.path.isdir(place):
        return [place] if os.path.isfile(place) else []
    below = (os.path.join(where, name) for where, _, names in os.walk(place) for name in names)
    return (path for path in below if os.path.isfile(path) and not ANEW.search(path))


def content_digest(path):
    """Says whether two files are the same, and nothing else; of large ones by their beginning and size."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(b"%d " % os.fstat(file.fileno()).st_size + file.read(1 << 20)).hexdigest()[:16]
    except OSError:
        return "unreadable"


def name_digest(path):
    """Of a letter's name without its flags, and its size."""
    try:
        size = os.path.getsize(path)
    except OSError:
        size = -1
    base = os.path.basename(path).partition(":")[0]
    return hashlib.sha256(("%s %d" % (base, size)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


ACTIONS = r"\b(?:fileinto|redirect|reject|ereject|vacation|discard|pipe|execute|notify|addheader|deleteheader)\b"


def sieve(values):
    """The global scripts named in settings: path -> digest, and what each does in the words of Sieve."""
    found = {}
    for name, value in values.items():
        if not re.search(r"sieve_(before|after|default|global|discard)|imapsieve_\w+_(before|after)", name):
            continue
        path = re.sub(r"^file:", "", value).split(";")[0]
        for script in sorted(glob.glob(path + "/*.sieve")) if os.path.isdir(path) else [path]:
            text = re.sub(r"(?s)/\*.*?\*/", "", text_of(script))
            if text:
                plain = re.sub(r'(?s)#[^\n]*|"(?:[^"\\]|\\.)*"', " ", text)
                words = sorted(set(re.findall(ACTIONS, plain)))
                asked = sorted(set(re.findall(r'(?:header|address|exists)\b[^"\[;]*\[?"([\w-]+)"', text)))
                found[os.path.basename(script)] = {"digest": digest(text), "does": words, "looks_at": asked}
    return found


PROGRAM_DIRECTORY = re.compile(r"(?:^|/)sieve_(?:pipe|execute|filter)_bin_dir$")
TEACHES = re.compile(r"\brspamc\b.*\blearn_|\bsa-learn\b")


def sieve_programs(values):
    """The programs that rules may start, those of packages left out: name -> digest, and whether it teaches the filter."""
    places = {value for name, value in values.items() if PROGRAM_DIRECTORY.search(name)}
    paths = sorted(p for each in places for p in glob.glob(each + "/*") if os.path.isfile(p) and os.access(p, os.X_OK))
    brought = packaged(paths)
    found = {}
    for path in paths:
        if path not in brought:
            found[os.path.basename(path)] = {
                "digest": content_digest(path),
                "teaches": bool(is_text(path) and TEACHES.search(text_of(path))),
            }
    return found


# The database


def database():
    """Databases, their tables with columns, triggers, events and routines: names only."""
    client = next((c for c in ("/usr/bin/mariadb", "/usr/bin/mysql") if os.path.exists(c)), "")
    if not client:
        return {}

    def rows(statement):
        out = run(client, "--batch", "--skip-column-names", data=statement.encode())
        return [line.split("\t") for line in out.splitlines() if line]

    system = "('mysql', 'information_schema', 'performance_schema', 'sys')"
    found = {name: {} for (name,) in rows("SHOW DATABASES") if "'%s'" % name not in system}
    for base, table, column in rows(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema NOT IN "
        + system
    ):
        found.setdefault(base, {}).setdefault(table, []).append(column)
    extra = []
    for kind, where, name in (
        ("trigger", "triggers", "trigger_schema, trigger_name"),
        ("event", "events", "event_schema, event_name"),
        ("routine", "routines", "routine_schema, routine_name"),
    ):
        schema = name.split(",")[0]
        extra += [
            [kind, *row]
            for row in rows("SELECT %s FROM information_schema.%s WHERE %s NOT IN %s" % (name, where, schema, system))
        ]
    return {"tables": found, "extra": extra}


# Jobs


def packaged(paths):
    """Those of the paths that a package brought."""
    found = set()
    if paths:
        for line in run("dpkg-query", "-S", *paths, quiet=True).splitlines():
            _, _, path = line.partition(": ")
            found.add(path)
    return found


TOUCHES = re.compile(
    r"mail|postfix|dovecot|doveadm|rspam|sieve|spam|roundcube|mysql|mariadb|certbot|letsencrypt|imap|fetch|backup|rsync|"
    r"borg|restic|dkim|clam"
)


def programs(line):
    """The programs a line of cron or a unit runs, without their arguments: those may be secrets."""
    found = []
    for piece in re.split(r"&&|\|\||[;|]", line):
        words = [
            w for w in piece.split() if "=" not in w and w not in ("test", "[", "exec", "sudo", "nice", "if", "then")
        ]
        if words and re.match(r"^[\w./@+-]+$", words[0]):
            found.append(os.path.basename(words[0].lstrip("-@+!")))
    return sorted(set(found))


def touches(line):
    """Whether a job has to do with mail: by its own words, or by those of a script that it runs."""
    scripts = [word for word in re.findall(r"(?:^|[\s;&|\"'=])(/[\w./+-]+)", line) if os.path.isfile(word)]
    return bool(TOUCHES.search(line) or any(TOUCHES.search(text_of(path, 200000)) for path in scripts if is_text(path)))


def is_text(path):
    try:
        with open(path, "rb") as file:
            return b"\0" not in file.read(1024)
    except OSError:
        return False


def jobs():
    """Jobs of the admin's own that touch mail: where they stand -> what they run, and a digest of the whole line."""
    found = {}

    def add(where, line, command):
        if touches(line):
            found.setdefault(where, []).append({"runs": programs(command), "digest": digest(line)})

    scripts = [p for d in ("hourly", "daily", "weekly", "monthly") for p in glob.glob("/etc/cron.%s/*" % d)]
    tabs = ["/etc/crontab", *glob.glob("/etc/cron.d/*")]
    own = packaged(scripts + tabs + glob.glob("/etc/systemd/system/*.timer") + glob.glob("/lib/systemd/system/*.timer"))
    for path in scripts:
        if path not in own:
            text = text_of(path)
            for line in lines_of(text):
                add(path, line, line)
    for path in tabs:
        if path not in own:
            for line in lines_of(text_of(path)):
                words = line.split(None, 6)
                fields = 1 if line.startswith("@") else 5
                if re.match(r"^[@*\d]", line) and len(words) > fields + 1:
                    add(path, line, " ".join(line.split()[fields + 1 :]))
    for path in glob.glob("/var/spool/cron/crontabs/*"):
        for line in lines_of(text_of(path)):
            if re.match(r"^[@*\d]", line):
                fields = 1 if line.startswith("@") else 5
                add("crontab of " + os.path.basename(path), line, " ".join(line.split()[fields:]))
    for path in glob.glob("/etc/systemd/system/*.timer"):
        if os.path.islink(path) or path in own:
            continue
        service = path[: -len(".timer")] + ".service"
        text = text_of(service)
        starts = re.findall(r"(?m)^ExecStart=(.*)", text)
        for line in starts or [""]:
            add("timer " + os.path.basename(path)[: -len(".timer")], os.path.basename(path) + " " + line, line)
    return found


# Beside the mail


def aliases(setting):
    """The machine's own aliases, of every file that alias_maps names: name -> where it leads."""
    found = {}
    paths = [path for _, path in MAP.findall(setting) if not path.startswith(CACHES)]
    for path in dict.fromkeys([*paths, "/etc/aliases"]):
        for line in lines_of(text_of(path)):
            name, sep, target = line.partition(":")
            if sep:
                found.setdefault(name.strip().strip('"').lower(), target.strip())
    return found


MOST_LINKS = 50
LETTERS = ("cur", "new", "tmp")


def links(root):
    """Directories below the mail root that are links to somewhere outside it: [path, where it leads], at most MOST_LINKS."""
    found, inside = [], os.path.realpath(root) + "/"
    waiting = [root] if root else []
    while waiting and len(found) < MOST_LINKS:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if not (target + "/").startswith(inside) and (os.path.isdir(target) or not os.path.exists(target)):
                    found.append([entry.path, target])
            elif entry.is_dir(follow_symlinks=False) and entry.name not in LETTERS:
                waiting.append(entry.path)
    return found


def elsewhere(root, users):
    """Whose home, by Dovecot, is not the one below the mail root that every move takes it for: [address, home]."""
    found = []
    for start in range(0, len(users) if root else 0, 200):
        some = users[start : start + 200]
        said = run("doveadm", "user", "-f", "home", "--", *some, quiet=True).splitlines()
        if len(said) != len(some):  # somebody is not known: one by one, so that no answer is taken for another's
            said = [run("doveadm", "user", "-f", "home", "--", each, quiet=True).strip() for each in some]
        for user, home in zip(some, said):
            name, _, domain = user.partition("@")
            if home.startswith("/") and os.path.realpath(home) != os.path.realpath(os.path.join(root, domain, name)):
                found.append([user, home])
    return found


MOST_SHUT = 2000
ONE_OWNER = 0.9  # of all mailboxes: where fewer belong to one user, everybody has a user of their own


def unreadable(entry):
    """[path, user] of what find(1) tells of, if only its owner can read it and it belongs to a mailbox."""
    kind, mode, user, path = entry.decode("utf-8", "replace").split(" ", 3)
    wanted = 0o7 if kind == "d" else 0o4
    domain, _, inside = path.partition("/")
    # A directory without a dot in its name is no domain's, and a file beside the mailboxes no letter
    ours = "." in domain.strip(".") and (kind == "d" or "/" in inside)
    return [path, user] if ours and kind in "df" and int(mode, 8) & wanted != wanted else None


def shut(root):
    """What lies in mailboxes and is another user's than they are, so that Dovecot may not read it: [path, user], at most
    MOST_SHUT.
    """
    owners = {}
    for path in glob.glob(glob.escape(root) + "/*/*") if root else []:
        if os.path.isdir(path):
            uid = os.stat(path).st_uid
            owners[uid] = owners.get(uid, 0) + 1
    # With no mailbox yet the mail root tells whose they are to be
    owner = max(owners, key=lambda uid: owners[uid]) if owners else os.stat(root).st_uid if os.path.isdir(root) else 0
    if not owner or owners.get(owner, 0) < ONE_OWNER * sum(owners.values()):
        return []
    found = []
    asked = ["find", root, "-xdev", "-mindepth", "1", "!", "-uid", str(owner), "-printf", "%y %m %u %P\\0"]
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    clock = threading.Timer(SEARCH_S, process.kill)
    clock.start()
    rest = b""
    try:
        while len(found) < MOST_SHUT:
            more = process.stdout.read(1 << 16)
            *whole, rest = (rest + more).split(b"\0")
            found += [entry for entry in map(unreadable, whole) if entry]
            if not more:
                break
    finally:
        clock.cancel()
        process.kill()
        process.stdout.close()
        process.wait()
    return found


def homes(root):
    """Mailboxes on the disk, as the guide lays them out: the addresses."""
    letters = glob.glob(glob.escape(root) + "/*/*/*/cur") if root else []
    return sorted({"%s@%s" % tuple(reversed(path[len(root.rstrip("/")) + 1 :].split("/")[:2])) for path in letters})


def spools(directory, home_mailbox, root):
    """Mail of the machine's users: user, or the path in a home -> bytes, and whether the user is a person."""
    found = {}
    for path in glob.glob(directory.rstrip("/") + "/*"):
        size = mail_size(path)
        if size:
            name = os.path.basename(path)
            try:
                person = is_person(pwd.getpwnam(name))
            except KeyError:
                person = True
            found[name] = {"bytes": size, "person": person}
    for entry in pwd.getpwall():
        home = entry.pw_dir.rstrip("/")
        if not (is_person(entry) or entry.pw_name == "root") or not home or (home + "/").startswith(root + "/"):
            continue
        for name in sorted({home_mailbox.strip("/"), "Maildir", "mbox"} - {""}):
            size = mail_size(os.path.join(home, name))
            if size:
                found[os.path.join(home, name)] = {"bytes": size, "person": is_person(entry)}
    return found


def is_person(entry):
    return 1000 <= entry.pw_uid < 60000


def mail_size(path):
    """Bytes of letters in a file, or in a Maildir and its folders."""
    try:
        if os.path.isfile(path):
            return os.path.getsize(path)
        letters = [each for depth in ("*", ".*/*") for each in glob.glob("%s/%s/*" % (glob.escape(path), depth))]
        return sum(os.path.getsize(p) for p in letters if re.search(r"/(cur|new)/[^/]+$", p) and os.path.isfile(p))
    except OSError:
        return 0


def people():
    """Users with a home of their own: who logs in, and where a .forward leads their mail."""
    return {
        entry.pw_name: os.path.isfile(os.path.join(entry.pw_dir, ".forward"))
        for entry in pwd.getpwall()
        if entry.pw_name == "root"
        or (1000 <= entry.pw_uid < 60000 and not entry.pw_shell.endswith(("nologin", "false")))
    }


def websites():
    """What Apache serves: the names of its sites, and the paths it maps somewhere."""
    names, paths = set(), set()
    files = sorted(set(glob.glob("/etc/apache2/sites-enabled/*") + glob.glob("/etc/apache2/conf-enabled/*")))
    for path in files:
        text = "\n".join(lines_of(text_of(path)))
        for host in re.findall(r"(?im)^Server(?:Name|Alias)\s+(.+)$", text):
            names.update(host.lower().split())
        for found in re.findall(r"(?im)^(?:Alias|ProxyPass|ScriptAlias)\s+\"?(/[\w./-]*)", text):
            paths.add(found.rstrip("/") or "/")
        for found in re.findall(r"(?im)^RewriteRule\s+\^?(/[\w./-]+).*\[[^\]]*\bP\b", text):
            paths.add(found.rstrip("/") or "/")
    return {"names": sorted(names), "paths": sorted(paths)}


# Of what the admin set in Roundcube, everything in plain values; the database's address and the keys stay there.
ROUNDCUBE = """chdir('/etc/roundcube'); ob_start(); include 'config.inc.php'; ob_end_clean();
$left = ['db_dsnw' => 0, 'db_dsnr' => 0, 'des_key' => 0, 'plugins' => 0];
echo json_encode(['plugins' => $config['plugins'] ?? [], 'settings' => array_diff_key($config, $left)]);"""
PHP_LIMITS = ("upload_max_filesize", "post_max_size")
ATTACHMENT = "echo json_encode(array_map('ini_get', %s));" % json.dumps(PHP_LIMITS)


def webmail():
    """Roundcube's plugins and settings, and how large a file may be that somebody attaches there (bytes; 0: no limit)."""
    if not os.path.exists("/etc/roundcube/config.inc.php"):
        return {"plugins": [], "settings": {}, "attachment": 0}
    try:
        told = json.loads(run("php", "-r", ROUNDCUBE) or "{}")
        plugins = sorted(map(str, told.get("plugins", [])))
        chosen = dict(told.get("settings") or {})
    except (ValueError, TypeError, AttributeError):
        problems.append("Roundcube's settings could not be read")
        return {"plugins": [], "settings": {}, "attachment": 0}
    found = {}
    for name, value in chosen.items():
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        found[name] = shown(name, URL_PASSWORD.sub(r"\1(hidden)@", text)[:300])
    return {"plugins": plugins, "settings": found, "attachment": attachment()}


URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^@\s]*@")


def attachment():
    """The smallest of PHP's limits for a file that is handed in, as the web server's PHP has them."""
    limits = {}
    for place in sorted(glob.glob("/etc/php/*/apache2/php.ini") + glob.glob("/etc/php/*/fpm/php.ini")):
        version = place.split("/")[3]
        client = "/usr/bin/php" + version
        if not os.path.exists(client):
            continue
        scan = "PHP_INI_SCAN_DIR=" + os.path.join(os.path.dirname(place), "conf.d")
        said = run("env", scan, client, "-c", place, "-r", ATTACHMENT)
        try:
            limits = dict(zip(PHP_LIMITS, json.loads(said)))
        except ValueError:
            problems.append("php's limits for uploads could not be read")
    sites = glob.glob("/etc/apache2/sites-enabled/*") + glob.glob("/etc/apache2/conf-enabled/*")
    for path in (*sorted(sites), "/etc/roundcube/htaccess"):
        for name, value in re.findall(r"(?im)^\s*php_(?:admin_)?value\s+(\w+)\s+(\S+)", text_of(path)):
            if name in PHP_LIMITS:
                limits[name] = value
    return min(filter(None, map(in_bytes, limits.values())), default=0)


def in_bytes(value):
    """PHP's way of writing sizes: 8M."""
    found = re.match(r"(\d+)\s*([kmg]?)", value.strip(), re.I)
    return int(found.group(1)) << {"": 0, "k": 10, "m": 20, "g": 30}[found.group(2).lower()] if found else 0


def spam_filter():
    """The admin's own settings and lists of rspamd: name -> digest without passwords, and how many lines."""
    found = {}
    paths = [p for d in ("local.d", "override.d") for p in glob.glob("/etc/rspamd/%s/**" % d, recursive=True)]
    paths += [
        p for e in ("map", "inc.local", "list", "lua") for p in glob.glob("/etc/rspamd/**/*." + e, recursive=True)
    ]
    paths += glob.glob("/var/lib/rspamd/*.map")
    paths = sorted({p for p in paths if os.path.isfile(p)})
    ours = packaged(paths)
    for path in paths:
        kept = [line for line in lines_of(text_of(path)) if not re.search(r"password|secret|token|key *=", line, re.I)]
        if path not in ours and kept:
            found[re.sub(r"^(/etc/rspamd/|/var/lib/rspamd/)", "", path)] = {
                "digest": digest("\n".join(kept)),
                "lines": len(kept),
            }
    return found


CONTROLLERS = ("http://127.0.0.1:11334", "http://[::1]:11334")


def thresholds():
    """From which score on rspamd, as it runs, does what: action -> score. Empty if it cannot be asked without a password."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for base in CONTROLLERS:
        try:
            with opener.open(base + "/actions", timeout=5) as answer:
                told = json.loads(answer.read().decode("utf-8", "replace"))
            return {
                each["action"]: each["value"]
                for each in told
                if isinstance(each.get("value"), (int, float)) and each["value"] > 0
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue
    return {}


UNITS = "postfix postfix@- dovecot mariadb redis-server valkey-server rspamd apache2".split()
OWN_UNITS = ("/etc/systemd/system", "/etc/systemd/system.control", "/run/systemd/system")


def overrides():
    """What the admin told systemd about the mail services beside their packages: unit -> ["LimitNOFILE=1024", ...]."""
    found = {}
    for unit in UNITS:
        for place in OWN_UNITS:
            for path in sorted(glob.glob("%s/%s.service.d/*.conf" % (place, unit)) + ["%s/%s.service" % (place, unit)]):
                if os.path.islink(path) or not os.path.isfile(path):
                    continue
                for line in lines_of(text_of(path)):
                    name, sep, value = line.partition("=")
                    if sep and name.strip() not in ("Description", "Documentation"):
                        found.setdefault(unit, set()).add("%s=%s" % (name.strip(), shown(name.strip(), value.strip())))
    return {unit: sorted(lines) for unit, lines in found.items()}


def zone():
    """The time zone: its name, and by how many minutes it is ahead of UTC in winter and in summer."""
    name = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2] or "UTC"
    year = time.localtime().tm_year
    ahead = [time.localtime(calendar.timegm((year, month, 1, 0, 0, 0))).tm_gmtoff // 60 for month in (1, 7)]
    return [name, *ahead]


def daemons():
    """The services that run, by name."""
    out = run("systemctl", "list-units", "--type=service", "--state=running", "--no-legend", "--plain", "--no-pager")
    return sorted(re.sub(r"(@.*)?\.service$", "", line.split()[0]) for line in out.splitlines() if line.split())


def firewall():
    """How many rules each kind of firewall has, and the jails of fail2ban."""
    found = {"rules": 0, "jails": []}
    for argv in (("nft", "list", "ruleset"), ("iptables-save",), ("ip6tables-save",)):
        out = run(*argv, quiet=True)
        found["rules"] += sum(
            1
            for line in lines_of(out)
            if line.startswith("-A") or re.search(r"\b(accept|drop|reject|jump|dnat|redirect)\b", line)
        )
    match = re.search(r"Jail list:\s*(.*)", run("fail2ban-client", "status", quiet=True))
    if match:
        found["jails"] = sorted(re.split(r"[,\s]+", match.group(1).strip()))
    else:
        parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
        for path in ["/etc/fail2ban/jail.local", *sorted(glob.glob("/etc/fail2ban/jail.d/*"))]:
            try:
                parser.read_string(text_of(path))
            except configparser.Error:
                continue
        found["jails"] = sorted(
            name
            for name in parser.sections()
            if name not in ("DEFAULT", "INCLUDES") and parser.get(name, "enabled", fallback="") == "true"
        )
    return found


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    explicit, effective, master = settings("-n"), settings("-x"), services()
    values = [effective.get(name, "") for name in effective]
    values += [value for service in master.values() for value in service["options"].values()]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = {
            "dovecot": pool.submit(dovecot),
            "database": pool.submit(database),
            "jobs": pool.submit(jobs),
            "webmail": pool.submit(webmail),
            "spam_filter": pool.submit(spam_filter),
            "thresholds": pool.submit(thresholds),
            "daemons": pool.submit(daemons),
            "firewall": pool.submit(firewall),
            "shut": pool.submit(shut, arguments["mail_root"]),
            "elsewhere": pool.submit(elsewhere, arguments["mail_root"], arguments["users"]),
        }
        found = {name: future.result() for name, future in asked.items()}
    print(
        json.dumps(
            {
                **found,
                "explicit": sorted(explicit),
                "postfix": effective,
                "services": master,
                "tables": tables(values, effective.get("smtp_sasl_password_maps", "")),
                "sieve": sieve(found["dovecot"]),
                "sieve_programs": sieve_programs(found["dovecot"]),
                "aliases": aliases(effective.get("alias_maps", "")),
                "accounts": accounts(found["dovecot"]),
                "queries": queries(found["dovecot"]),
                "dicts": dicts(found["dovecot"], arguments["databases"]),
                "kept": kept(found["dovecot"], arguments["mail_root"].rstrip("/")),
                "spools": spools(
                    effective.get("mail_spool_directory") or "/var/mail",
                    effective.get("home_mailbox", ""),
                    arguments["mail_root"].rstrip("/"),
                ),
                "homes": homes(arguments["mail_root"]),
                "links": links(arguments["mail_root"]),
                "people": people(),
                "overrides": overrides(),
                "zone": zone(),
                "watchers": text_of("/proc/sys/fs/inotify/max_user_instances").strip(),
                "websites": websites(),
                "problems": problems,
            }
        )
    )


if __name__ == "__main__":
    main()
