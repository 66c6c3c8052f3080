"""Where everybody's mail lies, as Dovecot says, and what in a mail store cannot be copied with it. Writes nothing.

In: {"root", "users": [...]}
Out, one object a line:
  home     user, home, mail (driver:path and options)
  apart    path, what: a link to a directory that is not in the store, or mail of another format
  owned    path: a directory that is another's than the store
  end      unasked (people of whom Dovecot did not say it: it does not run, or does not know them)
"""

import json
import os
import re
import subprocess
import sys

AT_ONCE = 200  # people in one command
# Dovecot's own format, with one letter or many in a file: these are read by nothing without their indexes.
DBOX = re.compile(r"^(dbox-Mails|dovecot\.map\.index.*|dbox-alt-root)$")
LETTERS = ("cur", "new", "tmp")


def say(kind, **values):
    print(json.dumps({"kind": kind, **values}))


def asked(users):
    """[{field: value}] as Dovecot answers for these people; those it does not know are left out without a word of whom."""
    done = subprocess.run(["doveadm", "user", "--", *users], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = []
    for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
        name, tab, value = line.partition("\t")
        if name == "uid":
            found.append({})
        if tab and found:
            found[-1][name] = value
    return found


def runs(user):
    """Whether Dovecot answers at all: where it does not, it would be waited for a second for each."""
    done = subprocess.run(["doveadm", "user", "--", user], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return done.returncode == 0 or b"doesn't exist" in done.stderr


def homes(users):
    """How many were not told."""
    if not users or not runs(users[0]):
        return len(users)
    unasked = 0
    for start in range(0, len(users), AT_ONCE):
        some = users[start : start + AT_ONCE]
        answers = asked(some)
        if not answers:
            unasked += len(some)
            continue
        if len(answers) != len(some):
            answers = [(asked([user]) or [None])[0] for user in some]
        for user, fields in zip(some, answers):
            if fields is None or "home" not in fields:
                unasked += 1
            else:
                say("home", user=user, home=fields["home"], mail=fields.get("mail", ""))
    return unasked


def walk(root):
    todo = [root]
    info = os.stat(root)
    owner = info.st_uid, info.st_gid
    while todo:
        path = todo.pop()
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        names = {entry.name for entry in entries}
        for entry in entries:
            if DBOX.match(entry.name):
                say("apart", path=entry.path, what="mail in one of Dovecot's own formats (sdbox, mdbox)")
            elif entry.is_symlink():
                target = os.path.realpath(entry.path)
                if os.path.isdir(target) and target != root and not target.startswith(root + "/"):
                    say("apart", path=entry.path, what="a link to a directory out of the store: " + target)
            elif entry.is_dir(follow_symlinks=False):
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if (info.st_uid, info.st_gid) != owner:
                    say("owned", path=entry.path)
                if not ({"cur", "new"} <= names and entry.name in LETTERS):
                    todo.append(entry.path)


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    unasked = homes(wanted["users"])
    walk(os.path.realpath(wanted["root"]))
    say("end", unasked=unasked)


if __name__ == "__main__":
    main()
