"""What went wrong, told to a person: the fact, and a hint what to do about it."""

from __future__ import annotations


class LabError(Exception):
    """A fact with its values, and a hint. `str()` gives both lines as they are printed."""

    def __init__(self, fact: str, hint: str) -> None:
        super().__init__(fact)
        self.fact = fact
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.fact}\nhint: {self.hint}"
