"""Reads the list of what was copied to this server; with "take_back" removes exactly that again, and nothing else.

The list is rsync's own log (--log-file-format="%i %n"): a line for each thing it made, written when it is there.
In: {"ledger": file, "root": mail root, "names": [base names of letters, or paths below root] or absent, "take_back": bool}
Out: one object: {"known": [those of the names that were copied]} or {"removed": n, "kept": [paths]}.
"""

import json
import os
import re
import stat
import sys

LINE = re.compile(rb"^\S+ \S+ \[\d+\] ([<>ch.][fdLDS])(\S{9}) (.*)\n?$")
OWN = re.compile(rb"^(dovecot[-.].*|maildirfolder|maildirsize|subscriptions|.*\.svbin|\.dovecot\..*|\.lda-dupes)$")


def unescaped(name):
    r"""rsync writes bytes that do not print as \#ooo."""
    return re.sub(rb"\\#([0-7]{3})", lambda match: bytes([int(match.group(1), 8) & 255]), name)


def entries(path):
    """(what, path) of each line: what is f, d, L…; new is whether it was made, not only set right."""
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            match = LINE.match(line)
            if match:
                name = unescaped(match.group(3))
                if match.group(1)[1:] == b"L":
                    name = name.split(b" -> ")[0]
                yield match.group(1)[1:], name.rstrip(b"/"), match.group(2).startswith(b"++++")


def is_letter(name):
    return name.split(b"/")[-2:-1] in ([b"cur"], [b"new"])


def base(name):
    return name.rsplit(b"/", 1)[-1].split(b":")[0]


def known(path, names):
    asked = {os.fsencode(name) for name in names}
    found = set()
    for kind, name, _ in entries(path):
        if kind != b"d":
            key = base(name) if is_letter(name) else name
            if key in asked:
                found.add(key)
    return sorted(os.fsdecode(name) for name in found)


def inside(root, name, seen):
    """The path of a name below root, or None if it leads elsewhere or through a link. ``seen`` remembers directories."""
    path = os.path.normpath(os.path.join(root, name))
    parent = os.path.dirname(path)
    if parent not in seen:
        seen[parent] = os.path.realpath(parent) == parent
    return path if path.startswith(root + b"/") and seen[parent] else None


def unlink(path):
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            return False
        os.unlink(path)
        return True
    except FileNotFoundError:
        return False


def listed(path):
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def take_back(ledger, root):
    root = os.path.realpath(os.fsencode(root))
    made, renamed, letters, removed, seen = set(), {}, set(), 0, {}
    controls = []
    for kind, name, new in entries(ledger):
        path = inside(root, name, seen)
        if path is None:
            continue
        if kind == b"d":
            if new:
                made.add(path)
        elif is_letter(name):
            if unlink(path):
                removed += 1
                letters.add(hash(path))
            elif hash(path) not in letters:
                renamed.setdefault(os.path.dirname(os.path.dirname(path)), set()).add(base(name))
        else:
            controls.append(path)
    # Dovecot renames a letter's file when its flags change or when it is first seen.
    for folder, bases in renamed.items():
        for where in (b"cur", b"new"):
            for name in listed(os.path.join(folder, where)):
                if name.split(b":")[0] in bases and unlink(os.path.join(folder, where, name)):
                    removed += 1
    kept = []
    # A folder that got letters of its own keeps its control files: their UIDs stand there.
    for path in controls:
        folder = os.path.dirname(path)
        if not any(listed(os.path.join(folder, where)) for where in (b"cur", b"new")) and unlink(path):
            removed += 1
    for path in sorted(made, key=lambda path: (-path.count(b"/"), path)):
        names = listed(path)
        if all(OWN.match(name) or os.path.islink(os.path.join(path, name)) for name in names):
            for name in names:
                unlink(os.path.join(path, name))
        if os.path.basename(path) == b"tmp":
            for name in names:
                unlink(os.path.join(path, name))
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            kept.append(os.fsdecode(path))
    return {"removed": removed, "kept": sorted(kept)}


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    if wanted.get("take_back"):
        answer = take_back(wanted["ledger"], wanted["root"])
    else:
        answer = {"known": known(wanted["ledger"], wanted["names"])}
    json.dump(answer, sys.stdout)
    print()


if __name__ == "__main__":
    main()
