"""The certificate, and what may not travel without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_bdd import given, then, when

from checks import certificate
from checks.certificate import Shown
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Judge
from mailmove.moves.base import Context
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server


@pytest.fixture(scope="session")
def shown(new: Server, context: Context) -> Shown:
    """What the new server shows on all its ports: asked in one go, for all that is said of it here."""
    return certificate.look(new, context.migration.settings.probes.ca_file, context.old.setting("myhostname"))


@then("the certificate of every service is trusted and bears the server's name")
def certificate_is_trusted(shown: Shown, judge: Judge) -> None:
    judge(certificate.is_trusted(shown))


@then("all services show the certificate that lies on the disk")
def certificate_is_the_same(shown: Shown, judge: Judge) -> None:
    judge(certificate.is_the_same_everywhere(shown))


@then("nobody but the services can read the certificate's key")
def key_is_private(shown: Shown, judge: Judge) -> None:
    judge(certificate.key_is_private(shown))


@then("the key on the disk belongs to the certificate beside it")
def key_fits(shown: Shown, judge: Judge) -> None:
    judge(certificate.key_fits(shown))


@then("the certificate is valid for two weeks at least")
def certificate_lasts(shown: Shown, judge: Judge) -> None:
    judge(certificate.lasts(shown))


@then("renewal is set up and every service is told of the new certificate")
def certificate_is_renewed(shown: Shown, judge: Judge) -> None:
    judge(certificate.is_renewed(shown))


@when("the renewal of the certificate is rehearsed", target_fixture="rehearsal")
def renewal_is_rehearsed(old: Server, shown: Shown) -> Evidence:
    return certificate.renewal_succeeds(shown, old)


@then("the rehearsal succeeds")
def renewal_succeeds(rehearsal: Evidence, judge: Judge) -> None:
    judge(rehearsal)


@given("a mailbox of mailmove's own", target_fixture="mailbox")
def own_mailbox(probes: ProbeAccounts) -> Iterator[Account]:
    with probes.exposed() as account:
        yield account


@when("its owner tries to log in without encryption", target_fixture="attempt")
def login_without_encryption(shown: Shown, mailbox: Account) -> Evidence:
    return certificate.no_login_before_tls(shown, mailbox)


@then("every service refuses the login")
def login_is_refused(attempt: Evidence, judge: Judge) -> None:
    judge(attempt)


@then("a program that knows nothing newer than TLS 1.2 can encrypt everywhere")
def tls_12_is_taken(shown: Shown, judge: Judge) -> None:
    judge(certificate.tls_12_is_taken(shown))


@then("outdated encryption is refused")
def outdated_protocols_are_refused(shown: Shown, judge: Judge) -> None:
    judge(*certificate.outdated_protocols_are_refused(shown))
