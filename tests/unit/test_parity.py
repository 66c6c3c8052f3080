"""What old does and new would not: put aside what every server has of its own, and weigh the rest."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import parity as checked
from checks.parity import Pair
from mailmove.evidence import Evidence, Verdict
from mailmove.migration import Servers, Settings, Taken
from mailmove.parity import beside, dovecot, postfix, rules
from mailmove.parity.model import Difference, Side
from mailmove.parity.rules import Weight
from mailmove.remote import parity as remote

OLD = ("mail.example.org", "203.0.113.20")
NEW = ("mx2.example.net", "203.0.113.30")
ALIASES = "SELECT destination FROM virtual_aliases WHERE source='%s'"
PEOPLE = "SELECT email FROM virtual_users WHERE email='%s'"


def side(names: tuple[str, ...] = OLD, **given: Any) -> Side:
    seen: dict[str, Any] = {
        "postfix": given.pop("postfix", {}),
        "explicit": sorted(given.pop("explicit", [])),
        "services": given.pop("services", {}),
        "tables": given.pop("tables", {}),
        "dovecot": given.pop("settings", {}),
        "sieve": given.pop("sieve", {}),
        "firewall": {"rules": 0, "jails": []},
        "problems": [],
    }
    for name in ("links", "homes", "accounts", "elsewhere", "shut"):
        seen[name] = given.pop(name, [])
    for name in (
        "sieve_programs",
        "database",
        "jobs",
        "aliases",
        "spools",
        "people",
        "spam_filter",
        "queries",
        "kept",
        "dicts",
        "thresholds",
    ):
        seen[name] = given.pop(name, {})
    seen["daemons"] = given.pop("daemons", [])
    seen["watchers"] = given.pop("watchers", "128")
    seen["overrides"], seen["zone"] = given.pop("overrides", {}), given.pop("zone", ["Etc/UTC", 0, 0])
    seen["webmail"] = {"plugins": [], "settings": {}, "attachment": 0} | given.pop("webmail", {})
    seen["websites"] = {"names": [], "paths": []} | given.pop("web", {})
    return Side(seen, names, "/var/vmail", ("example.org",), **given)


def weights(found: Iterable[Difference]) -> dict[str, Weight]:
    return {each.name: each.weight for each in found}


@pytest.mark.parametrize(
    ("old", "new", "weight"),
    [
        ("10240000", "10240000", None),
        ("52428800", "10240000", Weight.REQUIRED),
        ("0", "10240000", Weight.REQUIRED),
        ("10240000", "0", Weight.EXPLAINED),
        ("10240000", "52428800", Weight.EXPLAINED),
    ],
)
def test_only_a_smaller_limit_refuses_letters(old: str, new: str, weight: Weight | None) -> None:
    found = list(postfix.size(*(side(postfix={"message_size_limit": each}) for each in (old, new))))

    assert [each.weight for each in found] == ([weight] if weight else [])


def test_tables_are_what_they_ask_not_what_they_are_called() -> None:
    old = side(
        postfix={"virtual_alias_maps": "mysql:/etc/postfix/a.cf,mysql:/etc/postfix/b.cf"},
        tables={
            "mysql:/etc/postfix/a.cf": {"queries": [ALIASES], "keys": []},
            "mysql:/etc/postfix/b.cf": {"queries": [PEOPLE], "keys": []},
        },
    )
    new = side(
        NEW,
        postfix={"virtual_alias_maps": "proxy:mysql:/etc/postfix/sql/all.cf"},
        tables={"mysql:/etc/postfix/sql/all.cf": {"queries": [ALIASES, PEOPLE], "keys": []}},
    )

    assert list(postfix.routes(old, new)) == []


def test_an_entry_that_new_lacks_is_named_and_its_loss_told() -> None:
    table = "hash:/etc/postfix/transport"
    old = side(postfix={"transport_maps": table}, tables={table: {"queries": [], "keys": ["a.example", "b.example"]}})
    new = side(NEW, postfix={"transport_maps": table}, tables={table: {"queries": [], "keys": ["b.example"]}})

    (found,) = postfix.routes(old, new)

    assert (found.name, found.weight) == ("postfix transport_maps", Weight.REQUIRED)
    assert "a.example" in found.old and "b.example" not in found.old
    assert "lost" in found.reason


def test_own_names_in_mydestination_are_no_loss_but_other_domains_are() -> None:
    own = side(postfix={"mydestination": "mail.example.org, mail, localhost.example.org, localhost"})
    more = side(postfix={"mydestination": "localhost, lists.example.com"})
    new = side(NEW, postfix={"mydestination": "localhost"})

    assert list(postfix.routes(own, new)) == []
    assert weights(postfix.routes(more, new)) == {"postfix mydestination": Weight.REQUIRED}


def test_trusted_networks_count_by_the_addresses_in_them() -> None:
    old = side(postfix={"mynetworks": "127.0.0.0/8 [::1]/128 192.0.2.0/28 198.51.100.7"})
    wider = side(NEW, postfix={"mynetworks": "127.0.0.0/8 192.0.2.0/24, 198.51.100.0/24"})
    none = side(NEW, postfix={"mynetworks": "127.0.0.0/8"})

    assert "postfix mynetworks" not in weights(postfix.networks(old, wider))
    assert weights(postfix.networks(old, none)) == {"postfix mynetworks": Weight.REQUIRED}


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("reject_unauth_destination", "", {"x reject_unauth_destination": Weight.EXPLAINED}),
        ("", "check_policy_service unix:private/quota-status", None),
        ("", "reject_rbl_client bl.example", {"x reject_rbl_client bl.example": Weight.REQUIRED}),
        ("permit_auth_destination", "", {"x permit_auth_destination": Weight.REQUIRED}),
        ("reject_unknown_sender_domain", "", {"x reject_unknown_sender_domain": Weight.RECOMMENDED}),
        ("a, b", "b  a", {}),
    ],
)
def test_who_is_refused_by_new_alone_weighs_most(old: str, new: str, wanted: dict[str, Weight] | None) -> None:
    found = weights(postfix.restrictions("x", old, new))

    assert found == wanted if wanted is not None else set(found.values()) == {Weight.EXPLAINED}


def test_a_service_that_is_gone_and_one_that_is_more() -> None:
    smtps = {"smtps/inet": {"command": "smtpd", "options": {}}}

    assert weights(postfix.doors(side(services=smtps), side(NEW))) == {"postfix service smtps/inet": Weight.REQUIRED}
    assert weights(postfix.doors(side(), side(NEW, services=smtps))) == {"postfix service smtps/inet": Weight.EXPLAINED}


def test_own_names_and_places_are_put_aside() -> None:
    old = side(postfix={"smtpd_banner": "x", "notify": "root@mail.example.org"}, explicit=["notify"])
    new = side(NEW, postfix={"notify": "root@mx2.example.net"}, explicit=["notify"])

    assert list(postfix.settings(old, new)) == []


def test_a_setting_nobody_knows_a_reason_for_is_for_a_decision() -> None:
    old = side(postfix={"disable_vrfy_command": "yes"}, explicit=["disable_vrfy_command"])
    new = side(NEW, postfix={"disable_vrfy_command": "no"})

    assert weights(postfix.settings(old, new)) == {"postfix disable_vrfy_command": Weight.RECOMMENDED}


def test_protocols_and_logins() -> None:
    old = side(protocols=("imap", "pop3"), mechanisms=("plain", "CRAM-MD5"))
    new = side(NEW, protocols=("imap", "lmtp"), mechanisms=("plain",))

    assert weights(dovecot.reading(old, new)) == {
        "dovecot protocol pop3": Weight.REQUIRED,
        "dovecot protocol lmtp": Weight.EXPLAINED,
        "dovecot login cram-md5": Weight.REQUIRED,
    }


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [("30d", "30d", False), (None, "30d", True), ("4w", "30d", False), ("30d", "1w", True), ("30d", None, False)],
)
def test_letters_must_not_go_away_sooner(old: str | None, new: str | None, found: bool) -> None:
    name = "namespace inbox/mailbox Trash/autoexpunge"
    sides = [side(settings={name: each} if each else {}, dovecot="2.3") for each in (old, new)]

    assert (weights(dovecot.mailboxes(*sides)) == {f"dovecot {name}": Weight.REQUIRED}) is found


def test_settings_of_another_dovecot_are_not_laid_side_by_side() -> None:
    old = side(settings={"mail_location": "maildir:~/Maildir"}, dovecot="2.3")

    assert list(dovecot.mailboxes(old, side(NEW, settings={"mail_driver": "maildir"}, dovecot="2.4"))) == []


def test_a_script_for_everybody() -> None:
    spam = {"digest": "1", "does": ["fileinto"], "looks_at": ["X-Spam"]}
    other = {"digest": "2", "does": ["fileinto"], "looks_at": ["X-Spam"]}
    invoices = {"digest": "3", "does": ["redirect"], "looks_at": ["subject"]}
    old = side(sieve={"spam.sieve": spam, "invoices.sieve": invoices})

    found = weights(dovecot.mailboxes(old, side(NEW, sieve={"junk.sieve": other})))

    assert found == {
        "dovecot global sieve spam.sieve": Weight.EXPLAINED,
        "dovecot global sieve invoices.sieve": Weight.REQUIRED,
    }


def test_databases_are_compared_by_what_is_carried_where() -> None:
    old = side(database={"tables": {"ispmail": {"virtual_users": ["email", "note"]}, "wiki": {"page": ["id"]}}})
    new = side(NEW, database={"tables": {"mail": {"virtual_users": ["email"]}}})

    found = weights(beside.database(old, new, ["ispmail:mail"]))

    assert found == {"database ispmail.virtual_users": Weight.RECOMMENDED, "database wiki": Weight.RECOMMENDED}


def test_mail_of_people_weighs_more_than_that_of_the_system() -> None:
    old = side(spools={"hugo": {"bytes": 10, "person": True}, "root": {"bytes": 9, "person": False}})

    assert weights(beside.system_mail(old, side(NEW))) == {
        "mail in /var/mail of hugo": Weight.REQUIRED,
        "mail in /var/mail of root": Weight.RECOMMENDED,
    }


def test_rules_may_be_true_for_one_release_only() -> None:
    name = "postfix smtpd_tls_security_level"

    assert rules.judge(name, 12) is None
    assert (rule := rules.judge(name, 13)) and rule.weight is Weight.EXPLAINED


@given(st.lists(st.sampled_from(["permit_mynetworks", "reject_rbl_client a.example", "reject", "check_helo_access x"])))
def test_a_list_of_restrictions_does_not_differ_from_itself(words: list[str]) -> None:
    assert list(postfix.restrictions("x", ", ".join(words), " ".join(words))) == []


@given(st.dictionaries(st.sampled_from(sorted(rules.ROUTES)), st.text("ab.,:/ []", max_size=20)))
def test_a_server_does_not_differ_from_itself(settings: dict[str, str]) -> None:
    server = side(postfix=settings, explicit=list(settings))

    for compare in (postfix.size, postfix.routes, postfix.doors, postfix.settings, dovecot.reading, dovecot.mailboxes):
        assert list(compare(server, server)) == []


def test_a_decision_settles_a_difference_and_is_shown_with_its_reason() -> None:
    old = side(postfix={"message_size_limit": "52428800"})
    new = side(NEW, postfix={"message_size_limit": "10240000"})

    def evidence(*decisions: Taken) -> Evidence:
        settings = Settings(servers=Servers(old="root@a", new="root@b"), decision=decisions)
        pair = Pair(SimpleNamespace(settings=settings))
        pair.__dict__["sides"] = (old, new)
        (found,) = checked.sizes(pair)
        return found

    assert evidence().verdict is Verdict.FAILED
    decided = evidence(Taken(difference="postfix message_size_limit", reason="nobody sends films", by="Anna"))
    assert decided.verdict is Verdict.PASSED
    assert "nobody sends films (Anna)" in decided.findings[0].answer


def test_what_could_not_be_asked_is_unknown() -> None:
    broken = side()
    broken.seen["problems"].append("postconf: exit 1: no such file")
    pair = Pair(SimpleNamespace(settings=Settings(servers=Servers(old="root@a", new="root@b"))))
    pair.__dict__["sides"] = (broken, side(NEW))

    assert checked.sizes(pair)[0].verdict is Verdict.UNKNOWN
    assert checked.web(pair)[0].verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "reject_rbl_client abcdefghij0123456789abcdef.zen.dq.spamhaus.net=127.0.0.2",
            "reject_rbl_client (key).zen.dq.spamhaus.net=127.0.0.2",
        ),
        (
            "reject_rbl_client zen.spamhaus.org, permit_mynetworks",
            "reject_rbl_client zen.spamhaus.org, permit_mynetworks",
        ),
        (
            "[smtp.a-very-long-name-of-a-provider-2024.example.net]:587",
            "[smtp.a-very-long-name-of-a-provider-2024.example.net]:587",
        ),
        ("inline:{ password=geheim }", "inline:{ password=(hidden) }"),
    ],
)
def test_keys_and_passwords_in_settings_are_told_to_nobody(value: str, told: str) -> None:
    assert remote.shown("smtpd_recipient_restrictions", value) == told


def test_what_people_miss_in_the_webmail_is_told() -> None:
    old = {
        "plugins": ["archive", "password"],
        "settings": {"default_host": "tls://mail.example.org", "drafts_mbox": "Entw&APw-rfe", "skin": "elastic"},
        "attachment": 25 << 20,
    }
    new = {
        "plugins": ["password"],
        "settings": {"imap_host": "tls://mx2.example.net:143", "skin": "elastic"},
        "attachment": 2 << 20,
    }

    found = list(beside.web(side(webmail=old), side(NEW, webmail=new)))

    assert weights(found) == {
        "webmail plugin archive": Weight.RECOMMENDED,
        "webmail attachments": Weight.RECOMMENDED,
        "webmail setting drafts_mbox": Weight.RECOMMENDED,
        "webmail setting default_host": Weight.EXPLAINED,
        "webmail setting imap_host": Weight.EXPLAINED,
    }
    assert "26,214,400" in next(each.old for each in found if each.name == "webmail attachments")


def test_a_server_without_a_webmail_is_no_reason_to_compare_its_settings() -> None:
    old = {"plugins": [], "settings": {"skin": "elastic"}, "attachment": 1 << 20}

    assert not list(beside.web(side(webmail=old), side(NEW)))


@pytest.mark.parametrize(
    ("said", "size"), [("2M", 2 << 20), ("512k", 512 << 10), ("1G", 1 << 30), ("1000", 1000), ("0", 0), ("-1", 0)]
)
def test_sizes_are_read_as_php_writes_them(said: str, size: int) -> None:
    assert remote.in_bytes(said) == size


def test_no_password_in_an_address_is_shown() -> None:
    assert remote.URL_PASSWORD.sub(r"\1(hidden)@", "ldap://reader:s3cret@host/x") == "ldap://reader:(hidden)@host/x"


def test_mail_behind_a_link_that_leads_out_of_the_mail_root_is_found(tmp_path: Path) -> None:
    root, disk = tmp_path / "vmail", tmp_path / "disk2"
    for place in (root / "example.org/anna/Maildir/cur", root / "example.org/bert", disk / "frank", disk / "Archive"):
        place.mkdir(parents=True)
    rule = tmp_path / "default.sieve"
    rule.write_text("keep;")
    leads = {
        "example.org/frank": disk / "frank",
        "example.org/anna/Maildir/.Archive": disk / "Archive",
        "example.org/gone": disk / "gone",
        "example.org/also-anna": root / "example.org/anna",  # inside: it leads there on new as well
        "example.org/bert/.dovecot.sieve": rule,  # a file: rules are carried over by themselves
        "example.org/anna/Maildir/cur/x": disk,  # no letter
    }
    for name, target in leads.items():
        (root / name).symlink_to(target)

    found = remote.links(str(root))

    assert sorted(path.removeprefix(f"{root}/") for path, _ in found) == [
        "example.org/anna/Maildir/.Archive",
        "example.org/frank",
        "example.org/gone",
    ]
    (told,) = beside.system_mail(side(links=[[f"{root}/example.org/frank", f"{disk}/frank"]]), side(NEW))
    assert (told.weight, told.old) == (Weight.REQUIRED, f"lies in {disk}/frank")


def test_a_mail_root_that_is_a_link_itself_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "disk/example.org/anna").mkdir(parents=True)
    (tmp_path / "vmail").symlink_to(tmp_path / "disk")

    assert remote.links(str(tmp_path / "vmail")) == []


def test_mailboxes_that_nobody_has_any_more_are_named(tmp_path: Path) -> None:
    for user in ("anna", "Ghost", "o'brien"):
        (tmp_path / "example.org" / user / "Maildir/cur").mkdir(parents=True)
    (tmp_path / "example.org/no-mail").mkdir()

    homes = remote.homes(f"{tmp_path}/")
    old = side(homes=homes, users=frozenset({"anna@example.org", "o'brien@example.org"}))

    assert homes == ["Ghost@example.org", "anna@example.org", "o'brien@example.org"]
    (told,) = beside.system_mail(old, side(NEW))
    assert (told.weight, told.old) == (Weight.RECOMMENDED, "Ghost@example.org")


def test_accounts_beside_the_database_are_named() -> None:
    file = ["passdb", "passwd-file", False, False, ["anna@example.org", "scanner@example.org"]]
    old = side(accounts=[["passdb", "sql", False, False, []], file], users=frozenset({"anna@example.org"}))
    new = side(NEW, accounts=[["passdb", "sql", False, False, []]])

    (found,) = dovecot.reading(old, new)

    assert (found.name, found.old, found.weight) == (
        "dovecot passdb passwd-file",
        "scanner@example.org",
        Weight.REQUIRED,
    )
    assert not list(dovecot.reading(old, side(NEW, accounts=[file])))


def test_who_is_shut_out_and_who_opens_every_mailbox() -> None:
    old = side(
        accounts=[["passdb", "passwd-file", True, False, ["a@x"]], ["passdb", "passwd-file", False, True, ["b"]]]
    )

    assert weights(dovecot.reading(old, side(NEW))) == {
        "dovecot passdb passwd-file that refuses": Weight.REQUIRED,
        "dovecot passdb passwd-file of masters": Weight.RECOMMENDED,
    }
    pam = side(accounts=[["passdb", "pam", False, False, []]])
    assert weights(dovecot.reading(pam, side(NEW))) == {"dovecot passdb pam": Weight.REQUIRED}


PASSDB = {
    "passdb/driver": "sql",
    "passdb/args": "/etc/dovecot/dovecot-sql.conf.ext",
    "passdb 2/driver": "passwd-file",
    "passdb 2/deny": "yes",
    "userdb/driver": "sql",
}


def test_blocks_of_dovecot_are_read_one_by_one(tmp_path: Path) -> None:
    users = tmp_path / "example.org.users"
    users.write_text("# comment\nscanner@example.org:{PLAIN}secret::::::\n")

    found = remote.accounts({**PASSDB, "passdb 2/args": f"scheme=CRYPT {tmp_path}/%d.users"})

    assert found == [
        ["passdb", "sql", False, False, []],
        ["passdb", "passwd-file", True, False, ["scanner@example.org"]],
        ["userdb", "sql", False, False, []],
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT password FROM virtual_users WHERE email='%u'", ["email='USER'", []]),
        ("SELECT email AS user, password FROM virtual_users WHERE email = '%u' ;", ["email='USER'", []]),
        (
            "SELECT password, allow_nets FROM virtual_users WHERE email='%Lu' AND active=1",
            ["email='USER' AND active=1", ["allow_nets"]],
        ),
        (
            "SELECT password, nets AS allow_nets FROM virtual_users WHERE email='%{user}'",
            ["email='USER'", ["allow_nets"]],
        ),
    ],
)
def test_a_query_is_what_it_asks_not_how_it_is_written(tmp_path: Path, query: str, found: list[object]) -> None:
    file = tmp_path / "dovecot-sql.conf.ext"
    file.write_text(f"driver = mysql\npassword_query = {query}\n")

    assert remote.queries({"passdb/args": str(file)}) == {"password_query": found}


def test_what_a_user_query_says_of_single_people(tmp_path: Path) -> None:
    file = tmp_path / "dovecot-sql.conf.ext"
    file.write_text(
        "user_query = SELECT email as user, concat('*:bytes=', quota) AS quota_rule, \\\n"
        "  '/var/vmail/%d/%n' AS home, 5000 AS uid, 5000 AS gid, concat('maildir:', place) AS mail \\\n"
        "  FROM virtual_users WHERE email='%u'\n"
    )
    said = remote.queries({"userdb/args": str(file)})

    assert said == {"user_query": ["email='USER'", ["mail"]]}
    old, new = side(queries=said), side(NEW, queries={"user_query": ["email='USER'", []]})
    assert weights(dovecot.reading(old, new)) == {"dovecot user_query fields": Weight.REQUIRED}
    locked = side(queries={"password_query": ["email='USER' AND active=1", []]})
    now = side(NEW, queries={"password_query": ["email='USER'", []]})
    assert weights(dovecot.reading(locked, now)) == {"dovecot password_query": Weight.REQUIRED}


def test_what_dovecot_keeps_outside_the_mail_root_is_found(tmp_path: Path) -> None:
    rules, key = tmp_path / "rules/example.org", tmp_path / "key.pem"
    rules.mkdir(parents=True)
    (rules / "anna.sieve").write_text("keep;")
    (rules / "anna.svbin").write_text("made anew")
    key.write_text("secret")
    root = str(tmp_path / "vmail")
    settings = {
        "plugin/sieve": f"file:{tmp_path}/rules/%d;active={tmp_path}/rules/%d/%n.sieve",
        "plugin/mail_crypt_global_private_key": f"<{key}",
        "mail_location": f"maildir:~/Maildir:INDEX={tmp_path}/rules/%d",
        "namespace shared/location": f"maildir:{root}/%%d/%%n/Maildir",
        "plugin/sieve_before": f"{tmp_path}/rules",
    }

    found = remote.kept(settings, root)

    assert {name: each["files"] for name, each in found.items()} == {
        "plugin/sieve": 1,
        "plugin/mail_crypt_global_private_key": 1,
    }
    assert "secret" not in str(found)
    lost = list(dovecot.mailboxes(side(kept=found), side(NEW)))
    assert {each.weight for each in lost} == {Weight.REQUIRED}
    assert "lost for good" in lost[0].reason + lost[1].reason
    assert not list(dovecot.mailboxes(side(kept=found), side(NEW, kept=found)))


def test_an_entry_that_leads_elsewhere_on_new_is_named() -> None:
    table = "hash:/etc/postfix/virtual"

    def having(**leads: str) -> dict[str, Any]:
        return {
            "postfix": {"virtual_alias_maps": table},
            "tables": {table: {"queries": [], "keys": [*leads], "leads": leads}},
        }

    (found,) = postfix.routes(side(**having(sales="1", info="2")), side(NEW, **having(sales="3", info="2")))

    assert (found.name, found.old, found.weight) == ("postfix virtual_alias_maps", "1 entries: sales", Weight.REQUIRED)


def test_lists_of_the_same_name_are_compared_by_what_stands_in_them() -> None:
    def having(folder: str, **leads: str) -> dict[str, Any]:
        table = f"hash:{folder}/senders"
        asked = {"smtpd_sender_restrictions": f"check_sender_access {table}"}
        return {"postfix": asked, "tables": {table: {"queries": [], "keys": [*leads], "leads": leads}}}

    old = side(**having("/etc/postfix", friend="1", spammer="2"))

    assert weights(postfix.doors(old, side(NEW, **having("/etc/postfix/lists", friend="1")))) == {
        "postfix list senders": Weight.RECOMMENDED
    }
    assert not list(postfix.doors(old, side(NEW, **having("/etc/postfix/lists", friend="1", spammer="2", more="3"))))


@pytest.mark.parametrize(
    ("old", "new", "release", "weight"),
    [
        ("may", "encrypt", 12, Weight.REQUIRED),
        ("may", "encrypt", 13, Weight.RECOMMENDED),
        ("encrypt", "may", 12, Weight.RECOMMENDED),
    ],
)
def test_a_server_that_insists_on_encryption_refuses_letters(old: str, new: str, release: int, weight: Weight) -> None:
    name = "smtpd_tls_security_level"
    sides = side(postfix={name: old}, explicit=[name]), side(NEW, postfix={name: new}, explicit=[name], release=release)

    assert weights(postfix.settings(*sides)) == {f"postfix {name}": weight}


@pytest.mark.parametrize(("release", "weight"), [(12, Weight.REQUIRED), (13, Weight.RECOMMENDED)])
def test_who_hands_in_letters_at_port_25_is_not_forgotten(release: int, weight: Weight) -> None:
    name = "smtpd_sasl_auth_enable"
    old = side(postfix={name: "yes"}, explicit=[name])
    new = side(NEW, postfix={name: "no"}, release=release)

    assert weights(postfix.settings(old, new)) == {f"postfix {name}": weight}


def test_a_system_alias_for_a_program_weighs_more_than_one_for_a_person() -> None:
    old = side(aliases={"news": '"|/usr/lib/mailman/mail/mailman post news"', "root": "anna@example.org"})

    assert weights(beside.system_mail(old, side(NEW))) == {
        "system alias news": Weight.REQUIRED,
        "system alias root": Weight.RECOMMENDED,
    }


def test_a_job_has_to_do_with_mail_if_its_script_has(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("jobs")  # a name that does not tell
    script, other = place / "nightly", place / "daily"
    script.write_text("#!/bin/sh\ndoveadm expunge -A mailbox Trash before 90d\n")
    other.write_text("#!/bin/sh\nupdatedb\n")

    assert remote.touches(f"0 3 * * * root {script}")
    assert not remote.touches(f"0 3 * * * root {other}")


def test_letters_in_homes_are_counted(tmp_path: Path) -> None:
    for place in ("Maildir/cur/1.a", "Maildir/.Sent/new/2.b", "Maildir/dovecot.index", "Maildir/.Sent/dovecot-uidlist"):
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345")

    assert remote.mail_size(str(tmp_path / "Maildir")) == 10
    assert remote.mail_size(str(tmp_path / "nothing")) == 0


# What only new does


def service(limit: str, command: str = "smtpd") -> dict[str, Any]:
    return {"command": command, "limit": limit, "options": {}}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("-", "-", {}),
        ("-", "1", {"postfix service smtp/inet processes": Weight.REQUIRED}),
        ("-", "40", {"postfix service smtp/inet processes": Weight.RECOMMENDED}),
        ("0", "-", {"postfix service smtp/inet processes": Weight.RECOMMENDED}),
        ("20", "-", {}),
        ("20", "0", {}),
    ],
)
def test_a_server_that_answers_fewer_at_once_is_named(old: str, new: str, found: dict[str, Weight]) -> None:
    limits = {"default_process_limit": "100"}
    sides = (
        side(names, postfix=limits, services={"smtp/inet": service(each)}) for names, each in ((OLD, old), (NEW, new))
    )

    assert weights(postfix.doors(*sides)) == found


def test_a_list_that_throws_letters_away_on_new_only_holds_everything_up() -> None:
    table = {"regexp:/etc/postfix/unwanted": {"queries": [], "keys": ["/^Subject:.*lottery/"], "leads": {}}}
    setting = {"header_checks": "regexp:/etc/postfix/unwanted"}
    plain = side(postfix={"header_checks": ""})

    here = postfix.settings(plain, side(NEW, postfix=setting, explicit=["header_checks"], tables=table))
    there = postfix.settings(side(postfix=setting, explicit=["header_checks"], tables=table), plain)

    assert weights(here) == {"postfix header_checks": Weight.REQUIRED}
    assert weights(there) == {"postfix header_checks": Weight.RECOMMENDED}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"reject": 15.0}, {"reject": 15.0}, {}),
        ({"reject": 150.0}, {"reject": 7.0}, {"spam filter threshold reject": Weight.REQUIRED}),
        ({"reject": 150.0}, {"reject": 15.0}, {"spam filter threshold reject": Weight.RECOMMENDED}),
        ({"reject": 15.0}, {"reject": 150.0}, {"spam filter threshold reject": Weight.RECOMMENDED}),
        ({"reject": 15.0}, {"reject": 15.0, "greylist": 4.0}, {"spam filter threshold greylist": Weight.RECOMMENDED}),
        ({}, {"reject": 7.0}, {}),
    ],
)
def test_a_filter_that_refuses_what_old_lets_through_holds_everything_up(
    old: dict[str, float], new: dict[str, float], found: dict[str, Weight]
) -> None:
    assert weights(beside.spam_filter(side(thresholds=old), side(NEW, thresholds=new))) == found


def test_a_list_of_the_filter_that_only_new_has_is_shown() -> None:
    files = {
        "local.d/blocked.map": {"digest": "1", "lines": 3},
        "local.d/dkim_signing.conf": {"digest": "2", "lines": 1},
    }

    found = weights(beside.spam_filter(side(), side(NEW, spam_filter=files)))

    assert found["spam filter local.d/blocked.map"] == Weight.RECOMMENDED
    assert found["spam filter local.d/dkim_signing.conf"] == Weight.EXPLAINED


def test_time_zones_are_the_same_if_their_clocks_are() -> None:
    old = side(zone=["UTC", 0, 0])

    assert list(beside.jobs(old, side(NEW, zone=["Etc/UTC", 0, 0]))) == []
    assert weights(beside.jobs(old, side(NEW, zone=["Europe/Berlin", 60, 120]))) == {"time zone": Weight.RECOMMENDED}


@pytest.mark.parametrize(
    ("old", "new", "told"), [("128", "128", False), ("1024", "128", True), ("128", "1024", False), ("128", "", False)]
)
def test_a_kernel_that_watches_for_fewer_people_is_shown(old: str, new: str, told: bool) -> None:
    found = weights(dovecot.mailboxes(side(watchers=old), side(NEW, watchers=new)))

    assert found == ({"kernel fs.inotify.max_user_instances": Weight.RECOMMENDED} if told else {})


def test_what_systemd_was_told_about_a_service_is_shown() -> None:
    old, new = side(overrides={"mariadb": ["LimitNOFILE=65536"]}), side(NEW, overrides={"dovecot": ["TasksMax=20"]})

    found = list(beside.daemons(old, new))

    assert {(each.name, each.old, each.new) for each in found} == {
        ("unit mariadb", "LimitNOFILE=65536", "nothing more"),
        ("unit dovecot", "nothing more", "TasksMax=20"),
    }


def test_of_a_unit_s_overrides_secrets_are_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_in = tmp_path / "dovecot.service.d" / "own.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\n# more\nLimitNOFILE = 4096\nEnvironment=API_TOKEN=abc\n", "utf-8")
    monkeypatch.setattr(remote, "OWN_UNITS", (str(tmp_path),))

    assert remote.overrides() == {"dovecot": ["Environment=API_TOKEN=(hidden)", "LimitNOFILE=4096"]}


def test_programs_that_rules_start_are_compared_by_what_they_are() -> None:
    def program(text: str, *, teaches: bool = False) -> dict[str, Any]:
        return {"digest": text, "teaches": teaches}

    old = side(
        sieve_programs={
            "ticket.sh": program("ticket"),
            "archive.sh": program("one"),
            "same.sh": program("same"),
            "learn-spam.rspamd.script": program("old teacher", teaches=True),
        }
    )
    new = side(
        NEW,
        sieve_programs={
            "archive.sh": program("other"),
            "same.sh": program("same"),
            "rspamd-learn-spam.sh": program("new teacher", teaches=True),
        },
    )

    assert weights(dovecot.mailboxes(old, new)) == {
        "dovecot sieve program ticket.sh": Weight.REQUIRED,
        "dovecot sieve program archive.sh": Weight.RECOMMENDED,
        "dovecot sieve program learn-spam.rspamd.script": Weight.EXPLAINED,
    }


@pytest.mark.parametrize(
    ("does", "weight"),
    [(["discard"], Weight.REQUIRED), (["redirect", "stop"], Weight.REQUIRED), (["fileinto"], Weight.RECOMMENDED)],
)
def test_a_rule_for_everybody_that_only_new_has_weighs_by_what_it_does(does: list[str], weight: Weight) -> None:
    script = {"digest": "x", "does": does, "looks_at": ["subject"]}

    found = weights(dovecot.mailboxes(side(), side(NEW, sieve={"own.sieve": script})))

    assert found == {"dovecot global sieve own.sieve": weight}


def test_what_dovecot_may_not_read_is_told_once_for_all_that_lies_below() -> None:
    shut = [
        ["example.org/a/Maildir/.Old", "root"],
        ["example.org/a/Maildir/.Old/cur", "root"],
        ["example.org/b", "anna"],
    ]

    (old,) = beside.system_mail(side(shut=shut), side(NEW))
    (new,) = dovecot.mailboxes(side(), side(NEW, shut=shut))

    words = "example.org/a/Maildir/.Old and 1 below (belongs to root); example.org/b (belongs to anna)"
    assert (old.old, old.weight) == (words, Weight.REQUIRED)
    assert (new.new, new.weight) == (words, Weight.REQUIRED)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (b"d 700 root example.org/anna/Maildir/.Old", True),
        (b"d 777 root example.org/anna/Maildir/.Open", False),
        (b"f 600 root example.org/bert/Maildir/cur/1.a.b", True),
        (b"f 644 root example.org/bert/Maildir/cur/2.a.b", False),
        (b"d 700 root example.org", True),
        (b"d 700 root lost+found", False),
        (b"f 600 root example.org.tar", False),
        (b"l 777 root example.org/anna/Maildir/.Link", False),
    ],
)
def test_of_mailboxes_only_what_their_owner_cannot_read_is_shut(entry: bytes, told: bool) -> None:
    assert remote.unreadable(entry) == ([entry.decode().split(" ", 3)[3], "root"] if told else None)


def test_addresses_that_only_new_rewrites_hold_the_move_up_but_not_a_daemon_made_for_it() -> None:
    static, daemon = ({"sender_canonical_maps": value} for value in ("static:noreply@x.example", "tcp:localhost:10001"))

    assert weights(postfix.routes(side(), side(NEW, postfix=static))) == {
        "postfix sender_canonical_maps": Weight.REQUIRED
    }
    assert weights(postfix.routes(side(), side(NEW, postfix=daemon))) == {
        "postfix sender_canonical_maps": Weight.RECOMMENDED
    }


def test_an_inner_service_of_postfix_that_was_left_out_is_a_loss() -> None:
    lines = {name: {"command": "x", "limit": "-", "options": {}} for name in ("pickup/unix", "maildrop/unix")}

    found = weights(postfix.doors(side(services=lines), side(NEW)))

    assert found == {
        "postfix service pickup/unix": Weight.REQUIRED,
        "postfix service maildrop/unix": Weight.RECOMMENDED,
    }


KEY_IN_THE_SETTINGS = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"


def test_keys_of_encrypted_letters_are_compared_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """doveconf hides some, and shows others."""

    def run(*argv: str, **_: Any) -> str:
        where = "</etc/dovecot/private.pem" if "-P" in argv else "# hidden, use -P to show it"
        word = "geheim" if "-P" in argv else "# hidden, use -P to show it"
        return (
            f"plugin {{\n  mail_crypt_global_private_key = {where}\n  mail_crypt_global_private_key2 = {KEY_IN_THE_SETTINGS}\n"
            f"  mail_crypt_private_password = {word}\n}}\nssl_key = {word}\n"
        )

    monkeypatch.setattr(remote, "run", run)

    found = remote.dovecot()

    assert found["plugin/mail_crypt_global_private_key"] == "</etc/dovecot/private.pem"
    assert found["plugin/mail_crypt_global_private_key2"].startswith("(hidden, ")
    assert found["plugin/mail_crypt_private_password"] == found["ssl_key"] == "(hidden)"
    assert KEY_IN_THE_SETTINGS not in str(found) and "geheim" not in str(found)


def test_a_plugin_that_letters_depend_on_is_missed_in_a_single_protocol() -> None:
    plugins = frozenset({"zlib", "quota"})
    old = side(settings={"mail_plugins": "quota zlib"}, protocols=["imap", "pop3"], plugins=plugins)
    new = side(
        NEW,
        settings={"mail_plugins": "quota", "protocol imap/mail_plugins": "quota zlib"},
        protocols=["imap", "pop3"],
        plugins=plugins,
    )

    found = {name: weight for name, weight in weights(dovecot.mailboxes(old, new)).items() if "zlib" in name}

    assert found == {
        "dovecot mail_plugins zlib": Weight.REQUIRED,
        "dovecot protocol pop3 plugin zlib": Weight.REQUIRED,
    }


def test_compressed_letters_are_read_by_the_plugin_of_another_name() -> None:
    old = side(plugins=frozenset({"zlib"}), dovecot="2.3")

    assert weights(dovecot.mailboxes(old, side(NEW, plugins=frozenset({"mail_compress"}), dovecot="2.4"))) == {
        "dovecot plugin mail_compress": Weight.EXPLAINED
    }


def test_what_dovecot_keeps_in_a_database_that_no_move_carries_is_named(tmp_path: Path) -> None:
    asked = tmp_path / "dict.conf"
    asked.write_text("connect = host=localhost dbname=sharing user=x password=geheim\n")
    settings = {
        "plugin/acl_shared_dict": "proxy::acl",
        "dict/acl": f"mysql:{asked}",
        "mail_attribute_dict": "file:%h/dovecot-attributes",
    }

    assert remote.dicts(settings, ["mailserver", "sharing"]) == {}
    found = remote.dicts(settings, ["mailserver"])

    assert found == {"plugin/acl_shared_dict": "mysql sharing"}
    assert weights(dovecot.mailboxes(side(dicts=found), side(NEW))) == {
        "dovecot dict of plugin/acl_shared_dict": Weight.REQUIRED
    }


def test_definitions_rights_and_attributes_outside_the_mail_root_are_found(tmp_path: Path) -> None:
    """Their names begin as those of Dovecot's indexes do."""
    for name in (
        "virtual/All/dovecot-virtual",
        "public/.News/dovecot-acl",
        "public/.News/dovecot-acl-list",
        "public/.News/dovecot.index.log",
        "public/.News/dovecot-uidlist",
        "attributes/anna",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    settings = {
        "namespace virtual/location": f"virtual:{tmp_path}/virtual:INDEX=~/virtual",
        "namespace public/location": f"maildir:{tmp_path}/public",
        "mail_attribute_dict": f"file:{tmp_path}/attributes/%n",
    }

    found = remote.kept(settings, "/var/vmail")

    assert {name: each["files"] for name, each in found.items()} == dict.fromkeys(settings, 1)
    assert {each.weight for each in dovecot.mailboxes(side(kept=found), side(NEW))} == {Weight.REQUIRED}


def test_letters_outside_the_mail_root_are_all_compared_however_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MANY_KEPT", 10)

    def kept(name: str) -> dict[str, Any]:
        return remote.kept({"namespace public/location": f"maildir:{tmp_path}/{name}"}, "/var/vmail")

    for name, flags in (("old", ":2,"), ("new", ":2,S")):
        (tmp_path / name / ".News/cur").mkdir(parents=True)
        for number in range(20):
            (tmp_path / name / f".News/cur/{number}.x{flags}").write_text(f"letter {number}")
    assert not list(dovecot.mailboxes(side(kept=kept("old")), side(NEW, kept=kept("new"))))

    (tmp_path / "new/.News/cur/7.x:2,S").unlink()
    (found,) = dovecot.mailboxes(side(kept=kept("old")), side(NEW, kept=kept("new")))
    assert (found.name, found.weight) == ("dovecot files of namespace public/location", Weight.REQUIRED)

    monkeypatch.setattr(remote, "MOST_KEPT", 10)
    (found,) = dovecot.mailboxes(side(kept=kept("old")), side(NEW, kept=kept("old")))
    assert found.new == "too many to compare"


def test_another_byte_in_a_letter_outside_the_mail_root_is_seen(tmp_path: Path) -> None:
    found = []
    for name, text in (("old", "one"), ("new", "two")):
        (tmp_path / name / ".News/cur").mkdir(parents=True)
        (tmp_path / name / ".News/cur/1.x:2,").write_text(text)
        found.append(remote.kept({"namespace public/location": f"maildir:{tmp_path}/{name}"}, "/var/vmail"))

    assert len(list(dovecot.mailboxes(side(kept=found[0]), side(NEW, kept=found[1])))) == 1


@pytest.mark.parametrize(
    ("theirs", "ours", "wanted"),
    [
        ({}, {"plugin/zlib_save": "zstd"}, {"dovecot letters stored compressed"}),
        ({}, {"mail_compress_write_method": "zstd"}, {"dovecot letters stored compressed"}),
        ({}, {"plugin/mail_crypt_save_version": "2"}, {"dovecot letters stored encrypted"}),
        ({}, {"plugin/mail_crypt_save_version": "0"}, set()),
        ({"plugin/zlib_save": "xz"}, {}, {"dovecot letters stored as xz"}),
    ],
)
def test_letters_are_stored_so_that_the_other_server_can_read_them(
    theirs: dict[str, str], ours: dict[str, str], wanted: set[str]
) -> None:
    found = weights(dovecot.mailboxes(side(settings=theirs, dovecot="2.3"), side(NEW, settings=ours, dovecot="2.4")))

    assert {name for name, weight in found.items() if weight is Weight.REQUIRED} == wanted
    if "xz" not in str(theirs):
        reads = side(settings=theirs, dovecot="2.3", plugins=frozenset({"zlib", "mail_crypt"}))
        assert not {each.name for each in dovecot.mailboxes(reads, side(NEW, settings=ours, dovecot="2.4"))} & wanted
