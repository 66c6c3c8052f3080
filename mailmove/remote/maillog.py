"""Lines of the mail log since a time that fit a pattern: JSON lines. Reads what there is: files, rotated and compressed
ones too, else the journal. Changes nothing.

In: {"since": seconds since 1970, "pattern": regular expression, "limit": lines, "journal": bool, "boots": bool,
"marks": [[seconds, digest], …] of lines that were there once}. Out: {"at", "line"} for each; at the end one object that
says what was read and, as "gaps", between which lines others are missing. Or in: {"mark": true}; out: the mark of the log's
last line, if there is one that can be known again.

Where marks are given, "gaps" also has what systemd's journal says itself that it left out.
"""

import bisect
import bz2
import calendar
import datetime
import glob
import gzip
import hashlib
import json
import lzma
import os
import re
import subprocess
import sys
import time

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
TRADITIONAL = re.compile(r"([A-Z][a-z]{2}) +(\d+) (\d\d):(\d\d):(\d\d) ")
ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d) ")
UNIX = re.compile(r"(\d+\.\d+) ")
LONGEST = 2000
WHERE = "/var/log/mail.log"
JOURNAL = ["journalctl", "-q", "--no-pager", "-o", "short-unix", "SYSLOG_FACILITY=2"]


def stamp(line, now):
    """(seconds since 1970, rest of the line); (None, line) if it begins with no time. Traditional ones have no year."""
    found = ISO.match(line)
    if found:
        zone = found.group(3).replace("Z", "+0000").replace(":", "")
        at = datetime.datetime.strptime(found.group(1) + zone, "%Y-%m-%dT%H:%M:%S%z").timestamp()
        return at + float(found.group(2) or 0), line[found.end() :]
    found = TRADITIONAL.match(line)
    if found and found.group(1) in MONTHS:
        year = time.localtime(now).tm_year
        for each in (year, year - 1):
            try:
                when = datetime.datetime(each, MONTHS.index(found.group(1)) + 1, *map(int, found.group(2, 3, 4, 5)))
            except ValueError:
                continue
            if when.timestamp() <= now + 86400:
                return when.timestamp(), line[found.end() :]
    found = UNIX.match(line)
    if found:
        return float(found.group(1)), line[found.end() :]
    return None, line


def files(since=0):
    """Log files that may hold lines since then, oldest first."""
    times = {}
    for name in glob.glob(WHERE + "*"):
        if re.search(r"mail\.log(\.\d+|-[\d-]+)?(\.gz|\.xz|\.bz2)?$", name):
            try:
                times[name] = os.stat(name).st_mtime
            except FileNotFoundError:
                continue  # rotated just now
    return sorted((name for name in times if times[name] >= since), key=lambda name: times[name])


def opened(name):
    how = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}.get(os.path.splitext(name)[1], open)
    return how(name, "rb")


def begins(now, journal):
    """When the oldest line there is was written; None if there is none."""
    every = files()
    if journal or (not every and not glob.glob(WHERE)):
        with subprocess.Popen(JOURNAL, stdout=subprocess.PIPE) as process:
            first = process.stdout.readline().decode("utf-8", "replace")
            process.kill()
        return stamp(first, now)[0]
    for name in every:
        with opened(name) as file:
            for _, raw in zip(range(100), file):
                at = stamp(raw.decode("utf-8", "replace"), now)[0]
                if at is not None:
                    return at
    return None


def lines(since, journal=False):
    """(source, line) of all, of the journal if that is asked for or there are no files; first, with None, each source."""
    names = [] if journal else files(since)
    if not journal:
        yield from ((name, None) for name in names or glob.glob(WHERE))
    if journal or (not names and not glob.glob(WHERE)):
        yield "journal", None
        with subprocess.Popen(JOURNAL + ["--since=@%d" % since], stdout=subprocess.PIPE) as process:
            for raw in process.stdout:
                yield "journal", raw
        if process.returncode:
            sys.exit("journalctl ended with %d, and there is no /var/log/mail.log" % process.returncode)
        return
    for name in names:
        try:
            file = opened(name)
        except FileNotFoundError:
            continue  # rotated just now: what stood in it, the marks miss
        with file:
            for raw in file:
                yield name, raw


# A line that reads the same in a file and in the journal, after the machine's name: rsyslog writes others in its own way
MARKED = re.compile(r"(?!.*(?:#|message repeated))(?:postfix|dovecot:)[ -~]{1,900}$")
WITH_PROCESS = re.compile(r"^dovecot\[\d+\]:")  # the journal's way
LAST = 64 << 10  # bytes of a log in which its last lines stand
APART_S = 1.5  # between the stamps of one line in a file and in the journal: many a file has whole seconds
SETTLED_S = 30  # after which a line of the journal is in the file, too
OF_A_LETTER = re.compile(r"postfix[^ \[]*\[\d+\]: [0-9A-Za-z]{6,20}: ")  # others an admin may have sent elsewhere


def mark_of(at, rest):
    """[seconds, digest] by which a line is known again; None if it cannot be."""
    text = WITH_PROCESS.sub("dovecot:", rest.partition(" ")[2])
    return [at, hashlib.sha256(text.encode()).hexdigest()[:32]] if at is not None and MARKED.match(text) else None


def last_mark(raws, now):
    """The mark of the last line that has one."""
    for raw in reversed(raws):
        found = mark_of(*stamp(raw.decode("utf-8", "replace").rstrip("\n"), now))
        if found:
            return found
    return None


def last_of_journal(now, settled=False):
    """The same of the journal; None also where there is none. ``settled``: of a line about a letter that files have by now."""
    try:
        said = subprocess.run(
            JOURNAL + ["-n", "300"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    raws = said.splitlines()
    if settled:
        split = ((raw, stamp(raw.decode("utf-8", "replace"), now)) for raw in raws)
        old = now - SETTLED_S
        raws = [raw for raw, (at, rest) in split if at and at <= old and OF_A_LETTER.match(rest.partition(" ")[2])]
    return last_mark(raws, now)


def last(now):
    """The mark of the log's last line: of the newest file that has one, or of the journal where there are no files."""
    names = files()
    for name in reversed(names):
        with opened(name) as file:
            if name == WHERE:
                file.seek(max(0, os.stat(name).st_size - LAST))
            raws = file.read()[-LAST:].split(b"\n")[:-1]  # after the last newline: a line that is just being written
        found = last_mark(raws, now)
        if found:
            return found
    return None if names else last_of_journal(now)


class Marks:
    """Lines that were there once: which of them are missing, and between which others."""

    def __init__(self, marks):
        self.wanted = sorted(marks)
        self.times = [at for at, _ in self.wanted]
        self.seen = set()
        # Of the lines from one mark's time to the next one's: the first and the last
        self.spans = [[None, None] for _ in range(len(marks) + 1)]

    def look(self, at, rest):
        """At one line of the log."""
        index = bisect.bisect_left(self.times, at)
        span = self.spans[index]
        span[0] = at if span[0] is None or at < span[0] else span[0]
        span[1] = at if span[1] is None or at > span[1] else span[1]
        first = bisect.bisect_left(self.times, at - APART_S)
        if first < len(self.times) and self.times[first] <= at + APART_S:
            known = mark_of(at, rest)
            for number in range(first, len(self.times)) if known else ():
                if self.times[number] > at + APART_S:
                    break
                if self.wanted[number][1] == known[1]:
                    self.seen.add(number)

    def gaps(self):
        """{"mark": when the missing line was written, "before" and "after": the lines around it, or null} of each gap."""
        found = {}
        for number, (at, _) in enumerate(self.wanted):
            if number not in self.seen:
                before = [span[1] for span in self.spans[: number + 1] if span[1] is not None]
                after = [span[0] for span in self.spans[number + 1 :] if span[0] is not None]
                edges = (max(before) if before else None, min(after) if after else None)
                found[edges] = {"mark": at, "before": edges[0], "after": edges[1]}
        return list(found.values())


# systemd's catalog: too many messages of one service at once (RateLimitBurst=), and more than syslog takes
LEFT_OUT = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e"
NOT_HANDED_ON = "MESSAGE_ID=0027229ca0644181a76c4e92458afa2e"
SUPPRESSED = re.compile(r"\S+ systemd-journald\[\d+\]: (Suppressed \d+ messages from \S*(?:postfix|dovecot)\S*)$")
NEAR_S = 3600  # what is left out one after the other is one gap


def told_by_journald(what, since, now):
    """[when, rest of the line] of each such message of its own; none where there is no journal."""
    command = JOURNAL[:-1] + [what, "--since=@%d" % since]
    try:
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = [stamp(line, now) for line in said.decode("utf-8", "replace").splitlines()]
    return [(at, rest) for at, rest in found if at is not None]


def left_out(since, now, journal):
    """Gaps: lines that journald took no more of, as it says itself when it goes on. It hands a line on to syslog before it counts
    it: the files lack only what it could not hand on, and which that was nobody can tell."""
    if not journal and not told_by_journald(NOT_HANDED_ON, since, now):
        return []
    gaps = []
    for at, rest in told_by_journald(LEFT_OUT, since, now):
        said = SUPPRESSED.match(rest)
        if said and gaps and at - gaps[-1]["after"] <= NEAR_S:
            gaps[-1].update(mark=at, after=at, said=said.group(1) + ", and others before")
        elif said:
            gaps.append({"mark": at, "before": at, "after": at, "said": said.group(1)})
    return gaps


STARTING_S = 300  # a start that began so long before may still show in what came since
BOOT = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


def boots(since):
    """When the machine began to start, since then, as far as the journal tells (journalctl(1), --list-boots)."""
    try:
        command, clock = ["journalctl", "-q", "--no-pager", "--list-boots"], dict(os.environ, TZ="UTC", LC_ALL="C")
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, env=clock).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = b""
    begun = [BOOT.search(line) for line in said.decode("utf-8", "replace").splitlines()]
    found = [calendar.timegm(time.strptime(each.group(1), "%Y-%m-%d %H:%M:%S")) for each in begun if each]
    return [at for at in found if at >= since]


def wanted_marks(noted, since, now, journal):
    """Those that were noted, and what the log says last before it is read: of the journal, too, which files may lag behind."""
    own = [last_of_journal(now) if journal else last(now)]
    if not journal and glob.glob(WHERE + "*"):
        own.append(last_of_journal(now, settled=True))
    return Marks([list(each) for each in noted] + [each for each in own if each and each[0] >= since])


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    if arguments.get("mark"):
        json.dump({"mark": last(time.time())}, sys.stdout)
        print()
        return
    since, pattern, journal = arguments["since"], re.compile(arguments["pattern"]), arguments.get("journal", False)
    limit, now, read, shown, sources = arguments.get("limit", 5000), time.time(), 0, 0, set()
    marks = wanted_marks(arguments["marks"], since, now, journal) if arguments.get("marks") is not None else Marks([])
    # Traditional stamps have whole seconds: a line of this very second counts as before only if it is a second older.
    for source, raw in lines(min([since, *(at - 2 for at in marks.times[:1])]), journal):
        sources.add(source)
        if raw is None:
            continue
        line = raw.decode("utf-8", "replace").rstrip("\n")
        at, rest = stamp(line, now)
        if at is not None and marks.times:
            marks.look(at, rest)
        if at is None or at < since - (0 if ISO.match(line) else 0.999):
            continue
        read += 1
        if shown < limit and pattern.search(rest):
            shown += 1
            json.dump({"at": at, "line": rest[:LONGEST]}, sys.stdout)
            print()
    end = {"read": read, "sources": sorted(sources), "cut": shown >= limit, "begins": begins(now, journal)}
    end["gaps"] = marks.gaps()
    if arguments.get("marks") is not None:
        end["gaps"] += left_out(since, now, sources == {"journal"})
    end["boots"] = boots(since - STARTING_S) if arguments.get("boots") else []
    json.dump(end, sys.stdout)
    print()


main()
