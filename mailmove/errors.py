"""Errors for people: line 1 the fact with its values, line 2 ``hint:`` what to do next."""

from __future__ import annotations


class MailmoveError(Exception):
    """Something a person has to know; nothing was changed unless the message says so.

    ``fact`` says what is, with its values and where; ``hint`` what to do next.
    """

    def __init__(self, fact: str, hint: str) -> None:
        super().__init__(fact, hint)
        self.fact = fact
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.fact}\nhint: {self.hint}"


class SettingsError(MailmoveError):
    """``mailmove.toml`` or the command line cannot be used as it stands."""


class ServerError(MailmoveError):
    """A server cannot be reached, or did not do what it was asked."""


class Unreachable(ServerError):
    """ssh does not lead to a server, or it does not let us in."""


class TookTooLong(ServerError):
    """A server did not finish a command in its time: what was asked is not known."""


class Refused(MailmoveError):
    """A move was not begun, because something it needs does not hold."""


class MoveFailed(MailmoveError):
    """A move was begun and did not come to its end, or its proof failed."""
