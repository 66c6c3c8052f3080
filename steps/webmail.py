"""Webmail in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_bdd import then

from checks import webmail as check
from checks.outside import Outside
from checks.webmail import Attach, Webmail
from mailmove.clients.browser import Browser
from mailmove.evidence import Judge
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server


@pytest.fixture(scope="module")
def webmail(outside: Outside) -> Iterator[Webmail]:
    """The new server's webmail, in a browser that finds every name at this server and nothing else."""
    server = outside.server
    with (
        Browser({"*": server.address}, server.trust.ca_file) as browser,
        Browser({"*": server.address}, server.trust.ca_file, server.own_certificates) as acquainted,
    ):
        yield Webmail(outside, browser, acquainted)


@then("a browser opens the webmail without a warning")
def certificate_is_trusted(webmail: Webmail, judge: Judge, attach: Attach) -> None:
    judge(check.certificate_is_trusted(webmail, attach))


@then("whoever types the webmail's plain address is led to the encrypted one")
def plain_visitor_is_led_to_tls(webmail: Webmail, judge: Judge) -> None:
    judge(check.plain_visitors_are_led_to_tls(webmail))


@then("a wrong password does not open the webmail")
def wrong_password_is_refused(webmail: Webmail, probes: ProbeAccounts, judge: Judge, attach: Attach) -> None:
    judge(check.wrong_passwords_are_refused(webmail, probes.account("wanda"), attach))


@then("whoever logs in to the webmail can read the letter that has just come")
def letter_is_read(webmail: Webmail, probes: ProbeAccounts, judge: Judge, attach: Attach) -> None:
    judge(check.letters_are_read(webmail, probes.account("wanda"), attach))


@then("a letter written in the webmail arrives")
def letter_is_sent(webmail: Webmail, probes: ProbeAccounts, judge: Judge, attach: Attach) -> None:
    judge(check.letters_are_sent(webmail, probes.account("wanda"), probes.account("bert"), attach))


@then("somebody written into the address book is found there")
def contact_is_kept(webmail: Webmail, probes: ProbeAccounts, judge: Judge, attach: Attach) -> None:
    judge(check.contacts_are_kept(webmail, probes.account("wanda"), attach))


@then("a filter made in the webmail sorts the next letter")
def filter_takes_effect(webmail: Webmail, probes: ProbeAccounts, old: Server, judge: Judge, attach: Attach) -> None:
    usual = "managesieve" in check.plugins_of(old)
    judge(check.filters_take_effect(webmail, probes.account("wilma"), usual, attach))


@then("a password changed in the webmail opens everything, and the old one nothing any more")
def password_is_changed(webmail: Webmail, probes: ProbeAccounts, old: Server, judge: Judge, attach: Attach) -> None:
    usual = "password" in check.plugins_of(old)
    judge(check.passwords_are_changed(webmail, probes.account("walter"), usual, attach))
