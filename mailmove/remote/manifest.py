"""Every file below some paths with its content's hash, one JSON object a line. Changes nothing.

With "tar" it reads an archive instead of the disk.
"""

import gzip
import hashlib
import json
import os
import stat
import sys
import tarfile

BLOCK = 1 << 20


def digest(file):
    total = hashlib.sha256()
    for block in iter(lambda: file.read(BLOCK), b""):
        total.update(block)
    return total.hexdigest()


def say(path, kind, size, mode, uid, gid, content):
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    json.dump({"path": text.strip("/"), "entry": [kind, size, mode, uid, gid, content]}, sys.stdout)
    sys.stdout.write("\n")


def of_disk(base, paths):
    todo = [os.path.join(os.fsencode(base), os.fsencode(path.strip("/"))) for path in paths]
    cut = len(os.fsencode(base.rstrip("/")))
    while todo:
        path = todo.pop()
        try:
            info = os.lstat(path)
            if stat.S_ISDIR(info.st_mode):
                with os.scandir(path) as entries:
                    todo.extend(entry.path for entry in entries)
                say(path[cut:], "directory", 0, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, "")
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    content = digest(file)
                say(path[cut:], "file", info.st_size, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, content)
            elif stat.S_ISLNK(info.st_mode):
                target = os.readlink(path).decode("utf-8", "surrogateescape")
                say(path[cut:], "link", 0, 0, info.st_uid, info.st_gid, target)
        except FileNotFoundError:
            continue


def of_archive(name):
    hashes = {}
    with gzip.open(name, "rb") as stream, tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:
        for member in archive:
            if member.isdir():
                say(member.name, "directory", 0, member.mode, member.uid, member.gid, "")
            elif member.isreg():
                hashes[member.name] = (member.size, digest(archive.extractfile(member)))
                say(member.name, "file", member.size, member.mode, member.uid, member.gid, hashes[member.name][1])
            elif member.islnk():
                size, content = hashes[member.linkname]
                say(member.name, "file", size, member.mode, member.uid, member.gid, content)
            elif member.issym():
                say(member.name, "link", 0, 0, member.uid, member.gid, member.linkname)


arguments = json.loads(sys.stdin.buffer.readline())
if "tar" in arguments:
    of_archive(arguments["tar"])
else:
    of_disk(arguments["base"], arguments["paths"])
