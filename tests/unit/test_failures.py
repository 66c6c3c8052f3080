"""What a server said when it failed, as a person reads it: the fact in the first line, then what to do."""

from __future__ import annotations

from mailmove import failures

TRACEBACK = """Traceback (most recent call last):
  File "mailmove-remote", line 200, in main
{}
"""


def test_the_first_line_says_what_was_asked_how_it_ended_and_what_the_server_said() -> None:
    error = failures.of_command("new", "writing /etc/postfix/x", 2, "", "sh: 1: cannot create x: Permission denied\n")

    first, hint = str(error).splitlines()
    assert (
        first == "on the new server, writing /etc/postfix/x: exit status 2: sh: 1: cannot create x: Permission denied"
    )
    assert hint.startswith("hint: mend")


def test_many_lines_are_one_in_the_first_and_all_of_them_below() -> None:
    first, *more = failures.of_command("old", "postfix reload", 1, "", "one\n two\n").fact.splitlines()

    assert first.endswith("exit status 1: one / two")
    assert more == ["one", " two"]


def test_a_command_that_says_nothing_is_said_to() -> None:
    assert failures.of_command("old", "true", 1, "", "").fact.endswith("exit status 1: it said nothing")


def test_a_full_disk_is_the_cause_whoever_meets_it() -> None:
    program = failures.of_program("old", "carry", 1, TRACEBACK.format("OSError: [Errno 28] No space left on device"))
    command = failures.of_command("new", "x", 1, "", "cat: write error: No space left on device")

    assert program.fact == "on the old server the program carry ended with 1: No space left on device"
    for error in (program, command):
        assert "df -h" in error.hint


def test_a_defect_of_a_program_comes_with_its_lines() -> None:
    error = failures.of_program("old", "look", 1, TRACEBACK.format("KeyError: 'root'"))

    assert error.fact.splitlines()[0] == "on the old server the program look ended with 1: KeyError: 'root'"
    assert "line 200" in error.fact
    assert "defect" in error.hint


def test_what_mariadb_says_of_a_known_cause_is_said_in_words() -> None:
    error = failures.of_mariadb("old", "mariadb: exit 1: ERROR 2002 (HY000): Can't connect to local server")

    assert error is not None
    assert error.fact == "MariaDB on the old server does not answer: ERROR 2002 (HY000): Can't connect to local server"
    assert failures.of_mariadb("old", "ERROR 1064: syntax") is None


def test_a_missing_table_is_no_matter_of_logging_in() -> None:
    error = failures.of_mariadb("old", "exit 1: ERROR 1146 (42S02): Table 'mailserver.virtual_aliases' doesn't exist")

    assert error is not None
    assert "virtual_aliases" in error.fact
    assert "create it empty" in error.hint
