"""What became of every letter a server took responsibility for: one end for each recipient, by its queue id.

Postfix takes responsibility when it says 250; from then on its log names the letter by a queue id until ``removed``.
This module reads the lines of both servers' logs (:func:`read`), and follows each letter from server to server to its
end (:func:`ends`). It asks nobody: lines, queues and mailboxes come in as plain values. Every text in a line that a
stranger could have chosen is taken for exactly that: an address ends where its quotes end, not where it pretends to.
"""

from __future__ import annotations

import enum
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mailmove.clients.account import is_probe

Role = Literal["old", "new"]

# What a server looks for in its log, so that not all of it has to travel
PATTERN = (
    r"postfix[^ \[]*\[\d+\]: [0-9A-Za-z]{6,20}: "
    r"|dovecot(\[\d+\])?: ((lmtp|lda)\(.*msgid=|(imap|pop3)\(.*(expunge: box=|\bexpunged=[1-9]|\bdel=[1-9]))"
)

# A letter that Postfix has taken and begins to deliver
TAKEN = r"postfix[^ \[]*/n?qmgr\[\d+\]: [0-9A-Za-z]{6,20}: from=<"
CLOCK_S = 2.0  # whole seconds in many a stamp

_ADDRESS = r'(?:"(?:\\.|[^"\\])*"|[^<>"])*'
_POSTFIX = re.compile(r"^\S+ postfix[^ \[]*?([\w-]+)\[\d+\]: (?=[A-Za-z]*\d)([0-9A-Za-z]{6,20}): (.*)$", re.S)
_STATUS = re.compile(
    rf"^to=<({_ADDRESS})>, (?:orig_to=<({_ADDRESS})>, )?relay=(\S+), (?:conn_use=\d+, )?delay=[\d.]+, "
    r"delays=[\d./]+, dsn=\d\.\d+\.\d+, status=([\w-]+)(?: \((.*)\))?$",
    re.S,
)
_FROM = re.compile(rf"^from=<({_ADDRESS})>, size=\d+, nrcpt=(\d+) ")
_EXPIRED = re.compile(rf"^from=<{_ADDRESS}>, status=(?:force-)?expired")
_QUEUED_AS = re.compile(r"\bqueued as ([0-9A-Za-z]{6,20})$")
_SAVED = re.compile(rf"^250 2\.\d\.\d <({_ADDRESS})> (\S+) Saved$")
_DOVECOT = re.compile(r"^\S+ dovecot(?:\[\d+\])?: (lmtp|lda|imap|pop3)\(([^()]*)\)(?:<\d+><([^>]*)>)?: (.*)$", re.S)
_SIEVE = re.compile(
    r"^(?:sieve: )?msgid=(.*): (stored mail into mailbox|saved mail to|forwarded to <|marked message to be discarded)",
    re.S,
)
_EXPUNGED = re.compile(r"\b(?:expunged=(\d+)|del=(\d+)/\d+)")
_GONE = re.compile(r"^expunge: box=.*, uid=\d+, msgid=(.*?), (?:size|vsize|from|subject|flags)=", re.S)

REMOVING_S = 120  # from the note in the journal to Postfix' own line; traditional stamps have whole seconds
FINAL = {"sent", "bounced", "expired"}
ASKED = {"deliverable", "undeliverable"}  # Postfix asking whether an address is good (verify(8)): no letter


class End(enum.StrEnum):
    """What can become of a letter for one of its recipients, as a person reads it."""

    MAILBOX = "in the mailbox"
    QUEUE = "waits in a queue"
    ELSEWHERE = "taken by a server elsewhere"
    RETURNED = "went back to its sender"
    SIEVE = "dropped or sent on by its reader's own filter"
    DELETED = "deleted by its reader"
    MACHINE = "with a program or an account of the machine itself"
    DISCARDED = "dropped by the server's own rule"
    PROBE = "mailmove's own"
    KEPT = "removed by the admin, and a copy kept"
    REMOVED = "taken out of the queue by an administrator"
    LOST = "lost"
    DOUBLED = "there more than once"
    UNCLEAR = "its end is not to be told"

    @property
    def good(self) -> bool:
        """Whether that is an end a letter may have."""
        return self not in (End.REMOVED, End.LOST, End.DOUBLED, End.UNCLEAR)


@dataclass(frozen=True)
class Line:
    """A line of a mail log without its time. ``at`` is in seconds since 1970."""

    at: float
    text: str


@dataclass
class Step:
    """The last word of Postfix about one recipient of a letter."""

    to: str
    asked: str = ""  # the address it came for, if that was an alias
    relay: str = ""
    status: str = ""
    words: str = ""
    at: float = 0.0
    service: str = ""  # lmtp, smtp, local, virtual, pipe …


@dataclass
class Letter:
    """One queue id of one server, from the moment it was made to its end."""

    server: Role
    id: str
    at: float
    message_id: str = ""
    sender: str = ""
    source: str = ""  # the client, or the user of this machine; empty for what Postfix wrote itself
    number: int = 0  # recipients, as the queue manager counted them
    taken: bool = False  # whether Postfix answered for it
    removed: bool = False
    withdrawn: str = ""  # by postsuper -d or a milter: how
    withdrawn_at: float = 0.0
    again: bool = False  # requeued: goes on under another id
    follows: str = ""  # the id it was requeued from
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)  # by address, and by the address it came for

    @property
    def is_ours(self) -> bool:
        return self.message_id.startswith("<mailmove-") or is_probe(self.sender)

    def __str__(self) -> str:
        return f"{self.server} {self.id} <{self.message_id.strip('<>')}> from <{self.sender}>"


@dataclass
class Book:
    """What one server's log says."""

    letters: list[Letter] = field(default_factory=list)
    stored: Counter[str] = field(default_factory=Counter)  # session -> copies put into folders
    readers: dict[str, str] = field(default_factory=dict)  # session -> user
    filtered: set[str] = field(default_factory=set)  # sessions in which a Sieve script dropped it or sent it on
    expunged: Counter[str] = field(default_factory=Counter)  # user -> letters
    gone: Counter[tuple[str, str]] = field(default_factory=Counter)  # (user, Message-ID), where Dovecot logs each

    def find(self, queue_id: str) -> list[Letter]:
        return [letter for letter in self.letters if letter.id == queue_id]


def read(server: Role, lines: Iterable[Line]) -> Book:
    """Read one server's log, oldest line first. What is not understood is passed over."""
    book = Book()
    open_: dict[str, Letter] = {}
    for line in lines:
        if match := _POSTFIX.match(line.text):
            _postfix(book, open_, server, line.at, *match.groups())
        elif match := _DOVECOT.match(line.text):
            _dovecot(book, *match.groups())
    return book


def _postfix(book: Book, open_: dict[str, Letter], server: Role, at: float, service: str, id_: str, said: str) -> None:
    begins = said.startswith(("client=", "uid="))
    letter = open_.get(id_)
    if letter is None or (begins and (letter.removed or letter.withdrawn or letter.again)):  # short ids come again
        letter = open_[id_] = Letter(server, id_, at)
        book.letters.append(letter)
    if begins:
        letter.source = said.partition("=")[2].partition(",")[0]
        if match := re.search(r"\borig_id=([0-9A-Za-z]+)$", said):
            letter.follows = match[1]
    elif service == "cleanup" and said.startswith("message-id="):
        letter.message_id = said.partition("=")[2]
    elif said.startswith(("milter-reject:", "reject:", "milter-discard:", "discard:")):
        letter.withdrawn = said.partition(":")[0]
        letter.taken = letter.taken or "discard" in letter.withdrawn  # answered for, and dropped
    elif service == "cleanup" and said.startswith(("hold:", "milter-hold:")):
        letter.taken = True
    elif match := _FROM.match(said):
        letter.sender, letter.number, letter.taken = match[1], int(match[2]), True
    elif said == "removed" and service == "qmgr":
        letter.removed = True
    elif service == "postsuper":
        if said == "removed" and not letter.withdrawn:
            letter.withdrawn, letter.withdrawn_at = "postsuper -d", at
        letter.again = letter.again or said.startswith("requeued")
    elif match := _STATUS.match(said):
        letter.taken = True
        step = Step(match[1], match[2] or "", match[3], match[4], match[5] or "", at, service)
        before = letter.steps.get((step.to, step.asked))
        if before is None or before.status not in FINAL or step.status in FINAL:
            letter.steps[step.to, step.asked] = step
    elif _EXPIRED.match(said):
        for step in letter.steps.values():
            if step.status not in FINAL:
                step.status = "expired"


def _dovecot(book: Book, service: str, user: str, session: str | None, said: str) -> None:
    user = user.lower()
    if service in ("lmtp", "lda"):
        match = _SIEVE.match(said)
        if not match:
            return
        key = session or f"{user} {match[1]}"
        book.readers[key] = user
        if match[2].startswith(("stored", "saved")):
            book.stored[key] += 1
        else:
            book.filtered.add(key)
    elif match := _GONE.match(said):
        book.gone[user, match[1]] += 1
    elif match := _EXPUNGED.search(said):
        book.expunged[user] += int(match[1] or match[2])


@dataclass(frozen=True)
class Waiting:
    """A letter in a queue now, and for whom."""

    server: Role
    id: str
    recipients: tuple[str, ...]
    arrived: float = 0.0
    sender: str = ""


@dataclass(frozen=True)
class Copied:
    """A letter that `mailmove queue remove` takes out: when, by that server's clock, and where its copy lies.

    ``trouble``: why the copy is none that could be handed in once more.
    """

    server: Role
    id: str
    at: float
    path: str
    trouble: str = ""


@dataclass(frozen=True)
class Found:
    """A letter in a mailbox. ``id`` is the queue id of the last Postfix it passed (``HOST ID``); ``at`` when it was put there."""

    user: str
    folder: str
    uid: int | None
    at: float
    id: str
    message_id: str
    taken: float | None = None  # when that Postfix took it, as it wrote on top


@dataclass(frozen=True)
class Fate:
    """The end of a letter for one recipient; ``where`` says more for a person."""

    letter: Letter
    to: str
    end: End
    where: str = ""
    asked: str = ""  # the address its sender wrote to
    user: str = ""
    last: tuple[str, str] = ("", "")  # server and queue id under which it came to this end, if not the letter's own

    def __str__(self) -> str:
        asked = f" (for {self.asked})" if self.asked and self.asked != self.to else ""
        return f"{self.letter} to <{self.to}>{asked}: {self.end}{': ' if self.where else ''}{self.where}"


def unknown(
    books: Mapping[Role, Book],
    found: Iterable[Found],
    hosts: Mapping[Role, str],
    since: Mapping[Role, float],
    until: Mapping[Role, float],
) -> list[Found]:
    """Letters in mailboxes that one of the servers took in that time, and of which the log of neither says a word."""
    known = {f"{hosts[role]} {letter.id}" for role, book in books.items() for letter in book.letters}
    times = {hosts[role]: (since[role] + CLOCK_S, until[role]) for role in books}
    silent = []
    for each in found:
        begins, ends = times.get(each.id.partition(" ")[0], (0.0, 0.0))
        if each.taken is not None and each.id not in known and begins <= each.taken < ends:
            silent.append(each)
    return silent


class Ledger:
    """Both servers' books, their queues, and the mailboxes in which mail lies now."""

    def __init__(
        self,
        books: Mapping[Role, Book],
        queues: Iterable[Waiting],
        found: Iterable[Found],
        hosts: Mapping[Role, str],
        *,
        live: Role = "new",
        addresses: Iterable[str] = (),
        seen_on_old: Iterable[Found] | None = None,
        frozen: Mapping[Role, float] | None = None,
        copied: Iterable[Copied] = (),
        until: Mapping[Role, float] | None = None,
    ) -> None:
        """``hosts``: each server's own name in Received fields. ``live``: the one that ``found`` was found on.
        ``addresses``: of both servers. ``seen_on_old``: letters in the resting old store. ``frozen``: when the freeze
        began, by each server's clock. ``copied``: what the admin removed with mailmove. ``until``: what came later is not
        followed, unless it is what a letter of before goes on as."""
        self.books = books
        self.hosts = hosts
        self.live = live
        self.addresses = frozenset(addresses)
        self.frozen = frozen or {}
        self.until = until or {}
        self._copied = list(copied)
        self._waiting = {(w.server, w.id): w for w in queues}
        self._found = _by_key(found)
        self._on_old = None if seen_on_old is None else _by_key(seen_on_old)
        self._missing: Counter[str] = Counter()

    def fates(self) -> list[Fate]:
        """One for each recipient of each letter; a letter handed from one of the servers to the other has one end."""
        self._missing.clear()
        known = {(w.server, w.id) for w in self._waiting.values()}
        inner = self._handed_over()
        found: list[Fate] = []
        for role, book in self.books.items():
            for letter in book.letters:
                if not letter.taken and (role, letter.id) not in known:
                    continue
                if letter.at >= self.until.get(role, float("inf")):
                    continue
                if any(step.status in ASKED for step in letter.steps.values()):
                    continue
                if (role, id(letter)) not in inner:
                    found += self._ends(letter, set())
            there = {letter.id for letter in book.letters}
            for waiting in self._waiting.values():
                if waiting.server == role and waiting.id not in there:
                    letter = Letter(role, waiting.id, waiting.arrived, sender=waiting.sender, taken=True)
                    found += [Fate(letter, to, _ours(to, End.QUEUE), f"on {role}") for to in waiting.recipients]
        return self._doubled(found)

    def _handed_over(self) -> set[tuple[Role, int]]:
        """Letters that are the continuation of another one."""
        inner: set[tuple[Role, int]] = set()
        for role, book in self.books.items():
            for letter in book.letters:
                if letter.follows:
                    inner.add((role, id(letter)))
                for step in letter.steps.values():
                    for other in self._next(letter, step):
                        inner.add((other.server, id(other)))
        return inner

    def _next(self, letter: Letter, step: Step) -> list[Letter]:
        """Under which id it goes on, on one of the two servers."""
        match = _QUEUED_AS.search(step.words) if step.status == "sent" else None
        if not match:
            return []
        return [
            other
            for book in self.books.values()
            for other in book.find(match[1])
            if other is not letter
            and abs(other.at - step.at) < 600
            and (not letter.message_id or not other.message_id or other.message_id == letter.message_id)
        ][:1]

    def _ends(self, letter: Letter, seen: set[int]) -> list[Fate]:
        if id(letter) in seen:
            return [Fate(letter, "", End.UNCLEAR, "it goes in a circle")]
        seen = {*seen, id(letter)}
        if letter.again:
            after = [each for each in self.books[letter.server].letters if each.follows == letter.id]
            if after:
                return [_of(letter, fate) for each in after for fate in self._ends(each, seen)]
        waiting = self._waiting.get((letter.server, letter.id))
        fates: list[Fate] = []
        for step in letter.steps.values():
            if step.status in FINAL:
                fates += self._end(letter, step, seen)
            elif waiting is not None:
                fates.append(Fate(letter, step.to, _ours(step.to, End.QUEUE), f"on {letter.server}", step.asked))
            else:
                end, words = self._untold(letter, f"{step.status}, and in no queue")
                fates.append(Fate(letter, step.to, _ours(step.to, end), words, step.asked))
        if waiting is not None:
            told = {step.to for step in letter.steps.values()}
            untold = [to for to in waiting.recipients if to not in told]
            return fates + [Fate(letter, to, _ours(to, End.QUEUE), f"on {letter.server}") for to in untold]
        if letter.number > len(letter.steps) or not fates:
            there = self._untold_but_there(letter, {fate.user for fate in fates})
            fates += there
            if there and len(there) >= letter.number - len(letter.steps):
                return fates
            end, words = self._untold(
                letter, f"the log tells the end of {len(letter.steps)} of {letter.number} recipients"
            )
            fates.append(Fate(letter, "", End.PROBE if letter.is_ours else end, words))
        return fates

    def _untold(self, letter: Letter, words: str) -> tuple[End, str]:
        """Of a letter that is in no queue, and of whose end the log says nothing."""
        if not letter.withdrawn:
            return End.LOST, words
        if "discard" in letter.withdrawn:
            return End.DISCARDED, letter.withdrawn
        for copy in self._copied:
            taken_after = letter.withdrawn_at - copy.at
            if (copy.server, copy.id) == (letter.server, letter.id) and -2 <= taken_after <= REMOVING_S:
                return (End.REMOVED, copy.trouble) if copy.trouble else (End.KEPT, f"copy kept at {copy.path}")
        return End.REMOVED, letter.withdrawn

    def _untold_but_there(self, letter: Letter, told: set[str]) -> list[Fate]:
        """Mailboxes in which it lies although the log lacks the line: a busy machine's log drops some."""
        key = f"{self.hosts[letter.server]} {letter.id}"
        users = sorted({user for user, name in self._found if name == key and user not in told}) if self._found else []
        return [Fate(letter, user, _ours(user, End.MAILBOX), "the log does not say so", "", user) for user in users]

    def _end(self, letter: Letter, step: Step, seen: set[int]) -> list[Fate]:
        def fate(end: End, where: str = "", user: str = "") -> list[Fate]:
            return [Fate(letter, step.to, _ours(step.to, end), where, step.asked, user)]

        if step.status in ("bounced", "expired"):
            if step.service == "discard":
                return fate(End.DISCARDED)
            return fate(End.RETURNED, f"to <{letter.sender}>: {step.words}" if letter.sender else step.words)
        after = self._next(letter, step)
        if after:
            there = self._ends(after[0], seen)
            # Expanded there; for whom it was handed over stands there as the address asked for. Whoever is not named was
            # one with somebody who is: two aliases of one mailbox
            mine = [each for each in there if step.to in (each.to, each.asked)] or there[:1]
            return [replace(_of(letter, each), asked=each.asked or step.asked or step.to) for each in mine]
        if step.relay.partition("[")[2].partition("]")[0] in self.addresses and "queued as" in step.words:
            return fate(End.UNCLEAR, f"handed to {step.relay}, whose log does not know it: {step.words}")
        if step.service in ("lmtp", "virtual") or (step.service == "pipe" and "dovecot" in step.relay):
            return self._delivered(letter, step)
        if step.service in ("local", "pipe"):
            return fate(End.MACHINE, step.words)
        if step.service == "discard" or step.relay == "none":
            return fate(End.DISCARDED, step.words)
        return fate(End.ELSEWHERE, step.relay)

    def _delivered(self, letter: Letter, step: Step) -> list[Fate]:
        """Put into a mailbox: as often as Dovecot says, and there it is, or its reader deleted it."""
        user, wanted = self._saved(letter, step)
        every = [self._saved(letter, each) for each in letter.steps.values() if each.status == "sent"]
        in_all = sum(copies for who, copies in every if who == user)  # john, and john's alias: two copies

        def fate(end: End, where: str = "") -> list[Fate]:
            return [Fate(letter, step.to, _ours(step.to, _ours(user, end)), where, step.asked, user)]

        if wanted == 0:
            return fate(End.SIEVE)
        places = self._places(self._found, letter, user)
        if len(places) >= in_all:
            folders = Counter(place.folder for place in places)
            folder, most = folders.most_common(1)[0]
            words = ", ".join(f"{place.folder or 'INBOX'} (UID {place.uid})" for place in places[:4])
            if most > in_all:  # in another folder it is its reader's own copy
                return fate(End.DOUBLED, f"{user}: {most} times in {folder or 'INBOX'}: {words}")
            return fate(End.MAILBOX, f"{user}: {words}")
        if self._on_old is not None and letter.server == "old":
            if len(self._places(self._on_old, letter, user)) <= len(places):
                return fate(End.DELETED, "before the old server was stopped: it does not lie there either")
            lost = f"{user}: it lies on old, and in none of the folders on {self.live}"
        else:
            lost = f"{user}: delivered on {letter.server}, and in none of the folders on {self.live}"
        return fate(End.DELETED) if self._was_deleted(user, letter) else fate(End.LOST, lost)

    def _saved(self, letter: Letter, step: Step) -> tuple[str, int]:
        """In whose mailbox Dovecot put it for this recipient, and how many copies its Sieve script made."""
        book = self.books[letter.server]
        saved = _SAVED.match(step.words)
        session = saved[2] if saved else ""
        user = book.readers.get(session) or (saved[1] if saved else step.to).lower()
        if session not in book.readers:
            session = f"{user} {letter.message_id}"
        return user, book.stored[session] or (0 if session in book.filtered else 1)

    def _places(self, index: Mapping[tuple[str, str], list[Found]], letter: Letter, user: str) -> list[Found]:
        by_id = index.get((user, f"{self.hosts[letter.server]} {letter.id}"))
        if by_id:
            return by_id
        # Some servers strip Received fields: then what the sender called it has to do
        named = index.get((user, f"mid {letter.message_id.strip('<>')}"), []) if letter.message_id else []
        return [place for place in named if not place.id or place.id.partition(" ")[0] not in self.hosts.values()]

    def _was_deleted(self, user: str, letter: Letter) -> bool:
        """Whether Dovecot's log says so: of this letter, or of as many of this reader's as are missing by now."""
        roles: set[Role] = {self.live} if self._on_old is not None else {self.live, letter.server}
        books = [self.books[role] for role in roles]
        if any(book.gone[user, letter.message_id] for book in books):
            return True
        self._missing[user] += 1
        return self._missing[user] <= sum(book.expunged[user] for book in books)

    def _doubled(self, fates: list[Fate]) -> list[Fate]:
        """The same letter, taken twice on the way: by both servers, or by one before the stop and again after it.

        Or taken once, and come to the same person for the same address on two ways: both servers expanded it.
        """
        same: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
        for number, fate in enumerate(fates):
            if fate.end in (End.MAILBOX, End.DELETED) and fate.letter.message_id and fate.user:
                key = (fate.letter.message_id, fate.letter.sender, fate.user, fate.asked or fate.to)
                same[key].append(number)
        for numbers in same.values():
            ways: dict[int, set[tuple[str, str]]] = defaultdict(set)
            for number in numbers:
                ways[id(fates[number].letter)].add(fates[number].last)
                if len(ways[id(fates[number].letter)]) > 1:
                    words = "came on two ways for the same address: both servers expanded it"
                    fates[number] = replace(fates[number], end=End.DOUBLED, where=words)
            numbers = [number for number in numbers if fates[number].end is not End.DOUBLED]
            sides = {self._side(fates[number].letter) for number in numbers}
            if len(numbers) > 1 and len(sides) > 1:
                for number in numbers[1:]:
                    first = fates[numbers[0]].letter
                    words = f"came as {first.server} {first.id} too: taken on both sides of the stop"
                    fates[number] = replace(fates[number], end=End.DOUBLED, where=words)
        return fates

    def _side(self, letter: Letter) -> tuple[str, bool]:
        return letter.server, letter.at >= self.frozen.get(letter.server, float("inf"))


def _of(letter: Letter, fate: Fate) -> Fate:
    """The end of a letter that went on as another one."""
    return replace(fate, letter=letter, last=fate.last if any(fate.last) else (fate.letter.server, fate.letter.id))


def _ours(address: str, end: End) -> End:
    return End.PROBE if is_probe(address) else end


def _by_key(found: Iterable[Found]) -> dict[tuple[str, str], list[Found]]:
    index: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for each in found:
        user = each.user.lower()
        if each.id:
            index[user, each.id].append(each)
        if each.message_id:
            index[user, f"mid {each.message_id.strip('<>')}"].append(each)
    return dict(index)


def counts(fates: Sequence[Fate]) -> dict[End, int]:
    """How many recipients had which end, in the order of :class:`End`."""
    counted = Counter(fate.end for fate in fates)
    return {end: counted[end] for end in End if counted[end]}
