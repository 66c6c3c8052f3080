"""A log that was emptied, cut or not written is seen: by lines noted before, by the journal, by letters it does not know."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import mailmove.remote
from checks import ledger as checks
from checks import retirement
from checks.maillog import Gap, Log
from mailmove import ledger, log_marks
from mailmove.journal import Event, Journal
from mailmove.ledger import Found
from mailmove.remote import received

NOW = float(int(time.time()))


@pytest.fixture
def maillog(tmp_path: Path) -> ModuleType:
    """The program that reads logs, on a directory of its own and without a journal."""
    path = Path(mailmove.remote.__file__).with_name("maillog.py")
    spec = importlib.util.spec_from_loader("maillog_on_files", loader=None)
    assert spec
    module = importlib.util.module_from_spec(spec)
    exec(compile(path.read_text("utf-8").rpartition("\nmain()")[0], str(path), "exec"), module.__dict__)
    module.WHERE = str(tmp_path / "mail.log")  # type: ignore[attr-defined]
    module.JOURNAL = ["false"]  # type: ignore[attr-defined]
    return module


def line(at: float, text: str, style: str = "traditional") -> bytes:
    stamp = {
        "traditional": time.strftime("%b %e %H:%M:%S", time.localtime(at)),
        "iso": time.strftime("%Y-%m-%dT%H:%M:%S.250000+00:00", time.gmtime(at)),
        "unix": f"{at + 0.7:.6f}",
    }[style]
    return f"{stamp} mail {text}\n".encode()


def smtpd(at: float, number: int) -> bytes:
    return line(at, f"postfix/smtpd[{number}]: connect from mx.elsewhere.example[203.0.113.10]")


def asked(
    maillog: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **what: object
) -> Any:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(what).encode() + b"\n")))
    maillog.main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def mark(maillog: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda: asked(maillog, monkeypatch, capsys, mark=True)["mark"]


@pytest.fixture
def gaps(maillog: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def found(*marks: Any, since: float = NOW - 3600) -> list[dict[str, float | None]]:
        return asked(maillog, monkeypatch, capsys, since=since, pattern="x", marks=list(marks))["gaps"]  # type: ignore[no-any-return]

    return found


def test_a_log_emptied_beside_older_ones_has_a_gap_and_one_that_is_rotated_has_none(
    tmp_path: Path, mark: Any, gaps: Any
) -> None:
    log = tmp_path / "mail.log"
    (tmp_path / "mail.log.1").write_bytes(smtpd(NOW - 90_000, 1))
    log.write_bytes(smtpd(NOW - 600, 2) + smtpd(NOW - 500, 3))
    noted = mark()
    log.write_bytes(log.read_bytes() + smtpd(NOW - 400, 4))
    assert gaps(noted) == []

    before = log.read_bytes()
    (tmp_path / "mail.log.2").write_bytes(before)
    log.write_bytes(smtpd(NOW - 300, 5))
    assert gaps(noted) == []
    for name, packed in (("mail.log-20261128-1.gz", gzip.compress(before)), ("mail.log.7", before)):
        (tmp_path / "mail.log.2").unlink(missing_ok=True)
        (tmp_path / name).write_bytes(packed)
        assert gaps(noted) == []
        (tmp_path / name).unlink()

    assert gaps(noted) == [{"mark": NOW - 500, "before": NOW - 90_000, "after": NOW - 300}]


def test_the_gap_ends_where_the_log_goes_on_and_one_gap_is_told_once(tmp_path: Path, mark: Any, gaps: Any) -> None:
    log = tmp_path / "mail.log"
    noted = []
    for number in range(4):
        with open(log, "ab") as file:
            file.write(smtpd(NOW - 900 + 100 * number, number))
        noted.append(mark())
    every = log.read_bytes().splitlines(keepends=True)

    log.write_bytes(every[0] + every[3])
    assert gaps(*noted) == [{"mark": NOW - 700, "before": NOW - 900, "after": NOW - 600}]
    log.write_bytes(every[3])
    assert gaps(*noted) == [{"mark": NOW - 700, "before": None, "after": NOW - 600}]
    log.write_bytes(b"")
    assert gaps(*noted) == [{"mark": NOW - 600, "before": None, "after": None}]
    log.unlink()
    (tmp_path / "mail.log.1").write_bytes(every[0])
    assert gaps(*noted) == [{"mark": NOW - 600, "before": NOW - 900, "after": None}]


def test_a_line_is_the_same_in_every_style_and_in_the_journal(maillog: ModuleType) -> None:
    text = "dovecot: imap-login: Login: user=<anna@example.org>, method=PLAIN"
    marks = [maillog.last_mark([line(NOW, text, style)], NOW) for style in ("traditional", "iso", "unix")]
    assert len({digest for _, digest in marks}) == 1
    with_process = line(NOW, text.replace("dovecot:", "dovecot[71]:"), "unix")
    assert maillog.last_mark([with_process], NOW)[1] == marks[0][1]
    for one in marks:
        for style in ("traditional", "iso", "unix"):
            looked = maillog.Marks([one])
            looked.look(*maillog.stamp(line(NOW, text, style).decode().rstrip(), NOW))
            assert looked.gaps() == []


@pytest.mark.parametrize(
    "text",
    [
        "postfix/smtpd[1]: warning: caf\u00e9",
        "postfix/smtpd[1]: a#011b",
        "rspamd[1]: x",
        "postfix/x[1]: message repeated 2 times",
    ],
)
def test_what_rsyslog_may_write_in_its_own_way_is_no_mark(maillog: ModuleType, text: str) -> None:
    assert maillog.last_mark([smtpd(NOW - 5, 1), line(NOW, text)], NOW)[0] == NOW - 5


def test_files_that_end_before_the_journal_does_have_a_gap_at_their_end(
    tmp_path: Path, maillog: ModuleType, gaps: Any
) -> None:
    letter = "postfix/qmgr[3]: 4B1C2D3E5F: from=<a@elsewhere.example>, size=1, nrcpt=1 (queue active)"
    (tmp_path / "mail.log").write_bytes(smtpd(NOW - 400, 1))
    (tmp_path / "journal").write_bytes(
        line(NOW - 400, "postfix/smtpd[1]: connect from mx.elsewhere.example[203.0.113.10]", "unix")
        + line(NOW - 100, letter, "unix")
        + line(time.time(), letter.replace("4B", "5B"), "unix")  # just now: the file may not have it yet
    )
    maillog.JOURNAL = ["sh", "-c", f"cat {tmp_path}/journal"]  # type: ignore[attr-defined]
    (gap,) = gaps()
    assert gap["before"] == NOW - 400 and gap["after"] is None
    with open(tmp_path / "mail.log", "ab") as file:
        file.write(line(NOW - 100, letter))
    assert gaps() == []


SUPPRESSED = "systemd-journald[64]: Suppressed {} messages from {}"


def test_what_the_journal_left_out_is_a_gap_of_the_journal_and_of_files_that_lack_something_too(
    tmp_path: Path, maillog: ModuleType, gaps: Any
) -> None:
    (tmp_path / "lines").write_bytes(line(NOW - 900, "postfix/smtpd[1]: connect from unknown[203.0.113.10]", "unix"))
    left_out = [
        (NOW - 9000, SUPPRESSED.format(7, "postfix@-.service")),
        (NOW - 800, SUPPRESSED.format(31, "postfix@-.service")),
        (NOW - 700, SUPPRESSED.format(9000, "apache2.service")),
        (NOW - 600, SUPPRESSED.format(3, "dovecot.service")),
        (NOW - 500, "systemd-journald[64]: Suppressed 1 messages from a.service postfix"),
    ]
    (tmp_path / "a596d6fe7bfa4994828e72309e95d61e").write_bytes(b"".join(line(at, w, "unix") for at, w in left_out))
    script = f'case "$*" in *MESSAGE_ID=*) cat {tmp_path}/"$(echo "$*" | sed "s/.*MESSAGE_ID=//; s/ .*//")";; *) cat {tmp_path}/lines;; esac'
    maillog.JOURNAL = ["sh", "-c", script, "journalctl", "SYSLOG_FACILITY=2"]  # type: ignore[attr-defined]

    first, last = gaps(since=NOW - 10_000)
    assert abs(first["after"] - (NOW - 9000)) < 1
    assert first["said"] == "Suppressed 7 messages from postfix@-.service"
    assert abs(last["after"] - (NOW - 600)) < 1
    assert last["said"].startswith("Suppressed 3 messages from dovecot.service")

    (tmp_path / "mail.log").write_bytes(smtpd(NOW - 900, 1))
    assert gaps() == []
    (tmp_path / "0027229ca0644181a76c4e92458afa2e").write_bytes(
        line(NOW - 750, "systemd-journald[64]: Forwarding to syslog missed 40 messages.", "unix")
    )
    assert len(gaps(since=NOW - 10_000)) == 2


def test_a_line_that_is_just_being_written_is_no_mark(tmp_path: Path, mark: Any) -> None:
    (tmp_path / "mail.log").write_bytes(smtpd(NOW - 500, 1) + smtpd(NOW - 400, 2)[:-9])
    assert mark()[0] == NOW - 500


def test_marks_are_noted_by_server_and_not_while_people_wait(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "mailmove.journal", "a")
    said = {"old": [100.0, "aa"], "new": None}

    class _Server(SimpleNamespace):
        def remote(self, *_: object, **__: object) -> list[dict[str, object]]:
            return [{"mark": said[self.role]}]

    servers = [_Server(role="old"), _Server(role="new")]
    log_marks.note(journal, servers)  # type: ignore[arg-type]
    assert log_marks.noted(journal, "old") == [(100.0, "aa")]
    assert log_marks.noted(journal, "new") == []

    journal.keep("downtime began", 1.0)
    said["new"] = [200.0, "bb"]
    log_marks.note(journal, servers)  # type: ignore[arg-type]
    assert log_marks.noted(journal, "new") == []
    journal.keep("downtime ended", 2.0)
    log_marks.note(journal, servers)  # type: ignore[arg-type]
    assert log_marks.noted(journal, "new") == [(200.0, "bb")]


def test_a_letter_that_lies_in_a_mailbox_and_of_which_the_log_is_silent_is_seen() -> None:
    hosts: dict[ledger.Role, str] = {"old": "mail.example.org", "new": "mail2.example.org"}
    book = ledger.read(
        "new", [ledger.Line(150.0, "m postfix/qmgr[1]: A1B2C3D4E5: from=<a@b.example>, size=1, nrcpt=1 ")]
    )
    books: dict[ledger.Role, ledger.Book] = {"old": ledger.Book(), "new": book}

    def there(id_: str, taken: float | None) -> Found:
        return Found("anna@example.org", "", 1, 500.0, id_, "", taken)

    known = there("mail2.example.org A1B2C3D4E5", 150.0)
    silent = there("mail.example.org B1B2C3D4E5", 150.0)
    others = [
        there("mail.example.org C1B2C3D4E5", 90.0),  # of last month, put into another folder tonight
        there("mail.example.org F1B2C3D4E5", 900.0),  # came when the log had been read
        there("mx.elsewhere.example D1B2C3D4E5", 150.0),
        there("mail.example.org E1B2C3D4E5", None),
        there("", None),
    ]
    since: dict[ledger.Role, float] = {"old": 100.0, "new": 100.0}
    until: dict[ledger.Role, float] = {"old": 800.0, "new": 800.0}
    assert ledger.unknown(books, [known, silent, *others], hosts, since, until) == [silent]


@pytest.mark.parametrize(
    ("head", "at"),
    [
        (b"Received: from x (y [1.2.3.4])\n\tby mail.example.org (Postfix) with ESMTPS id A1B2C3D4E5\n\tfor <\"a;b\"@example.org>; "
         b"Sat, 28 Nov 2026 08:49:23 +0000 (UTC)\nSubject: x\n", 1795855763.0),
        (b"Received: by mail.example.org (Postfix, from userid 0)\n\tid A1B2C3D4E5; Sat, 28 Nov 2026 09:49:23 +0100 (CET)\n",
         1795855763.0),
        (b"Received: by mail.example.org (Postfix, from userid 0)\n\tid A1B2C3D4E5; yesterday\nX: y\n", None),
        (b"Subject: a; Sat, 28 Nov 2026 08:49:23 +0000\n", None),
    ],
)  # fmt: skip
def test_when_a_letter_was_taken_is_read_from_what_our_postfix_wrote(head: bytes, at: float | None) -> None:
    assert received.taken(head) == at


def test_a_gap_before_the_stop_is_remarked_and_a_later_one_holds_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "mailmove.journal", "a")
    journal.record("freeze", Event.BEGUN)
    stop = journal.entries("freeze")[0].at
    reading = checks._Reading.__new__(checks._Reading)
    reading.stop, reading.remarks, reading.troubles, reading.gaps, reading.never_written = stop, [], [], False, False
    for gap in (
        Gap(stop - 300, stop - 400, stop - 200),
        Gap(stop - 300, stop - 400, stop + 5),
        Gap(stop, stop - 1, None),
    ):
        reading._missing("old", gap.after, str(gap))
    assert len(reading.remarks) == 1
    assert len(reading.troubles) == 2
    assert "to its end" in reading.troubles[1]
    assert reading.gaps and not reading.never_written


def test_lines_that_were_never_written_hold_up_and_need_another_hint(tmp_path: Path) -> None:
    reading = checks._Reading.__new__(checks._Reading)
    reading.stop, reading.remarks, reading.troubles, reading.gaps, reading.never_written = NOW, [], [], False, False
    said = "Suppressed 31 messages from postfix@-.service"
    for gap in (Gap(NOW - 5, NOW - 5, NOW - 5, said), Gap(NOW + 5, NOW + 5, NOW + 5, said)):
        reading._missing("new", gap.after, str(gap), never_written=bool(gap.said))
    assert [len(reading.remarks), len(reading.troubles)] == [1, 1]
    assert said in reading.troubles[0]
    assert reading.never_written and not reading.gaps


@pytest.mark.parametrize(
    ("begins", "gaps", "since"),
    [
        (50.0, (), 100.0),
        (50.0, (Gap(150.0, 120.0, 300.0),), 300.0),
        (50.0, (Gap(150.0, 120.0, None),), 1000.0),
        (200.0, (), 200.0),
        (None, (), 1000.0),
    ],
)
def test_the_quiet_week_begins_anew_where_the_log_goes_on(
    monkeypatch: pytest.MonkeyPatch, begins: float | None, gaps: tuple[Gap, ...], since: float
) -> None:
    monkeypatch.setattr(retirement, "read_log", lambda *_, **__: Log((), 9, ("mail.log",), begins=begins, gaps=gaps))
    monkeypatch.setattr(retirement, "clock", lambda _: 1000.0)
    quiet = retirement._quiet(SimpleNamespace(role="old"), 100.0, 60.0, [])  # type: ignore[arg-type]
    assert quiet.since == since
    assert bool(quiet.gaps) == (since != 100.0)
