"""Who logs in as somebody else than root becomes root by sudo: what is run there stays what it was."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailmove.errors import Unreachable
from mailmove.remote import authorize
from mailmove.server import Connection, Server, by_sudo, unreachable

# As sudo does it: nothing of the login's environment is left.
SUDO = """#!/bin/sh
[ "$1 $2 $3" = "-n -H --" ] || exit 99
shift 3
exec env -i "PATH=$PATH" HOME=/root "$@"
"""
WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SSH_CONNECTION": "192.0.2.9 50000 192.0.2.1 22"}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(WORD, max_size=4), data=st.binary(max_size=50))
def test_a_command_and_what_it_reads_are_passed_on_as_they_are(
    environment: dict[str, str], words: list[str], data: bytes
) -> None:
    command = shlex.join(["sh", "-c", 'printf "%s\\0" "$@"; cat', "sh", *words])

    said = subprocess.run(["sh", "-c", by_sudo(command)], env=environment, input=data, capture_output=True, check=True)

    assert said.stdout == b"".join(word.encode() + b"\0" for word in words or [""]) + data


def test_where_the_login_came_from_is_still_known(environment: dict[str, str]) -> None:
    command = by_sudo('echo "$SSH_CONNECTION $HOME $LANGUAGE"; false; echo $?')

    said = subprocess.run(
        ["sh", "-c", command], env={**environment, "LANGUAGE": "de"}, capture_output=True, text=True, check=True
    )

    assert said.stdout == "192.0.2.9 50000 192.0.2.1 22 /root \n1\n"


def test_root_needs_no_sudo(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host mail\n  User admin\nHost mail2\n  User root\n")
    connection = Connection(config)
    try:
        assert connection.ssh("mail2", "id")[-1] == "id"
        assert connection.ssh("root@mail", "id")[-1] == "id"
        assert connection.ssh("mail", "id")[-1] == by_sudo("id")
        assert connection.ssh("jo@mail2", "id")[-1] == by_sudo("id")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("target", "rc", "out", "err", "refused"),
    [
        ("admin@mail", 1, "", "sudo: a password is required\n", True),
        ("root@mail", 1, "", "sudo: a password is required\n", False),  # a command's own words
        ("admin@mail", 0, "", "sudo: setrlimit(RLIMIT_CORE): Operation not permitted\n", False),
        ("admin@mail", 1, "", "sudo: setrlimit(RLIMIT_CORE): Operation not permitted\n", False),
        ("admin@mail", 1, "some", "sudo: a password is required\n", False),
        ("admin@mail", 1, "", "a banner\nsudo: a password is required\n", True),
        ("admin@mail", 1, "", "", False),
    ],
)
def test_a_command_that_fails_is_not_taken_for_one_that_sudo_refused(
    target: str, rc: int, out: str, err: str, refused: bool
) -> None:
    connection = Connection(None)
    try:
        assert Server("old", target, connection)._is_refused(rc, out, err) is refused
    finally:
        connection.close()


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required",
        "sudo: Ein Passwort ist notwendig",
        "bash: line 1: sudo: command not found",
        "sh: 1: sudo: not found",
        "admin is not in the sudoers file.",
        "Sorry, user admin is not allowed to execute '/usr/bin/env sh' as root on mail.",
    ],
)
def test_who_may_not_become_root_is_told_how(said: str) -> None:
    connection = Connection(None)
    try:
        error = unreachable(Server("old", "admin@mail.example.org", connection), f"a warning\n{said}\n")
        assert isinstance(error, Unreachable)
        assert error.fact == (
            "admin may not become root on the old server (admin@mail.example.org) without a password: " + said
        )
        assert "visudo" in error.hint
    finally:
        connection.close()


def test_a_key_of_the_login_reads_by_sudo_what_was_asked_for(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "rsync").write_text('#!/bin/sh\npwd; echo "$@"; echo "$MAILMOVE_PULL"\n')
    (tmp_path / "rsync").chmod(0o755)
    mail = tmp_path / "mail"
    mail.mkdir()
    command = authorize.as_root("admin", "ab12", f"sh -c {shlex.quote(authorize.GUARD % mail)}")
    asked = "rsync --server --sender -lHogDtpre.iLsfxCIvu . ."

    said = subprocess.run(
        ["sh", "-c", command], env={**environment, "SSH_ORIGINAL_COMMAND": asked}, capture_output=True, text=True
    )

    assert said.stdout.splitlines() == [str(mail), asked.removeprefix("rsync "), "ab12"]
