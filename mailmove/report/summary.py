"""From the record of a run to what the report says: plain values, so that the JSON and the page agree."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mailmove import __version__
from mailmove.collect import PHASES
from mailmove.journey import Journey, Mode
from mailmove.report import closing
from mailmove.report.changes import Change
from mailmove.report.record import Recorder
from mailmove.server import Server

PHASE_WORDS = {
    "1_verify": "Verify: the new server works",
    "2_prepare": "Prepare: what can be done while people work",
    "3_cutover": "Cut over: the downtime",
    "4_accept": "Accept: nothing was lost",
    "5_retire": "Retire: the old server may go",
}


def summarize(recorder: Recorder, journey: Journey, different: Sequence[Change] = ()) -> dict[str, Any]:
    """Everything the report shows.

    ``different`` is what changed since the last look. ``digest`` is the SHA-256 of the evidence as JSON with sorted keys.
    """
    record = recorder.as_dict()
    scenarios = record["scenarios"]
    digest = hashlib.sha256(json.dumps(scenarios, sort_keys=True, default=str).encode()).hexdigest()
    counts = Counter(s["outcome"] for s in scenarios)
    announcement = journey.migration.settings.announcement
    return {
        "version": __version__,
        "mode": str(journey.mode),
        "migration": journey.journal.recall("migration name", "") or journey.migration.id,
        "began": recorder.began,
        "ended": time.time(),
        "green": recorder.green,
        "verdict": verdict_words(journey.mode, recorder.green, counts),
        "counts": {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]},
        "collected": len(scenarios),
        "journey": sum(place.is_undo == (journey.mode is Mode.UNDO) for place in journey.places),
        "recommendations": [
            {"scenario": s["name"], "title": e["title"], "hint": e["hint"]}
            for s in scenarios
            for step in s["steps"]
            for e in step["evidence"]
            if not e["required"] and e["verdict"] in ("failed", "unknown")
        ],
        "servers": [_server(journey.migration.old), _server(journey.migration.new)],
        "domains": journey.migration.old.known.domains,
        "announced": announcement.date.isoformat() if announcement else "",
        "downtime": journey.downtime,
        "downtime_forecast": journey.journal.recall("downtime forecast"),
        "proofs": _proofs(scenarios),
        "moves": _moves(journey),
        "last_words": closing.last_words(recorder.scenarios),
        "different": [{"name": each.name, "line": each.line, "at": each.at} for each in different],
        "phases": _phases(scenarios),
        "digest": digest,
    }


OUTCOMES = ("passed", "stands", "waived", "not applicable", "planned", "failed", "unknown", "blocked", "not run")


def verdict_words(mode: Mode, green: bool, counts: Counter[str]) -> str:
    """The report's headline."""
    wrong = counts["failed"] + counts["unknown"] + counts["not run"]
    said = []
    if wrong:
        said.append("1 scenario does not hold" if wrong == 1 else f"{wrong} scenarios do not hold")
    if blocked := counts["blocked"]:
        noun = "" if wrong else " scenario" if blocked == 1 else " scenarios"
        said.append(f"{blocked}{noun} {'is' if blocked == 1 else 'are'} held up")
    if not green:
        return f"Not to be signed: {', and '.join(said)}" if said else "Nothing was looked at"
    if mode is Mode.UNDO:
        return "Everything was taken back"
    if counts["planned"]:
        moves = "1 move is" if counts["planned"] == 1 else f"{counts['planned']} scenarios of the move are"
        return f"All that can be looked at before the move holds; {moves} planned"
    return "Every scenario holds"


PROOFS = {
    "3_cutover/30_mailboxes_cold.feature": "the stores, at the switch",
    "4_accept/10_nothing_lost.feature": "the stores, afterwards",
    "4_accept/15_every_letter_accounted_for.feature": "the ledger",
    "4_accept/30_mail_flows.feature": "the probes",
}
"""Where it is proved that nothing was lost, and how the proof is called."""


def _proofs(scenarios: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Each scenario that proves that nothing was lost: which proof, its name, its outcome, and what it found first."""
    return [
        {"kind": kind, "name": s["name"], "id": s["id"], "outcome": s["outcome"], "found": _found(s)}
        for place, kind in PROOFS.items()
        for s in scenarios
        if s["id"].startswith(f"{place}::") and s["outcome"] not in ("planned", "blocked", "not run")
    ]


def _found(scenario: dict[str, Any]) -> str:
    """The first findings of the evidence that has most of them: what was looked at for the proof."""
    evidence = [e for step in scenario["steps"] for e in step["evidence"]]
    best = max(
        reversed(evidence), key=lambda e: len(e["findings"]), default=None
    )  # the later of two: the needs come first
    return "; ".join(f"{f['asked']}: {f['answer']}" for f in best["findings"][:6]) if best else ""


def _server(server: Server) -> dict[str, Any]:
    facts = server.known
    return {
        "role": server.role,
        "name": facts.fqdn,
        "target": server.target,
        "release": facts.release,
        "addresses": facts.addresses,
        "machine_id": facts.machine_id,
        "versions": {name: facts.packages[name] for name in SHOWN if name in facts.packages},
    }


SHOWN = ("postfix", "dovecot-core", "mariadb-server", "rspamd", "redis-server", "roundcube-core", "apache2")


def _phases(scenarios: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Phases, their features, their rules, their scenarios: in the order of the run."""
    phases: dict[str, dict[str, Any]] = {}
    for scenario in scenarios:
        phase = phases.setdefault(
            scenario["phase"],
            {"name": PHASE_WORDS.get(scenario["phase"], scenario["phase"]), "key": scenario["phase"], "features": {}},
        )
        features = phase["features"]
        feature = features.setdefault(
            scenario["file"],
            {"name": scenario["feature"], "about": scenario["about"], "file": scenario["file"], "scenarios": []},
        )
        feature["scenarios"].append(scenario)
    for phase in phases.values():
        phase["features"] = list(phase["features"].values())
        outcomes = Counter(s["outcome"] for f in phase["features"] for s in f["scenarios"])
        phase["counts"] = {outcome: outcomes[outcome] for outcome in OUTCOMES if outcomes[outcome]}
        phase["seconds"] = sum(s["seconds"] for f in phase["features"] for s in f["scenarios"])
        phase["outcome"] = _worst(outcomes)
    return sorted(phases.values(), key=lambda p: PHASES.index(p["key"]) if p["key"] in PHASES else len(PHASES))


def _worst(outcomes: Counter[str]) -> str:
    for outcome in ("failed", "unknown", "blocked", "not run", "planned", "passed", "stands", "waived"):
        if outcomes[outcome]:
            return outcome
    return "not applicable"


def _moves(journey: Journey) -> list[dict[str, Any]]:
    """What the journal says of each move: over all runs, not only this one."""
    last: dict[str, dict[str, Any]] = {}
    for entry in journey.journal.entries():
        kept = last.setdefault(entry.move, {"move": entry.move, "began": None, "seconds": None})
        if str(entry.event) == "begun":
            kept["began"] = entry.at
        kept.update(event=str(entry.event), at=entry.at)
        kept["seconds"] = entry.detail.get("seconds", kept["seconds"])
    return list(last.values())


def clock(at: float | None) -> str:
    """Local time for a person, with the zone."""
    return dt.datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if at else ""


def length(seconds: float | None) -> str:
    """A length of time for a person: 0.8 s, 42 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
