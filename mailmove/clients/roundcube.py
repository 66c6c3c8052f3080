"""Logging in to Roundcube as a browser does, without one: the form, its token, the session's cookies."""

from __future__ import annotations

import html
import http.client
import re
import ssl
import urllib.parse
from dataclasses import dataclass
from http.cookies import SimpleCookie

from mailmove.clients import tls
from mailmove.clients.account import Account

TIME_S = 20.0
PATHS = ("/", "/roundcube/", "/webmail/", "/mail/")
MOST_REDIRECTS = 4


@dataclass(frozen=True)
class Entrance:
    """How a login went. ``words`` are what came back, for a person."""

    let_in: bool
    words: str
    path: str = ""


class _Visit:
    """One visitor's requests, with the cookies of the site."""

    def __init__(self, address: str, name: str, trust: tls.Trust) -> None:
        self.address, self.name, self.trust = address, name, trust
        self.cookies: dict[str, str] = {}

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """(status, where it sends us, text)."""
        connection = http.client.HTTPConnection(self.name, 443, timeout=TIME_S)
        try:
            connection.sock = tls.trusting(
                self.name, self.trust, lambda using: tls.dial(self.address, 443, using, TIME_S)
            )
            headers = {"Connection": "close", "User-Agent": "Mozilla/5.0 (mailmove)"}
            if self.cookies:
                headers["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
            if form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode(form) if form is not None else None
            connection.request("GET" if form is None else "POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read(3_000_000).decode("utf-8", "replace")
            for line in answer.headers.get_all("Set-Cookie") or []:
                for key, morsel in SimpleCookie(line).items():
                    if morsel.value == "-del-":
                        self.cookies.pop(key, None)
                    else:
                        self.cookies[key] = morsel.value
            return answer.status, answer.headers.get("Location") or "", text
        finally:
            connection.close()


def log_in(address: str, name: str, account: Account, trust: tls.Trust) -> Entrance:
    """Log in at the webmail ``https://name/`` that is at ``address``; looks for it at the usual paths. Logs out again."""
    visit = _Visit(address, name, trust)
    try:
        path, text, seen = _form(visit)
        if not path:
            return Entrance(False, f"no login form of Roundcube's: {seen}")
        token = re.search(r'name="_token"[^>]*value="([^"]*)"', text)
        form = {
            "_task": "login",
            "_action": "login",
            "_timezone": "Europe/Berlin",
            "_url": "",
            "_user": account.email,
            "_pass": account.password,
            "_token": html.unescape(token[1]) if token else "",
        }
        status, where, text = visit.ask(path + "?_task=login", form)
        if status not in (302, 303):
            # The first attempt's answer may only set the session's cookie; then the form comes again with another token
            said = re.search(r'display_message\("((?:[^"\\]|\\.)*)"', text)
            return Entrance(False, f"not let in: {status} {said[1] if said else 'the login form again'}", path)
        status, _, text = visit.ask(urllib.parse.urljoin(path, where))
        inside = status == 200 and "rcmloginuser" not in text
        words = f"{status}, {'inside' if inside else 'the login form again'}"
        logout = re.search(r"[?]_task=logout[^\"']*_token=([\w-]+)", text)
        if logout:
            visit.ask(f"{path}?_task=logout&_token={logout[1]}")
        return Entrance(inside, words, path)
    except ssl.SSLCertVerificationError as error:
        return Entrance(False, tls.told(error))
    except (OSError, http.client.HTTPException) as error:
        return Entrance(False, f"{type(error).__name__}: {error}")


def _form(visit: _Visit) -> tuple[str, str, str]:
    seen = []
    for path in PATHS:
        status, where, text = visit.ask(path)
        for _ in range(MOST_REDIRECTS):
            if status not in (301, 302, 303, 307) or urllib.parse.urlsplit(where).netloc not in ("", visit.name):
                break
            path = urllib.parse.urlsplit(urllib.parse.urljoin(path, where)).path or "/"
            status, where, text = visit.ask(path)
        if "rcmloginuser" in text or "login-form" in text:
            return path, text, ""
        seen.append(f"{path} {status}")
    return "", "", ", ".join(seen)
