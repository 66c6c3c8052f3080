"""The lab for the tests, and mailmove run on it as its users run it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailmove.lab.lab import Lab
from mailmove.lab.traffic import Traffic

ROOT = Path(__file__).parents[2]
NAME = os.environ.get("MAILMOVE_TEST_LAB", "ci")


@dataclass
class Run:
    """A finished run of pytest on the features."""

    status: int
    output: str
    report: dict[str, object]

    def outcomes(self) -> dict[str, str]:
        """Of each scenario, by its name."""
        return {s["name"]: s["outcome"] for p in self.report["phases"] for f in p["features"] for s in f["scenarios"]}  # type: ignore[attr-defined,index]

    def bad(self) -> str:
        """What did not hold, for a failing test to show."""
        bad = [
            f"{s['outcome']}: {s['name']}: {s['reason']}"
            for p in self.report["phases"]  # type: ignore[attr-defined]
            for f in p["features"]
            for s in f["scenarios"]
            if s["outcome"] in ("failed", "unknown", "blocked", "not run")
        ]
        return "\n".join(bad) or self.output[-3000:]


class Mailmove:
    """Runs `pytest features…` on the lab."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory

    def command(self, *arguments: str) -> list[str]:
        report = self.directory / "signoff.html"
        return [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            *arguments,
            "--lab",
            self.lab.name,
            "--report",
            str(report),
        ]

    def __call__(self, *arguments: str) -> Run:
        report = self.directory / "signoff.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
            env=environment(),
        )
        found = json.loads(report.read_text()) if report.exists() else {"phases": []}
        return Run(done.returncode, done.stdout + done.stderr, found)

    def kill_when(self, holds: Callable[[], bool], *arguments: str) -> None:
        """Run, and kill it (SIGKILL, with all it started here) as soon as ``holds``. Fails if it ends before."""
        log = self.directory / "killed.log"
        with (
            open(log, "wb") as out,
            subprocess.Popen(
                self.command(*arguments), cwd=ROOT, stdout=out, stderr=out, start_new_session=True, env=environment()
            ) as process,
        ):
            try:
                while not holds():
                    if process.poll() is not None:
                        pytest.fail(f"it ended before it could be killed:\n{log.read_text()[-3000:]}", pytrace=False)
                    time.sleep(0.05)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def crash_at(self, point: str, *arguments: str, host: str = "") -> int:
        """Run until ``point`` (MOVE:EVENT[:SECONDS], see tests/lab/crash.py); returns its exit status, negative for a signal.

        With ``host`` that machine's plug is pulled there instead; it is booted again when the run has ended.
        """
        log = self.directory / "crashed.log"
        more = {"MAILMOVE_TEST_CRASH": point, "MAILMOVE_TEST_CRASH_HOST": host}
        with open(log, "ab") as out:
            done = subprocess.run(
                [*self.command(*arguments), "-p", "tests.lab.crash"],
                cwd=ROOT, stdout=out, stderr=out, check=False, timeout=1500, env=environment() | more,
            )  # fmt: skip
        if host:
            self.lab.up()
        return done.returncode

    def events(self, move: str) -> list[str]:
        """What the journal says of a move, oldest first."""
        path = self.lab.home / "mailmove.journal"
        if not path.exists():
            return []
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                return [row[0] for row in db.execute("SELECT event FROM entry WHERE move = ? ORDER BY n", (move,))]
        except sqlite3.OperationalError:
            return []


def from_another_laptop(lab: Lab, directory: Path, *arguments: str) -> list[str]:
    """The command that runs mailmove in ``directory``, with the same settings and a copy of the journal as it is now."""
    directory.mkdir(exist_ok=True)
    for name in ("mailmove.toml", "mailmove.journal"):
        if (lab.home / name).exists():
            shutil.copy(lab.home / name, directory)
    where = ["--settings", str(directory / "mailmove.toml"), "--report", str(directory / "signoff.html")]
    return lab.command([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, "--yes", *where])


def environment() -> dict[str, str]:
    """Without what the outer pytest put there."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "MAILMOVE_LAB"))}


@pytest.fixture(scope="session")
def standing_lab() -> Iterator[Lab]:
    """A lab that stands for the whole test run, and leaves nothing behind."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("the lab needs root and iproute2: run tox as root on Debian 12")
    lab = Lab(NAME)
    lab.up()
    yield lab
    lab.down(purge=True)


@pytest.fixture(scope="module")
def lab(standing_lab: Lab) -> Lab:
    """The lab as it is first, for each module of tests."""
    standing_lab.reset()
    return standing_lab


@pytest.fixture(scope="module")
def traffic(lab: Lab) -> Iterator[Traffic]:
    """Letters arrive and people read, as long as the module's tests go."""
    traffic = Traffic(lab)
    traffic.start()
    yield traffic
    traffic.stop()


@pytest.fixture
def mailmove(lab: Lab, tmp_path: Path) -> Mailmove:
    return Mailmove(lab, tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing lab test shows the servers' last words."""
    report = yield
    if report.when == "call" and report.failed and "lab" in getattr(item, "funcargs", {}):
        lab: Lab = item.funcargs["lab"]
        for host in ("old", "new"):
            command = lab.ssh(host, "tail -n 40 /var/log/mail.log; mailq | tail -n 20; systemctl --failed --no-legend")
            said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            report.sections.append((f"the {host} server's log", said.stdout + said.stderr))
    return report
