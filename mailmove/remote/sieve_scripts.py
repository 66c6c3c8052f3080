"""Reads the Sieve scripts of a server, or tries whether its Dovecot takes scripts.

In: {"do": "read", "users": [...]}: reads files, changes nothing. Out: {"owner", "path", "active", "text"} for each script, the
server's own with an empty owner, then {"end": true, "problems": [...]}.
In: {"do": "compile", "user": a probe, "scripts": [{"owner", "text"}...]}: people's scripts are handed to the probe's Sieve storage
and taken away again, the server's own are compiled in a private directory. Out: {"said"} for each, empty if it was taken.
"""

import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

LARGEST = 1 << 20  # bytes of a script
AT_ONCE = 2
GLOBAL = re.compile(
    r"\s*(sieve_(?:before|after)\d*|sieve_default|sieve_global(?:_path|_dir)?|imapsieve_mailbox\d+_(?:before|after)) = (.+)"
)


def run(*argv, **settings):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **settings)


def text(data):
    return data.decode("utf-8", "replace")


def homes(users):
    """[(user, home)], as Dovecot says; users it does not know are left out."""
    found = []
    for start in range(0, len(users), 200):
        some = users[start : start + 200]
        lines = [line for line in text(run("doveadm", "user", "-f", "home", "--", *some).stdout).splitlines() if line]
        if len(lines) != len(some):  # an answer is missing: one by one, so that none is taken for another's
            lines = [text(run("doveadm", "user", "-f", "home", "--", each).stdout).strip() for each in some]
        found += [(user, home) for user, home in zip(some, lines) if home.startswith("/")]
    return found


def locations():
    """Where people's scripts lie, and what is the active one, with Dovecot's variables in it."""
    setting = text(run("doveconf", "-h", "plugin/sieve").stdout).strip() or "file:~/sieve;active=~/.dovecot.sieve"
    words = setting.split(";")
    storage = words[0][5:] if words[0].startswith("file:") else words[0]
    active = next((word[7:] for word in words[1:] if word.startswith("active=")), "")
    if not active and not setting.startswith("file:"):  # the old way: sieve is the active script, sieve_dir the others
        active = storage
        storage = text(run("doveconf", "-h", "plugin/sieve_dir").stdout).strip() or "~/sieve"
    return storage, active


def expand(path, user, home):
    name, _, domain = user.partition("@")
    values = {"%u": user, "%n": name, "%d": domain, "%h": home}
    path = re.sub("%[undh]", lambda found: values[found.group()], path)
    path = home + path[1:] if path.startswith("~") else path
    return path if path.startswith("/") else os.path.join(home, path)


def script(path, owner, active, problems):
    try:
        if os.path.getsize(path) > LARGEST:
            problems.append("%s is too large for a script" % path)
            return
        with open(path, "rb") as file:
            print(json.dumps({"owner": owner, "path": path, "active": active, "text": text(file.read())}))
    except OSError as error:
        problems.append(str(error))


def read(wanted):
    problems = []
    storage, active = locations()
    for user, home in homes(wanted["users"]):
        directory, chosen = expand(storage, user, home), expand(active, user, home) if active else ""
        target = os.path.realpath(chosen) if chosen else ""
        paths = sorted(glob.glob(os.path.join(glob.escape(directory), "*.sieve")))
        for path in paths:
            script(path, user, os.path.realpath(path) == target, problems)
        if chosen and os.path.isfile(chosen) and target not in map(os.path.realpath, paths):
            script(chosen, user, True, problems)
    known = set()
    for line in text(run("doveconf", "plugin").stdout).splitlines():
        found = GLOBAL.match(line)
        if not found or (":" in found.group(2) and not found.group(2).startswith("file:")):
            continue
        path = found.group(2).split(";")[0].replace("file:", "", 1).strip()
        inside = sorted(glob.glob(os.path.join(glob.escape(path), "*.sieve"))) if os.path.isdir(path) else [path]
        for each in inside:
            if each not in known and os.path.isfile(each):
                known.add(each)
                script(each, "", True, problems)
    print(json.dumps({"end": True, "problems": problems}))


def complaint(done):
    """What a program that failed said, without the lines that say nothing more."""
    if not done.returncode:
        return ""
    lines = [line for line in text(done.stderr + done.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if re.search("error:|Error:|Fatal:", line) and "validation failed" not in line]
    return "\n".join((telling or lines)[:3]) or "exit status %d" % done.returncode


def for_a_person(user, number, content):
    name = "mailmove-%d" % number
    done = run("doveadm", "sieve", "put", "-u", user, name, input=content.encode())
    if not done.returncode:
        run("doveadm", "sieve", "delete", "-u", user, name)
    return complaint(done)


def for_the_server(directory, number, content):
    path = os.path.join(directory, "%d.sieve" % number)
    with open(path, "w") as file:
        file.write(content)
    return complaint(run("sievec", path, path + ".out"))


def compile_(wanted):
    with tempfile.TemporaryDirectory(prefix="mailmove-sieve-") as directory:

        def attempt(numbered):
            number, each = numbered
            if each["owner"]:
                return for_a_person(wanted["user"], number, each["text"])
            return for_the_server(directory, number, each["text"])

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for said in pool.map(attempt, enumerate(wanted["scripts"])):
                print(json.dumps({"said": said}))


def main():
    wanted = json.loads(sys.stdin.buffer.readline().decode())
    {"read": read, "compile": compile_}[wanted["do"]](wanted)


if __name__ == "__main__":
    main()
