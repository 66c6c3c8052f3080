"""A page by HTTP or HTTPS, asked at an address of our choice: before the DNS switch the names lead elsewhere."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
    ca_file: Path | None = None,
    verify: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Page:
    """Ask for one page of the site ``name`` at ``address``; redirections are not followed. Port 80 is plain HTTP."""
    plain = port == 80
    url = f"http{'' if plain else 's'}://{name}{path}"
    connection = http.client.HTTPConnection(name, port, timeout=TIME_S)
    try:
        connection.sock = socket.create_connection((address, port), TIME_S)
        if not plain:
            context = tls.context(name, ca_file, verify=verify)
            connection.sock = context.wrap_socket(connection.sock, server_hostname=name)
        connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        body = answer.read(LONGEST_BODY)
    except ssl.SSLCertVerificationError as error:
        return Page(url, trouble=f"the certificate is not trusted: {error.verify_message}")
    except (OSError, http.client.HTTPException) as error:
        return Page(url, trouble=f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    return Page(url, answer.status, {key.lower(): value for key, value in answer.getheaders()}, body)
