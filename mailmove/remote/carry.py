"""Letters out of one mail store, and into another in which they have never been. Nothing that lies there is ever removed.

In, on the server that gives: {"give": [[path of a folder, base name], ...]}
  Out, one object a letter: {"path", "base", "name": file name with its flags, "where": cur or new, "mtime", "keywords", "data":
  base64}, or {"path", "base", "gone": true}.
In, on the server that takes: {"root": mail root, "take": [{"folder": path below root, as bytes escaped, "name", "where", "mtime",
  "keywords", "data"}], "mark": [{"folder", "base", "flags", "keywords"}], "next": {folder: UID}, "subscribe": {maildir: [names]}}
  Out: {"taken": n, "there": n, "marked": n}
A letter that is taken lies there as one that was just delivered: Dovecot gives it a UID, and none below ``next``.
"""

import base64
import contextlib
import fcntl
import json
import os
import re
import sys

MOST_KEYWORDS = 26  # that Maildir file names hold


def text(name):
    return os.fsdecode(name)


def keyword_names(folder):
    """letter -> keyword, from dovecot-keywords."""
    found = {}
    try:
        with open(os.path.join(folder, b"dovecot-keywords"), "rb") as file:
            for line in file.read().split(b"\n"):
                number, _, name = line.partition(b" ")
                if number.isdigit() and name and int(number) < MOST_KEYWORDS:
                    found[chr(97 + int(number))] = text(name)
    except FileNotFoundError:
        pass
    return found


def located(folder, base):
    """(where, file name) of a letter; its flags and its move from new to cur change its name."""
    for where in (b"cur", b"new"):
        try:
            names = os.listdir(os.path.join(folder, where))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            if name.split(b":")[0] == base:
                return where, name
    return None


def give(pairs):
    for path, base in pairs:
        folder = os.fsencode(path)
        said = {"path": path, "base": base, "gone": True}
        place = located(folder, os.fsencode(base))
        if place:
            where, name = place
            try:
                handle = os.open(os.path.join(folder, where, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                with os.fdopen(handle, "rb") as file:
                    data, info = file.read(), os.fstat(file.fileno())
            except OSError:
                pass
            else:
                marks = (name.rpartition(b":2,")[2] if b":2," in name else b"").decode("ascii", "replace")
                known = keyword_names(folder)
                said = {
                    "path": path,
                    "base": base,
                    "flags": "".join(sorted({c for c in marks if c.isupper()})),
                    "where": text(where),
                    "mtime": info.st_mtime_ns,
                    "keywords": [known[c] for c in marks if c in known],
                    "data": base64.b64encode(data).decode(),
                }
        json.dump(said, sys.stdout)
        print()


@contextlib.contextmanager
def whole(half):
    """A file comes to its place whole: where there is no room for all of it, nothing of it stays."""
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(half)
        raise


class Store:
    """The mail store that takes: whose everything in it is, and which of its folders were looked at."""

    def __init__(self, root):
        self.root = os.path.realpath(os.fsencode(root))
        self.ready = {}

    def folder(self, name):
        """The directory of a folder below the root, made if it is not there; no link on the way is followed."""
        path = os.path.normpath(os.path.join(self.root, os.fsencode(name)))
        if path in self.ready:
            return path
        if not path.startswith(self.root + b"/"):
            raise SystemExit("%s lies outside of the mail root" % text(path))
        inner = self.root
        for part in os.path.relpath(path, self.root).split(b"/"):
            self.directory(inner, os.path.join(inner, part))
            inner = os.path.join(inner, part)
        for leaf in (b"cur", b"new", b"tmp"):
            self.directory(inner, os.path.join(inner, leaf))
        self.ready[path] = True
        return path

    def directory(self, parent, path):
        if os.path.islink(path):
            raise SystemExit("%s is a link: nothing is put there" % text(path))
        if not os.path.isdir(path):
            like = os.stat(parent)
            os.mkdir(path, 0o700)
            os.chown(path, like.st_uid, like.st_gid)
            os.chmod(path, like.st_mode & 0o7777)

    def marks(self, folder, flags, keywords):
        """What follows ":2," in a file name; keywords that are new in this folder get the next letter."""
        known = {name: letter for letter, name in keyword_names(folder).items()}
        letters = []
        for word in keywords:
            if word not in known:
                free = [chr(97 + n) for n in range(MOST_KEYWORDS) if chr(97 + n) not in known.values()]
                if not free or "\n" in word:
                    continue  # Dovecot keeps more of them in its index alone; the letter comes without this one
                known[word] = free[0]
                self.write(folder, b"dovecot-keywords", known)
            letters.append(known[word])
        return "".join(sorted(set(flags))) + "".join(sorted(letters))

    def write(self, folder, name, known):
        lines = b"".join(
            b"%d " % (ord(letter) - 97) + os.fsencode(word) + b"\n"
            for word, letter in sorted(known.items(), key=lambda i: i[1])
        )
        self.replace(os.path.join(folder, name), lines, os.stat(folder))

    def replace(self, path, data, like):
        """A control file, whole or not at all."""
        half = path + b".mailmove"
        with whole(half):
            with open(half, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chown(half, like.st_uid, like.st_gid)
            os.chmod(half, 0o600)
            os.rename(half, path)

    def take(self, letter):
        """True if it came, False if it was there already."""
        folder = self.folder(letter["folder"])
        base = os.fsencode(letter["base"])
        if b"/" in base or base[:1] in (b"", b"."):
            raise SystemExit("%r is no name of a letter" % base)
        if located(folder, base):
            return False
        like = os.stat(folder)
        half = os.path.join(folder, b"tmp", base)
        try:
            os.unlink(half)  # of an attempt that was killed
        except FileNotFoundError:
            pass
        with whole(half):
            handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(base64.b64decode(letter["data"]))
                file.flush()
                os.fsync(file.fileno())
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.utime(half, ns=(letter["mtime"], letter["mtime"]))
            marks = self.marks(folder, letter["flags"], letter["keywords"])
            new = letter["where"] == "new" and not marks
            name = base if new else base + b":2," + marks.encode()
            os.rename(half, os.path.join(folder, b"new" if new else b"cur", name))
        return True

    def mark(self, wanted):
        """Give a letter that is there the flags it has on the other server."""
        folder = self.folder(wanted["folder"])
        place = located(folder, os.fsencode(wanted["base"]))
        if not place:
            return False
        where, name = place
        marks = self.marks(folder, wanted["flags"], wanted["keywords"])
        target = os.path.join(folder, b"cur", name.split(b":")[0] + b":2," + marks.encode())
        if os.path.join(folder, where, name) != target:
            os.rename(os.path.join(folder, where, name), target)
        return True

    def raise_next(self, name, uid):
        """No UID below ``uid`` is given out in this folder any more: the other server has shown it to people."""
        folder = self.folder(name)
        path = os.path.join(folder, b"dovecot-uidlist")
        try:
            with open(path, "rb") as file:
                data, like = file.read(), os.fstat(file.fileno())
        except FileNotFoundError:
            return
        head, newline, rest = data.partition(b"\n")
        found = re.search(rb" N(\d+)", head)
        if head[:2] == b"3 " and found and int(found.group(1)) < uid:
            head = head[: found.start()] + b" N%d" % uid + head[found.end() :]
            self.replace(path, head + newline + rest, like)

    def subscribe(self, maildir, names):
        """Add folders to those shown; lines are taken over as they stand in the other server's file."""
        folder = self.folder(maildir)
        path = os.path.join(folder, b"subscriptions")
        try:
            with open(path, "rb") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            lines = []
        more = [os.fsencode(name) for name in names if os.fsencode(name) not in lines and "\n" not in name]
        if more and not (lines and lines[0][:2] == b"V\t"):
            more = [line.replace(b"\t", b".") for line in more]
        if more:
            self.replace(path, b"".join(line + b"\n" for line in lines + more), os.stat(folder))


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    if "give" in wanted:
        give(wanted["give"])
        return
    # One at a time: a run whose connection broke may have left one at work. The lock ends with this process
    lock = open("/run/lock/mailmove-carry", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    store = Store(wanted["root"])
    for name, uid in wanted.get("next", {}).items():
        store.raise_next(name, uid)
    came = [store.take(letter) for letter in wanted.get("take", [])]
    marked = [store.mark(each) for each in wanted.get("mark", [])]
    for maildir, names in wanted.get("subscribe", {}).items():
        store.subscribe(maildir, names)
    json.dump({"taken": sum(came), "there": len(came) - sum(came), "marked": sum(marked)}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
