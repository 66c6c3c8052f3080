"""Carrying data: comparing rows, shapes of tables, merging profiles, certificates, the texts that are written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import accounts
from mailmove import databases, lineages, roundcube
from mailmove.databases import Content, Table
from mailmove.moves import certificates, styles
from mailmove.moves import roundcube as webmail_move
from mailmove.remote import certificates as remote_certificates
from mailmove.remote import schemes, tables, training

KIND = {"type": "varchar(100)", "nullable": False, "charset": "utf8", "generated": False}
HOSTILE = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30)


def table(name: str, columns: list[str], *rows: list[str | None], primary: tuple[str, ...] = ("id",)) -> Table:
    return Table(
        name, dict.fromkeys(columns, KIND), primary, tuple(dict(zip(columns, row, strict=True)) for row in rows)
    )


def content(*found: Table) -> Content:
    return Content({each.name: each for each in found}, (), "00")


def mailserver(
    users: list[tuple[str, str]] | None = None, aliases: list[tuple[str, str]] | None = None, first_id: int = 1
) -> Content:
    return content(
        table("virtual_domains", ["id", "name"], [str(first_id), "example.org"]),
        table(
            "virtual_users",
            ["id", "domain_id", "email", "password", "quota"],
            *[[str(n), str(first_id), e, "#" + p, "0"] for n, (e, p) in enumerate(users or [], first_id)],
        ),
        table(
            "virtual_aliases",
            ["id", "domain_id", "source", "destination"],
            *[[str(n), str(first_id), s, d] for n, (s, d) in enumerate(aliases or [], first_id)],
        ),
    )


class TestDifferences:
    def test_numbers_do_not_matter_addresses_do(self) -> None:
        one = mailserver([("anna@example.org", "x")], [("a@example.org", "b@example.org")], first_id=1)
        other = mailserver([("anna@example.org", "x")], [("a@example.org", "b@example.org")], first_id=70)

        assert accounts.differences(one, other) == []

    def test_each_kind_of_change_is_named_without_any_hash(self) -> None:
        before = mailserver([("anna@example.org", "x"), ("bob@example.org", "y")])
        after = mailserver([("anna@example.org", "z"), ("o'brien@example.org", "y")], [("it's@example.org", "x@y")])

        words = [d.words for d in accounts.differences(before, after)]

        assert words == [
            "password of anna@example.org changed",
            "account gone: bob@example.org",
            "account added: o'brien@example.org",
            "alias added: it's@example.org -> x@y",
        ]
        assert "#" not in " ".join(words)

    def test_two_equal_alias_rows_are_two(self) -> None:
        twice = mailserver(aliases=[("a@example.org", "b@x"), ("a@example.org", "b@x")])
        once = mailserver(aliases=[("a@example.org", "b@x")])

        assert [d.kind for d in accounts.differences(twice, once)] == ["gone"]

    def test_our_own_accounts_are_left_out(self) -> None:
        before = mailserver()
        after = mailserver([("mailmove-probe-1@example.org", "x"), ("anna@probe.mailmove.invalid", "y")])

        assert accounts.differences(before, after) == []

    def test_a_change_made_alike_on_both_is_no_conflict(self) -> None:
        carried = mailserver([("anna@example.org", "x")])
        alike = mailserver([("anna@example.org", "new")])

        assert accounts.changed_on_new_alone(old=alike, new=alike, carried=carried) == []

    def test_a_change_on_new_alone_or_on_both_unlike_is_one(self) -> None:
        carried = mailserver([("anna@example.org", "x")])
        new = mailserver([("anna@example.org", "new")])
        other = mailserver([("anna@example.org", "other")])

        assert [d.kind for d in accounts.changed_on_new_alone(carried, new, carried)] == ["changed"]
        assert [d.kind for d in accounts.changed_on_new_alone(other, new, carried)] == ["changed"]

    def test_what_is_gone_on_new_alone_is_brought_back_not_refused(self) -> None:
        carried = mailserver([("anna@example.org", "x")])

        assert accounts.changed_on_new_alone(carried, mailserver(), carried) == []

    @given(st.lists(st.tuples(HOSTILE, HOSTILE), max_size=8, unique_by=lambda pair: pair[0]))
    def test_whatever_stands_in_rows_compares_and_survives_being_kept(self, pairs: list[tuple[str, str]]) -> None:
        users = mailserver(pairs)

        again = Content.from_json(json.loads(json.dumps(users.to_json())))

        assert again == users
        assert accounts.differences(users, again) == []
        assert accounts.digest(users.tables["virtual_users"].rows, ["email"]) == accounts.digest(
            tuple(reversed(again.tables["virtual_users"].rows)), ["email"]
        )


class TestShapes:
    @pytest.mark.parametrize(
        ("new", "old", "old_is_taken"),
        [
            ("bigint(11)", "int(11)", False),  # the playbook's quota
            ("int(11)", "bigint(20)", True),
            ("varchar(100)", "varchar(255)", True),
            ("varchar(255)", "varchar(100)", False),
            ("varchar(255)", "text", True),
            ("longtext", "text", False),
            ("int(11)", "int(11) unsigned", True),
            ("bigint(20)", "int(10) unsigned", False),
            ("datetime", "timestamp", False),
        ],
    )
    def test_the_new_definition_stays_unless_it_is_narrower(self, new: str, old: str, old_is_taken: bool) -> None:
        assert bool(tables.needs_old({**KIND, "type": new}, {**KIND, "type": old})) is old_is_taken

    def test_a_narrower_character_set_gives_way(self) -> None:
        assert tables.needs_old(KIND, {**KIND, "charset": "utf8mb4"})
        assert not tables.needs_old({**KIND, "charset": "utf8mb4"}, KIND)

    def test_what_may_be_empty_on_old_may_be_on_new(self) -> None:
        assert tables.needs_old(KIND, {**KIND, "nullable": True})

    @given(HOSTILE)
    def test_a_literal_is_digits_only(self, text: str) -> None:
        assert tables.literal(text).removeprefix("_utf8mb4 0x").isalnum()

    @given(HOSTILE)
    def test_an_identifier_cannot_end_its_quotes(self, text: str) -> None:
        inside = tables.name(text)[1:-1]

        assert inside.replace("``", "").count("`") == 0

    @pytest.mark.parametrize("database", ["mailserver", "mailserver_mailmove", "mysql", "x_mailmove_Next"])
    def test_no_database_but_our_own_is_ever_dropped(self, database: str) -> None:
        with pytest.raises(tables.Complaint):
            tables.own(database)


class TestRoundcube:
    @pytest.mark.parametrize(
        ("setting", "hosts"),
        [
            ("tls://mail2.example.org:143", ("mail2.example.org",)),
            ("localhost:143", ("localhost",)),
            ("ssl://mail.example.org", ("mail.example.org",)),
            ("", ("localhost",)),
            (None, ("localhost",)),
            (["a.example", "tls://b.example:143"], ("a.example", "b.example")),
            ({"tls://a.example": "Here", "b.example": "There"}, ("a.example", "b.example")),
            ({"0": "a.example"}, ("a.example",)),
            ("tls://%n:143", ()),
        ],
    )
    def test_the_host_of_profiles_follows_from_the_setting(self, setting: object, hosts: tuple[str, ...]) -> None:
        found, trouble = roundcube.mail_hosts(setting)

        assert found == hosts
        assert bool(trouble) is not bool(hosts)

    def profiles(self) -> Table:
        columns = ["user_id", "username", "mail_host", "created", "last_login"]
        return table(
            "users",
            columns,
            ["1", "john@example.org", "localhost", "2019", "2024-11-02 08:00:00"],
            ["2", "john@example.org", "mail.example.org", "2022", "2024-11-03 08:00:00"],
            ["3", "John@example.org", "mail.example.org", "2022", None],
            ["4", "eve@example.org", "a", "2020", None],
            ["9", "eve@example.org", "b", "2020", None],
            primary=("user_id",),
        )

    def test_the_profile_of_the_latest_login_stays(self) -> None:
        assert roundcube.merges(self.profiles().rows) == [("2", "1"), ("9", "4")]

    def test_what_belonged_to_the_other_profile_is_expected_at_the_one_that_stays(self) -> None:
        identities = table(
            "identities",
            ["identity_id", "user_id", "standard"],
            ["1", "1", "1"],
            ["2", "2", "1"],
            primary=("identity_id",),
        )

        wanted = roundcube.expected(content(self.profiles(), identities), [("2", "1")])

        assert ("1",) not in wanted["users"]
        assert wanted["identities"][("1",)] == {"identity_id": "1", "user_id": "2", "standard": "0"}
        assert wanted["identities"][("2",)] == {"identity_id": "2", "user_id": "2", "standard": "1"}

    def test_a_login_is_no_change_and_a_contact_is_named_by_its_owner_only(self) -> None:
        contacts = ["contact_id", "user_id", "email"]
        before = content(self.profiles(), table("contacts", contacts, primary=("contact_id",)))
        logged_in = tuple({**row, "last_login": "2026"} for row in self.profiles().rows)
        users = Table("users", self.profiles().columns, ("user_id",), logged_in)
        after = content(users, table("contacts", contacts, ["7", "2", "#secret"], primary=("contact_id",)))

        assert roundcube.differences(before, after) == [
            ("added", "contacts", "contact of john@example.org added (number 7)")
        ]

    def test_each_statement_that_joins_profiles_names_both_by_number(self) -> None:
        for kind in ("identities", "searches", "filestore", "dictionary", "contacts", "a_plugin's"):
            for statement in webmail_move.join_rows("rc_" + kind, kind, "2", "1"):
                assert "= 1" in statement
                assert "DELETE" not in statement


class TestPasswords:
    @pytest.mark.parametrize(
        ("stored", "way", "scheme"),
        [
            ("{BLF-CRYPT}$2y$05$saltsaltsalt", "{BLF-CRYPT}$2y$", "BLF-CRYPT"),
            ("{CRYPT}$2y$10$saltsaltsalt", "{CRYPT}$2y$", "BLF-CRYPT"),
            ("{SHA256-CRYPT}$5$salt$hash", "{SHA256-CRYPT}$5$", "SHA256-CRYPT"),
            ("$6$salt$hash", "$6$", "SHA512-CRYPT"),
            ("{ssha}c2VjcmV0", "{SSHA}", "SSHA"),
            ("{PLAIN}summersun", "{PLAIN}", "PLAIN"),
            ("{PLAIN-MD5}0123", "{PLAIN-MD5}", "PLAIN-MD5"),
            ("summersun", "", ""),
            ("{CRYPT}$y$j9T$salt", "{CRYPT}$y$", ""),
        ],
    )
    def test_the_way_of_a_hash_says_nothing_of_the_hash(self, stored: str, way: str, scheme: str) -> None:
        assert schemes.way(stored) == way
        assert styles.scheme_for(way) == scheme

    def test_an_account_of_ours_is_hashed_just_as_people_are(self) -> None:
        assert styles.in_the_way_of("{CRYPT}$2a$", "{BLF-CRYPT}$2y$05$abc") == "{CRYPT}$2a$05$abc"
        assert styles.in_the_way_of("$6$", "{SHA512-CRYPT}$6$a$b") == "$6$a$b"
        assert styles.in_the_way_of("{SSHA}", "{SSHA}c2Vj") == "{SSHA}c2Vj"


def lineage(name: str, names: tuple[str, ...], ends: float, mark: str) -> lineages.Lineage:
    return lineages.Lineage(name, names, ends, mark, True, {"authenticator": "webroot"})


def look(
    *found: lineages.Lineage, served: dict[str, str] | None = None, vhosts: tuple[dict[str, object], ...] = ()
) -> lineages.Look:
    return lineages.Look({each.name: each for each in found}, served or {}, vhosts, (), {}, (), (), ())


class TestLineages:
    A = "mail.example.org"

    @pytest.mark.parametrize(
        ("ours", "theirs", "taken"),
        [
            (None, ((A,), 200.0, "old"), True),
            (((A,), 200.0, "same"), ((A,), 200.0, "same"), False),
            (((A,), 300.0, "new"), ((A,), 200.0, "old"), False),
            (((A,), 200.0, "new"), ((A,), 300.0, "old"), True),
            (((A,), 50.0, "new"), ((A,), 200.0, "old"), True),
            (((A,), 200.0, "new"), ((A,), 50.0, "old"), False),
            (((A,), 300.0, "new"), ((A, "imap.example.org"), 200.0, "old"), True),
            (((A, "www.example.org"), 200.0, "new"), ((A,), 300.0, "old"), False),
        ],
    )
    def test_of_two_with_one_name_the_better_stays(
        self, ours: tuple[tuple[str, ...], float, str] | None, theirs: tuple[tuple[str, ...], float, str], taken: bool
    ) -> None:
        new = look(*([lineage(self.A, *ours)] if ours else []))

        (decision,) = lineages.decide(look(lineage(self.A, *theirs)), new, now=100.0)

        assert decision.take is taken
        assert decision.why

    def test_names_that_only_the_old_server_answers_to_are_further_names(self) -> None:
        webmail = {"certificate": f"/etc/letsencrypt/live/{self.A}/fullchain.pem", "roundcube": True, "names": [self.A]}
        old = look(
            lineage(self.A, (self.A, "*.example.net"), 1, "o"),
            lineage("blog.example", ("blog.example",), 1, "b"),
            served={"postfix": f"/etc/letsencrypt/live/{self.A}/fullchain.pem"},
            vhosts=(webmail,),
        )
        own = "/etc/letsencrypt/live/mail2.example.org/fullchain.pem"
        new = look(
            lineage("mail2.example.org", ("mail2.example.org",), 1, "n"),
            served={"postfix": own},
            vhosts=({"certificate": own, "roundcube": True, "names": ["mail2.example.org"]},),
        )

        found = lineages.further_names(old, new, "imap.example.net")

        assert [(f.name, f.lineage, f.web) for f in found] == [
            (self.A, self.A, True),
            ("imap.example.net", self.A, False),
        ]

    def test_a_wildcard_stands_for_one_label(self) -> None:
        assert lineages.covers(["*.example.org"], "mail.example.org")
        assert not lineages.covers(["*.example.org"], "a.mail.example.org")
        assert not lineages.covers(["*.example.org"], "example.org")


class TestTexts:
    NAME = lineages.FurtherName("mail.example.org", "mail.example.org", True)

    def test_the_selector_map_keeps_other_domains_and_comments(self) -> None:
        text = "# ours\nexample.org new2026\nother.example s1 # keep\n"

        assert certificates.selector_map(text, [("example.org", "old2021"), ("example.net", "x")]) == (
            "# ours\nother.example s1 # keep\nexample.org old2021\nexample.net x\n"
        )

    def test_the_selector_map_written_twice_is_written_once(self) -> None:
        once = certificates.selector_map("", [("example.org", "s")])

        assert certificates.selector_map(once, [("example.org", "s")]) == once == "example.org s\n"

    def test_dovecot_is_told_in_the_words_of_its_version(self) -> None:
        assert "ssl_cert = </etc/" in certificates.dovecot_names([self.NAME], "1:2.3.19.1+dfsg1-2.1")
        assert "ssl_server_cert_file = /etc/" in certificates.dovecot_names([self.NAME], "1:2.4.1+dfsg1-6")

    def test_a_further_web_host_is_as_the_first_but_for_name_and_certificate(self) -> None:
        block = (
            "<VirtualHost *:443>\n  ServerName mail2.example.org\n  ServerAlias www.example.org\n  DocumentRoot /r\n"
            "  SSLCertificateFile /etc/letsencrypt/live/mail2/fullchain.pem\n"
            "  SSLCertificateKeyFile /etc/letsencrypt/live/mail2/privkey.pem\n</VirtualHost>"
        )

        text = certificates.apache_names([self.NAME], block, "", {})

        assert "mail2" not in text
        assert "www.example.org" not in text
        assert "ServerName mail.example.org" in text
        assert "  SSLCertificateFile /etc/letsencrypt/live/mail.example.org/fullchain.pem" in text
        assert "  SSLCertificateKeyFile /etc/letsencrypt/live/mail.example.org/privkey.pem" in text
        assert "  DocumentRoot /r" in text


class TestAskingOnTheServer:
    @pytest.mark.parametrize(
        ("servers", "where"),
        [
            ("127.0.0.1", ("127.0.0.1", 6379)),
            ("localhost:6380", ("localhost", 6380)),
            ("/run/redis/redis.sock", ("/run/redis/redis.sock", 0)),
            (["10.0.0.5:6379", "10.0.0.6"], ("10.0.0.5", 6379)),
            ("master-slave:10.0.0.5:6379,10.0.0.6:6379", ("10.0.0.5", 6379)),
            (None, ("127.0.0.1", 6379)),
        ],
    )
    def test_where_rspamd_keeps_its_training(self, servers: object, where: tuple[str, int]) -> None:
        assert training.place(servers) == where

    def test_a_selector_map_on_disk_is_read(self, tmp_path: object) -> None:
        path = f"{tmp_path}/selectors.map"
        with open(path, "w") as file:
            file.write("# comment\nExample.org 2021 # why\n\nbroken\n")

        assert remote_certificates.map_lines("file://" + path) == (path, {"example.org": "2021"})

    def test_a_dump_names_its_tables_and_nothing_of_the_server(self) -> None:
        command = databases.dump_command("mailserver", ["virtual_users"])

        assert command[-2:] == ["mailserver", "virtual_users"]
        assert "--single-transaction" in command
        assert not any(word.startswith("--databases") or word == "--all-databases" for word in command)
