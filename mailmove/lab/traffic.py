"""Real life on the lab's servers while mailmove works: letters from the world, people reading their mail.

The world's own Postfix sends a steady stream of marked letters to mailboxes, aliases, a catch-all and several
recipients at once; a few people read, flag, move and delete by IMAP, at whatever address DNS gives them. Both are
written down as they happen. `count` then looks for every letter in every mailbox of the new server: each must be
there exactly once, unless the person it went to deleted it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mailmove.lab.errors import LabError
from mailmove.lab.lab import Lab

MARK = "X-Lab-Mark"
EVERY = 0.7
"""Seconds between two letters."""
READERS = 4
"""People who read their mail meanwhile."""
DRAIN_TIME = 90.0
"""Seconds the last letters may take from the world's queue into a mailbox."""

# Runs on a server by ssh, Python 3.9: prints "mark user" for each letter of ours below the mail root in argv[1].
FINDER = r"""
import os, re, sys
root = sys.argv[1].encode()
for place, folders, names in os.walk(root):
    if os.path.basename(place) not in (b"cur", b"new"):
        continue
    domain, user = os.path.relpath(place, root).split(b"/")[:2]
    for name in names:
        with open(os.path.join(place, name), "rb") as file:
            found = re.search(rb"^X-Lab-Mark: (\S+)", file.read(16384), re.M)
        if found:
            print(found[1].decode(), (user + b"@" + domain).decode("utf-8", "replace"))
"""


@dataclass
class Count:
    """What `Traffic.count` found. Letters are named as ``mark for mailbox``."""

    sent: int = 0
    copies: int = 0  # a letter to two people makes two
    deleted: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    strayed: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Something was sent, and every letter is where it should be, once."""
        return self.sent > 0 and not (self.lost or self.doubled or self.strayed)


class Traffic:
    """The traffic of one lab. Its files lie in the lab's state directory, under ``traffic/``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.home = lab.home / "traffic"
        self.log = self.home / "log.jsonl"
        self._pid = self.home / "pid"
        self._process: subprocess.Popen[bytes] | None = None  # if it was started by this very object

    def start(self, every: float = EVERY, readers: int = READERS) -> None:
        """Begin, from a clean log: a letter every so many seconds, so many people reading. Runs until `stop`."""
        self.stop()
        self.home.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        with open(self.home / "errors", "wb") as errors:
            self._process = subprocess.Popen(
                self.lab.command(
                    [sys.executable, "-m", "mailmove.lab.people_at_work", str(self.lab.home), str(every), str(readers)]
                ),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        self._pid.write_text(str(self._process.pid))

    def stop(self) -> None:
        """End it; what is under way is finished first."""
        if not self._pid.exists():
            return
        pid = int(self._pid.read_text())
        if b"people_at_work" in _command_line(pid):
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 30
            while _command_line(pid) and time.monotonic() < end:
                if self._process is not None:
                    self._process.poll()
                time.sleep(0.1)
        if self._process is not None:
            self._process.wait()
        self._pid.unlink()

    def count(self, server: str = "new") -> Count:
        """Look for every letter that was sent, when the world's queue has drained.

        Raises LabError if the traffic wrote nothing down.
        """
        if not self.log.exists():
            raise LabError(f"no traffic ran on the lab {self.lab.name}", "mailmove lab traffic start")
        written = [json.loads(line) for line in self.log.read_text().splitlines()]
        root = self.lab.variant.choices.get(server, {}).get("mail_root", "/var/vmail")
        end = time.monotonic() + DRAIN_TIME
        while True:
            result = self._compare(written, self._find(server, root))
            if result.good or time.monotonic() > end:
                return result
            time.sleep(2)

    def _find(self, server: str, root: str) -> Counter[str]:
        command = self.lab.ssh(server, f"python3 - {root}")
        done = subprocess.run(command, input=FINDER, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise LabError(f"the letters on {server} cannot be counted: {done.stderr.strip()}", "mailmove lab status")
        return Counter(done.stdout.splitlines())

    def _compare(self, written: list[dict[str, object]], found: Counter[str]) -> Count:
        wanted: Counter[str] = Counter()
        maybe: set[str] = set()
        gone: set[str] = set()
        sent = 0
        for entry in written:
            if entry["what"] == "sent":
                sent += 1
                for mailbox in entry["mailboxes"]:  # type: ignore[attr-defined]
                    wanted[f"{entry['mark']} {mailbox}"] += 1
            elif entry["what"] == "deleting":
                maybe.add(f"{entry['mark']} {entry['mailbox']}")
            elif entry["what"] == "deleted":
                gone.add(f"{entry['mark']} {entry['mailbox']}")
        runs = tuple(str(entry["run"]) for entry in written if entry["what"] == "begins")
        result = Count(sent, sum(wanted.values()), len(gone))
        for letter, number in wanted.items():
            words = letter.replace(" ", " for ")
            if found[letter] > number:
                result.doubled.append(words)
            elif found[letter] < number and letter not in maybe:
                result.lost.append(words)
            elif found[letter] and letter in gone:
                result.strayed.append(f"{words}: its owner had deleted it")
        result.strayed += [
            f"{letter.replace(' ', ' for ')}: nobody sent it there"
            for letter in found
            if letter.startswith(runs) and letter not in wanted
        ]
        return result


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
