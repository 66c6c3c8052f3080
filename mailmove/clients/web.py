"""A page by HTTP or HTTPS, asked at an address of our choice: before the DNS switch the names lead elsewhere."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailmove.clients import tls

TIME_S = 15.0
LONGEST_BODY = 2_000_000  # bytes; what comes after is not read


@dataclass(frozen=True)
class Page:
    """What came back. ``trouble`` is why nothing did (no connection, no trust); ``status`` is 0 then."""

    url: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = field(default=b"", repr=False)
    trouble: str = ""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def words(self) -> str:
        """The answer for a person."""
        if self.trouble:
            return self.trouble
        where = self.headers.get("location")
        return f"{self.status}" + (f" to {where}" if where else "")


def get(
    address: str,
    path: str = "/",
    *,
    name: str,
    port: int = 443,
    trust: tls.Trust | None = tls.BY_CA,
    headers: Mapping[str, str] | None = None,
) -> Page:
    """Ask for one page of the site ``name`` at ``address``; redirections are not followed. Port 80 is plain HTTP.

    Without ``trust`` whoever answers will do: only where nothing secret is sent.
    """
    plain = port == 80
    url = f"http{'' if plain else 's'}://{name}{path}"
    connection = http.client.HTTPConnection(name, port, timeout=TIME_S)
    try:
        if plain:
            connection.sock = socket.create_connection((address, port), TIME_S)
        elif trust is None:
            connection.sock = tls.dial(address, port, tls.context(name, verify=False), TIME_S)
        else:
            connection.sock = tls.trusting(name, trust, lambda using: tls.dial(address, port, using, TIME_S))
        connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        body = answer.read(LONGEST_BODY)
    except ssl.SSLCertVerificationError as error:
        return Page(url, trouble=tls.told(error))
    except (OSError, http.client.HTTPException) as error:
        return Page(url, trouble=f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    return Page(url, answer.status, {key.lower(): value for key, value in answer.getheaders()}, body)
