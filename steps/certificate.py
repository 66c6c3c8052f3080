"""The certificate, and what may not travel without it."""

from __future__ import annotations

from pytest_bdd import given, then, when

from checks import certificate
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Judge
from mailmove.moves.base import Context
from mailmove.moves.probes import ProbeAccounts
from mailmove.server import Server


@then("the certificate of every service is trusted and bears the server's name")
def certificate_is_trusted(new: Server, context: Context, judge: Judge) -> None:
    judge(certificate.is_trusted(new, context.migration.settings.probes.ca_file))


@then("all services show the certificate that lies on the disk")
def certificate_is_the_same(new: Server, context: Context, judge: Judge) -> None:
    judge(certificate.is_the_same_everywhere(new, context.migration.settings.probes.ca_file))


@then("nobody but the services can read the certificate's key")
def key_is_private(new: Server, judge: Judge) -> None:
    judge(certificate.key_is_private(new))


@then("the certificate is valid for two weeks at least")
def certificate_lasts(new: Server, context: Context, judge: Judge) -> None:
    judge(certificate.lasts(new, context.migration.settings.probes.ca_file))


@then("renewal is set up and every service is told of the new certificate")
def certificate_is_renewed(new: Server, judge: Judge) -> None:
    judge(certificate.is_renewed(new))


@given("a mailbox of mailmove's own", target_fixture="mailbox")
def own_mailbox(probes: ProbeAccounts) -> Account:
    return probes.account("anna")


@when("its owner tries to log in without encryption", target_fixture="attempt")
def login_without_encryption(new: Server, mailbox: Account) -> Evidence:
    return certificate.no_login_before_tls(new, mailbox)


@then("every service refuses the login")
def login_is_refused(attempt: Evidence, judge: Judge) -> None:
    judge(attempt)


@then("outdated encryption is refused")
def outdated_protocols_are_refused(new: Server, judge: Judge) -> None:
    for evidence in certificate.outdated_protocols_are_refused(new):
        judge(evidence)
