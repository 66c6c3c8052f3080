"""Signed mail."""

from __future__ import annotations

import pytest
from pytest_bdd import then

from checks import dkim
from checks.dkim import Both
from mailmove.evidence import Judge
from mailmove.moves.base import Context


@pytest.fixture(scope="module")
def signing(context: Context) -> Both:
    """How both servers sign, asked once for each feature."""
    return dkim.signing_of_both(context.migration)


@then("the spam filter of the new server knows how to sign mail")
def signing_is_loaded(context: Context, signing: Both, judge: Judge) -> None:
    judge(dkim.signing_is_loaded(context.migration, signing))


@then("the old server has the signing key of every domain it signs for")
def old_keys_are_found(signing: Both, judge: Judge) -> None:
    judge(dkim.old_keys_are_found(signing))


@then("the key published for each domain is the one its mail is signed with")
def dns_has_the_keys(context: Context, signing: Both, judge: Judge) -> None:
    judge(*dkim.dns_has_the_keys(context.migration, signing))


@then("what the new server signs can be verified with the keys in DNS")
def new_signs_with_the_same_keys(context: Context, signing: Both, judge: Judge) -> None:
    judge(dkim.new_signs_with_the_same_keys(context.migration, signing, context.journal))
