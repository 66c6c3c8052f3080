"""Holds this server for one run of mailmove, for as long as that run says it is there. Leaves no file: what is held is a name.

In: one line of JSON {"name": of the place, "run": who asks, as a machine can compare it, "words": the same for a person,
"lease": seconds}; afterwards anything at all, at least once in so many seconds.
Out: one line of JSON: {"held": true}; or {"held": false, "by": words, "run": …} if another run holds it.
It ends with its input, when nothing came for ``lease``, or when the same run asks again: it had lost sight of this one.
"""

import json
import os
import pwd
import select
import socket
import struct
import sys
import time

PATIENCE_S = 3.0  # a run that was killed a moment ago is just going away
ANSWER_S = 2.0
LONGEST = 4096


def owner(connection):
    """(process, user) at the other end."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", raw)
    return process, user


def told(connection):
    """One line of JSON from the other end; nothing if there is none."""
    connection.settimeout(ANSWER_S)
    data = b""
    try:
        while not data.endswith(b"\n") and len(data) < LONGEST:
            more = connection.recv(LONGEST)
            if not more:
                break
            data += more
        found = json.loads(data.decode())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def say(connection, what):
    try:
        connection.sendall(json.dumps(what).encode() + b"\n")
    except OSError:
        pass


def holder(place, wanted):
    """Who holds it. One that is this very run, as it was before, goes."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(ANSWER_S)
        try:
            asked.connect(place)
        except OSError:
            return None  # it went away
        process, user = owner(asked)
        say(asked, {"run": wanted["run"]})
        answer = told(asked)
    if user != 0 and user != os.getuid():
        try:
            name = pwd.getpwuid(user).pw_name
        except KeyError:
            name = str(user)
        return {"by": "process %d of %s there, which is not mailmove" % (process, name), "run": ""}
    return {
        "by": str(answer.get("words", "process %d there, which says nothing" % process)),
        "run": str(answer.get("run", "")),
    }


def take(place, wanted):
    """The name, listened at; or else who holds it."""
    until = time.monotonic() + PATIENCE_S
    while True:
        mine = socket.socket(socket.AF_UNIX)
        try:
            mine.bind(place)
            mine.listen(5)
            return mine, None
        except OSError:
            mine.close()
        other = holder(place, wanted)
        if other and time.monotonic() > until:
            return None, other
        time.sleep(0.1)


def hold(mine, wanted):
    """Until whoever asked goes away, falls silent, or asks anew."""
    heard = time.monotonic()
    while True:
        left = heard + wanted["lease"] - time.monotonic()
        if left <= 0:
            return
        ready, _, _ = select.select([0, mine], [], [], left)
        if 0 in ready:
            if not os.read(0, LONGEST):
                return
            heard = time.monotonic()
        if mine in ready:
            connection, _ = mine.accept()
            with connection:
                _, user = owner(connection)
                if user != os.getuid():
                    continue
                asks = told(connection)
                say(connection, {"words": wanted["words"], "run": wanted["run"]})
                if asks.get("run") == wanted["run"]:
                    return


def main():
    wanted = json.loads(sys.stdin.buffer.readline())
    mine, other = take("\0" + wanted["name"], wanted)
    print(json.dumps({"held": True} if mine else dict(other, held=False)), flush=True)
    if mine:
        hold(mine, wanted)


if __name__ == "__main__":
    main()
