"""The way back without the new server: when it is refused, and what it says it will do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailmove.errors import Refused
from mailmove.journal import Event, Journal
from mailmove.migration import Migration, Settings
from mailmove.moves import without_new
from mailmove.moves.base import Context
from mailmove.server import Connection, Server


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    settings = Settings.model_validate({"servers": {"old": "root@127.0.0.1", "new": "root@127.0.0.1"}})
    connection = Connection(None)
    migration = Migration(
        settings,
        Server("old", "root@127.0.0.1", connection),
        Server("new", "root@127.0.0.1", connection),
        tmp_path,
        connection,
    )
    journal = Journal(migration.journal_file, "a")
    yield Context(migration, journal)
    journal.close()
    connection.close()


def test_there_is_nothing_to_take_back_before_the_stop(context: Context) -> None:
    context.journal.record("database", Event.PROVED)

    with pytest.raises(Refused, match="nothing keeps people from their mail"):
        without_new.needs(context)


def test_a_new_server_that_takes_mail_is_not_gone(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    context.journal.record("freeze", Event.PROVED)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(without_new, "PORT", listening.getsockname()[1])
        with pytest.raises(Refused, match="still takes mail"):
            without_new.needs(context)


def test_only_what_was_done_is_taken_back(context: Context) -> None:
    context.journal.record("freeze", Event.PROVED)
    before = "\n".join(without_new.plan(context.journal))
    context.journal.record("start", Event.BEGUN)
    context.journal.record("switch", Event.BEGUN)
    after = "\n".join(without_new.plan(context.journal))

    assert "UID" not in before and "dns" not in before
    assert "UID" in after and "dns" in after and "not carried" in after


def test_after_it_neither_way_goes_on(context: Context) -> None:
    without_new.refuse_if_given_up(context.journal)
    context.journal.keep(without_new.GIVEN_UP, 0.0)

    with pytest.raises(Refused, match="given up"):
        without_new.refuse_if_given_up(context.journal)


def test_a_journal_is_opened_for_the_servers_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "mailmove.journal"
    Journal(path, "a").close()

    Journal(path, None).close()
    with pytest.raises(Refused, match="another pair"):
        Journal(path, "b")
