"""Roundcube as people use it, on a browser's page. Knows 1.4 to 1.6, skins elastic and larry.

Letters are looked for by their mark. What a skin moves about (buttons, panes) is reached by the addresses and
the element names that all skins share.
"""

from __future__ import annotations

import urllib.parse

from mailmove.clients.account import Account
from mailmove.clients.browser import BrowserError, Page, PageError, patience

FORM = "#rcmloginuser, input[name=_user]"
_MESSAGES = "#messagestack > *, #message > *"
_ANSWER_S = 60.0  # a busy server; sending includes the milter and the copy in Sent

# It goes back to the list when the letter was taken, and stays where it is when it was not
_ANSWERED = """selector => !location.href.includes('_action=compose') ||
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
    page.locator(FORM).first.fill(account.email)
    page.locator("input[name=_pass]").fill(account.password)
    with page.expect_navigation(wait_until="load"):
        page.locator("input[name=_pass]").press("Enter")
    if page.locator(FORM).count() == 0 and "_task=mail" in page.url:
        page.wait_for_load_state("networkidle")
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


def send(page: Page, url: str, recipient: str, subject: str, text: str) -> str:
    """Write a letter and send it; what Roundcube complains of, empty when it took it. Must be logged in."""
    page.goto(_at(url, _task="mail", _action="compose", _to=recipient, _subject=subject, _body=text))
    button = page.locator("button.send:visible, a.button.send:visible, a.send:visible").first
    try:
        page.locator("input[name=_subject]").wait_for(state="visible")
        button.wait_for(state="visible")
        button.click()
    except PageError:
        seen = " ".join(page.locator("body").inner_text().split())[:300]
        raise BrowserError(
            f"Roundcube shows no form to write a letter in; it says: {_message(page) or 'nothing'}; the page: {seen}",
            "see Roundcube's errors.log on the server",
        ) from None
    with patience(page, _ANSWER_S):
        try:
            page.wait_for_function(_ANSWERED, arg=_MESSAGES)
        except PageError:
            raise BrowserError(
                f"Roundcube did not say within {_ANSWER_S:.0f} s whether the letter was sent", "is port 587 slow there?"
            ) from None
        said = _message(page) if "_action=compose" in page.url else ""
    page.wait_for_load_state("load")
    return said


def _message(page: Page) -> str:
    """What Roundcube says in its corner: messages of all kinds."""
    return " ".join(text.strip() for text in page.locator(_MESSAGES).all_inner_texts() if text.strip())


def _at(url: str, **query: str) -> str:
    return f"{urllib.parse.urljoin(url, './')}?{urllib.parse.urlencode(query)}"
