"""Whether the old store changed since the last copy began, told by two looks at it."""

from checks.mailstore import _late
from mailmove.folders import Look


def look(changed: dict[str, str], gone: tuple[str, ...] = ()) -> Look:
    return Look({}, {path: (signature, True) for path, signature in changed.items()}, list(gone), [], 1, 0.1)


def test_a_directory_in_doubt_because_of_new_is_not_one_that_changed_on_old() -> None:
    assert _late(look({}), {"": "s1"}, look({"": "s1"})) == []  # the second look was told nothing of it


def test_what_changed_came_or_went_is_named() -> None:
    first = look({"b": "t1"})
    known = {"a": "s1", "b": ""}

    assert _late(first, known, look({"b": "t1"})) == []
    assert _late(first, known, look({"a": "s2", "b": "t1", "c": "u1"})) == ["a", "c"]
    assert _late(first, known, look({"b": "t2"}, gone=("a",))) == ["a", "b"]
