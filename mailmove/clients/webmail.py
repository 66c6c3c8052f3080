"""Roundcube as people use it, on a browser's page. Knows 1.4 to 1.6, skins elastic and larry.

Letters are looked for by their mark. What a skin moves about (buttons, panes) is reached by the addresses and
the element names that all skins share.
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from typing import Literal

from mailmove.clients.account import Account
from mailmove.clients.browser import BrowserError, Page, PageError, patience

FORM = "#rcmloginuser, input[name=_user]"
_MESSAGES = "#messagestack > *, #message > *"
_SAID = re.compile(r'display_message\("((?:[^"\\]|\\.)*)","(\w+)"')
_ANSWER_S = 60.0  # a busy server; sending includes the milter and the copy in Sent
_REST_S = 15.0  # until a page has fetched all it shows

# It goes back to the list when the letter was taken, and stays where it is when it was not
_ANSWERED = """selector => !location.href.includes('_action=compose') ||
    [...document.querySelectorAll(selector)].some(e => /error|warning|danger/.test(e.className))"""


# A file is there when its upload has ended; what could not be taken is told in the corner
_ATTACHED = """selector => Object.values((window.rcmail || {env: {}}).env.attachments || {}).some(each => each.complete) ||
    [...document.querySelectorAll(selector)].some(e => /error|warning|danger/.test(e.className))"""


def is_login_page(html: str) -> bool:
    """Whether a page is Roundcube's login form."""
    return 'name="_user"' in html and 'name="_pass"' in html and "rcmail" in html


def log_in(page: Page, url: str, account: Account) -> str:
    """Log in; empty when in, else what Roundcube said. Raises BrowserError when it did not come to that.

    Comes back when the page has come to rest, as a person would wait for it. Roundcube's requests of one session do not
    wait for each other (rcube_session.php): the list that is still being fetched writes the session as it read it, and
    a letter begun meanwhile is lost with "compose session error".
    """
    page.goto(url)
    if not page.url.startswith("https://"):
        raise BrowserError(
            f"the login form stands in an unencrypted page ({page.url}): no password was typed",
            "let the web server lead people to https (guide: webmail)",
        )
    page.locator(FORM).first.fill(account.email)
    page.locator("input[name=_pass]").fill(account.password)
    with page.expect_navigation(wait_until="load"):
        page.locator("input[name=_pass]").press("Enter")
    if page.locator(FORM).count() == 0 and "_task=mail" in page.url:
        _come_to_rest(page)
        return ""
    return _message(page) or f"the login form came back without a word ({page.url})"


def read(page: Page, url: str, mark: str) -> str:
    """Find a letter in the list of the inbox and open it; its text. Must be logged in."""
    page.goto(_at(url, _task="mail", _mbox="INBOX"))
    row = page.locator(f"#messagelist tr:has-text('{mark}')").first
    row.wait_for(state="visible")
    link = row.locator("a[href*='_uid=']").first.get_attribute("href")
    if not link:
        raise BrowserError(f"the letter {mark} is in the list, but cannot be opened", "the screenshot shows the list")
    address = urllib.parse.urljoin(page.url, link)
    page.goto(address if "_action=" in address else address + "&_action=show")
    body = page.locator("#messagebody")
    body.wait_for(state="visible")
    return body.inner_text()


def send(page: Page, url: str, recipient: str, subject: str, text: str, attached: tuple[str, bytes]) -> str:
    """Write a letter with a file (its name and content) and send it; what Roundcube complains of, empty when it took it.

    Must be logged in.
    """
    page.goto(_at(url, _task="mail", _action="compose", _to=recipient, _subject=subject, _body=text))
    button = page.locator("button.send:visible, a.button.send:visible, a.send:visible").first
    try:
        page.locator("input[name=_subject]").wait_for(state="visible")
        button.wait_for(state="visible")
    except PageError:
        seen = " ".join(page.locator("body").inner_text().split())[:300]
        raise BrowserError(
            f"Roundcube shows no form to write a letter in; it says: {_message(page) or 'nothing'}; the page: {seen}",
            "see Roundcube's errors.log on the server",
        ) from None
    if said := _attach(page, *attached):
        return said
    button.click()
    with patience(page, _ANSWER_S):
        try:
            page.wait_for_function(_ANSWERED, arg=_MESSAGES)
        except PageError:
            raise BrowserError(
                f"Roundcube did not say within {_ANSWER_S:.0f} s whether the letter was sent", "is port 587 slow there?"
            ) from None
        said = _message(page) if "_action=compose" in page.url else ""
    _come_to_rest(page, "load")
    return said


def _attach(page: Page, name: str, content: bytes) -> str:
    """Attach a file to the letter that is being written; what Roundcube complains of, empty when it took it."""
    chooser = page.locator("input[type=file][name='_attachments[]']").first
    chooser.set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})
    with patience(page, _ANSWER_S):
        page.wait_for_function(_ATTACHED, arg=_MESSAGES)
    taken = page.evaluate("Object.values(rcmail.env.attachments || {}).some(each => each.complete)")
    return "" if taken else f"attaching {name} ({len(content):,} bytes): {_message(page)}"


def add_contact(page: Page, url: str, first: str, last: str, address: str) -> str:
    """Write somebody into the address book; what Roundcube complains of, empty when it kept it. Must be logged in."""
    page.goto(_at(url, _task="addressbook", _action="add", _framed="1"))
    page.locator("input[name=_firstname]").fill(first)
    page.locator("input[name=_surname]").fill(last)
    page.locator("input[name='_email[]']").first.fill(address)
    return _saved(page)


def find_contact(page: Page, url: str, words: str) -> list[str]:
    """The names in the address book that a search for ``words`` finds. Must be logged in."""
    page.goto(_at(url, _task="addressbook"))
    _come_to_rest(page)
    page.locator("input[name=_q]").fill(words)
    with page.expect_response(lambda answer: "_action=search" in answer.url):
        page.locator("input[name=_q]").press("Enter")
    _come_to_rest(page)
    return [text.strip() for text in page.locator("#contacts-table tbody tr:visible").all_inner_texts()]


def add_filter(page: Page, url: str, name: str, words: str) -> tuple[str, str]:
    """Make a filter that puts letters with ``words`` in the subject into a folder other than the inbox.

    Returns the folder and what Roundcube complains of, empty when it kept the filter. Must be logged in.
    """
    page.goto(_at(url, _task="settings", _action="plugin.managesieve-action", _framed="1", _new="1", _nav="hide"))
    if page.locator("input[name=_name]").count() == 0:
        return "", _seen(page)
    page.locator("input[name=_name]").fill(name)
    page.locator("select[name='_header[0]']").select_option("subject")
    page.locator("[name='_rule_target[0][]']:visible").first.fill(words)
    page.locator("select[name='_action_type[0]']").select_option("fileinto")
    folders = page.locator("select[name='_action_mailbox[0]']")
    named = [option.get_attribute("value") or "" for option in folders.locator("option").all()]
    folder = next((each for each in reversed(named) if each.upper() != "INBOX"), "INBOX")
    folders.select_option(folder)
    return folder, _saved(page)


def change_password(page: Page, url: str, old: str, new: str) -> str:
    """Change the password; what Roundcube complains of, empty when it was changed. Must be logged in."""
    page.goto(_at(url, _task="settings", _action="plugin.password"))
    if page.locator("input[name=_newpasswd]").count() == 0:
        return _seen(page)
    if page.locator("input[name=_curpasswd]").count():
        page.locator("input[name=_curpasswd]").fill(old)
    page.locator("input[name=_newpasswd]").fill(new)
    page.locator("input[name=_confpasswd]").fill(new)
    return _saved(page)


def offers(page: Page, url: str, action: str) -> bool:
    """Whether the settings have a page for ``action`` (plugin.password, plugin.managesieve). Must be logged in."""
    page.goto(_at(url, _task="settings"))
    return page.locator(f"a[href*='_action={action}']").count() > 0


def _come_to_rest(page: Page, state: Literal["load", "networkidle"] = "networkidle") -> None:
    """Wait for it, but not for ever: a page that still fetches something is no reason not to look at it."""
    with contextlib.suppress(PageError):
        page.wait_for_load_state(state, timeout=_REST_S * 1000)


def _saved(page: Page) -> str:
    """Press the button that saves and wait for the answer: what Roundcube complains of, or nothing."""
    with patience(page, _ANSWER_S), page.expect_response(lambda answer: answer.request.method == "POST") as posted:
        page.locator("button.mainaction:visible, button.submit:visible, input.mainaction:visible").first.click()
    text = posted.value.text()
    _come_to_rest(page, "load")
    said = [(json.loads(f'"{words}"'), kind) for words, kind in _SAID.findall(text)]
    if any(kind == "confirmation" for _, kind in said):
        return ""
    return " ".join(words for words, _ in said) or "it did not say whether it was saved"


def _seen(page: Page) -> str:
    """What stands on a page that does not have what was looked for."""
    return _message(page) or " ".join(page.locator("body").inner_text().split())[:300] or "an empty page"


def _message(page: Page) -> str:
    """What Roundcube says in its corner: messages of all kinds."""
    return " ".join(text.strip() for text in page.locator(_MESSAGES).all_inner_texts() if text.strip())


def _at(url: str, **query: str) -> str:
    return f"{urllib.parse.urljoin(url, './')}?{urllib.parse.urlencode(query)}"
