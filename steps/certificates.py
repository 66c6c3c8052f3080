"""Certificates and signing keys, carried over."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import certificates
from mailmove import lineages
from mailmove.evidence import Judge
from mailmove.journey import Journey
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.certificates import CarryCertificates
from mailmove.moves.probes import ProbeAccounts
from mailmove.routing import dns_of
from mailmove.server import Server
from steps.accounts import unless_overtaken

Perform = Callable[[type[Move]], Outcome]


@when("certificates and signing keys are carried over", target_fixture="outcome")
def carry_certificates(perform: Perform) -> Outcome:
    return perform(CarryCertificates)


@then("letters from every domain are signed, and the signature holds")
def letters_are_signed(outcome: Outcome, journey: Journey, new: Server, probes: ProbeAccounts, judge: Judge) -> None:
    plan = journey.migration
    judge(
        unless_overtaken(
            outcome,
            lambda: certificates.letters_are_signed(
                new,
                [probes.in_domain(domain) for domain in plan.domains],
                probes.account("signatures"),
                dns_of(plan),
                [key.domain for key in lineages.look(plan.old, plan.domains).keys],
            ),
        )
    )


@when("the carrying over of certificates and signing keys is taken back")
def take_back_certificates(take_back: Perform) -> None:
    take_back(CarryCertificates)


@then("the new server shows its own certificate under its own name")
def own_certificate(context: Context, new: Server, judge: Judge) -> None:
    look = lineages.look(new, context.migration.domains)
    judge(certificates.right_certificate_under_each_name(new, look, [], context.migration.settings.probes.ca_file))
