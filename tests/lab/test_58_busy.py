"""A busy evening: ten letters a second through the whole journey, twenty people at work by IMAP until the freeze."""

from __future__ import annotations

import re

import pytest

from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from mailmove.progress import Deadline
from tests.lab.conftest import Mailmove, Run
from tests.lab.test_10_verify import shell

LETTERS = 2000
PEOPLE = 20
EVERY_S = 0.1
REPORTS = r"""grep -rls delivery-status /var/vmail/friend | xargs -r grep -h '^X-Lab-Mark:' | sort -u"""


DATABASE = "features/1_verify/30_database.feature"
ROOM = "lets in everybody who asks at once"


def advised(run: Run) -> str:
    """The command by which Postfix' processes share connections, as the hint names it; empty if nothing is advised."""
    assert run.status == 0, run.bad()
    found = [
        evidence
        for phase in run.report["phases"]  # type: ignore[attr-defined]
        for feature in phase["features"]
        for scenario in feature["scenarios"]
        for step in scenario["steps"]
        for evidence in step["evidence"]
        if ROOM in evidence["title"]
    ]
    assert len(found) == 1, found
    if found[0]["verdict"] == "passed":
        return ""
    match = re.search(r"postconf -e .*? && postfix reload", found[0]["hint"])
    assert match, found
    return match[0]


@pytest.mark.timeout(2700)
def test_two_thousand_letters_come_through_the_evening(lab: Lab, mailmove: Mailmove) -> None:
    """As many letters at once as these ask more of the database than the guide's server lets in: that is advised, and heeded."""
    command = advised(mailmove(DATABASE))
    shell(lab, "new", command)
    assert advised(mailmove(DATABASE)) == ""
    traffic = Traffic(lab)
    traffic.start(every=EVERY_S, readers=PEOPLE)
    try:
        run = mailmove("features", "--move")
        for _left in Deadline(600):
            if traffic.log.read_text().count('"what": "sent"') >= LETTERS:
                break
    finally:
        traffic.stop()
    count = traffic.count()

    assert run.status == 0, run.bad()
    assert count.sent >= LETTERS
    assert (count.lost, count.doubled, count.strayed) == ([], [], [])
    assert shell(lab, "world", REPORTS) == []
