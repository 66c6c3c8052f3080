"""Counts how many letters each person deleted since a time, by Dovecot's own log, and who is logged in. Changes nothing.

In: {"since": seconds since 1970}. Out: one object: {"deleted": {user: number}, "online": [users], "log": what was read}.
Dovecot writes a line when a session ends: "expunged=N" for IMAP, "del=N/M" for POP3.
"""

import glob
import gzip
import json
import os
import re
import subprocess
import sys
import time

LINE = re.compile(r"\b(?:imap|pop3)\(([^)>]*)\).*?(?:\bexpunged=(\d+)|\bdel=(\d+)/)")
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def moment(line, now):
    """When a line was written: RFC 3339, or syslog's format without a year. None if it says neither."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?", line)
    if match:
        zone = (match.group(2) or "").replace(":", "").replace("Z", "+0000")
        parsed = time.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S")
        if not zone:
            return time.mktime(parsed)
        import calendar

        offset = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
        return calendar.timegm(parsed) - (offset if zone[0] == "+" else -offset)
    match = re.match(r"([A-Z][a-z]{2}) +(\d+) (\d\d):(\d\d):(\d\d) ", line)
    if not match or match.group(1) not in MONTHS:
        return None
    year = time.localtime(now).tm_year
    month, rest = MONTHS.index(match.group(1)) + 1, [int(value) for value in match.groups()[1:]]
    at = time.mktime((year, month, rest[0], rest[1], rest[2], rest[3], 0, 0, -1))
    return at if at <= now + 86400 else time.mktime((year - 1, month, rest[0], rest[1], rest[2], rest[3], 0, 0, -1))


def lines(since):
    """The log's lines, and what they were read from."""
    files = sorted(glob.glob("/var/log/mail.log*"), key=os.path.getmtime)
    recent = [path for path in files if os.path.getmtime(path) >= since]
    if files:
        for path in recent:
            opener = gzip.open if path.endswith(".gz") else open
            with opener(path, "rt", encoding="utf-8", errors="surrogateescape") as file:
                for line in file:
                    yield line
        return
    said = subprocess.run(
        ["journalctl", "-u", "dovecot", "--since", "@%d" % since, "-o", "short-iso", "--no-pager"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    for line in said.stdout.decode("utf-8", "surrogateescape").splitlines():
        yield line


def main():
    since = json.loads(sys.stdin.buffer.readline())["since"]
    now = time.time()
    deleted = {}
    for line in lines(since):
        match = LINE.search(line)
        if match:
            at = moment(line, now)
            if at is None or at >= int(since):
                count = int(match.group(2) or match.group(3))
                deleted[match.group(1)] = deleted.get(match.group(1), 0) + count
    who = subprocess.run(["doveadm", "-f", "tab", "who", "-1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    online = sorted({line.split("\t")[0] for line in who.stdout.decode("utf-8", "surrogateescape").splitlines()[1:]})
    json.dump({"deleted": {user: n for user, n in deleted.items() if n}, "online": online}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
