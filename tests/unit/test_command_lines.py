"""Names that come from users and from the internet never become more than one word of a command, one line of a file, one value of SQL.

What is built is given to a real shell, with programs in the place of MariaDB's and Dovecot's that say what they were told.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import checks
import mailmove
import steps
from checks import maps
from mailmove import databases, sql
from mailmove.errors import SettingsError
from mailmove.migration import load_settings
from mailmove.moves import certificates, copied, pull, stream
from mailmove.moves.roundcube import join_rows
from mailmove.moves.service_state import plan_settings
from mailmove.progress import Silence
from mailmove.server import Connection, Server

NASTY = [
    "$(reboot)",
    "`id`",
    "'; rm -rf / #",
    '"',
    "\\",
    "\n",
    "\t",
    "-x",
    "--",
    "*",
    "%",
    "{a,b}",
    "~",
    "&",
    "|",
    "é",
    "\udcff",
]
WORD = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
)
WORDS = st.lists(WORD, max_size=4)
some = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])

TELL = """#!/usr/bin/python3 -IS
import json, os, sys
with open(os.environ["TOLD"], "a") as told:
    told.write(json.dumps([sys.argv[0].rpartition("/")[2], *sys.argv[1:]]) + "\\n")
print("-- Dump completed")
"""


class Here(Connection):
    """A connection that leads to this machine, where these programs go before others."""

    def __init__(self, programs: Path, told: Path) -> None:
        super().__init__(None)
        self.environment = [f"PATH={programs}:{os.environ['PATH']}", f"TOLD={told}"]

    def ssh(self, target: str, command: str) -> list[str]:
        return ["env", *self.environment, "sh", "-c", command]


class Place:
    """This machine as a server, and what programs there were told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        self._told = directory / "told"
        self.connection = Here(self.programs, self._told)
        self.server = Server("new", "here", self.connection)

    def program(self, *names: str) -> None:
        for name in names:
            (self.programs / name).write_text(TELL)
            (self.programs / name).chmod(0o755)

    def told(self) -> list[list[str]]:
        """Since it was last asked."""
        lines = self._told.read_text().splitlines() if self._told.exists() else []
        self._told.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.connection.close()


def words_of(out: str) -> list[str]:
    return out.split("\0")[:-1]


# The two ways by which commands go to a server


@some
@given(words=WORDS)
def test_each_word_of_a_command_arrives_as_it_is(place: Place, words: list[str]) -> None:
    assert words_of(place.server.run("printf", r"%s\0", "", *words).out) == ["", *words]


@some
@given(words=WORDS)
def test_what_is_given_to_a_script_of_ours_is_read_by_no_shell(place: Place, words: list[str]) -> None:
    assert words_of(place.server.sh(r'printf "%s\0" "" "$@"', *words).out) == ["", *words]


@some
@given(words=WORDS, wanted=WORD)
def test_programs_are_told_values_and_no_words(place: Place, words: list[str], wanted: str) -> None:
    program = "import json, sys\njson.dump(json.loads(sys.stdin.readline()), sys.stdout)\nprint()\n"
    lines = place.server._standby.run(
        program.encode(), json.dumps({"words": words, "wanted": wanted}).encode() + b"\n", 30
    )

    assert json.loads(next(lines)) == {"words": words, "wanted": wanted}
    assert list(lines) == []


# Pipes between servers


@some
@given(words=WORDS)
def test_the_writing_end_of_a_pipe_gets_its_words_as_they_are(place: Place, words: list[str]) -> None:
    path = str(place.directory / "arrived")
    consumer = r'f=$1; shift; { cat; printf "%s\0" "" "$@"; } > "$f"'

    databases.stream(place.server, "printf begin", place.server, consumer, path, *words)

    assert words_of(Path(path).read_bytes().decode("utf-8", "surrogateescape").removeprefix("begin")) == ["", *words]


@some
@given(words=WORDS)
def test_both_ends_of_a_stream_get_their_words_as_they_are(place: Place, words: list[str]) -> None:
    path = str(place.directory / "arrived")
    write = ["sh", "-c", 'cat > "$1"', "sh", path]

    stream.stream(place.server, ["printf", r"%s\0", "", *words], place.server, write, Silence(), "copying")

    assert words_of(Path(path).read_bytes().decode("utf-8", "surrogateescape")) == ["", *words]


@some
@given(database=WORD, tables=WORDS)
def test_a_dump_is_asked_for_by_exactly_these_names(place: Place, database: str, tables: list[str]) -> None:
    place.program("mariadb-dump")

    databases.dump_to(
        place.server,
        place.server,
        database,
        str(place.directory / "dump.sql"),
        [databases.dump_command(database, tables)],
    )

    ((program, *told),) = place.told()
    assert program == "mariadb-dump"
    assert told[-len(tables) - 1 :] == [database, *tables]
    assert all(word.startswith("--") for word in told[: -len(tables) - 1])


@some
@given(paths=st.lists(WORD.filter(lambda text: text.strip("/") not in ("", ".", "..")), min_size=1, max_size=4))
def test_files_of_old_are_fetched_by_exactly_these_names(place: Place, paths: list[str]) -> None:
    place.program("tar")
    words = certificates.archive([f"/etc/{path}" for path in paths])

    subprocess.run(place.server.ssh(words), check=True, capture_output=True)

    assert place.told() == [["tar", "-C", "/", "-cf", "-", "--", *(f"etc/{path}" for path in paths)]]


# rsync on new


@some
@given(words=WORDS)
def test_an_rsync_on_new_gets_its_words_as_they_are(place: Place, words: list[str]) -> None:
    place.program("rsync")
    remote = shlex.join(["sh", "-c", pull._RUN, "sh", str(place.directory / "pid.0"), "rsync", *words])

    subprocess.run(place.server.ssh(remote), check=True, capture_output=True)

    assert place.told() == [["rsync", *words]]


@some
@given(words=WORDS)
def test_so_does_one_that_waits(place: Place, words: list[str]) -> None:
    place.program("rsync")
    target = place.directory / "target $(reboot)"
    target.mkdir(exist_ok=True)
    owner = f"{os.getuid()}:{os.getgid()}"
    told = [str(place.directory / "pid.1"), owner, "0750", str(target), "rsync", *words]
    remote = shlex.join(["sh", "-c", pull._WAIT, "sh", *told])

    subprocess.run(place.server.ssh(remote), check=True, capture_output=True, input=b"")

    assert place.told() == [["rsync", *words]]
    assert target.stat().st_mode & 0o777 == 0o750


# Commands that a person is shown, to be run by hand


@some
@given(values=st.dictionaries(st.sampled_from(["relay_domains", "transport_maps"]), WORD, min_size=1))
def test_a_planned_command_does_what_it_says(place: Place, values: dict[str, str]) -> None:
    place.program("postconf")

    subprocess.run(place.server.ssh(plan_settings(values)), check=True, capture_output=True)

    assert place.told() == [["postconf", "-e", *(f"{name}={value}" for name, value in values.items())]]


# Lines of files


@given(WORD, WORD)
def test_a_carried_letter_is_one_line_of_the_list_of_copies(folder: str, base: str) -> None:
    line = copied.printable(f"{folder}/cur/{base}")

    assert line.isprintable() and line.isascii()


@some
@given(keys=st.lists(WORD, min_size=1, max_size=5))
def test_each_key_of_a_table_has_its_own_answer(place: Place, keys: list[str]) -> None:
    (place.programs / "postmap").write_text("#!/bin/sh\nprintf '%s' \"$2 is in $3\" | tr '\\n\\t' '  '\n")
    (place.programs / "postmap").chmod(0o755)
    asked = [("mysql:/etc/a.cf", key) for key in dict.fromkeys(keys)]

    found = maps.look_up(place.server, asked)

    assert sorted(found) == sorted(asked)
    for (table, key), answer in found.items():
        assert answer.trouble or answer.value.split() == f"{key} is in {table}".split()


def test_a_key_that_would_be_two_questions_is_not_asked(place: Place) -> None:
    place.program("postmap")
    odd = ["a\nmysql:/etc/b.cf\tb", "a\tb", "", "-", " a"]

    found = maps.look_up(place.server, [("mysql:/etc/a.cf", key) for key in odd])

    assert len(found) == len(odd)
    assert all(each.trouble and not each.value for each in found.values())
    assert place.told() == []


# Programs that run on the servers


def remote(name: str) -> Any:
    """A program of mailmove/remote as a module; those that begin their work at once are not for this."""
    spec = importlib.util.find_spec(f"mailmove.remote.{name}")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OPTION_LIKE = st.lists(
    st.sampled_from(["-D@example.org", "--help", "-f", "x@example.org", "$(reboot)@example.org", "' or 1@example.org"]),
    min_size=1,
    max_size=4,
)


@settings(some, max_examples=5)
@given(users=OPTION_LIKE)
def test_nobody_s_address_is_taken_for_an_option(
    place: Place, monkeypatch: pytest.MonkeyPatch, users: list[str]
) -> None:
    place.program("doveadm", "mariadb")
    for setting in place.connection.environment:
        name, _, value = setting.partition("=")
        monkeypatch.setenv(name, value)

    remote("sieve_scripts").homes(users)
    asked = {"maps": {}, "keys": {}, "users": users}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked) + "\n"))
    with redirect_stdout(io.StringIO()):
        remote("lookups").main()

    told = [words for words in place.told() if words[:2] == ["doveadm", "user"] and words != ["doveadm", "user", "*"]]
    assert len(told) >= 2
    for words in told:
        assert words[:5] == ["doveadm", "user", "-f", "home", "--"]
        assert set(words[5:]) <= set(users)


# SQL


@given(WORD, WORD)
def test_no_table_or_number_of_a_profile_ends_its_statement(table: str, kind: str) -> None:
    for statement in join_rows(table, kind, "1", "2"):
        rest = statement.replace(sql.name(table), "")
        assert statement.count(";") == 1 + table.count(";") * statement.count(sql.name(table))
        assert rest.endswith(";")
        assert "`" not in rest


# What the admin says


@given(WORD.filter(lambda text: text.startswith("-") or "\n" in text or " " in text))
def test_no_target_is_an_option_of_ssh(target: str) -> None:
    with pytest.raises(SettingsError):
        load_settings(None, target, "root@new")


@pytest.mark.parametrize(
    "target", ["root@old.example.org", "old", "ssh://root@old.example.org:2222", "root@2001:db8::1"]
)
def test_a_target_is_what_ssh_takes(target: str) -> None:
    assert load_settings(None, target, "root@new").servers.old == target


# And so everywhere


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """(place, call, name) of all calls in what is no lab."""
    for package in (mailmove, checks, steps):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            if "lab" in path.relative_to(root).parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    function = node.func
                    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                    yield f"{path.relative_to(root.parent)}:{node.lineno}", node, name


def is_fixed(script: ast.expr) -> bool:
    """Written down as it is, or a constant of the module; never put together of values."""
    if isinstance(script, ast.BinOp) and isinstance(script.op, ast.Add):
        return is_fixed(script.left) and is_fixed(script.right)
    if isinstance(script, ast.IfExp):
        return is_fixed(script.body) and is_fixed(script.orelse)
    return isinstance(script, ast.Constant) or (isinstance(script, ast.Name) and script.id.lstrip("_").isupper())


def test_no_shell_reads_a_command_put_together_of_values() -> None:
    """Names go to a script as its arguments. Local names are followed by hand: these were."""
    known = {"script", "unpack", "session", "command"}
    wrong = []
    for place, call, name in calls():
        if any(keyword.arg == "shell" for keyword in call.keywords) or name in ("system", "popen", "getoutput"):
            wrong.append(f"{place}: {name}")
        if name == "sh" and not is_fixed(call.args[0]):
            script = call.args[0]
            if not (isinstance(script, ast.Name) and script.id in known):
                wrong.append(f"{place}: {ast.unparse(script)}")

    assert wrong == []
