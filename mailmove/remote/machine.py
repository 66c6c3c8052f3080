"""Looks at a machine: services, processes, listeners, configurations, disk, clock. One JSON object; changes nothing.

Arguments: {"ask": [names of the questions below]}, and what each of them needs.
"""

import concurrent.futures
import glob
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time


def run(*argv, data=None, time_s=50):
    """(exit status, standard output, standard error); 127 if there is no such program."""
    try:
        done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=time_s)
    except FileNotFoundError:
        return 127, "", "%s is not installed" % argv[0]
    except subprocess.TimeoutExpired:
        return 124, "", "%s took longer than %d s" % (argv[0], time_s)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def run_on_terminal(*argv, time_s=50):
    """(exit status, all it said, "") of a program that keeps silent unless it talks to a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    except FileNotFoundError:
        os.close(ours)
        return 127, "", "%s is not installed" % argv[0]
    finally:
        os.close(theirs)
    clock = threading.Timer(time_s, process.kill)
    clock.start()
    said = b""
    try:
        while True:
            said += os.read(ours, 65536)
    except OSError:
        pass  # the last one that could write has ended
    finally:
        clock.cancel()
        os.close(ours)
    return process.wait(), said.decode("utf-8", "replace").replace("\r\n", "\n"), ""


def units(wanted):
    """unit -> {ActiveState, SubState, UnitFileState, LoadState, Id}."""
    found = {}
    _, out, _ = run("systemctl", "show", "-p", "Id,LoadState,ActiveState,SubState,UnitFileState,Result", *wanted)
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in out.strip().split("\n\n")]
    for place, name in enumerate(wanted):
        found[name] = blocks[place] if place < len(blocks) else {}
    return found


def failed():
    return [
        line.split()[0]
        for line in run("systemctl", "list-units", "--failed", "--plain", "--no-legend")[1].splitlines()
        if line.split()
    ]


NAMES = "master smtpd qmgr dovecot auth imap imap-login lmtp mariadbd mysqld redis-server valkey-server rspamd apache2".split()


def stale():
    """Processes whose program or libraries were replaced on disk since they started: [name, pid, what]."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        pid = path.rpartition("/")[2]
        try:
            with open(path + "/comm") as file:
                name = file.read().strip()
            program = os.readlink(path + "/exe")
            if not any(name == known or name.startswith(known + ":") for known in NAMES):
                continue
            what = []
            if program.endswith(" (deleted)"):
                what.append(program[:-10])
            with open(path + "/maps", errors="replace") as maps:
                for line in maps:
                    match = re.search(r"(/(?:usr/)?lib\S*\.so\S*) \(deleted\)$", line)
                    if match:
                        what.append(match.group(1))
        except OSError:
            continue  # it ended while we looked
        found += [[name, int(pid), each] for each in sorted(set(what))]
    return found


def running():
    """How many of the mail system's processes run, by name."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path) as file:
                name = file.read().strip()
        except OSError:
            continue
        if name in NAMES:
            found[name] = found.get(name, 0) + 1
    return found


def listeners():
    """[address, port, program] of every TCP listener."""
    found = []
    for line in run("ss", "-Hltnp")[1].splitlines():
        words = line.split()
        address, _, port = words[3].rpartition(":")
        match = re.search(r'\(\("([^"]+)"', line)
        found.append([address.strip("[]").partition("%")[0], int(port), match.group(1) if match else ""])
    return found


INET = {
    "imap": "service/imap-login/inet_listener/imap",
    "imaps": "service/imap-login/inet_listener/imaps",
    "pop3": "service/pop3-login/inet_listener/pop3",
    "pop3s": "service/pop3-login/inet_listener/pop3s",
    "sieve": "service/managesieve-login/inet_listener/sieve",
}


def dovecot_ports():
    """Dovecot's ports by its own configuration; 0 is switched off, -1 could not be told."""
    out = run("doveconf", *(where + "/port" for where in INET.values()))[1]
    said = dict(line.partition(" = ")[::2] for line in out.splitlines())
    ports = {name: said.get(where + "/port", "") for name, where in INET.items()}
    return {name: int(port) if port.isdigit() else -1 for name, port in ports.items()}


def configurations(wanted):
    """What each of these services says to its own configuration: name -> [exit status, words]."""
    commands = {
        "Postfix": (run_on_terminal, "postfix", "check"),
        "Dovecot": (run, "doveconf", "-n"),
        "Apache": (run, "apache2ctl", "configtest"),
        "rspamd": (run, "rspamadm", "configtest"),
        "MariaDB": (run, "mariadbd", "--verbose", "--help"),  # reads its files as at a start, and ends before it begins
    }
    commands = {name: commands[name] for name in wanted}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = dict(zip(commands, pool.map(lambda each: each[0](*each[1:]), commands.values())))
    said = {
        "Dovecot": lambda out, err: err,
        "MariaDB": lambda out, err: "\n".join(re.findall(r"(?m)^.*\[ERROR\].*", err)),
    }
    return {
        name: [rc, said.get(name, lambda out, err: out + err)(out, err).strip()]
        for name, (rc, out, err) in answers.items()
        if rc != 127
    }


def processes():
    """[process id, its parent's, name, for how many seconds it has run] of all."""
    found, now, tick = [], time.clock_gettime(time.CLOCK_BOOTTIME), os.sysconf("SC_CLK_TCK")
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                before, _, after = file.read().rpartition(") ")
        except OSError:
            continue
        pid, _, name = before.partition(" (")
        words = after.split()
        found.append([int(pid), int(words[1]), name, now - int(words[19]) / tick])
    return found


def told_by_systemd(wanted):
    """unit -> for how many seconds it has been as it is: since it was started, or reloaded by systemctl; of active ones only."""
    found, properties = {}, "Id,ActiveState,StateChangeTimestampMonotonic"
    for block in run("systemctl", "show", "-p", properties, *wanted)[1].strip().split("\n\n"):
        said = dict(line.partition("=")[::2] for line in block.splitlines())
        stamp = said.get("StateChangeTimestampMonotonic", "")
        if said.get("ActiveState") == "active" and stamp.isdigit():
            found[said.get("Id", "")] = time.clock_gettime(time.CLOCK_MONOTONIC) - int(stamp) / 1e6
    return found


SLACK_S = 2.0  # a file may be written while the service reads it
REWRITTEN = "# Generated by CONFIG REWRITE"  # Redis wrote down what it runs with
TABLE = re.compile(r"\b(?:hash|btree|lmdb|cdb|dbm|sdbm):(/[^\s,{}]+)")


def contents(path):
    with open(path, errors="replace") as file:
        return file.read()


def changed(path):
    """When a file was changed, or the link that leads to it was made."""
    return max(os.stat(path).st_mtime, os.lstat(path).st_mtime)


def unread():
    """Files that were changed after their service had read them: [service, file, changed (seconds since 1970), seconds after]."""
    every, now = processes(), time.time()

    def ages(*names, parent=""):
        """Of the processes of these names; with ``parent`` of those only that one of this name started."""
        mains = {pid for pid, _, name, _ in every if name == parent}
        return [age for _, above, name, age in every if name in names and (not parent or above in mains)]

    named = re.findall(r"(?m)^\s*args = (?:\S+=\S+ )*(/\S+)", run("doveconf", "-n")[1])
    enabled = ["/etc/apache2/%s-enabled/*" % each for each in ("sites", "conf", "mods")]
    own = ["/etc/rspamd/%s.d/*.%s" % (place, end) for place in ("local", "override") for end in ("conf", "inc")]
    services = {  # the processes that are started anew when the files are read; the files
        "Postfix": (ages("qmgr"), ["/etc/postfix/main.cf", "/etc/postfix/master.cf"]),
        "Dovecot": (
            # After a reload the one from before may live on for seconds
            sorted(ages("log", parent="dovecot"))[:1],
            ["/etc/dovecot/dovecot.conf", "/etc/dovecot/conf.d/*.conf", *named],
        ),
        "MariaDB": (ages("mariadbd", "mysqld"), ["/etc/mysql/*.cnf", "/etc/mysql/*/*.cnf"]),
        "Redis": (ages("redis-server", "valkey-server"), ["/etc/redis/*.conf", "/etc/valkey/*.conf"]),
        "rspamd": (ages("rspamd", parent="rspamd"), own),
        "Apache": (ages("apache2", parent="apache2"), ["/etc/apache2/*.conf", *enabled]),
    }
    units = {"Dovecot": "dovecot.service", "rspamd": "rspamd.service", "Apache": "apache2.service"}
    told = told_by_systemd(units.values())
    found = []
    for name, (started, patterns) in services.items():
        # Some live on for a while when they are told to read: the oldest of them is sure to have read
        known = ([max(started)] if started else []) + [told[unit] for unit in [units.get(name)] if unit in told]
        for path in sorted(
            {path for pattern in patterns for path in glob.glob(pattern) if os.path.isfile(path)} if known else ()
        ):
            at, read = changed(path), now - min(known)
            if at > read + SLACK_S and not (name == "Redis" and REWRITTEN in contents(path)):
                found.append([name, path, at, at - read])
    for path in sorted(set(TABLE.findall(run("postconf", "-x")[1]))):
        made = next((path + end for end in (".db", ".lmdb", ".cdb") if os.path.exists(path + end)), "")
        if os.path.isfile(path) and made and changed(path) > os.stat(made).st_mtime + SLACK_S:
            found.append(["Postfix", path, changed(path), changed(path) - os.stat(made).st_mtime])
    return found


def packages(wanted):
    """name -> version of those installed; and what dpkg finds half done."""
    _, out, _ = run("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\\n", *wanted)
    installed = {}
    for line in out.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "installed":
            installed[words[0]] = words[1]
    return {"installed": installed, "audit": run("dpkg", "--audit")[1].strip()}


def disk(path):
    """Bytes and files below a directory, and what is free there; {} if there is none. Takes a while over much mail."""
    if not os.path.isdir(path):
        return {}
    used = run("du", "-s", "-B1", "-x", path, time_s=3000)[1].split()
    files = run("du", "-s", "--inodes", "-x", path, time_s=3000)[1].split()
    stat = os.statvfs(path)
    return {
        "bytes": int(used[0]) if used else -1,
        "files": int(files[0]) if files else -1,
        "free_bytes": stat.f_bavail * stat.f_frsize,
        "free_files": stat.f_favail,
        "counts_files": stat.f_files > 0,  # btrfs makes inodes as it needs them
    }


def room(paths):
    """path -> [bytes free, mount point it lies on]."""
    found = {}
    for path in filter(os.path.isdir, paths):
        stat = os.statvfs(path)
        mount = path
        while not os.path.ismount(mount):
            mount = os.path.dirname(mount)
        found[path] = [stat.f_bavail * stat.f_frsize, mount]
    return found


MOUNTED_BY_HAND = "/proc/self/mountinfo"  # how systemd says that it learnt of a mount when it was there
AFTER_BOOT_S = 60  # what has no unit and was mounted this long after the start was mounted by hand


IN_MEMORY = ("tmpfs", "ramfs")


def mounts(paths):
    """path -> [its mount point, what mounts it at boot ("" if nothing does), whether it will be there after a reboot, the kind
    of file system].
    """
    found = {}
    with open("/proc/self/mountinfo") as file:  # os.path.ismount sees no directory that was mounted from the same disk
        lines = [line.partition(" - ") for line in file]
    points = {before.split()[4].replace("\\040", " "): after.split()[0] for before, _, after in lines}
    for path in paths:
        if not path or not os.path.isdir(path):
            continue
        mount = os.path.realpath(path)
        while mount not in points and mount != "/":
            mount = os.path.dirname(mount)
        source, lasting = "", True
        if mount != "/":
            unit = run("systemd-escape", "-p", "--suffix=mount", mount)[1].strip()
            wanted = "FragmentPath,SourcePath,ActiveEnterTimestampMonotonic"
            said = dict(
                line.partition("=")[::2] for line in run("systemctl", "show", "-p", wanted, "--", unit)[1].splitlines()
            )
            source = said.get("SourcePath", "").replace(MOUNTED_BY_HAND, "") or said.get("FragmentPath", "")
            boot = run("systemctl", "show", "-p", "UserspaceTimestampMonotonic", "--value")[1].strip()
            since = said.get("ActiveEnterTimestampMonotonic", "0")
            if boot.isdigit() and since.isdigit():
                # What a container's host or another service mounts is there from the start
                lasting = bool(source) or int(since) < int(boot) + AFTER_BOOT_S * 1000000
        kind = points.get(mount, "")
        found[path] = [mount, source, lasting and kind not in IN_MEMORY, kind]
    return found


WAYS = (
    "relayhost smtp_fallback_relay fallback_relay content_filter smtpd_milters non_smtpd_milters default_transport "
    "virtual_transport relay_transport"
).split()


PEOPLES_NAME = re.compile(
    r"(mail|mx|imap|smtp|pop|web|www|auto|sieve|submission|post)[\w-]*\.", re.I
)  # that moves along
FETCHING = re.compile(
    r"\b(rsync|scp|sftp|ssh|dsync|doveadm|imapsync|mbsync|fetchmail|getmail\w*|offlineimap|mysqldump|mariadb-dump)\b"
)
JOBS = ("/etc/crontab", "/etc/cron.*/*", "/var/spool/cron/crontabs/*", "/etc/systemd/system/*.service")


def leans(theirs, maps):
    """Where this machine asks another one (its addresses and names) for something: [where, what]."""
    there = re.compile(r"(?<![\w.-])(?:%s)(?![\w-]|\.\w)" % "|".join(map(re.escape, theirs)), re.I)
    found = []

    def look(where, lines):
        for line in lines:
            if there.search(line) and "mailmove" not in line:
                found.append([where, re.sub(r"(?i)(pass\w*\s*=\s*)\S+", r"\1(hidden)", line.strip())[:200]])

    def text(path):
        try:
            with open(path, errors="replace") as file:
                return [line for line in file.read().splitlines() if not line.lstrip().startswith(("#", ";"))]
        except OSError:
            return []

    look("/etc/resolv.conf", [line for line in text("/etc/resolv.conf") if line.startswith("nameserver")])
    look("a disk (/proc/mounts)", [" ".join(line.split()[:2]) for line in text("/proc/mounts")])
    look("Postfix", run("postconf", *WAYS)[1].splitlines())
    for path in [*maps, "/etc/dovecot/dovecot-sql.conf.ext", *glob.glob("/etc/dovecot/conf.d/*sql*")]:
        look(path, [line for line in text(path) if re.match(r"\s*(hosts|connect|host)\b|\s*mysql\s", line)])
    for path in sorted(glob.glob("/etc/rspamd/local.d/*") + glob.glob("/etc/rspamd/override.d/*")):
        look(path, [line for line in text(path) if re.search(r"server|host", line)])
    look(
        "Dovecot",
        [line for line in run("doveconf", "-n")[1].splitlines() if re.match(r"\s*(mail_replica|\w+_host)\s*=", line)],
    )
    # Names that will lead here as soon as DNS says so, but for this machine
    look("/etc/hosts", [line for line in text("/etc/hosts") if any(map(PEOPLES_NAME.match, line.split()[1:]))])
    for path in sorted(glob.glob("/etc/apache2/sites-enabled/*") + glob.glob("/etc/apache2/conf-enabled/*")):
        passed = r"(?i)\s*(ProxyPass|BalancerMember)|\s*RewriteRule\s.*\[[^\]]*\bP\b"
        look(path, [line for line in text(path) if re.match(passed, line)])
    for path in sorted(filter(os.path.isfile, (path for pattern in JOBS for path in glob.glob(pattern)))):
        pieces = [(path, text(path))] if is_script(path) else [(path, [line]) for line in text(path)]
        scripts = {word for _, lines in pieces for line in lines for word in re.findall(r"/[\w./+-]+", line)}
        pieces += [(each, text(each)) for each in sorted(scripts) if os.path.isfile(each) and is_script(each)]
        for where, lines in pieces:
            fetching, named = (pattern.search("\n".join(lines)) for pattern in (FETCHING, there))
            if fetching and named and "mailmove" not in where:  # what else stands there may be a secret
                found.append(["a job (%s)" % where, "%s … %s" % (fetching.group(1), named.group())])
    for line in run("ss", "-Htnp", "state", "established")[1].splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        program = re.search(r'\(\("([^"]+)"', line)
        who = program.group(1) if program else "somebody"
        # Both may be logged in to by the same person, and old hands its mail on to new
        if there.search(words[3].rpartition(":")[0].strip("[]")) and not re.match("ssh|smtpd|rsync", who):
            if words[3].rpartition(":")[2] not in ("22",) and words[2].rpartition(":")[2] not in ("22", "25"):
                found.append(["a connection", "%s asks %s" % (who, words[3])])
    return found


OF_OTHERS = re.compile(r"\bf2b[-_]|fail2ban|docker|DOCKER|libvirt|LIBVIRT|crowdsec")  # made anew by their own daemons
MANAGERS = ("ufw", "firewalld", "shorewall", "ferm", "firehol")
NFT = ("nft", "-n", "-s", "list", "ruleset")
# What these units load at boot, in a network of its own, where it touches nobody
LOADS = (
    ("nftables", "nft -f /etc/nftables.conf"),
    (
        "netfilter-persistent",
        "[ ! -s /etc/iptables/rules.v4 ] || iptables-restore < /etc/iptables/rules.v4; "
        "[ ! -s /etc/iptables/rules.v6 ] || ip6tables-restore < /etc/iptables/rules.v6",
    ),
)


def firewall_rules(text):
    """The rules of a listing, each as "table chain: rule", without what counts and what daemons bring by themselves."""
    found, inside = set(), []
    for line in text.splitlines():
        plain = re.sub(r" counter packets \d+ bytes \d+| counter\b| # handle \d+", "", " ".join(line.split()))
        if plain.endswith("{") and not plain.startswith("elements"):
            inside.append(plain[:-1].strip())
        elif plain == "}":
            inside = inside[:-1]
        elif plain and not plain.startswith(("#", "elements")) and not OF_OTHERS.search(" ".join([*inside, plain])):
            # "policy accept" is what is done without a chain, too
            plain = re.sub(r" policy accept;$", "", plain) if plain.startswith("type ") else plain
            if not (plain.startswith("type ") and "policy" not in plain) and not (inside or [""])[-1].startswith(
                ("set ", "map ")
            ):
                found.add("%s: %s" % (" ".join(inside), plain))
    return found


def firewall():
    """Which rules stand now and will not after a reboot, the other way round, and what the units that load them complain of;
    {"by": a program that keeps them in its own way} where one does; {} where there is no nft.
    """
    rc, out, _ = run(*NFT)
    if rc:
        return {}
    units_said = units([*MANAGERS, *(unit for unit, _ in LOADS)])
    enabled = {name for name, said in units_said.items() if said.get("UnitFileState") == "enabled"}
    for name in MANAGERS:
        if name in enabled:
            return {"by": name}
    later, trouble = set(), []
    for unit, command in LOADS:
        if unit in enabled:
            rc, listed, said = run("unshare", "-n", "sh", "-c", command + " && exec " + " ".join(NFT))
            if rc and re.search(r"unshare|[Ii]nterface does not exist", said):
                return {"by": "%s, whose rules cannot be tried beside those that stand" % unit}
            if rc:
                trouble.append("%s: %s" % (unit, said.strip()[:300]))
            later |= firewall_rules(listed)
    now = firewall_rules(out)
    return {"gone": sorted(now - later), "new": sorted(later - now), "trouble": trouble, "units": sorted(enabled)}


DNS_S = 3.0


def resolvers(name):
    """[name server in /etc/resolv.conf, what became of a question to it; empty if it answered]."""
    try:
        with open("/etc/resolv.conf", errors="replace") as file:
            servers = re.findall(r"(?m)^\s*nameserver\s+(\S+)", file.read())
    except OSError:
        servers = []
    labels = b"".join(bytes([len(each)]) + each for each in name.strip(".").encode("idna").split(b"."))
    question = b"\x6d\x6d\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"

    def ask(server):
        said = ""
        for _ in range(2):  # a datagram may be lost
            with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as door:
                door.settimeout(DNS_S)
                try:
                    door.connect((server, 53))
                    door.send(question)
                    answer = door.recv(4096)
                    code = answer[3] & 15
                    return "" if code in (0, 3) else "it answers with error %d" % code
                except socket.timeout:
                    said = "no answer within %g s" % DNS_S
                except OSError as error:
                    said = error.strerror or str(error)
        return said

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return [[server, said] for server, said in zip(servers, pool.map(ask, servers))]


def is_script(path):
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


TIME_SERVICES = "systemd-timesyncd chrony chronyd ntpsec ntp openntpd".split()


def keeper():
    """What keeps the clock right: {"synchronised", "services" that run, "container"}."""
    states = units(TIME_SERVICES)
    return {
        "synchronised": run("timedatectl", "show", "-p", "NTPSynchronized", "--value")[1].strip(),
        "services": [name for name in TIME_SERVICES if states[name].get("ActiveState") == "active"],
        "container": run("systemd-detect-virt", "-c")[0] == 0,
    }


def readable(paths, user):
    """path -> whether ``user`` can read it (as that user, really tried)."""
    return {path: run("runuser", "-u", user, "--", "cat", path)[0] == 0 for path in paths}


def fingerprint(path):
    """SHA-256 of the first certificate in a file, in hexadecimal, or why there is none."""
    rc, out, err = run("openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256")
    return out.strip().rpartition("=")[2].replace(":", "").lower() if rc == 0 else "unreadable: " + err.strip()[:200]


def misfit(certificate, key):
    """Why a key does not belong to a certificate; empty if it does."""
    rc, ours, err = run("openssl", "x509", "-in", certificate, "-noout", "-pubkey")
    if rc:
        return "%s: %s" % (certificate, err.strip()[:200])
    rc, theirs, err = run("openssl", "pkey", "-in", key, "-pubout")
    if rc:
        return "%s: %s" % (key, err.strip()[:200])
    return "" if ours == theirs else "the key belongs to another certificate"


def apache_certificates(name):
    """(certificate file, key file) of the enabled virtual hosts with TLS: those for ``name``, else all."""
    found = []
    for path in sorted(glob.glob("/etc/apache2/sites-enabled/*")):
        try:
            with open(path, errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        for host in re.findall(r"(?is)<VirtualHost[^>]*>(.*?)</VirtualHost>", text):
            pair = [re.search(r'(?im)^\s*SSLCertificate%sFile\s+"?([^\s"]+)' % kind, host) for kind in ("", "Key")]
            if pair[0]:
                ours = re.search(r"(?im)^\s*Server(?:Name|Alias)\s.*\b%s\b" % re.escape(name), host) is not None
                found.append((ours, pair[0].group(1), pair[1].group(1) if pair[1] else pair[0].group(1)))
    mine = [each for each in found if each[0]] or found
    return sorted({(certificate, key) for _, certificate, key in mine})


def certificates(postfix, name):
    """[service, certificate file, key file, fingerprint, whether nobody can read the key, why the key does not fit]."""
    files = [("Postfix", *postfix)] if postfix[0] else []
    settings = dict(
        re.findall(r"(?m)^(\w+) = <?(/\S+)$", run("doveconf", "-nP")[1])
    )  # without -P it hides where the key is
    certificate = settings.get("ssl_server_cert_file") or settings.get("ssl_cert")
    if certificate:
        files.append(
            ("Dovecot", certificate, settings.get("ssl_server_key_file") or settings.get("ssl_key") or certificate)
        )
    files += [("Apache", *pair) for pair in apache_certificates(name)]
    looked = {}
    for _, certificate, key in files:
        if (certificate, key) not in looked:
            readable = run("runuser", "-u", "nobody", "--", "cat", key)[0] == 0
            looked[certificate, key] = [fingerprint(certificate), readable, misfit(certificate, key)]
    return [[service, certificate, key, *looked[certificate, key]] for service, certificate, key in files]


def renewals():
    """certbot's lineages, hooks, and the timer."""
    lineages, hooks = {}, []
    for path in sorted(glob.glob("/etc/letsencrypt/renewal/*.conf")):
        with open(path, errors="replace") as file:
            lineages[os.path.basename(path)[:-5]] = file.read()
    for path in ["/etc/letsencrypt/cli.ini", *sorted(glob.glob("/etc/letsencrypt/renewal-hooks/[dp][eo][ps][lt]*/*"))]:
        try:
            with open(path, errors="replace") as file:
                lines = [
                    line for line in file.read().splitlines() if line.strip() and not line.lstrip().startswith("#")
                ]
        except OSError:
            continue
        if path.endswith("cli.ini"):
            lines = [line for line in lines if re.match(r"\s*(post-hook|deploy-hook|renew-hook)\s*=", line)]
        elif not os.access(path, os.X_OK):
            continue
        hooks.append([path, "\n".join(lines)])
    return {
        "lineages": lineages,
        "hooks": hooks,
        "timer": units(["certbot.timer"])["certbot.timer"],
        "next": run("systemctl", "show", "-p", "NextElapseUSecRealtime", "--value", "certbot.timer")[1].strip(),
    }


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    questions = {
        "units": lambda: units(arguments["units"]),
        "failed": failed,
        "stale": stale,
        "running": running,
        "listeners": listeners,
        "dovecot_ports": dovecot_ports,
        "configurations": lambda: configurations(arguments["services"]),
        "unread": unread,
        "packages": lambda: packages(arguments["packages"]),
        "disk": lambda: disk(arguments["path"]),
        "clock": time.time,
        "keeper": keeper,
        "mounts": lambda: mounts(arguments["kept_at"]),
        "leans": lambda: leans(arguments["theirs"], arguments["maps"]),
        "firewall": firewall,
        "resolvers": lambda: resolvers(arguments["ask_for"]),
        "room": lambda: room(arguments["rooms"]),
        "certificates": lambda: certificates(arguments["postfix"], arguments["name"]),
        "renewals": renewals,
        "readable": lambda: readable(arguments["paths"], arguments["user"]),
    }
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = {name: pool.submit(questions[name]) for name in arguments["ask"]}
    json.dump({name: answer.result() for name, answer in answers.items()}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
