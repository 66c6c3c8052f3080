"""What a server's systemd says of its services. Asks only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mailmove.server import Server


def unit_states(server: Server, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """LoadState, UnitFileState and ActiveState of units, by the names asked for."""
    every = list(names)
    out = server.run("systemctl", "show", "-p", "LoadState,UnitFileState,ActiveState", *every, check=True).out
    return dict(zip(every, parse_units(out), strict=True))


def parse_units(text: str) -> list[dict[str, str]]:
    """Blocks of ``Name=value`` lines with an empty line between."""
    blocks = (block.splitlines() for block in text.strip().split("\n\n"))
    return [dict(line.partition("=")[::2] for line in block if line) for block in blocks]


def exists(state: Mapping[str, str]) -> bool:
    """Whether there is such a unit at all."""
    return state.get("LoadState") not in ("not-found", "", None)


def is_running(server: Server, unit: str) -> bool:
    """Whether a unit is active."""
    return unit_states(server, [unit])[unit].get("ActiveState") == "active"


def postfix_runs(server: Server) -> bool:
    """Whether its master is there, whichever unit started it."""
    return server.run("postfix", "status").ok


def clock(server: Server) -> float:
    """The server's own time, in seconds since 1970."""
    return float(server.run("date", "+%s.%N", check=True).out)
