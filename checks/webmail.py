"""Webmail in a real browser (guide: webmail using Roundcube)."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes

from checks.outside import (
    Outside,
    expect,
    expect_arrived,
    expect_taken,
    find_all,
    post,
    ways_in,
    what_became_of,
)
from mailmove.clients import imap, letters, smtp, tls, web
from mailmove.clients import roundcube as visitor
from mailmove.clients import webmail as roundcube
from mailmove.clients.account import Account
from mailmove.clients.browser import Browser, BrowserError, Page, Unusable, screenshot
from mailmove.evidence import Evidence, Examination, Verdict
from mailmove.server import Server

ATTACHED = 50_000  # bytes of a file that is attached to a letter
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

# PHP's own word: the setting is an array that may be written in many ways
_PLUGINS = r"""
file=/etc/roundcube/config.inc.php
[ -r "$file" ] && php -r 'error_reporting(0); $config = array(); include $argv[1];
    echo implode("\n", (array) ($config["plugins"] ?? array()));' "$file"
true
"""

# The last words, if they are of these minutes; without PHP's complaints of its own
_ERRORS = r"""
find /var/log/roundcube /var/lib/roundcube/logs -maxdepth 1 -name 'errors*' -mmin -2 -exec cat {} + 2>/dev/null |
    grep -v 'PHP Deprecated' | tail -n 2 | cut -c1-400
"""


@dataclass(frozen=True)
class Webmail:
    """The webmail of a server, as a visitor finds it."""

    outside: Outside
    browser: Browser
    acquainted: Browser  # knows the server's own certificates, whoever vouches for them; started only if that is needed

    @property
    def url(self) -> str:
        """Where its login form is; empty if it is found nowhere."""
        return self._found[0]

    @property
    def seen(self) -> str:
        """What was found where the login form should be: the first page that said something."""
        return self._found[1]

    @functools.cached_property
    def _found(self) -> tuple[str, str]:
        server = self.outside.server
        offered = [line.split(" ", 1) for line in server.sh(_OFFERED).out.splitlines() if " " in line]
        names = [word for kind, word in offered if kind == "name"] or [self.outside.name]
        names.sort(key=lambda name: name != self.outside.name)
        paths = [*PATHS, *(word.rstrip("/") + "/" for kind, word in offered if kind == "path" and word[:1] == "/")]
        seen = ""
        for name in dict.fromkeys(name for name in names if re.fullmatch(r"[\w.-]+", name)):
            for path in dict.fromkeys(paths):
                # Whether its certificate is good is the browser's question
                page = web.get(server.address, path, name=name, trust=None)
                if roundcube.is_login_page(page.text):
                    return page.url, ""
                said = " ".join(re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", page.text, flags=re.S).split())[:300]
                seen = seen or f"{page.url}: {page.words} {said}".strip()
        return "", seen

    @functools.cached_property
    def distrust(self) -> str:
        """Why a browser would not trust its certificate; empty if it does."""
        return self._certificate[0]

    @functools.cached_property
    def is_a_stranger(self) -> bool:
        """Whether what answers there shows neither a certificate that is trusted nor one of the server's own."""
        return self._certificate[1]

    @functools.cached_property
    def _certificate(self) -> tuple[str, bool]:
        server = self.outside.server
        try:
            seen = tls.look(server.address, 443, "implicit", self.url.split("/")[2], server.trust.ca_file)
        except OSError:
            return "", False  # the browser will say so
        return seen.distrust, bool(seen.distrust) and not seen.is_one_of(server.own_certificates())

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

    return _told(exam, webmail, story, acquainted=False)


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
        hint="doveconf -n: does a passdb (static, nopassword, allow_nets) let in whoever calls from the server itself? Else a plugin "
        f"of Roundcube's does; {_LOGS} {_GUIDE}",
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
        if _logged_in(exam, webmail, page, account):
            text = roundcube.read(page, webmail.url, letter.mark)
            good = letter.mark in text and "äöüß" in text
            exam.expect(f"the text of the letter {letter.mark}", text, good, "its mark, and its umlauts unharmed")
        attach("a letter in the webmail", "image/png", screenshot(page))

    return _told(exam, webmail, story)


def letters_are_sent(webmail: Webmail, account: Account, other: Account, attach: Attach) -> Evidence:
    """A letter written in the browser arrives, with the file that is attached to it."""
    exam = _examination(
        webmail,
        "people write a letter in the browser, and it arrives",
        why="people could read but not answer",
        hint="smtp_host (smtp_server, smtp_port) in Roundcube's config.inc.php must be tls://NAME:587, with the name "
        "in the certificate; where no file can be attached: PHP's file_uploads on, upload_max_filesize large enough, and the temporary "
        f"directories www-data's to write; {_LOGS} {_GUIDE}",
    )
    mark = letters.new_mark()
    attached = f"{mark}.bin", secrets.token_bytes(ATTACHED)

    def story(page: Page) -> bool:
        if not _logged_in(exam, webmail, page, account):
            return False
        said = roundcube.send(page, webmail.url, other.email, f"from the browser {mark}", f"{mark}\nGrüße\n", attached)
        good = exam.expect(f"sending a letter with a file to {other.email}", said or "it was taken", not said, "taken")
        attach("a letter sent from the webmail", "image/png", screenshot(page))
        return good

    evidence = _told(exam, webmail, story)
    if not evidence.findings or not evidence.verdict.holds:
        return evidence
    _expect_there(exam, webmail.outside, other, mark, attached)
    return exam.close()


def contacts_are_kept(webmail: Webmail, account: Account, attach: Attach) -> Evidence:
    """Whom people write into their address book they find there again."""
    exam = _examination(
        webmail,
        "people find in their address book whom they wrote into it",
        why="an address book that forgets is noticed when somebody has to be written to",
        hint="address_book_type in Roundcube's config.inc.php must be sql, as it is by itself; does its database have "
        f"all tables? {_LOGS} {_GUIDE}",
    )
    last = f"Mailmove-{secrets.token_hex(4)}"

    def story(page: Page) -> None:
        if not _logged_in(exam, webmail, page, account):
            return
        said = roundcube.add_contact(page, webmail.url, "Mark", last, f"{last.lower()}@elsewhere.invalid")
        if exam.expect(f"writing Mark {last} into the address book", said or "kept", not said, "kept"):
            found = roundcube.find_contact(page, webmail.url, last)
            exam.expect(f"looking for {last}", ", ".join(found) or "nobody", f"Mark {last}" in found, f"Mark {last}")
            attach("a contact in the webmail", "image/png", screenshot(page))
            other = f"nobody-{secrets.token_hex(4)}"
            found = roundcube.find_contact(page, webmail.url, other)
            exam.expect(f"looking for {other}", ", ".join(found) or "nobody", not found, "nobody")
        else:
            attach("the address book of the webmail", "image/png", screenshot(page))

    return _told(exam, webmail, story)


def filters_take_effect(webmail: Webmail, account: Account, usual: bool, attach: Attach) -> Evidence:
    """A filter made in the browser sorts the next letter. ``usual``: people can make filters on the old server."""
    exam = _examination(
        webmail,
        "a filter made in the browser sorts letters",
        why="people sort their mail this way, and it must happen on the server, whatever program they read with",
        hint="the plugin managesieve must stand in Roundcube's plugins, managesieve_host in its configuration must be "
        f"where Dovecot's ManageSieve listens, and Dovecot's LMTP must load sieve; {_LOGS} {_GUIDE}",
    )
    words, places = f"sorted-{secrets.token_hex(4)}", [""]

    def story(page: Page) -> None:
        if not _logged_in(exam, webmail, page, account):
            return
        if not (usual or roundcube.offers(page, webmail.url, "plugin.managesieve")):
            return
        places[0], said = roundcube.add_filter(page, webmail.url, words, words)
        exam.expect(
            f"a filter: {words} in the subject goes to {places[0] or 'a folder'}", said or "kept", not said, "kept"
        )
        attach("a filter in the webmail", "image/png", screenshot(page))

    evidence = _told(exam, webmail, story)
    if not evidence.verdict.holds:
        return evidence
    if not places[0]:
        return exam.not_applicable(webmail.why_none() or "neither webmail lets people make filters")
    outside = webmail.outside
    written = [letters.compose(outside.sender, account.email, about=about) for about in (words, "not to be filed")]
    posted = post([(letter, account, outside.call([account.email], letter)) for letter in written])
    if expect_taken(exam, posted):
        found = expect_arrived(exam, outside, posted)
        for letter, folder in zip(written, (places[0], "INBOX"), strict=True):
            where = [each for each, _ in found.get(letter.mark, [])]
            asked = (
                f"where the letter {letter.mark} lies, {'with' if folder != 'INBOX' else 'without'} the filter's word"
            )
            exam.expect(asked, ", ".join(where) or "nowhere", where == [folder], folder)
    return exam.close()


def passwords_are_changed(webmail: Webmail, account: Account, usual: bool, attach: Attach) -> Evidence:
    """A password changed in the browser opens everything, the old one nothing. ``usual``: as on the old server."""
    exam = _examination(
        webmail,
        "a password changed in the browser is the only one from then on",
        why="who has lost a password to somebody else must be able to shut them out, at once and everywhere",
        hint="in the password plugin's config.inc.php: password_db_dsn must let mailadmin in, password_query change "
        f"the table that Dovecot reads, password_algorithm make what it understands; {_LOGS} {_GUIDE}",
    )
    new, changed = Account(account.email, secrets.token_urlsafe(18)), [False]

    def story(page: Page) -> None:
        if not _logged_in(exam, webmail, page, account):
            return
        if not (usual or roundcube.offers(page, webmail.url, "plugin.password")):
            return
        said = roundcube.change_password(page, webmail.url, account.password, new.password)
        changed[0] = exam.expect(f"changing the password of {account.email}", said or "changed", not said, "changed")
        attach("a password changed in the webmail", "image/png", screenshot(page))

    evidence = _told(exam, webmail, story)
    if not evidence.verdict.holds:
        return evidence
    if not changed[0]:
        return exam.not_applicable(webmail.why_none() or "neither webmail lets people change passwords")
    for words, which, good in (("the new password", new, True), ("the old password", account, False)):
        _expect_entrance(exam, webmail.outside, words, which, good)
    entrance = visitor.log_in(webmail.outside.server.address, webmail.url.split("/")[2], new, webmail.outside.trust)
    exam.expect("the new password in the webmail", entrance.words, entrance.let_in, "let in")
    return exam.close()


def _expect_entrance(exam: Examination, outside: Outside, words: str, account: Account, good: bool) -> None:
    """Write down whether a password opens the mailbox, and lets letters be sent."""
    expected = "let in" if good else "refused"
    try:
        with outside.mailbox(account):
            exam.expect(f"{words} by IMAP", "let in", good, expected)
    except imap.LoginRefused as error:
        exam.expect(f"{words} by IMAP", error.fact, not good, expected)
    except imap.ImapError as error:
        exam.unknown(f"{words} by IMAP", error.fact)
    for port, begins in ways_in(outside)[:1]:
        talk = smtp.converse_all([outside.submit(account, tls=begins, port=port)])[0]
        answers = talk.of("AUTH")
        expect(exam, f"{words} for sending", talk, bool(answers) and answers[0].good == good, expected)


def _logged_in(exam: Examination, webmail: Webmail, page: Page, account: Account) -> bool:
    said = roundcube.log_in(page, webmail.url, account)
    return exam.expect(f"log in as {account.email}", said or "the mailbox opens", not said, "the mailbox opens")


def plugins_of(server: Server) -> frozenset[str]:
    """The plugins that a server's Roundcube loads; empty if it has none, or no Roundcube."""
    return frozenset(server.sh(_PLUGINS).out.split())


def _expect_there(
    exam: Examination, outside: Outside, account: Account, mark: str, attached: tuple[str, bytes]
) -> None:
    try:
        with outside.mailbox(account) as box:
            places = find_all(box, [mark])[mark]
            parts = [part for folder, uid in places[:1] for part in message_from_bytes(box.raw(uid, folder)).walk()]
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return
    words = ", ".join(f"{folder} (UID {uid})" for folder, uid in places)
    words = words or f"not there; the server's log: {what_became_of(outside.server, account.email)}"
    if exam.expect(f"the letter {mark} in the mailbox of {account.email}", words, len(places) == 1, "there once"):
        name, content = attached
        found = [part.get_payload(decode=True) for part in parts if part.get_filename() == name]
        words = "byte for byte as it was" if found == [content] else "changed" if found else "not in the letter"
        exam.expect(f"the file {name} ({len(content):,} bytes)", words, found == [content], "byte for byte as it was")


def _examination(webmail: Webmail, title: str, why: str, hint: str) -> Examination:
    return Examination(title, str(webmail.outside.server), why=why, hint=hint)


def _told(exam: Examination, webmail: Webmail, story: Callable[[Page], object], *, acquainted: bool = True) -> Evidence:
    """Live through a story in the browser and close the examination.

    ``acquainted``: the browser may know the server by its own certificate where it does not trust it; that it must is
    another story.
    """
    if reason := webmail.why_none():
        return exam.not_applicable(reason)
    if not webmail.url:
        tried = f"https://{webmail.outside.name}/ and the usual paths, all names Apache serves"
        exam.expect(f"the login form of Roundcube at {tried}", webmail.seen or "not found", False, "found")
        return _with_its_log(exam, webmail)
    if acquainted and webmail.is_a_stranger:
        exam.unknown(webmail.url, f"{tls.DISTRUST}: {webmail.distrust}: nothing was asked; mend the certificate first")
        return exam.close()
    try:
        (webmail.acquainted if acquainted and webmail.distrust else webmail.browser).visit(story)
    except Unusable as error:
        exam.unknown("a look with a real browser", f"{error.fact}; {error.hint}")
    except BrowserError as error:
        exam.expect("what the browser did then", error.fact, False, "no error")
    return _with_its_log(exam, webmail)


def _with_its_log(exam: Examination, webmail: Webmail) -> Evidence:
    """Close the examination; what failed is told with what Roundcube has just written into its log."""
    evidence = exam.close()
    if evidence.verdict is not Verdict.FAILED:
        return evidence
    if lines := webmail.outside.server.sh(_ERRORS).out.strip():
        exam.expect("Roundcube's errors.log", lines, False, "nothing new")
    return exam.close()
