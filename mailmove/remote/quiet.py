"""Is a mail store quiet? Prints one JSON object: who has it open, and what changed in it meanwhile. Changes nothing.

In: {"root", "window": seconds between two looks, 0 for a single one; "before": {"digest", "newest"} of an earlier look, or null: then
what changed since that one counts as well; "since": seconds since 1970, or absent: letters that came later are told}

Maildir makes looking cheap: every delivery, flag, move and deletion changes the time of a folder's new or cur, so only
directories are looked at, never the files in them.
"""

import hashlib
import json
import os
import sys
import time

LEAVES = ("new", "cur", "tmp")


def directories(root):
    """Every directory below root, on its file system, with its stat; what vanishes meanwhile is left out."""
    device = os.lstat(root).st_dev
    todo = [os.fsencode(root)]
    while todo:
        path = todo.pop()
        try:
            stat = os.lstat(path)
            if stat.st_dev != device:
                continue
            yield path, stat
            if os.path.basename(path).decode("ascii", "replace") in LEAVES:
                continue
            with os.scandir(path) as entries:
                todo.extend(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            continue


def look(root):
    """path -> time of each directory; and what is newest."""
    found = {}
    for path, stat in directories(root):
        found[path] = stat.st_mtime_ns
    return found


def digest(found):
    return hashlib.sha256(b"\0".join(p + b"%d" % t for p, t in sorted(found.items()))).hexdigest()


def deliveries(root, since):
    """Files that came into new or cur of any folder after ``since``: looks only into folders touched since."""
    found = []
    for path, stat in directories(root):
        if os.path.basename(path) not in (b"new", b"cur") or stat.st_mtime < since:
            continue
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    if entry.stat(follow_symlinks=False).st_ctime >= since:
                        found.append(entry.path.decode("utf-8", "surrogateescape"))
                except FileNotFoundError:
                    continue
    return found


def holders(root):
    """Processes with a file, a mapping or their directory below root: [pid, name, path]."""
    inside = os.fsencode(root.rstrip("/")) + b"/"
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        base = "/proc/" + pid
        paths = set()
        try:
            for name in os.listdir(base + "/fd"):
                try:
                    paths.add(os.readlink(os.fsencode(base + "/fd/" + name)))
                except OSError:
                    continue
            paths.add(os.readlink(os.fsencode(base + "/cwd")))
            with open(base + "/maps", "rb") as maps:
                for line in maps:
                    words = line.split(None, 5)
                    if len(words) == 6 and words[5].startswith(inside):
                        paths.add(words[5].strip())
            with open(base + "/comm") as file:
                name = file.read().strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        for path in sorted(p for p in paths if p.startswith(inside)):
            found.append([int(pid), name, path.decode("utf-8", "surrogateescape")])
            break
    return found


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    # It may be a link; what processes hold goes by the directory's own name
    root = os.path.realpath(arguments["root"]) if arguments["root"] else ""
    window = arguments.get("window", 1.0)
    result = {"clock": time.time(), "exists": bool(root) and os.path.isdir(root)}
    if result["exists"]:
        first = look(root)
        time.sleep(window)
        result["holders"] = holders(root)[:50]
        second = look(root) if window else first
        changed = {p for p in first.keys() | second.keys() if first.get(p) != second.get(p)}
        result["directories"] = len(second)
        before = arguments.get("before")
        if before and digest(second) != before["digest"]:
            changed |= {p for p, at in second.items() if at / 1e9 > before["newest"]} or {b"(their times went back)"}
        result["changed"] = sorted(p.decode("utf-8", "surrogateescape") for p in changed)[:50]
        result["newest"] = max(second.values(), default=0) / 1e9
        result["digest"] = digest(second)
        if "since" in arguments:
            came = deliveries(root, arguments["since"])
            result["deliveries"], result["came"] = len(came), came[:50]
    json.dump(result, sys.stdout)
    print()


main()
