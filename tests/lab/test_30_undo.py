"""Every move can be taken back."""

import pytest

from mailmove.collect import all_places
from mailmove.lab.lab import Lab
from tests.lab.conftest import ROOT, Mailmove
from tests.lab.test_10_verify import DUMP, differences, shell


@pytest.mark.timeout(1800)
def test_a_cutover_is_taken_back_and_the_old_server_serves_again(lab: Lab, mailmove: Mailmove) -> None:
    databases = shell(lab, "new", DUMP)
    run = mailmove("features/1_verify", "features/2_prepare", "features/3_cutover", "--move")
    assert run.status == 0, run.bad()

    back = mailmove("features", "--undo")

    assert back.status == 0, back.bad()
    ways_back = [place.name for place in all_places(ROOT / "features") if place.is_undo]
    assert sorted(back.outcomes()) == sorted(ways_back)
    assert differences(databases, shell(lab, "new", DUMP)) == []
    assert shell(lab, "old", "systemctl is-active postfix dovecot") == ["active", "active"]
