"""Looks for the lab's secrets where none may be: process lists while mailmove runs, and what it wrote, here and on the servers."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from mailmove.lab.lab import Lab

# Databases' passwords, DKIM and TLS keys' first lines, where the guide keeps them
_SECRETS = r"""
grep -rhoE '^password *= *\S+' /etc/postfix/*.cf | sed 's/.*= *//'
sed -nE "s/^\\\$dbpass *= *'(.*)';/\1/p" /etc/roundcube/debian-db.php
for key in /var/lib/rspamd/dkim/*.key /etc/letsencrypt/live/*/privkey.pem; do sed -n 3p "$key" 2>/dev/null; done
mariadb -BNe "SELECT password FROM mailserver.virtual_users" | sed 's/^{[^}]*}//'
true
"""
_SEARCH = r"""
grep -rlF -f - /var/log /tmp /var/tmp /run/log /root/.bash_history 2>/dev/null | grep -v '^/var/log/journal/.*~$'
true
"""
SHORTEST = 8  # what is shorter stands anywhere by chance


def secrets_of(lab: Lab) -> list[str]:
    """Passwords, hashes and keys that nobody but their owner may see."""
    found = {user["password"] for user in json.loads((lab.home / "lab.json").read_text())["users"]["users"]}
    found |= set((lab.home / "id_ed25519").read_text().splitlines()[1:3])
    found |= set(re.findall(r'secret "([^"]+)"', (lab.home / "tsig.key").read_text()))
    found.add((lab.home / "tsig.key").read_text().split()[-1])
    for host in ("old", "new"):
        said = subprocess.run(
            lab.ssh(host, "sh -s"), input=_SECRETS, capture_output=True, text=True, check=True, timeout=60
        )
        found |= set(said.stdout.splitlines())
    return sorted(each.strip() for each in found if len(each.strip()) >= SHORTEST)


class Watch:
    """A context manager: ``seen`` are command lines with a secret in them, of any process of any machine of the lab."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = [each.encode() for each in secrets]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: set[str] = set()
        self.looks = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            self.looks += 1
            # Not by glob: it asks whether each file is there, and a process that ends meanwhile would end the watch
            for process in Path("/proc").iterdir():
                try:
                    line = (process / "cmdline").read_bytes()
                except OSError:  # no process, or one that has ended
                    continue
                for secret in self._secrets:
                    if secret in line:
                        self.seen.add(
                            line.replace(b"\0", b" ")
                            .decode("utf-8", "replace")
                            .replace(secret.decode(), "SECRET")[:300]
                        )


def written(lab: Lab, secrets: list[str], *places: Path) -> list[str]:
    """Files with a secret in them: logs and temporary files of both servers, and ``places`` here."""
    found = []
    for host in ("old", "new"):
        said = subprocess.run(
            lab.ssh(host, _SEARCH),
            input="\n".join(secrets) + "\n",
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        found += [f"{host}: {line}" for line in said.stdout.splitlines()]
    for place in places:
        for path in [place] if place.is_file() else place.rglob("*"):
            if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets):
                found.append(f"here: {path}")
    return found
