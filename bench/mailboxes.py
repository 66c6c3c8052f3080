"""How fast mailboxes move: mailmove side by side with the guide's commands, rsync, fpsync and Dovecot's own dsync.

`python -m bench.mailboxes [--lab NAME] [--letters N] [--runs N] [--only PART] [--write FILE]`: all on one lab, on the same stores, in
one run; each pair is measured in turn, several times, and the ratio of each turn is given with its spread. The lab's own mail goes.
"""

from __future__ import annotations

import argparse
import ctypes
import imaplib
import json
import os
import platform
import shlex
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from bench.stores import DOMAIN, user
from mailmove import comparisons, stores
from mailmove.evidence import Evidence
from mailmove.journal import Event, Journal
from mailmove.lab.lab import Lab
from mailmove.migration import load
from mailmove.moves.base import Context, Runner
from mailmove.moves.cold_copy import ColdCopy
from mailmove.moves.freeze import DOVECOT
from mailmove.moves.hot_copy import HotCopy
from mailmove.moves.service_state import Units
from mailmove.server import Server

NEWNET = 0x40000000  # CLONE_NEWNET
UNITS = "dovecot.socket dovecot.service"
PASSWORD = "bench"  # noqa: S105
USERS, FOLDERS = 100, 10
SHARE = 1000  # one letter of so many changes before each downtime
LATE = 20  # changes between the freeze's last look and the stop of Dovecot
AFTER = ", all of it after everything was ready"
# What is measured, and at which parts of --letters (Fraction): the goals are for 500,000
SIZES = {
    "first": (Fraction(1, 5),),
    "downtime": (Fraction(1, 2), Fraction(1)),
    "proof": (Fraction(1),),
    "memory": (Fraction(1, 5), Fraction(2)),
    "idle": (Fraction(2),),
}
ADD_USERS = r"""
mysql -D mailserver -e "DELETE FROM virtual_domains; INSERT INTO virtual_domains (name) VALUES ('$1')"
for n in $(seq -f %04.0f 0 $(($2 - 1))); do
    echo "INSERT INTO virtual_users (domain_id, password, email) SELECT id, '{PLAIN}$3', 'user$n@$1' FROM virtual_domains WHERE name='$1';"
done | mysql -D mailserver
"""


@dataclass
class Pair:
    """What is measured side by side: turns of (ours, theirs) in seconds."""

    title: str
    ours: str
    theirs: str
    goal: float  # ours is to be at most so much of theirs
    turns: list[tuple[float, float]] = field(default_factory=list)

    @property
    def row(self) -> str:
        """A line of the table."""
        ours, theirs = ([turn[n] for turn in self.turns] for n in (0, 1))
        ratios = sorted(a / b for a, b in self.turns)
        middle = statistics.median(ratios)
        reached = "reached" if middle <= self.goal else f"missed by {middle / self.goal - 1:.0%}"
        return (
            f"| {self.title} | {self.ours}: {_seconds(ours)} | {self.theirs}: {_seconds(theirs)} |"
            f" {middle:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}, {len(ratios)} turns) | {self.goal:.2f} | {reached} |"
        )


class Bed:
    """The lab's two servers with stores made for measuring. This process is in the lab's network from then on."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        there = os.open(f"/run/netns/{lab.namespace}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(there, NEWNET):
            raise SystemExit("cannot enter the lab's network: run it as root, with the lab up")
        self.migration = load(lab.settings_file)
        self.old, self.new = self.migration.old, self.migration.new
        self.context = Context(self.migration, Journal(directory / "mailmove.journal", self.migration.id))
        self.runner = Runner(self.context)
        self.old_units = Units(self.old, self.context.journal, "freeze")
        self.seed = 0
        self.letters = 0

    def store(self, server: Server) -> Path:
        """Where its mail lies, seen from here."""
        return self.lab.machines[server.role].root / "var/vmail"

    def make(self, letters: int) -> None:
        """A store of so many letters on old, and nothing on new."""
        self.letters = letters
        for server in (self.old, self.new):
            self.dovecot(server, runs=False)
            server.sh("rm -rf /var/vmail/*/ /var/lib/mailmove /var/backups/mailmove", timeout_s=1200, check=True)
        say(f"making a store of {letters:,} letters")
        self.script(self.old, "make", "/var/vmail", USERS, FOLDERS, letters)
        for server in (self.old, self.new):
            server.sh(ADD_USERS, DOMAIN, str(USERS), PASSWORD, check=True, timeout_s=300)
            server.sh("chown vmail:vmail /var/vmail", check=True)
            self.dovecot(server, runs=True)
            server.refresh(measure=True)
        self.forget()

    def script(self, server: Server, *words: object) -> None:
        source = Path(__file__).with_name("stores.py").read_text("utf-8")
        server.run("python3", "-c", source, *map(str, words), timeout_s=3000, check=True)

    def forget(self) -> None:
        """As if nothing was ever copied."""
        for key in ("mail: directories found equal", "mail: letters to compare", "hot copy", "mail root of new"):
            self.context.journal.forget(key)

    def empty_new(self) -> None:
        self.new.sh("rm -rf /var/vmail/*/ /var/lib/mailmove", timeout_s=1200, check=True)
        os.sync()  # or whoever comes next pays for the removal
        self.forget()

    def change(self, count: int | None = None) -> None:
        """What people do between two copies."""
        self.seed += 1
        self.script(self.old, "change", "/var/vmail", count or max(self.letters // SHARE, 10), self.seed)

    def dovecot(self, server: Server, *, runs: bool) -> None:
        server.sh(
            f"systemctl unmask {UNITS}; systemctl start dovecot"
            if runs
            else f"systemctl mask {UNITS}; systemctl stop {UNITS}",
            check=True,
        )

    def new_evening(self) -> None:
        """As if no downtime had been yet; and what was written before is on the disk, or whoever comes first pays for it."""
        self.context.journal.record(ColdCopy.name, Event.UNDONE)
        os.sync()

    def log_in(self) -> None:
        """As soon as somebody can: from outside, as people do."""
        believing = ssl.create_default_context()
        believing.check_hostname, believing.verify_mode = False, ssl.CERT_NONE
        for _ in range(2000):
            try:
                with imaplib.IMAP4(self.new.address) as box:
                    box.starttls(believing)
                    box.login(f"{user(0)}@{DOMAIN}", PASSWORD)
                return
            except (OSError, imaplib.IMAP4.error):
                time.sleep(0.02)
        raise SystemExit("nobody can log in on new")

    def hot(self) -> None:
        """A hot copy with its proof: what happens in the days before."""
        move = HotCopy(self.context)
        move.do()
        for evidence in move.prove():
            if not evidence.holds and "fresh" not in evidence.title:
                raise SystemExit(evidence.explain())

    def let_new_in(self) -> None:
        """The guide's rsync needs a login on old."""
        key = self.new.sh("test -f /root/.ssh/bench || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/bench; cat /root/.ssh/bench.pub",
                          check=True).out  # fmt: skip
        self.old.sh("cat >> /root/.ssh/authorized_keys", stdin=key, check=True)

    def rsync(self, *options: str) -> None:
        """The guide's command, on new."""
        ssh = "ssh -i /root/.ssh/bench -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        self.new.run(
            "rsync",
            *options,
            "-e",
            ssh,
            f"root@{self.old.address}:/var/vmail/",
            "/var/vmail/",
            timeout_s=6000,
            check=True,
        )

    def judge(self, *every: Evidence) -> None:
        bad = [each.explain() for each in every if not each.holds]
        if bad:
            raise SystemExit("\n".join(bad))


def say(text: str) -> None:
    """On standard error: standard output is the table."""
    print(f"{time.strftime('%T')} {text}", file=sys.stderr, flush=True)


def took(act: Callable[[], object]) -> float:
    """Seconds."""
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


def drop_caches() -> None:
    """Everything is read from the disk again."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def _ready(bed: Bed) -> None:
    """What the freeze does while people still read their mail: see Freeze.do."""
    bed.old_units.mask(*DOVECOT)
    ColdCopy(bed.context).get_ready()


def downtime(bed: Bed, runs: int, *, cold: bool, worst: bool = False) -> tuple[Pair, list[str]]:
    """From the stop of Dovecot on old to the first login on new, and what there is to say of it.

    Where ``worst``, all changes come, and the caches go, after everything was made ready; else before, and LATE changes after.
    """
    caches = "caches dropped" if cold else "caches warm"
    pair = Pair(
        f"downtime, {bed.letters:,} letters, {caches}{AFTER if worst else ''}",
        "mailmove", "the guide's commands", 1 / 20 if cold else 1 / 5,
    )  # fmt: skip
    parts: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, act: Callable[..., object]) -> Callable[..., None]:
        return lambda *given: parts[name].append(took(lambda: act(*given)))

    def ours() -> None:
        copy = ColdCopy(bed.context)
        for name in ("needs", "do", "prove"):
            part = getattr(copy, name)
            setattr(copy, name, lambda name=name, part=part: _listed(parts[name], part))
        timed("stop of Dovecot", lambda: bed.old_units.hold(*DOVECOT))()
        bed.runner.perform(copy, bed.judge)
        timed("start of Dovecot", lambda: bed.dovecot(bed.new, runs=True))()
        timed("login", bed.log_in)()

    def guide() -> None:
        bed.dovecot(bed.old, runs=False)
        bed.rsync("-va", "--delete")
        bed.dovecot(bed.new, runs=True)
        bed.new.run("doveadm", "force-resync", "-A", "*", timeout_s=6000, check=True)
        bed.log_in()

    for _ in range(runs):
        seconds = []
        for act in (ours, guide):
            for server in (bed.old, bed.new):
                bed.dovecot(server, runs=True)
            bed.hot()
            bed.new_evening()
            bed.dovecot(bed.new, runs=False)
            if not (worst and act is ours):
                bed.change()
            if cold and not worst:
                drop_caches()
            if act is ours:
                timed("made ready before", lambda: _ready(bed))()
                bed.change(None if worst else LATE)
            if cold and worst:
                drop_caches()
            seconds.append(took(act))
        pair.turns.append((seconds[0], seconds[1]))
        say(f"{pair.title}: {seconds[0]:.2f} s, the guide's {seconds[1]:.2f} s; "
            + ", ".join(f"{name} {each[-1]:.2f}" for name, each in parts.items()))  # fmt: skip
    for server in (bed.old, bed.new):
        bed.dovecot(server, runs=True)
    ready = parts.pop("made ready before")
    words = ", ".join(f"{name} {statistics.median(each):.2f}" for name, each in parts.items())
    return pair, [f"{pair.title}: {words} s; made ready before, while people read: {_seconds(ready)}."]


def _listed(times: list[float], part: Callable[[], Iterable[Evidence] | None]) -> list[Evidence]:
    began = time.monotonic()
    found = list(part() or ())
    times.append(time.monotonic() - began)
    return found


def ours_first(bed: Bed) -> None:
    """The first hot pass, with its permission."""
    move = HotCopy(bed.context)
    record = move._record()
    move._prepare()
    move._passes = []
    with move._pulling() as pull:
        move._first(pull(), record)


def sums(bed: Bed) -> None:
    """sha256sum of every file on both sides at once: the time of the slower side."""
    command = "find /var/vmail -type f -print0 | xargs -0 sha256sum > /dev/null"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda server: server.sh(command, timeout_s=6000, check=True), (bed.old, bed.new)))


def on_disk(copy: Callable[[], object]) -> float:
    """How long a copy takes until all of it is on the disk, and nothing of an earlier one is still to be written."""
    os.sync()

    def whole() -> None:
        copy()
        os.sync()

    return took(whole)


def first_copy(bed: Bed, runs: int) -> list[Pair]:
    """The first copy of all, by each tool."""
    words = f"first copy, {bed.letters:,} letters"
    plain = Pair(words, "mailmove, 4 streams", "rsync -a", 1.0)
    parallel = Pair(words, "mailmove, 4 streams", "fpsync -n 4, both disks local, no ssh", 1.0)
    dsync = Pair(words, "mailmove, 4 streams", "doveadm backup, imapc", 1.0)
    proved = Pair(f"{words}, and a full proof", "mailmove", "rsync -a, and sha256sum of both sides", 1.5)
    fpsync = shutil.which("fpsync")
    for _ in range(runs):
        bed.empty_new()
        theirs = on_disk(lambda: bed.rsync("-a"))
        theirs_proved = theirs + took(lambda: sums(bed))
        bed.empty_new()
        ours = on_disk(lambda: ours_first(bed))
        ours_proved = ours + took(lambda: comparisons.run("bench", bed.old, bed.new, bed.context.journal))
        plain.turns.append((ours, theirs))
        proved.turns.append((ours_proved, theirs_proved))
        if fpsync:
            bed.empty_new()
            argv = [fpsync, "-n", "4", "-f", "5000", f"{bed.store(bed.old)}/", f"{bed.store(bed.new)}/"]
            theirs = on_disk(lambda argv=argv: subprocess.run(argv, check=True, capture_output=True))  # type: ignore[misc]
            parallel.turns.append((ours, theirs))
        say(f"{words}: {ours:.1f} s, rsync {theirs:.1f} s; with proof {ours_proved:.1f} s and {theirs_proved:.1f} s")
    bed.empty_new()
    dsync.turns.append((ours, on_disk(lambda: _dsync(bed))))
    say(f"doveadm backup: {dsync.turns[0][1]:.1f} s")
    bed.empty_new()
    return [plain, *([parallel] if parallel.turns else []), dsync, proved]


def _dsync(bed: Bed) -> None:
    options = f"-o imapc_host={bed.old.address} -o imapc_ssl=starttls -o imapc_ssl_verify=no -o imapc_password={PASSWORD} -o mail_fsync=never"
    for number in range(USERS):
        who = f"{user(number)}@{DOMAIN}"
        bed.new.sh(f"doveadm {options} -o imapc_user={who} backup -R -u {who} imapc:", timeout_s=6000, check=True)


def proof(bed: Bed, runs: int) -> Pair:
    """Every byte on both sides."""
    pair = Pair(f"full proof, {bed.letters:,} letters", "mailmove", "sha256sum of every file, the slower side", 1.3)
    for _ in range(runs):
        theirs = took(lambda: sums(bed))
        ours = took(lambda: comparisons.run("bench", bed.old, bed.new, bed.context.journal))
        pair.turns.append((ours, theirs))
        say(f"{pair.title}: {ours:.1f} s, sha256sum {theirs:.1f} s")
    return pair


def memory(bed: Bed) -> str:
    """The most memory a full proof takes, here and on a server, in words."""
    most = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.2):
            for entry in Path("/proc").iterdir():
                try:
                    if entry.name.isdigit() and b"mailmove-remote" in (entry / "cmdline").read_bytes():
                        words = _status(entry)
                        if words["Name"].strip().startswith("python3"):
                            most = max(most, int(words.get("VmHWM", "0 kB").split()[0]))
                except (OSError, ValueError):
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    # In a process of its own, which tells it itself: a child's usage counts what its parent had taken when it began
    alone = "import sys; from bench.mailboxes import prove_alone; prove_alone(sys.argv[1])"
    child = subprocess.run(
        [sys.executable, "-c", alone, str(bed.lab.settings_file)], stdout=subprocess.PIPE, text=True, check=False
    )
    stop.set()
    watcher.join()
    if child.returncode:
        raise SystemExit("the proof failed")
    words = f"Memory of a full proof of {bed.letters:,} letters"
    return f"{words}: {int(child.stdout) / 1024:,.0f} MB here, {most / 1024:,.0f} MB on a server."  # both were KiB


def _status(process: Path) -> dict[str, str]:
    """What /proc tells of a process (proc(5))."""
    return dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())


def prove_alone(settings: str) -> None:
    """A full proof, with a journal that goes. Prints the most memory that this process took, in KiB."""
    migration = load(Path(settings))
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(Path(directory) / "mailmove.journal", migration.id)
        comparisons.run("memory", migration.old, migration.new, journal)
    migration.connection.close()
    print(_status(Path("/proc/self"))["VmHWM"].split()[0])


def idle(bed: Bed, runs: int) -> Pair:
    """A pass with nothing to do."""
    pair = Pair(f"a pass with nothing to do, {bed.letters:,} letters", "mailmove", "rsync -an", 0.1)
    record = HotCopy(bed.context)._record()
    for _ in range(runs):
        theirs = took(lambda: bed.rsync("-an"))
        ours = took(lambda: stores.changes(bed.old, bed.new, record))
        pair.turns.append((ours, theirs))
        say(f"{pair.title}: {ours:.2f} s, rsync -an {theirs:.1f} s")
    return pair


def _seconds(values: list[float]) -> str:
    return (
        f"{statistics.median(values):.2f} s"
        if len(values) == 1
        else f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
    )


HEAD = """# How fast mailboxes move

Made by `tox -e bench` (`{command}`) on {date}: {machine}. Both servers are the lab's, on this one machine and its one
disk; each line is measured in turns, ours and theirs on the same stores, and the ratio is that of each turn: median, and
from the least to the greatest. {users} users, {folders} folders; one letter of {share} changes before each downtime (half of
them new ones, the others flagged, moved or deleted; seven of ten in inboxes). A first copy ends when all of it is on the disk (sync).

The goals are for 500,000 letters and a machine with nothing else to do (1,000,000 for a pass with nothing to do); {letters:,} were
asked for here. What is the same however many letters there are (starting programs, logging in, opening the permission) weighs the
more the fewer there are.

The downtime is from the stop of Dovecot on old to the first login on new, without DNS. The guide's commands are `rsync -va --delete`,
the start of Dovecot, and `doveadm force-resync -A '*'`; ours are the looks at both servers, the copy of what changed, and its proof.
Nobody uses new yet: its Dovecot is stopped before. What the freeze does before it stops Dovecot on old is no downtime: Python and an
rsync wait for what there will be to do, and what changed since the last hot copy is copied and compared, so that only what changed in
the last second is left; here {late} letters. Caches are dropped before that, as they are at the beginning of an evening. The lines
"{after}" are the worst that can be thought of: the whole thousandth changes, and caches are dropped, between
the freeze's last look and the stop of Dovecot. The guide's commands have all of it before them each time.

| what | mailmove | theirs | ratio | goal | |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> int:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", default="bench")
    parser.add_argument("--letters", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=SIZES, action="append")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    parts = arguments.only or list(SIZES)
    lab = Lab(arguments.lab)
    lab.up()
    pairs: list[Pair] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        bed = Bed(lab, Path(directory))
        bed.let_new_in()
        for size in sorted({size for part in parts for size in SIZES[part]}):
            here = [part for part in parts if size in SIZES[part]]
            bed.make(int(arguments.letters * size))
            if "first" in here:
                pairs += first_copy(bed, arguments.runs)
            if here == ["first"]:
                continue
            say("hot copy")
            bed.hot()
            if "idle" in here:
                pairs.append(idle(bed, arguments.runs))
            if "proof" in here:
                pairs.append(proof(bed, arguments.runs))
            if "memory" in here:
                notes.append(memory(bed))
            if "downtime" in here:
                for worst in (False, True):
                    for cold in (False, True):
                        pair, words = downtime(bed, arguments.runs, cold=cold, worst=worst)
                        pairs.append(pair)
                        notes += words
        bed.migration.connection.close()
    notes += grown(pairs)
    machine = f"{os.cpu_count()} cores, {resource_words()}, Linux {platform.release()}"
    command = shlex.join(["python", "-m", "bench.mailboxes", *sys.argv[1:]])
    page = HEAD.format(command=command, date=time.strftime("%F"), machine=machine, users=USERS,
                       folders=USERS * FOLDERS, share=SHARE, letters=arguments.letters,
                       late=LATE, after=AFTER.strip(", "))  # fmt: skip
    page += "\n".join(pair.row for pair in pairs) + "\n" + "".join(f"\n{note}\n" for note in notes)
    print(page)
    if arguments.write:
        arguments.write.write_text(page, "utf-8")
    (Path(tempfile.gettempdir()) / "bench-mailboxes.json").write_text(json.dumps([vars(pair) for pair in pairs]))
    return 0


def grown(pairs: list[Pair]) -> list[str]:
    """By how much our downtime grew when the letters doubled."""
    said = []
    for caches in [f"{which}{after}" for after in ("", AFTER) for which in ("caches warm", "caches dropped")]:
        ours = [statistics.median(turn[0] for turn in pair.turns) for pair in pairs if pair.title.endswith(caches)]
        if len(ours) == 2:
            said.append(
                f"Twice the letters, {caches}: our downtime changed by {ours[1] / ours[0] - 1:+.0%} (goal: at most 10 %)."
            )
    return said


def resource_words() -> str:
    """Memory and what else is at work."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{total:.0f} GiB of memory, load {os.getloadavg()[0]:.1f} at the end"


if __name__ == "__main__":
    sys.exit(main())
