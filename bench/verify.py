"""How long `pytest features/1_verify` takes on the lab, and where the time goes. `python -m bench.verify [--lab NAME] [--runs N]`.

Each run is made with and without the browser's feature. Also counted: ssh logins per server in the servers' own logs, and what one
more command costs on the standing connection.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mailmove.lab.lab import Lab

ROOT = Path(__file__).parents[1]
BROWSER = "80_webmail"


def main() -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", default="main")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    lab = Lab(arguments.lab)
    lab.up()
    runs = [one(lab) for _ in range(arguments.runs)]
    print(table(runs))
    return 0 if all(run["status"] == 0 for run in runs) else 1


def one(lab: Lab) -> dict[str, Any]:
    """One verification: exit status, seconds by kind, ssh logins by server."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "features/1_verify").glob("*.feature"))
    before = logins(lab)
    with tempfile.TemporaryDirectory() as directory:
        clocks, report = Path(directory) / "clocks.json", Path(directory) / "report.html"
        command = [sys.executable, "-m", "pytest", "-q", "-q", "-p", "no:cacheprovider", "-p", "bench.clocks"]
        began = time.monotonic()
        done = subprocess.run(
            [*command, *files, "--lab", lab.name, "--report", str(report)],
            cwd=ROOT,
            env={**os.environ, "MAILMOVE_CLOCKS": str(clocks)},
            capture_output=True,
            check=False,
        )
        took = time.monotonic() - began
        said = json.loads(report.with_suffix(".json").read_text())
        measured = json.loads(clocks.read_text())
    scenarios = [s for p in said["phases"] for f in p["features"] for s in f["scenarios"]]
    webmail = sum(s["seconds"] for s in scenarios if BROWSER in s["file"])
    after = logins(lab)
    return {
        "status": done.returncode,
        "scenarios": len(scenarios),
        "whole": took,
        "without browser": took - webmail,
        "logins": {host: after[host] - before[host] for host in after},
        "slowest": sorted(((s["seconds"], s["name"]) for s in scenarios), reverse=True)[:5],
        "command": one_more(lab),
        **measured,
    }


def logins(lab: Lab) -> dict[str, int]:
    """How many ssh logins each server has counted so far."""
    counted = {}
    for host in ("old", "new"):
        done = lab.machines[host].inside(
            ["sh", "-c", "journalctl -u ssh --no-pager | grep -c 'Accepted publickey' || true"]
        )
        counted[host] = int(re.sub(r"\D", "", done.stdout) or 0)
    return counted


_ONE_MORE = """
import statistics, sys, time
from pathlib import Path
from mailmove.migration import load
plan = load(Path(sys.argv[1]))
plan.new.run("true")
took = []
for _ in range(50):
    began = time.monotonic()
    plan.new.run("true", check=True)
    took.append(time.monotonic() - began)
plan.connection.close()
print(statistics.median(took))
"""


def one_more(lab: Lab) -> float:
    """Seconds that one more command costs which does nothing itself, on the connection that stands."""
    command = lab.command([sys.executable, "-c", _ONE_MORE, str(lab.settings_file)])
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def table(runs: list[dict[str, Any]]) -> str:
    """The measurements as Markdown: median, and the least and most of all runs."""
    kinds = sorted({kind for run in runs for kind in run["seconds"]})
    rows = [
        ("whole run", [run["whole"] for run in runs]),
        ("without the browser", [run["without browser"] for run in runs]),
    ]
    rows += [(f"  of it: {kind}", [run["seconds"].get(kind, 0.0) for run in runs]) for kind in kinds]
    lines = [
        f"{runs[0]['scenarios']} scenarios, {len(runs)} runs",
        "",
        "| what | median | least | most |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {name} | {statistics.median(v):.1f} s | {min(v):.1f} s | {max(v):.1f} s |" for name, v in rows]
    lines.append(
        f"| a command more on the standing connection | {1000 * statistics.median(r['command'] for r in runs):.0f} ms | | |"
    )
    for host in runs[0]["logins"]:
        lines.append(f"| ssh logins on {host} | {max(run['logins'][host] for run in runs)} | | |")
    lines += ["", "Slowest: " + "; ".join(f"{name} {seconds:.1f} s" for seconds, name in runs[-1]["slowest"])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
