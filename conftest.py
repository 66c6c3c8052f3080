"""Options, fixtures, collection of feature files, the gate. It wires; it does not decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from checks import running, shutout
from mailmove import collect, consent, labmode, log_marks, migration, preflight, waivers
from mailmove.claim import Claim
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination, Judge
from mailmove.journal import Journal
from mailmove.journey import Journey, Mode
from mailmove.moves import moved_by, without_new
from mailmove.moves.base import Context, Move, Outcome, Runner
from mailmove.moves.probes import ProbeAccounts
from mailmove.moves.pull import Pull
from mailmove.moves.spared import Spared
from mailmove.progress import Progress
from mailmove.report import changes, closing, html
from mailmove.report.display import Display
from mailmove.report.record import Recorder
from mailmove.server import Server

FEATURES = Path(__file__).parent / "features"

pytest_plugins = [f"steps.{path.stem}" for path in sorted(Path(__file__).parent.glob("steps/[!_]*.py"))]

RECORDER = pytest.StashKey[Recorder]()
JOURNEY = pytest.StashKey[Journey]()
DISPLAY = pytest.StashKey[Display]()
CLAIM = pytest.StashKey[Claim]()
SPARED = pytest.StashKey[Spared]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mailmove", "mailmove: verify, move and prove a mail server")
    group.addoption("--old", metavar="LOGIN@HOST", help="the old server (default: servers.old in mailmove.toml)")
    group.addoption("--new", metavar="LOGIN@HOST", help="the new server (default: servers.new in mailmove.toml)")
    group.addoption("--settings", metavar="FILE", default="mailmove.toml", help="default: mailmove.toml here")
    group.addoption("--move", action="store_true", help="make the moves, each only when what it needs holds")
    group.addoption("--undo", action="store_true", help="take the performed moves back, last first")
    group.addoption("--yes", action="store_true", help="do not ask before --move or --undo")
    group.addoption("--lab", nargs="?", const="main", metavar="NAME", help="on the lab's servers (mailmove lab up)")
    group.addoption("--changes", action="store_true", help="show only what is different from the last run")
    group.addoption("--report", metavar="FILE", default="reports/signoff.html", help="the sign-off report")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --lab, go on inside the lab's operator namespace: a mistaken address can never leave the machine."""
    if config.option.lab:
        return labmode.enter(config)
    return None


def pytest_configure(config: pytest.Config) -> None:
    recorder = config.stash[RECORDER] = Recorder()
    config.pluginmanager.register(recorder, "mailmove-recorder")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".feature":
        return collect.FeatureFile.from_parent(parent, path=file_path)
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse what would be green without a look, and put the scenarios into the journey's order."""
    errors = collect.step_errors(items)
    if errors:
        items.clear()  # pytest finishes a collection that failed like any other: let it find nothing
        raise pytest.UsageError("\n".join(errors))
    mode = _mode(config)
    scenarios = [item for item in items if collect.PLACE in item.stash]
    chosen = [item for item in scenarios if item.stash[collect.PLACE].is_undo == (mode is Mode.UNDO)]
    chosen.sort(key=lambda item: item.stash[collect.PLACE].order, reverse=mode is Mode.UNDO)
    items[:] = [item for item in items if collect.PLACE not in item.stash] + chosen


def pytest_collection_finish(session: pytest.Session) -> None:
    """Reach both servers, look whether they can be a migration, and open the journal: before anything runs."""
    config = session.config
    scenarios = [item for item in session.items if collect.PLACE in item.stash]
    if not scenarios or config.option.collectonly or session.testsfailed:
        return
    mode = _mode(config)
    if config.pluginmanager.hasplugin("dsession") or hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "features cannot run in parallel (xdist)\nhint: leave out -n; mailmove itself asks in parallel"
        )
    try:
        journey = _open(config, mode)
        config.stash[CLAIM] = _claim(config, journey)
    except MailmoveError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[JOURNEY] = journey
    config.stash[SPARED] = Spared(journey.migration.new, config.stash[CLAIM])
    config.stash[SPARED].begin()
    if mode is not Mode.VERIFY:
        Pull.sweep(Context(journey.migration, journey.journal))
    config.stash[RECORDER].begin(scenarios, journey)
    display = config.stash[DISPLAY] = Display(
        config, config.stash[RECORDER], journey, [item.nodeid for item in session.items]
    )
    config.pluginmanager.register(display, "mailmove-display")


def _open(config: pytest.Config, mode: Mode) -> Journey:
    path = Path(config.option.settings)
    plan = migration.load(path, config.option.old, config.option.new, Journal.pinned(path.resolve().parent))
    journal = None
    places = tuple(collect.all_places(FEATURES))
    try:
        waivers.check(plan.settings, places)
        preflight.look(plan, moved=Journal.exists(plan.journal_file), moving=mode is Mode.MOVE, back=mode is Mode.UNDO)
        journal = Journal(plan.journal_file, plan.id)
        if mode is not Mode.VERIFY:
            without_new.refuse_if_given_up(journal)
        journal.pin((s.target, s.ssh_name, s.address) for s in (plan.old, plan.new))
    except BaseException:
        plan.connection.close()
        raise
    return Journey(mode, plan, journal, places)


def _claim(config: pytest.Config, journey: Journey) -> Claim:
    """Hold both servers for this run, and have the admin's word."""
    plan = journey.migration
    claim = Claim((plan.old, plan.new), plan.directory, journey.mode)
    try:
        claim.hold()
        if journey.mode is not Mode.VERIFY:
            moved_by.refuse_other(journey.journal, (plan.old, plan.new))
            consent.ask(config, journey)
    except BaseException:
        claim.release()
        journey.journal.close()
        plan.connection.close()
        raise
    return claim


def _mode(config: pytest.Config) -> Mode:
    if config.option.move and config.option.undo:
        raise pytest.UsageError("--move and --undo exclude each other\nhint: choose the direction")
    return Mode.MOVE if config.option.move else Mode.UNDO if config.option.undo else Mode.VERIFY


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The gate."""
    place = item.stash.get(collect.PLACE, None)
    if place is None:
        return
    journey = item.config.stash[JOURNEY]
    for word, why in (
        ("stands", journey.stands(place)),
        ("planned", journey.postponed(place)),
        ("blocked", journey.blocked(place)),
    ):
        if why:
            pytest.skip(f"{word}: {why}")
    try:
        resting = running.resting(journey.migration.new, place.tags)
        dumb = not resting and running.dumb(journey.migration.new, place.tags)
    except MailmoveError as error:
        pytest.fail(str(error), pytrace=False)
    if resting:
        pytest.skip(
            f"blocked: not looked at, because {' and '.join(resting)} does not run on the new server\n"
            f"hint: systemctl start {' '.join(resting)}; journalctl -u {resting[0]} says why it stopped"
        )
    if dumb:
        pytest.skip(
            "blocked: not looked at, because Dovecot on the new server runs and answers nobody: neither a login nor "
            f"doveadm user within {running.ANSWER_S} s\n"
            "hint: its lines in the mail log say what it waits for: mostly the database, whose name and password stand "
            "in its SQL settings"
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report, and end with a status that says the cause: never green when something was not looked at."""
    config = session.config
    journey = config.stash.get(JOURNEY, None)
    if journey is None:
        return
    recorder = config.stash[RECORDER]
    display = config.stash[DISPLAY]
    different = display.different = changes.since_last(journey.journal, recorder.scenarios)
    try:
        html.write(Path(config.option.report), recorder, journey, different)
        if journey.mode is not Mode.UNDO:
            changes.remember(journey.journal, recorder.scenarios)
    except MailmoveError as error:
        display.trouble = str(error)
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        status = closing.status(recorder.scenarios, journey.journal, journey.mode, recorder.green)
        session.exitstatus = status or (closing.Status.FAILED if display.trouble else session.exitstatus)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the lock back and end the standing connections."""
    journey = config.stash.get(JOURNEY, None)
    if journey is not None:
        config.stash[SPARED].end()
        config.stash[CLAIM].release()
        journey.journal.close()
        journey.migration.connection.close()


# fixtures


@pytest.fixture(scope="session")
def journey(pytestconfig: pytest.Config) -> Journey:
    return pytestconfig.stash[JOURNEY]


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Progress:
    return pytestconfig.stash[DISPLAY]


@pytest.fixture(scope="session")
def old(journey: Journey) -> Server:
    return journey.migration.old


@pytest.fixture(scope="session")
def new(journey: Journey) -> Server:
    return journey.migration.new


@pytest.fixture(scope="session")
def spared(pytestconfig: pytest.Config) -> Spared:
    """Which jails of the new server leave this machine alone for this run."""
    return pytestconfig.stash[SPARED]


@pytest.fixture(scope="session")
def context(journey: Journey, progress: Progress, pytestconfig: pytest.Config) -> Iterator[Context]:
    servers = (journey.migration.old, journey.migration.new)

    def still_ours() -> None:
        pytestconfig.stash[CLAIM].hold()
        pytestconfig.stash[SPARED].begin()

    def coming_by() -> None:
        log_marks.note(journey.journal, servers)
        moved_by.note(journey.journal, servers)

    if journey.journal.entries():
        log_marks.note(journey.journal, servers)
    made = Context(journey.migration, journey.journal, progress, still_ours=still_ours, coming_by=coming_by)
    yield made
    made.close()
    if journey.mode is not Mode.VERIFY:
        moved_by.note_end(journey.journal, servers)


@pytest.fixture(scope="session")
def probes(context: Context) -> Iterator[ProbeAccounts]:
    """Probe accounts on the new server, gone at the end; what a crashed run left is gone before."""
    with ProbeAccounts(context.new, context.migration) as accounts:
        yield accounts


@pytest.fixture
def judge(pytestconfig: pytest.Config) -> Judge:
    """Puts evidence on record, with the cause if a server shuts this machine out; fails the step when it holds things up."""
    recorder, journey = pytestconfig.stash[RECORDER], pytestconfig.stash.get(JOURNEY, None)

    def put_down(*evidence: Evidence) -> None:
        if journey is not None:
            evidence = shutout.explained(evidence, journey.migration.old, journey.migration.new)
        recorder.judge(*evidence)

    return put_down


@pytest.fixture
def attach(pytestconfig: pytest.Config) -> Callable[[str, str, bytes], None]:
    """Puts a picture on record: its name, media type and content."""
    return pytestconfig.stash[RECORDER].attach


@pytest.fixture
def perform(
    context: Context, journey: Journey, judge: Judge, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Callable[[type[Move]], Outcome]:
    """Makes a move, or in verify mode shows its plan."""
    recorder = pytestconfig.stash[RECORDER]

    def act(kind: type[Move]) -> Outcome:
        move = kind(context)
        if journey.mode is Mode.VERIFY and not context.journal.proved(move.name):
            recorder.plan(move.title, [asdict(action) for action in move.plan()])
        journey.performed(move.name, request.node.stash[collect.PLACE])
        outcome = (
            Runner(context).look(move, judge) if journey.mode is Mode.VERIFY else Runner(context).perform(move, judge)
        )
        recorder.note(f"{move.title}: {outcome.words}")
        return outcome

    return act


@pytest.fixture
def take_back(
    context: Context, journey: Journey, judge: Judge, pytestconfig: pytest.Config
) -> Callable[[type[Move]], Outcome]:
    """Takes a move back."""
    recorder = pytestconfig.stash[RECORDER]

    def act(kind: type[Move]) -> Outcome:
        outcome = Runner(context).undo(kind(context), judge)
        if outcome.state == "nothing to undo":
            exam = Examination(f"{kind(context).title}: taken back", "journal")
            recorder.nothing_to_do(exam.not_applicable(outcome.words))
        journey.taken_back(kind.name)
        recorder.note(outcome.words)
        return outcome

    return act
