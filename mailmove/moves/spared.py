"""This machine, left alone by the new server's fail2ban while mailmove tries wrong passwords there on purpose.

The address is the one ssh comes from anyway. It is told to the running fail2ban only, stands in no file, and is taken
back there when this run ends, however it ends (:mod:`mailmove.remote.shutout`).
"""

from __future__ import annotations

import json
import subprocess

from checks import shutout
from mailmove.claim import LEASE_S, Claim
from mailmove.server import Server
from mailmove.standby import ended, started

PACKAGE = "fail2ban"


class Spared:
    """For one run, this machine's addresses are ignored by every jail on a server. Where no fail2ban runs nothing is done."""

    def __init__(self, server: Server, claim: Claim) -> None:
        """``claim``: what tells the server that this run is there."""
        self._server = server
        self._claim = claim
        self._process: subprocess.Popen[bytes] | None = None
        self.jails: list[tuple[str, str]] = []
        """Each jail with the address that it ignores for this run."""

    def begin(self) -> None:
        """Have them ignored from now on, again if a connection that broke ended it. What does not succeed is seen by the check
        that looks for it."""
        if PACKAGE not in self._server.known.packages or (self._process and self._process.poll() is None):
            return
        self.end()
        asked = json.dumps({"addresses": shutout.ours(self._server), "lease": LEASE_S}).encode() + b"\n"
        process = started(self._server.ssh, "shutout", first=asked)
        assert process.stdout
        line = process.stdout.readline()
        self.jails = [(jail, address) for jail, address in json.loads(line)["spared"]] if line else []
        if not self.jails:
            ended(process)
            return
        self._process = process
        self._claim.accompany(process)

    def end(self) -> None:
        """Have them watched again. Returns when it is so."""
        if self._process:
            self._claim.leave(self._process)
            ended(self._process)
            self._process = None
