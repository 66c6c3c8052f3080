"""Looks at the directories of a mail store, never at the letters in them, and tells which are not as they were. Writes nothing.

Maildir makes that possible: every delivery, flag, move and deletion changes the times of a folder's new or cur, and the
other directories hold few files. A directory's signature changes whenever something in it may have changed.

In: {"root", "skip": [name prefixes of users], "domains_skipped": [...], "known": {path: signature},
     "expected": {path of a cur or new: digest of the names that ought to be in it},
     "names": true if the directories that are not as known are then listed, too, as with "list"}
Out, one object a line:
  begin         root, machine, inode, system (the file system's type), clock
  directories   rows [path below root, signature, settled] of those whose signature is not the known one; settled is false
                when it changed so lately that a further change might leave the same signature, and for folders whose
                indexes count: these are always to be looked into
  end           directories, gone [known paths that are no directories any more], mounts [paths where another file system
                begins], seconds, unexpected [of the expected those in which there are other names, read after their signatures]
or, with "weigh": true, for each home:
  home          path, letters, bytes (as far as the letters' names tell their sizes; guessed for the others), attributes
                (whether any letter or folder in it has ACLs or extended attributes)
or, with "list": [paths], for each of them:
  listed        path, there, letters (is it the cur or new of a folder), signature, files [names],
                others [name, "d" | "l" | "o"], control (of a folder, its cur and new: a digest of its UID list and keywords)
with "digests": true, the files of a cur or new are told by one digest of their names, as if it were the only one
or, with "linked": [paths of letters], for each of them that is the same file as other letters of its home:
  linked        path, others [paths]
"""

import hashlib
import json
import os
import re
import resource
import stat
import sys
import threading
import time

# What Dovecot makes again by itself, and what it holds only for a moment. Not an index of what somebody alone has read in a
# shared or public folder (INDEXPVT): that stands nowhere else.
DISPOSABLE = re.compile(
    rb"^(dovecot\.index(?!\.pvt(\.log(\.2)?)?$).*|dovecot\.list\.index.*|dovecot-acl-list|.*\.lock|dovecot\.mailbox\.log.*"
    rb"|.*\.svbin|maildirsize)$"
)
# A folder's keywords after the 26th are in its index only: there, the index is no less than the letters.
KEYWORDS_IN_NAMES = 26
INDEX = (b"dovecot.index", b"dovecot.index.log")
TICK_S = 0.05  # the kernel's clock for files ticks every 1 to 10 ms
COARSE_S = 2.0  # file systems that count whole seconds, or two
CHUNK = 200

out = sys.stdout


def say(kind, **values):
    values["kind"] = kind
    out.write(json.dumps(values, separators=(",", ":")))
    out.write("\n")


def text(name):
    return os.fsdecode(name)


def names_digest(names):
    """Of the names in a directory, in whatever order they are given; mailmove.folders has the same."""
    return hashlib.sha256(b"/".join(sorted(names))).hexdigest()[:24]


def digest(words):
    return hashlib.sha256(repr(words).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def settled(changed_ns, now):
    """Whether a change from now on is sure to bring another time than this one."""
    age = now - changed_ns / 1e9
    return age > (TICK_S if changed_ns % 1000000 else COARSE_S)


def keywords_are_full(path):
    """Whether a folder has as many keywords as the names of its letters can hold, or more."""
    try:
        with open(os.path.join(path, b"dovecot-keywords"), "rb") as file:
            return sum(1 for line in file if line[:1].isdigit()) >= KEYWORDS_IN_NAMES
    except OSError:
        return False


def holds_letters(path, names):
    """Is this the directory of a folder, so that its cur and new hold letters and its tmp nothing of worth."""
    return {b"cur", b"new"} <= names


class Ahead:
    """Reads ahead of whoever goes through many directories, if they have to come from the disk: it finds several at once.

    Where they are in memory it does nothing. ``read`` is given one path after the other, and may do whatever makes its
    like read the same later.
    """

    THREADS = 8
    OFTEN = 16  # directories from one glance at what the disk had to do to the next
    READS = 4  # in so many directories: it is worth it

    def __init__(self, paths, read):
        self.paths = list(reversed(paths))  # taken from the end
        self.read = read
        self.count = 0
        self.before = resource.getrusage(resource.RUSAGE_SELF).ru_inblock

    def step(self):
        """Called for each directory."""
        self.count += 1
        if self.count % self.OFTEN or not self.paths:
            return
        now = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
        if now - self.before >= self.READS * 8:  # of 512 bytes each
            self.OFTEN = sys.maxsize
            for _ in range(self.THREADS):
                threading.Thread(target=self.go, daemon=True).start()
        self.before = now

    def go(self):
        while True:
            try:
                path = self.paths.pop()
            except IndexError:
                return
            try:
                self.read(path)
            except OSError:
                pass

    def stop(self):
        self.paths.clear()


class Look:
    """One look at a store."""

    def __init__(self, wanted):
        self.root = os.fsencode(wanted["root"].rstrip("/"))
        self.skip = tuple(os.fsencode(prefix) for prefix in wanted["skip"])
        self.domains_skipped = {os.fsencode(name) for name in wanted["domains_skipped"]}

    def left_out(self, depth, name):
        """What lies in the root and is no mailbox, and mailmove's own probes: as the copy leaves them out."""
        if depth == 0:
            return name[:1] == b"." or name == b"lost+found" or name in self.domains_skipped
        return depth == 1 and name.startswith(self.skip)

    def entries(self, path, depth):
        """([(name, entry)] of what counts in a directory that holds no letters, by name; whether the index counts)."""
        with os.scandir(path) as found:
            every = {each.name: each for each in found}
        if depth < 2:
            every = {name: each for name, each in every.items() if not self.left_out(depth, name)}
        full = b"dovecot-keywords" in every and keywords_are_full(path)
        disposable = DISPOSABLE.match
        return [(n, every[n]) for n in sorted(every) if not disposable(n) or (full and n in INDEX)], full

    def of_letters(self, path):
        """(signature, settled, device) of a cur or new: its own times tell."""
        now = time.time()
        info = os.lstat(path)
        words = (info.st_ino, info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_ctime_ns)
        return digest(words), settled(info.st_ctime_ns, now), info.st_dev

    def of_others(self, path, depth):
        """(signature, settled, device, names of the directories in it) of any other directory: all that lies in it tells."""
        now = time.time()
        info = os.lstat(path)
        words = [(info.st_ino, info.st_mode, info.st_uid, info.st_gid)]
        last, inner = info.st_ctime_ns, []
        every, full = self.entries(path, depth)
        for name, entry in every:
            if entry.is_dir(follow_symlinks=False):
                words.append((name, entry.inode()))
                inner.append(name)
            else:
                what = entry.stat(follow_symlinks=False)
                last = max(last, what.st_ctime_ns)
                words.append(
                    (name, what.st_ino, what.st_mode, what.st_uid, what.st_gid)
                    + (what.st_size, what.st_mtime_ns, what.st_ctime_ns)
                )
        return digest(words), settled(last, now) and not full, info.st_dev, inner

    def read(self, path):
        """What a look at a directory reads."""
        full = os.path.join(self.root, os.fsencode(path))
        os.lstat(full)
        if os.path.basename(full) not in (b"cur", b"new"):
            self.entries(full, path.count("/") + 1 if path else 0)
            with os.scandir(full) as found:
                for each in found:
                    each.is_dir(follow_symlinks=False) or each.stat(follow_symlinks=False)

    def every(self):
        """(path below root, signature, settled, is a mount) of every directory."""
        todo = [(b"", 0, None)]
        root = self.root + b"/"
        while todo:
            relative, depth, above = todo.pop()
            path = root + relative if relative else self.root
            try:
                signature, good, device, inner = self.of_others(path, depth)
            except (FileNotFoundError, NotADirectoryError):
                continue  # renamed or deleted meanwhile: the directory above is not as it was
            yield relative, signature, good, above is not None and device != above
            maildir = holds_letters(path, set(inner))
            for name in inner:
                below = relative + b"/" + name if relative else name
                if maildir and name in (b"cur", b"new"):
                    try:
                        signature, good, there = self.of_letters(root + below)
                    except FileNotFoundError:
                        continue
                    yield below, signature, good, there != device
                elif not (maildir and name == b"tmp"):
                    todo.append((below, depth + 1, device))


def look(wanted):
    """Returns the paths that are not as known."""
    begin = time.monotonic()
    known = wanted["known"]
    seen, mounts, rows, changed, count = set(), [], [], [], 0
    at = Look(wanted)
    ahead = Ahead(sorted(known), at.read)
    for relative, signature, good, mount in at.every():
        ahead.step()
        path = text(relative)
        count += 1
        if mount:
            mounts.append(path)
        before = known.get(path)
        if before is not None:
            seen.add(path)
        if before != signature:
            changed.append(path)
            rows.append([path, signature, good])
            if len(rows) >= CHUNK:
                say("directories", rows=rows)
                rows = []
    if rows:
        say("directories", rows=rows)
    ahead.stop()
    gone = sorted(path for path in known if path not in seen)
    unexpected = sorted(unlike(wanted["root"], wanted.get("expected", {})))
    seconds = round(time.monotonic() - begin, 4)
    say("end", directories=count, gone=gone, mounts=mounts, unexpected=unexpected, seconds=seconds)
    return changed + gone


def unlike(root, expected):
    """The directories that hold other files than is expected of them."""
    for path, names in expected.items():
        try:
            with os.scandir(os.path.join(os.fsencode(root), os.fsencode(path))) as found:
                there = [each.name for each in found if not each.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            there = []
        if names_digest(there) != names:
            yield path


SIZE = re.compile(rb",S=(\d+)")
GUESS = 20000  # bytes of a letter whose name tells no size


def has_attributes(path):
    """ACLs are extended attributes, too. A file system that has none says so by an error."""
    try:
        return bool(os.listxattr(path, follow_symlinks=False))
    except OSError:
        return False


def weigh(wanted):
    """How much mail each home has, read from names alone."""
    at = Look(wanted)
    homes = {}
    for relative, _, _, _ in at.every():
        parts = relative.split(b"/")
        if len(parts) < 2:
            continue
        sums = homes.setdefault(b"/".join(parts[:2]), [0, 0, False])
        path = os.path.join(at.root, relative)
        sums[2] = sums[2] or has_attributes(path)
        if parts[-1] in (b"cur", b"new") and is_of_letters(path):
            try:
                names = os.listdir(path)
            except FileNotFoundError:
                continue
            sums[0] += len(names)
            for name in names:
                size = SIZE.search(name)
                sums[1] += int(size.group(1)) if size else GUESS
                sums[2] = sums[2] or has_attributes(os.path.join(path, name))
    for home, (letters, size, attributes) in sorted(homes.items()):
        say("home", path=text(home), letters=letters, bytes=size, attributes=attributes)


def kind(entry):
    if entry.is_file(follow_symlinks=False):
        return "f"
    if entry.is_symlink():
        return "l"
    return "d" if entry.is_dir(follow_symlinks=False) else "o"


def control(folder):
    """What tells the UIDs and keywords of a folder's letters, beside their names."""
    total = hashlib.sha256()
    for name in (b"dovecot-uidlist", b"dovecot-keywords"):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                total.update(b"%s %d " % (name, os.fstat(file.fileno()).st_size) + file.read())
        except FileNotFoundError:
            pass
    return total.hexdigest()


def is_of_letters(path):
    above = os.path.dirname(path)
    return os.path.basename(path) in (b"cur", b"new") and all(
        os.path.isdir(os.path.join(above, name)) for name in (b"cur", b"new")
    )


def listed(wanted, paths):
    at = Look(wanted)

    def read(path):
        os.listdir(os.path.join(at.root, os.fsencode(path)))
        control(os.path.join(at.root, os.fsencode(os.path.dirname(path))))

    ahead = Ahead(paths, read)
    for path in paths:
        ahead.step()
        relative = os.fsencode(path)
        full = os.path.join(at.root, relative) if relative else at.root
        depth = 0 if not relative else relative.count(b"/") + 1
        letters = is_of_letters(full)
        try:
            if os.path.islink(full):
                raise NotADirectoryError
            if letters:
                signature, _, _ = at.of_letters(full)
                with os.scandir(full) as found:
                    rows = [(text(each.name), kind(each)) for each in found]
                told = control(os.path.dirname(full))
            else:
                signature, _, _, _ = at.of_others(full, depth)
                rows = [(text(name), kind(each)) for name, each in at.entries(full, depth)[0]]
                told = control(full)
        except (FileNotFoundError, NotADirectoryError):
            say("listed", path=path, there=False, letters=letters, signature="", files=[], others=[], control="")
            continue
        files = [name for name, what in rows if what == "f"]
        if letters and wanted.get("digests"):
            files = [digest(sorted(files))]
        others = [row for row in rows if row[1] != "f"]
        say(
            "listed",
            path=path,
            there=True,
            letters=letters,
            signature=signature,
            files=files,
            others=others,
            control=told,
        )


def linked(wanted):
    """Names in directories tell the inode: no letter is asked but those in question."""
    root = os.fsencode(wanted["root"].rstrip("/"))
    homes = {}
    for path in wanted["linked"]:
        try:
            info = os.lstat(os.path.join(root, os.fsencode(path)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        if info.st_nlink > 1 and stat.S_ISREG(info.st_mode):
            home = b"/".join(os.fsencode(path).split(b"/")[:2])
            homes.setdefault(home, {}).setdefault((info.st_dev, info.st_ino), []).append(path)
    for home, wanted_there in sorted(homes.items()):
        inodes = {inode for _, inode in wanted_there}
        found = {}
        for place in letters_below(os.path.join(root, home)):
            try:
                with os.scandir(place) as entries:
                    near = [each.path for each in entries if each.inode() in inodes]
            except (FileNotFoundError, NotADirectoryError):
                continue
            for path in near:
                try:
                    info = os.lstat(path)
                except FileNotFoundError:
                    continue
                found.setdefault((info.st_dev, info.st_ino), []).append(text(path[len(root) + 1 :]))
        for key, paths in wanted_there.items():
            for path in paths:
                others = sorted(other for other in found.get(key, ()) if other != path)
                if others:
                    say("linked", path=path, others=others)


def letters_below(home):
    """Every cur and new of a home."""
    for place, inner, _ in os.walk(home):
        if holds_letters(place, set(inner)):
            yield os.path.join(place, b"cur")
            yield os.path.join(place, b"new")
            inner[:] = [name for name in inner if name not in (b"cur", b"new", b"tmp")]


def file_system(path):
    """The type of the file system a path is on (/proc/self/mounts, the longest mount point that leads to it)."""
    best, system = b"", ""
    try:
        with open("/proc/self/mounts", "rb") as mounts:
            for line in mounts:
                words = line.split()
                point = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8)]), words[1])
                inside = path == point or path.startswith(point.rstrip(b"/") + b"/")
                if inside and len(point) >= len(best):
                    best, system = point, words[2].decode("ascii", "replace")
    except OSError:
        pass
    return system


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    root = wanted["root"] = os.path.realpath(wanted["root"])  # it may be a link to another disk
    try:
        info = os.stat(root)
    except OSError as error:
        sys.exit("the mail root %s cannot be read: %s" % (root, error.strerror))
    if not stat.S_ISDIR(info.st_mode):
        sys.exit("the mail root %s is no directory" % root)
    if wanted.get("list") is not None:
        listed(wanted, wanted["list"])
        return
    if wanted.get("weigh"):
        weigh(wanted)
        return
    if wanted.get("linked") is not None:
        linked(wanted)
        return
    try:
        with open("/etc/machine-id") as file:
            machine = file.read().strip()
    except OSError:
        machine = ""
    system = file_system(os.fsencode(os.path.realpath(root)))
    say("begin", root=root, machine=machine, inode=info.st_ino, system=system, clock=time.time())
    changed = look(wanted)
    if wanted.get("names"):
        listed(wanted, changed)


if __name__ == "__main__":
    main()
