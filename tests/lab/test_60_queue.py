"""Letters that wait in the new server's queue: shown with their cause, tried again, released, removed with a copy."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mailmove.lab.lab import Lab
from mailmove.postfix import Queued, parse_queue
from tests.lab.conftest import ROOT, environment

BODY = "Subject: Zahlung fällig\n\n.\n..two dots\nFrom here\n\tlast line without end ü" + "x" * 5000


def inside(lab: Lab, script: str, stdin: str = "") -> str:
    done = subprocess.run(lab.ssh("new", script), input=stdin, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def letters(lab: Lab) -> dict[str, Queued]:
    return {each.recipients[0].address: each for each in parse_queue(inside(lab, "postqueue -j"))}


def command(lab: Lab, *words: str) -> list[str]:
    return [sys.executable, "-m", "mailmove", "queue", *words, "--lab", lab.name]


def queue(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(lab, *words), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, env=environment()
    )


# Runs in the operator's namespace, as mailmove does: what the ledger finds
LEDGER = """
import json, sys
from pathlib import Path
from checks.ledger import every_letter_has_one_end
from mailmove.journal import Event, Journal
from mailmove.migration import load
plan = load(Path(sys.argv[1]))
journal = Journal(plan.journal_file, plan.id)
if not journal.entries():
    journal.record("ttl", Event.BEGUN)
found = every_letter_has_one_end(plan.old, plan.new, journal)
print(json.dumps([[each.asked, each.answer, each.verdict] for each in found.findings]))
journal.close()
plan.connection.close()
"""


def ends(lab: Lab) -> dict[str, tuple[str, str, str]]:
    """What the ledger says of each letter to nowhere: in which words, what became of it, and the verdict."""
    command = lab.command([sys.executable, "-c", LEDGER, str(lab.settings_file)])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return {
        match[1]: (asked, answer, verdict)
        for asked, answer, verdict in json.loads(done.stdout)
        if (match := re.search(r"<(\w+)@nowhere.invalid>", answer))
    }


@pytest.fixture(scope="module")
def stuck(lab: Lab) -> Iterator[dict[str, Queued]]:
    """Three letters that soft_bounce keeps on the new server: nobody has these addresses."""
    assert ends(lab) == {}  # from now on every letter has its place in the ledger
    inside(lab, "postconf -e soft_bounce=yes && postfix reload")
    for who in ("one", "two", "three"):
        inside(lab, f"sendmail -i -f anna@example.org {who}@nowhere.invalid", BODY)
    deadline = time.monotonic() + 60
    while not all(each.queue == "deferred" for each in letters(lab).values()) or len(letters(lab)) < 3:
        assert time.monotonic() < deadline, inside(lab, "postqueue -p")
        time.sleep(0.2)
    yield letters(lab)
    inside(lab, "postconf -X soft_bounce && postfix reload && postsuper -d ALL deferred")


def test_what_waits_is_shown_with_its_cause(lab: Lab, stuck: dict[str, Queued]) -> None:
    said = queue(lab)

    assert said.returncode == 0, said.stderr
    assert "new: 3 in the queue" in said.stdout
    for address, letter in stuck.items():
        line = next(line for line in said.stdout.splitlines() if letter.id in line)
        assert f"<anna@example.org> to <{address}>" in line
        assert "not found" in line  # what Postfix says of a domain that is not there


@pytest.mark.timeout(60)
def test_whoever_watches_is_told_what_waits_and_what_does_no_more(lab: Lab, stuck: dict[str, Queued]) -> None:
    inside(lab, "sendmail -i -f anna@example.org four@nowhere.invalid", BODY)
    with subprocess.Popen(
        command(lab, "watch"), cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment()
    ) as watch:
        try:
            assert watch.stdout
            letter = next(line for line in watch.stdout if "four@nowhere.invalid" in line).split()[2]
            inside(lab, f"postsuper -d {letter}")
            assert next(line for line in watch.stdout if letter in line and "waits no more" in line)
        finally:
            watch.terminate()


@pytest.mark.parametrize("ids", [["ALL"], ["-d"], ["$(reboot)"], ["4XyzNotThere12"], []])
@pytest.mark.parametrize("action", ["retry", "release", "remove"])
def test_what_is_no_letter_is_refused_and_nothing_changed(
    lab: Lab, stuck: dict[str, Queued], action: str, ids: list[str]
) -> None:
    said = queue(lab, action, "--", *ids)

    assert said.returncode == 1
    assert "hint:" in said.stderr and "Traceback" not in said.stderr
    assert letters(lab).keys() == stuck.keys()


def test_a_letter_is_removed_only_with_its_copy(lab: Lab, stuck: dict[str, Queued]) -> None:
    letter = stuck["one@nowhere.invalid"]
    held = inside(lab, f"postcat -bhq {letter.id}")

    said = queue(lab, "remove", letter.id)

    assert said.returncode == 0, said.stderr
    (copy,) = (lab.home / "removed").glob("*.eml")
    assert copy.read_text("utf-8") == held and BODY.partition("\n\n")[2] in held
    assert copy.stat().st_mode & 0o777 == 0o600
    assert '"sender": "anna@example.org"' in copy.with_suffix(".json").read_text()
    assert "sendmail -i -f anna@example.org -- one@nowhere.invalid <" in said.stdout
    assert letters(lab).keys() == stuck.keys() - {"one@nowhere.invalid"}


def test_the_ledger_shows_what_was_removed_and_where_its_copy_is(lab: Lab, stuck: dict[str, Queued]) -> None:
    (copy,) = (lab.home / "removed").glob("*.eml")

    found = ends(lab)
    asked, answer, verdict = found["one"]
    assert (asked, verdict) == ("removed by the admin, and a copy kept, by name", "passed")
    assert answer.endswith(f"copy kept at {copy}")
    asked, _, verdict = found["four"]  # taken out by hand, see above
    assert (asked, verdict) == ("taken out of the queue by an administrator", "failed")

    copy.write_bytes(copy.read_bytes() + b"more")
    _, answer, verdict = ends(lab)["one"]
    assert verdict == "failed" and "was changed since" in answer


def test_without_a_place_for_the_copy_the_letter_stays(lab: Lab, stuck: dict[str, Queued]) -> None:
    letter = stuck["two@nowhere.invalid"]

    said = queue(lab, "remove", letter.id, "--copies", "/proc/nowhere")

    assert said.returncode == 1
    assert "hint:" in said.stderr and "Traceback" not in said.stderr
    assert letters(lab)["two@nowhere.invalid"].queue in ("deferred", "active", "incoming")


def test_a_letter_on_hold_is_released_and_not_merely_tried(lab: Lab, stuck: dict[str, Queued]) -> None:
    letter = stuck["three@nowhere.invalid"]
    inside(lab, f"postsuper -h {letter.id}")

    assert "release it" in queue(lab, "retry", letter.id).stderr
    assert letters(lab)["three@nowhere.invalid"].queue == "hold"

    said = queue(lab, "release", letter.id)
    assert said.returncode == 0, said.stderr
    assert letters(lab)["three@nowhere.invalid"].queue != "hold"


def test_a_letter_is_tried_again_at_once(lab: Lab, stuck: dict[str, Queued]) -> None:
    letter = stuck["two@nowhere.invalid"]

    def attempts() -> int:
        return int(inside(lab, f"grep -c '{letter.id}: to=' /var/log/mail.log"))

    before = attempts()
    said = queue(lab, "retry", letter.id)

    assert said.returncode == 0, said.stderr
    deadline = time.monotonic() + 30
    while attempts() == before:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_lab_that_is_not_there_is_named() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "mailmove", "queue", "--lab", "nowhere"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, env=environment(),
    )  # fmt: skip

    assert said.returncode == 1
    assert "hint: mailmove lab up --name nowhere" in said.stderr


def test_a_server_that_cannot_be_asked_hides_nothing_of_the_other(lab: Lab) -> None:
    old = lab.machines["old"]
    old.inside(["systemctl", "stop", "ssh"])
    try:
        said = queue(lab)
    finally:
        old.inside(["systemctl", "start", "ssh"])

    assert said.returncode == 1
    assert "old: not looked at:" in said.stderr and "hint:" in said.stderr
    assert "new: " in said.stdout and "in the queue" in said.stdout
