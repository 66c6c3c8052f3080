"""What goes back to the old server after the new one was live: each letter once, with its flags, and nothing else touched."""

from __future__ import annotations

import base64
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove import return_trip
from mailmove.moves import copied, late_senders
from mailmove.remote import carry, ledger
from mailmove.return_trip import Copy, Mailbox, compare, pairs


def user(name: str, **letters: tuple[str, str, str]) -> list[dict[str, Any]]:
    """A mailbox's facts; each letter is (folder, flags, digest)."""
    facts: list[dict[str, Any]] = [{"kind": "user", "user": name, "files": {}, "subscriptions": []}]
    for folder in sorted({folder for folder, _, _ in letters.values()} or {""}):
        facts.append({"kind": "folder", "folder": folder, "path": f"/v/{folder}", "next": 5})
        rows = [
            [base, 1, flags, [], 0, 0, digest, "", ""] for base, (at, flags, digest) in letters.items() if at == folder
        ]
        facts.append({"kind": "letters", "rows": rows})
    return facts


def one(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> return_trip.Difference:
    ((before, now),) = pairs(old, new)
    return compare(before, now)


def test_what_arrived_is_carried_and_what_is_there_is_not() -> None:
    found = one(user("a@x", m1=("", "S", "d1")), user("a@x", m1=("", "S", "d1"), m2=("", "FS", "d2")))

    assert [(c.base, c.flags) for c in found.arrived] == [("m2", "FS")]
    assert found.marked == [] and found.named == []


def test_a_letter_moved_on_new_is_not_carried_a_second_time() -> None:
    found = one(user("a@x", m1=("", "", "d1")), user("a@x", m9=("Archive", "S", "d1")))

    assert found.arrived == []
    assert [(c.folder, c.base, c.flags) for c in found.marked] == [("", "m1", "S")]
    assert "stays where it was" in found.named[0]


def test_a_letter_copied_on_new_is_another_letter() -> None:
    found = one(user("a@x", m1=("", "", "d1")), user("a@x", m1=("", "", "d1"), m9=("Archive", "", "d1")))

    assert [c.base for c in found.arrived] == ["m9"]


def test_deleted_on_new_is_named_and_flags_follow() -> None:
    found = one(user("a@x", m1=("", "", "d1"), m2=("", "", "d2")), user("a@x", m1=("", "RS", "d1")))

    assert [(c.base, c.flags) for c in found.marked] == [("m1", "RS")]
    assert found.named == ["1 letters deleted on new: still there on old"]


def test_mailboxes_of_one_server_alone_do_not_shift_the_others() -> None:
    old = [*user("b@a.x"), *user("a@b.x", m1=("", "", "")), *user("z@b.x")]
    new = [*user("q@a.x", n1=("", "", "")), *user("a@b.x", m1=("", "", ""))]

    found = {now.user: (before.user if before else None) for before, now in pairs(old, new)}
    assert found == {"q@a.x": None, "a@b.x": "a@b.x"}


def test_what_was_marked_on_new_alone_is_known_and_nothing_is_taken_away() -> None:
    old = user("a@x", m1=("", "S", "d"), m2=("A", "", "d"), m3=("", "F", "d"), m4=("", "", "d"), m5=("", "", "d"))
    new = user("a@x", m1=("", "", "d"), m2=("A", "RS", "d"), m3=("", "DFT", "d"), m4=("A", "S", "d"), m6=("", "S", "d"))
    for facts, words in ((old, ["$a"]), (new, ["$a", "$b", "unknown-3"])):
        next(row for fact in facts if fact["kind"] == "letters" for row in fact["rows"] if row[0] == "m3")[3] = words
    for fact in old:
        fact["guid"] = f"guid of {fact.get('folder')}"

    found = {each.base: (each.folder, each.guid, each.more) for each in return_trip.marked_on_new(old, new)}

    assert found == {
        "m2": ("A", "guid of A", ("\\Seen", "\\Answered")),
        "m3": ("", "guid of ", ("$b",)),
    }
    assert list(return_trip.marked_on_new(old, old)) == []


BOXES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.sampled_from(["", "A"]), st.sampled_from(["", "S"]), st.sampled_from("123")),
    max_size=5,
)


@given(BOXES, BOXES)
def test_after_it_old_has_every_content_that_new_has_as_often(old: dict[str, Any], new: dict[str, Any]) -> None:
    old = {
        base: (at, flags, base + digest) if base in "abc" else (at, flags, digest)
        for base, (at, flags, digest) in old.items()
    }
    new = {base: old.get(base, value) for base, value in new.items()}  # a file's bytes never change
    before, now = Mailbox("u"), Mailbox("u")
    for box, letters in ((before, old), (now, new)):
        for base, (at, flags, digest) in letters.items():
            box.letters[base] = Copy(at, at, base, flags, (), 1, digest)

    found = compare(before, now)
    after = [c.digest for c in before.letters.values()] + [c.digest for c in found.arrived]

    for digest in {c.digest for c in now.letters.values()}:
        wanted = sum(c.digest == digest for c in now.letters.values())
        kept = sum(c.digest == digest for c in before.letters.values())
        assert max(wanted, kept) <= after.count(digest) <= wanted + kept
        assert not found.arrived or after.count(digest) - kept <= wanted


# the program on the servers


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for leaf in ("cur", "new", "tmp"):
        (tmp_path / "x.org/anna/Maildir" / leaf).mkdir(parents=True)
    return tmp_path


def letter(base: str = "17.M1.mail", **more: Any) -> dict[str, Any]:
    data = base64.b64encode(b"Subject: x\n\nhello\n").decode()
    return {"folder": "x.org/anna/Maildir", "base": base, "flags": "S", "where": "cur", "mtime": 10**18,
            "keywords": [], "data": data, **more}  # fmt: skip


def test_a_letter_comes_once_with_date_flags_and_keywords(store: Path) -> None:
    taker = carry.Store(str(store))
    home = store / "x.org/anna/Maildir"
    (home / "dovecot-keywords").write_text("0 Junk\n")

    assert taker.take(letter(keywords=["$Label1", "Junk"])) is True
    assert carry.Store(str(store)).take(letter(keywords=["$Label1"])) is False

    (path,) = (home / "cur").iterdir()
    assert path.name == "17.M1.mail:2,Sab"
    assert path.stat().st_mtime_ns == 10**18
    assert (home / "dovecot-keywords").read_text() == "0 Junk\n1 $Label1\n"
    assert list((home / "tmp").iterdir()) == []


def test_where_there_is_no_room_nothing_half_written_stays(store: Path) -> None:
    home = store / "x.org/anna/Maildir"
    large = {**letter(), "data": base64.b64encode(b"x" * 5000).decode()}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            carry.Store(str(store)).take(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert list((home / "tmp").iterdir()) == list((home / "cur").iterdir()) == []
    assert carry.Store(str(store)).take(large) is True


def test_a_folder_that_old_never_had_is_made_like_its_neighbours(store: Path) -> None:
    carry.Store(str(store)).take(letter(folder="x.org/anna/Maildir/.Neu.&APw-", where="new", flags=""))

    assert [p.name for p in (store / "x.org/anna/Maildir/.Neu.&APw-/new").iterdir()] == ["17.M1.mail"]


def test_nothing_is_written_outside_or_through_a_link(store: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (store / "x.org/anna/Maildir/.Link").symlink_to(outside)
    for bad in ("x.org/anna/Maildir/.Link", "../elsewhere", "/etc"):
        with pytest.raises(SystemExit):
            carry.Store(str(store)).take(letter(folder=bad))
    for bad in ("../../x", ".hidden", ""):
        with pytest.raises(SystemExit):
            carry.Store(str(store)).take(letter(base=bad))

    assert list(outside.iterdir()) == []


def test_no_uid_that_new_has_shown_is_given_out_again(store: Path) -> None:
    path = store / "x.org/anna/Maildir/dovecot-uidlist"
    path.write_text("3 V1 N10 Gabc\n1 :a\n")

    carry.Store(str(store)).raise_next("x.org/anna/Maildir", 25)
    carry.Store(str(store)).raise_next("x.org/anna/Maildir", 7)

    assert path.read_text() == "3 V1 N25 Gabc\n1 :a\n"


def test_what_is_written_down_is_what_a_copy_takes_back(tmp_path: Path) -> None:
    path = tmp_path / "copied.log"
    path.write_text(f"- - [0] >f+++++++++ {copied.printable('x.org/jürgen/Maildir/cur/1.a,S=3')}\n")

    assert list(ledger.entries(str(path))) == [(b"f", os.fsencode("x.org/jürgen/Maildir/cur/1.a,S=3"), True)]


# late senders

NAMES = st.text(min_size=1, max_size=30)


@given(st.lists(NAMES), st.lists(st.tuples(NAMES, NAMES)))
def test_no_name_adds_a_line_to_the_table_of_people(users: list[str], aliases: list[tuple[str, str]]) -> None:
    facts = SimpleNamespace(users=users, aliases=[list(row) for row in aliases])
    text = late_senders.people(SimpleNamespace(facts=facts))  # type: ignore[arg-type]

    lines = text.splitlines()[1:]
    known = {*users, *(source for source, _ in aliases)}
    assert text.count("\n") == len(lines) + 1
    assert all(line.endswith(" OK") and line.removesuffix(" OK") in known for line in lines)

    text = late_senders.themselves(SimpleNamespace(facts=facts))  # type: ignore[arg-type]
    pairs = [line.split(" ") for line in text.splitlines()[1:]]
    assert all(name == again and name in known for name, again in pairs)


def test_on_the_way_back_each_name_leads_to_itself_a_catch_all_too() -> None:
    facts = SimpleNamespace(
        users=["john@example.org", "o'brien@example.org"],
        aliases=[["john@example.org", "x@y"], ["@example.net", "a@b"], ["a,b@example.org", "c@d"]],
    )
    text = late_senders.themselves(SimpleNamespace(facts=facts))  # type: ignore[arg-type]

    assert text.splitlines()[1:] == [
        "@example.net @example.net",
        "john@example.org john@example.org",
        "o'brien@example.org o'brien@example.org",
    ]
