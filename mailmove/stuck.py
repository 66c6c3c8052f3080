"""What an admin does about letters that wait in a queue: try one again, let one on hold go, take one out and keep a copy."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mailmove import postfix
from mailmove.errors import MailmoveError, Refused, ServerError
from mailmove.journal import Journal
from mailmove.ledger import Copied
from mailmove.postfix import Queued
from mailmove.server import Server
from mailmove.units import clock

REMOVED = "removed from the queue:"  # begins a key of the journal
Note = Callable[[str, dict[str, object]], object]
"""Puts a value into the journal."""
_ID = re.compile(r"[0-9A-Za-z]{6,32}")  # never ALL, which postsuper(1) takes for every letter


@dataclass(frozen=True)
class Removed:
    """A letter that was taken out: its copy (bytes as Postfix had them), and how it is handed in once more."""

    letter: Queued
    copy: Path
    again: str


def waiting(server: Server) -> list[Queued]:
    """The letters in the server's queue, the oldest first, without mailmove's own probes. Raises ServerError."""
    return sorted((each for each in postfix.queue(server) if not each.is_ours), key=lambda each: each.arrived)


def chosen(server: Server, ids: Sequence[str]) -> list[Queued]:
    """The letters with these queue ids. Raises Refused, naming all that are none: then nothing was changed."""
    wrong = [each for each in ids if not _ID.fullmatch(each)]
    if wrong or not ids:
        raise Refused(
            f"no queue id: {', '.join(map(repr, wrong)) or 'none named'}",
            "name each letter by its id, as `mailmove queue` shows it; all at once is not offered",
        )
    there = {each.id: each for each in postfix.queue(server)}
    gone = [each for each in ids if each not in there]
    if gone:
        raise Refused(
            f"not in the queue of the {server.role} server: {', '.join(gone)}",
            "delivered meanwhile, or on the other server (--server)? `mailmove queue` lists both",
        )
    return [there[each] for each in dict.fromkeys(ids)]


def retry(server: Server, letters: Iterable[Queued]) -> None:
    """Have Postfix try these at once (postqueue(1), -i). Raises Refused for one on hold, before any is tried."""
    _none([each for each in letters if each.queue == "hold"], "on hold: Postfix would not try it", "release it instead")
    for each in letters:
        server.run("postqueue", "-i", each.id, check=True)


def release(server: Server, letters: Iterable[Queued]) -> None:
    """Let these go from hold and have them tried at once (postsuper(1), -H). Raises Refused for one not on hold."""
    _none([each for each in letters if each.queue != "hold"], "not on hold", "retry it instead")
    for each in letters:
        server.run("postsuper", "-H", each.id, check=True)
        server.run("postqueue", "-i", each.id, check=True)


def remove(server: Server, letters: Iterable[Queued], directory: Path, note: Note) -> Iterator[Removed]:
    """Take these out of the queue, each only when its copy is safely on the operator's disk.

    ``directory`` (made 0700) gets ID.eml, the letter's bytes, and ID.json, its envelope; ``note`` writes down that
    it is taken out on purpose. Meanwhile the letter is on hold; if that fails it goes back to where it was. Raises Refused
    for one that Postfix is at work on, ServerError or MailmoveError when no copy could be made.
    """
    _none([each for each in letters if not each.waits], "being delivered just now", "look again in a moment")
    for each in letters:
        held = each.queue == "hold"
        if not held and "Placed on hold: 1 message" not in server.run("postsuper", "-h", each.id, check=True).text:
            raise Refused(
                f"{each.id} waits no more: nothing was done to it", "`mailmove queue` shows what is there now"
            )
        try:
            copy, digest = _copy(server, each, directory)
            note(
                f"{REMOVED} {server.role} {each.id} {digest}",
                {"server": server.role, "id": each.id, "at": clock(server), "copy": str(copy), "sha256": digest},
            )
        except BaseException as error:
            if not held:
                _put_back(server, each)
            if isinstance(error, OSError):
                raise MailmoveError(
                    f"no copy of {each.id} could be written: {error}; it stays in the queue",
                    "--copies DIR names another place",
                ) from None
            raise
        if "Deleted: 1 message" not in server.run("postsuper", "-d", each.id, check=True).text:
            raise ServerError(
                f"{each.id} was not taken out: somebody else was at work on it",
                f"a copy is kept ({copy}); `mailmove queue` and the mail log there say what became of it",
            )
        people = shlex.join(["sendmail", "-i", "-f", each.sender, "--", *(to.address for to in each.recipients)])
        yield Removed(each, copy, f"{people} < {copy.name}")


def _put_back(server: Server, letter: Queued) -> None:
    try:
        server.run("postsuper", "-H", letter.id, check=True)
    except ServerError as error:
        raise ServerError(
            f"{letter.id} may be left on hold on the {server.role} server: {error.fact}",
            f"once it can be reached: mailmove queue release {letter.id} --server {server.role}",
        ) from None


def _none(letters: Sequence[Queued], what: str, hint: str) -> None:
    if letters:
        raise Refused(f"{what}: {', '.join(each.id for each in letters)}; nothing was changed", hint)


def removed(journal: Journal) -> list[Copied]:
    """What was taken out so, with a look at each copy: it is there, as it was written."""
    found = []
    for each in journal.recall_all(f"{REMOVED} "):
        trouble = ""
        try:
            if hashlib.sha256(Path(each["copy"]).read_bytes()).hexdigest() != each["sha256"]:
                trouble = f"mailmove queue remove kept a copy at {each['copy']}: it was changed since"
        except OSError as error:
            trouble = f"mailmove queue remove kept a copy at {each['copy']}: {error.strerror}"
        found.append(Copied(each["server"], each["id"], each["at"], each["copy"], trouble))
    return found


def _copy(server: Server, letter: Queued, directory: Path) -> tuple[Path, str]:
    """The letter and its envelope on disk, for good; where, and the letter's SHA-256."""
    content = server.run("postcat", "-bhq", letter.id, check=True).out.encode("utf-8", "surrogateescape")
    if not content:
        raise MailmoveError(f"{letter.id} could not be read: postcat says nothing", f"postcat -q {letter.id} there")
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    stem = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-{letter.id}"
    envelope = asdict(letter) | {"server": server.role, "sha256": digest}
    written = stem.with_suffix(".eml")
    for path, data in ((written, content), (stem.with_suffix(".json"), json.dumps(envelope, indent=1).encode())):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    handle = os.open(directory, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return written, digest
