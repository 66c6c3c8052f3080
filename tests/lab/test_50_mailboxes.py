"""The copies of the mailboxes against real Dovecots: at work while copies run, and with faults planted afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from checks import dovecot_view, mailstore, strangers
from mailmove import stores
from mailmove.compare import Kind
from mailmove.journal import Event, Journal
from mailmove.lab.lab import Lab
from mailmove.moves.base import Runner
from mailmove.moves.cold_copy import ColdCopy
from mailmove.moves.database import CarryDatabase
from mailmove.moves.hot_copy import HotCopy
from mailmove.moves.late import LateLetters, LettersOfNew
from mailmove.moves.pull import Pull
from tests.lab.mailboxes import Bench, bench_of, refused


@pytest.fixture(scope="module")
def bench(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_of(lab, tmp_path_factory.mktemp("mailboxes")) as both:
        both.perform(CarryDatabase)
        both.perform(HotCopy)
        yield both


FOLDERS = st.sampled_from(["INBOX", "Race", "Race.Inner", "Race &AOk-", "Other"])
MADE = FOLDERS.filter(lambda name: name != "INBOX")
NUMBERS = st.integers(0, 30)
ACTS = st.one_of(
    st.tuples(st.just("deliver"), NUMBERS),
    st.tuples(st.just("append"), FOLDERS, st.integers(0, 30)),
    st.tuples(st.just("flag"), FOLDERS, NUMBERS, st.sampled_from(["+FLAGS", "-FLAGS"]), st.sampled_from(["\\Seen", "\\Flagged", "$Work"])),
    st.tuples(st.just("expunge"), FOLDERS, NUMBERS),
    st.tuples(st.sampled_from(["copy", "move"]), FOLDERS, NUMBERS, FOLDERS),
    st.tuples(st.just("create"), MADE),
    st.tuples(st.just("rename"), MADE, MADE),
    st.tuples(st.just("delete"), MADE),
    st.tuples(st.sampled_from(["subscribe", "unsubscribe"]), FOLDERS),
)  # fmt: skip
WORK = st.lists(ACTS, min_size=5, max_size=30)


@pytest.mark.timeout(1800)
@settings(
    max_examples=int(os.environ.get("MAILMOVE_RACES", "6")),
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(before=WORK, during=st.lists(WORK, min_size=1, max_size=3), late=WORK, last=WORK)
def test_whatever_people_do_during_the_copies_both_are_equal_after_the_cold_one(
    bench: Bench, before: list[Any], during: list[list[Any]], late: list[Any], last: list[Any]
) -> None:
    bench.drive([("create", "Race"), ("deliver", 1), *before])
    for work in during:
        with bench.people_at(work):
            hot = HotCopy(bench.context)
            hot.do()
        list(hot.prove())  # what it finds amiss is in doubt, and copied again
    with bench.people_at(late):  # as in the freeze, which stops Dovecot on new before
        bench.dovecot(runs=False, on=("new",))
        ColdCopy(bench.context).get_ready()
    assert "cold_copy" in bench.context.ahead
    bench.drive(last)

    bench.dovecot(runs=False)
    try:
        bench.perform(ColdCopy)
        old, new = bench.files()
        assert new == old
        bench.judge(bench.compare()[0])
    finally:
        bench.dovecot(runs=True)


LINKED = "cd /var/vmail/example.org/john/Maildir; find .One .Other -type f -links +1 -printf '%n %s %f\\n' | sed 's/:2,.*//' | sort"


@pytest.mark.timeout(600)
def test_a_letter_copied_to_another_folder_stays_one_file_also_when_only_that_folder_changed(bench: Bench) -> None:
    # Whatever lies in Other from before was copied in a downtime, as files of their own
    bench.drive([("delete", "Other"), ("create", "One"), ("create", "Other"), ("append", "One", 1)])
    bench.perform(HotCopy)
    bench.drive([("copy", "One", 0, "Other")])
    HotCopy(bench.context).do()
    bench.dovecot(runs=False)
    try:
        bench.perform(ColdCopy)
        old, new = bench.files()
    finally:
        bench.dovecot(runs=True)
    links = [server.sh(LINKED, check=True).out for server in (bench.context.old, bench.context.new)]
    for folder in ("One", "Other"):
        bench.drive([("delete", folder)])

    assert links[0].count("\n") >= 2
    assert links[1] == links[0]
    assert new == old


@pytest.mark.timeout(600)
def test_keywords_that_no_name_of_a_letter_holds_come_along(bench: Bench) -> None:
    """Maildir names hold 26 keywords a folder; more than that are in Dovecot's index only."""
    many = " ".join(f"kw{number}" for number in range(40))
    bench.drive([("create", "Many"), ("append", "Many", 1), ("append", "Many", 2), ("flag", "Many", 1, "+FLAGS", many)])
    HotCopy(bench.context).do()
    bench.drive([("flag", "Many", 0, "+FLAGS", "kw38 late")])

    bench.dovecot(runs=False)
    try:
        bench.perform(ColdCopy)
    finally:
        bench.dovecot(runs=True)
    shown = [
        server.run("doveadm", "fetch", "-u", "john@example.org", "uid flags", "mailbox", "Many", check=True).out
        for server in (bench.context.old, bench.context.new)
    ]

    assert "kw39" in shown[0]
    assert "late" in shown[0]
    assert shown[1] == shown[0]
    new = bench.context.new
    try:  # what is left of somebody who has no account any more: nobody can look into it, and nothing is wrong with that
        new.sh("cp -a /var/vmail/example.org/john /var/vmail/example.org/former", check=True)
        seen = dovecot_view.dovecot_shows_what_is_there(new)
    finally:
        new.sh("rm -r /var/vmail/example.org/former", check=True)
    bench.judge(seen)
    assert "1: former@example.org" in [each.answer for each in seen.findings]
    assert not bench.context.new.sh("grep -E 'dovecot: .*(Error|Panic)' /var/log/mail.log | grep -i index").out


@pytest.mark.timeout(600)
def test_an_index_that_was_on_new_before_all_was_copied_is_not_believed(bench: Bench) -> None:
    """It knows UIDs that were taken away on new: Dovecot would give the letters that come back others."""
    old, new = bench.context.old, bench.context.new
    bench.drive([("create", "Known"), *(("append", "Known", number) for number in range(3))])
    HotCopy(bench.context).do()
    shown = ["doveadm", "fetch", "-u", "john@example.org", "uid", "mailbox", "Known", "ALL"]
    new.run(*shown, check=True)
    new.run("doveadm", "expunge", "-u", "john@example.org", "mailbox", "Known", "uid", "2", check=True)
    bench.context.journal.forget(mailstore.RECORD)

    bench.dovecot(runs=False)
    try:
        bench.perform(ColdCopy)
    finally:
        bench.dovecot(runs=True)
    seen = [server.run(*shown, check=True).out for server in (old, new)]
    bench.drive([("delete", "Known")])

    assert "uid: 2" in seen[0]
    assert seen[1] == seen[0]


def test_a_program_that_breaks_down_on_a_server_is_no_server_that_is_not_reached(bench: Bench) -> None:
    answer = bench.context.new.run("sh", "-c", "echo so far; kill -s ABRT $$")

    assert (answer.rc, answer.out) == (134, "so far\n")


ELSEWHERE = "echo 'mail_location = maildir:~/Maildir:INDEX=/var/indexes/%u' > /etc/dovecot/conf.d/99-indexes.conf"


@pytest.mark.parametrize(
    ("role", "many", "words"),
    [("old", False, ""), ("old", True, "1: example.org/john/Maildir/.Full"), ("new", False, "without INDEX= on new")],
    ids=["on old", "on old, and hold keywords that no name holds", "on new"],
)
def test_indexes_that_lie_elsewhere_are_seen(bench: Bench, role: str, many: bool, words: str) -> None:
    both, server = (bench.context.old, bench.context.new), getattr(bench.context, role)
    bench.drive([("delete", "Many")])
    if many:
        keywords = " ".join(f"kw{number}" for number in range(27))
        bench.drive([("create", "Full"), ("append", "Full", 1), ("flag", "Full", 0, "+FLAGS", keywords)])
    server.sh(ELSEWHERE, check=True)
    server.refresh()
    try:
        evidence = mailstore.both_are_maildirs(*both)
    finally:
        server.sh("rm /etc/dovecot/conf.d/99-indexes.conf", check=True)
        server.refresh()
        bench.drive([("delete", "Full")])

    assert evidence.holds == (not words), evidence.explain()
    assert words in evidence.explain()
    bench.judge(mailstore.both_are_maildirs(*both))


QUERY = "/etc/dovecot/dovecot-sql.conf.ext"
ASKED = (
    f'cp -p {QUERY} {QUERY}.kept; sed -i "/^user_query/s|SELECT|SELECT {{}} AS {{}},|" {QUERY}; doveadm reload; sleep 1'
)
ASKED_AS_BEFORE = f"mv {QUERY}.kept {QUERY}; doveadm reload; sleep 1"
HOME = "/var/vmail/example.org/alice"


@pytest.mark.parametrize(
    ("break_it", "mend_it", "words"),
    [
        (
            ASKED.format("IF(email='alice@example.org', 'mdbox:~/mdbox', 'maildir:~/Maildir')", "mail"),
            ASKED_AS_BEFORE,
            "1\nalice@example.org: mail mdbox:~/mdbox",
        ),
        (
            f"sed 's|/%d/%n|/%d/%1n/%n|' -i.kept {QUERY}; doveadm reload; sleep 1",
            ASKED_AS_BEFORE,
            "bob@example.org: home /var/vmail/example.org/b/bob",
        ),
        (f"mkdir -p {HOME}/mdbox/storage; : > {HOME}/mdbox/storage/dovecot.map.index", f"rm -r {HOME}/mdbox", "one of Dovecot's own formats"),
        (f"mv {HOME} /srv/alice; ln -s /srv/alice {HOME}", f"rm {HOME}; mv /srv/alice {HOME}", f"1\n{HOME}: a link to a directory out"),
    ],
    ids=["somebody's mail is no Maildir", "homes one level deeper", "what is left of another format", "a home on another disk"],
)  # fmt: skip
def test_mail_that_no_copy_would_bring_is_named_before_anything_is_touched(
    bench: Bench, break_it: str, mend_it: str, words: str
) -> None:
    old, new = bench.context.old, bench.context.new
    bench.judge(mailstore.both_are_maildirs(old, new))

    old.sh(break_it, check=True)
    try:
        evidence = next(iter(HotCopy(bench.context).needs()))
    finally:
        old.sh(mend_it, check=True)

    assert not evidence.holds
    assert words in "\n".join(each.answer for each in evidence.findings)


SHOWN = ["fetch", "-u", "john@example.org", "uid flags date.received hdr.subject", "mailbox", "Late", "ALL"]


@pytest.mark.timeout(600)
def test_letters_that_reach_only_old_are_brought_over_with_new_uids(bench: Bench) -> None:
    """Both have new mail: nothing is deleted, no UID is given again, and both letters are there."""
    bench.drive([("create", "Late"), ("append", "Late", 1)])
    bench.perform(HotCopy)
    bench.dovecot(runs=False)
    ColdCopy(bench.context).do()
    bench.dovecot(runs=True)
    bench.context.journal.record("start", Event.PROVED)
    both = (bench.context.new, bench.context.old)
    since, from_then = (float(server.sh("date +%s.%N", check=True).out) for server in both)
    bench.drive([("append", "Late", 7), ("append", "Late", 8)], on="new")
    before = bench.context.new.run("doveadm", *SHOWN, check=True).out
    bench.drive([("append", "Late", 3)])

    late = strangers.late_letters(bench.context.old, bench.context.new)
    assert [(each.user, each.folder) for each in late] == [("john@example.org", "Late")]
    for _ in range(2):  # done twice equals done once
        bench.runner.perform(LateLetters(bench.context), bench.judge)
    after = bench.context.new.run("doveadm", *SHOWN, check=True).out
    evidence, _ = mailstore.nothing_is_lost(*both[::-1], bench.context.journal, since, late=from_then)

    # Should its owner delete it, it does not come back.
    bench.drive([("expunge", "Late", 3)], on="new")
    again = strangers.late_letters(bench.context.old, bench.context.new)

    # As it was: what follows is about stores that only old writes to.
    bench.context.journal.record("start", Event.UNDONE)
    for server in ("new", "old"):
        bench.drive([("delete", "Late")], on=server)
    assert after.startswith(before)
    assert again == []
    came = after[len(before) :]
    assert "uid: 4" in came
    assert "\\Flagged" in came
    assert "$Label3" in came
    assert "uid: 5" not in after
    assert evidence.holds, evidence.explain()


def test_letters_that_only_new_has_go_to_old_with_new_uids_before_the_copy(bench: Bench) -> None:
    """A move begun by hand: refused as it is; when that is wanted each late letter is on both, once, and all is equal."""
    old, new = bench.context.old, bench.context.new
    bench.drive([("create", "Hand"), ("append", "Hand", 1), ("append", "Hand", 2)])
    # A copy by hand, of which mailmove knows nothing
    home = "/var/vmail/example.org/john/Maildir/.Hand"
    packed = old.sh(f"tar -C {home} -c . | base64 -w0", check=True).out
    new.sh(f"mkdir -p {home} && base64 -d | tar -C {home} -x && chown -R vmail: {home}", stdin=packed, check=True)
    bench.drive(
        [
            ("create", "Hand.Inner &AOk-"),
            ("append", "Hand.Inner &AOk-", 5),
            ("append", "Hand", 6),
            ("append", "Hand", 7),
            ("deliver", 9),
        ],
        on="new",
    )
    bench.drive([("append", "Hand", 3), ("expunge", "Hand", 0)])
    assert len(strangers.letters_of_new(old, new)) == 5
    words = refused(bench)

    context = bench.wanting(only_on_new="bring")
    try:
        for _ in range(2):  # done twice equals done once
            Runner(context).perform(LettersOfNew(context), bench.judge)
        shown = ["fetch", "-u", "john@example.org", "uid flags hdr.subject", "mailbox"]
        hand = old.run("doveadm", *shown, "Hand", "ALL", check=True).out
        inner = old.run("doveadm", *shown, "Hand.Inner é", "ALL", check=True).out
        subscribed = old.run("doveadm", "mailbox", "list", "-s", "-u", "john@example.org", check=True).out

        # Should its owner delete one, it does not come back, and holds nothing up.
        bench.drive([("expunge", "Hand.Inner &AOk-", 0)])
        assert strangers.letters_of_new(old, new) == []
        HotCopy(bench.context).do()
        bench.dovecot(runs=False)
        bench.perform(ColdCopy)
        evidence, result = bench.compare()
        ours, theirs = bench.files()
    finally:
        bench.dovecot(runs=True)
        new.sh("rm -rf /var/backups/mailmove/mailboxes")
        bench.drive([("delete", "Hand.Inner &AOk-"), ("delete", "Hand")])
    assert "5 that old never had" in words
    assert [line for line in hand.splitlines() if line.startswith("uid:")] == ["uid: 2", "uid: 3", "uid: 5", "uid: 6"]
    assert "$Label6" in hand and "\\Flagged" in hand
    assert "uid: " in inner and "$Label5" in inner
    assert "Hand.Inner é" in subscribed.splitlines()
    assert result.equal, evidence.explain()
    assert ours == theirs


ODD = r"""
set -e
cd /var/vmail/example.org/john/Maildir; mkdir -p .Odd/cur/inner .Odd/new .Odd/tmp .OnlyNew/new .Empty .Trailing./cur ..Lead/cur '.Bad&name/cur'
put() { printf 'Subject: odd\nMessage-ID: <%s@x>\n\nbody\n' "$1" > "$1"; }
for name in 01,S=10,W=12:2,S 02,S=99999:2,S 03,W=5:2, 04:2,TS 05 07:2,S:2,R 08:1,foo 09:2,SabcZ; do put ".Odd/cur/17000000$name"; done
put .Odd/new/1700000006,S=3; put .Odd/new/1700000012; cp -p .Odd/new/1700000012 .Odd/cur/1700000012:2,S; : > .Odd/cur/1700000010:2,S
put .Odd/cur/.nfs0000001; put .Odd/cur/inner/1700000011:2,S
touch -d 1960-01-01 .Odd/cur/1700000004:2,TS; touch -d 2090-01-01 .Odd/cur/1700000005
for folder in Trailing. .Lead 'Bad&name'; do put ".$folder/cur/1700000014:2,S"; done; put .OnlyNew/new/1700000013
lists() { mkdir -p ".$1/cur" ".$1/new"; for n in 1 2 3; do put ".$1/cur/170000002$n.list:2,S"; done; printf "$2" > ".$1/dovecot-uidlist"; }
head='3 V1600000000 N4 G000000000000000000000000000000'
lists Version1 '1 1600000000 4\n1 1700000021.list:2,S\n2 1700000022.list:2,S\n3 1700000023.list:2,S\n'
lists Disorder "${head}d1\n3 :1700000021.list\n2 :1700000022.list\n1 :1700000023.list\n"
lists Twice "${head}d2\n1 :1700000021.list\n1 :1700000022.list\n2 :1700000023.list\n"
lists Lines "${head}d3\n1 :1700000021.list\n2 :1700000022.list\n3 :1700000023.list\n4 :1700000021.list\n"
lists Zero '3 V0 N4 G000000000000000000000000000000d4\n1 :1700000021.list\n2 :1700000022.list\n3 :1700000023.list\n'
lists Garbage 'garbage\n\0\0'; lists None ''; lists Same1 "${head}d5\n"; lists Same2 "${head}d5\n"
lists "$(printf 'x%.0s' $(seq 254))" ''; lists '&AOk-&AOk-' ''; lists Keywords ''; seq 0 9999 | sed 's/.*/& kw&/' > .Keywords/dovecot-keywords
for name in ..dots.. 'with space' "$(printf 'l%.0s' $(seq 230))"; do put ".Odd/cur/1700000030$name:2,FRS"; done; put .Odd/new/1700000031:2,FS
lists CutOff "${head}d6\n1 :1700000021.list\n2 :1700000022.list\n3 :1700000023.l"
lists Blank "${head}d7\n1 :1700000021.list\n\n3 :1700000023.list\n"
lists HighV1 '1 1600000000 3\n1 1700000021.list:2,S\n9 1700000022.list:2,S\n'
lists Pop3 "${head}d8\n1 P00000001abc O2 :1700000021.list\n2 P00000002abc O1 W500 :1700000022.list\n3 :1700000023.list\n"
mkdir -p .Numbered/cur .Numbered/new; printf '3 V1600000000 N500 G000000000000000000000000000000d9\n' > .Numbered/dovecot-uidlist
for name in 32:2,S,theirs 33:3,S 34,S=99999,W=1:2,S; do put ".Odd/cur/17000000$name"; done; ln -s 1700000033:3,S .Odd/cur/1700000035.link:2,S
lists CutKeywords ''
mv .CutKeywords/cur/1700000021.list:2,S .CutKeywords/cur/1700000021.list:2,Sabc; printf '0 One\n1 one\n2 Two' > .CutKeywords/dovecot-keywords
mkdir -p .INBOX/cur .INBOX/new; put .INBOX/cur/1700000014:2,S; ln -s .Odd '.Odd Items'
mkdir -p courierimapkeywords; echo x > courierimapkeywords/:list; echo 1S > maildirsize; ln -s ../../jane/Maildir/.Nowhere .Link
chown -R --no-dereference vmail: .
"""


@pytest.mark.timeout(600)
def test_an_odd_store_comes_along_as_it_is_and_holds_nothing_up(bench: Bench) -> None:
    """Wrong sizes in names, keywords nowhere named, directories that are no folders, UID lists that are none, times before and after us."""
    old, new = bench.context.old, bench.context.new
    old.sh(ODD, check=True)
    bench.perform(HotCopy)
    bench.dovecot(runs=False)
    bench.perform(ColdCopy)
    bench.dovecot(runs=True)
    since = bench.context.journal.recall("mail equal at")["new"]
    new.run("doveadm", "fetch", "-u", "john@example.org", "uid body", "mailbox", "Odd", "ALL")
    new.run("doveadm", "force-resync", "-u", "john@example.org", "*")
    ours, theirs = bench.files()

    equal, _ = mailstore.nothing_is_lost(old, new, bench.context.journal, since)
    seen = dovecot_view.dovecot_shows_what_is_there(new)
    counted = dovecot_view.quotas_count_what_is_there(new)
    nameless = next(each.answer for each in seen.findings if "takes for none" in each.asked)
    assert equal.holds, equal.explain()
    assert seen.holds, seen.explain()
    assert counted.holds, counted.explain()
    broken = [each for each in equal.findings if "Dovecot gives other UIDs" in each.answer]
    assert len(broken) == 12, broken
    kept = [
        {line.split()[0] for line in lines if "/.Odd/" in line and "/dovecot-" not in line and "/inner/" not in line}
        for lines in (ours, theirs)
    ]
    assert kept[0] == kept[1] and len(kept[0]) > 8
    assert nameless.startswith("5: ")


@pytest.mark.parametrize(
    ("role", "break_it", "mend_it", "words"),
    [
        ("old", "mv /var/vmail /var/vmail.away; mkdir /var/vmail", "rmdir /var/vmail; mv /var/vmail.away /var/vmail", "mail root"),
        ("old", "mv /var/vmail/example.org/alice /root/alice", "mv /root/alice /var/vmail/example.org/alice", "alice@example.org"),
        (
            "new",
            "echo 'Subject: early' > '/var/vmail/example.org/john/Maildir/new/1.M1P1.new'",
            "rm /var/vmail/example.org/john/Maildir/new/1.M1P1.new",
            "1 that old never had",
        ),
        ("new", "echo keep > /var/vmail/example.org/john/sieve/mine.sieve", "rm /var/vmail/example.org/john/sieve/mine.sieve", "mine.sieve"),
        ("new", "mkdir /var/vmail/sieve; echo keep > /var/vmail/sieve/all.sieve", "rm -r /var/vmail/sieve", "/var/vmail/sieve/all.sieve"),
        ("new", "ln -s /etc/dovecot/all.sieve /var/vmail/all.sieve", "rm /var/vmail/all.sieve", "/var/vmail/all.sieve"),
    ],
    ids=["another directory", "a mailbox that is not there", "a letter that came to new", "a script that was made on new",
         "a script for all of new", "a link to a script for all"],
)  # fmt: skip
def test_nothing_is_deleted_when_in_doubt(bench: Bench, role: str, break_it: str, mend_it: str, words: str) -> None:
    bench.perform(HotCopy)
    server = getattr(bench.context, role)
    assert refused(bench) == ""

    server.sh(break_it, check=True)
    try:
        said = refused(bench)
        whole = strangers.only_old_mail_is_on_new(bench.context.old, bench.context.new)  # as where nothing is known yet
    finally:
        server.sh(mend_it, check=True)

    assert words in said
    assert role == "old" or words in whole.explain()
    assert refused(bench) == ""


def test_the_temporary_key_reads_the_mail_and_nothing_else_and_is_gone_also_after_a_crash(bench: Bench) -> None:
    keys = "cat /root/.ssh/authorized_keys"
    before = bench.context.old.sh(keys, check=True).out
    pull = Pull(bench.context, "/var/vmail")
    pull.__enter__()
    ssh = f"ssh -F {pull.place}/config"
    tries = {
        "read mail": f"rsync --list-only --rsh='{ssh}' mailmove-old:example.org/",
        "run a command": f"{ssh} mailmove-old cat /etc/hostname",
        "write": f"rsync --rsh='{ssh}' /etc/hostname mailmove-old:hostname",
        "leave the mail root": f"rsync --rsh='{ssh}' mailmove-old:../../etc/hostname /tmp/",
        "forward": f"timeout 5 {ssh} -o ClearAllForwardings=no -o ExitOnForwardFailure=yes -N -L 2525:127.0.0.1:25 mailmove-old",
    }
    done = {
        what: int(bench.context.new.sh(f"{command} >/dev/null 2>&1; echo $?").out) for what, command in tries.items()
    }
    key = bench.context.new.sh(f"cat {pull.place}/key", check=True).out
    elsewhere = bench.context.migration.directory / "stolen"
    elsewhere.write_text(key)
    elsewhere.chmod(0o600)
    stolen = subprocess.run(
        ["ssh", "-F", "none", "-i", str(elsewhere), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null",
         "-o", "StrictHostKeyChecking=no", f"root@{bench.context.old.address}", "rsync --server --sender -e.LsfxC . ."],
        capture_output=True, check=False,
    )  # fmt: skip
    elsewhere.unlink()
    # As after kill -9: nobody closes it, another process comes.
    Pull._active.clear()
    Pull.sweep(bench.context)

    assert done.pop("read mail") == 0
    assert all(done.values()), done
    assert b"Permission denied" in stolen.stderr
    assert bench.context.old.sh(keys, check=True).out == before
    assert not bench.context.new.sh("ls /run/mailmove/ 2>/dev/null").out


# Runs on new: plants the fault named into john's mailbox.
PLANT = r"""
import glob, os, re, shutil, sys
os.chdir("/var/vmail/example.org/john/Maildir")
letters = sorted(glob.glob("cur/*"))
folders = sorted(glob.glob(".*/"))
def text(path):
    with open(path) as file:
        return file.read()
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
def flipped_byte():
    info = os.stat(letters[0])
    with open(letters[0], "r+b") as file:
        data = bytearray(file.read())
        data[-3] ^= 1
        file.seek(0)
        file.write(data)
    os.utime(letters[0], ns=(info.st_atime_ns, info.st_mtime_ns))
def lost_letter():
    os.unlink(letters[1])
def doubled_letter():
    double, info = letters[2].split(":")[0] + ":2,FT", os.stat(letters[2])
    shutil.copy2(letters[2], double)
    os.chown(double, info.st_uid, info.st_gid)
def lost_keyword():
    path = next(p for p in letters + glob.glob(".*/cur/*") if re.search(":2,[A-Z]*[a-z]", p))
    os.rename(path, re.sub("[a-z]+$", "", path))
def lost_flag():
    path = next(p for p in letters if p.endswith("S"))
    os.rename(path, path[:-1])
def other_uidvalidity():
    write("dovecot-uidlist", re.sub(r" V(\d)", r" V9\1", text("dovecot-uidlist"), count=1))
def reused_uid():
    lines, there = text("dovecot-uidlist").split("\n"), {p[4:].split(":")[0] for p in letters}
    one, other = [n for n, line in enumerate(lines) if n and line.partition(" :")[2].split(":")[0] in there][:2]
    (a, x), (b, y) = lines[one].split(" ", 1), lines[other].split(" ", 1)
    lines[one], lines[other] = a + " " + y, b + " " + x
    write("dovecot-uidlist", "\n".join(lines))
def lost_subscription():
    write("subscriptions", "".join(line + "\n" for line in text("subscriptions").rstrip("\n").split("\n")[:-1]))
def wrong_owner():
    os.chown(letters[3], 0, 0)
def wrong_date():
    info = os.stat(letters[4])
    os.utime(letters[4], (info.st_atime, int(info.st_mtime) + 1))
def wrong_folder():
    os.rename(letters[5], folders[0] + letters[5])
def foreign_letter():
    write("new/1.M1P1.stray", "Subject: stray\n\n")
def changed_script():
    path = glob.glob("../sieve/*.sieve")[0]
    write(path, text(path) + "# more\n")
def no_active_script():
    os.unlink("../.dovecot.sieve")
def lost_folder():
    shutil.rmtree(folders[-1])
def emptied_letter():
    info = os.stat(letters[6])
    write(letters[6], "")
    os.utime(letters[6], ns=(info.st_atime_ns, info.st_mtime_ns))
def foreign_home():
    os.chown("..", 0, 0)
def other_script():
    os.unlink("../.dovecot.sieve")
    os.symlink("sieve/none.sieve", "../.dovecot.sieve")
def no_cur():
    shutil.rmtree(folders[-1] + "cur")
def lost_mailbox():
    shutil.rmtree("../../alice")
def swapped_bytes():
    one, other = letters[7], letters[8]
    for path in (one, other):
        os.utime(path, (0, os.stat(one).st_mtime))
    os.rename(one, "tmp/x"); os.rename(other, one); os.rename("tmp/x", other)
def appended_byte():
    write(letters[9], text(letters[9]) + "\n")
def other_line_ends():
    write(letters[10], text(letters[10]).replace("\n", "\r\n"))
def linked_letter():
    os.unlink(letters[11]); os.link(letters[12], letters[11])
def letter_that_is_a_link():
    os.unlink(letters[13]); os.symlink(os.path.abspath(letters[14]), letters[13])
def recent_again():
    os.rename(letters[15], "new/" + os.path.basename(letters[15]))
def other_file_name():
    os.rename(letters[16], letters[16].replace(",S=", ",S=9"))
def swapped_keywords():
    path = next(p for p in sorted(glob.glob(".*/dovecot-keywords") + ["dovecot-keywords"]) if len(text(p).split("\n")) > 2)
    lines = [line.split(" ", 1) for line in text(path).rstrip("\n").split("\n")]
    names = [name for _, name in lines]
    write(path, "".join(f"{number} {name}\n" for (number, _), name in zip(lines, names[1:] + names[:1])))
def other_guid():
    write("dovecot-uidlist", re.sub(" G[0-9a-f]{4}", " Gffff", text("dovecot-uidlist"), count=1))
def uids_out_of_order():
    lines = text("dovecot-uidlist").split("\n")
    lines[1], lines[2] = lines[2], lines[1]
    write("dovecot-uidlist", "\n".join(lines))
def roots_uidlist():
    os.chown("dovecot-uidlist", 0, 0)
def roots_tmp():
    os.chown("tmp", 0, 0)
def readable_by_all():
    os.chmod(letters[17], 0o644)
def other_case_of_a_name():
    os.rename(folders[-1].rstrip("/"), folders[-1].rstrip("/").swapcase())
def more_subscriptions():
    write("subscriptions", text("subscriptions") + "Nowhere\n")
def rights_of_others():
    write("dovecot-acl", "anyone lr\n")
def no_maildirfolder():
    os.unlink(sorted(glob.glob(".*/maildirfolder"))[-1])  # not every folder there is made by Dovecot
def swapped_mailboxes():
    os.rename("../../alice", "../../swapped"); os.rename("../../bob", "../../alice"); os.rename("../../swapped", "../../bob")
def letter_of_another():
    os.rename(letters[18], "../../alice/Maildir/" + letters[18])
def lost_link():
    os.unlink(glob.glob(".Odd/cur/1700000035.link*")[0])
def other_link():
    path = glob.glob(".Odd/cur/1700000035.link*")[0]
    os.unlink(path); os.symlink("1700000012:2,S", path)
def other_link_to_a_folder():
    os.unlink(".Odd Items"); os.symlink(".Empty", ".Odd Items")
def lowered_next():
    write(".Numbered/dovecot-uidlist", text(".Numbered/dovecot-uidlist").replace("N500", "N5"))
def other_uidl():
    write(".Pop3/dovecot-uidlist", text(".Pop3/dovecot-uidlist").replace("P00000001abc", "P00000001abd"))
def lost_uidl():
    write(".Pop3/dovecot-uidlist", text(".Pop3/dovecot-uidlist").replace("P00000001abc ", ""))
def other_size():
    write(".Pop3/dovecot-uidlist", text(".Pop3/dovecot-uidlist").replace("W500", "W600"))
def cut_uidlist():
    write("dovecot-uidlist", text("dovecot-uidlist")[:-5])
def cut_keywords():
    path = next(p for p in sorted(glob.glob(".*/dovecot-keywords") + ["dovecot-keywords"]) if text(p).endswith("\n"))
    write(path, text(path)[:-1])
def same_name_in_other_bytes():
    os.rename(".&AOk-&AOk-", ".\u00e9\u00e9")
def a_day_in_1960():
    path = ".Odd/cur/1700000004:2,TS"
    os.utime(path, (0, os.stat(path).st_mtime + 86400))
def owners_group():
    os.chown(letters[17], -1, 0)
globals()[sys.argv[1]]()
"""
FAULTS = {
    "flipped_byte": Kind.CHANGED,  # its size and times kept
    "lost_letter": Kind.MISSING,
    "doubled_letter": Kind.DOUBLED,
    "lost_keyword": Kind.KEYWORDS,
    "lost_flag": Kind.FLAGS,
    "other_uidvalidity": Kind.UIDVALIDITY,
    "reused_uid": Kind.REUSED,
    "lost_subscription": Kind.SUBSCRIPTION,
    "wrong_owner": Kind.OWNER,
    "wrong_date": Kind.DATE,
    "wrong_folder": Kind.MOVED,
    "foreign_letter": Kind.EXTRA,
    "changed_script": Kind.FILE_CHANGED,
    "no_active_script": Kind.FILE_MISSING,
    "lost_folder": Kind.FOLDER_MISSING,
    "emptied_letter": Kind.CHANGED,  # named by the one on old
    "foreign_home": Kind.OWNER,
    "other_script": Kind.FILE_CHANGED,
    "no_cur": Kind.FOLDER_MISSING,
    "lost_mailbox": Kind.MAILBOX_MISSING,
    "swapped_bytes": Kind.CHANGED,
    "appended_byte": Kind.CHANGED,
    "other_line_ends": Kind.CHANGED,
    "linked_letter": Kind.CHANGED,
    "letter_that_is_a_link": Kind.CHANGED,
    "recent_again": Kind.FLAGS,
    "other_file_name": Kind.MOVED,
    "swapped_keywords": Kind.KEYWORDS,
    "other_guid": Kind.CONTROL,
    "uids_out_of_order": Kind.CONTROL,
    "roots_uidlist": Kind.OWNER,
    "roots_tmp": Kind.OWNER,
    "readable_by_all": Kind.OWNER,
    "other_case_of_a_name": Kind.FOLDER_MISSING,
    "more_subscriptions": Kind.SUBSCRIPTION,
    "rights_of_others": Kind.CONTROL,
    "no_maildirfolder": Kind.CONTROL,
    "swapped_mailboxes": Kind.MISSING,
    "letter_of_another": Kind.MISSING,
    "lost_link": Kind.MISSING,
    "other_link": Kind.CHANGED,
    "other_link_to_a_folder": Kind.FILE_CHANGED,
    "lowered_next": Kind.UIDNEXT,
    "other_uidl": Kind.UIDL,
    "lost_uidl": Kind.UIDL,
    "other_size": Kind.SIZE,
    "cut_uidlist": Kind.CONTROL,
    "cut_keywords": Kind.KEYWORDS,
    "same_name_in_other_bytes": Kind.FOLDER_MISSING,
    "a_day_in_1960": Kind.DATE,
    "owners_group": Kind.OWNER,
}


@pytest.fixture(scope="module")
def equal(bench: Bench) -> Iterator[Bench]:
    """Both servers at rest and equal; new's mail kept as it is, to plant faults into."""
    bench.dovecot(runs=False)
    bench.perform(ColdCopy)
    bench.context.new.sh("rm -rf /var/vmail.good && cp -a /var/vmail /var/vmail.good", check=True)
    yield bench
    bench.context.new.sh("rm -rf /var/vmail.good", check=True)
    bench.dovecot(runs=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("fault", "kind"), FAULTS.items())
def test_each_planted_fault_is_found_and_named(equal: Bench, fault: str, kind: Kind) -> None:
    new = equal.context.new
    put_back = "cd /var/vmail && rsync -a --checksum --delete /var/vmail.good/ /var/vmail/"
    new.sh(put_back, check=True)
    assert equal.compare()[1].equal

    new.run("python3", "-c", PLANT, fault, check=True)
    evidence, result = equal.compare()
    new.sh(put_back, check=True)

    assert not evidence.holds
    assert result.counts[kind] >= 1, dict(result.counts)
    words = evidence.explain()
    assert "@example.org" in words
    odd = fault in ("lost_link", "other_link", "a_day_in_1960")  # in a folder that nobody opened yet
    if kind in (Kind.CHANGED, Kind.MISSING, Kind.DOUBLED, Kind.FLAGS, Kind.DATE, Kind.MOVED) and not odd:
        assert "UID " in words
        assert "<" in words  # a Message-ID


# Compares as an admin's run does, and is killed as soon as the first mailboxes are in the journal.
KILLED = r"""
import os, signal, sys
from pathlib import Path
from checks import dovecot_view, mailstore, strangers
from mailmove import comparisons
from mailmove.journal import Journal
from mailmove.migration import load
class Plug:
    def say(self, text):
        pass
    def at(self, text, done=0, total=0):
        os.kill(os.getpid(), signal.SIGKILL)
settings, journal, at_a_time = sys.argv[1:]
comparisons.AT_A_TIME = int(at_a_time)
migration = load(Path(settings))
mailstore.nothing_is_lost(migration.old, migration.new, Journal(Path(journal), migration.id), progress=Plug())
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("compared", [True, False], ids=["before the break", "after the break"])
def test_a_comparison_that_was_killed_goes_on_and_counts_everything_once(
    equal: Bench, tmp_path: Path, compared: bool
) -> None:
    """A fault in a mailbox is told whether it was compared before the kill or after; no mailbox is compared twice."""
    old, new, migration = equal.context.old, equal.context.new, equal.migration
    put_back = "cd /var/vmail && rsync -a --checksum --delete /var/vmail.good/ /var/vmail/"
    new.sh(put_back, check=True)
    whole = equal.compare()[1]
    everybody = sorted({*stores.users(old), *stores.users(new)})
    first = everybody.index("john@example.org") + (1 if compared else 0)
    assert 0 < first < len(everybody)
    path = tmp_path / "mailmove.journal"

    try:
        if compared:
            new.run("python3", "-c", PLANT, "flipped_byte", check=True)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(equal.lab.settings_file), str(path), str(first)],
            cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        journal = Journal(path, migration.id)
        left = journal.recall("comparison: nothing lost")
        # What was compared before the break is not read again: a fault that is gone since is still told.
        new.sh(put_back, check=True)
        if not compared:
            new.run("python3", "-c", PLANT, "flipped_byte", check=True)
        evidence, result = mailstore.nothing_is_lost(old, new, journal)
        ended = journal.recall("comparison: nothing lost")
    finally:
        new.sh(put_back, check=True)

    assert left["done"] == everybody[:first]
    assert not left["completed_at"]
    assert sorted(ended["done"]) == everybody
    assert ended["breaks"] == 1
    assert ended["completed_at"]
    assert (result.mailboxes, result.folders, result.letters) == (whole.mailboxes, whole.folders, whole.letters)
    assert dict(result.counts) == {Kind.CHANGED: 1}
    assert not evidence.holds
    assert "john@example.org" in evidence.explain()
    (words,) = (each.answer for each in evidence.findings if each.asked == "the comparison")
    assert "broken off 1 times and gone on with" in words
    # Completed, it does not go on: the next one is a new one, of the stores as they are now.
    again = mailstore.nothing_is_lost(old, new, journal)[1]
    assert again.equal
    assert again.letters == whole.letters
