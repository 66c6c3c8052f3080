"""What the checks of the new server make of its answers."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import certificate, database, folders, machine, mailboxes, maps
from checks.offers import Listener, listeners
from mailmove import sql
from mailmove.clients.account import PROBE_DOMAIN, PROBE_PREFIX
from mailmove.evidence import Verdict
from mailmove.moves import probes
from mailmove.remote import machine as remote_machine

# SQL


@given(st.text())
def test_an_sql_literal_has_nothing_a_parser_could_stumble_over(text: str) -> None:
    made = sql.literal(text)

    assert made.startswith("_utf8mb4 X'")
    assert bytes.fromhex(made[11:-1]).decode("utf-8", "surrogateescape") == text.encode(
        "utf-8", "surrogateescape"
    ).decode("utf-8", "surrogateescape")


def test_a_name_cannot_leave_its_backticks() -> None:
    assert sql.name("a`; DROP") == "`a``; DROP`"


def test_rows_come_back_as_they_were() -> None:
    assert sql.parse("a\\tb\tc\\\\n\n\n\\n\t\\0\n") == [["a\tb", "c\\n"], ["\n", "\0"]]


# probe accounts


def test_only_letters_for_nobody_but_probes_are_taken_from_the_queue() -> None:
    ours, person = f"anna@{PROBE_DOMAIN}", "grace@example.org"
    listing = [
        {"queue_id": "A1", "recipients": [{"address": ours}]},
        {"queue_id": "A2", "recipients": [{"address": ours}, {"address": person}]},
        {"queue_id": "A3", "recipients": [{"address": person}]},
        {"queue_id": "A4", "recipients": []},
        {"queue_id": "A5", "recipients": [{"address": f"{PROBE_PREFIX}x@example.org"}]},
    ]

    assert probes.queued_probes("\n".join(map(json.dumps, listing))) == ["A1", "A5"]


def test_only_homes_of_probes_below_the_mail_root_are_removed(tmp_path: Path) -> None:
    root, other = tmp_path / "vmail", tmp_path / "other"
    ours = [
        root / PROBE_DOMAIN / "anna" / "Maildir",
        root / "example.org" / f"{PROBE_PREFIX}ab 'c" / "Maildir",
        root / "example.org" / f"{PROBE_PREFIX}left-by-a-crash",
    ]
    theirs = [
        root / "example.org" / "grace" / "Maildir",
        root / "example.org" / "my-mailmove-probe-notes",
        other / PROBE_DOMAIN / "anna",
        root,
    ]
    for path in (*ours, *theirs):
        path.mkdir(parents=True, exist_ok=True)
    homes = [ours[0].parent, ours[1].parent, *theirs, Path("/"), root / PROBE_DOMAIN / ".." / "example.org" / "grace"]

    done = subprocess.run(
        ["sh", "-c", probes._REMOVE_HOMES, "sh", str(root)],
        input="".join(f"{home}\n" for home in homes),
        text=True,
        capture_output=True,
        check=True,
    )

    assert done.stderr == ""
    assert not any(path.exists() for path in ours)
    assert all(path.is_dir() for path in theirs)


# machine


def test_listeners_inside_and_outside_are_told_apart() -> None:
    found = listeners(
        [
            ["127.0.0.53", 53, ""],
            ["::1", 25, "master"],
            ["*", 443, "apache2"],
            ["::", 8080, "x"],
            ["0.0.0.0", 8080, "x"],
        ]
    )

    assert [each.is_local for each in found] == [True, True, False, False, False]
    assert machine.unexpected(found, [443]) == [Listener("0.0.0.0", 8080, "x")]


def test_known_harmless_words_hide_no_others() -> None:
    said = (
        "postfix/postfix-script: warning: symlink leaves directory: /etc/postfix/./makedefs.out\n"
        "postfix/postfix-script: warning: not owned by root: /etc/postfix/main.cf\n"
    )

    assert machine.without_harmless(said) == "postfix/postfix-script: warning: not owned by root: /etc/postfix/main.cf"


@pytest.mark.parametrize(("count", "words"), [(0, "0 bytes"), (1536, "1.5 KiB"), (3 * 1024**4, "3.0 TiB")])
def test_sizes_are_for_people(count: int, words: str) -> None:
    assert machine.size(count) == words


def looked(said: dict[str, object], old_said: dict[str, object]) -> machine.Looked:
    sides = [SimpleNamespace(facts=SimpleNamespace(packages={}), __str__=lambda self: "") for _ in range(2)]
    return machine.Looked(sides[0], sides[1], old_said, said)  # type: ignore[arg-type]


def test_a_file_that_was_not_read_holds_up_but_for_what_most_processes_read_afresh() -> None:
    dovecot = ["Dovecot", "/etc/dovecot/dovecot.conf", 1e9, 60.0]
    main = ["Postfix", machine.AFRESH, 1e9, 60.0]

    (clean,) = machine.settings_are_read(looked({"unread": []}, {"unread": []}))
    firm, advice = machine.settings_are_read(looked({"unread": [dovecot, main]}, {"unread": [dovecot]}))

    assert clean.verdict is Verdict.PASSED
    assert (firm.verdict, firm.required, advice.required) == (Verdict.FAILED, True, False)
    assert [each.asked.partition(" on ")[0] for each in firm.findings if not each.verdict.holds] == [
        "Dovecot: /etc/dovecot/dovecot.conf"
    ]
    assert len([each for each in advice.findings if not each.verdict.holds]) == 2


def test_what_old_grumbles_about_holds_nothing_up_but_what_it_would_not_start_with_does() -> None:
    fine = {"Dovecot": [0, ""]}

    grumbling = machine.configurations_are_accepted(
        looked({"configurations": fine}, {"configurations": {"Dovecot": [0, "old"]}})
    )
    broken = machine.configurations_are_accepted(
        looked({"configurations": fine}, {"configurations": {"Dovecot": [89, "Fatal"]}})
    )

    assert (grumbling.verdict, broken.verdict) == (Verdict.PASSED, Verdict.FAILED)


def test_what_lies_in_memory_is_gone_after_a_reboot() -> None:
    mounts = {
        "/var/spool/postfix": ["/var/spool/postfix", "/etc/fstab", False, "tmpfs"],
        "/etc": ["/", "", True, "ext4"],
    }

    found = machine.disks_come_back(looked({"mounts": mounts}, {}))

    assert [each.asked for each in found.findings if not each.verdict.holds] == ["/var/spool/postfix"]
    assert "memory" in found.findings[0].answer


# certificate


@pytest.mark.parametrize(
    ("hook", "units"),
    [
        ("post-hook = systemctl restart postfix dovecot apache2", {"postfix", "dovecot", "apache2"}),
        ("systemctl reload-or-restart dovecot.service\nservice postfix reload", {"postfix", "dovecot"}),
        ("/etc/init.d/apache2 reload; doveadm reload", {"dovecot", "apache2"}),
        ("installer = apache", {"apache2"}),
        ("echo restart; logger postfix dovecot apache2", set()),
        ("systemctl restart nginx", set()),
        ("", set()),
    ],
)
def test_a_hook_is_understood_in_any_usual_wording(hook: str, units: set[str]) -> None:
    assert {unit for unit in ("postfix", "dovecot", "apache2") if certificate.tells(hook, unit)} == units


@pytest.mark.parametrize(
    ("capability", "is_login"),
    [
        ("AUTH PLAIN LOGIN", True),
        ("AUTH=PLAIN", True),
        ("SASL PLAIN", True),
        ('"SASL" "PLAIN LOGIN"', True),
        ("USER", True),
        ("SASL", False),
        ('"SASL" ""', False),
        ("AUTH-RESP-CODE", False),
        ("LOGINDISABLED", False),
        ("SASL-IR", False),
        ("", False),
    ],
)
def test_an_invitation_to_log_in_is_seen(capability: str, is_login: bool) -> None:
    assert bool(certificate.logins_offered([capability])) is is_login


def test_certbots_words_are_told_without_their_frame() -> None:
    said = (
        "Saving debug log to /logs/letsencrypt.log\n\n- - - -\nProcessing /config/renewal/a.example.conf\n- - - -\n"
        "Detail: returned 404\nAll simulated renewals failed. These:\n  /config/live/a.example/fullchain.pem (failure)\n"
        "1 renew failure(s), 0 parse failure(s)\nAsk for help or search for solutions\n"
    )

    assert certificate.why_not(said) == "Detail: returned 404"
    assert certificate.why_not("") == "it failed without a word"


# database


@pytest.mark.parametrize(
    ("here", "there", "is_narrower"),
    [
        ("varchar(50)", "varchar(100)", True),
        ("varchar(255)", "varchar(100)", False),
        ("int(11)", "bigint(20)", True),
        ("bigint(11)", "int(11)", False),
        ("text", "varchar(9)", False),
        ("enum('a','b')", "enum('a')", False),
    ],
)
def test_a_column_that_holds_less_is_seen(here: str, there: str, is_narrower: bool) -> None:
    assert database.narrower(here, there) is is_narrower


def test_files_of_database_maps_are_found_in_any_wording() -> None:
    setting = "hash:/etc/aliases, proxy:mysql:/etc/postfix/a.cf mysql:/etc/postfix/b.cf,mysql:/etc/c.cf"

    assert database.mysql_files(setting) == ["/etc/postfix/a.cf", "/etc/postfix/b.cf", "/etc/c.cf"]
    assert maps.tables_in(setting)[1] == "proxy:mysql:/etc/postfix/a.cf"


# aliases


def test_circles_of_aliases_are_found_once_each() -> None:
    aliases = {"a": ["b"], "b": ["c", "x"], "c": ["a"], "d": ["d", "x"], "e": ["a"], "p": ["q"], "q": ["p"]}

    assert [set(circle) for circle in maps.circles(aliases)] == [{"a", "b", "c"}, {"p", "q"}]


def test_a_catch_all_closes_a_circle_but_not_for_those_who_have_a_mailbox() -> None:
    aliases = {"@a": ["office@a"], "info@a": ["anna@a"]}

    assert maps.circles(aliases, ["anna@a", "office@a"]) == []
    assert [set(circle) for circle in maps.circles(aliases, ["anna@a"])] == [{"@a", "office@a"}]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4), max_size=6))
def test_each_circle_is_one(aliases: dict[str, list[str]]) -> None:
    for circle in maps.circles(aliases):
        assert circle[0] == circle[-1]
        assert all(there in aliases[here] for here, there in itertools.pairwise(circle))


def test_aliases_that_end_nowhere_are_found() -> None:
    aliases = {
        "sales@a.example": ["anna@a.example", "gone@a.example", "anna+x@a.example", "who@elsewhere.example"],
        "@b.example": ["anna@a.example"],
        "info@a.example": ["anybody@b.example", "sales@a.example"],
    }

    assert maps.dead_ends(aliases, ["Anna@a.example"], ["a.example", "b.example"]) == [
        ("sales@a.example", "gone@a.example")
    ]


# mailboxes


def test_the_limit_is_read_from_doveadms_table() -> None:
    table = "Quota name\tType\tValue\tLimit\t%\nUser quota\tSTORAGE\t1\t7168\t0\nUser quota\tMESSAGE\t0\t-\t0\n"

    assert mailboxes.storage_limit(table) == 7168
    assert mailboxes.storage_limit(table.replace("7168", "-")) is None
    assert mailboxes.storage_limit("") is None


@pytest.mark.parametrize(
    ("setting", "layout", "separator"),
    [
        ("", "maildir:~/Maildir", "."),
        ("/", "maildir:~/Maildir", "/"),
        ("", "maildir:~/Maildir:LAYOUT=fs", "/"),
        ("", "mdbox:~/mdbox", "/"),
    ],
)
def test_an_unset_separator_is_that_of_the_layout(setting: str, layout: str, separator: str) -> None:
    assert folders.effective_separator(setting, layout) == separator


# the firewall after a reboot


def test_of_a_firewall_only_what_stays_is_compared() -> None:
    now = """
table inet filter { # handle 1
    set friends {
        type ipv4_addr
        elements = { 192.0.2.1,
                     192.0.2.2 }
    }
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related counter packets 12 bytes 3400 accept
        tcp dport 22 accept
    }
    chain forward {
        type filter hook forward priority 0; policy accept;
    }
}
table inet f2b-table {
    chain f2b-chain {
        type filter hook input priority filter - 1; policy drop;
        tcp dport 25 ip saddr @addr-set-postfix reject
    }
}
"""

    assert remote_machine.firewall_rules(now) == {
        "table inet filter chain input: type filter hook input priority 0; policy drop;",
        "table inet filter chain input: ct state established,related accept",
        "table inet filter chain input: tcp dport 22 accept",
    }
