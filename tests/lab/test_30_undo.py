"""Every move can be taken back, also after the new server was live: people's mail comes back, once.

On the way there the run is killed at a fixed sample of the crash matrix (tests/lab/test_50_crash.py has all of it).
"""

import signal
import time

import pytest

from mailmove.collect import all_places
from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from mailmove.progress import Deadline
from tests.lab import leftovers, secrets_watch
from tests.lab.conftest import ROOT, Mailmove
from tests.lab.test_10_verify import DUMP, differences, shell

SAMPLE = ("hot_copy:begun", "cold_copy:done", "start:begun")
ON_THE_WAY_BACK = "start:undoing:2"
CUTOVER = ("features/2_prepare", "features/3_cutover", "--move")
SAVED = "written on the new server, and kept in Drafts"


@pytest.mark.timeout(2700)
def test_a_live_cutover_is_taken_back_and_its_mail_comes_along(lab: Lab, mailmove: Mailmove) -> None:
    databases = shell(lab, "new", DUMP)
    secrets = secrets_watch.secrets_of(lab)
    traffic = Traffic(lab)
    traffic.start()
    try:
        with secrets_watch.Watch(secrets) as watch:
            run = mailmove("features/1_verify", "--move")
            assert run.status == 0, run.bad()
            for point in SAMPLE:
                assert mailmove.crash_at(point, *CUTOVER) == -signal.SIGKILL, point
            run = mailmove(*CUTOVER)
            assert run.status == 0, run.bad()
            assert mailmove.events("forward")[-1] == "proved"
            used = _use_the_new_server(lab)
            time.sleep(15)  # letters arrive on new; people read, flag, file and delete there

            mailmove.crash_at(ON_THE_WAY_BACK, "features", "--undo")
            evening = mailmove(
                "features/3_cutover", "--undo"
            )  # what was made ready stays, new has accounts and aliases
            assert evening.status == 0, evening.bad()
            outside = _late_to_a_list(lab)
            back = mailmove("features", "--undo")
    finally:
        traffic.stop()

    assert back.status == 0, back.bad()
    ways_back = [place.name for place in all_places(ROOT / "features") if place.is_undo]
    assert sorted(back.outcomes()) == sorted(ways_back)
    assert differences(databases, shell(lab, "new", DUMP)) == []
    assert shell(lab, "old", "systemctl is-active postfix dovecot") == ["active", "active"]
    count = traffic.count("old")
    # What its owner deleted on new is on old still: mail there is never deleted
    strayed = [each for each in count.strayed if "its owner had deleted it" not in each]
    assert (count.lost, count.doubled, strayed) == ([], [], [])
    assert count.sent > 60
    assert outside == ["1"]  # the list was expanded by one of the servers only
    _is_on_old(lab, used)
    # Late senders' letters come to old from new: until the next attempt that is not held against them
    assert leftovers.left(lab) == ["old: /etc/rspamd/mailmove-trust.conf"]
    assert watch.looks > 50
    assert watch.seen == set()
    assert secrets_watch.written(lab, secrets, mailmove.directory, lab.home / "mailmove.journal") == []


def _late_to_a_list(lab: Lab) -> list[str]:
    """A late sender's letter, by way of new, to an alias with a mailbox of the same name in it; how many the other one gets."""
    mark = f"list-{time.time():.0f}"
    send = "swaks --server 203.0.113.30 --from friend@elsewhere.example --silent 3 --to sybil@example.org"
    shell(
        lab,
        "world",
        f"for attempt in $(seq 60); do {send} --h-Subject {mark} >/dev/null 2>&1 && exit 0; sleep 2; done; exit 1",
    )
    for _ in Deadline(60):
        if shell(lab, "old", f"doveadm search -u sybil@example.org mailbox INBOX subject {mark}"):
            break
    else:
        pytest.fail("the letter did not come to old:\n" + "\n".join(shell(lab, "new", "tail -n 20 /var/log/mail.log")))
    # In folders, not in what Dovecot caches of it
    copies = f"find /var/vmail/sink -path '*/new/*' -o -path '*/cur/*' | xargs -r grep -l 'Subject: {mark}' | wc -l"
    for _ in Deadline(20):
        if shell(lab, "world", copies) != ["0"]:
            break
    time.sleep(8)  # a second one would come on its own way
    return shell(lab, "world", copies)


def _use_the_new_server(lab: Lab) -> list[str]:
    """A letter kept in a folder that old never had, with a flag and a keyword."""
    script = rf"""
        set -e
        doveadm mailbox create -s -u john@example.org Neu/Ordner 2>/dev/null || doveadm mailbox create -u john@example.org Neu
        folder=$(doveadm mailbox list -u john@example.org | grep '^Neu' | tail -n 1)
        printf 'From: john@example.org\r\nMessage-ID: <saved@example.org>\r\nSubject: {SAVED}\r\n\r\nhello\r\n' |
            doveadm save -u john@example.org -m "$folder"
        doveadm flags add -u john@example.org '\Flagged $Label1' mailbox "$folder" all
        doveadm fetch -u john@example.org 'mailbox uid flags hdr.subject' mailbox "$folder" all
    """
    return shell(lab, "new", script)


def _is_on_old(lab: Lab, used: list[str]) -> None:
    said = shell(
        lab,
        "old",
        "doveadm fetch -u john@example.org 'mailbox uid flags hdr.subject' header message-id saved@example.org",
    )
    text = "\n".join(said)
    assert text.count(SAVED) == 1, (said, used)
    assert "\\Flagged" in text and "$Label1" in text, said


def test_late_senders_are_sent_on_to_the_old_server(lab: Lab) -> None:
    """Whoever still has the new server's address in a cache. It tries again when it is put off, as every sender does."""
    mark = f"late-{time.time():.0f}"
    send = "swaks --server 203.0.113.30 --from friend@elsewhere.example --silent 3 --to"
    lines = shell(
        lab,
        "world",
        f"{send} nobody-at-all@example.org >/dev/null 2>&1 && echo taken for nobody\n"
        f"for attempt in $(seq 60); do {send} john@example.org --h-Subject {mark} >/dev/null 2>&1 && break; sleep 2; done\n"
        "true",
    )
    assert lines == []
    for _ in Deadline(60):
        if shell(lab, "old", f"doveadm search -u john@example.org mailbox INBOX subject {mark}"):
            break
    else:
        pytest.fail(
            "the letter did not come to old:\n" + "\n".join(shell(lab, "new", "mailq; tail -n 20 /var/log/mail.log"))
        )
    judged = "\n".join(
        shell(lab, "old", f"doveadm fetch -u john@example.org hdr.x-spamd-result mailbox INBOX subject {mark}")
    )
    assert "default" in judged, judged  # it was judged, but not by where it came from:
    assert "SPF" not in judged, judged  # the new server's address stands in nobody's SPF record but its own domains'


@pytest.mark.timeout(600)
def test_a_next_attempt_is_not_held_up_by_what_the_way_back_left(mailmove: Mailmove) -> None:
    run = mailmove("features/1_verify/40_postfix_maps.feature")

    assert run.outcomes()["No hosted domain is claimed by another part of Postfix"] == "passed", run.bad()
