"""What mailmove itself did that shows in a mail log: when it restarted the spam filter, also in a run that was killed; the limit it set."""

from pathlib import Path
from unittest.mock import patch

from checks.maillog import (
    CLOCKS_APART_S,
    KILLED_S,
    PACE,
    LogLine,
    Own,
    own,
    own_restarts,
    reason_to_ignore,
    since_frozen,
)
from mailmove.journal import Event, Journal


def windows(path: Path, *entries: tuple[float, Event]) -> list[tuple[float, float]]:
    journal = Journal(path / "j", "a")
    for at, event in entries:
        with patch("mailmove.journal.time.time", return_value=at):
            journal.record("forward", event)
    found = own_restarts(journal)
    journal.close()
    return [(began + CLOCKS_APART_S, ended - CLOCKS_APART_S) for began, ended in found]


def test_from_its_beginning_to_its_proof(tmp_path: Path) -> None:
    assert windows(tmp_path, (100, Event.BEGUN), (120, Event.DONE), (130, Event.PROVED)) == [(100, 120), (120, 130)]


def test_a_killed_run_and_its_next(tmp_path: Path) -> None:
    found = windows(tmp_path, (100, Event.BEGUN), (9000, Event.BEGUN), (9010, Event.FAILED))

    assert found == [(100, 100 + KILLED_S), (9000, 9010)]


AT_LIMIT = (
    'mail2 postfix/master[471]: warning: service "smtp" (25) has reached its process limit "18": new clients may experience noticeable delays',
    "mail2 postfix/master[471]: warning: to avoid this condition, increase the process count in master.cf or reduce the service time per client",
    "mail2 postfix/master[471]: warning: see http://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings",
)


def test_the_limit_that_was_set_on_purpose_is_no_trouble_and_any_other_is(tmp_path: Path) -> None:
    def noted(own: Own) -> list[bool]:
        return [bool(reason_to_ignore(LogLine(0, text), own)) for text in AT_LIMIT]

    journal = Journal(tmp_path / "j", "a")
    assert noted(own(journal)) == [False, False, False]
    journal.keep(PACE, 18)
    assert noted(own(journal)) == [True, True, True]
    journal.keep(PACE, 100)
    assert noted(own(journal)) == [False, True, True]
    journal.close()


def test_what_was_not_there_yet_while_the_machine_started_is_no_trouble_and_the_same_later_is() -> None:
    boot = 1000.0
    lines = (
        "mail2 dovecot: auth: Error: mysql(127.0.0.1): Connect failed to database (mailserver): Can't connect to server on '127.0.0.1'",
        "mail2 postfix/smtpd[7]: warning: connect to Milter service inet:127.0.0.1:11332: Connection refused",
        "mail2 postfix/postfix-script[390]: warning: /var/spool/postfix/etc/ssl/certs/A.pem and /etc/ssl/certs/A.pem differ",
    )
    for text in lines:
        assert reason_to_ignore(LogLine(boot + 20, text), Own(), [boot])
        assert not reason_to_ignore(LogLine(boot + 600, text), Own(), [boot])
        assert not reason_to_ignore(LogLine(boot - 30, text), Own(), [boot])
        assert not reason_to_ignore(LogLine(boot + 20, text), Own())
    denied = "mail2 dovecot: lmtp(a@b)<1><x>: Error: Couldn't open INBOX: Permission denied"
    assert not reason_to_ignore(LogLine(boot + 20, denied), Own(), [boot])


def test_the_second_of_the_stop_is_the_stop(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "a")
    journal.keep("frozen since", 1000.4)

    assert since_frozen(journal) - 0.999 > 1000  # as lines without parts of a second are put aside
    assert since_frozen(journal) < 1001.6
    journal.close()
