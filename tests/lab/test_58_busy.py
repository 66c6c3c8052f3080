"""A busy evening: ten letters a second through the whole journey, twenty people at work by IMAP until the freeze."""

from __future__ import annotations

import pytest

from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic
from mailmove.progress import Deadline
from tests.lab.conftest import Mailmove
from tests.lab.test_10_verify import shell

LETTERS = 2000
PEOPLE = 20
EVERY_S = 0.1
REPORTS = r"""grep -rls delivery-status /var/vmail/friend | xargs -r grep -h '^X-Lab-Mark:' | sort -u"""


@pytest.mark.timeout(2700)
def test_two_thousand_letters_come_through_the_evening(lab: Lab, mailmove: Mailmove) -> None:
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
