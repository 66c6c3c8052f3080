"""Parsers and pure logic of the evening's service moves."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import json
import subprocess
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mailmove.remote
from checks import forwarding as forwarding_checks
from checks import maillog, retirement
from checks.forwarding import _newest_result
from mailmove import postfix
from mailmove.evidence import Evidence, Examination, Verdict
from mailmove.journal import Journal
from mailmove.moves import forwarding, safety_net, trust
from mailmove.moves.service_state import Overlay
from mailmove.units import parse_units

LISTING = "\n".join(
    json.dumps(letter)
    for letter in [
        {
            "queue_name": "deferred",
            "queue_id": "4ABC",
            "arrival_time": 1000,
            "message_size": 12,
            "forced_expire": False,
            "sender": "",
            "recipients": [
                {"address": "Sybil@Example.org", "delay_reason": "mailbox is full"},
                {"address": "friend@elsewhere.example"},
            ],
        },
        {
            "queue_name": "active",
            "queue_id": "5DEF",
            "arrival_time": 2000,
            "message_size": 1,
            "sender": "a@b.example",
            "recipients": [{"address": "mailmove-probe-1@example.org"}],
        },
    ]
)

MASTER = """\
smtp       inet  n       -       y       -       -       smtpd
submission inet  n       -       y       -       -       smtpd -o syslog_name=postfix/submission
    -o smtpd_tls_security_level=encrypt
127.0.0.1:10025 inet n   -       y       -       -       smtpd
pickup     unix  n       -       y       60      1       pickup
"""


def test_queue_is_read_with_reasons() -> None:
    first, second = postfix.parse_queue(LISTING)
    assert first.waits
    assert not second.waits
    assert [r.address for r in first.to(["example.org"])] == ["Sybil@Example.org"]
    assert "mailbox is full" in first.words(4600.0)
    assert "60 min old" in first.words(4600.0)
    assert second.is_ours
    assert not first.is_ours


def test_letters_that_would_be_expanded_twice_are_found() -> None:
    letters = postfix.parse_queue(LISTING)
    aliases = [["sybil@example.org", "sybil@example.org"], ["sybil@example.org", "sink@elsewhere.example"]]
    assert [q.id for q in postfix.would_double(letters, aliases, before=1500)] == ["4ABC"]
    assert postfix.would_double(letters, aliases, before=500) == []
    assert postfix.would_double(letters, [["sybil@example.org", "sybil@example.org"]], before=1500) == []


def test_only_the_doors_to_the_outside_are_closed() -> None:
    services = postfix.parse_services(MASTER)
    assert [s.id for s in services if s.takes_mail_from_outside] == ["smtp/inet", "submission/inet"]
    assert [s.port for s in services] == [25, 587, 10025, 0]
    assert postfix.closing(services) == "smtp/inet submission/inet"


def test_doors_with_an_address_are_closed_all_at_once_or_not_at_all() -> None:
    bound = postfix.Service("203.0.113.20:smtp", "inet", "smtpd")
    inner = postfix.Service("10025", "inet", "spawn")
    back = postfix.Service("127.0.0.1:10025", "inet", "smtpd")
    assert postfix.closing([bound, inner]) == "!10025/inet inet"
    assert postfix.closing([bound, back]) is None


def test_old_server_keeps_its_own_tables_while_it_relays() -> None:
    own = forwarding.Own("mysql:/d.cf", "mysql:/m.cf", "mysql:/a.cf,mysql:/e.cf", "partner.example", "", "")
    settings = forwarding.relaying(own, "mailmove:[203.0.113.30]")
    assert settings["relay_domains"] == "partner.example, mysql:/d.cf"
    assert settings["relay_recipient_maps"].startswith("mysql:/m.cf, mysql:/a.cf,mysql:/e.cf, regexp:")
    assert settings["virtual_alias_maps"] == ""
    assert "transport_maps" not in settings
    with_table = forwarding.relaying(forwarding.Own("d", "m", "", "", "", "hash:/t"), "x:[y]")
    assert with_table["transport_maps"] == f"texthash:{forwarding.TRANSPORT_FILE}, hash:/t"


def test_transport_file_takes_no_names_that_are_none() -> None:
    text = forwarding.transport_file(["example.org", "evil\nroot discard:", "#x"], "mailmove:[1.2.3.4]")
    assert text.splitlines()[1:] == ["example.org mailmove:[1.2.3.4]"]


@pytest.mark.parametrize(
    ("restrictions", "dead", "left"),
    [
        (
            "reject_unauth_destination check_policy_service unix:private/quota-status",
            {"unix:private/quota-status"},
            "reject_unauth_destination",
        ),
        ("permit_mynetworks, check_policy_service inet:127.0.0.1:10023", set(), None),
        ("check_policy_service unix:private/quota-status", {"unix:private/quota-status"}, ""),
    ],
)
def test_policy_servers_that_are_gone_are_not_asked(restrictions: str, dead: set[str], left: str | None) -> None:
    expected = restrictions.replace(",", "") if left is None else left
    assert forwarding.without_dead_policies(restrictions, dead) == expected


def test_trust_names_addresses_and_nothing_else() -> None:
    text = trust.rspamd_settings(["203.0.113.20", "2001:db8::1"])
    assert 'ip = ["203.0.113.20", "2001:db8::1"];' in text
    assert trust.address_words(["203.0.113.20", "$(reboot)"]) == "203.0.113.20"


def test_units_are_read_in_their_order() -> None:
    text = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\nLoadState=not-found\nUnitFileState=\n"
    assert [block["LoadState"] for block in parse_units(text)] == ["loaded", "not-found"]


@pytest.mark.parametrize(
    "line",
    [
        "mail postfix/smtpd[3]: warning: hostname x.example does not resolve to address 192.0.2.1: Name unknown",
        "mail dovecot: master: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)",
        "mail postfix/smtpd[3]: warning: TLS library problem: error:0A000418:SSL:tlsv1 alert unknown ca:ssl.c:1:",
    ],
)
def test_harmless_lines_have_a_reason(line: str) -> None:
    assert maillog.LogLine(0, line).harmless


@pytest.mark.parametrize(
    "line",
    [
        "mail postfix/smtpd[3]: warning: connect to Milter service inet:127.0.0.1:11332: Connection refused",
        "mail dovecot: lmtp(a@b)<1><x>: Error: Couldn't open INBOX: Permission denied",
        "mail postfix/smtpd[3]: fatal: no SASL authentication mechanisms",
    ],
)
def test_real_trouble_is_not_harmless(line: str) -> None:
    assert maillog.re.search(maillog.PROBLEM, line)
    assert not maillog.LogLine(0, line).harmless


def test_trouble_with_a_probe_is_trouble_but_for_its_going_away() -> None:
    who = "mail dovecot: lmtp(anna@probe.mailmove.invalid)<1><x>: Error: "
    gone = maillog.LogLine(0, who + "open(/var/vmail/probe.mailmove.invalid/anna) failed: No such file or directory")
    real = maillog.LogLine(0, who + "Couldn't open INBOX: Permission denied")
    assert maillog.reason_to_ignore(gone, maillog.Own())
    assert not maillog.reason_to_ignore(real, maillog.Own())


def test_same_trouble_is_told_once() -> None:
    lines = [maillog.LogLine(i, f"mail postfix/smtpd[{i}]: warning: milter on port 11332 gone") for i in range(9)]
    (only,) = maillog.grouped(lines)
    assert only.startswith("9 times")


def test_normal_lines_are_no_problem() -> None:
    line = "mail postfix/lmtp[1]: 4A: to=<x@y>, status=sent (250 2.0.0 Error: Saved)"
    assert not maillog.re.search(maillog.PROBLEM, line)


def test_differences_between_backup_and_server_are_named() -> None:
    exam = Examination("backup", "both")
    before = {"a": ["file", 1, 0o644, 0, 0, "x"], "b": ["file", 1, 0o644, 0, 0, "y"]}
    after = {"a": ["file", 1, 0o644, 0, 0, "z"], "c": ["link", 0, 0, 0, 0, "t"]}
    retirement.compare_files(exam, before, after)
    evidence = exam.close()
    assert evidence.verdict is Verdict.FAILED
    told = {f.asked: f.answer for f in evidence.findings}
    assert told["missing in the backup"] == "1: b"
    assert told["only in the backup"] == "1: c"
    assert told["different"] == "1: a"


def test_empty_backup_proves_nothing() -> None:
    exam = Examination("backup", "both")
    retirement.compare_files(exam, {}, {})
    assert exam.close().verdict is Verdict.FAILED


def test_only_the_newest_filter_counts() -> None:
    header = "X-Spamd-Result: default: False\r\n\tR_SPF_ALLOW\r\nX-Spamd-Result: default\r\n\tR_SPF_FAIL(1.0)"
    assert "R_SPF_FAIL" not in _newest_result(header)


# the program that reads logs on the servers


def _maillog() -> ModuleType:
    path = Path(mailmove.remote.__file__).with_name("maillog.py")
    source = path.read_text("utf-8").rpartition("\nmain()")[0]
    spec = importlib.util.spec_from_loader("maillog_under_test", loader=None)
    assert spec
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


MAILLOG = _maillog()


def test_times_of_both_formats_are_read() -> None:
    at, rest = MAILLOG.stamp("2026-11-24T00:14:44.5+01:00 mail postfix/x[1]: hi", time.time())
    assert at == dt.datetime(2026, 11, 23, 23, 14, 44, 500000, tzinfo=dt.UTC).timestamp()
    assert rest == "mail postfix/x[1]: hi"
    now = dt.datetime(2027, 1, 1, 0, 5).timestamp()
    at, _ = MAILLOG.stamp("Dec 31 23:59:58 mail postfix/x[1]: hi", now)
    assert at == dt.datetime(2026, 12, 31, 23, 59, 58).timestamp()  # the year is not in the line


@given(st.text(max_size=300))
def test_any_line_is_survived(line: str) -> None:
    at, rest = MAILLOG.stamp(line, 1.8e9)
    assert at is None or isinstance(at, float)
    assert isinstance(rest, str)


@given(st.lists(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=30), max_size=8))
def test_restrictions_never_gain_a_word(words: list[str]) -> None:
    text = " ".join(words)
    left = forwarding.without_dead_policies(text, {"unix:private/quota-status"}).split()
    assert set(left) <= {w for each in words for w in each.replace(",", " ").split()} | {""}


def test_only_maps_that_are_asked_directly_hold_a_connection_each() -> None:
    value = "mysql:/etc/postfix/a.cf, proxy:mysql:/etc/postfix/b.cf hash:/etc/aliases,mysql:/etc/postfix/c.cf"
    assert safety_net.DIRECT.findall(value) == ["/etc/postfix/a.cf", "/etc/postfix/c.cf"]


class _MainCf:
    """A server of which only main.cf is there."""

    role = "old"

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings

    def run(self, *argv: str, **_: object) -> SimpleNamespace:
        if argv[:2] == ("postconf", "-n"):
            return SimpleNamespace(out="".join(f"{k} = {v}\n" for k, v in self.settings.items()))
        return SimpleNamespace(out="", ok=True)

    def sh(self, script: str, *words: str, **_: object) -> None:
        if "postconf" in script and words[0] == "-e":
            self.settings.update(dict(each.split("=", 1) for each in words[1:]))
        elif "postconf" in script and words[0] == "-X":
            for name in words[1:]:
                self.settings.pop(name, None)


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("writes", range(6))
def test_settings_taken_off_by_a_run_that_is_killed_are_as_before_after_the_next(tmp_path: Path, writes: int) -> None:
    server = _MainCf({"smtpd_data_restrictions": "reject_unauth_pipelining", "myhostname": "mail.example.org"})
    before = dict(server.settings)
    journal = Journal(tmp_path / "mailmove.journal", "a")
    overlay = Overlay(server, journal, "doors")  # type: ignore[arg-type]
    overlay.lay({"smtpd_data_restrictions": "defer", "master_service_disable": "smtp/inet"}, reload=False)
    assert server.settings != before
    left, write = [writes], journal._write

    def killed(*arguments: object) -> None:
        if not left[0]:
            raise _KilledError
        left[0] -= 1
        write(*arguments)  # type: ignore[arg-type]

    journal._write = killed  # type: ignore[assignment]
    with contextlib.suppress(_KilledError):
        overlay.take_off(reload=False)
    journal._write = write  # type: ignore[method-assign]
    overlay.take_off(reload=False)

    assert server.settings == before
    assert not overlay.is_laid
    journal.close()


@pytest.mark.parametrize(
    ("line", "leaks"),
    [
        ("dovecot: auth: sql(anna@example.org,203.0.113.40,<x>): Password mismatch (given password: geheim)", True),
        (
            "dovecot: auth: sql(anna@example.org): Password mismatch (given password: 5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8)",
            False,
        ),
        (
            "dovecot: auth: Debug: client in: AUTH#0112#011PLAIN#011service=imap#011resp=AGFubmEAZ2VoZWlt (previous base64 data",
            True,
        ),
        ("dovecot: auth: Debug: client in: AUTH#0112#011PLAIN#011service=imap#011resp=<hidden>", False),
        ("postfix/smtpd[7]: < unknown[203.0.113.40]: AUTH PLAIN AGFubmEAZ2VoZWlt", True),
        (
            "postfix/smtpd[7]: warning: unknown[203.0.113.40]: SASL PLAIN authentication failed: authentication failure",
            False,
        ),
    ],
)
def test_a_password_in_the_log_is_seen_but_not_its_hash(line: str, leaks: bool) -> None:
    assert bool(maillog.re.search(maillog.LEAK, line)) is leaks


def _in_sh(script: str, *arguments: object, no_room: bool = False) -> subprocess.CompletedProcess[str]:
    """As a server runs it; with ``no_room`` no file can get a byte more, as on a full disk."""
    limit = "trap '' XFSZ; ulimit -f 0\n" if no_room else ""
    command = ["sh", "-c", f"{limit}{script}", "sh", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_the_admins_settings_of_the_spam_filter_survive_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "local.d" / "settings.conf"
    assert _in_sh(trust._INCLUDE, path, trust.INCLUDE).returncode == 0
    assert path.read_text() == f"{trust.INCLUDE}\n"
    assert _in_sh(trust._EXCLUDE, path).returncode == 0
    assert not path.exists()

    path.write_text("own { }\n")
    path.chmod(0o640)
    assert _in_sh(trust._INCLUDE, path, trust.INCLUDE, no_room=True).returncode != 0
    assert path.read_text() == "own { }\n"
    for _ in range(2):
        assert _in_sh(trust._INCLUDE, path, trust.INCLUDE).returncode == 0
    assert path.read_text() == f"own {{ }}\n{trust.INCLUDE}\n"

    assert _in_sh(trust._EXCLUDE, path, no_room=True).returncode != 0
    assert path.read_text() == f"own {{ }}\n{trust.INCLUDE}\n"
    assert _in_sh(trust._EXCLUDE, path).returncode == 0
    assert path.read_text() == "own { }\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["settings.conf"]


def test_a_letter_that_somebody_put_on_hold_before_the_move_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def letter(id_: str, queue: str, reason: str) -> postfix.Queued:
        to = (postfix.Recipient("john@example.org", reason),)
        return postfix.Queued(id_, queue, 1000.0, 300, "friend@elsewhere.example", to)

    def looked(*letters: postfix.Queued) -> Evidence:
        monkeypatch.setattr(postfix, "queue", lambda _: list(letters))
        return forwarding_checks.queue_went_across(SimpleNamespace(role="old"), ["example.org"], [])  # type: ignore[arg-type]

    held = looked(letter("4A1", "hold", "deferred transport"))
    assert held.holds
    assert "mailmove queue release 4A1 --server old" in held.findings[-1].answer
    assert not looked(letter("4A2", "deferred", "connect to 203.0.113.30: Connection refused")).holds


def test_a_letter_that_does_not_come_across_is_shown_with_why_it_waits_on_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(id_: str, to: str) -> postfix.Queued:
        recipients = (postfix.Recipient(to, "connect to 203.0.113.30[203.0.113.30]:25: Connection refused"),)
        return postfix.Queued(id_, "deferred", 1000.0, 300, "friend@elsewhere.example", recipients)

    queue = [waits("4A1", "mailmove-probe-1@example.org"), waits("4A2", "john@example.org")]
    monkeypatch.setattr(postfix, "queue", lambda _: queue)
    exam = Examination("a letter arrives", "both")
    forwarding_checks._say_what_waits(exam, SimpleNamespace(role="old"))  # type: ignore[arg-type]
    (finding,) = exam.close().findings
    assert "4A1" in finding.answer and "Connection refused" in finding.answer
