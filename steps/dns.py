"""DNS, as seen by the world: who leads where, for how long, and the switch."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then, when

from checks import blocklists, dns, other_exchangers, published
from checks.outside import Outside
from mailmove.evidence import Judge
from mailmove.journey import Journey, Mode
from mailmove.moves import ttl
from mailmove.moves.base import Context, Move, Outcome
from mailmove.moves.switch import Switch
from mailmove.moves.ttl import LowerTtl, TtlBack

Perform = Callable[[type[Move]], Outcome]


@then("every domain of the old server leads its mail to us")
def every_domain_is_led_to_us(context: Context, judge: Judge) -> None:
    judge(dns.every_domain_is_led_to_us(context.migration, context.journal))


@then("no mail exchanger is an alias or a bare address")
def exchangers_are_names(context: Context, judge: Judge) -> None:
    judge(dns.exchangers_are_names(context.migration))


@then("every mail exchanger that is not ours takes letters for its domains")
def other_exchangers_take_letters(context: Context, outside: Outside, judge: Judge) -> None:
    judge(*other_exchangers.they_take_letters(context.migration, outside))


@then("every name server of every domain gives the same answers")
def name_servers_agree(context: Context, judge: Judge) -> None:
    judge(dns.name_servers_agree(context.migration))


@then("no name server of a domain is the old mail server")
def name_servers_stay(context: Context, judge: Judge) -> None:
    judge(dns.name_servers_stay(context.migration))


@then("every name by which people reach the old server moves to the new one")
def names_move_along(context: Context, judge: Judge) -> None:
    judge(dns.names_move_along(context.migration))


@then("every zone accepts a signed change, tried with one that changes nothing")
def zones_take_changes(context: Context, judge: Judge) -> None:
    judge(dns.zones_take_changes(context.migration))


@then("every address from which the new server sends has a name that confirms it")
def new_addresses_are_confirmed(context: Context, judge: Judge) -> None:
    judge(dns.new_addresses_are_confirmed(context.migration))


@then("the name by which the new server greets others leads to it")
def greeting_leads_to_new(context: Context, judge: Judge) -> None:
    judge(dns.greeting_leads_to_new(context.migration))


@then("no blocklist that is asked names an address from which the new server sends")
def no_blocklist_names_the_new_server(context: Context, judge: Judge) -> None:
    judge(blocklists.none_names_the_new_server(context.migration))


@then("the sender policy of every domain lets the new server send after the switch")
def spf_lets_new_send(context: Context, judge: Judge) -> None:
    judge(dns.spf_lets_new_send(context.migration))


@then("every domain publishes a sender policy and what to do with forged mail")
def forged_mail_is_answered_for(context: Context, judge: Judge) -> None:
    judge(dns.forged_mail_is_answered_for(context.migration))


@then("whoever publishes a policy of encryption names the servers of before and after the switch in it")
def promises_to_encrypt_are_kept(context: Context, judge: Judge) -> None:
    judge(published.promises_to_encrypt_are_kept(context.migration))


@then("every key published for a mail server is the one it shows")
def published_keys_are_shown(context: Context, judge: Judge) -> None:
    judge(published.published_keys_are_shown(context.migration))


@then("whoever asks for reports on encryption says where they go")
def reports_have_an_address(context: Context, judge: Judge) -> None:
    judge(published.reports_have_an_address(context.migration))


@then("whatever mail programs are told of the servers answers them, and does so on the new server")
def programs_find_the_servers(context: Context, judge: Judge) -> None:
    judge(published.programs_find_the_servers(context.migration))


@then("the authority that the new server uses may issue certificates for it")
def certificates_may_be_issued(context: Context, judge: Judge) -> None:
    judge(published.certificates_may_be_issued(context.migration))


@then("somebody is behind postmaster and abuse of every domain")
def the_postmaster_is_reached(context: Context, outside: Outside, judge: Judge) -> None:
    judge(published.the_postmaster_is_reached(context.migration, outside))


@when("the time that others may remember the mail's records is lowered")
def lower_ttl(perform: Perform) -> None:
    perform(LowerTtl)


@then("every name server gives the mail's records with the short time")
def ttl_is_low(context: Context, judge: Judge) -> None:
    judge(ttl.look_at_the_ttls(context))


@then("no cache in the world still holds an answer from before")
def old_answers_have_expired(context: Context, journey: Journey, judge: Judge) -> None:
    judge(ttl.wait_out(context) if journey.mode is Mode.MOVE else ttl.look_at_the_clock(context))


@when("the lowered times are taken back")
def raise_ttl(take_back: Perform) -> None:
    take_back(LowerTtl)


@then("every name server gives the mail's records with the usual time again")
def ttl_is_usual(context: Context, judge: Judge) -> None:
    judge(dns.no_ttl_is_lowered(context.migration, context.journal))


@when("the mail of every domain is switched to the new server")
def switch(perform: Perform) -> None:
    perform(Switch)


@then("every name server, and whoever asks a cache, is led to the new server")
def mail_goes_to_new(context: Context, judge: Judge) -> None:
    judge(dns.every_domain_leads_to_new(context.migration))
    judge(dns.caches_lead_to_new(context.migration))


@when("the mail of every domain is switched back to the old server")
def switch_back(take_back: Perform) -> None:
    take_back(Switch)


@then("every domain of the old server leads its mail there again")
def mail_goes_to_old(context: Context, judge: Judge) -> None:
    judge(dns.every_domain_leads_to_old(context.migration))


@when("the usual times of the mail's records are set again")
def set_ttl_back(perform: Perform) -> None:
    perform(TtlBack)


@then("every name server gives the mail's records with the time from before the move")
def ttl_is_back(context: Context, judge: Judge) -> None:
    judge(dns.ttl_is_back(context.migration, context.journal))


@when("the usual times are lowered once more")
def lower_ttl_again(take_back: Perform) -> None:
    take_back(TtlBack)


@then("every name server gives the short time for the way back")
def ttl_is_low_again(context: Context, judge: Judge) -> None:
    judge(ttl.look_at_the_ttls(context))
