"""Hands letters to the local sendmail, or looks in the mail log what became of them. One JSON line for each.

``{"send": [[recipient, the same as sendmail is told it, sender, letter in base64], …]}`` or ``{"look": mark, "since": seconds since 1970}``.
"""

import base64
import fcntl
import glob
import gzip
import json
import os
import re
import subprocess
import sys
import time

LOCK = "/run"  # a directory that is there: a lock on it leaves nothing behind
ENTRY = re.compile(r"postfix[^\s\[]*/([\w-]+)\[\d+\]: ([0-9A-Za-z]{6,25}): (.*)")
STATUS = re.compile(r"to=<(.*?)>, .*?status=(\w+) \((.*)\)$")


def say(**line):
    print(json.dumps(line), flush=True)  # when nobody listens any more this fails, and the sending ends


def waiting():
    """Letters that sendmail took and Postfix has not looked at yet."""
    done = subprocess.run(["postconf", "-h", "queue_directory"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return len(os.listdir(os.path.join(done.stdout.decode().strip() or "/var/spool/postfix", "maildrop")))
    except OSError:
        return 0


def drain(most, seconds):
    end = time.monotonic() + seconds
    while waiting() > most and time.monotonic() < end:
        time.sleep(0.25)


def send(letters):
    for recipient, envelope, sender, letter in letters:
        done = subprocess.run(
            ["/usr/sbin/sendmail", "-i", "-f", sender, "--", envelope.encode("utf-8", "surrogateescape")],
            input=base64.b64decode(letter),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        say(to=recipient, rc=done.returncode, said=done.stdout.decode("utf-8", "replace")[:500])
    drain(20, 60)  # friendly to a busy server: the next ones come when these are on their way


def log_lines(since):
    """The mail log's lines, oldest first, from files or from the systemd journal."""
    names = [n for n in glob.glob("/var/log/mail.log*") if os.path.getmtime(n) >= since - 86400]
    for name in sorted(names, key=os.path.getmtime):
        opened = gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb")
        with opened as file:
            for line in file:
                yield line.decode("utf-8", "replace")
    if not names:
        argv = ["journalctl", "--no-pager", "-q", "-o", "short", "--since", "@%d" % since, "SYSLOG_FACILITY=2"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in process.stdout:
            yield line.decode("utf-8", "replace")
        process.wait()


def look(mark, since):
    drain(0, 10)
    letters, found = {}, {}  # queue id -> letter; letter -> [queue ids, {recipient: (status, answer)}]
    wanted = "message-id=<" + mark
    # Postfix drops log lines when the log is too slow; Dovecot's own word is as good.
    stored, removed = set(), set()
    filed = re.compile(r"dovecot.*msgid=<(%s[^>]*)>: (?:stored|saved) mail into" % re.escape(mark))
    for line in log_lines(since):
        match = ENTRY.search(line)
        if not match:
            filing = filed.search(line)
            if filing:
                stored.add(filing.group(1))
            continue
        program, queue_id, rest = match.groups()
        if program == "cleanup" and rest.startswith(wanted):
            letter = rest[len("message-id=<") :].rstrip().rstrip(">")
            letters[queue_id] = letter
            found.setdefault(letter, [[], {}])[0].append(queue_id)
        elif queue_id in letters:
            status = STATUS.search(rest)
            if program == "qmgr" and rest.startswith("removed"):
                removed.add(letters[queue_id])
            if status:
                found[letters[queue_id]][1][status.group(1)] = (status.group(2), status.group(3)[:300])
    for letter, (queue_ids, ends) in found.items():
        states = [status for status, _ in ends.values()]
        order = ("bounced", "expired", "deferred", "sent")
        state = next((s for s in order if s in states), "removed" if letter in removed else "queued")
        if state in ("queued", "removed") and letter in stored:
            state = "sent"
        answers = ["%s: %s" % (to, answer) for to, (status, answer) in ends.items() if status == state]
        say(letter=letter, queue_ids=queue_ids, state=state, said="; ".join(answers)[:600])
    for letter in sorted(stored - set(found)):
        say(letter=letter, queue_ids=[], state="sent", said="")


def main():
    arguments = json.loads(sys.stdin.readline())
    lock = os.open(LOCK, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a run that was killed may still be handing over its last letter
        if "send" in arguments:
            send(arguments["send"])
        else:
            look(arguments["look"], arguments["since"])
    finally:
        os.close(lock)


main()
