"""Lines of the mail log since a time that fit a pattern: JSON lines. Reads what there is: files, rotated and compressed
ones too, else the journal. Changes nothing.
"""

import calendar
import datetime
import glob
import gzip
import json
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
    names = [n for n in glob.glob("/var/log/mail.log*") if re.search(r"mail\.log(\.\d+|-\d+)?(\.gz)?$", n)]
    return sorted((n for n in names if os.stat(n).st_mtime >= since), key=lambda n: os.stat(n).st_mtime)


def opened(name):
    return (gzip.open if name.endswith(".gz") else open)(name, "rb")


def begins(now, journal):
    """When the oldest line there is was written; None if there is none."""
    every = files()
    if journal or (not every and not glob.glob("/var/log/mail.log")):
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
        yield from ((name, None) for name in names or glob.glob("/var/log/mail.log"))
    if journal or (not names and not glob.glob("/var/log/mail.log")):
        yield "journal", None
        with subprocess.Popen(JOURNAL + ["--since=@%d" % since], stdout=subprocess.PIPE) as process:
            for raw in process.stdout:
                yield "journal", raw
        if process.returncode:
            sys.exit("journalctl ended with %d, and there is no /var/log/mail.log" % process.returncode)
        return
    for name in names:
        with opened(name) as file:
            for raw in file:
                yield name, raw


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


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    since, pattern, journal = arguments["since"], re.compile(arguments["pattern"]), arguments.get("journal", False)
    limit, now, read, shown, sources = arguments.get("limit", 5000), time.time(), 0, 0, set()
    # Traditional stamps have whole seconds: a line of this very second counts as before only if it is a second older.
    for source, raw in lines(since, journal):
        sources.add(source)
        if raw is None:
            continue
        line = raw.decode("utf-8", "replace").rstrip("\n")
        at, rest = stamp(line, now)
        if at is None or at < since - (0 if ISO.match(line) else 0.999):
            continue
        read += 1
        if shown < limit and pattern.search(rest):
            shown += 1
            json.dump({"at": at, "line": rest[:LONGEST]}, sys.stdout)
            print()
    end = {"read": read, "sources": sorted(sources), "cut": shown >= limit, "begins": begins(now, journal)}
    end["boots"] = boots(since - STARTING_S) if arguments.get("boots") else []
    json.dump(end, sys.stdout)
    print()


main()
