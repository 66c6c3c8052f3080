"""Letters that were delivered since a time: in whose mailbox they lie, and which queue they came out of. Changes nothing.

In: {"root": mail root, "maildir": name of the Maildir in a home, "since": seconds since 1970, "users": [...] or null}
Out: one object a letter: {"user", "folder": raw name, "" is INBOX, "uid": number or null, "at": when it was put there (by
its name), "id": "HOST QUEUE-ID" of the last Postfix it passed, or "", "taken": when that one took it, as it wrote on top,
or null, "mid": its Message-ID}; at the end {"end": letters}.
"""

import email.utils
import json
import os
import re
import sys

SLACK = 300  # seconds by which clocks, and names made before a letter was complete, may differ
HEADER = 64 << 10  # bytes in which the topmost fields stand
LOOKS = 5  # at a folder in which letters are renamed meanwhile
# Postfix begins a new line before "by" (smtpd) or names itself first (pickup); a HELO name cannot hold a newline. What
# Dovecot's LMTP puts on top names no program in brackets, and is passed over.
PASSED = re.compile(
    rb"(?:^|\n)Received:(?:[^\n]*\n[ \t])*? ?by (\S+) \([^\n]*\)(?: with \S+)?(?:\r?\n)?[ \t]+id ([0-9A-Za-z]+)[;\s]"
)
DATE = re.compile(rb";[ \t]*(?:\r?\n[ \t]+)?([^;\r\n]+)\r?\n(?![ \t])")  # the end of a field: after its last semicolon
MID = re.compile(rb"(?:^|\n)Message-ID:[ \t]*(?:\r?\n[ \t]+)?([^\r\n]*)", re.I)
BORN = re.compile(rb"\d+")


def header(path):
    """The header's bytes; no link is followed, and what is no file is no letter."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        data = os.read(handle, HEADER)
    finally:
        os.close(handle)
    ends = [found for found in (data.find(b"\n\n"), data.find(b"\n\r\n")) if found >= 0]
    return data[: min(ends) + 1] if ends else data


def uids(folder):
    """base name -> UID, from dovecot-uidlist."""
    found = {}
    try:
        with open(os.path.join(folder, b"dovecot-uidlist"), "rb") as file:
            for line in file:
                before, colon, name = line.rstrip(b"\n").partition(b" :")
                word = before.split(b" ")[0]
                if colon and word.isdigit():
                    found[name.split(b":")[0]] = int(word)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return found


def passed(head):
    """HOST and QUEUE-ID of the last Postfix that had the letter; empty if none says so."""
    match = PASSED.search(head)
    return match.group(1).decode("utf-8", "replace") + " " + match.group(2).decode() if match else ""


def taken(head):
    """When that Postfix took it; None if it does not say."""
    match = PASSED.search(head)
    date = DATE.search(head, match.end() - 1) if match else None
    try:
        return email.utils.parsedate_to_datetime(date.group(1).decode("ascii")).timestamp() if date else None
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError):
        return None


def listed(folder, since):
    """(path, base name, when) of letters put into this folder since then. What is read meanwhile goes from new to cur."""
    for where in (b"new", b"cur"):
        path = os.path.join(folder, where)
        try:
            if os.stat(path).st_mtime < since - SLACK:
                continue  # every delivery, and every move of a letter, changes its time
            names = os.listdir(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            born = BORN.match(name)
            at = int(born.group()[:12]) if born else since
            if name[:1] != b"." and at >= since - SLACK:
                yield os.path.join(path, name), name.split(b":")[0], at


def letters(folder, since):
    """(base name, when, header) of them. Looked at again when one had another name by the time it was opened."""
    seen = set()
    for _ in range(LOOKS):
        found, missed = [], set()
        for path, base, at in list(listed(folder, since)):
            if base not in seen:
                try:
                    found.append((base, at, header(path)))
                except FileNotFoundError:
                    missed.add(base)
                except OSError:
                    continue  # a link
        yield from found
        seen.update(base for base, _, _ in found)
        if not missed - seen:
            return  # a letter that was taken away is not listed again


def folders(maildir):
    """(raw name, path) of INBOX and all others, of both layouts."""
    for path, inner, _ in os.walk(maildir):
        inner[:] = [name for name in inner if name not in (b"cur", b"new", b"tmp")]
        if os.path.isdir(os.path.join(path, b"cur")) and not os.path.islink(path):
            name = os.path.relpath(path, maildir)
            yield b"" if name == b"." else name.lstrip(b"."), path


def homes(root, wanted):
    for domain in os.listdir(root):
        place = os.path.join(root, domain)
        if os.path.islink(place) or not os.path.isdir(place):
            continue
        for local in os.listdir(place):
            home = os.path.join(place, local)
            user = os.fsdecode(local + b"@" + domain)
            if (wanted is None or user in wanted) and os.path.isdir(home) and not os.path.islink(home):
                yield user, home


def main():
    asked = json.loads(sys.stdin.buffer.readline())
    wanted = None if asked.get("users") is None else set(asked["users"])
    count = 0
    for user, home in homes(os.fsencode(asked["root"]), wanted):
        for raw, folder in folders(os.path.join(home, os.fsencode(asked["maildir"]))):
            known = None
            for base, at, head in letters(folder, asked["since"]):
                known = uids(folder) if known is None else known
                match = MID.search(head)
                count += 1
                said = {"user": user, "folder": os.fsdecode(raw), "uid": known.get(base), "at": at, "id": passed(head)}
                said["taken"] = taken(head)
                said["mid"] = match.group(1).strip().decode("utf-8", "replace")[:998] if match else ""
                json.dump(said, sys.stdout)
                print()
    json.dump({"end": count}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
