"""Lets one key in, or takes leftovers out: writes the authorized_keys of who logs in here (root, or somebody who becomes root by sudo), and ends what a key taken out had started.

In: {"sweep": marker, "spare": [ids that are in use], "key": "ssh-ed25519 AAAA…" or "", "id": …, "options": …,
"directory": … or "", "login": whose file, "file": the one to sweep, if it is known}. ``marker`` begins the comment of every line that was ever added here.
Out: one object: {"file", "removed", "ended": processes, "host_keys", "ports", "expires", "rsync": what its rsync can}.
"""

import json
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

MARK = "MAILMOVE_PULL"  # in the environment of what a key has started, with the key's id
END_S = 2.0
EXPIRES_S = 48 * 3600  # a key that a crash left behind is dead after this, even if nobody comes back
GUARD = (
    "set -f; set -- $SSH_ORIGINAL_COMMAND; [ \"$1 $2 $3\" = 'rsync --server --sender' ] || exit 77; shift 3; "
    "for w; do case $w in --bwlimit=*[!0-9.kKmMgG]*) exit 77;; --bwlimit=*|--numeric-ids|--timeout=[0-9]*|--from0|--files-from=-|--ignore-missing-args|--ignore-times|.) ;; --*) exit 77;; "
    "-[!e]*e.*) case ${w%%%%e.*} in *s*) exit 77;; esac;; *) exit 77;; esac; done; "
    'cd %s && exec rsync --server --sender "$@"'
)


def sshd_settings(login):
    values = {}
    for program in ("/usr/sbin/sshd", "sshd"):
        try:
            said = subprocess.run(
                [program, "-T", "-C", "user=%s,host=localhost,addr=127.0.0.1" % login],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError:
            continue
        for line in said.stdout.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(" ")
            values.setdefault(name, []).append(value)
        break
    return values


def authorized_keys(values, login, home):
    first = (values.get("authorizedkeysfile") or [".ssh/authorized_keys"])[0].split()[0]
    if first == "none":
        sys.exit("sshd here takes no authorized_keys file (AuthorizedKeysFile none)")
    path = first.replace("%h", home).replace("%u", login).replace("%%", "%")
    return os.path.realpath(os.path.join(home, path))


def host_keys(values):
    found = []
    for path in values.get("hostkey") or ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key"]:
        try:
            with open(path + ".pub") as file:
                words = file.read().split()
            found.append(" ".join(words[:2]))
        except (OSError, IndexError):
            continue
    return found


def forced_command(directory, number, login="root"):
    """rrsync where Debian put it; else a command of ours that reads this directory only. What it starts is marked.

    By sudo where the login is not root's: it takes away the environment, which has what is asked for.
    """
    if not re.fullmatch(r"[\w./@+-]+", directory):
        sys.exit("will not put this directory into a forced command: %r" % directory)
    if not re.fullmatch(r"[0-9a-f]+", number):
        sys.exit("will not put this into a forced command: %r" % number)
    for path in ("/usr/bin/rrsync", "/usr/share/rsync/scripts/rrsync", "/usr/share/doc/rsync/scripts/rrsync"):
        if os.access(path, os.X_OK):
            with open(path, "rb") as file:
                free = b"no-lock" in file.read()
            return as_root(login, number, "%s%s -ro %s" % (path, " -no-lock" if free else "", directory))
    return as_root(login, number, "sh -c %s" % shlex.quote(GUARD % directory))


def as_root(login, number, command):
    marked = "env %s=%s " % (MARK, number)
    if login == "root":
        return marked + command
    return '%ssudo -n -H -- %sSSH_ORIGINAL_COMMAND="$SSH_ORIGINAL_COMMAND" %s' % (marked, marked, command)


def quoted(text):
    """A value for an option of authorized_keys (sshd(8)): only the double quote is special."""
    return '"%s"' % text.replace('"', '\\"')


def without(data, marker, spare):
    """The file without our lines; put back as it was, down to a last line that had no end."""
    removed, kept, created, bare = [], [], False, False
    for line in data.splitlines(True):
        comment = line.rsplit(None, 1)[-1] if line.strip() else b""
        match = re.fullmatch(re.escape(marker.encode()) + rb":([0-9a-f]+):([a-z]*)", comment)
        if match and match.group(1).decode() not in spare:
            removed.append(match.group(1).decode())
            created = created or b"c" in match.group(2)
            bare = bare or b"n" in match.group(2)
        else:
            kept.append(line)
    rest = b"".join(kept)
    if bare and rest.endswith(b"\n"):
        rest = rest[:-1]
    return rest, removed, created


def write(path, data, owner):
    """Replace the file in one step; owner and mode stay. ``owner``: of one that was not there."""
    try:
        stat = os.stat(path)
        owner, mode = (stat.st_uid, stat.st_gid), stat.st_mode & 0o7777
    except FileNotFoundError:
        mode = 0o600
    handle, name = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".authorized_keys.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise


def make_directory(path, owner):
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o700)
        os.chown(path, *owner)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it ended meanwhile
        return b""


def started_by_others(spare):
    """process -> its parent, of all that a key started which is not spared."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for word in read("/proc/%s/environ" % pid).split(b"\0"):
            key, _, number = word.partition(b"=")
            if key == MARK.encode() and number.decode("utf-8", "replace") not in spare:
                state = read("/proc/%s/stat" % pid).rpartition(b")")[2].split()
                if state and state[0] != b"Z":
                    found[int(pid)] = int(state[1])
    return found


def end(process, how):
    try:
        os.kill(process, how)
    except ProcessLookupError:
        pass


def end_runs(spare):
    """End what keys no longer let in had started, with their connections: whose other half lost its power waits for it for long."""
    runs = started_by_others(spare)
    if not runs:
        return []
    ways = {parent for parent in runs.values() if read("/proc/%d/comm" % parent).startswith(b"sshd")}
    for process in [*runs, *ways]:
        end(process, signal.SIGTERM)
    until = time.monotonic() + END_S
    while started_by_others(spare) and time.monotonic() < until:
        time.sleep(0.05)
    until += END_S
    while (left := started_by_others(spare)) and time.monotonic() < until:  # one may just have begun another
        for process in left:
            end(process, signal.SIGKILL)
        time.sleep(0.02)
    return sorted(runs)


def rsync_version():
    try:
        return subprocess.run(["rsync", "--version"], stdout=subprocess.PIPE).stdout.decode("utf-8", "replace")
    except OSError:
        return ""


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    marker = wanted["sweep"]
    known = "" if wanted["key"] else wanted.get("file", "")
    login = wanted.get("login", "root")
    who = pwd.getpwnam(login)
    owner = (who.pw_uid, who.pw_gid)
    values = {} if known else sshd_settings(login)
    path = known or authorized_keys(values, login, who.pw_dir)
    try:
        with open(path, "rb") as file:
            before, there = file.read(), True
    except FileNotFoundError:
        before, there = b"", False
    data, removed, created = without(before, marker, wanted["spare"])
    expires = ""
    if wanted["key"]:
        flags = ("n" if data and not data.endswith(b"\n") else "") + ("c" if created or not there else "")
        if "n" in flags:
            data += b"\n"
        expires = time.strftime("%Y%m%d%H%M", time.localtime(time.time() + EXPIRES_S))
        options = ",".join(
            [
                "from=" + quoted(",".join(wanted["from"])),
                "restrict",
                "expiry-time=" + quoted(expires),
                "command=" + quoted(forced_command(wanted["directory"], wanted["id"], login)),
            ]
        )
        data += ("%s %s %s:%s:%s\n" % (options, wanted["key"], marker, wanted["id"], flags)).encode()
        make_directory(os.path.dirname(path), owner)
    if data != before:
        if created and not data:
            os.unlink(path)
        else:
            write(path, data, owner)
    json.dump(
        {
            "file": path,
            "removed": removed,
            "ended": end_runs([*wanted["spare"], wanted.get("id", "")]),
            "host_keys": host_keys(values),
            "expires": expires,
            "rsync": rsync_version() if wanted["key"] else "",
            "ports": [int(port) for port in values.get("port", ["22"])],
        },
        sys.stdout,
    )
    print()


if __name__ == "__main__":
    main()
