"""Moves that begin with mail on the new server: what people did there is brought, named, or left; never lost in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from checks import mailstore, strangers
from mailmove.errors import MoveFailed, Refused
from mailmove.journal import Event
from mailmove.lab.lab import Lab
from mailmove.moves.base import Runner
from mailmove.moves.cold_copy import ColdCopy
from mailmove.moves.database import CarryDatabase
from mailmove.moves.folder_names import FolderNames
from mailmove.moves.hot_copy import HotCopy
from mailmove.moves.late import LettersOfNew
from tests.lab.mailboxes import Bench, bench_of, refused

JOHN = "/var/vmail/example.org/john"
# letter FOLDER NAME BYTES
LETTER = r"""
set -e; umask 077; cd /var/vmail/example.org
letter() {
    mkdir -p "$1/cur" "$1/new" "$1/tmp"
    { printf 'Subject: %s\nMessage-ID: <%s@left>\nDate: Fri, 27 Nov 2026 10:00:00 +0000\n\n' "$2" "$2"
      head -c "$3" /dev/zero | tr '\0' x | fold; } > "$1/cur/1700000000.$2.mail:2,S"
    chown -R vmail: "$1"
}
"""


# Old keeps its mail on another disk, to which its place is a link.
ELSEWHERE = """
systemctl stop dovecot.socket dovecot.service
mv /var/vmail /srv/mail && ln -s /srv/mail /var/vmail
systemctl start dovecot
"""


@pytest.fixture(scope="module")
def bench(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_of(lab, tmp_path_factory.mktemp("joined")) as both:
        both.context.old.sh(ELSEWHERE, timeout_s=600, check=True)
        both.context.old.refresh()
        both.perform(CarryDatabase)
        yield both


def equal_after_the_last_copies(bench: Bench) -> None:
    HotCopy(bench.context).do()
    bench.dovecot(runs=False)
    try:
        bench.perform(ColdCopy)
        evidence, result = bench.compare()
        old, new = bench.files()
    finally:
        bench.dovecot(runs=True)
    bench.context.journal.record("cold_copy", Event.UNDONE)  # what follows is before the evening again
    assert result.equal, evidence.explain()
    assert old == new


@pytest.mark.timeout(900)
def test_what_people_did_on_new_before_the_first_copy_is_kept(bench: Bench) -> None:
    """A copy by hand, and work on it: marks come to old as well, what is overwritten is kept aside, all of it is said."""
    old, new = bench.context.old, bench.context.new
    bench.drive([("create", "Marks"), *[("append", "Marks", number) for number in (1, 2, 3)]])
    packed = old.sh(f"tar -C {JOHN} -c . | base64 -w0", check=True).out
    new.sh(f"mkdir -p {JOHN} && base64 -d | tar -C {JOHN} -x && chown -R vmail: {JOHN}", stdin=packed, check=True)
    bench.drive(
        [
            ("flag", "Marks", 0, "+FLAGS", "\\Seen"),
            ("flag", "Marks", 1, "+FLAGS", "$Mine"),
            ("flag", "Marks", 2, "+FLAGS", "\\Deleted \\Draft"),
        ],
        on="new",
    )
    script = new.sh(f"cd {JOHN}/sieve && ls *.sieve | head -n 1", check=True).out.strip()
    new.sh(f"echo '# changed on new' >> {JOHN}/sieve/{script}", check=True)
    bench.drive([("flag", "Marks", 0, "+FLAGS", "\\Answered")])

    said = strangers.marks_of_new_are_seen(old, new, wanted=False)
    context = bench.wanting(only_on_new="bring")
    for _ in range(2):  # done twice equals done once
        Runner(context).perform(LettersOfNew(context), bench.judge)
    shown = ["fetch", "-u", "john@example.org", "uid flags", "mailbox", "Marks", "ALL"]
    flags = old.run("doveadm", *shown, check=True).out
    bench.perform(HotCopy)
    aside = new.sh("cat /var/backups/mailmove/mailboxes/*/example.org/john/sieve/*.sieve", check=True).out
    # From now on what old lacks was taken away there.
    bench.drive([("flag", "Marks", 0, "-FLAGS", "\\Seen")])
    Runner(context).perform(LettersOfNew(context), bench.judge)
    later = old.run("doveadm", *shown, check=True).out
    equal_after_the_last_copies(bench)

    assert said.holds
    words = {each.asked: each.answer for each in said.findings}
    assert "Marks" in words["\\Seen"] and '"appended"' in words["$Mine"]
    one, two, three = (set(re.findall(r"[\\$]\w+", line)) for line in re.findall("flags: (.*)", flags))
    assert one == {"\\Seen", "\\Answered", "\\Flagged", "$Label1"}
    assert two == {"\\Flagged", "$Label2", "$Mine"}
    assert three == {"\\Flagged", "$Label3"}
    assert "# changed on new" in aside
    assert "\\Seen" not in re.findall("flags: (.*)", later)[0]


LEFT_OUT = r"""
letter 'john/Maildir/.Bad&name' nameless 10
letter 'john/Maildir/.Line&AAo-feed' newline 10
letter john/Maildir/.Big big 300000
letter john/Maildir/.Big small 10
letter alice/Maildir over 5000
letter ivan/Maildir fits 10
"""
TIGHT = r"""
mariadb mailserver -e "UPDATE virtual_users SET quota=1 WHERE email='alice@example.org'"
printf 'plugin {\n  quota_max_mail_size = 100k\n}\n' > /etc/dovecot/conf.d/99-small.conf
"""
ROOMY = r"""
mariadb mailserver -e "UPDATE virtual_users SET quota=0 WHERE email='alice@example.org'"
rm -f /etc/dovecot/conf.d/99-small.conf
"""


@pytest.mark.timeout(900)
def test_a_letter_that_old_does_not_take_is_named_and_stays_on_new(bench: Bench) -> None:
    """Over quota, too large, in a directory that is no folder to Dovecot, or no new one: never written down as a copy, never deleted."""
    old, new = bench.context.old, bench.context.new
    context = bench.wanting(only_on_new="bring")
    new.sh(LETTER + LEFT_OUT, check=True)
    stranger = "example.org/nobody/Maildir"
    new.sh(f"{LETTER}\nletter nobody/Maildir alone 10", check=True)
    with pytest.raises(Refused) as nobody:
        Runner(context).perform(LettersOfNew(context), bench.judge)
    new.sh(f"rm -r /var/vmail/{stranger.removesuffix('/Maildir')}", check=True)

    old.sh(TIGHT, check=True)
    try:
        with pytest.raises(MoveFailed) as failed:
            Runner(context).perform(LettersOfNew(context), bench.judge)
        left = {each.name.split(".")[1] for each in strangers.letters_of_new(old, new)}
        proof = strangers.letters_of_new_are_on_old(old, new, wanted=True)
        copied = new.sh(f"cat {mailstore.LEDGER}", check=True).out
        guards = refused(bench)
        HotCopy(bench.context).do()  # as if nothing had held it up
        there = new.sh("cd /var/vmail && find . -name '1700000000.*' -printf '%f\\n' | sort", check=True).out
    finally:
        old.sh(ROOMY, check=True)
    new.sh(f"cd {JOHN}/Maildir && mv '.Bad&name' .Good && mv '.Line&AAo-feed' .Line", check=True)
    for _ in range(2):
        Runner(context).perform(LettersOfNew(context), bench.judge)
    after = strangers.letters_of_new(old, new)
    equal_after_the_last_copies(bench)
    on_old = old.sh("cd /var/vmail && grep -rl '@left>' . | wc -l", check=True).out.strip()

    assert "nobody@example.org" in str(nobody.value)
    # Dovecot 2.3.13 says it does not take what is over quota or too large, breaks down, and has taken it all the same.
    assert {"nameless", "newline"} <= left <= {"nameless", "newline", "big", "over"}
    assert '"newline", Fri, 27 Nov 2026 10:00:00 +0000, <newline@left>' in str(failed.value)
    assert "1700000000.newline.mail" in str(failed.value)
    assert not proof.holds
    for name in left:
        assert f'"{name}"' in proof.explain() and f"/*/1700000000.{name}.mail" in proof.explain()
        assert f".{name}.mail" not in copied
        assert f".{name}.mail" in there
    for name in {"fits", "small", "big", "over"} - left:
        assert f".{name}.mail" in copied
    assert f"{len(left)} that old never had" in guards
    assert after == []
    assert on_old == "6"


NAMESPACE = r"""
printf 'namespace inbox {{\n  prefix = INBOX{0}\n  separator = {0}\n}}\n' > /etc/dovecot/conf.d/99-prefix.conf
systemctl restart dovecot
"""
NO_NAMESPACE = "rm -f /etc/dovecot/conf.d/99-prefix.conf; systemctl restart dovecot"
# Every one is a name that Dovecot takes.
NAMES = [".St*r", ".Star", ".100%", '."It\'s" & more'.replace("&", "&-"), ".&ANw-ber.Sub $(x)"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("separator", ["", ".", "/"], ids=["as the guide has it", "INBOX.", "INBOX slash"])
def test_letters_come_into_the_same_folders_whatever_these_are_called(bench: Bench, separator: str) -> None:
    both = old, new = bench.context.old, bench.context.new
    context = bench.wanting(only_on_new="bring")
    mark = {"": "guide", ".": "dot", "/": "slash"}[separator]
    try:
        if separator:
            for server in both:
                server.sh(NAMESPACE.format(separator), check=True)
                server.refresh()
        HotCopy(bench.context).do()
        words = [
            f'letter "$PWD/john/Maildir/$1" {mark}-inbox 10',
            *[f'letter "john/Maildir/${n}" {mark}-{n} 10' for n in range(2, len(NAMES) + 2)],
        ]
        new.sh("\n".join([LETTER, *words]), "", *NAMES, check=True)
        for _ in range(2):
            Runner(context).perform(LettersOfNew(context), bench.judge)
        found = old.sh(FOUND % ("john", mark), check=True).out
        subscribed = old.sh(f"cat {JOHN}/Maildir/subscriptions", check=True).out
        equal_after_the_last_copies(bench)
    finally:
        for server in both:
            server.sh(NO_NAMESPACE, check=True)
            server.refresh()

    assert sorted(found.splitlines()) == sorted(["1 .", *[f"1 ./{name}" for name in NAMES]])
    assert "100%" in subscribed


RENAMES = r"""
for name in 'INBOX.St*r' INBOX.Star 'St*r' 'INBOX.It'\''s "x"' 'INBOX.&ANw-ber' 'INBOX.&ANw-ber.Sub' \
    INBOX.Kept INBOX.Kept.Inner 'INBOX.Line&AAo-x'
do letter "ivan/Maildir/.$name" "in-$name" 10; done
mkdir -p ivan/sieve; echo 'require "fileinto"; fileinto "INBOX.Kept.Inner";' > ivan/sieve/kept.sieve; chown -R vmail: ivan
"""
UNDO_RENAMES = r"""
cd /var/vmail/example.org/ivan && grep -rlZ '<in-.*@left>' Maildir | xargs -0 rm
rm -rf Maildir/.INBOX.* Maildir/.St* Maildir/.It* Maildir/.Line* Maildir/.*ANw-ber* sieve/kept.sieve
"""
# Each directory with letters of these tests, and how many
FOUND = r"""
cd /var/vmail/example.org/%s/Maildir && grep -rlZ '<%s-.*@left>' . | tr '\n\0' '?\n' | sed 's,/\(cur\|new\)/.*,,' | sort | uniq -c |
    sed 's/^ *//'
"""


@pytest.mark.timeout(600)
def test_folders_of_earlier_editions_are_renamed_each_with_its_own_letters(bench: Bench) -> None:
    new = bench.context.new
    new.sh(LETTER + RENAMES, check=True)
    try:
        keep = FolderNames(bench.wanting(folders="keep"))
        keep.do()
        before = new.sh(FOUND % ("ivan", "in"), check=True).out
        bench.judge(*keep.prove())
        rename = FolderNames(bench.wanting(folders="rename"))
        for _ in range(2):
            rename.do()
        after = new.sh(FOUND % ("ivan", "in"), check=True).out
        bench.judge(*rename.prove())
        # Dovecot renames no folder into one whose rights are others': it is named, and waits for nobody else
        letters = "".join(
            f"letter ivan/Maildir/.{name} more 10; " for name in ("INBOX.Only.Inner", "Deep", "INBOX.Deep.Open")
        )
        new.sh(f"{LETTER}\n{letters} chmod 770 ivan/Maildir/.INBOX.Deep.Open", check=True)
        with pytest.raises(MoveFailed) as conflict:
            rename.do()
        there = "cd /var/vmail/example.org/ivan/Maildir"
        opened = new.sh(f"{there} && ls -d .INBOX.Deep.Open .Only.Inner && chmod 700 .INBOX.Deep.Open", check=True).out
        rename.do()
        new.sh(f"{there} && rm -r .Deep .Deep.Open .Only.Inner", check=True)
        rename.undo()
        undone = new.sh(FOUND % ("ivan", "in"), check=True).out
    finally:
        new.sh(UNDO_RENAMES)

    assert before.count("1 ./.INBOX.") == 8 and "1 ./.St*r" in before
    assert sorted(after.splitlines()) == sorted(
        [
            "2 ./.St*r",
            "1 ./.Star",
            '1 ./.It\'s "x"',
            "1 ./.&ANw-ber",
            "1 ./.&ANw-ber.Sub",
            "1 ./.INBOX.Kept",
            "1 ./.INBOX.Kept.Inner",
            "1 ./.INBOX.Line&AAo-x",
        ]
    )
    assert "INBOX.Deep.Open" in str(conflict.value) and "conflicting directory permissions" in str(conflict.value)
    assert opened.split() == [".INBOX.Deep.Open", ".Only.Inner"]
    assert "1 ./.INBOX.Star" in undone and "1 ./.INBOX.&ANw-ber.Sub" in undone
