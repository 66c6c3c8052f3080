"""Two mail stores, letter by letter: what is missing, extra, changed, each by its name.

Both come as sorted streams (:mod:`mailmove.stores`) and are merged; nothing is held but what differs, and of that only
the first of each kind by name. Letters are told apart by the unique name that delivery gave their file (Maildir).
"""

from __future__ import annotations

import enum
import itertools
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mailmove.errors import MailmoveError
from mailmove.folders import is_private
from mailmove.stores import Fact, folder_name, shown

NAMED = 200  # differences of one kind that are kept by name; all are counted
EARLIER = "of an earlier script"  # as remote/mailstore.py says it
WAITING = 200_000  # letters of one mailbox that wait for their like in another folder

Side = Literal["old", "new"]


class Kind(enum.StrEnum):
    """What can differ, as a person reads it."""

    MISSING = "letters missing on new"
    EXTRA = "letters on new that old does not have"
    CHANGED = "letters whose bytes differ"
    REUSED = "UIDs that show another letter on new"
    UID = "letters with another UID on new"
    DOUBLED = "letters that are there twice"
    FLAGS = "letters whose flags differ"
    KEYWORDS = "letters whose keywords differ"
    DATE = "letters whose date received differs"
    UIDL = "letters whose POP3 UIDL differs"
    SIZE = "letters of which Dovecot would tell another size"
    MOVED = "letters in another folder, or under another file name, on new"
    OWNER = "letters, folders and files with another owner, mode or ACL"
    MAILBOX_MISSING = "mailboxes missing on new"
    MAILBOX_EXTRA = "mailboxes on new that old does not have"
    FOLDER_MISSING = "folders missing on new"
    FOLDER_EXTRA = "folders on new that old does not have"
    UIDVALIDITY = "folders whose UIDVALIDITY differs"
    UIDNEXT = "folders that would give out used UIDs again"
    CONTROL = "folders whose settings differ"
    SUBSCRIPTION = "subscriptions that differ"
    FILE_MISSING = "Sieve scripts and other files missing on new"
    FILE_EXTRA = "Sieve scripts and other files on new that old does not have"
    FILE_CHANGED = "Sieve scripts and other files that differ"


class Cause(enum.StrEnum):
    """Why a difference is none of the move's: people use the new server."""

    MOVE = ""
    ARRIVED = "arrived since"
    PEOPLE = "changed by its owner since"


@dataclass(frozen=True)
class Difference:
    """One difference by name. ``path`` is the folder's directory on ``side``; ``subject`` and the like come later."""

    kind: Kind
    user: str
    folder: str = ""  # as people read it
    uid: int | None = None
    base: str = ""
    path: str = ""
    side: Side = "old"
    detail: str = ""
    cause: Cause = Cause.MOVE
    subject: str = ""
    date: str = ""
    message_id: str = ""

    def __str__(self) -> str:
        words = [self.user or "(no mailbox)"]
        if self.folder:
            words.append(self.folder)
        if self.uid is not None:
            words.append(f"UID {self.uid}")
        if self.detail:
            words.append(self.detail)
        if self.base:
            if self.subject or self.message_id or self.date:
                named = f'"{self.subject}"' if self.subject else "(no subject)"
                words.append(", ".join(part for part in (named, self.date, self.message_id) if part))
            words.append(f"{self.side}: {self.path}/*/{self.base}*")
        elif self.path:
            words.append(f"{self.side}: {self.path}")
        return shown(" · ".join(words))


@dataclass
class Comparison:
    """What a comparison came to. A difference with a cause is counted in ``since``, never in ``counts``."""

    old: Fact = field(default_factory=dict)  # the first line of each store: machine, device, inode, clock
    new: Fact = field(default_factory=dict)
    mailboxes: int = 0  # on old
    folders: int = 0
    letters: int = 0
    bytes: int = 0
    matching: int = 0  # letters equal in everything
    counts: Counter[Kind] = field(default_factory=Counter)
    since: Counter[tuple[Kind, Cause]] = field(default_factory=Counter)
    named: list[Difference] = field(default_factory=list)
    missing_by_user: Counter[str] = field(default_factory=Counter)
    odd: list[tuple[Side, str, str]] = field(default_factory=list)  # (server, path, what is odd about it)
    letters_of: Counter[str] = field(default_factory=Counter)  # of each folder on old, by its path
    unequal: set[str] = field(default_factory=set)  # paths of folders in which anything differs, whosever doing it is
    unequal_users: set[str] = field(default_factory=set)  # whose files or subscriptions differ
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether nothing differs that people did not change themselves, and there was something to compare."""
        return self.mailboxes > 0 and not self.counts

    def add(self, difference: Difference) -> None:
        """Count it, and keep it by name while there are not too many of its kind."""
        if difference.path:
            self.unequal.add(difference.path)
        else:
            self.unequal_users.add(difference.user)
        if difference.cause is not Cause.MOVE:
            self.since[difference.kind, difference.cause] += 1
            return
        self.counts[difference.kind] += 1
        if difference.kind is Kind.MISSING:
            self.missing_by_user[difference.user] += 1
        if self.counts[difference.kind] <= NAMED:
            self.named.append(difference)

    def merge(self, other: Comparison) -> None:
        """Take in what another part of the same two stores came to."""
        self.old, self.new = self.old or other.old, self.new or other.new
        for name in ("mailboxes", "folders", "letters", "bytes", "matching", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("since", "missing_by_user", "letters_of"):
            getattr(self, name).update(getattr(other, name))
        before = Counter(self.counts)
        self.counts.update(other.counts)
        kept: Counter[Kind] = Counter()
        for each in other.named:
            kept[each.kind] += 1
            if before[each.kind] + kept[each.kind] <= NAMED:
                self.named.append(each)
        self.odd += other.odd
        self.unequal |= other.unequal
        self.unequal_users |= other.unequal_users

    def plain(self) -> dict[str, Any]:
        """As plain values, to be written down; what only serves the copies is left out."""
        names = ("old", "new", "mailboxes", "folders", "letters", "bytes", "matching", "seconds", "odd")
        return {
            **{name: getattr(self, name) for name in names},
            "counts": {str(kind): count for kind, count in self.counts.items()},
            "since": [[str(kind), str(cause), count] for (kind, cause), count in self.since.items()],
            "named": [asdict(each) for each in self.named],
            "missing_by_user": dict(self.missing_by_user),
        }

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Comparison:
        """From :meth:`plain`."""
        names = ("old", "new", "mailboxes", "folders", "letters", "bytes", "matching", "seconds")
        return cls(
            **{name: raw[name] for name in names},
            odd=[(side, path, what) for side, path, what in raw["odd"]],
            counts=Counter({Kind(kind): count for kind, count in raw["counts"].items()}),
            since=Counter({(Kind(kind), Cause(cause)): count for kind, cause, count in raw["since"]}),
            named=[
                Difference(**{**each, "kind": Kind(each["kind"]), "cause": Cause(each["cause"])})
                for each in raw["named"]
            ],
            missing_by_user=Counter(raw["missing_by_user"]),
        )

    def of(self, kind: Kind) -> list[Difference]:
        """The differences of a kind that are known by name."""
        return [each for each in self.named if each.kind is kind]


@dataclass(frozen=True)
class Letter:
    """One file of a letter: ROW and APART of ``remote/mailstore.py``. Times in seconds, ``changed`` is the file's ctime.

    Of the depth "names" only ``base`` and ``where`` are told.
    """

    base: str
    uid: int | None = None
    flags: str = ""
    keywords: list[str] = field(default_factory=list)
    mtime: int = 0
    size: int = 0
    digest: str = ""
    owner: str = ""
    uidl: str = ""
    where: str = ""
    changed: float = 0.0
    sizes: str = ""


_ROW = ("base", "uid", "flags", "keywords", "mtime", "size", "digest", "owner", "uidl")
_APART = ("where", "changed", "sizes")


Key = tuple[bytes, ...]


@dataclass(slots=True)
class _Item:
    """A mailbox, a folder, or files of letters in a folder, with the key that sorts it: those of one base name, or of many."""

    key: Key
    mailbox: Fact
    folder: Fact | None = None
    rows: list[list[Any]] = field(default_factory=list)  # of remote/mailstore.py
    apart: list[list[Any]] = field(default_factory=list)

    @property
    def letters(self) -> list[Letter]:
        return [
            Letter(**dict(zip(_ROW, row, strict=False)), **dict(zip(_APART, apart, strict=False)))
            for row, apart in zip(self.rows, self.apart, strict=True)
        ]

    @property
    def last(self) -> Key:
        """The key of the last letter in it; its own if it is none or only one."""
        return (*self.key[:4], _bytes(self.rows[-1][0])) if self.rows else self.key

    @property
    def is_many(self) -> bool:
        return bool(self.rows) and self.rows[0][0] != self.rows[-1][0]

    @property
    def count(self) -> int:
        """How many letters: files of one base name are one."""
        return len({row[0] for row in self.rows})

    def split(self) -> Iterator[_Item]:
        """Letter by letter."""
        start = 0
        for base, group in itertools.groupby(self.rows, key=_first):
            end = start + len(list(group))
            key = (*self.key[:4], _bytes(base))
            yield _Item(key, self.mailbox, self.folder, self.rows[start:end], self.apart[start:end])
            start = end

    @property
    def user(self) -> str:
        return str(self.mailbox["user"])

    @property
    def folder_raw(self) -> str:
        return str(self.folder["folder"]) if self.folder else ""

    @property
    def path(self) -> str:
        return str(self.folder["path"]) if self.folder else str(self.mailbox["home"])


def compare(
    old: Iterable[Fact],
    new: Iterable[Fact],
    *,
    since: float | None = None,
    late: float | None = None,
    moving: float | None = None,
) -> Comparison:
    """Merge two stores. ``since`` (by new's clock): what was changed later than that on new is its people's doing.
    ``late`` (the same moment by old's clock): a letter that came to old later has a UID of its own on new, and nobody saw old's.
    ``moving`` (by old's clock): a letter that came on old later than that need not be on new yet, nor one that was not
    looked into (``only`` of :func:`mailmove.stores.read`): it was not there when those to be looked into were chosen.

    Raises MailmoveError when a stream is out of order or does not end as it should: then nothing was proved.
    """
    result = Comparison()
    sides = {"old": _Stream("old", old, result), "new": _Stream("new", new, result)}
    result.old, result.new = sides["old"].begin, sides["new"].begin  # both servers are at work from here on
    merger = _Merger(result, since, late, moving, {result.old["owner"].split()[0]: result.new["owner"].split()[0]})
    for one, other in _merged(sides["old"], sides["new"]):
        merger.take(one, other)
    merger.finish()
    for stream in sides.values():
        stream.check()
    return result


@dataclass(frozen=True)
class Stranger:
    """Something that only new has: a letter (``name`` is its base name) or a file in a home (its path there)."""

    user: str
    folder: str
    path: str
    name: str
    letter: bool


ATTRIBUTES = "dovecot-attributes"
"""The usual name of a mailbox' attributes: keys of encrypted letters, and metadata."""


def only_on_new(old: Iterable[Fact], new: Iterable[Fact]) -> Iterator[Stranger]:
    """What new has and old has not, by name alone (``depth`` "names" suffices). Raises like :func:`compare`."""
    unused = Comparison()
    streams = _Stream("old", old, unused), _Stream("new", new, unused)
    for one, other in _merged(*streams):
        if other is None:
            continue
        if other.rows:
            if one is None:
                folder = folder_name(other.folder_raw)
                yield Stranger(other.user, folder, other.path, other.rows[0][0], letter=True)
        elif other.folder is None:
            known = one.mailbox["files"] if one else {}
            for name in sorted(set(other.mailbox["files"]) - set(known)):
                if is_private(name):
                    continue
                yield Stranger(other.user, "", other.path, name, letter=False)
    for stream in streams:
        stream.check()


class _Stream:
    """One store as sorted items."""

    def __init__(self, side: Side, facts: Iterable[Fact], result: Comparison) -> None:
        self.side: Side = side
        self._facts = iter(facts)
        self._result = result
        self._ended = False
        self.begin = next(self._facts, {})
        if self.begin.get("kind") != "begin":
            raise MailmoveError(f"the {side} server's mail store told nothing", "run it again")

    def check(self) -> None:
        """Raise MailmoveError unless the store was told to its end."""
        if not self._ended:
            raise MailmoveError(f"the {self.side} server's mail store was not told to its end", "run it again")

    def __iter__(self) -> Iterator[_Item]:
        last: Key = ()
        for item in self._items():
            bases = [_bytes(row[0]) for row in item.rows]
            if item.key <= last or bases != sorted(bases):
                raise MailmoveError(
                    f"the {self.side} server's mail store came out of order at {shown(item.user)}",
                    "this is a defect of mailmove; report it",
                )
            last = item.last
            yield item

    def _items(self) -> Iterator[_Item]:
        mailbox: Fact = {}
        folder: Fact | None = None
        key: Key = ()
        for fact in self._facts:
            kind = fact["kind"]
            if kind == "letters":  # all files of a base name are in one line
                item = _Item((*key, _bytes(fact["rows"][0][0])), mailbox, folder, fact["rows"], fact["apart"])
                if folder and self.side == "old":
                    self._result.letters_of[folder["path"]] += item.count
                yield item
            elif kind == "user":
                mailbox, folder = fact, None
                local, _, domain = fact["user"].rpartition("@")
                if not fact["user"]:  # a file beside the domains, or beside the mailboxes of one
                    domain, _, local = fact["home"].partition("/")
                key = (_bytes(domain), _bytes(local), b"")
                if self.side == "old":
                    self._result.mailboxes += bool(fact["user"])
                yield _Item(key, mailbox)
            elif kind == "folder":
                folder = fact
                key = (*key[:2], b"f", _bytes(fact["folder"]))
                if self.side == "old":
                    self._result.folders += 1
                yield _Item(key, mailbox, folder)
            elif kind == "untold":
                if folder and self.side == "old":
                    self._result.letters_of[folder["path"]] += fact["letters"]
                    self._result.matching += fact["letters"]
            elif kind == "odd":
                self._result.odd.append((self.side, fact["path"], fact["what"]))
            elif kind == "end":
                self._ended = True
                if self.side == "old":
                    self._result.letters, self._result.bytes = fact["letters"], fact["bytes"]


class _Ahead:
    """The items of one side; ``now`` is the next one, None at the end. Many letters can be taken apart."""

    def __init__(self, items: Iterable[_Item]) -> None:
        self._items = iter(items)
        self._parts: Iterator[_Item] = iter(())
        self.now: _Item | None = None
        self.step()

    def step(self) -> None:
        self.now = next(self._parts, None) or next(self._items, None)

    def take_apart(self) -> None:
        assert self.now is not None
        self._parts = self.now.split()
        self.step()


def _merged(olds: Iterable[_Item], news: Iterable[_Item]) -> Iterator[tuple[_Item | None, _Item | None]]:
    """Items of equal key together, others alone, in order. Many letters stay together only where both sides' are equal."""
    left, right = _Ahead(olds), _Ahead(news)
    while left.now or right.now:
        old, new = left.now, right.now
        together = bool(old and new and old.key == new.key)
        if old and old.is_many and not (together and new and old.rows == new.rows):
            left.take_apart()
        elif new and new.is_many and not (together and old and old.rows == new.rows):
            right.take_apart()
        elif together:
            yield old, new
            left.step()
            right.step()
        elif new is None or (old is not None and old.key < new.key):
            yield old, None
            left.step()
        else:
            yield None, new
            right.step()


class _Merger:
    """Judges pair by pair; at a folder's end it looks for reused UIDs, at a mailbox's end for what was moved."""

    def __init__(
        self,
        result: Comparison,
        since: float | None,
        late: float | None,
        moving: float | None,
        owners: Mapping[str, str],
    ) -> None:
        self.result = result
        self.since = since
        self.late = late
        self.moving = moving
        # Users, and groups: a letter may be of the one and not of the other
        self._users, self._groups = (
            {old.split(":")[n]: new.split(":")[n] for old, new in owners.items()} for n in (0, 1)
        )
        self._owners_go_by_name = all(old == new for old, new in owners.items())
        self._folder: Key = ()
        self._mailbox: Key = ()
        self._deleted: dict[str, float] = {}
        self._folder_deleted = False
        self._renumbered = False  # Dovecot gives its letters other UIDs as soon as anybody looks, wherever that is
        self._gone: list[tuple[Difference, str]] = []  # folders of the mailbox that are not on new, with their guid
        self._came: dict[str, str] = {}  # guid of a folder that only new has -> its name
        self._guids: dict[str, str] = {}  # path of a folder that is not on new -> its guid
        self._missing: list[tuple[Difference, Letter]] = []  # of the mailbox
        self._extra: list[tuple[Difference, Letter]] = []
        self._old_uids: dict[int, str] = {}  # of the folder: UIDs that old gave to a letter that is not the same on new
        self._new_uids: dict[int, Difference] = {}
        self._unlike: list[Difference] = []  # of the folder, if it is not the one of old
        self._came_to_old: set[bool] = set()  # of such a folder: whether its letters came late

    def take(self, old: _Item | None, new: _Item | None) -> None:
        item = old or new
        assert item is not None
        if item.key[:4] != self._folder:
            self._end_of_folder()
            self._folder = item.key[:4]
        if item.key[:2] != self._mailbox:
            self._end_of_mailbox()
            self._mailbox = item.key[:2]
        if self._unlike and old:
            self._came_to_old |= {self._is_late(letter) for letter in old.letters}
        if item.rows:
            if old and new and self._owners_go_by_name and old.rows == new.rows and _beside(old) == _beside(new):
                self.result.matching += old.count
            elif old and new:
                for was, now in zip(old.split(), new.split(), strict=True):
                    self._letter(was, now)
            else:
                self._letter(old, new)
        elif item.folder:
            self._folders(old, new)
        else:
            self._mailboxes(old, new)

    def finish(self) -> None:
        self._end_of_folder()
        self._end_of_mailbox()

    def _later(self, at: float) -> bool:
        return self.since is not None and at >= self.since

    def _is_late(self, letter: Letter) -> bool:
        """Received after the stores were equal, not only changed since: a backup by hard links changes every letter on old."""
        return self.late is not None and letter.changed >= self.late and letter.mtime >= int(self.late)

    # mailboxes

    def _mailboxes(self, old: _Item | None, new: _Item | None) -> None:
        item = old or new
        assert item is not None
        self._deleted = dict(new.mailbox.get("deleted", ())) if new else {}
        if new is None and item.user:
            self.result.add(Difference(Kind.MAILBOX_MISSING, item.user, path=item.path))
        if old is None and item.user:
            cause = Cause.ARRIVED if self.since is not None else Cause.MOVE
            self.result.add(Difference(Kind.MAILBOX_EXTRA, item.user, path=item.path, side="new", cause=cause))
        self._files(item.user, old.mailbox if old else {}, new.mailbox if new else {})
        if old and new and item.user:
            self._places(item.user, old.mailbox, new.mailbox)
            self._subscriptions(item.user, old.mailbox, new.mailbox)

    def _files(self, user: str, old: Fact, new: Fact) -> None:
        for where in ("files", "others"):
            ours, theirs = old.get(where, {}), new.get(where, {})
            ours = {name: value for name, value in ours.items() if value[0] != EARLIER}  # is not copied
            for name in sorted({*ours, *theirs}):
                # What lies in a Maildir and is no letter comes and goes with its folder, and with the programs that made it; but
                # for people's keys, by which all their letters are read.
                used = where == "others" and self.since is not None and not name.endswith(ATTRIBUTES)
                if name not in theirs:
                    cause = Cause.PEOPLE if used else Cause.MOVE
                    self.result.add(Difference(Kind.FILE_MISSING, user, detail=_lies(old, name), cause=cause))
                    continue
                later = self._later(theirs[name][1]) or (used and name not in ours)
                cause = Cause.PEOPLE if later else Cause.MOVE
                detail = _lies(new, name)
                if theirs[name][0] == EARLIER:
                    detail += ": compiled from an earlier script, and Dovecot takes it for the one of today; remove it"
                if name not in ours and is_private(name):
                    continue
                if name not in ours:
                    self.result.add(Difference(Kind.FILE_EXTRA, user, detail=detail, side="new", cause=cause))
                elif ours[name][0] != theirs[name][0]:
                    targets = [each for each in (ours[name][0], theirs[name][0]) if each.startswith("-> ")]
                    words = (
                        f"{detail}: {ours[name][0]} on old, {theirs[name][0]} on new" if len(targets) == 2 else detail
                    )
                    self.result.add(Difference(Kind.FILE_CHANGED, user, detail=words, cause=cause))
                elif self._should_own(ours[name][2]) != theirs[name][2] and not ours[name][0].startswith("-> "):
                    detail += f": {ours[name][2]} on old, {theirs[name][2]} on new"
                    self.result.add(Difference(Kind.OWNER, user, detail=detail, side="new"))

    def _places(self, user: str, old: Fact, new: Fact) -> None:
        """Whose directories are not Dovecot's to write to, keep it from delivering or from making folders."""
        ours, theirs = old.get("places", {}), new.get("places", {})
        for name in sorted(ours):
            if name not in theirs:
                if self.since is None:
                    detail = f"{_lies(old, name)}, a directory"
                    self.result.add(Difference(Kind.FILE_MISSING, user, detail=detail))
            elif self._should_own(ours[name]) != theirs[name]:
                detail = f"{_lies(new, name)}: {ours[name]} on old, {theirs[name]} on new"
                self.result.add(Difference(Kind.OWNER, user, detail=detail, side="new"))

    def _subscriptions(self, user: str, old: Fact, new: Fact) -> None:
        ours, theirs = set(old["subscriptions"]), set(new["subscriptions"])
        cause = Cause.PEOPLE if self._later(new["subscribed"]) else Cause.MOVE
        for name in sorted(ours ^ theirs):
            words = "not subscribed on new" if name in ours else "subscribed on new only"
            self.result.add(Difference(Kind.SUBSCRIPTION, user, folder_name(name), detail=words, cause=cause))

    # folders

    def _folders(self, old: _Item | None, new: _Item | None) -> None:
        item = old or new
        assert item is not None and item.folder is not None
        name = folder_name(item.folder_raw)
        self._folder_deleted = False
        self._renumbered = bool(old and old.folder and old.folder["broken"])
        if new is None or new.folder is None:
            self._folder_deleted = self._later(self._deleted.get(item.folder["guid"], 0))
            cause = Cause.PEOPLE if self._folder_deleted else Cause.MOVE
            guid = item.folder["guid"]
            self._gone.append((Difference(Kind.FOLDER_MISSING, item.user, name, path=item.path, cause=cause), guid))
            self._guids[item.path] = guid
            return
        if old is None or old.folder is None:
            cause = Cause.PEOPLE if self.since is not None else Cause.MOVE
            self.result.add(Difference(Kind.FOLDER_EXTRA, item.user, name, path=item.path, side="new", cause=cause))
            self._came[item.folder["guid"]] = name
            return
        was, is_now = old.folder, new.folder
        if was["valid"] and not is_now["valid"]:
            detail = "its directory cur is not there"
            difference = Difference(Kind.FOLDER_MISSING, item.user, name, path=new.path, side="new", detail=detail)
            self.result.add(difference)
        if self._renumbered:
            pass
        elif was["uidvalidity"] is not None and was["uidvalidity"] != is_now["uidvalidity"]:
            detail = f"{was['uidvalidity']} on old, {is_now['uidvalidity']} on new: every client fetches it anew"
            self._unlike.append(Difference(Kind.UIDVALIDITY, item.user, name, path=item.path, detail=detail))
        elif was["next"] is not None and (is_now["next"] or 0) < was["next"]:
            detail = f"next UID {was['next']} on old, {is_now['next']} on new"
            self.result.add(Difference(Kind.UIDNEXT, item.user, name, path=item.path, detail=detail))
        for inner, detail in self._owned(was, is_now):
            words = f"{inner or 'its directory'}: {detail}"
            self.result.add(Difference(Kind.OWNER, item.user, name, path=new.path, detail=words, side="new"))
        changed = sorted({k for k, _ in set(was["control"].items()) ^ set(is_now["control"].items())})
        if self.since is not None:  # once people are back, an index is theirs
            changed = [name for name in changed if not name.startswith("dovecot.index")]
        if was["guid"] and not self._renumbered and is_now["uidvalidity"] is not None and was["guid"] != is_now["guid"]:
            changed.append(f"its GUID is {was['guid']} on old, {is_now['guid'] or 'none'} on new")
        if is_now["broken"] and is_now["broken"] != was["broken"]:
            changed.append(f"its UID list on new has {is_now['broken']}: Dovecot gives other UIDs")
        if changed:
            files = ", ".join(changed)
            difference = Difference(Kind.CONTROL, item.user, name, path=item.path, detail=files)
            self._unlike.append(difference) if self._unlike else self.result.add(difference)

    def _owned(self, was: Fact, is_now: Fact) -> Iterator[tuple[str, str]]:
        """A folder's directories, and Dovecot's files in it, that are another's: to these it writes."""
        for inner, owner in was["owners"].items():
            there = is_now["owners"].get(inner)
            if there is None and inner in ("new", "tmp"):
                yield inner, f"{owner} on old, not there on new"
            elif there is not None and there != self._should_own(owner):
                yield inner, f"{owner} on old, {there} on new"
        for file, owner in was["files"].items():
            ours, theirs = self._should_own(owner), is_now["files"].get(file, "")
            if self.since is not None:  # Dovecot wrote it anew since, and chose the mode
                ours, theirs = ours.split()[0], theirs.partition(" ")[0]
            if theirs and theirs != ours:
                yield file, f"{owner} on old, {is_now['files'][file]} on new"

    def _end_of_folder(self) -> None:
        # All that was ever in it came to old late: on new Dovecot made a folder of that name
        cause = Cause.ARRIVED if self._came_to_old == {True} else Cause.MOVE
        for difference in self._unlike:
            self.result.add(replace(difference, cause=cause))
        self._unlike.clear()
        self._came_to_old.clear()
        for uid, difference in self._new_uids.items():
            if uid in self._old_uids and self._old_uids[uid] != difference.base:
                self.result.add(
                    replace(
                        difference, kind=Kind.REUSED, detail=f"on old it was {self._old_uids[uid]}", cause=Cause.MOVE
                    )
                )
        self._old_uids.clear()
        self._new_uids.clear()

    # letters

    def _difference(self, kind: Kind, item: _Item, letter: Letter, side: Side, **more: Any) -> Difference:
        return Difference(
            kind, item.user, folder_name(item.folder_raw), letter.uid, letter.base, item.path, side, **more
        )

    def _letter(self, old: _Item | None, new: _Item | None) -> None:
        if old is None or new is None:
            if old:
                for letter in old.letters:
                    cause = Cause.PEOPLE if self._folder_deleted else Cause.MOVE
                    if self.moving is not None and (letter.changed >= self.moving or not letter.digest):
                        cause = Cause.ARRIVED
                    self._wait(self._missing, self._difference(Kind.MISSING, old, letter, "old", cause=cause), letter)
                    self._gave(letter)
            elif new:
                for letter in new.letters:
                    cause = Cause.ARRIVED if self._later(letter.changed) else Cause.MOVE
                    difference = self._difference(Kind.EXTRA, new, letter, "new", cause=cause)
                    self._wait(self._extra, difference, letter)
                    self._gives(difference)
            return
        ours, theirs = old.letters, new.letters
        if len(theirs) > len(ours):
            names = ", ".join(f"{each.where}:{each.flags or 'no flags'}" for each in theirs)
            self.result.add(self._difference(Kind.DOUBLED, new, theirs[1], "new", detail=names))
        before = self.result.counts.total() + self.result.since.total()
        for was, now in _paired(ours, theirs):
            if now is not None:
                self._pair(old, was, new, now)
            elif all(was.digest != each.digest for each in theirs):
                detail = "old has more than one of this name"
                self._wait(self._missing, self._difference(Kind.MISSING, old, was, "old", detail=detail), was)
        if self.result.counts.total() + self.result.since.total() == before and len(theirs) == len(ours):
            self.result.matching += 1

    def _pair(self, old: _Item, was: Letter, new: _Item, now: Letter) -> None:
        if (was.size, was.digest) != (now.size, now.digest):
            detail = f"{was.size} bytes on old, {now.size} on new" if was.size != now.size else "same size, other bytes"
            self.result.add(self._difference(Kind.CHANGED, new, now, "new", detail=detail))
        people = Cause.PEOPLE if self._later(now.changed) else Cause.MOVE
        # From new to cur Dovecot brings a letter, and gives it a UID, as soon as anybody looks
        if was.where != now.where and (now.where == "new" or (self.since is None and was.uid is not None)):
            words = "so it is a recent one again" if now.where == "new" else "so it is no recent one any more"
            detail = f"in {was.where} on old, in {now.where} on new: {words}"
            self.result.add(self._difference(Kind.FLAGS, new, now, "new", detail=detail, cause=people))
        # Once people are back, Dovecot sets right those that it finds wrong
        if self.since is None and was.sizes and now.sizes and was.sizes != now.sizes:
            detail = f"its UID list says {was.sizes} on old, {now.sizes} on new"
            self.result.add(self._difference(Kind.SIZE, new, now, "new", detail=detail))
        if was.flags != now.flags:
            detail = f"{was.flags or 'none'} on old, {now.flags or 'none'} on new"
            self.result.add(self._difference(Kind.FLAGS, new, now, "new", detail=detail, cause=people))
        if was.keywords != now.keywords:
            detail = f"{' '.join(was.keywords) or 'none'} on old, {' '.join(now.keywords) or 'none'} on new"
            self.result.add(self._difference(Kind.KEYWORDS, new, now, "new", detail=detail, cause=people))
        if was.mtime != now.mtime:
            detail = f"{now.mtime - was.mtime:+d} s on new"
            self.result.add(self._difference(Kind.DATE, new, now, "new", detail=detail))
        if was.uidl != now.uidl:
            self.result.add(
                self._difference(
                    Kind.UIDL, new, now, "new", detail=f"{was.uidl or 'none'} on old, {now.uidl or 'none'} on new"
                )
            )
        if was.owner and self._should_own(was.owner) != now.owner:
            detail = f"{was.owner} on old, {now.owner} on new"
            self.result.add(self._difference(Kind.OWNER, new, now, "new", detail=detail))
        if was.uid is not None and was.uid != now.uid and not self._renumbered:
            late = Cause.ARRIVED if self._is_late(was) and (now.uid or was.uid) > was.uid else Cause.MOVE
            difference = self._difference(Kind.UID, new, now, "new", detail=f"on old UID {was.uid}", cause=late)
            self.result.add(difference)
            self._gave(was)
            self._gives(difference)

    def _should_own(self, owner: str) -> str:
        """The owner and mode that new should have: whom all mail belongs to may be called otherwise there."""
        name, _, mode = owner.partition(" ")
        user, _, group = name.partition(":")
        return f"{self._users.get(user, user)}:{self._groups.get(group, group)} {mode}"

    def _gave(self, letter: Letter) -> None:
        if letter.uid is None or self._is_late(letter):
            return
        if not self._renumbered and len(self._old_uids) < WAITING:
            self._old_uids[letter.uid] = letter.base

    def _gives(self, difference: Difference) -> None:
        if difference.uid is not None and len(self._new_uids) < WAITING:
            self._new_uids[difference.uid] = difference

    def _wait(self, among: list[tuple[Difference, Letter]], difference: Difference, letter: Letter) -> None:
        if len(among) < WAITING:
            among.append((difference, letter))
        else:
            self.result.add(difference)

    def _end_of_mailbox(self) -> None:
        """A folder that is there under another name was renamed; a letter that is in another folder was moved."""
        renamed = set()
        for folder, guid in self._gone:
            if guid and guid in self._came:
                renamed.add(guid)
                cause = Cause.PEOPLE if self.since is not None else Cause.MOVE
                self.result.add(replace(folder, detail=f"now called {self._came[guid]}", cause=cause))
            else:
                self.result.add(folder)
        found: dict[str, list[tuple[Difference, Letter]]] = {}
        for pair in self._extra:
            found.setdefault(_same(pair[1]), []).append(pair)
        for difference, letter in self._missing:
            elsewhere = found.get(_same(letter))
            if not elsewhere:
                self.result.add(difference)
                continue
            there, copy = elsewhere.pop()
            people = self._later(copy.changed) or (
                self.since is not None and self._guids.get(difference.path, "") in renamed
            )
            cause = Cause.PEOPLE if people else difference.cause
            detail = f"now in {there.folder}"
            if self._below(there) != self._below(difference):
                if there.folder == difference.folder:  # as people read it
                    detail = f"now in a folder of another name, {posixpath.basename(there.path)}, that reads the same"
            else:
                detail = f"its file is called otherwise, {there.base}: to Dovecot it is another letter"
            self.result.add(replace(difference, kind=Kind.MOVED, detail=detail, cause=cause))
        for pairs in found.values():
            for difference, _ in pairs:
                self.result.add(difference)
        self._gone.clear()
        self._came.clear()
        self._guids.clear()
        self._missing.clear()
        self._extra.clear()

    def _below(self, difference: Difference) -> str:
        """The folder's directory, below the mail root."""
        root = (self.result.old if difference.side == "old" else self.result.new).get("root", "")
        return difference.path.removeprefix(root)


def _paired(ours: list[Letter], theirs: list[Letter]) -> list[tuple[Letter, Letter | None]]:
    """Files of one base name, each with the one on new that is most like it; None where there are fewer."""
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]

    def likeness(pair: tuple[int, int]) -> tuple[bool, bool, bool]:
        was, now = ours[pair[0]], theirs[pair[1]]
        return was.digest == now.digest, was.flags == now.flags, was.where == now.where

    found: dict[int, int] = {}
    every = itertools.product(range(len(ours)), range(len(theirs)))
    for was, now in sorted(every, key=likeness, reverse=True):
        if was not in found and now not in found.values():
            found[was] = now
    return [(was, theirs[found[n]] if n in found else None) for n, was in enumerate(ours)]


def _lies(mailbox: Fact, name: str) -> str:
    """Where a file of a home lies."""
    return posixpath.normpath(f"{mailbox['home']}/{name}") if mailbox["user"] else name


def _beside(item: _Item) -> list[list[Any]]:
    """In which directories letters lie, and what the UID list says of their sizes."""
    return [[each[0], *each[2:]] for each in item.apart]


def _first(row: list[Any]) -> str:
    return str(row[0])


def _same(letter: Letter) -> str:
    return letter.digest or letter.base


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
