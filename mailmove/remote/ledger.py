"""Reads the list of what was copied to this server; with "take_back" removes exactly that again, and nothing else.

The list is rsync's own log (--log-file-format="%i %n"): a line for each thing it made, written when it is there.
In: {"ledger": file, "root": mail root, "names": [paths below root] or absent, "take_back": bool}
Out: one object: {"known": [those of the names that were copied; a letter by its base name, wherever in its home it lay]} or {"removed": n, "kept": [paths]}.
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


def home_of(name):
    return b"/".join(name.split(b"/")[:2])


def known(path, names):
    """A letter's base name is its own in one home: stores that other programs made may call letters 1, 2, 3 in each."""
    asked = {}
    for name in names:
        asked.setdefault(key(os.fsencode(name)), []).append(name)
    found = {key(name) for kind, name, _ in entries(path) if kind != b"d"}
    return sorted(name for each in found & set(asked) for name in asked[each])


def key(name):
    return (home_of(name), base(name)) if is_letter(name) else name


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


def lettered(path):
    """The letters in a folder: what lies in cur and new, half-written copies (.NAME.XXXXXX) not counted."""
    return [
        os.path.join(path, where, name)
        for where in (b"cur", b"new")
        for name in listed(os.path.join(path, where))
        if name[:1] != b"."
    ]


def directories(home):
    """All directories of a home, the innermost first; no link is followed."""
    return [path for path, _, _ in os.walk(home, topdown=False)]


def sweep_letters(home, bases):
    """Remove the letters that were copied, wherever they are now: people move and flag them, Dovecot renames them."""
    removed = 0
    for path in directories(home):
        if os.path.basename(path) in (b"cur", b"new"):
            for name in listed(path):
                copied = name[1:].rsplit(b".", 1)[0] if name[:1] == b"." else name
                if hash(copied.split(b":")[0]) in bases and unlink(os.path.join(path, name)):
                    removed += 1
    return removed


def needed(path):
    """Whether it is one of the three directories of a folder that has letters."""
    return os.path.basename(path) in (b"cur", b"new", b"tmp") and bool(lettered(os.path.dirname(path)))


def sweep_home(home, made):
    """Remove what surrounds letters where none are left: control files, indexes, directories of the copy."""
    all_ours = home in made and not any(lettered(path) for path in directories(home))
    for path in directories(home):
        if not (all_ours or path in made) or needed(path):
            continue
        names = listed(path)
        half_written = os.path.basename(path) in (b"tmp", b"cur", b"new")
        if any(
            os.path.isdir(os.path.join(path, name)) and not os.path.islink(os.path.join(path, name)) for name in names
        ):
            continue  # something below stays, and needs what lies here
        for name in names:
            own = OWN.match(name) or os.path.islink(os.path.join(path, name)) or (half_written and name[:1] == b".")
            if own or os.path.basename(path) == b"tmp":
                unlink(os.path.join(path, name))
        try:
            os.rmdir(path)
        except OSError:
            continue  # something that is not ours lies in it


def take_back(ledger, root):
    root = os.path.realpath(os.fsencode(root))
    made, homes, bases, others, seen, removed = set(), set(), {}, [], {}, 0
    for kind, name, new in entries(ledger):
        path = inside(root, name, seen)
        if path is None:
            continue
        parts = name.split(b"/")
        if len(parts) >= 2:
            homes.add(os.path.join(root, *parts[:2]))
        if kind == b"d":
            if new:
                made.add(path)
        elif is_letter(name):
            bases.setdefault(os.path.join(root, home_of(name)), set()).add(hash(base(name)))
        else:
            others.append(path)
    homes = {home for home in homes if os.path.isdir(home) and os.path.realpath(home) == home}
    for home in sorted(homes):
        removed += sweep_letters(home, bases.get(home, ()))
    for path in others:  # a folder that has letters of its own keeps its control files: their UIDs stand there
        folder = os.path.dirname(path)
        if not lettered(folder) and not (
            OWN.match(os.path.basename(path)) and os.path.isdir(os.path.join(folder, b"cur"))
        ):
            removed += unlink(path)
    for home in sorted(homes):
        sweep_home(home, made)
    for path in sorted(made, key=lambda path: (-path.count(b"/"), path)):
        if needed(path):
            continue
        try:
            os.rmdir(path)
        except OSError:
            continue
    kept = [path for path in made if os.path.isdir(path)]
    return {"removed": removed, "kept": sorted(os.fsdecode(path) for path in kept)}


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
