"""Webmail in a real browser (guide: webmail using Roundcube)."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from checks.outside import Outside, expect_arrived, expect_taken, find_all, post, what_became_of
from mailmove.clients import imap, letters, web
from mailmove.clients import webmail as roundcube
from mailmove.clients.account import Account
from mailmove.clients.browser import Browser, BrowserError, Page, Unusable, screenshot
from mailmove.evidence import Evidence, Examination

PATHS = ("/", "/roundcube/", "/webmail/", "/mail/", "/rc/")

Attach = Callable[[str, str, bytes], None]
"""Puts a picture on record: its name, media type and content."""

_GUIDE = "(guide: webmail using Roundcube)"
_LOGS = "/var/log/roundcube/errors.log and Apache's error.log on the server say more"

# Names and paths under which Apache offers something; nothing where there is no Apache
_OFFERED = r"""
{ apache2ctl -t -D DUMP_VHOSTS 2>/dev/null | sed -nE 's/.*(443 namevhost|:443) +([^ ]+) .*/name \2/p'
  grep -rhsiE '^[[:space:]]*Alias[[:space:]]' /etc/apache2/*-enabled /etc/roundcube/apache.conf |
    sed -nE 's/^[[:space:]]*[Aa]lias[[:space:]]+"?([^" ]+)"?[[:space:]]+.*roundcube.*/path \1/p'
} | awk '!seen[$0]++'
"""


@dataclass(frozen=True)
class Webmail:
    """The webmail of a server, as a visitor finds it."""

    outside: Outside
    browser: Browser

    @functools.cached_property
    def url(self) -> str:
        """Where its login form is; empty if it is found nowhere."""
        server = self.outside.server
        offered = [line.split(" ", 1) for line in server.sh(_OFFERED).out.splitlines() if " " in line]
        names = [word for kind, word in offered if kind == "name"] or [self.outside.name]
        names.sort(key=lambda name: name != self.outside.name)
        paths = [*PATHS, *(word.rstrip("/") + "/" for kind, word in offered if kind == "path" and word[:1] == "/")]
        for name in dict.fromkeys(name for name in names if re.fullmatch(r"[\w.-]+", name)):
            for path in dict.fromkeys(paths):
                # Whether its certificate is good is the browser's question
                page = web.get(server.address, path, name=name, ca_file=self.outside.ca_file, verify=False)
                if roundcube.is_login_page(page.text):
                    return page.url
        return ""

    def why_none(self) -> str:
        """Why there is no webmail; empty if there is, or should be."""
        facts = self.outside.server.facts
        if self.url or facts.roundcube or {"roundcube", "roundcube-core"} & set(facts.packages):
            return ""
        return "no Roundcube on this server, neither as a package nor as a database nor behind its web server"


def certificate_is_trusted(webmail: Webmail, attach: Attach) -> Evidence:
    """A browser opens the webmail without a warning."""
    exam = _examination(
        webmail,
        "a browser opens the webmail without a warning",
        why="people who learn to click warnings away give their password to anybody",
        hint="the certificate must be issued for this very name by a CA that browsers trust, and Apache restarted "
        "since (guide: creating a TLS encryption key and certificate)",
    )

    def story(page: Page) -> None:
        answer = page.goto(webmail.url)
        details = dict((answer.security_details() if answer else None) or {})
        words = f"{answer.status if answer else 'no answer'}, {details.get('protocol', 'no TLS')}, "
        words += f"certificate for {details.get('subjectName', '?')} by {details.get('issuer', '?')}"
        exam.expect(f"open {webmail.url}", words, bool(answer and answer.ok and details), "the page, without a warning")
        exam.expect("what is to be seen", page.title(), page.locator(roundcube.FORM).count() > 0, "the login form")
        attach("the webmail's login page", "image/png", screenshot(page))

    return _told(exam, webmail, story)


def plain_visitors_are_led_to_tls(webmail: Webmail) -> Evidence:
    """Whoever types the address without https is led to the encrypted page."""
    exam = _examination(
        webmail,
        "whoever types the plain address is led to the encrypted one",
        why="people type names, not https://; their password must not go over the line in the clear",
        hint=f"a RewriteRule in the virtual host for port 80 {_GUIDE}",
    )
    if reason := webmail.why_none():
        return exam.not_applicable(reason)
    name = webmail.url.split("/")[2] if webmail.url else webmail.outside.name
    page = web.get(webmail.outside.server.address, "/", name=name, port=80)
    if page.trouble:
        return exam.not_applicable(f"nothing is offered without TLS: {page.trouble}")
    leads = page.status in (301, 302, 303, 307, 308) and page.headers.get("location", "").startswith("https://")
    form = roundcube.is_login_page(page.text)
    exam.expect(page.url, page.words + (": the login form" if form else ""), leads, "redirected to https")
    return exam.close()


def wrong_passwords_are_refused(webmail: Webmail, account: Account, attach: Attach) -> Evidence:
    """A wrong password lets nobody into the webmail."""
    exam = _examination(
        webmail,
        "a wrong password does not open the webmail",
        why="a login that lets in whoever comes is none",
        hint=f"{_LOGS} {_GUIDE}",
    )
    wrong = Account(account.email, account.password[::-1] + "x")

    def story(page: Page) -> None:
        said = roundcube.log_in(page, webmail.url, wrong)
        exam.expect(f"log in as {account.email} with a wrong password", said or "let in", bool(said), "refused")
        attach("a wrong password is refused", "image/png", screenshot(page))

    return _told(exam, webmail, story)


def letters_are_read(webmail: Webmail, account: Account, attach: Attach) -> Evidence:
    """Whoever logs in finds a letter that has just come from outside, and reads it."""
    exam = _examination(
        webmail,
        "people log in and read their mail in the browser",
        why="for many people this page is their mail",
        hint="imap_host (default_host) in Roundcube's config.inc.php must be the name in the certificate; "
        f"{_LOGS} {_GUIDE}",
    )
    if reason := webmail.why_none():
        return exam.not_applicable(reason)
    outside = webmail.outside
    letter = letters.compose(outside.sender, account.email, text="Ein Gruß aus der Ferne, mit Umlauten: äöüß")
    posted = post([(letter, account, outside.call([account.email], letter))])
    if not expect_taken(exam, posted) or not expect_arrived(exam, outside, posted).get(letter.mark):
        return exam.close()

    def story(page: Page) -> None:
        said = roundcube.log_in(page, webmail.url, account)
        if exam.expect(f"log in as {account.email}", said or "the mailbox opens", not said, "the mailbox opens"):
            text = roundcube.read(page, webmail.url, letter.mark)
            good = letter.mark in text and "äöüß" in text
            exam.expect(f"the text of the letter {letter.mark}", text, good, "its mark, and its umlauts unharmed")
        attach("a letter in the webmail", "image/png", screenshot(page))

    return _told(exam, webmail, story)


def letters_are_sent(webmail: Webmail, account: Account, other: Account, attach: Attach) -> Evidence:
    """A letter written in the browser arrives."""
    exam = _examination(
        webmail,
        "people write a letter in the browser, and it arrives",
        why="people could read but not answer",
        hint="smtp_host (smtp_server, smtp_port) in Roundcube's config.inc.php must be tls://NAME:587, with the name "
        f"in the certificate; {_LOGS} {_GUIDE}",
    )
    mark = letters.new_mark()

    def story(page: Page) -> bool:
        said = roundcube.log_in(page, webmail.url, account)
        if not exam.expect(f"log in as {account.email}", said or "the mailbox opens", not said, "the mailbox opens"):
            return False
        said = roundcube.send(page, webmail.url, other.email, f"from the browser {mark}", f"{mark}\nGrüße\n")
        good = exam.expect(f"sending a letter to {other.email}", said or "it was taken", not said, "taken")
        attach("a letter sent from the webmail", "image/png", screenshot(page))
        return good

    evidence = _told(exam, webmail, story)
    if not evidence.findings or not evidence.verdict.holds:
        return evidence
    _expect_there(exam, webmail.outside, other, mark)
    return exam.close()


def _expect_there(exam: Examination, outside: Outside, account: Account, mark: str) -> None:
    try:
        with outside.mailbox(account) as box:
            places = find_all(box, [mark])[mark]
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return
    words = ", ".join(f"{folder} (UID {uid})" for folder, uid in places)
    words = words or f"not there; the server's log: {what_became_of(outside.server, account.email)}"
    exam.expect(f"the letter {mark} in the mailbox of {account.email}", words, len(places) == 1, "there once")


def _examination(webmail: Webmail, title: str, why: str, hint: str) -> Examination:
    return Examination(title, str(webmail.outside.server), why=why, hint=hint)


def _told(exam: Examination, webmail: Webmail, story: Callable[[Page], object]) -> Evidence:
    """Live through a story in the browser and close the examination."""
    if reason := webmail.why_none():
        return exam.not_applicable(reason)
    if not webmail.url:
        tried = f"https://{webmail.outside.name}/ and the usual paths, all names Apache serves"
        exam.expect(f"the login form of Roundcube at {tried}", "not found", False, "found")
        return exam.close()
    try:
        webmail.browser.visit(story)
    except Unusable as error:
        exam.unknown("a look with a real browser", f"{error.fact}; {error.hint}")
    except BrowserError as error:
        exam.expect("what the browser did then", error.fact, False, "no error")
    return exam.close()
