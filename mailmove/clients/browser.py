"""A real browser: Debian's Chromium, driven by Playwright, without a window. Playwright is known to this module only.

It trusts what the system trusts and one CA more, in a home of its own, and keys that it is told; no other certificate error
is ignored. It finds the site's name at an address of our choice: before the DNS switch the names lead elsewhere.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.sync_api import BrowserContext, Page, Playwright, sync_playwright
from playwright.sync_api import Error as PageError

from mailmove.errors import MailmoveError

__all__ = ["Browser", "BrowserError", "Page", "PageError", "Unusable", "patience", "screenshot"]

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
TIME_S = 40.0  # for one page, one click, one element to appear
SIZE = (1280, 900)  # pixels of a screenshot

_FLAGS = (
    "--no-sandbox",  # a sandbox inside a namespace as root is refused; it visits our own server only
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-domain-reliability",
    "--disable-default-apps",
    "--disable-extensions",
    "--password-store=basic",
)

T = TypeVar("T")


class BrowserError(MailmoveError):
    """There is no browser, or it could not do what it was told."""


class Unusable(BrowserError):
    """There is no browser on this machine that could look."""


class Browser:
    """A browser at work. A context manager; starts when first used, and keeps its pages apart per visit.

    Playwright lives in a thread of its own: it keeps an event loop running in its thread, which asyncio's users
    elsewhere must not meet.
    """

    def __init__(
        self,
        hosts: Mapping[str, str],
        ca_file: Path | None = None,
        known: Callable[[], Iterable[bytes]] = tuple,
    ) -> None:
        """``hosts`` maps names to the addresses they shall lead to; ``known`` tells certificates (DER) that are taken
        without a CA.
        """
        self._hosts = dict(hosts)
        self._ca_file = ca_file
        self._known = known
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="browser")
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self._playwright: Playwright | None = None
        self._context: BrowserContext | None = None

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.submit(self._stop).result()
        self._thread.shutdown()
        if self._home is not None:
            self._home.cleanup()

    def visit(self, story: Callable[[Page], T]) -> T:
        """Live through ``story`` on a fresh page, as a visitor who was never there before.

        Raises Unusable when there is no browser here, BrowserError when something on the page did not come.
        """
        return self._thread.submit(self._visit, story).result()

    def _visit(self, story: Callable[[Page], T]) -> T:
        context = self._context or self._start()
        context.clear_cookies()
        page = context.new_page()
        page.set_default_timeout(TIME_S * 1000)
        try:
            return story(page)
        except PageError as error:
            raise BrowserError(_say(error), "the screenshot shows what the browser saw") from None
        finally:
            with contextlib.suppress(PageError):
                page.close()

    def _start(self) -> BrowserContext:
        program = next((path for path in CHROMIUM if os.access(path, os.X_OK)), "")
        if not program:
            raise Unusable("Chromium is not installed on this machine", "apt-get install chromium")
        self._home = tempfile.TemporaryDirectory(prefix="mailmove-browser-")
        home = Path(self._home.name)
        if self._ca_file is not None:
            _trust(home, self._ca_file)
        keys = ",".join(map(_key, self._known()))
        rules = ",".join(f"MAP {name} {_bracketed(address)}" for name, address in self._hosts.items())
        try:
            self._playwright = sync_playwright().start()
            self._context = self._playwright.chromium.launch_persistent_context(
                str(home / "profile"),
                executable_path=program,
                headless=True,
                args=[
                    *_FLAGS,
                    *([f"--host-resolver-rules={rules}"] if rules else []),
                    *([f"--ignore-certificate-errors-spki-list={keys}"] if keys else []),
                ],
                # Nothing of the admin's own settings, display or proxies gets in
                env={"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                viewport={"width": SIZE[0], "height": SIZE[1]},
                locale="en-US",
            )
        except PageError as error:
            raise Unusable(f"Chromium does not start: {_say(error)}", f"try it by hand: {program} --headless") from None
        return self._context

    def _stop(self) -> None:
        with contextlib.suppress(PageError):
            if self._context is not None:
                self._context.close()
        if self._playwright is not None:
            self._playwright.stop()
        self._context = self._playwright = None


def screenshot(page: Page) -> bytes:
    """What is to be seen once the page has come to rest, as PNG."""
    with contextlib.suppress(PageError):
        page.wait_for_load_state("networkidle", timeout=3000)
    return page.screenshot(type="png", animations="disabled")


@contextlib.contextmanager
def patience(page: Page, seconds: float) -> Iterator[None]:
    """Wait at most ``seconds`` for things on the page."""
    page.set_default_timeout(seconds * 1000)
    try:
        yield
    finally:
        page.set_default_timeout(TIME_S * 1000)


def _key(certificate: bytes) -> str:
    """How Chromium names the key of a certificate."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def _trust(home: Path, ca_file: Path) -> None:
    """A certificate database with the CAs in ``ca_file``; Chromium reads it from its home."""
    if shutil.which("certutil") is None:
        raise Unusable(
            "certutil is not installed: the browser cannot be told to trust probes.ca_file",
            "apt-get install libnss3-tools",
        )
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    texts = [part.partition(end)[0] for part in ca_file.read_text("ascii", "replace").split(begin)[1:]]
    for place in (home / ".pki" / "nssdb", home / ".local" / "share" / "pki" / "nssdb"):  # the latter since 2025
        place.mkdir(parents=True)
        database = f"sql:{place}"
        _certutil("-N", "-d", database, "--empty-password")
        for number, text in enumerate(texts):
            one = home / f"ca-{number}.pem"
            one.write_text(f"{begin}{text}{end}\n", "ascii")
            _certutil("-A", "-d", database, "-n", f"mailmove {number}", "-t", "C,,", "-i", str(one))


def _certutil(*words: str) -> None:
    done = subprocess.run(["certutil", *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Unusable(f"certutil {words[0]}: {done.stderr.strip()}", "is probes.ca_file a file of PEM certificates?")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _say(error: Exception) -> str:
    """Playwright's first line: what follows is its log of waiting."""
    return str(error).strip().splitlines()[0].strip()
