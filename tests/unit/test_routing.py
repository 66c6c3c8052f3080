"""What leads where, and what the switch makes of it."""

from __future__ import annotations

import pytest

from checks import dns
from mailmove import routing
from mailmove.clients.dns import Change, Exchanger, Records, Reply
from mailmove.errors import MailmoveError
from mailmove.routing import Route, Survey, Target

OLD = frozenset({"203.0.113.20", "2001:db8:113::20"})
NEW = frozenset({"203.0.113.30", "2001:db8:113::30"})
PUBLISHED = {"A": ("203.0.113.30",), "AAAA": ("2001:db8:113::30",)}


def route(domain: str, *targets: tuple[int, str, routing.Leads]) -> Route:
    records = Records(domain, "MX", 40, tuple(sorted(f"{p} {host}." for p, host, _ in targets)))
    reply = Reply("ns1", domain, "MX", "found", records)
    return Route(domain, reply, tuple(Target(Exchanger(p, host), leads) for p, host, leads in targets))


def test_an_old_answer_in_a_cache_is_waited_for_as_long_as_it_says_if_that_is_not_too_long() -> None:
    def reply(name: str, ttl: int, *values: str) -> Reply:
        return Reply("resolver", name, "MX", "found", Records(name, "MX", ttl, values))

    changes = [Change("example.org", name, "MX", ("10 old.",), ("10 new.",), 40) for name in ("a", "b", "c")]
    said = {("a", "MX"): reply("a", 400, "10 new."), ("b", "MX"): reply("b", 90, "10 old.")}
    said["c", "MX"] = Reply("resolver", "c", "MX", "no answer")
    assert dns._forgotten_in(said, changes) == 90 + dns.RESOLVER_MARGIN_S
    said["c", "MX"] = reply("c", 86_400, "10 old.")
    assert dns._forgotten_in(said, changes) == 0


def survey(*routes: Route, hosts: tuple[Records, ...] = (), new_name: str = "mail2.example.org") -> Survey:
    zones = {r.domain: r.domain for r in routes} | {h.name: "example.org" for h in hosts}
    return Survey(OLD, NEW, new_name, PUBLISHED, routes, hosts, frozenset({"mail.example.org"}), zones)


def test_only_the_mx_that_leads_to_old_is_exchanged() -> None:
    seen = survey(route("example.org", (10, "mail.example.org", "old"), (20, "backup.example.net", "elsewhere")))

    (change,) = routing.planned_changes(seen, "mx")

    assert change.after == ("10 mail2.example.org.", "20 backup.example.net.")
    assert change.back.after == ("10 mail.example.org.", "20 backup.example.net.")


def test_a_domain_that_leads_to_new_already_stays() -> None:
    assert routing.planned_changes(survey(route("example.org", (10, "mail2.example.org", "new"))), "mx") == []


def test_new_beside_old_becomes_one_record_with_the_better_preference() -> None:
    seen = route("example.org", (20, "mail.example.org", "old"), (10, "mail2.example.org", "new"))

    assert routing.mx_after(seen, "mail2.example.org") == ("10 mail2.example.org.",)


def test_only_the_addresses_of_old_are_exchanged() -> None:
    records = Records("mail.example.org", "A", 40, ("198.51.100.1", "203.0.113.20"))

    assert routing.addresses_after(records, OLD, PUBLISHED) == ("198.51.100.1", "203.0.113.30")


def test_an_address_of_a_kind_that_new_has_not_goes() -> None:
    hosts = (
        Records("mail.example.org", "A", 40, ("203.0.113.20",)),
        Records("mail.example.org", "AAAA", 40, ("2001:db8:113::20",)),
    )
    seen = Survey(OLD, NEW, "mail2.example.org", {"A": ("203.0.113.30",), "AAAA": ()}, (), hosts, frozenset())

    changes = {c.kind: c.after for c in routing.planned_changes(seen, "address")}

    assert changes == {"A": ("203.0.113.30",), "AAAA": ()}


def test_a_name_is_never_left_without_address() -> None:
    hosts = (Records("mail.example.org", "AAAA", 40, ("2001:db8:113::20",)),)
    seen = Survey(OLD, NEW, "mail2.example.org", {"A": ("203.0.113.30",), "AAAA": ()}, (), hosts, frozenset())

    with pytest.raises(MailmoveError, match="would have no address"):
        routing.planned_changes(seen, "address")


def test_servers_of_one_name_need_the_switch_of_addresses() -> None:
    seen = survey(route("example.org", (10, "mail.example.org", "old")), new_name="mail.example.org")

    with pytest.raises(MailmoveError, match="would change nothing"):
        routing.planned_changes(seen, "mx")


def test_mail_is_never_led_to_a_name_that_is_not_the_new_server() -> None:
    seen = survey(route("example.org", (10, "mail.example.org", "old")))
    published = {"A": ("198.51.100.9",), "AAAA": ()}
    astray = Survey(OLD, NEW, "mail2.example.org", published, seen.routes, (), seen.old_names)

    with pytest.raises(MailmoveError, match=r"leads to 198\.51\.100\.9"):
        routing.planned_changes(astray, "mx")


def test_silence_about_the_old_names_is_no_plan() -> None:
    seen = survey(route("example.org", (10, "mail.example.org", "old")))
    silent = Survey(OLD, NEW, seen.new_name, PUBLISHED, seen.routes, (), seen.old_names, {}, ("mail A: no answer",))

    with pytest.raises(MailmoveError, match="do not tell"):
        routing.planned_changes(silent, "both")


def test_internal_addresses_are_not_what_the_world_sees() -> None:
    assert routing.public(["203.0.113.20", "172.17.0.1", "fe80::1%eth0", "fd00::1"]) == {"203.0.113.20"}
    assert routing.public(["10.0.0.5"]) == {"10.0.0.5"}
