"""Asks Postfix' maps and Dovecot's user database for many names at once. Changes nothing.

In: {"maps": {label: [map, ...]}, "keys": {label: [key, ...]}, "users": [address, ...] or null}.
Out: {"label", "found": {key: answer}} for each label, the first map of a label that knows a key answering;
{"users": [...], "homes": {address: home}} as Dovecot tells them; {"trouble": words} for what could not be asked.
"""

import json
import re
import subprocess
import sys

AT_ONCE = 100  # addresses on one command line of doveadm


def run(*argv, data=b""):
    done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out = done.stdout.decode("utf-8", "surrogateescape")
    return done.returncode, out, done.stderr.decode("utf-8", "replace").strip()


def emit(line):
    sys.stdout.write(json.dumps(line) + "\n")


def postmap(table, keys):
    """{key as asked: answer}; a key with a line break or white space at its ends cannot be asked this way."""
    askable = [key for key in keys if key and not re.search(r"[\n\0]|^\s|\s$", key)]
    rc, out, err = run(
        "postmap", "-q", "-", table, data="".join(k + "\n" for k in askable).encode("utf-8", "surrogateescape")
    )
    if rc > 1 or (rc and err):
        emit({"trouble": "postmap -q - %s: %s" % (table, err or "exit status %d" % rc)})
        return {}
    found = {}
    for line in out.split("\n"):
        key, tab, answer = line.partition("\t")
        if tab:
            found[key] = answer
    return found


def main():
    arguments = json.loads(sys.stdin.readline())
    for label, tables in arguments["maps"].items():
        left, found = list(dict.fromkeys(arguments["keys"][label])), {}
        for table in tables:
            if left:
                found.update(postmap(table, left))
                left = [key for key in left if key not in found]
        emit({"label": label, "found": found})
    users = arguments.get("users")
    if users is None:
        return
    rc, out, err = run("doveadm", "user", "*")
    if rc:
        emit({"trouble": "doveadm user '*': %s" % (err or "exit status %d" % rc)})
    listed = out.split("\n")[:-1]
    homes = {}
    for start in range(0, len(users), AT_ONCE):
        some = [user for user in users[start : start + AT_ONCE] if user and "\n" not in user]
        rc, out, err = run("doveadm", "user", "-f", "home", "--", *some)
        answers = out.split("\n")[:-1]
        if rc == 0 and len(answers) == len(some):
            homes.update(zip(some, answers))
            continue
        for user in some:  # one of them is unknown: which?
            rc, out, err = run("doveadm", "user", "-f", "home", "--", user)
            if rc == 0 and out.strip():
                homes[user] = out.strip()
    emit({"users": listed, "homes": homes})


if __name__ == "__main__":
    main()
