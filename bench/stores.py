"""Makes a mail store of any size, as Dovecot would have written it, and changes a part of it as people would.

`python bench/stores.py make ROOT USERS FOLDERS LETTERS` and `python bench/stores.py change ROOT COUNT SEED`. Standard library only:
it runs on the lab's servers as well.
"""

import hashlib
import os
import random
import sys
import time

DOMAIN = "bench.example"
BODY = (b"All work and no play makes Jack a dull boy. " * 200)[:8000]
OWNER = 5000


def user(number):
    """The name of a user."""
    return f"user{number:04d}"


def text(number):
    """A letter: unlike all others, 400 bytes to 8 kB, most of them small, as letters are."""
    mark = hashlib.sha256(str(number).encode()).hexdigest()
    size = 200 + int(mark[:8], 16) % 1800 + (6000 if int(mark[8:10], 16) < 16 else 0)
    head = f"From: a@elsewhere.example\nTo: b@{DOMAIN}\nSubject: letter {number}\nMessage-ID: <{mark}@elsewhere.example>\n\n"
    return head.encode() + mark.encode() + b"\n" + BODY[:size] + b"\n"


def folder(path, first, count, validity):
    """A Maildir folder of ``count`` letters, all seen but some."""
    for leaf in ("cur", "new", "tmp"):
        os.makedirs(f"{path}/{leaf}", exist_ok=True)
    lines = []
    for uid in range(1, count + 1):
        data = text(first + uid)
        base = f"{1600000000 + first + uid}.M{uid}P1.old,S={len(data)},W={len(data) + data.count(10)}"
        lines.append(f"{uid} :{base}\n")
        handle = os.open(f"{path}/cur/{base}:2,{'S' if uid % 7 else ''}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, data)
        os.close(handle)
    guid = hashlib.sha256(path.encode()).hexdigest()[:32]
    with open(f"{path}/dovecot-uidlist", "w") as file:
        file.write(f"3 V{validity} N{count + 1} G{guid}\n" + "".join(lines))


def make(root, users, folders, letters):
    """``users`` mailboxes of ``folders`` folders each with ``letters`` letters in all of them together."""
    each, left, number = (*divmod(letters, users * folders), 0)
    for person in range(users):
        maildir = f"{root}/{DOMAIN}/{user(person)}/Maildir"
        for index in range(folders):
            count = each + (1 if person * folders + index < left else 0)
            folder(maildir if index == 0 else f"{maildir}/.Folder{index}", number, count, 1600000000 + index)
            number += count
        with open(f"{maildir}/subscriptions", "w") as file:
            file.write("".join(f"Folder{index}\n" for index in range(1, folders)))
    for place, _, names in os.walk(f"{root}/{DOMAIN}"):
        os.chown(place, OWNER, OWNER)
        for name in names:
            os.chown(f"{place}/{name}", OWNER, OWNER)


def change(root, count, seed):
    """What people do: letters come (half of all), are read, are moved and deleted; seven of ten in inboxes."""
    chance = random.Random(seed)  # noqa: S311
    homes = [entry.path for entry in os.scandir(f"{root}/{DOMAIN}")]
    homes.sort()
    for number in range(count):
        maildir = f"{chance.choice(homes)}/Maildir"
        inner = sorted(entry.path for entry in os.scandir(maildir) if entry.name.startswith(".Folder"))
        place = maildir if chance.random() < 0.7 or not inner else chance.choice(inner)
        what = chance.random()
        names = sorted(os.listdir(f"{place}/cur"))
        if what < 0.5 or not names:
            path = f"{place}/new/{time.time_ns()}.M{number}P2.old"
            with open(path, "wb") as file:
                file.write(text(10**9 + seed * 10**6 + number))
            os.chown(path, OWNER, OWNER)
        elif what < 0.85:
            name = chance.choice(names)
            flags = name.partition(":2,")[2]
            other = flags.replace("F", "") if "F" in flags else "".join(sorted(flags + "F"))
            os.rename(f"{place}/cur/{name}", f"{place}/cur/{name.partition(':')[0]}:2,{other}")
        elif what < 0.95 and inner:
            name = chance.choice(names)
            target = f"{time.time_ns()}.M{number}P3.old,{name.partition(',')[2]}"
            os.rename(f"{place}/cur/{name}", f"{chance.choice(inner)}/cur/{target}")
        else:
            os.unlink(f"{place}/cur/{chance.choice(names)}")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], *map(int, sys.argv[3:6]))
    else:
        change(sys.argv[2], *map(int, sys.argv[3:5]))
