"""One run at a time at two servers, also when another run comes from another machine with a journal of its own.

The lock beside the journal keeps runs of one directory apart. Here the servers themselves are held: by a program that waits on
each (:mod:`mailmove.remote.claim`) and goes when this run goes, or has not been heard for a while.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailmove.errors import MailmoveError, Refused
from mailmove.server import Server, unreachable
from mailmove.standby import ended, started

NAME = "mailmove"
LEASE_S = 90
BEAT_S = 15


class Claim:
    """Both servers, held for this run."""

    def __init__(self, servers: Iterable[Server], directory: Path, doing: str, name: str = NAME) -> None:
        """``directory``: where the journal lies, which nobody else on this machine works with. ``doing``: for a person to read."""
        self._servers = list(servers)
        where = f"{socket.gethostname()}:{directory}"
        self._asked = {
            "name": name,
            "run": f"{_machine()} {where}",
            "words": f"{getpass.getuser()}@{where} ({doing}, since {time.strftime('%F %T')})",
            "lease": LEASE_S,
        }
        self._held: dict[Server, subprocess.Popen[bytes]] = {}
        self._companions: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()  # set: nothing tells the servers that this run is there
        self._over.set()

    def hold(self) -> None:
        """Hold both, or see that they are still held. Raises Refused when another run has one of them; then none is held."""
        with self._lock:
            missing = [server for server in self._servers if not self._stands(server)]
            with ThreadPoolExecutor(len(self._servers)) as pool:
                problems = [each for each in pool.map(self._take, missing) if each]
        if problems:
            self.release()
            raise problems[0]
        if self._over.is_set():
            self._over = threading.Event()
            threading.Thread(target=self._beat, args=(self._over,), daemon=True).start()

    def release(self) -> None:
        """Let go of what is held."""
        self._over.set()
        with self._lock:
            for process in self._held.values():
                ended(process)
            self._held.clear()

    def accompany(self, process: subprocess.Popen[bytes]) -> None:
        """Tell another program on a server, too, that this run is there."""
        with self._lock:
            self._companions.append(process)

    def leave(self, process: subprocess.Popen[bytes]) -> None:
        """Tell it no more."""
        with self._lock:
            self._companions.remove(process)

    def _stands(self, server: Server) -> bool:
        process = self._held.get(server)
        if process is None:
            return False
        if process.poll() is None:
            return True
        ended(self._held.pop(server))
        return False

    def _take(self, server: Server) -> MailmoveError | None:
        process = started(server.ssh, "claim", first=json.dumps(self._asked).encode() + b"\n")
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            return unreachable(server, ended(process).error)
        answer = json.loads(line)
        if answer["held"]:
            self._held[server] = process
            return None
        ended(process)
        return Refused(
            f"another run of mailmove is at work on the {server.role} server ({server.target}): {answer['by']}",
            "wait until it ends, or end it there; two at once would get in each other's way. Of a machine that is gone"
            f" nothing is left after {LEASE_S} s",
        )

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT_S):
            with self._lock:
                for process in (*self._held.values(), *self._companions):
                    assert process.stdin
                    with contextlib.suppress(OSError):  # seen before the next move
                        process.stdin.write(b"\n")
                        process.stdin.flush()


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
