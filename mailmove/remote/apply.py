"""Writes: renames and removes single files of a mail store, by exact names, as another store's look commands.

In: {"root", "rename": [[from, to], ...], "link": [[letter, a further name of it], ...], "delete": [files], "remove": [directories, the innermost first], "stale":
[directories whose indexes no longer fit], "aside": directory for what is deleted, or ""}. Paths are below root; none is
followed through a link. What is not there any more is passed over, and so is a directory in which something is left.
Out: one object: {"renamed", "deleted", "removed", "kept": [directories], "missed": [renames whose letter was not there],
"linked": [further names that were given]}
"""

import json
import os
import re
import shutil
import stat
import sys

INDEX = re.compile(r"^dovecot\.index.*$")
COMPILED = re.compile(r"^.*\.svbin$")
# Of folders, and of those with rights (ACLs): made again of what lies in the folders
LIST = re.compile(r"^(dovecot\.list\.index.*|dovecot-acl-list)$")
DISPOSABLE = re.compile(
    r"^(dovecot\.index.*|dovecot\.list\.index.*|dovecot-acl-list|.*\.lock|dovecot\.mailbox\.log.*|.*\.svbin|maildirsize)$"
)


class Store:
    """The mail store written to."""

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self.seen = {}

    def path(self, name):
        """The full path of a name below the root. Ends the program if it leads elsewhere, or through a link."""
        path = os.path.normpath(os.path.join(self.root, name))
        above = os.path.dirname(path)
        if above not in self.seen:
            self.seen[above] = not os.path.lexists(above) or os.path.realpath(above) == above
        if not path.startswith(self.root + "/") or not self.seen[above]:
            sys.exit("will not touch %r: it leads out of %s" % (name, self.root))
        return path


def put_aside(path, name, aside):
    target = os.path.join(aside, name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.rename(path, target)
    except OSError:  # another file system
        info = os.lstat(path)
        shutil.copy2(path, target, follow_symlinks=False)
        os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)
        os.unlink(path)


def delete(store, names, aside):
    count = 0
    for name in names:
        path = store.path(name)
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                continue
            if aside:
                put_aside(path, name, aside)
            else:
                os.unlink(path)
            count += 1
        except FileNotFoundError:
            pass
    return count


def rename(store, pairs):
    count, missed = 0, []
    for source, target in pairs:
        before, after = store.path(source), store.path(target)
        try:
            if os.path.lexists(after):
                missed.append(target)
                continue
            os.rename(before, after)
            count += 1
        except FileNotFoundError:
            missed.append(target)
    return count, missed


def link(store, pairs):
    """Where it cannot be done, whoever asked copies the letter."""
    done = []
    for source, target in pairs:
        before, after = store.path(source), store.path(target)
        try:
            if stat.S_ISREG(os.lstat(before).st_mode):
                os.link(before, after, follow_symlinks=False)
                done.append(target)
        except OSError:
            pass
    return done


def listed(path):
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove(store, names):
    """Remove directories of which nothing is left but what Dovecot makes by itself."""
    count, kept = 0, []
    for name in names:
        path = store.path(name)
        if os.path.islink(path) or not os.path.isdir(path):
            continue
        for each in listed(path):
            inner = os.path.join(path, each)
            if each == "tmp" and not os.path.islink(inner):
                for half in listed(inner):
                    if not os.path.isdir(os.path.join(inner, half)):
                        os.unlink(os.path.join(inner, half))
                os.rmdir(inner) if not listed(inner) else None
            elif DISPOSABLE.match(each) and not os.path.isdir(inner):
                os.unlink(inner)
        try:
            os.rmdir(path)
            count += 1
        except OSError:
            kept.append(name)
    return count, kept


def unlink_matching(path, pattern):
    for each in listed(path):
        if pattern.match(each):
            try:
                os.unlink(os.path.join(path, each))
            except FileNotFoundError:
                pass


def forget_indexes(store, names):
    """Indexes that no longer fit are made again by Dovecot when the folder is opened; so is a mailbox's list of folders.

    And a compiled Sieve script: one that is younger than the script would be believed, also if it is of an earlier one.
    """
    above = set()
    for name in names:
        unlink_matching(store.path(name), INDEX)
        if any(each.endswith(".sieve") for each in listed(store.path(name))):
            for place in (name, os.path.dirname(name)):  # the active one's lies beside the link to it
                unlink_matching(store.path(place), COMPILED)
        while name:
            above.add(name)
            name = os.path.dirname(name)
    for name in above:
        unlink_matching(store.path(name), LIST)


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    store = Store(wanted["root"])
    aside = wanted["aside"]
    if aside:
        mask = os.umask(0o077)
        os.makedirs(aside, exist_ok=True)
        os.umask(mask)
    renamed, missed = rename(store, wanted["rename"])
    linked = link(store, wanted.get("link", []))
    deleted = delete(store, wanted["delete"], aside)
    removed, kept = remove(store, wanted["remove"])
    forget_indexes(store, wanted["stale"])
    said = {
        "renamed": renamed,
        "deleted": deleted,
        "removed": removed,
        "kept": kept,
        "missed": missed,
        "linked": linked,
    }
    json.dump(said, sys.stdout)
    print()


if __name__ == "__main__":
    main()
