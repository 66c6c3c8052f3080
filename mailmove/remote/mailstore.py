"""Reads a mail store and tells all that is in it, in an order two stores can be merged by. Writes nothing.

In: {"root", "maildir": name of the Maildir in a home, "layout": "" or "fs", "depth": "names" | "stat" | "hash",
     "skip": [name prefixes of users], "domains_skipped": [...], "users": [...] or null, "beside": also the files beside the
     domains, if users are named; "since": seconds since 1970 or null,
     "only": {home: {folder: [base names] or null}} or null: nothing but these homes and folders (paths below root); of a
     folder's letters only those named are looked into, of the others their names tell UID, flags and keywords,
     "alike": [folders] or absent: of these, the others are only counted,
     "as_read": of letters the digest of what people read: not packed, and with one kind of line ends; or absent,
     "describe": [[path of a folder, base name], ...] or absent}
Out, one object a line:
  begin         root, machine, device, inode, clock: which store this is
  user          user, home, there (has a Maildir), files {path: [digest or "-> target", changed, owner]} of what lies beside the
                Maildir (the digest of a compiled script is EARLIER, if Dovecot takes it for one of today's), others (of depth "hash") the same of what lies in it and is neither a letter nor Dovecot's own,
                places {path: owner} of the directories beside the Maildir ("" is the home; ".." its domain's, told of one home of
                each), subscriptions [..], subscribed (when they last changed), deleted [guids of folders deleted or renamed, and when]
  folder        user, folder (raw name, "" is INBOX), path, valid, uidvalidity, guid, next, full (has keywords that are in its
                index only, or may have), control {file: digest}, broken (what is wrong with its UID list, so that Dovecot
                gives other UIDs), owners {"", "cur", "new", "tmp": owner}, files {of Dovecot's: owner}
  letters       rows of the folder named before, each in the order of ROW, and in the order of APART what two equal stores
                need not agree on; all files of one base name come in one line
  untold        letters: how many others the folder named before has, if it is one of those alike
  odd           path, what: not followed, not understood
  end           users, folders, letters, bytes
An owner is "user:group mode", and what ACLs and extended attributes it has. Users, folders and letters come sorted by the bytes of their names. Bytes that are no UTF-8 travel as surrogates.
"""

import bz2
import errno
import grp
import hashlib
import json
import lzma
import os
import pwd
import re
import stat
import struct
import sys
import time
import zlib

ROW = ("base", "uid", "flags", "keywords", "mtime", "size", "digest", "owner", "uidl")
APART = ("where", "changed", "sizes")  # sizes: those in the UID list, where the name tells none
CHUNK = 100  # letters a line: few enough to stay small, many enough to be quick
BLOCK = 1 << 20
MOST = 1 << 28  # bytes of a packed letter: what is larger unpacked is taken as it lies there
LINE_END = re.compile(rb"\r+\n")
# What Dovecot makes again by itself, and what it holds only for a moment; as in look.py.
DISPOSABLE = re.compile(
    rb"^(dovecot\.index(?!\.pvt(\.log(\.2)?)?$).*|dovecot\.list\.index.*|dovecot-acl-list|.*\.lock|dovecot\.mailbox\.log.*"
    rb"|.*\.svbin|maildirsize)$"
)
COMPILED = re.compile(rb"^(.*)\.svbin$")
EARLIER = "of an earlier script"
LATELY_S = 2  # a script that is copied later than that after it was compiled is another one
CONTROL = (b"dovecot-acl", b"maildirfolder")
OWNED = (
    b"dovecot-uidlist",
    b"dovecot-keywords",
    b"dovecot-acl",
    b"maildirfolder",
    b"subscriptions",
    b"dovecot-uidvalidity",
)
# In a Maildir: compared by what they say, or of use to nobody once Dovecot looks.
DOVECOTS = re.compile(
    rb"^(dovecot-uidlist|dovecot-keywords|dovecot-acl|maildirfolder|subscriptions|dovecot-uidvalidity.*)$"
)
# A folder's keywords after the 26th are in its index only: there, the index is no less than the letters.
KEYWORDS_IN_NAMES = 26
INDEX = (b"dovecot.index", b"dovecot.index.log")
RETRIES = 3
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NOATIME = getattr(os, "O_NOATIME", 0)
SIZE = re.compile(rb",S=(\d+)")
# As which letters begin that Dovecot stored compressed (gz, bz2, xz, zstd, lz4) or encrypted: their names tell their own sizes
STORED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"Dovecot-LZ4", b"CRYPTED\x03\x07")
NAMED = object()

out = sys.stdout
owners = {}
plain_devices = set()  # file systems without extended attributes
store = {"root": b"", "as_read": False}
counts = {"users": 0, "folders": 0, "letters": 0, "bytes": 0}


def say(kind, **values):
    values["kind"] = kind
    out.write(json.dumps(values, separators=(",", ":")))
    out.write("\n")


def text(name):
    return str(name, "utf-8", "surrogateescape")


def raw(name):
    return name.encode("utf-8", "surrogateescape")


def odd(path, what):
    say("odd", path=text(path), what=what)


def owner(info, at=None):
    """Whose it is; ``at``: its path, or a handle of it, to tell what else says who may do what with it."""
    key = (info.st_uid, info.st_gid, info.st_mode)
    if key not in owners:
        try:
            user = pwd.getpwuid(info.st_uid).pw_name
        except KeyError:
            user = str(info.st_uid)
        try:
            group = grp.getgrgid(info.st_gid).gr_name
        except KeyError:
            group = str(info.st_gid)
        owners[key] = "%s:%s %o" % (user, group, stat.S_IMODE(info.st_mode))
    more = "" if at is None or info.st_dev in plain_devices else attributes(at, info.st_dev)
    return owners[key] + more


def attributes(at, device):
    """ACLs and what people's programs wrote beside the bytes; what the system itself keeps there is not asked for."""
    words = []
    try:
        for name in sorted(os.listxattr(at, **({} if isinstance(at, int) else {"follow_symlinks": False}))):
            if name.startswith("user."):
                words.append((name, os.getxattr(at, name)))
            elif name.startswith("system.posix_acl"):
                words.append((name, acl(os.getxattr(at, name))))
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):
            plain_devices.add(device)
    return " attributes " + hashlib.sha256(repr(words).encode()).hexdigest()[:12] if words else ""


def acl(value):
    """With the names of users and groups: their numbers may be others on another server (acl(5), and the kernel's posix_acl_xattr.h)."""
    found = []
    for tag, may, number in struct.iter_unpack("<HHI", value[4 : 4 + (len(value) - 4) // 8 * 8]):
        find = {2: lambda n: pwd.getpwuid(n).pw_name, 8: lambda n: grp.getgrgid(n).gr_name}.get(tag)
        try:
            found.append((tag, may, find(number) if find else ""))
        except KeyError:
            found.append((tag, may, str(number)))
    return sorted(found)


def opened(path, directory=None):
    """A regular file to read: no link is followed, no pipe waited for, and its time of access stays."""
    try:
        return os.open(path, READ | NOATIME, dir_fd=directory)
    except PermissionError:
        return os.open(path, READ, dir_fd=directory)


def digest(path, size=-1, directory=None, info=None):
    """SHA-256 of a file's bytes; with ``info``, and whose it is. A ``size`` that is known saves asking twice whether that was all."""
    handle = opened(path, directory)
    try:
        value = bytes_of(handle, size)
        return value if info is None else (value, owner(info, handle))
    finally:
        os.close(handle)


def bytes_of(handle, size):
    """SHA-256 of what is left to read."""
    if 0 <= size < BLOCK:
        data = os.read(handle, size + 1)
        if len(data) == size:
            return hashlib.sha256(data).hexdigest()
        os.lseek(handle, 0, os.SEEK_SET)
    total = hashlib.sha256()
    while True:
        data = os.read(handle, BLOCK)
        if not data:
            return total.hexdigest()
        total.update(data)


def read_digest(name, directory, info):
    """Of what people read of a letter, and whose it is: Dovecot may store a copy of it packed, or with other line ends."""
    handle = opened(name, directory)
    with os.fdopen(handle, "rb") as file:
        data = file.read()
        plain = plainly(data, MOST)
        plain = data if len(plain) == MOST else plain
        return hashlib.sha256(LINE_END.sub(b"\n", plain)).hexdigest(), owner(info, file.fileno())


def content(path):
    handle = opened(path)
    with os.fdopen(handle, "rb") as file:
        return file.read()


def entries(path):
    """The entries of a directory by name; none if it went away."""
    try:
        with os.scandir(path) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def real_directory(entry, root):
    """Whether it is a directory of its own; links are told, never followed."""
    if entry.is_symlink():
        target = os.path.realpath(entry.path)
        inside = target == root or target.startswith(root + b"/")
        where = "a link to elsewhere in the store: " if inside else "a link out of the store: "
        odd(entry.path, where + text(os.readlink(entry.path)))
        return False
    return entry.is_dir(follow_symlinks=False)


def uidlist(path, among=None):
    """(uidvalidity, next uid, guid, {base name: (uid, POP3 UIDL, sizes)}, what is wrong with it) of dovecot-uidlist, version 1 or 3.

    ``among``: of these letters alone, and nothing is found wrong.
    """
    try:
        data = content(os.path.join(path, b"dovecot-uidlist"))
    except FileNotFoundError:
        return None, None, "", {}, ""
    whole = among is None
    lines = data.split(b"\n") if whole or data[:2] != b"3 " else only_those(data, among) + [b""]
    cut = lines.pop()  # what follows the last line's end, Dovecot does not read
    head = lines[0].split() if lines else []
    validity, after, guid, broken = None, None, "", ""
    try:
        if head and head[0] == b"3":
            for word in head[1:]:
                if word[:1] == b"V":
                    validity = int(word[1:])
                elif word[:1] == b"N":
                    after = int(word[1:])
                elif word[:1] == b"G":
                    guid = text(word[1:])
        elif head and head[0] == b"1":
            validity, after = int(head[1]), int(head[2])
        else:
            broken = "no first line that is understood"
    except (ValueError, IndexError):
        broken = "no first line that is understood"
    if validity == 0:
        broken = "UIDVALIDITY 0"
    if cut and whole and not broken:
        broken = "a last line that is cut off"
    known, last = {}, 0
    first = after if head[:1] == [b"1"] else None  # in version 1, UIDs from there on are none
    for number, line in enumerate(lines[1:], 2):
        before, colon, name = line.partition(b" :")
        if not colon:
            before, _, name = line.partition(b" ")
        words = before.split()
        if not words or not name or not words[0].isdigit():
            if whole:
                broken = "a line %d that names no letter" % number
            continue
        uid, base = int(words[0]), name.split(b":")[0]
        if whole and uid <= last:
            broken = "UID %d after %d" % (uid, last)
        elif whole and first is not None and uid >= first:
            broken = "UID %d, and %d as its next" % (uid, first)
        last = uid
        known[base] = (uid, *(pop3(words[1:]) if len(words) > 1 else ("", "")))
        if after is not None:
            # Dovecot adds letters at the end, and sets the first line right only when it writes all anew
            after = max(after, uid + 1)
    if broken:
        words = "its UID list has %s: Dovecot gives other UIDs when the folder is opened, on whichever server" % broken
        odd(os.path.join(path, b"dovecot-uidlist"), words)
    return validity, after, guid, known, broken


def pop3(words):
    """(What POP3 clients know a letter by, where it is not its UID: its UIDL, then its place among the others and its GUID;
    its sizes, where its name does not tell them)."""
    found = {word[:1]: text(word[1:]) for word in words}
    known = ", ".join(
        name + found[key] for key, name in ((b"P", ""), (b"O", "order "), (b"G", "GUID ")) if key in found
    )
    return known, " ".join(text(key) + found[key] for key in (b"S", b"W") if key in found)


def only_those(data, among):
    """The first line of a dovecot-uidlist, and those of the letters with these base names: a few of many."""
    data = data[: data.rfind(b"\n") + 1]
    lines = [data[: data.find(b"\n")]]
    for base in among:
        at = len(data)
        while at > 0:
            at = data.rfind(b" :" + base, 0, at)  # the last one counts
            end = at + 2 + len(base)
            if at >= 0 and data[end : end + 1] in (b"\n", b":"):
                lines.append(data[data.rfind(b"\n", 0, at) + 1 : data.find(b"\n", at)])
                break
    return lines


def keyword_names(path):
    try:
        lines = content(os.path.join(path, b"dovecot-keywords")).split(b"\n")
    except FileNotFoundError:
        return {}
    names, seen = {}, set()
    for line in lines[:-1]:  # of a last line that is cut off Dovecot takes nothing, nor of a name that was there before
        number, _, name = line.partition(b" ")
        if number.isdigit() and name and name.lower() not in seen:
            names[97 + int(number)] = text(name)
            seen.add(name.lower())
    return names


class Cur:
    """A folder's directory cur or new, held open: a letter in it is a short way off, many thousand times."""

    def __init__(self, path, where):
        self.where = text(where)
        self.path = os.path.join(path, where)
        try:
            self.handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.handle is not None:
            os.close(self.handle)

    def scan(self, found, among, untold=None):
        """Add its letters: base name -> [(self, name, stat)]; stat is NAMED for those not ``among`` the wanted, if ``untold``
        does not take them."""
        if self.handle is None:
            return
        told = {os.fsdecode(base) for base in among} if untold is not None else ()
        with os.scandir(self.handle) as entries:
            for entry in entries:
                if untold is not None:  # of most letters there is nothing to do but to count them
                    word = entry.name.partition(":")[0]
                    if word not in told and word[:1] != "." and entry.is_file(follow_symlinks=False):
                        untold.add(word)
                        continue
                name = os.fsencode(entry.name)  # by a handle, they come as text
                if name[:1] == b".":
                    continue
                base = name.split(b":")[0]
                if among is not None and base not in among and entry.is_file(follow_symlinks=False):
                    found.setdefault(base, []).append((self, name, NAMED))
                    continue
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    found.setdefault(base, []).append((self, name, None))
                    continue
                if not stat.S_ISREG(info.st_mode):
                    info = self.no_letter(name, info)
                    if info is None:
                        continue
                found.setdefault(base, []).append((self, name, info))

    def no_letter(self, name, info):
        """Tells what lies among letters and is no file; what it is, if Dovecot shows it all the same: a link within the store."""
        path = os.path.join(self.path, name)
        if stat.S_ISDIR(info.st_mode):
            odd(
                path,
                "a directory among letters, not copied: Dovecot puts it beside them, called extra-…, when the folder is opened",
            )
        elif stat.S_ISLNK(info.st_mode):
            if os.path.realpath(path).startswith(store["root"] + b"/"):
                odd(path, "a letter that is a link: " + text(os.readlink(path)))
                try:
                    there = os.stat(path)
                    return there if stat.S_ISREG(there.st_mode) else None
                except OSError:
                    return info
            odd(path, "a link out of the store, not a letter: " + text(os.readlink(path)))
        else:
            odd(path, "not a file")
        return None

    def located(self, base):
        """Where a letter is now: its flags, or its move from new to cur, change its name."""
        found = {}
        self.scan(found, (base,))
        return [place for place in found.get(base, ()) if place[2] is not None]


class Marks:
    """The flags and keywords in a file's name, for one folder: there are few kinds in it."""

    def __init__(self, names):
        self.names = names
        self.known = {}

    def __getitem__(self, marks):
        if marks not in self.known:
            flags = "".join(sorted({chr(c) for c in marks if 65 <= c <= 90}))
            # A letter that stands for no keyword: so Dovecot calls it, and writes it down when it next looks
            words = sorted(self.names.get(c, "unknown-%d" % (c - 97)) for c in set(marks) if 97 <= c <= 122)
            self.known[marks] = flags, words
        return self.known[marks]


def row(base, place, uids, marks, depth):
    """A letter's row, and its row of what is told apart."""
    cur, name, info = place
    # Behind a further comma other programs may keep what is theirs
    said = name.rpartition(b":")[2]
    flags, words = marks[said[2:].partition(b",")[0] if b":" in name and said[:2] == b"2," else b""]
    uid, uidl, sizes = uids.get(base, (None, "", ""))
    if info is NAMED:
        return [text(base), uid, flags, words, 0, 0, "", "", uidl], [cur.where, 0, sizes]
    try:
        if depth != "hash":
            value, owned = "", owner(info)
        elif store["as_read"]:
            value, owned = read_digest(name, cur.handle, info)
        else:
            value, owned = digest(name, info.st_size, cur.handle, info)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        value, owned = "-> " + text(os.readlink(name, dir_fd=cur.handle)), owner(info)  # itself it is not followed
    size = SIZE.search(base)
    if size and int(size.group(1)) != info.st_size and not is_stored_otherwise(name, cur.handle):
        words_of_it = "its name says %d bytes, it has %d" % (int(size.group(1)), info.st_size)
        odd(os.path.join(cur.path, name), words_of_it)
    counts["bytes"] += info.st_size
    mtime = info.st_mtime_ns // 10**9
    return (
        [text(base), uid, flags, words, mtime, info.st_size, value, owned, uidl],
        [cur.where, info.st_ctime, sizes],
    )


def is_stored_otherwise(name, directory):
    """Whether a letter lies there compressed or encrypted."""
    try:
        handle = opened(name, directory)
    except OSError:
        return False
    try:
        return os.read(handle, 16).startswith(STORED)
    finally:
        os.close(handle)


def letters(path, uids, names, depth, among, alike):
    with Cur(path, b"cur") as cur, Cur(path, b"new") as new:
        found, untold = {}, set() if alike and among is not None else None
        for place in (cur, new):
            place.scan(found, frozenset() if depth == "names" else among, untold)
        if untold:
            counts["letters"] += len(untold)
            say("untold", letters=len(untold))
        rows, apart, marks = [], [], Marks(names)
        for base in sorted(found):
            places = found[base]
            if depth == "names":
                made = [([text(base)], [places[0][0].where])]
            else:
                made = together(base, places, (cur, new), uids, marks, depth)
            for each, beside in made:
                rows.append(each)
                apart.append(beside)
            counts["letters"] += len(made)
            if len(rows) >= CHUNK:
                say("letters", rows=rows, apart=apart)
                rows, apart = [], []
        if rows:
            say("letters", rows=rows, apart=apart)


def together(base, places, both, uids, marks, depth):
    """The rows of all files of one base name."""
    for _ in range(RETRIES):
        try:
            if len(places) > 1:
                places = sorted(places, key=lambda place: (place[0].where, place[1]))
            if any(info is None for _, _, info in places):
                raise FileNotFoundError
            return [row(base, place, uids, marks, depth) for place in places]
        except FileNotFoundError:
            places = [place for cur in both for place in cur.located(base)]  # renamed meanwhile, or gone
    return []


def folder(user, name, path, depth, among=None, alike=False):
    counts["folders"] += 1
    valid = os.path.isdir(os.path.join(path, b"cur"))
    if depth == "names":
        validity, after, guid, uids, broken, names = None, None, "", {}, "", {}
    else:
        validity, after, guid, uids, broken = uidlist(path, among if alike else None)
        names = keyword_names(path)
    control = {}
    full = len(names) >= KEYWORDS_IN_NAMES
    if depth != "names":
        for file in CONTROL + (INDEX if full else ()):
            try:
                control[text(file)] = digest(os.path.join(path, file))
            except FileNotFoundError:
                pass
    owned, files = {}, {}
    for inner in (b"", b"cur", b"new", b"tmp") + OWNED:
        at = os.path.join(path, inner)
        try:
            (files if inner in OWNED else owned)[text(inner)] = owner(os.lstat(at), at)
        except FileNotFoundError:
            pass
    say(
        "folder",
        user=user,
        folder=text(name),
        path=text(path),
        valid=valid,
        uidvalidity=validity,
        guid=guid,
        full=full,
        next=after,
        control=control,
        broken=broken,
        owners=owned,
        files=files,
    )
    letters(path, uids, names, depth, among, alike)


def folders(maildir, layout, root):
    """(raw name, path) of each folder, INBOX ("") first, sorted by name."""
    found = [(b"", maildir)]
    if layout != "fs":
        for entry in entries(maildir):
            if entry.name[:1] == b"." and real_directory(entry, root):
                found.append((entry.name[1:], entry.path))
        return found

    def walk(name, path):
        for entry in entries(path):
            if entry.name in (b"cur", b"new", b"tmp") or not real_directory(entry, root):
                continue
            inner = name + (b"/" if name else b"") + entry.name
            found.append((inner, entry.path))
            walk(inner, entry.path)

    walk(b"", maildir)
    return sorted(found)


class Files:
    """What a home holds besides letters: Sieve scripts, the link to the active one, and anything people or programs put there.

    ``beside`` the Maildir and inside it (``others``), by path in the home, with their digests unless only names were asked
    for; and whose the directories beside it are (``places``). Of what lies inside, names alone tell nothing.
    """

    def __init__(self, home, maildir, root, depth):
        self.home, self.maildir, self.root, self.depth = home, maildir, root, depth
        self.beside, self.others, self.places = {}, {}, {}
        if maildir != home:
            self.walk(home, self.beside)
        if maildir and depth == "hash":
            self.walk(maildir, self.others)

    def place(self, name, path):
        try:
            self.places[name] = owner(os.lstat(path), path)
        except FileNotFoundError:
            pass

    def relative(self, path):
        return text(os.path.relpath(path, self.home)) if path != self.home else ""

    def walk(self, path, found):
        every = entries(path)
        names = {entry.name for entry in every}
        inside = found is self.others
        folder = inside and (path == self.maildir or names & {b"cur", b"new"})
        if not inside:
            self.place(self.relative(path), path)
        for entry in every:
            if COMPILED.match(entry.name) and self.depth == "hash":
                self.compiled(entry, found)
            if DISPOSABLE.match(entry.name) or (folder and DOVECOTS.match(entry.name)):
                continue
            if not inside and entry.path == self.maildir:
                continue
            if entry.is_symlink():
                self.link(entry, found, told=inside and entry.name[:1] == b".")
            elif entry.is_dir(follow_symlinks=False):
                if inside and entry.name == b"tmp":
                    continue
                if not folder or entry.name not in (b"cur", b"new"):
                    self.walk(entry.path, found)
            elif entry.is_file(follow_symlinks=False):
                try:
                    info = entry.stat(follow_symlinks=False)
                    value = "" if self.depth == "names" else digest(entry.path)
                    found[self.relative(entry.path)] = [value, info.st_ctime, owner(info, entry.path)]
                except FileNotFoundError:
                    pass
            else:
                odd(entry.path, "not a file")

    def compiled(self, entry, found):
        """Of a compiled script: is it of an earlier one, and does Pigeonhole believe it all the same, by the times of both?"""
        script = COMPILED.match(entry.path).group(1) + b".sieve"
        try:
            binary, places = entry.stat(), (os.stat(script), os.lstat(script))  # which one is active, a link says
        except OSError:
            return
        changed, made = max(each.st_mtime for each in places), max(each.st_ctime for each in places)
        if binary.st_mtime >= changed and max(binary.st_mtime, binary.st_ctime) + LATELY_S < made:
            found[self.relative(entry.path)] = [EARLIER, binary.st_ctime, owner(binary)]

    def link(self, entry, found, told):
        """``told``: whoever looks for folders tells of it."""
        target = os.readlink(entry.path)
        info = entry.stat(follow_symlinks=False)
        found[self.relative(entry.path)] = ["-> " + text(target), info.st_ctime, owner(info)]
        if told:
            return
        real = os.path.realpath(entry.path)
        if not real.startswith(self.root + b"/"):
            odd(entry.path, "a link out of the store: " + text(target))
        elif not os.path.exists(entry.path):
            odd(entry.path, "a link to nothing: " + text(target))


def subscriptions(maildir):
    """(The names of the folders a user is subscribed to, when that changed last). Names in a file of version 2 have tabs."""
    path = os.path.join(maildir, b"subscriptions")
    try:
        lines = content(path).split(b"\n")
        return sorted({text(line) for line in lines if line and not line.startswith(b"V\t")}), os.stat(path).st_ctime
    except FileNotFoundError:
        return [], 0


def deletions(maildir, since):
    """[guid of a folder, time] from dovecot.mailbox.log: records of type, 3 bytes, guid, time (mailbox-log.c)."""
    found = []
    for name in (b"dovecot.mailbox.log", b"dovecot.mailbox.log.2"):
        try:
            data = content(os.path.join(maildir, name))
        except FileNotFoundError:
            continue
        for start in range(0, len(data) - 23, 24):
            at = int.from_bytes(data[start + 20 : start + 24], "big")
            if data[start] in (1, 3) and at >= int(since):
                found.append([data[start + 4 : start + 20].hex(), at])
    return found


def users(wanted):
    root = raw(wanted["root"].rstrip("/"))
    wanted["alike"] = frozenset(wanted.get("alike") or ())
    chosen = set(wanted["users"]) if wanted.get("users") is not None else None
    for domain in entries(root):
        name = text(domain.name)
        if name in wanted["domains_skipped"] or name[:1] == "." or name == "lost+found":
            continue  # the owner's own shell files, and the file system's: no mailboxes
        if not real_directory(domain, root):
            beside = chosen is None or wanted.get("beside")
            if not domain.is_symlink() and not DISPOSABLE.match(domain.name) and wanted["depth"] != "names" and beside:
                say("user", user="", home=name, there=True, files={name: plain(domain.path)})
            continue
        first = True
        for local in entries(domain.path):
            user = "%s@%s" % (text(local.name), name)
            if any(user.startswith(prefix) for prefix in wanted["skip"]) or (chosen is not None and user not in chosen):
                continue
            if not real_directory(local, root):
                if not local.is_symlink() and not DISPOSABLE.match(local.name):
                    odd(local.path, "a file where only mailboxes should be")
                    if wanted["depth"] != "names" and (chosen is None or wanted.get("beside")):
                        named = below(local.path, root)  # of public folders: who may do what with them
                        say("user", user="", home=named, there=True, files={named: plain(local.path)})
                continue
            if wanted.get("only") is None or below(local.path, root) in wanted["only"]:
                one_user(user, local.path, root, wanted, first)
                first = False


def below(path, root):
    return text(path[len(root) + 1 :])


def plain(path):
    try:
        info = os.lstat(path)
        return [digest(path), info.st_ctime, owner(info)]
    except OSError as error:
        return [error.strerror, 0, ""]


def one_user(user, home, root, wanted, beside):
    """``beside``: the first of its domain."""
    counts["users"] += 1
    depth = wanted["depth"]
    name = raw(wanted["maildir"])
    maildir = os.path.join(home, name) if name else home
    # No home, but a folder among others, in a Maildir beside the domains: those of a public namespace lie so
    public = os.path.basename(home)[:1] == b"." and not os.path.isdir(maildir)
    public = public and all(os.path.isdir(os.path.join(home, leaf)) for leaf in (b"cur", b"new"))
    if public:
        maildir = home
    if os.path.islink(maildir):
        odd(maildir, "a link: " + text(os.readlink(maildir)))
        maildir = b""
    files = Files(home, maildir, root, depth)
    if beside:
        files.place("..", os.path.dirname(home))
    there = bool(maildir) and os.path.isdir(maildir)
    names, changed = subscriptions(maildir) if there and depth != "names" else ([], 0)
    gone = deletions(maildir, wanted["since"]) if there and wanted.get("since") is not None else []
    say(
        "user",
        user=user,
        home=text(home),
        files=files.beside,
        others=files.others,
        places=files.places,
        there=there,
        subscriptions=names,
        subscribed=changed,
        deleted=gone,
    )
    if not there:
        return
    only = wanted["only"][below(home, root)] if wanted.get("only") is not None else None
    for called, path in [(b"", home)] if public else folders(maildir, wanted["layout"], root):
        if only is None:
            folder(user, called, path, depth)
        elif below(path, root) in only:
            bases = only[below(path, root)]
            among = None if bases is None else {raw(base) for base in bases}
            folder(user, called, path, depth, among, below(path, root) in wanted["alike"])


def plainly(data, most=1 << 17):
    """The beginning of a letter, also of one that Dovecot's zlib plugin wrote."""
    readers = {b"\x1f\x8b": lambda: zlib.decompressobj(31), b"BZ": bz2.BZ2Decompressor, b"\xfd7": lzma.LZMADecompressor}
    try:
        return (data[:2] in readers and readers[data[:2]]().decompress(data, most)) or data
    except (zlib.error, OSError, lzma.LZMAError):
        return data


def describe(pairs):
    """What a person knows a letter by."""
    for number, (path, base) in enumerate(pairs):
        head = b""
        with Cur(raw(path), b"cur") as cur, Cur(raw(path), b"new") as new:
            for place, name, _ in [*cur.located(raw(base)), *new.located(raw(base))]:
                try:
                    handle = opened(name, place.handle)
                    head = plainly(os.read(handle, 1 << 17))
                    os.close(handle)
                    break
                except OSError:
                    continue
        head = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
        values = {}
        for field in ("Subject", "Date", "Message-ID"):
            match = re.search(rb"(?im)^" + field.encode() + rb":[ \t]*((?:.*)(?:\r?\n[ \t].*)*)", head)
            values[field] = (
                re.sub(r"\s+", " ", match.group(1).decode("utf-8", "replace")).strip()[:200] if match else ""
            )
        say("letter", number=number, **values)


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    if wanted.get("describe") is not None:
        describe(wanted["describe"])
        return
    root = wanted["root"] = os.path.realpath(wanted["root"])  # it may be a link to another disk
    try:
        info = os.stat(root)
    except OSError as error:
        sys.exit("the mail root %s cannot be read: %s" % (root, error.strerror))
    if not stat.S_ISDIR(info.st_mode):
        sys.exit("the mail root %s is no directory" % root)
    try:
        with open("/etc/machine-id") as file:
            machine = file.read().strip()
    except OSError:
        machine = ""
    say(
        "begin", root=root, machine=machine, device=info.st_dev, inode=info.st_ino, clock=time.time(), owner=owner(info)
    )
    out.flush()
    store.update(root=raw(root), as_read=bool(wanted.get("as_read")))
    users(wanted)
    say("end", **counts)


if __name__ == "__main__":
    main()
