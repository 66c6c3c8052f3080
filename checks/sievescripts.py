"""The Sieve scripts of a server, as they lie there: people's and the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailmove.clients.account import Account
from mailmove.server import Server


@dataclass(frozen=True)
class Script:
    """A script: whose (empty: the server's own), in which file, whether it is in use, and what it says."""

    owner: str
    path: str
    active: bool
    text: str

    @property
    def where(self) -> str:
        """Whose script it is and its name, for a person."""
        name = self.path.rpartition("/")[2]
        return f"{name} of {self.owner}" if self.owner else f"{self.path} of the server"


@dataclass(frozen=True)
class Scripts:
    """All scripts of a server, and what could not be read."""

    all: tuple[Script, ...]
    problems: tuple[str, ...]


def read(server: Server) -> Scripts:
    """The scripts of everybody in the database and of the server itself. Reads files, nothing else."""
    *found, end = server.remote("sieve_scripts", {"do": "read", "users": server.facts.users}, timeout_s=600)
    return Scripts(tuple(Script(**each) for each in found), tuple(end["problems"]))


def compile_on(server: Server, account: Account, scripts: Sequence[Script]) -> dict[Script, str]:
    """What ``server`` says against each script; empty if it takes it. Scripts of one text are tried once.

    People's are put into the storage of ``account``, a probe, and taken away; they never become active.
    """
    texts = list(dict.fromkeys((bool(each.owner), each.text) for each in scripts))
    wanted = [{"owner": account.email if personal else "", "text": text} for personal, text in texts]
    program = server.remote("sieve_scripts", {"do": "compile", "user": account.email, "scripts": wanted}, timeout_s=600)
    said = dict(zip(texts, (each["said"] for each in program), strict=True))
    return {each: said[bool(each.owner), each.text] for each in scripts}
