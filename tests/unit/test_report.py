"""The report: one page without outside assets, in which nothing from a server is live."""

import re
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove.collect import all_places
from mailmove.evidence import Evidence, Examination
from mailmove.journey import Mode
from mailmove.report import html, summary
from mailmove.report.record import HeldUp, Recorder, ScenarioRecord, StepRecord


def scenario(outcome: str = "passed", text: str = "something", picture: bool = False) -> dict[str, Any]:
    exam = Examination(text, "new", why=text, hint=text)
    exam.expect(text, text, outcome == "passed", text)
    step = StepRecord(
        "Then", text, outcome, 1.2, [exam.close()], [{"where": "new", "command": text, "what": text}], text
    )
    record = ScenarioRecord(
        f"1_verify/10_a.feature::{text}",
        "node",
        "1_verify",
        "10_a.feature",
        3,
        text,
        text,
        text,
        text,
        ["move"],
        [step],
        outcome,
        text,
        1.0,
        2.0,
        [{"name": text, "media_type": "image/png", "base64": "aGFsbG8="}] if picture else [],
    )
    return asdict(record)


def page(*scenarios: dict[str, Any], green: bool = True) -> str:
    server = {
        "role": "old",
        "name": "mail.example.org",
        "target": "root@old",
        "release": "Debian",
        "addresses": ["192.0.2.1"],
        "machine_id": "ab",
        "versions": {"postfix": "3.5"},
    }
    return html.render(
        {
            "version": "1",
            "mode": "verify",
            "migration": "abc",
            "began": 0.0,
            "ended": 9.0,
            "green": green,
            "verdict": "Every scenario holds",
            "counts": {"passed": len(scenarios)},
            "collected": len(scenarios),
            "journey": 9,
            "recommendations": [{"scenario": "s", "title": s["name"], "hint": s["reason"]} for s in scenarios],
            "servers": [server, {**server, "role": "new"}],
            "domains": ["example.org"],
            "announced": "",
            "downtime": None,
            "downtime_forecast": None,
            "proofs": [
                {"kind": "the ledger", "name": s["name"], "id": s["id"], "outcome": "passed", "found": s["name"]}
                for s in scenarios
            ],
            "moves": [{"move": "database", "event": "proved", "at": 1.0, "seconds": 2.0}],
            "last_words": ["wrong: " + s["name"] for s in scenarios],
            "different": [{"name": s["name"], "line": s["name"], "at": 0.0} for s in scenarios],
            "phases": summary._phases(list(scenarios)),
            "digest": "0" * 64,
        }
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def tags(text: str) -> Tags:
    parser = Tags()
    parser.feed(text)
    return parser


@given(st.text())
def test_nothing_from_a_server_becomes_markup_or_a_control_character(text: str) -> None:
    plain, hostile = tags(page(scenario())), page(scenario(text=f"x{text}</div><script>alert(1)</script>"))

    assert tags(hostile).tags == plain.tags
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", hostile)


def test_the_page_needs_nothing_from_outside() -> None:
    found = tags(page(scenario(picture=True)))

    assert [link for link in found.links if not link.startswith("#")] == ["data:image/png;base64,aGFsbG8="]
    assert not found.tags["script"]
    assert not found.tags["link"]


def test_every_scenario_is_on_the_page_with_its_outcome() -> None:
    outcomes = ["passed", "failed", "unknown", "not applicable", "planned", "blocked", "waived", "not run", "stands"]
    text = page(*(scenario(outcome, f"promise {n}") for n, outcome in enumerate(outcomes)))

    assert tags(text).tags["details"] == len(outcomes)
    for n, outcome in enumerate(outcomes):
        assert re.search(rf"promise {n}</span>\s*<small>{outcome}", text)


@pytest.mark.parametrize(
    ("outcomes", "green"),
    [
        ({}, False),
        ({"planned": 3}, False),
        ({"passed": 1, "planned": 3}, True),
        ({"passed": 1, "stands": 3}, True),
        ({"stands": 3}, False),
        ({"passed": 9, "blocked": 1}, False),
        ({"passed": 9, "unknown": 1}, False),
        ({"passed": 9, "not run": 1}, False),
        ({"passed": 1, "not applicable": 2, "waived": 1}, True),
    ],
)
def test_only_what_was_looked_at_and_holds_is_green(outcomes: dict[str, int], green: bool) -> None:
    recorder = Recorder()
    for outcome, number in outcomes.items():
        recorder.scenarios += [ScenarioRecord(**{**scenario(outcome), "steps": []}) for _ in range(number)]

    assert recorder.green is green
    assert ("Not to be signed" in summary.verdict_words(Mode.MOVE, green, Counter(outcomes))) is (
        not green and not set(outcomes) <= {"planned", "stands"}
    )


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.84, "0.8 s"), (42.4, "42 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (None, "")]
)
def test_a_length_of_time_is_written_for_people(seconds: float | None, said: str) -> None:
    assert summary.length(seconds) == said


def test_what_proves_that_nothing_was_lost_stands_together() -> None:
    proof = {**scenario(text="every letter"), "id": "4_accept/10_nothing_lost.feature::every letter"}

    (found,) = summary._proofs([scenario(), proof, {**proof, "outcome": "planned"}])

    assert found["kind"] == "the stores, afterwards"
    assert found["found"] == "every letter: every letter"


def test_a_scenario_with_nothing_to_take_back_is_not_applicable_and_a_step_that_skips_is_not() -> None:
    for evidence, outcome in (
        (Examination("taken back", "journal").not_applicable("it was not done"), "not applicable"),
        (None, "unknown"),
    ):
        recorder = Recorder()
        step = StepRecord("When", "it is taken back", "running")
        record = ScenarioRecord("id", "node", "5_retire", "f", 1, "", "", "", "name", [], [step])
        recorder._current = record
        with pytest.raises(pytest.skip.Exception) as skipped:
            recorder.nothing_to_do(evidence) if evidence else pytest.skip("not today")
        report = SimpleNamespace(
            skipped=True, failed=False, longrepr=("f", 1, f"Skipped: {skipped.value}"), outcome="skipped"
        )

        recorder._settle(record, report)  # type: ignore[arg-type]

        assert (record.outcome, report.outcome) == (outcome, "skipped" if evidence else "failed")


def test_all_that_a_step_found_is_on_record_before_it_fails() -> None:
    def said(answer: str, good: bool, required: bool = True) -> Evidence:
        exam = Examination(answer, "new", required=required)
        exam.expect("?", answer, good)
        return exam.close()

    recorder = Recorder()
    step = StepRecord("Then", "it is as on old", "running")
    recorder._current = ScenarioRecord("id", "node", "1_verify", "f", 1, "", "", "", "name", [], [step])
    found = [said("too small", False), said("of worth knowing", False, required=False), said("too few", False)]
    with pytest.raises(HeldUp, match=r"(?s)too small.*too few") as held_up:
        recorder.judge(*found)

    assert step.evidence == found
    assert held_up.value.verdict == "failed"
    assert "worth knowing" not in str(held_up.value)


def test_the_proofs_are_scenarios_there_are() -> None:
    files = {place.id.partition("::")[0] for place in all_places(Path(__file__).parents[2] / "features")}

    assert set(summary.PROOFS) <= files
