"""Asks Dovecot what it shows of every mailbox, and prints a digest of each folder.

In: {} or {"users": [...]}. Out: {"user", "guid", "letters", "digest", "bare"} for each folder, then {"end": true, "complaints": [...]}.
What other namespaces show (public, shared and virtual folders) are letters of another place, and left out.
The digest is over the lines "uid size date flags keywords" of the folder's letters, in the order of their UIDs; "bare" is the
same without keywords. A folder that is a link to another is told as that one, once more.
Changes what any client's look changes: letters move from new to cur, indexes are brought up to date.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile

FLAGS = {"\\Seen": "S", "\\Answered": "R", "\\Draft": "D", "\\Flagged": "F", "\\Deleted": "T"}
WRONG = re.compile(r"\b(Error|Fatal|Panic)\b")
NO_NAME = re.compile(r"Invalid mailbox name|Mailbox doesn't exist")  # a directory, and no folder to Dovecot
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


def finish(user, guid, rows):
    if guid:
        text = "".join(row for _, row in sorted(rows))
        bare = "".join(" ".join(row.rstrip("\n").split(" ")[:4]) + " \n" for _, row in sorted(rows))
        values = [hashlib.sha256(each.encode("utf-8", "surrogateescape")).hexdigest() for each in (text, bare)]
        print(json.dumps({"user": user, "guid": guid, "letters": len(rows), "digest": values[0], "bare": values[1]}))


def fetch(argv, complaints):
    said = tempfile.TemporaryFile()  # it may be much, and nobody reads it before all is told
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said)
    current, rows = ("", ""), []
    # tab output: a header, then a letter a line; a tab in a value would be escaped
    for number, raw in enumerate(process.stdout):
        cells = raw.decode("utf-8", "surrogateescape").rstrip("\n").split("\t")
        if number == 0:
            start = cells.index("user")  # with -A a column "Username" comes first
            continue
        cells = cells[start:]
        uid = int(cells[2])
        # A folder that is a link to another shows that one's letters and GUID once more, from the first UID on
        if tuple(cells[:2]) != current or uid <= rows[-1][0]:
            finish(*current, rows)
            current, rows = tuple(cells[:2]), []
        rows.append((uid, line(uid, cells[3], cells[4], cells[5])))
    finish(*current, rows)
    status = process.wait()
    said.seek(0)
    words = [text for text in said.read().decode("utf-8", "replace").splitlines() if WRONG.search(text)]
    names = [text for text in words if NO_NAME.search(text)]
    if status and not (names and names == words):
        complaints.append("%s: exit status %d" % (" ".join(argv)[:60], status))
    complaints.extend(text for text in words if text not in names)


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    complaints = []
    doveadm = ["doveadm", *without_others(), "-f", "tab", "fetch"]
    if wanted.get("users") is None:
        fetch([*doveadm, "-A", FIELDS, "ALL"], complaints)
    else:
        for user in wanted["users"]:
            fetch([*doveadm, "-u", user, FIELDS, "ALL"], complaints)
    print(json.dumps({"end": True, "complaints": complaints[:20]}))


if __name__ == "__main__":
    main()
