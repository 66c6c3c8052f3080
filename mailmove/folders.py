"""What has to be done to a mail store so that its folders are equal again, from what two looks at them tell.

:mod:`mailmove.remote.look` tells of every directory a signature that changes with all that lies in it. Where both
servers' signatures are those at which the directory was found equal, it is equal still. Everywhere else the names in
it are compared: a letter's file never changes while it keeps its name. What is in doubt is done again.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Fact = dict[str, Any]  # one line of remote/look.py, which describes them

# Where directory times come from another machine's clock, or are remembered for a while.
REMOTE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "gluster", "afs", "virtiofs")


@dataclass
class Known:
    """At which signatures a directory was found equal on both; an empty one is never met again. ``letters``: of a folder."""

    old: str
    new: str
    letters: int = 0


@dataclass
class Look:
    """What one look at a store told: of the directories that are not as they were ``known``."""

    begin: Fact
    changed: dict[str, tuple[str, bool]]  # path -> signature, whether it is settled
    gone: list[str]
    mounts: list[str]
    directories: int
    seconds: float
    unexpected: list[str] = field(default_factory=list)  # in which other names are than were expected

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Look:
        """From the lines of ``remote/look.py``. Raises ValueError when they do not end as they should."""
        begin: Fact = {}
        changed: dict[str, tuple[str, bool]] = {}
        for fact in facts:
            if fact["kind"] == "begin":
                begin = fact
            elif fact["kind"] == "directories":
                changed.update({path: (signature, settled) for path, signature, settled in fact["rows"]})
            elif fact["kind"] == "end" and begin:
                told = ("gone", "mounts", "directories", "seconds", "unexpected")
                return cls(begin, changed, *(fact[name] for name in told))
        raise ValueError("the look was not told to its end")

    @property
    def trusted(self) -> bool:
        """Whether its file system's times can be relied on."""
        return not str(self.begin["system"]).startswith(REMOTE_SYSTEMS)

    def signature(self, path: str, before: str) -> str:
        """What to remember of a directory: empty if it is gone, or changed too lately to be told from a further change."""
        if not self.trusted or path in self.gone:
            return ""
        signature, settled = self.changed.get(path, (before, True))
        return signature if settled else ""


@dataclass
class Record:
    """The directories of a store and at which signatures they were found equal; and of which store that is said."""

    machine: str = ""
    root: str = ""
    inode: int = 0
    mounts: list[str] = field(default_factory=list)
    compared_at: float = 0.0  # when all letters were compared by their bytes, by the operator's clock; 0: not yet
    directories: dict[str, Known] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.directories)

    @property
    def letters(self) -> int:
        return sum(each.letters for each in self.directories.values())

    def known(self, side: str) -> dict[str, str]:
        """path -> signature on a server, for the next look."""
        return {path: getattr(each, side) for path, each in self.directories.items()}

    def plain(self) -> dict[str, Any]:
        """As plain values, for the journal."""
        return {
            **{name: getattr(self, name) for name in ("machine", "root", "inode", "mounts", "compared_at")},
            "directories": {path: [each.old, each.new, each.letters] for path, each in self.directories.items()},
        }

    @classmethod
    def read(cls, raw: Any) -> Record:
        """From the journal. What is missing or damaged is an empty record: everything is in doubt."""
        try:
            directories = {path: Known(str(o), str(n), int(k)) for path, (o, n, k) in raw["directories"].items()}
            names = ("machine", "root", "inode", "mounts", "compared_at")
            return cls(**{name: raw[name] for name in names}, directories=directories)
        except (TypeError, KeyError, ValueError, AttributeError):
            return cls()

    def is_of(self, look: Look) -> bool:
        """Whether it speaks of the store that was looked at."""
        begin = look.begin
        return (self.machine, self.root, self.inode) == (begin["machine"], begin["root"], begin["inode"])

    def begin_anew(self, look: Look) -> None:
        """It is to speak of the store looked at, of which nothing is known."""
        self.machine, self.root, self.inode = (look.begin[key] for key in ("machine", "root", "inode"))
        self.mounts, self.compared_at, self.directories = look.mounts, 0.0, {}

    def doubt(self, paths: Iterable[str], *, wholly: bool = False) -> None:
        """These are to be looked at again; ``wholly``: what lies in them is not known to be equal either."""
        for path in paths:
            if wholly:
                self.directories.pop(path, None)
            elif path in self.directories:
                self.directories[path].old = ""


@dataclass
class Listing:
    """The names in one directory."""

    there: bool
    letters: bool
    signature: str
    names: dict[str, str]  # name -> "f", "d", "l" or "o"
    control: str = ""  # of a folder's directories: a digest of what tells the UIDs and keywords of its letters


NOTHING = Listing(False, False, "", {})


def listings(facts: Iterable[Fact]) -> Iterator[tuple[str, Listing]]:
    """Path and names, from the lines of ``remote/look.py``."""
    for fact in facts:
        names = {**dict.fromkeys(fact["files"], "f"), **dict(fact["others"])}
        yield fact["path"], Listing(fact["there"], fact["letters"], fact["signature"], names, fact["control"])


@dataclass
class Todo:
    """What makes new equal to old. Paths are below the mail root; a letter's is DIRECTORY/cur/NAME."""

    copy: list[str] = field(default_factory=list)  # files, and directories themselves (for their owner and mode)
    rename: list[tuple[str, str]] = field(default_factory=list)  # on new: a letter whose flags changed
    delete: list[str] = field(default_factory=list)  # files on new
    remove: list[str] = field(default_factory=list)  # directories on new, the innermost first
    strangers: list[str] = field(default_factory=list)  # files on new that need not have come from old
    overruled: list[str] = field(
        default_factory=list
    )  # letters on new that were marked there since, and will not be so any more
    touched: dict[str, list[str] | None] = field(default_factory=dict)  # folder -> letters to compare; None: all
    folders: set[str] = field(default_factory=set)  # directories in which anything is to be done
    alike: set[str] = field(default_factory=set)  # folders with the same letters' names, UIDs and keywords on both
    names: dict[str, str] = field(default_factory=dict)  # a folder's cur or new -> digest of the names it then holds

    def __len__(self) -> int:
        return len(self.copy) + len(self.rename) + len(self.delete) + len(self.remove)

    @property
    def letters(self) -> int:
        """How many letters come, go, or have other flags."""
        return sum(is_letter(path) for path in (*self.copy, *self.delete)) + len(self.rename)

    @property
    def letters_deleted(self) -> int:
        """How many letters go."""
        return sum(is_letter(path) for path in self.delete)


def above(path: str) -> str:
    """The directory a path lies in; empty for the mail root."""
    return path.rpartition("/")[0]


def is_letter(path: str) -> bool:
    """Whether a file's path is one of a letter."""
    return path.split("/")[-2:-1] in (["cur"], ["new"])


PRIVATE = ("dovecot.index.pvt", "dovecot.index.pvt.log", "dovecot.index.pvt.log.2")
"""Indexes of what somebody alone has read in a shared or public folder (Dovecot's INDEXPVT): they hold what stands nowhere else."""


def is_private(path: str) -> bool:
    """Whether it is such an index. Where only new has one, Dovecot made it there, and it says nothing."""
    return path.rpartition("/")[2] in PRIVATE


def names_digest(names: Iterable[str]) -> str:
    """Of the names in a directory, in whatever order they are given; remote/look.py has the same."""
    return hashlib.sha256(b"/".join(sorted(map(os.fsencode, names)))).hexdigest()[:24]


def base(name: str) -> str:
    """A letter's name without its flags: what delivery gave it, once and for all."""
    return name.rpartition("/")[2].partition(":")[0]


def marks(name: str) -> set[str]:
    """What a letter's name says that people did to it: read, answered, flagged, labelled."""
    return {mark for mark in name.rpartition(":2,")[2] if mark in "SRF" or mark.islower()} if ":2," in name else set()


def to_do(record: Record, old: Mapping[str, Listing], new: Mapping[str, Listing]) -> Todo:
    """Compare the names in directories on both, listed wherever one of the two is not as it was."""
    todo = Todo()
    gone_letters: dict[str, list[str]] = {}  # folder -> paths of letters that only new has
    came_letters: dict[str, list[str]] = {}
    seen: dict[str, tuple[Counter[str], Counter[str]]] = {}
    worked_in: set[str] = set()  # directories of letters in which somebody was at work on new
    is_alike: dict[str, bool] = {}  # a cur or new that is not listed is as it was when both were equal
    for path in sorted({*old, *new}):
        ours, theirs = old.get(path, NOTHING), new.get(path, NOTHING)
        known = record.directories.get(path)
        if not ours.there and not theirs.there:
            continue
        todo.folders.add(path)
        below = f"{path}/" if path else ""
        if ours.there and path:
            todo.copy.append(path)
        if not ours.there:
            todo.remove.append(path)
        files = {name for name, what in ours.names.items() if what != "d"}
        others = {name for name, what in theirs.names.items() if what != "d"}
        mine = known is not None and known.new != "" and known.new == theirs.signature
        if known is not None and known.new not in ("", theirs.signature):
            worked_in.add(path)
        in_folder = {"cur", "new"} <= {*ours.names, *theirs.names}  # Dovecot's own files, made by looking
        letters = ours.letters or theirs.letters
        if letters or in_folder:
            same = ours.control == theirs.control and (not letters or ours.names == theirs.names)
            of = above(path) if letters else path
            is_alike[of] = is_alike.get(of, True) and same
        if not mine and not in_folder:
            todo.strangers += [below + name for name in sorted(others - files) if not is_private(name)]
        if in_folder and ours.names.get("tmp") == "d" and "tmp" not in theirs.names:
            todo.copy.append(below + "tmp")
        if not letters:
            todo.copy += [below + name for name in sorted(files)]
            todo.delete += [below + name for name in sorted(others - files)]
            continue
        folder = above(path)
        if ours.there:
            todo.names[path] = names_digest(files)
            if known is None:
                todo.touched[folder] = None
                todo.copy += [below + name for name in sorted(files & others)]
            elif folder not in todo.touched:
                todo.touched[folder] = []
        counts = seen.setdefault(folder, (Counter(), Counter()))
        counts[0].update(map(base, files))
        counts[1].update(map(base, others))
        came_letters.setdefault(folder, []).extend(below + name for name in sorted(files - others))
        gone_letters.setdefault(folder, []).extend(below + name for name in sorted(others - files))
    for folder in sorted({*came_letters, *gone_letters}):
        _letters(todo, folder, came_letters.get(folder, []), gone_letters.get(folder, []), seen[folder])
    todo.overruled = [a for a, b in todo.rename if above(a) in worked_in and marks(a) - marks(b)]
    todo.remove.sort(key=lambda path: (-path.count("/"), path))
    todo.alike = {folder for folder, holds in is_alike.items() if holds}
    return todo


def _letters(
    todo: Todo, folder: str, came: list[str], gone: list[str], seen: tuple[Counter[str], Counter[str]]
) -> None:
    """A letter whose flags changed has another name, and is renamed; the others come or go."""
    where = {base(path): path for path in gone}
    renamed = set()
    touched = todo.touched.get(folder)
    for path in came:
        name = base(path)
        source = where.get(name)
        if source is not None and seen[0][name] == 1 and seen[1][name] == 1:
            todo.rename.append((source, path))
            renamed.add(source)
        else:
            todo.copy.append(path)
        if touched is not None:
            touched.append(name)
    todo.delete += [path for path in gone if path not in renamed]
    here = {base(path) for path in came}
    todo.strangers = [
        path for path in todo.strangers if above(above(path)) != folder or not is_letter(path) or base(path) not in here
    ]


def learn(record: Record, paths: Iterable[str], old: Look, told: Mapping[str, str], new: Look) -> None:
    """Remember the directories in which all was done: ``old`` looked before it was, ``new`` after.

    ``told``: the signatures by which ``old`` looked; of what is as it was then it says nothing. ``new`` was told the record's.
    Where new holds other names than were put there, somebody was at work on new meanwhile: these stay in doubt.
    """
    record.mounts = old.mounts
    for path in paths:
        before, was = record.directories.get(path, Known("", "")), told.get(path, "")
        if path not in old.changed and (path in old.gone or not was):
            record.directories.pop(path, None)
            continue
        record.directories[path] = Known(old.signature(path, was), new.signature(path, before.new), before.letters)
    for path in (f"{above(each)}{leaf}" for each in new.unexpected for leaf in ("", "/cur", "/new")):
        if path in record.directories:  # not known as ours, either: what came to new must not be deleted
            record.directories[path] = Known("", "", record.directories[path].letters)


Only = dict[str, dict[str, list[str] | None]]  # home -> folder -> base names, or None for all of its letters


def to_compare(paths: Iterable[str], touched: Mapping[str, list[str] | None]) -> Only:
    """Which homes and folders hold these directories; ``touched``: the letters in them that are to be looked into."""
    only: Only = {}
    for path in {*paths, *touched}:
        parts = path.split("/")
        if len(parts) < 2:
            continue
        folder = above(path) if is_letter(path + "/x") and path not in touched else path
        only.setdefault("/".join(parts[:2]), {})[folder] = touched.get(folder, [])
    return only


def merge(letters: dict[str, list[str] | None], more: Mapping[str, list[str] | None]) -> dict[str, list[str] | None]:
    """Both together; a folder of which all letters are meant stays so."""
    for folder, bases in more.items():
        before = letters.get(folder, [])
        letters[folder] = None if bases is None or before is None else sorted({*before, *bases})
    return letters
