"""The comparison finds each fault, and names it. Real files, and the real program that reads them on the servers."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import mailstore as checks_of_mailstore
from mailmove.compare import Cause, Comparison, Kind, compare
from mailmove.errors import MailmoveError, ServerError
from mailmove.evidence import Examination, Verdict
from mailmove.remote import mailstore
from mailmove.stores import Fact, folder_name, header_text, is_folder_name, raw_folder_name, read_place, shown

PROGRAM = Path(__file__).parents[2] / "mailmove" / "remote" / "mailstore.py"
DATE = 1_700_000_000


def store(root: Path, depth: str = "hash", **more: object) -> list[Fact]:
    wanted = {"root": str(root), "maildir": "Maildir", "layout": "", "depth": depth, "skip": ["mailmove-probe-"]}
    wanted |= {"domains_skipped": ["probe.mailmove.invalid"], "users": None, **more}
    said = subprocess.run([sys.executable, PROGRAM], input=json.dumps(wanted).encode() + b"\n", capture_output=True)
    assert said.returncode == 0, said.stderr.decode()
    return [json.loads(line) for line in said.stdout.splitlines()]


class Folder:
    """A Maildir folder with Dovecot's control files."""

    def __init__(self, path: Path, validity: int = 1_600_000_000) -> None:
        self.path = path
        for name in ("cur", "new", "tmp"):
            (path / name).mkdir(parents=True, exist_ok=True)
        self.validity = validity
        self.lines: list[bytes] = []
        self.next = 1
        self.write_uidlist()

    def write_uidlist(self) -> None:
        head = b"3 V%d N%d G%032x\n" % (self.validity, self.next, hash(self.path.name) & 0xFFFF)
        (self.path / "dovecot-uidlist").write_bytes(head + b"".join(self.lines))

    def letter(self, base: str | bytes, flags: str = "S", body: bytes = b"hello", where: str = "cur") -> Path:
        name = os.fsdecode(base)
        path = self.path / where / (f"{name}:2,{flags}" if where == "cur" else name)
        path.write_bytes(b"Subject: about %d\nMessage-ID: <%d@x>\nDate: then\n\n" % (self.next, self.next) + body)
        os.utime(path, (DATE, DATE))
        if where == "cur":
            self.lines.append(b"%d :" % self.next + os.fsencode(path.name) + b"\n")
            self.next += 1
            self.write_uidlist()
        return path


def populate(root: Path) -> tuple[Folder, Folder]:
    home = root / "example.org" / "anna"
    inbox = Folder(home / "Maildir")
    work = Folder(home / "Maildir" / ".Work &AOk-", 1_600_000_001)
    for n in range(1, 6):
        inbox.letter(f"170000000{n}.M1P1.old,S=52", "RS")
    inbox.letter("1700000009.M1P1.old", where="new")
    for n in range(1, 4):
        work.letter(f"170000010{n}.M1P1.old", "Sa", body=b"work")
    (work.path / "dovecot-keywords").write_text("0 $Label1\n1 NonJunk\n")
    (home / "Maildir" / "subscriptions").write_text("V\t2\n\nWork &AOk-\nJunk\n")
    (home / "sieve").mkdir()
    (home / "sieve" / "roundcube.sieve").write_text("keep;")
    (home / ".dovecot.sieve").symlink_to("sieve/roundcube.sieve")
    Folder(root / "example.org" / "o'brien $(reboot)" / "Maildir").letter("1.a.b", body=b"other")
    return inbox, work


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    for side in ("old", "new"):
        populate(tmp_path / side)
    return tmp_path / "old", tmp_path / "new"


def compared(two: tuple[Path, Path], since: float | None = None) -> Comparison:
    return compare(store(two[0]), store(two[1], since=since), since=since)


def anna(root: Path) -> Path:
    return root / "example.org" / "anna" / "Maildir"


def first(root: Path, glob: str = "1700000001*") -> Path:
    return next((anna(root) / "cur").glob(glob))


def only(result: Comparison, kind: Kind, count: int = 1) -> None:
    assert dict(result.counts) == {kind: count}


def test_equal_stores_are_equal(two: tuple[Path, Path]) -> None:
    result = compared(two)

    assert result.equal
    assert (result.mailboxes, result.folders, result.letters, result.matching) == (2, 3, 10, 10)


def test_a_letter_without_a_uid_yet_may_have_one_on_new(two: tuple[Path, Path]) -> None:
    (path,) = (anna(two[1]) / "new").iterdir()
    path.rename(anna(two[1]) / "cur" / f"{path.name}:2,")
    uidlist = anna(two[1]) / "dovecot-uidlist"
    uidlist.write_bytes(uidlist.read_bytes().replace(b"N6", b"N7") + b"6 :" + path.name.encode() + b"\n")

    assert compared(two).equal


def test_a_flipped_byte_with_size_and_time_kept(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, (DATE, DATE))

    result = compared(two)

    only(result, Kind.CHANGED)
    (difference,) = result.named
    assert (difference.user, difference.folder, difference.uid) == ("anna@example.org", "INBOX", 1)
    assert difference.base.startswith("1700000001.")


def test_a_lost_letter(two: tuple[Path, Path]) -> None:
    first(two[1]).unlink()

    result = compared(two)

    only(result, Kind.MISSING)
    assert result.missing_by_user == {"anna@example.org": 1}


def test_names_alone_tell_which_letters_are_missing(two: tuple[Path, Path]) -> None:
    first(two[1]).unlink()
    (anna(two[1]) / "new" / "1800000000.M1P1.new").write_bytes(b"Subject: early\n\n")

    result = compare(store(two[0], "names"), store(two[1], "names"))

    assert dict(result.counts) == {Kind.MISSING: 1, Kind.EXTRA: 1}
    assert result.matching == 9


def test_a_letter_that_old_never_had(two: tuple[Path, Path]) -> None:
    (anna(two[1]) / "new" / "1800000000.M1P1.new").write_bytes(b"Subject: early\n\n")

    only(compared(two), Kind.EXTRA)


def test_a_doubled_letter(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    double = path.with_name(path.name.replace(":2,RS", ":2,S"))
    double.write_bytes(path.read_bytes())
    os.utime(double, (DATE, DATE))

    only(compared(two), Kind.DOUBLED)


@pytest.mark.parametrize("base", ["1800000000.M1P1.old", "1800000009.M1P1.new"], ids=["its name", "a name of new's"])
def test_a_letter_that_came_late_to_old_has_another_uid_on_new(two: tuple[Path, Path], base: str) -> None:
    """New has given the UID to a letter of its own, and nobody ever saw it on old; of letters before that it is a fault."""
    (old, _), (new, _) = (populate(root.with_name(f"later-{root.name}")) for root in two)
    two = (old.path.parents[2], new.path.parents[2])
    time.sleep(0.05)
    since = time.time()
    late = old.letter("1800000000.M1P1.old", body=b"late")
    new.letter("1800000001.M1P1.new", body=b"another")
    path = new.letter(base, body=b"late")
    path.write_bytes(late.read_bytes())
    for each in (late, path):
        os.utime(each, (since, since))

    def found(late: float) -> Comparison:
        return compare(store(two[0]), store(two[1], since=since), since=since, late=late)

    assert not found(since).counts
    assert found(since + 3600).counts[Kind.REUSED] == 1
    for each in (late, path):  # received before, and changed on old since
        os.utime(each, (DATE, DATE))
    assert found(since).counts[Kind.REUSED] == 1


def test_a_folder_that_came_late_to_old_is_another_one_on_new(two: tuple[Path, Path]) -> None:
    """Dovecot on new made it for the letter that was brought; a folder that held letters before must be the same one."""
    since = time.time()
    time.sleep(0.05)
    for n, root in enumerate(two):
        os.utime(Folder(anna(root) / ".Late", 1_700_000_000 + n).letter("1800000000.M1P1.old"), (since, since))
        uidlist = anna(root) / ".Late" / "dovecot-uidlist"
        uidlist.write_bytes(re.sub(rb"G\w+", b"G%032x" % n, uidlist.read_bytes()))

    def found(late: float) -> Comparison:
        return compare(store(two[0]), store(two[1], since=since), since=since, late=late)

    assert not found(since).counts
    assert found(since).since[Kind.UIDVALIDITY, Cause.ARRIVED] == 1
    assert found(time.time() + 3600).counts == {Kind.UIDVALIDITY: 1, Kind.CONTROL: 1}


def test_a_letter_that_is_a_link_out_of_the_store_is_seen_among_many_odd_ones(two: tuple[Path, Path]) -> None:
    for n in range(30):
        (anna(two[0]) / "cur" / f"1700000001.M{n}P1.old,S=1:2,S").write_bytes(b"of another size than its name says")
    (anna(two[0]) / "cur" / "1800000000.M1P1.old:2,S").symlink_to("/srv/letters/1")
    exam = Examination("it is the same mail", "both")

    checks_of_mailstore._odd(exam, compared(two))

    wrong = [each for each in exam.close().findings if each.verdict is not Verdict.PASSED]
    assert [each.answer for each in wrong] == ["a link out of the store, not a letter: /srv/letters/1"]


def two_files_of_one_name(root: Path) -> tuple[Path, Path]:
    """As a crash, or a copy by hand, leaves them."""
    path = first(root)
    other = path.with_name(path.name.replace(":2,RS", ":2,S"))
    shutil.copy2(path, other)
    return path, other


@pytest.mark.parametrize("which", [0, 1])
def test_of_two_files_of_one_name_each_is_compared(two: tuple[Path, Path], which: int) -> None:
    for root in two:
        pair = two_files_of_one_name(root)
    assert compared(two).equal
    pair[which].write_bytes(b"!" + pair[which].read_bytes()[1:])
    os.utime(pair[which], (DATE, DATE))

    only(compared(two), Kind.CHANGED)


def test_of_two_files_of_one_name_one_may_go_if_it_is_the_same_letter(two: tuple[Path, Path]) -> None:
    _, other = two_files_of_one_name(two[0])
    assert compared(two).equal

    other.write_bytes(b"!" + other.read_bytes()[1:])

    only(compared(two), Kind.MISSING)


def test_a_letter_in_the_wrong_folder(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    path.rename(anna(two[1]) / ".Work &AOk-" / "cur" / path.name)

    result = compared(two)

    only(result, Kind.MOVED)
    assert "now in Work é" in str(result.named[0])


def test_a_lost_keyword(two: tuple[Path, Path]) -> None:
    folder = anna(two[1]) / ".Work &AOk-" / "cur"
    path = sorted(folder.iterdir())[0]
    path.rename(path.with_name(path.name.replace(":2,Sa", ":2,S")))

    result = compared(two)

    only(result, Kind.KEYWORDS)
    assert "$Label1 on old, none on new" in str(result.named[0])


def test_keywords_are_compared_by_name_not_by_letter(two: tuple[Path, Path]) -> None:
    (anna(two[1]) / ".Work &AOk-" / "dovecot-keywords").write_text("0 NonJunk\n1 $Label1\n")

    only(compared(two), Kind.KEYWORDS, 3)


def test_what_pop3_clients_know_a_letter_by_is_no_less_than_its_uid(two: tuple[Path, Path]) -> None:
    rewrite_uidlist(two[0], (b"\n1 :", b"\n1 O7 Gabc W60 :"))

    result = compared(two)

    only(result, Kind.UIDL)
    assert "order 7, GUID abc on old" in str(result.named[0])


@pytest.mark.parametrize("at", [5, 1 << 20, 3 << 20, -1])
def test_one_byte_of_a_large_letter(two: tuple[Path, Path], at: int) -> None:
    for n, root in enumerate(two):
        path = first(root)
        with path.open("r+b") as file:
            file.truncate(5 << 20)
            if n:
                file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
                file.write(b"!")
        os.utime(path, (DATE, DATE))

    only(compared(two), Kind.CHANGED)


def test_the_bytes_of_two_letters_of_one_size_changed_places(two: tuple[Path, Path]) -> None:
    one, other = first(two[1]), first(two[1], "1700000002*")
    data = one.read_bytes(), other.read_bytes()
    assert len(data[0]) == len(data[1])
    for path, text in zip((other, one), data, strict=True):
        path.write_bytes(text)
        os.utime(path, (DATE, DATE))

    result = compared(two)

    only(result, Kind.CHANGED, 2)
    assert [each.uid for each in result.named] == [1, 2]


def test_other_ends_of_lines_are_other_bytes(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    os.utime(path, (DATE, DATE))

    result = compared(two)

    only(result, Kind.CHANGED)
    assert "bytes on old" in result.named[0].detail


def test_the_active_script_is_another_one_or_leads_nowhere(two: tuple[Path, Path]) -> None:
    active = anna(two[1]).parent / ".dovecot.sieve"
    for target in ("sieve/vacation.sieve", "sieve/none.sieve"):
        active.unlink()
        active.symlink_to(target)
        result = compared(two)

        only(result, Kind.FILE_CHANGED)
        assert f".dovecot.sieve: -> sieve/roundcube.sieve on old, -> {target} on new" in str(result.named[0])
        assert str(active) in str(result.named[0])


def test_who_may_read_a_folder_and_what_lies_beside_the_letters(two: tuple[Path, Path]) -> None:
    """What Dovecot makes anew, and the names of directories, tell nothing."""
    for root in two:
        (anna(root) / ".Work &AOk-" / "dovecot-acl").write_text("user=bob lr\n")
        (anna(root) / "dovecot-attributes").write_text("priv/comment")
        (anna(root) / "dovecot-uidvalidity").write_text(str(root))
        (anna(root) / "extra-old").mkdir()
        (anna(root) / "extra-old" / "1.lost").write_text("nobody sees it")
    assert compared(two).equal

    (anna(two[1]) / ".Work &AOk-" / "dovecot-acl").unlink()
    (anna(two[1]) / "dovecot-attributes").write_text("priv/other")
    (anna(two[1]) / "extra-old" / "1.lost").unlink()
    result = compared(two)

    assert dict(result.counts) == {Kind.CONTROL: 1, Kind.FILE_CHANGED: 1, Kind.FILE_MISSING: 1}
    words = "\n".join(map(str, result.named))
    assert "dovecot-acl" in words and f"{anna(two[0])}/extra-old/1.lost" in words
    assert str(anna(two[1]) / ".Work &AOk-") in words or str(anna(two[0]) / ".Work &AOk-") in words


def test_sieve_scripts_in_a_home_that_is_the_maildir(tmp_path: Path) -> None:
    for side in ("old", "new"):
        home = tmp_path / side / "example.org" / "anna"
        Folder(home).letter("1.a.b")
        (home / "sieve").mkdir()
        (home / "sieve" / "mine.sieve").write_text("keep;")
        (home / ".dovecot.sieve").symlink_to("sieve/mine.sieve")
    two = [tmp_path / "old", tmp_path / "new"]
    assert compare(*(store(root, maildir="") for root in two)).equal

    (tmp_path / "new/example.org/anna/sieve/mine.sieve").unlink()
    result = compare(*(store(root, maildir="") for root in two))

    only(result, Kind.FILE_MISSING)


def test_a_folder_with_no_letter_is_lost_or_is_none_to_dovecot(two: tuple[Path, Path]) -> None:
    for root in two:
        Folder(anna(root) / ".Empty")
    (anna(two[1]) / ".Empty" / "cur").rmdir()
    result = compared(two)
    only(result, Kind.FOLDER_MISSING)
    assert "cur is not there" in str(result.named[0]) and str(anna(two[1]) / ".Empty") in str(result.named[0])

    subprocess.run(["rm", "-r", anna(two[1]) / ".Empty"], check=True)
    result = compared(two)
    only(result, Kind.FOLDER_MISSING)
    assert str(anna(two[0]) / ".Empty") in str(result.named[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_home_or_a_domain_that_is_not_vmails(two: tuple[Path, Path]) -> None:
    home = anna(two[1]).parent
    for path in (home, home.parent, home / "sieve"):
        os.chown(path, 65534, 65534)
    result = compared(two)

    only(result, Kind.OWNER, 3)
    words = [str(each) for each in result.named]
    assert all("on old, nobody:nogroup" in each for each in words)
    assert all(any(f"{path}: " in each for each in words) for path in (home, home.parent, home / "sieve"))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_a_letter_that_was_stored_compressed_is_described(
    two: tuple[Path, Path], pack: Callable[[bytes], bytes]
) -> None:
    path = first(two[0])
    path.write_bytes(pack(path.read_bytes()))

    (fact,) = store(two[0], describe=[[str(anna(two[0])), path.name.split(":")[0]]])

    assert (fact["Subject"], fact["Message-ID"]) == ("about 1", "<1@x>")


@pytest.mark.parametrize(
    "store_it",
    [
        gzip.compress,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: gzip.compress(data.replace(b"\n", b"\r\r\n")),
    ],
    ids=["packed", "other line ends", "both"],
)
def test_however_dovecot_stores_a_letter_it_is_the_same_to_who_reads_it(
    two: tuple[Path, Path], store_it: Callable[[bytes], bytes]
) -> None:
    """Imported to another disk a letter is written anew (seen with 2.3.19): by its bytes it would be brought again and again."""

    def digests(root: Path, **more: object) -> list[str]:
        return [row[6] for fact in store(root, **more) if fact["kind"] == "letters" for row in fact["rows"]]

    for letter in (anna(two[1]) / "cur").iterdir():
        letter.write_bytes(store_it(letter.read_bytes()))

    assert digests(two[0]) != digests(two[1])
    assert digests(two[0], as_read=True) == digests(two[1], as_read=True)
    first(two[1]).write_bytes(store_it(b"Subject: another\n\n"))
    assert digests(two[0], as_read=True) != digests(two[1], as_read=True)


@pytest.mark.parametrize("data", [b"\x1f\x8b broken", b"BZ: a\n\n", b"\xfd7 no"])
def test_what_only_looks_compressed_is_read_as_it_is(data: bytes) -> None:
    assert mailstore.plainly(data) == data


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus =?iso-8859-1?Q?K=F6ln?=", "Grüße aus Köln"),
        ("plain", "plain"),
        ("=?nonsense?Q?x?=", "=?nonsense?Q?x?="),
        ("=?utf-8?B?broken", "=?utf-8?B?broken"),
    ],
)
def test_subjects_are_shown_decoded(raw: str, words: str) -> None:
    assert header_text(raw) == words


@given(st.text())
def test_any_subject_can_be_shown(text: str) -> None:
    shown(header_text(text)).encode("utf-8")


def test_a_letter_that_lost_its_header_is_named_by_the_one_on_old(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    path.write_bytes(b"")
    os.utime(path, (DATE, DATE))
    result = compared(two)
    result.old, result.new = {"root": str(two[0])}, {"root": str(two[1])}
    (difference,) = result.of(Kind.CHANGED)

    assert checks_of_mailstore._readable(difference) == "old"
    assert checks_of_mailstore._path_on(result, difference, "old") == str(anna(two[0]))
    assert checks_of_mailstore._path_on(result, difference, "new") == str(anna(two[1]))


def test_lost_flags(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    path.rename(path.with_name(path.name.replace(":2,RS", ":2,S")))

    only(compared(two), Kind.FLAGS)


def test_a_date_off_by_one_second(two: tuple[Path, Path]) -> None:
    os.utime(first(two[1]), (DATE + 1, DATE + 1))

    result = compared(two)

    only(result, Kind.DATE)
    assert "+1 s" in str(result.named[0])


def rewrite_uidlist(root: Path, *changes: tuple[bytes, bytes]) -> None:
    path = anna(root) / "dovecot-uidlist"
    data = path.read_bytes()
    for before, after in changes:
        assert before in data
        data = data.replace(before, after)
    path.write_bytes(data)


def test_a_changed_uidvalidity(two: tuple[Path, Path]) -> None:
    rewrite_uidlist(two[1], (b"V1600000000", b"V1600000002"))

    only(compared(two), Kind.UIDVALIDITY)


def test_a_lost_uidlist(two: tuple[Path, Path]) -> None:
    (anna(two[1]) / "dovecot-uidlist").unlink()

    assert dict(compared(two).counts) == {Kind.UIDVALIDITY: 1, Kind.UID: 5}


def test_a_uid_that_shows_another_letter(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    path.unlink()
    (anna(two[1]) / "cur" / "1800000000.M1P1.new:2,S").write_bytes(b"Subject: NEWSERVER\n\n")
    rewrite_uidlist(two[1], (b"\n1 :" + path.name.encode(), b"\n1 :1800000000.M1P1.new:2,S"))

    assert dict(compared(two).counts) == {Kind.MISSING: 1, Kind.EXTRA: 1, Kind.REUSED: 1}


def test_two_uids_swapped(two: tuple[Path, Path]) -> None:
    rewrite_uidlist(two[1], (b"\n1 :", b"\n9 :"), (b"\n2 :", b"\n1 :"), (b"\n9 :", b"\n2 :"))

    # Dovecot gives both another one besides, as they are not in order
    assert dict(compared(two).counts) == {Kind.UID: 2, Kind.REUSED: 2, Kind.CONTROL: 1}


def test_a_next_uid_that_went_back(two: tuple[Path, Path]) -> None:
    rewrite_uidlist(two[0], (b"N6", b"N60"))

    only(compared(two), Kind.UIDNEXT)


def test_a_uid_list_that_dovecot_would_set_right_by_giving_other_uids(two: tuple[Path, Path]) -> None:
    for root, change in ((two[1], (b"\n2 :", b"\n1 :")), (two[0], (b"\n2 :", b"\n2 :"))):
        rewrite_uidlist(root, change)

    result = compared(two)
    assert dict(result.counts) == {Kind.UID: 1, Kind.CONTROL: 1}
    assert "UID 1 after 1" in str(result.of(Kind.CONTROL)[0])


def test_a_uid_list_that_is_no_better_on_old_is_no_fault_of_new(two: tuple[Path, Path]) -> None:
    for root in two:
        rewrite_uidlist(root, (b"\n2 :", b"\n1 :"))

    assert compared(two).equal


@pytest.mark.parametrize("head", ["3 V0 N9 G0", "garbage", ""], ids=["UIDVALIDITY 0", "no head", "empty"])
def test_of_a_broken_uid_list_of_old_nothing_is_left_once_somebody_looks(two: tuple[Path, Path], head: str) -> None:
    uidlist = anna(two[0]) / "dovecot-uidlist"
    uidlist.write_text(f"{head}\n1 :1700000001.M1P1.old,S=52\n" if head else "")

    result = compared(two, since=time.time() + 60)

    assert result.equal
    assert [(side, "Dovecot gives other UIDs" in what) for side, _, what in result.odd] == [("old", True)]


def test_another_guid_of_a_folder(two: tuple[Path, Path]) -> None:
    rewrite_uidlist(two[1], (b" G0000", b" Gffff"))

    only(compared(two), Kind.CONTROL)


def test_another_size_in_the_uid_list(two: tuple[Path, Path]) -> None:
    rewrite_uidlist(two[0], (b"\n2 :", b"\n2 W99 :"))
    assert compared(two).equal  # Dovecot measures the letter, where nothing is said

    rewrite_uidlist(two[1], (b"\n2 :", b"\n2 W98 :"))
    only(compared(two), Kind.SIZE)


def test_a_letter_that_is_a_recent_one_again(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    path.rename(anna(two[1]) / "new" / path.name)

    only(compared(two), Kind.FLAGS)
    assert not compared(two[::-1]).equal
    assert compared(two[::-1], since=DATE).equal  # Dovecot does so, when somebody looks


def test_a_letter_whose_file_has_another_name_in_the_same_folder(two: tuple[Path, Path]) -> None:
    path = first(two[1])
    path.rename(path.with_name(path.name.replace(",S=52", ",S=53")))

    result = compared(two)
    only(result, Kind.MOVED)
    assert "its file is called otherwise, 1700000001.M1P1.old,S=53" in str(result.named[0])


@pytest.mark.parametrize("name", ["dovecot-uidlist", "subscriptions", "tmp", ".Work &AOk-/dovecot-keywords"])
def test_what_dovecot_writes_to_is_another_ones(two: tuple[Path, Path], name: str) -> None:
    (anna(two[1]) / name).chmod(0o400)

    only(compared(two), Kind.OWNER)


@pytest.mark.parametrize("name", ["new", "tmp"])
def test_a_folder_lost_a_directory(two: tuple[Path, Path], name: str) -> None:
    shutil.rmtree(anna(two[1]) / ".Work &AOk-" / name)

    only(compared(two), Kind.OWNER)


def test_an_empty_directory_of_a_home_is_lost(two: tuple[Path, Path]) -> None:
    (anna(two[0]).parent / "sieve" / "tmp").mkdir()

    only(compared(two), Kind.FILE_MISSING)


def test_acls_and_attributes(two: tuple[Path, Path]) -> None:
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry) for entry in ((1, 7, 2**32 - 1), (2, 5, 0), (4, 0, 2**32 - 1), (16, 5, 2**32 - 1), (32, 0, 2**32 - 1))
    )  # fmt: skip
    try:
        os.setxattr(anna(two[1]) / ".Work &AOk-", "system.posix_acl_access", acl)
        os.setxattr(first(two[1]), "user.note", b"mine")
        os.setxattr(anna(two[1]).parent / "sieve" / "roundcube.sieve", "user.note", b"mine")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")

    assert compared(two).counts[Kind.OWNER] == 3


def test_a_compiled_script_of_an_earlier_one_is_told_where_dovecot_would_believe_it(two: tuple[Path, Path]) -> None:
    later = DATE + 5
    for root, made in zip(two, (later, DATE - 5), strict=True):  # on old, it is younger than its script
        script = anna(root).parent / "sieve" / "roundcube.sieve"
        os.utime(script, (DATE, DATE))
        os.utime(anna(root).parent / ".dovecot.sieve", (DATE, DATE), follow_symlinks=False)
        (anna(root).parent / ".dovecot.svbin").write_bytes(b"compiled")
        os.utime(anna(root).parent / ".dovecot.svbin", (made, made))
    assert compared(two).equal

    wanted = anna(two[1]).parent / ".dovecot.svbin"
    os.utime(wanted, (later, later))
    time.sleep(mailstore.LATELY_S + 0.2)
    os.utime(anna(two[1]).parent / "sieve" / "roundcube.sieve", (DATE, DATE))  # as a copy puts it there

    result = compared(two)
    only(result, Kind.FILE_EXTRA)
    assert "compiled from an earlier script" in str(result.named[0])


def test_a_lost_pop3_uidl(two: tuple[Path, Path]) -> None:
    rewrite_uidlist(two[0], (b"\n1 :", b"\n1 Pabc.1 :"))

    only(compared(two), Kind.UIDL)


def test_a_lost_subscription(two: tuple[Path, Path]) -> None:
    (anna(two[1]) / "subscriptions").write_text("V\t2\n\nJunk\n")

    result = compared(two)

    only(result, Kind.SUBSCRIPTION)
    assert "Work é" in str(result.named[0])


def test_sieve_scripts_and_which_is_active(two: tuple[Path, Path]) -> None:
    home = anna(two[1]).parent
    (home / "sieve" / "roundcube.sieve").write_text("discard;")
    (home / "sieve" / "more.sieve").write_text("keep;")
    (home / ".dovecot.sieve").unlink()

    counts = compared(two).counts

    assert dict(counts) == {Kind.FILE_CHANGED: 1, Kind.FILE_EXTRA: 1, Kind.FILE_MISSING: 1}


def test_a_folder_and_a_mailbox_missing(two: tuple[Path, Path]) -> None:
    subprocess.run(["rm", "-r", anna(two[1]) / ".Work &AOk-", two[1] / "example.org" / "o'brien $(reboot)"], check=True)

    counts = compared(two).counts

    assert dict(counts) == {Kind.FOLDER_MISSING: 2, Kind.MAILBOX_MISSING: 1, Kind.MISSING: 4}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_wrong_owner(two: tuple[Path, Path]) -> None:
    os.chown(first(two[1]), 65534, 65534)

    only(compared(two), Kind.OWNER)


def test_names_that_are_no_text(two: tuple[Path, Path]) -> None:
    """Bytes that are no UTF-8 and newlines travel, compare and print."""
    for root in two:
        folder = Folder(Path(os.fsdecode(os.fsencode(anna(root)) + b"/.caf\xe9\nnoir")))
        folder.letter(b"1700000301.\xff\n.old", body=b"x")
    assert compared(two).equal

    for path in (Path(os.fsdecode(os.fsencode(anna(two[1])) + b"/.caf\xe9\nnoir")) / "cur").iterdir():
        path.write_bytes(b"changed")
        os.utime(path, (DATE, DATE))
    result = compared(two)

    only(result, Kind.CHANGED)
    text = str(result.named[0])
    assert "\n" not in text
    text.encode("utf-8")


def test_links_are_told_and_not_followed(two: tuple[Path, Path], tmp_path: Path) -> None:
    outside = Folder(tmp_path / "elsewhere")
    outside.letter("1.secret.x")
    (anna(two[0]) / ".Elsewhere").symlink_to(outside.path)
    (anna(two[0]) / "cur" / "5.link.x:2,S").symlink_to("/etc/passwd")

    result = compared(two)

    assert result.letters == 10
    assert sorted(what.split(":")[0] for _, _, what in result.odd) == [
        "a link out of the store",
        "a link out of the store, not a letter",
    ]


def test_probe_accounts_are_left_out(two: tuple[Path, Path]) -> None:
    Folder(two[1] / "example.org" / "mailmove-probe-1" / "Maildir").letter("1.x.y")
    Folder(two[1] / "probe.mailmove.invalid" / "anna" / "Maildir").letter("1.x.y")

    assert compared(two).equal


def test_an_empty_store_is_never_equal(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()

    assert not compared((tmp_path / "old", tmp_path / "new")).equal


def test_a_stream_that_breaks_off_proves_nothing(two: tuple[Path, Path]) -> None:
    with pytest.raises(MailmoveError, match="not told to its end"):
        compare(store(two[0]), store(two[1])[:-1])


def test_since_tells_the_work_of_people_from_a_loss(two: tuple[Path, Path]) -> None:
    """After the start on new: new letters, flags and moves are people's; an old letter whose bytes changed is not."""
    clock = max(os.stat(path).st_ctime for path in two[1].rglob("*")) + 0.001
    while os.stat(two[1]).st_ctime < clock:  # the file system's clock has ticks
        os.utime(two[1])
    (anna(two[1]) / "new" / "1800000000.M1P1.new").write_bytes(b"Subject: later\n\n")
    path = first(two[1])
    path.rename(path.with_name(path.name.replace(":2,RS", ":2,FRS")))
    moved = first(two[1], "1700000002*")
    moved.rename(anna(two[1]) / ".Work &AOk-" / "cur" / "1800000001.M1P1.new:2,RS")
    first(two[1], "1700000003*").unlink()
    changed = first(two[1], "1700000004*")
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    os.utime(changed, (DATE, DATE))

    result = compared(two, since=clock)

    assert dict(result.counts) == {Kind.MISSING: 1, Kind.CHANGED: 1}
    assert dict(result.since) == {
        (Kind.EXTRA, Cause.ARRIVED): 1,
        (Kind.FLAGS, Cause.PEOPLE): 1,
        (Kind.MOVED, Cause.PEOPLE): 1,
    }


def test_since_knows_a_renamed_and_a_deleted_folder(two: tuple[Path, Path]) -> None:
    (anna(two[1]) / ".Work &AOk-").rename(anna(two[1]) / ".Play")
    result = compared(two, since=DATE)
    assert not result.counts
    assert result.since[Kind.FOLDER_MISSING, Cause.PEOPLE] == 1

    subprocess.run(["rm", "-r", anna(two[1]) / ".Play"], check=True)
    assert compared(two, since=DATE).counts[Kind.MISSING] == 3

    guid = next(fact["guid"] for fact in store(two[0]) if fact.get("folder", "").startswith("Work"))
    record = b"\x01\0\0\0" + bytes.fromhex(guid) + (DATE + 5).to_bytes(4, "big")
    (anna(two[1]) / "dovecot.mailbox.log").write_bytes(record)
    result = compared(two, since=DATE)
    assert not result.counts
    assert result.since[Kind.MISSING, Cause.PEOPLE] == 3


def test_letters_are_described_by_what_people_know(two: tuple[Path, Path]) -> None:
    (fact,) = store(two[0], describe=[[str(anna(two[0])), first(two[0]).name.split(":")[0]]])

    assert fact == {"kind": "letter", "number": 0, "Subject": "about 1", "Date": "then", "Message-ID": "<1@x>"}


@given(st.binary(max_size=300))
def test_any_control_file_is_read_without_a_crash(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    from mailmove.remote import mailstore

    folder = tmp_path_factory.mktemp("folder")
    (folder / "dovecot-uidlist").write_bytes(data)
    (folder / "dovecot-keywords").write_bytes(data)
    (folder / "subscriptions").write_bytes(data)
    mailstore.uidlist(os.fsencode(folder))
    mailstore.keyword_names(os.fsencode(folder))
    mailstore.subscriptions(os.fsencode(folder))


@pytest.mark.parametrize(
    ("raw", "name"),
    [("", "INBOX"), ("Entw&APw-rfe", "Entwürfe"), ("A&-B", "A&B"), ("&2D3eAA-", "😀"), ("&broken", "&broken")],
)
def test_folder_names_are_shown_decoded(raw: str, name: str) -> None:
    assert folder_name(raw) == name


@given(st.text())
def test_a_folder_name_stands_on_the_disk_in_one_way(name: str) -> None:
    raw = raw_folder_name(name)

    assert folder_name(raw) == (name or "INBOX")
    assert is_folder_name("x" + raw.replace(".", "-").replace("/", "-"), "")


@pytest.mark.parametrize(
    "raw", ["Bad&name", "&AOk-&AOk-", "&AGE-", ".Lead", "Trail.", "\u00e9", "Two..dots", "~anna", "Inbox"]
)
def test_names_that_are_no_folders(raw: str) -> None:
    assert not is_folder_name(raw, "")


@given(st.text())
def test_anything_can_be_shown(text: str) -> None:
    folder_name(text)
    shown(text).encode("utf-8")
    assert "\n" not in shown(text)


@pytest.mark.parametrize(
    ("settings", "maildir", "layout"),
    [
        ({"mail_location": "maildir:~/Maildir"}, "Maildir", ""),
        ({"mail_location": "maildir:/var/vmail/%d/%n/Maildir"}, "Maildir", ""),
        ({"mail_location": "maildir:%h"}, "", ""),
        ({"mail_location": "maildir:~/Maildir:LAYOUT=fs:INDEX=/var/indexes/%u"}, "Maildir", "fs"),
        ({"mail_driver": "maildir", "mail_path": "~/Maildir"}, "Maildir", ""),
        ({"mail_driver": "maildir", "mail_path": "%{home}/mail"}, "mail", ""),
    ],
)
def test_where_mail_lies_is_read_from_dovecot(settings: dict[str, str], maildir: str, layout: str) -> None:
    place = read_place(settings, "/var/vmail", "old")
    assert (place.root, place.maildir, place.layout) == ("/var/vmail", maildir, layout)


@pytest.mark.parametrize(
    ("settings", "index"),
    [
        ({"mail_location": "maildir:~/Maildir:INDEX=/var/indexes/%u"}, "/var/indexes/%u"),
        ({"mail_driver": "maildir", "mail_path": "~/Maildir", "mail_index_path": "/var/indexes"}, "/var/indexes"),
        ({"mail_location": "maildir:~/Maildir:INDEX=MEMORY"}, ""),
        ({"mail_driver": "maildir", "mail_path": "~/Maildir", "mail_index_path": ""}, ""),
    ],
)
def test_where_indexes_lie_is_read_from_dovecot(settings: dict[str, str], index: str) -> None:
    assert read_place(settings, "/var/vmail", "new").index == index


@pytest.mark.parametrize(
    "location", ["mdbox:~/mdbox", "maildir:~/Maildir:CONTROL=/c", "mbox:~/mail", "maildir:/mail/%u", ""]
)
def test_other_stores_are_refused(location: str) -> None:
    with pytest.raises(ServerError):
        read_place({"mail_location": location}, "/var/vmail", "old")


def test_a_comparison_in_parts_comes_to_the_same(two: tuple[Path, Path]) -> None:
    first(two[1]).unlink()
    whole = compared(two)

    parts = Comparison()
    for n, user in enumerate(["anna@example.org", "o'brien $(reboot)@example.org"]):
        wanted = {"users": [user], "beside": n == 0}
        parts.merge(Comparison.read(compare(store(two[0], **wanted), store(two[1], **wanted)).plain()))

    for each in (whole, parts):
        each.old = each.new = {}
    assert parts.plain() == whole.plain()


def test_only_what_is_asked_for_is_looked_into(two: tuple[Path, Path]) -> None:
    only = {"example.org/anna": {"example.org/anna/Maildir": ["1700000001.M1P1.old,S=52"]}}
    for base in ("1700000001*", "1700000002*"):
        path = first(two[1], base)
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    result = compare(store(two[0], only=only), store(two[1], only=only))

    assert (result.mailboxes, result.folders, result.letters) == (1, 1, 6)
    assert result.counts[Kind.CHANGED] == 1
    assert result.unequal == {str(anna(two[1]))}


def told(letters: dict[int, str], owner: str = "vmail:vmail", doubled: frozenset[int] = frozenset()) -> list[Fact]:
    """One folder's facts, as the program tells them: 100 letters a line. ``letters``: number -> flags."""
    place = {"user": "anna@example.org", "folder": "", "path": "/var/vmail/example.org/anna", "guid": "1", "next": 999}
    place |= {"uidvalidity": 1, "valid": True, "full": False, "control": {}, "owners": {}, "files": {}, "broken": ""}
    rows = [
        [f"{n:05}.M1P1.old", n + 1, flags, [], DATE, 5, f"{n:064x}", f"{owner} 600", ""]
        for n, flags in letters.items()
        for _ in range(1 + (n in doubled))
    ]
    lines: list[list[list[object]]] = [[]]
    for row in rows:
        if len(lines[-1]) >= 100 and lines[-1][-1][0] != row[0]:
            lines.append([])
        lines[-1].append(row)
    home = {"user": "anna@example.org", "home": "/var/vmail/example.org/anna", "files": {}, "subscriptions": []}
    return [
        {"kind": "begin", "owner": f"{owner} 2770"},
        {"kind": "user", **home, "subscribed": 0, "deleted": []},
        {"kind": "folder", **place},
        *({"kind": "letters", "rows": line, "apart": [["cur", 1.0] for _ in line]} for line in lines if line),
        {"kind": "end", "letters": len(rows), "bytes": 5 * len(rows)},
    ]


numbers = st.sets(st.integers(0, 319), max_size=6)


@given(numbers, numbers, numbers, numbers, st.integers(0, 320))
def test_many_letters_in_a_folder_come_to_the_same_as_one_by_one(
    lost: set[int], late: set[int], read: set[int], doubled: set[int], count: int
) -> None:
    old = {n: "" for n in range(count) if n not in late}
    new = {n: "S" if n in read else "" for n in range(count) if n not in lost}

    result = compare(told(old), told(new, doubled=frozenset(doubled)))

    both = {n for n in old if n in new}
    twice = {n for n in both if n in doubled}
    expected = {
        Kind.MISSING: len(set(old) - set(new)),
        Kind.EXTRA: sum(1 + (n in doubled) for n in set(new) - set(old)),
        Kind.FLAGS: len(both & read),
        Kind.DOUBLED: len(twice),
    }
    assert result.counts == {kind: number for kind, number in expected.items() if number}
    assert result.matching == len(both - read - twice)
    assert result.letters_of.total() == len(old)


def test_many_letters_of_the_wrong_owner_are_each_found() -> None:
    letters = dict.fromkeys(range(250), "")
    new = told(letters)
    new[0] = {**new[0], "owner": "mail:mail 2770"}  # whom all mail should belong to on new

    assert compare(told(letters), new).counts == {Kind.OWNER: 250}
    assert compare(told(letters), told(letters, owner="mail:mail")).matching == 250


def test_letters_out_of_order_prove_nothing() -> None:
    wrong = told(dict.fromkeys((0, 2, 1, 3), ""))

    with pytest.raises(MailmoveError, match="out of order"):
        compare(wrong, wrong)


def test_of_folders_known_to_be_alike_only_the_letters_named_are_told(two: tuple[Path, Path]) -> None:
    inbox, work = "example.org/anna/Maildir", "example.org/anna/Maildir/.Work &AOk-"
    only = {"example.org/anna": {inbox: ["1700000001.M1P1.old,S=52"], work: []}}
    for base in ("1700000001*", "1700000002*"):
        path = first(two[1], base)
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    told = [store(root, only=only, alike=[inbox, work]) for root in two]
    result = compare(*told)

    assert [len(fact["rows"]) for fact in told[0] if fact["kind"] == "letters"] == [1]
    assert [fact["letters"] for fact in told[0] if fact["kind"] == "untold"] == [5, 3]
    assert (result.folders, result.letters, result.matching) == (2, 9, 8)
    assert result.counts == {Kind.CHANGED: 1, Kind.DATE: 1}
    assert sorted(result.letters_of.values()) == [3, 6]


BASES = st.text("12.,M", min_size=1, max_size=4)


@given(st.lists(st.tuples(BASES, st.sampled_from(["", ":2,S"]), st.booleans())), st.sets(BASES), st.booleans())
def test_of_a_uid_list_a_few_letters_are_read_as_of_all_of_it(
    letters: list[tuple[str, str, bool]], among: set[str], ended: bool
) -> None:
    lines = [f"{uid} {'P9 ' if uidl else ''}:{base}{flags}" for uid, (base, flags, uidl) in enumerate(letters, 1)]
    data = "\n".join(["3 V1600000000 N99 G" + 32 * "a", *lines]) + "\n" * ended
    with tempfile.TemporaryDirectory() as home:
        path = os.fsencode(home)
        Path(home, "dovecot-uidlist").write_text(data)
        wanted = {os.fsencode(base) for base in among}
        *head, some, _ = mailstore.uidlist(path, wanted)
        *whole, every, _ = mailstore.uidlist(path)

    assert head == whole
    assert some == {base: every[base] for base in wanted & set(every)}


def test_public_folders_beside_the_domains_are_compared_letter_by_letter(two: tuple[Path, Path]) -> None:
    for root in two:
        folder = root / "public" / ".News"
        for leaf in ("cur", "new", "tmp"):
            (folder / leaf).mkdir(parents=True)
        for number in (1, 2):
            (folder / "cur" / f"170000000{number}.x:2,").write_text(f"Subject: {number}\n\nfor all\n")
        (folder / "dovecot-uidlist").write_text("3 V1600000000 N3 Gaa\n1 :1700000001.x\n2 :1700000002.x\n")
        (root / "public" / "dovecot-acl").write_text("authenticated lrs\n")
        (root / "public-2").mkdir()
    result = compared(two)
    assert result.equal
    assert result.letters == 12

    clock = time.time() - 1
    (two[1] / "public/.News/cur/1700000001.x:2,").rename(two[1] / "public/.News/cur/1700000001.x:2,F")
    assert compared(two, since=clock).equal  # somebody flagged it
    (two[1] / "public/.News/cur/1700000002.x:2,").unlink()
    (two[1] / "public/dovecot-acl").unlink()
    result = compared(two)

    assert dict(result.counts) == {Kind.FLAGS: 1, Kind.MISSING: 1, Kind.FILE_MISSING: 1}
    assert "public/dovecot-acl" in "\n".join(map(str, result.named))


def test_what_somebody_alone_has_read_of_a_shared_folder_is_compared(two: tuple[Path, Path]) -> None:
    """What Dovecot on new made of its own says nothing."""
    for root in two:
        shared = anna(root) / "shared" / "bert@example.org" / ".Team"
        shared.mkdir(parents=True)
        (shared / "dovecot.index.pvt.log").write_text("read")
        (anna(root) / "dovecot-acl-list").write_text(str(root))
    (anna(two[1]) / "shared" / "dovecot.index.pvt").write_text("made by looking")
    assert compared(two).equal

    (shared / "dovecot.index.pvt.log").unlink()
    (anna(two[0]).parent / "dovecot.index.pvt").write_text("beside the Maildir")

    assert dict(compared(two).counts) == {Kind.FILE_MISSING: 2}


def test_keys_in_a_maildir_are_missed_also_when_people_are_back(two: tuple[Path, Path]) -> None:
    (anna(two[0]) / "dovecot-attributes").write_text("priv/keys")

    result = compared(two, since=DATE)

    assert result.counts[Kind.FILE_MISSING] == 1


def test_letters_stored_compressed_or_encrypted_are_not_odd(two: tuple[Path, Path]) -> None:
    for root in two:
        for number, data in enumerate((b"\x1f\x8bx", b"CRYPTED\x03\x07x", b"plain")):
            path = anna(root) / "cur" / f"180000000{number}.x,S=100:2,"
            path.write_bytes(data)
            os.utime(path, (DATE, DATE))

    odd = [path for _, path, what in compared(two).odd if "its name says" in what]

    assert len(odd) == 2 and all("1800000002" in path for path in odd)
