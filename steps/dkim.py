"""Signed mail."""

from __future__ import annotations

from pytest_bdd import then

from checks import dkim
from mailmove.evidence import Judge
from mailmove.moves.base import Context


@then("the spam filter of the new server knows how to sign mail")
def signing_is_loaded(context: Context, judge: Judge) -> None:
    judge(dkim.signing_is_loaded(context.migration))


@then("the old server has the signing key of every domain it signs for")
def old_keys_are_found(context: Context, judge: Judge) -> None:
    judge(dkim.old_keys_are_found(context.migration))


@then("the key published for each domain is the one its mail is signed with")
def dns_has_the_keys(context: Context, judge: Judge) -> None:
    judge(dkim.dns_has_the_keys(context.migration))


@then("the new server may use every signing key that was carried over")
def new_signs_with_the_same_keys(context: Context, judge: Judge) -> None:
    judge(dkim.new_signs_with_the_same_keys(context.migration, context.journal))
