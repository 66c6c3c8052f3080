"""Asks Dovecot what it shows of every mailbox, and prints a digest of each folder.

In: {} or {"users": [...]}. Out: {"user", "guid", "letters", "digest", "bare"} for each folder, then {"end": true, "complaints": [...]}.
What other namespaces show (public, shared and virtual folders) are letters of another place, and left out.
The digest is over the lines "uid size date flags keywords" of the folder's letters, in the order of their UIDs; "bare" is the
same without keywords. A folder that is a link to another is told as that one, once more.
A letter that goes while it is read leaves half a row, and no row after it can be told from the next: who was not told to the end
by then is asked for alone.
Changes what any client's look changes: letters move from new to cur, indexes are brought up to date.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

FLAGS = {"\\Seen": "S", "\\Answered": "R", "\\Draft": "D", "\\Flagged": "F", "\\Deleted": "T"}
WRONG = re.compile(r"\b(Error|Fatal|Panic)\b")
NO_NAME = re.compile(r"Invalid mailbox name|Mailbox doesn't exist")  # a directory, and no folder to Dovecot
GONE = re.compile(r"\bfetch\([\w.-]+\) failed for box=.*: Message was expunged|Failed to iterate through some users")
GUID = re.compile(r"[0-9a-f]{32}")
NUMBER = re.compile(r"-?\d+")
AGAIN = 5  # times that a user is asked for whose letters go meanwhile
FIELDS = "user mailbox-guid uid size.physical date.received.unixtime flags"


def without_others():
    """The options of doveadm(1) that leave out namespaces whose letters lie elsewhere."""
    options, name, block = [], "", {}
    said = subprocess.run(["doveconf", "-n"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    for text in said.decode("utf-8", "replace").splitlines():
        head = re.match(r"namespace (\S+) \{$", text)
        if head:
            name, block = head.group(1), {}
        elif text == "}" and name:
            place = block.get("location", "") + block.get("mail_driver", "")
            if block.get("type") in ("public", "shared") or place.startswith("virtual"):
                options += ["-o", "namespace/%s/disabled=yes" % name]
            name = ""
        elif re.match(r"  \w", text):  # not of a mailbox in it
            block.setdefault(*text.strip().partition(" = ")[::2])
    return options


def line(uid, size, date, flags):
    words = flags.split()
    marks = "".join(sorted(FLAGS[word] for word in words if word in FLAGS))
    keywords = " ".join(sorted(word for word in words if not word.startswith("\\")))
    return "%d %s %s %s %s\n" % (uid, size, date, marks, keywords)


def folder(user, guid, rows):
    """The line about a folder; ``rows`` are (UID, line)."""
    text = "".join(row for _, row in sorted(rows))
    bare = "".join(" ".join(row.rstrip("\n").split(" ")[:4]) + " \n" for _, row in sorted(rows))
    values = [hashlib.sha256(each.encode("utf-8", "surrogateescape")).hexdigest() for each in (text, bare)]
    return json.dumps({"user": user, "guid": guid, "letters": len(rows), "digest": values[0], "bare": values[1]})


def is_row(cells):
    return len(cells) == 6 and bool(GUID.fullmatch(cells[1])) and all(map(NUMBER.fullmatch, cells[2:5]))


def fetch(argv, done):
    """Asks, and prints what was told of each user to the end, adding them to ``done``. Returns (whether all was told, complaints)."""
    said = tempfile.TemporaryFile()  # it may be much, and nobody reads it before all is told
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said)
    current, rows, folders, whole = ("", ""), [], [], True

    def next_folder(user, guid):
        if rows:
            folders.append(folder(*current, rows))
        if folders and user != current[0]:
            print("\n".join(folders))
            done.add(current[0])
            folders.clear()
        rows.clear()
        return user, guid

    # tab output: a header, then a letter a line; a tab in a value would be escaped
    for number, raw in enumerate(process.stdout):
        cells = raw.decode("utf-8", "surrogateescape").rstrip("\n").split("\t")
        if number == 0:
            start = cells.index("user")  # with -A a column "Username" comes first
            continue
        cells = cells[start:]
        if not is_row(cells):
            whole = False
            process.terminate()
            break
        uid = int(cells[2])
        # A folder that is a link to another shows that one's letters and GUID once more, from the first UID on
        if tuple(cells[:2]) != current or uid <= rows[-1][0]:
            current = next_folder(*cells[:2])
        rows.append((uid, line(uid, cells[3], cells[4], cells[5])))
    if whole:
        next_folder("", "")
    status = process.wait()
    said.seek(0)
    words = [text for text in said.read().decode("utf-8", "replace").splitlines() if WRONG.search(text)]
    complaints = [text for text in words if not NO_NAME.search(text) and (whole or not GONE.search(text))]
    if whole and status and (complaints or not words):
        complaints.insert(0, "%s: exit status %d" % (" ".join(argv)[:60], status))
    return whole, complaints


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    complaints, done = [], set()
    doveadm = ["doveadm", *without_others(), "-f", "tab", "fetch"]
    users = wanted.get("users")
    if users is None:
        whole, complaints = fetch([*doveadm, "-A", FIELDS, "ALL"], done)
        everybody = [] if whole else subprocess.run(["doveadm", "user", "*"], stdout=subprocess.PIPE).stdout.split()
        users = sorted({os.fsdecode(user) for user in everybody} - done)
    for user in users:
        for _ in range(AGAIN):
            whole, said = fetch([*doveadm, "-u", user, FIELDS, "ALL"], done)
            if whole:
                break
        else:
            said.append("doveadm fetch -u %s: letters are shown that cannot be read, or go all the time" % user)
        complaints.extend(said)
    print(json.dumps({"end": True, "complaints": list(dict.fromkeys(complaints))[:20]}))


if __name__ == "__main__":
    main()
