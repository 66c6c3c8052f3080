"""Looks at how passwords are hashed: which ways stand in a database, and which this Dovecot understands. Changes nothing.

A hash's way is all that leaves the server: ``{SSHA}``, ``{CRYPT}$2y$``, or ``$6$`` where no scheme is named.
"""

import json
import re
import subprocess
import sys


def way(stored):
    """The scheme in braces and the kind of crypt(3), without anything of salt or hash."""
    match = re.match(r"(\{[A-Za-z0-9.-]+\})?(\$[0-9a-zA-Z]{1,6}\$)?", stored)
    return (match.group(1) or "").upper() + (match.group(2) or "")


def main():
    arguments = json.loads(sys.stdin.readline())
    client = "mariadb" if subprocess.call(["which", "mariadb"], stdout=subprocess.DEVNULL) == 0 else "mysql"
    done = subprocess.run(
        [client, "--batch", "--raw", "--skip-column-names", arguments["database"]],
        input=b"SELECT HEX(CONVERT(email USING utf8mb4)), HEX(CONVERT(password USING utf8mb4)) FROM virtual_users;",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if done.returncode:
        sys.exit(done.stderr.decode("utf-8", "replace"))
    ways = {}
    for line in done.stdout.decode().split("\n")[:-1]:
        email, password = (bytes.fromhex(cell).decode("utf-8", "replace") for cell in line.split("\t"))
        if password:  # an empty one opens nothing, here nor there
            ways.setdefault(way(password), []).append(email)
    known = subprocess.run(["doveadm", "pw", "-l"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    print(json.dumps({"ways": ways, "known": known.stdout.decode("utf-8", "replace").split()}))


if __name__ == "__main__":
    main()
