"""What is to be moved: two servers and what stands in ``mailmove.toml``. Frozen once loaded."""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from mailmove.errors import SettingsError
from mailmove.server import Connection, Server

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(text: object) -> float:
    """``"20s"``, ``"90min"``, ``"7d"`` as seconds. Raises ValueError naming what is allowed."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)", str(text))
    if not match:
        raise ValueError(f"{text!r} is no length of time; write for example 20s, 90min, 24h, 7d")
    return float(match[1]) * _UNITS[match[2]]


Seconds = Annotated[float, pydantic.BeforeValidator(seconds)]


def _target(text: str) -> str:
    """What ssh takes for a place, and for nothing else. Raises ValueError."""
    if text.startswith("-") or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no ssh target; write root@host, or ssh://root@host:port")
    return text


Target = Annotated[str, pydantic.AfterValidator(_target)]


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Servers(_Table):
    """``[servers]``: how to reach the two servers by ssh, as root or as somebody who becomes root by sudo."""

    old: Target
    new: Target
    ssh_config: Path | None = None


class Dns(_Table):
    """``[dns]``: how the records are changed, and by whom."""

    ttl: Annotated[int, pydantic.Field(ge=1, le=3600)] = 60
    switch: Literal["mx", "address", "both"] = "mx"
    update: Literal["rfc2136", "manual"] = "manual"
    tsig_name: str = ""
    tsig_algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    tsig_secret_file: Path | None = None
    resolver: str = ""
    blocklists: tuple[Annotated[str, pydantic.Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")], ...] = ()
    manual_wait: Seconds = 86400.0

    @pydantic.model_validator(mode="after")
    def _a_key_for_updates(self) -> Dns:
        if self.update == "rfc2136" and not (self.tsig_name and self.tsig_secret_file):
            raise ValueError('update = "rfc2136" needs tsig_name and tsig_secret_file')
        return self


class Announcement(_Table):
    """``[announcement]``: when the move is, and how the people were told."""

    date: dt.datetime
    send: bool = False
    attested_by: str = ""
    attested_on: dt.date | None = None
    subject: str = "Our mail server is moving"
    text: str = ""


class Retirement(_Table):
    """``[retirement]``: how long the new server must have been quiet and alone."""

    quiet: Seconds = 7 * 86400.0
    backup_directory: Path = Path("/var/backups/mailmove")


class Probes(_Table):
    """``[probes]``: letters and logins from outside."""

    sender: str = "postmaster@localhost.invalid"
    recipient: str = ""
    imap_host: str = ""
    imap_user: str = ""
    imap_password_file: Path | None = None
    ca_file: Path | None = None


class Gates(_Table):
    """``[gates]``: how old a verdict may be, and the file that holds the DNS switch."""

    max_age: Seconds = 86400.0
    hold: Path | None = None


class Copy(_Table):
    """``[copy]``: the Maildirs."""

    streams: Annotated[int, pydantic.Field(ge=1, le=32)] = 4
    folders: Literal["keep", "rename"] = "keep"
    only_on_new: Literal["refuse", "bring"] = "refuse"
    bwlimit: str = ""
    fresh: Seconds = 6 * 3600.0


class Waiver(_Table):
    """``[[waiver]]``: a required scenario that may fail: which, why, who says so, until when."""

    scenario: str
    reason: str
    by: str
    until: dt.date


class Taken(_Table):
    """``[[decision]]``: a difference between the servers that is meant: which, why, who says so."""

    difference: str
    reason: str
    by: str


class Settings(_Table):
    """All of ``mailmove.toml``."""

    servers: Servers
    dns: Dns = Dns()
    announcement: Announcement | None = None
    retirement: Retirement = Retirement()
    probes: Probes = Probes()
    gates: Gates = Gates()
    copy_: Annotated[Copy, pydantic.Field(alias="copy")] = Copy()
    waiver: tuple[Waiver, ...] = ()
    decision: tuple[Taken, ...] = ()


def tables() -> dict[str, type[pydantic.BaseModel]]:
    """The tables of ``mailmove.toml`` by name, with the model of each."""
    return {
        "servers": Servers,
        "dns": Dns,
        "announcement": Announcement,
        "retirement": Retirement,
        "probes": Probes,
        "gates": Gates,
        "copy": Copy,
        "waiver": Waiver,
        "decision": Taken,
    }


def load_settings(path: Path | None, old: str | None = None, new: str | None = None) -> Settings:
    """Read ``mailmove.toml``; ``old`` and ``new`` from the command line go before what stands there.

    Raises SettingsError naming each wrong key, where it is, and what instead.
    """
    raw: dict[str, object] = {}
    if path is not None and path.exists():
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{path} is no TOML: {error}", "correct that line; docs/settings.md shows every key"
            ) from None
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}", "check its owner and mode") from None
    servers = raw.setdefault("servers", {})
    if isinstance(servers, dict):
        servers.update({role: target for role, target in (("old", old), ("new", new)) if target})
        if not servers.get("old") or not servers.get("new"):
            missing = " and ".join(role for role in ("old", "new") if not servers.get(role))
            raise SettingsError(
                f"no servers named: {missing} missing" + (f" in {path}" if path and path.exists() else ""),
                "pytest features/ --old root@old.example.org --new root@new.example.org;"
                " or --lab to try it without servers of your own",
            )
    try:
        return Settings.model_validate(raw)
    except pydantic.ValidationError as error:
        where = path or "the command line"
        lines = [_say(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors()]
        raise SettingsError(
            "\n".join(f"{where}: {line}" for line in lines), "docs/settings.md shows every key with its default"
        ) from None


def _say(loc: Iterable[int | str], kind: str, message: str) -> str:
    place = ".".join(str(part) for part in loc)
    if kind == "extra_forbidden":
        *above, key = place.split(".")
        near = difflib.get_close_matches(key, _keys(".".join(above)), n=1)
        return f"unknown key {place!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if kind == "missing":
        return f"key {place!r} is missing"
    return f"{place}: {message.removeprefix('Value error, ')}"


def _keys(table: str) -> list[str]:
    model = tables().get(table.split(".")[0], Settings if not table else _Table)
    return [field.alias or name for name, field in model.model_fields.items()]


@dataclass(frozen=True)
class Migration:
    """The two servers, their settings, and the place where the journal lies."""

    settings: Settings
    old: Server
    new: Server
    directory: Path  # where mailmove.toml lies: the journal and the copies taken for undo lie beside it
    connection: Connection

    @property
    def journal_file(self) -> Path:
        return self.directory / "mailmove.journal"

    @property
    def id(self) -> str:
        """Says which two machines: a journal of another migration is refused by it."""
        return hashlib.sha256(f"{self.old.known.machine_id} {self.new.known.machine_id}".encode()).hexdigest()[:12]

    @property
    def domains(self) -> list[str]:
        """The domains to be moved: all that the old server hosts."""
        return self.old.facts.domains


def load(
    path: Path, old: str | None = None, new: str | None = None, pinned: dict[str, tuple[str, str]] | None = None
) -> Migration:
    """The migration that ``path`` (mailmove.toml) and the command line describe. Opens no connection yet."""
    settings = load_settings(path, old, new)
    connection = Connection(settings.servers.ssh_config, pinned)
    return Migration(
        settings,
        Server("old", settings.servers.old, connection, settings.probes.ca_file),
        Server("new", settings.servers.new, connection, settings.probes.ca_file),
        path.resolve().parent,
        connection,
    )
