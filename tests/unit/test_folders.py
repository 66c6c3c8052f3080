"""Looking at folders instead of files finds every change. Real files, and the real programs that run on the servers.

A mail store is changed at random, also in the middle of copies; after a last copy at rest both hold the same files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mailmove import folders
from mailmove.folders import Known, Listing, Look, Record, to_compare, to_do

REMOTE = Path(__file__).parents[2] / "mailmove" / "remote"


def run(program: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    data = json.dumps(wanted).encode() + b"\n"
    said = subprocess.run([sys.executable, REMOTE / f"{program}.py"], input=data, capture_output=True, check=False)
    assert said.returncode == 0, said.stderr.decode()
    return [json.loads(line) for line in said.stdout.splitlines()]


def look(root: Path, known: dict[str, str], expected: dict[str, str] | None = None) -> Look:
    store = {"root": str(root), "skip": ["mailmove-probe-"], "domains_skipped": ["probe.mailmove.invalid"]}
    found = Look.of(run("look", {**store, "known": known, "expected": expected or {}}))
    # The tests are quicker than the clock of files: what is not settled would be in doubt always, and prove nothing.
    found.changed = {path: (signature, True) for path, (signature, _) in found.changed.items()}
    return found


def listed(root: Path, paths: list[str]) -> dict[str, Listing]:
    store = {"root": str(root), "skip": ["mailmove-probe-"], "domains_skipped": ["probe.mailmove.invalid"]}
    return dict(folders.listings(run("look", {**store, "list": paths}))) if paths else {}


def tree(root: Path) -> dict[str, bytes]:
    """What counts in a store: each file with its bytes, each directory."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.name.startswith("dovecot.index") or "/tmp/" in name:
            continue
        found[name] = path.read_bytes() if path.is_file() else b"/"
    return found


class Pair:
    """An old and a new store, and what is known of both."""

    def __init__(self, directory: Path) -> None:
        self.old, self.new = directory / "old", directory / "new"
        self.old.mkdir()
        self.new.mkdir()
        self.record = Record()
        self.brought: set[str] = set()  # letters' names, as the ledger of a real copy knows them

    def first(self) -> None:
        looked = look(self.old, {})
        self.record.begin_anew(looked)
        shutil.copytree(self.old, self.new, dirs_exist_ok=True, symlinks=True)
        self.brought |= {folders.base(path.name) for path in self.old.rglob("*") if folders.is_letter(str(path))}
        folders.learn(self.record, looked.changed, looked, {}, look(self.new, {}))

    def begin(self) -> tuple[Look, folders.Todo]:
        ours, theirs = look(self.old, self.record.known("old")), look(self.new, self.record.known("new"))
        both = sorted({*ours.changed, *ours.gone, *theirs.changed, *theirs.gone})
        return ours, to_do(self.record, listed(self.old, both), listed(self.new, both))

    def finish(self, ours: Look, todo: folders.Todo) -> None:
        told = self.record.known("old")
        self.record.doubt(todo.folders)
        wanted = {"root": str(self.new), "rename": todo.rename, "delete": todo.delete, "remove": todo.remove}
        (done,) = run("apply", {**wanted, "stale": [], "aside": ""})
        for name in [*todo.copy, *done["missed"]]:
            source, target = self.old / name, self.new / name
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif source.exists():
                self.brought.add(folders.base(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        folders.learn(self.record, todo.folders, ours, told, look(self.new, self.record.known("new"), todo.names))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    both = Pair(tmp_path)
    inbox = both.old / "example.org/anna/Maildir"
    for folder in (inbox, inbox / ".Work"):
        for leaf in ("cur", "new", "tmp"):
            (folder / leaf).mkdir(parents=True)
        (folder / "dovecot-uidlist").write_text("3 V1 N3\n1 :1.a\n2 :2.a\n")
        (folder / "cur" / "1.a:2,S").write_text(f"one in {folder.name}")
        (folder / "new" / "2.a").write_text("two")
    (inbox / "subscriptions").write_text("Work\n")
    (inbox.parent / "sieve").mkdir()
    (inbox.parent / "sieve" / "roundcube.sieve").write_text("keep;")
    both.first()
    return both


ANNA = "example.org/anna/Maildir"


def test_what_dovecot_on_new_does_during_a_pass_is_looked_into_again(pair: Pair) -> None:
    (pair.old / ANNA / "new/3.a").write_text("three")
    ours, todo = pair.begin()
    (pair.new / ANNA / "new/2.a").rename(pair.new / ANNA / "cur/2.a:2,")
    pair.finish(ours, todo)

    pair.finish(*pair.begin())

    assert tree(pair.old) == tree(pair.new)


def test_what_comes_to_new_itself_during_a_pass_is_no_letter_of_ours(pair: Pair) -> None:
    (pair.old / ANNA / "new/3.a").write_text("three")
    ours, todo = pair.begin()
    (pair.new / ANNA / "new/late.b").write_text("it came to new")
    pair.finish(ours, todo)

    _, todo = pair.begin()

    assert todo.strangers == [f"{ANNA}/new/late.b"]


def test_nothing_changed_is_nothing_to_do(pair: Pair) -> None:
    _, todo = pair.begin()

    assert len(todo) == 0
    assert todo.folders == set()


def test_what_dovecot_rewrote_on_new_is_copied_once_more_and_then_known(pair: Pair) -> None:
    work = f"{ANNA}/.Work"
    (pair.new / work / "dovecot-uidlist").write_text("3 V1 N3\n2 :2.a\n1 :1.a\n")

    ours, todo = pair.begin()
    assert todo.copy == [work, f"{work}/dovecot-uidlist"]
    assert todo.alike == set()
    pair.finish(ours, todo)

    assert tree(pair.old) == tree(pair.new)
    assert pair.record.directories[work].old  # it is known how it is on old: nothing changed there
    _, todo = pair.begin()
    assert todo.alike == todo.folders <= {work}  # what changed on new a moment ago is never taken for known


def test_a_flag_is_a_rename_and_moves_no_bytes(pair: Pair) -> None:
    path = pair.old / ANNA / ".Work/cur/1.a:2,S"
    path.rename(path.with_name("1.a:2,FS"))

    ours, todo = pair.begin()

    assert todo.rename == [(f"{ANNA}/.Work/cur/1.a:2,S", f"{ANNA}/.Work/cur/1.a:2,FS")]
    assert todo.copy == [f"{ANNA}/.Work/cur"]
    assert todo.touched == {f"{ANNA}/.Work": ["1.a"]}
    assert todo.strangers == []
    pair.finish(ours, todo)
    assert tree(pair.old) == tree(pair.new)


def test_letters_names_as_one_digest_tell_whether_they_are_the_same(pair: Pair) -> None:
    pair.first()
    paths = sorted(look(pair.old, {}).changed)
    store = {"root": "", "skip": [], "domains_skipped": [], "list": paths, "digests": True}

    def told() -> list[dict[str, Listing]]:
        return [dict(folders.listings(run("look", {**store, "root": str(root)}))) for root in (pair.old, pair.new)]

    ours, theirs = told()
    assert [ours[path].names for path in paths] == [theirs[path].names for path in paths]
    assert all(len(ours[path].names) == 1 for path in paths if ours[path].letters)
    letters = next(path for path in paths if ours[path].letters and list((pair.new / path).iterdir()))
    letter = next((pair.new / letters).iterdir())
    letter.rename(f"{letter}T")
    ours, theirs = told()
    assert [path for path in paths if ours[path].names != theirs[path].names] == [letters]


def test_folders_are_alike_when_names_uids_and_keywords_are(pair: Pair) -> None:
    work = f"{ANNA}/.Work"

    def both(*, differ: Callable[[Path], object]) -> set[str]:
        differ(pair.new / work)
        os.utime(pair.old / work / "cur")
        return pair.begin()[1].alike

    assert both(differ=lambda folder: None) == {work}
    assert both(differ=lambda folder: (folder / "dovecot-keywords").write_text("0 Later\n")) == set()
    assert both(differ=lambda folder: (folder / "dovecot-keywords").unlink()) == {work}
    assert both(differ=lambda folder: (folder / "dovecot-uidlist").write_text("3 V1 N3\n2 :1.a\n1 :2.a\n")) == set()
    shutil.copy(pair.old / work / "dovecot-uidlist", pair.new / work)
    assert both(differ=lambda folder: (folder / "new" / "2.a").rename(folder / "new" / "3.a")) == set()


def test_a_letter_taken_up_by_a_client_goes_from_new_to_cur(pair: Pair) -> None:
    (pair.old / ANNA / "new/2.a").rename(pair.old / ANNA / "cur/2.a:2,")

    ours, todo = pair.begin()

    assert todo.rename == [(f"{ANNA}/new/2.a", f"{ANNA}/cur/2.a:2,")]
    pair.finish(ours, todo)
    assert tree(pair.old) == tree(pair.new)


def test_what_was_delivered_to_new_is_a_stranger(pair: Pair) -> None:
    (pair.new / ANNA / "new/3.new").write_text("early")

    _, todo = pair.begin()

    assert todo.strangers == [f"{ANNA}/new/3.new"]


def test_what_new_has_moved_by_itself_is_no_stranger(pair: Pair) -> None:
    (pair.new / ANNA / "new/2.a").rename(pair.new / ANNA / "cur/2.a:2,")

    ours, todo = pair.begin()

    assert todo.strangers == []
    pair.finish(ours, todo)
    assert tree(pair.old) == tree(pair.new)


def test_an_index_is_no_change_and_a_subscription_is(pair: Pair) -> None:
    (pair.old / ANNA / "dovecot.index.log").write_text("x")
    assert pair.begin()[1].folders == set()

    (pair.old / ANNA / "subscriptions").write_text("Work\nPlay\n")
    ours, todo = pair.begin()

    assert todo.folders == {ANNA}
    pair.finish(ours, todo)
    assert (pair.new / ANNA / "subscriptions").read_text() == "Work\nPlay\n"


def test_a_file_changed_in_place_beside_the_letters_is_seen(pair: Pair) -> None:
    path = pair.old / "example.org/anna/sieve/roundcube.sieve"
    before = path.stat()
    path.write_text("keep!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    _, todo = pair.begin()

    assert "example.org/anna/sieve/roundcube.sieve" in todo.copy


def test_an_unsettled_directory_is_looked_into_again() -> None:
    begin = {"kind": "begin", "system": "ext4", "machine": "m", "root": "/r", "inode": 1}
    end = {"kind": "end", "gone": [], "mounts": [], "directories": 2, "seconds": 0, "unexpected": []}
    found = Look.of([begin, {"kind": "directories", "rows": [["a", "s1", True], ["b", "s2", False]]}, end])

    assert (found.signature("a", ""), found.signature("b", "")) == ("s1", "")
    begin["system"] = "nfs4"
    assert found.signature("a", "") == ""


def test_a_look_that_breaks_off_is_refused() -> None:
    with pytest.raises(ValueError, match="to its end"):
        Look.of([{"kind": "begin"}])


@pytest.mark.parametrize("raw", [None, {}, [], {"directories": {"a": 1}}, {"directories": {}, "machine": "x"}])
def test_a_damaged_record_is_no_record(raw: object) -> None:
    assert not Record.read(raw)


def test_a_record_survives_the_journal() -> None:
    record = Record("m", "/var/vmail", 7, ["a"], 5.0, {"a\udcff": Known("1", "2", 3)})

    assert Record.read(json.loads(json.dumps(record.plain()))) == record


def test_in_a_folder_of_which_nothing_is_known_every_letter_is_copied_and_compared(pair: Pair) -> None:
    pair.record.doubt([f"{ANNA}/.Work/cur"], wholly=True)

    _, todo = pair.begin()

    assert f"{ANNA}/.Work/cur/1.a:2,S" in todo.copy
    assert todo.touched[f"{ANNA}/.Work"] is None


def test_a_deleted_folder_goes_with_what_was_in_it(pair: Pair) -> None:
    shutil.rmtree(pair.old / ANNA / ".Work")
    (pair.new / ANNA / ".Work/dovecot.index").write_text("x")

    ours, todo = pair.begin()

    assert todo.strangers == []
    pair.finish(ours, todo)
    assert not (pair.new / ANNA / ".Work").exists()
    assert not [path for path in pair.record.directories if ".Work" in path]


def test_nothing_is_written_through_a_link(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").write_text("x")
    (pair.new / ANNA / ".Link").symlink_to(tmp_path / "elsewhere")
    wanted = {"root": str(pair.new), "rename": [], "remove": [], "stale": [], "aside": ""}

    for name in (f"{ANNA}/.Link/precious", "../elsewhere/precious"):
        with pytest.raises(AssertionError, match="leads out of"):
            run("apply", {**wanted, "delete": [name]})

    assert (tmp_path / "elsewhere/precious").exists()


def linked(root: Path, paths: list[str]) -> dict[str, list[str]]:
    asked = {"root": str(root), "skip": [], "domains_skipped": [], "linked": paths}
    return {fact["path"]: fact["others"] for fact in run("look", asked)}


def test_a_letter_that_is_one_file_with_another_is_told_with_it(pair: Pair) -> None:
    one, other, away = (
        f"{ANNA}/{name}" for name in ("cur/1.a:2,S", ".Work/cur/9.a:2,", "../../bea/Maildir/cur/9.b:2,")
    )
    (pair.old / other).hardlink_to(pair.old / one)
    (pair.old / away).parent.mkdir(parents=True)
    (pair.old / away).hardlink_to(pair.old / one)  # of another mailbox: never shared

    assert linked(pair.old, [other, f"{ANNA}/new/2.a", f"{ANNA}/new/none"]) == {other: [one]}


def test_marks_that_people_made_on_new_are_told_before_they_go(pair: Pair) -> None:
    """Only where somebody was at work on new since, and only what old does not have."""
    letter = pair.new / ANNA / "cur" / "1.a:2,S"
    other = pair.old / ANNA / ".Work" / "cur" / "1.a:2,S"
    letter.rename(letter.with_name("1.a:2,FSTa"))
    other.rename(other.with_name("1.a:2,"))

    _, todo = pair.begin()

    assert sorted(todo.rename) == [
        (f"{ANNA}/.Work/cur/1.a:2,S", f"{ANNA}/.Work/cur/1.a:2,"),
        (f"{ANNA}/cur/1.a:2,FSTa", f"{ANNA}/cur/1.a:2,S"),
    ]
    assert todo.overruled == [f"{ANNA}/cur/1.a:2,FSTa"]
    assert folders.marks("x/1.a:2,DFTa") == {"F", "a"} and folders.marks("x/1.a") == set()


def test_a_further_name_is_given_where_the_letter_is_and_else_left_to_the_copy(pair: Pair) -> None:
    one, other = f"{ANNA}/cur/1.a:2,S", f"{ANNA}/.Work/cur/9.a:2,"
    (pair.new / ANNA / "cur/link").symlink_to(pair.new / one)
    wanted = {"root": str(pair.new), "rename": [], "delete": [], "remove": [], "stale": [], "aside": ""}
    pairs = [
        (one, other),
        (one, f"{ANNA}/.Work/cur/1.a:2,S"),  # there already
        (f"{ANNA}/cur/none", f"{ANNA}/cur/8.a"),
        (f"{ANNA}/cur/link", f"{ANNA}/cur/7.a"),
        (one, f"{ANNA}/.None/cur/6.a"),
    ]

    (done,) = run("apply", {**wanted, "link": pairs})

    assert done["linked"] == [other]
    assert (pair.new / other).samefile(pair.new / one)
    assert (pair.new / ANNA / ".Work/cur/1.a:2,S").read_text() == "one in .Work"
    with pytest.raises(AssertionError, match="leads out of"):
        run("apply", {**wanted, "link": [(one, "../elsewhere")]})


def test_what_is_to_be_compared_is_asked_by_home_and_folder() -> None:
    only = to_compare(
        {"d.org", "d.org/anna", "d.org/anna/Maildir/.X/cur", "d.org/anna/Maildir"}, {"d.org/anna/Maildir/.X": ["b"]}
    )

    assert only == {
        "d.org/anna": {"d.org/anna": [], "d.org/anna/Maildir/.X": ["b"], "d.org/anna/Maildir": []},
    }


NAMES = st.sampled_from(["", ".Work", ".Work.Inner", ".\udce9\nnoir", ".it's $(x)"])
FLAGS = st.sampled_from(["", "S", "FS", "Sa", "RSab"])


class Races(RuleBasedStateMachine):
    """People work on old at any moment of a copy; Dovecot on new does what it does. At rest, one pass makes them equal."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.pair = Pair(Path(self.directory.name))
        self.count = 0
        self.under_way: tuple[Look, folders.Todo] | None = None

    @initialize()
    def begin(self) -> None:
        self.make_folder("")
        self.deliver("")
        self.pair.first()

    @property
    def maildir(self) -> Path:
        return self.pair.old / "d.org" / "anna" / "Maildir"

    def letters(self, name: str, root: Path | None = None) -> list[Path]:
        folder = (root / "d.org/anna/Maildir" if root else self.maildir) / name
        return sorted(p for leaf in ("cur", "new") for p in (folder / leaf).glob("*"))

    @rule(name=NAMES)
    def make_folder(self, name: str) -> None:
        for leaf in ("cur", "new", "tmp"):
            (self.maildir / name / leaf).mkdir(parents=True, exist_ok=True)
        (self.maildir / name / "dovecot-uidlist").write_text(f"3 V{self.count}\n")

    @rule(name=NAMES)
    def deliver(self, name: str) -> None:
        if (self.maildir / name).is_dir():
            self.count += 1
            (self.maildir / name / "new" / f"{self.count}.M.old").write_text(f"letter {self.count}")

    @rule(name=NAMES, flags=FLAGS, number=st.integers(0, 9))
    def flag(self, name: str, flags: str, number: int) -> None:
        there = self.letters(name)
        if there:
            path = there[number % len(there)]
            target = self.maildir / name / "cur" / f"{path.name.partition(':')[0]}:2,{flags}"
            if not target.exists():
                path.rename(target)

    @rule(name=NAMES, number=st.integers(0, 9))
    def expunge(self, name: str, number: int) -> None:
        there = self.letters(name)
        if there:
            there[number % len(there)].unlink()

    @rule(name=NAMES, to=NAMES, number=st.integers(0, 9))
    def move(self, name: str, to: str, number: int) -> None:
        there = self.letters(name)
        if there and (self.maildir / to).is_dir():
            self.count += 1
            there[number % len(there)].rename(self.maildir / to / "cur" / f"{self.count}.M.old:2,S")

    @rule(name=NAMES, to=NAMES)
    def rename_folder(self, name: str, to: str) -> None:
        if name and to and (self.maildir / name).is_dir() and not (self.maildir / to).exists():
            (self.maildir / name).rename(self.maildir / to)

    @rule(name=NAMES)
    def delete_folder(self, name: str) -> None:
        if name and (self.maildir / name).is_dir():
            shutil.rmtree(self.maildir / name)

    @rule(text=st.sampled_from(["a", "b", "ab"]))
    def subscribe(self, text: str) -> None:
        half = self.maildir / "subscriptions.lock"
        half.write_text(text)
        half.rename(self.maildir / "subscriptions")

    @rule(name=NAMES)
    def new_takes_up_letters(self, name: str) -> None:
        folder = self.pair.new / "d.org/anna/Maildir" / name
        for path in sorted((folder / "new").glob("*")) if (folder / "new").is_dir() else []:
            path.rename(folder / "cur" / f"{path.name}:2,")
            (folder / "dovecot-uidlist").write_text("new's own")

    @rule()
    def a_pass_begins(self) -> None:
        self.under_way = self.pair.begin()

    @rule()
    def a_pass_goes_on(self) -> None:
        if self.under_way:
            self.pair.finish(*self.under_way)
            self.under_way = None

    @rule()
    def a_pass_is_killed(self) -> None:
        if self.under_way:
            self.pair.record.doubt(self.under_way[1].folders)
            self.under_way = None

    @invariant()
    def a_last_pass_at_rest_makes_them_equal(self) -> None:
        if self.count % 4 or self.under_way or not self.pair.record:
            return
        ours, todo = self.pair.begin()
        assert {folders.base(path) for path in todo.strangers} <= self.pair.brought
        self.pair.finish(ours, todo)
        assert tree(self.pair.old) == tree(self.pair.new)

    def teardown(self) -> None:
        if self.pair.record:
            self.pair.finish(*self.pair.begin())
            assert tree(self.pair.old) == tree(self.pair.new)
        self.directory.cleanup()


TestRaces = Races.TestCase
TestRaces.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


def test_an_index_counts_where_it_holds_keywords_that_no_name_holds(pair: Pair) -> None:
    folder = pair.old / ANNA / ".Work"
    (folder / "dovecot.index.log").write_text("x")
    (folder / "dovecot-keywords").write_text("".join(f"{n} kw{n}\n" for n in range(26)))

    found = Look.of(run("look", {"root": str(pair.old), "skip": ["-"], "domains_skipped": [], "known": {}}))
    _, todo = pair.begin()

    assert not found.changed[f"{ANNA}/.Work"][1]  # never settled: always looked into
    assert f"{ANNA}/.Work/dovecot.index.log" in todo.copy


READ = "example.org/anna/Maildir/shared/bert@example.org/.Team/dovecot.index.pvt.log"


def test_what_somebody_alone_has_read_of_a_shared_folder_is_copied_as_it_is(pair: Pair) -> None:
    for side, names in ((pair.old, [READ]), (pair.new, [READ, READ.replace("Team", "Other")])):
        for name in names:  # Dovecot on new makes them when it builds the indexes
            (side / name).parent.mkdir(parents=True, exist_ok=True)
            (side / name).write_text(f"read on {side.name}")
    ours, todo = pair.begin()

    assert READ in todo.copy
    assert todo.strangers == []
    pair.finish(ours, todo)
    assert (pair.new / READ).read_text() == "read on old"
    assert not (pair.new / READ.replace("Team", "Other")).exists()
    assert pair.begin()[1].folders == set()  # not looked into again until it changes
    (pair.old / READ).write_text("read more")
    assert READ in pair.begin()[1].copy


def test_dovecots_list_of_folders_with_rights_is_made_anew(pair: Pair) -> None:
    for side in (pair.old, pair.new):
        (side / ANNA / "dovecot-acl-list").write_text(side.name)
    assert pair.begin()[1].folders == set()

    run(
        "apply",
        {"root": str(pair.new), "rename": [], "delete": [], "remove": [], "stale": [f"{ANNA}/.Work"], "aside": ""},
    )

    assert not (pair.new / ANNA / "dovecot-acl-list").exists()
