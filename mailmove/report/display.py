"""What a person watches: phases, features, and one line a scenario; a line that moves while something goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mailmove.journey import Journey, Mode
from mailmove.report import closing
from mailmove.report.changes import Change
from mailmove.report.record import Recorder, ScenarioRecord
from mailmove.report.summary import OUTCOMES, PHASE_WORDS, clock, length, verdict_words

COLOURS = {
    "passed": "green",
    "stands": "dim",
    "failed": "bold red",
    "unknown": "bold red",
    "blocked": "yellow",
    "planned": "cyan",
    "waived": "yellow",
    "not applicable": "dim",
    "not run": "dim",
}
MARKS = {
    "passed": "✓",
    "stands": "=",
    "failed": "✗",
    "unknown": "?",
    "blocked": "⊘",
    "planned": "◷",
    "waived": "≈",
    "not applicable": "–",
    "not run": "○",
}
WORDS = {"passed": "", "failed": "failed", "unknown": "could not be told"}


class Display:
    """A pytest plugin in the place of pytest's dots, and the Progress that moves talk to."""

    def __init__(self, config: pytest.Config, recorder: Recorder, journey: Journey, nodes: Sequence[str]) -> None:
        """``nodes`` are the node ids of all that was collected, scenarios or not."""
        self._reporter = config.pluginmanager.getplugin("terminalreporter")
        self._recorder = recorder
        self._journey = journey
        self._phase = self._feature = ""
        self._plain_at = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        file = getattr(getattr(self._reporter, "_tw", None), "_file", None)
        self._console = Console(file=file, highlight=False, soft_wrap=True)
        self._on_terminal = self._console.is_terminal
        self._total = len(recorder.scenarios)
        self._done = 0
        self._nodes = {record.node: record for record in recorder.scenarios}
        if self._reporter is not None:
            self._reporter.showfspath = False
            self._reporter._show_progress_info = False
            self._reporter.reportchars = ""  # the reasons stand with the scenarios
        if self._nodes and all(item in self._nodes for item in nodes):
            config.option.tbstyle = "no"
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._shown = config.option.verbose >= 0
        self._only_changes = config.option.changes
        self.different: list[Change] = []
        self.trouble = ""  # why there is no report
        if self._shown:
            self._greet()

    def _greet(self) -> None:
        old, new = self._journey.migration.old.facts, self._journey.migration.new.facts
        doing = {Mode.VERIFY: "looking only", Mode.MOVE: "moving", Mode.UNDO: "taking back"}[self._journey.mode]
        self._print("")
        self._print(f"[bold]mailmove[/] · {doing} · {self._total} scenarios")
        held = f"{len(old.domains)} domains, {len(old.users)} mailboxes, {old.mail_bytes / 1e6:,.1f} MB"
        self._print(f"  old  {escape(old.fqdn)}  [dim]{escape(old.release)}, {held}[/]")
        self._print(f"  new  {escape(new.fqdn)}  [dim]{escape(new.release)}[/]")

    # Progress

    def say(self, text: str) -> None:
        """One line that stays."""
        self._print(f"      [dim]{escape(tame(text))}[/]")

    def at(self, text: str, done: float = 0, total: float = 0) -> None:
        """What goes on just now. On a terminal a moving line; elsewhere a plain line every ten seconds."""
        if not self._shown:
            return
        text = tame(text)
        if self._on_terminal:
            if self._bar is None:
                self._bar = Progress(
                    SpinnerColumn(),
                    TextColumn("{task.description}"),
                    BarColumn(bar_width=28),
                    TimeElapsedColumn(),
                    TimeRemainingColumn(),
                    console=self._console,
                    transient=True,
                )
                self._task = self._bar.add_task(text, total=total or None)
                self._bar.start()
            assert self._task is not None
            self._bar.update(self._task, description=escape(text), completed=done, total=total or None)
        elif time.monotonic() - self._plain_at >= 10:
            self._plain_at = time.monotonic()
            share = f" ({100 * done / total:.0f} %)" if total else ""
            self._print(f"      [dim]{escape(text)}{share}[/]")

    # pytest's hooks

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No dots: the lines are ours. The categories stay, so that the summary counts them."""
        if report.nodeid not in self._nodes:
            return None
        if report.when == "call" or (report.when == "setup" and not report.passed) or report.failed:
            return report.outcome, "", ""
        return None

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        record = self._nodes.get(nodeid)
        if record is None or not self._shown:
            return
        if self._only_changes:
            self.at(record.name, self._done, self._total)
            return
        if record.phase != self._phase:
            self._phase = record.phase
            self._print(f"\n[bold reverse] {escape(PHASE_WORDS.get(record.phase, record.phase))} [/]")
        if record.file != self._feature:
            self._feature = record.file
            self._print(f"\n  [bold]{escape(record.feature)}[/]")
        if self._on_terminal:
            self.at(record.name)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        self._stop()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        record = self._nodes.get(nodeid)
        if record is None:
            return
        self._stop()
        self._done += 1
        if self._shown and not self._only_changes:
            self._line(record)

    def pytest_terminal_summary(self, config: pytest.Config) -> None:
        """The verdict, and where the report is."""
        counts = Counter(s.outcome for s in self._recorder.scenarios)
        green = self._recorder.green
        words = verdict_words(self._journey.mode, green, counts)
        if self._only_changes:
            self._changes()
        self._print(f"\n[bold {'green' if green else 'red'}]{escape(words)}[/]")
        for line in closing.last_words(self._recorder.scenarios):
            word, _, rest = line.partition(": ")
            self._print(f"[bold]{escape(word)}:[/] {escape(tame(rest))}")
        self._print("[dim]" + " · ".join(f"{counts[o]} {o}" for o in OUTCOMES if counts[o]) + "[/]")
        if self._journey.downtime is not None:
            self._print(f"downtime: {length(self._journey.downtime)}")
        if self.trouble:
            self._print(f"[bold red]{escape(tame(self.trouble))}[/]\n")
        else:
            self._print(f"report: {escape(str(Path(config.option.report)))}\n")

    def _changes(self) -> None:
        """What is different from the last run."""
        since = min((each.at for each in self.different if each.at), default=0.0)
        self._print(f"\nDifferent from the last run{f' ({clock(since)})' if since else ''}:")
        for each in self.different:
            self._print(f"  [{COLOURS.get(each.now, 'red')}]{MARKS.get(each.now, '?')}[/] {escape(tame(each.line))}")
        if not self.different:
            self._print("  nothing")

    def _line(self, record: ScenarioRecord) -> None:
        colour, mark = COLOURS.get(record.outcome, "red"), MARKS.get(record.outcome, "?")
        word = WORDS.get(record.outcome, record.outcome)
        took = "" if record.outcome in ("blocked", "stands", "not run") else length(record.seconds)
        aside = " · ".join(part for part in (word, took) if part)
        self._print(f"    [{colour}]{mark}[/] {escape(record.name)}  [dim]{aside}[/]")
        if record.outcome in ("failed", "unknown", "blocked", "not applicable"):
            for line in record.reason.splitlines()[:30]:
                self._print(
                    f"        [{'dim' if record.outcome == 'not applicable' else colour}]{escape(tame(line))}[/]"
                )
        for advice in (e for s in record.steps for e in s.evidence if not e.required and not e.verdict.holds):
            first, *lines = advice.explain().splitlines()
            self._print(f"        [yellow]recommended:[/] [dim]{escape(tame(first))}[/]")
            for line in lines:
                self._print(f"        [dim]{escape(tame(line))}[/]")

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def _print(self, text: str) -> None:
        if self._shown:
            if self._capture is not None:
                with self._capture.global_and_fixture_disabled():
                    self._console.print(text)
            else:
                self._console.print(text)


def tame(text: str) -> str:
    """No control character from a server reaches the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)
