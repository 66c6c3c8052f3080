"""Waits for programs and runs each in a process of its own: Python has started before it is needed. Writes nothing.

In, for each: one line of JSON {"id", "program": its bytes, "arguments": bytes of what it reads on standard input, "packed": whether
zlib made these smaller, "time": seconds it may take, 0 if it is only to be made ready}, then the program, then its arguments.
Out, for each: "\\1ID", on a line of its own; what the program prints; "\\0" and one line of JSON {"id", "rc", "error": what it
said on standard error}. No line of JSON holds these two bytes.
It ends with its input, and when nothing is asked for IDLE_S.
"""

import base64  # noqa: F401  # what programs import is here before they ask
import concurrent.futures.thread  # noqa: F401
import errno  # noqa: F401
import fcntl  # noqa: F401
import glob  # noqa: F401
import grp
import hashlib
import io
import json
import os
import pty  # noqa: F401
import pwd
import re  # noqa: F401
import resource  # noqa: F401
import shutil  # noqa: F401
import signal
import socket  # noqa: F401
import stat  # noqa: F401
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401
import threading
import time  # noqa: F401
import zlib

IDLE_S = 900
KILL_AFTER_S = 5
LONGEST = 1 << 20  # of what is told of standard error

made = {}


def write(data):
    while data:
        data = data[os.write(1, data) :]


def ready(program):
    if program not in made:
        made[program] = compile(program, "mailmove-remote", "exec")
    return made[program]


def waited(child, seconds):
    """The exit status of a child; as timeout(1) tells it, if the time was up."""
    late = []

    def end(*_):
        late.append(True)
        try:
            os.killpg(child, signal.SIGTERM if len(late) == 1 else signal.SIGKILL)
        except ProcessLookupError:
            pass
        signal.alarm(KILL_AFTER_S)

    signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    code = os.waitstatus_to_exitcode(status)
    return 124 if late else code if code >= 0 else 128 - code


def lived_through(code):
    """Run a program as Python would, and end with it at once: to take down all that stands here takes ten times as long."""
    rc = 0
    try:
        exec(code, {"__name__": "__main__", "__builtins__": __builtins__})
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        sys.stdout.flush()
    except SystemExit as end:
        rc = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if rc and rc is not end.code:
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        rc = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # whoever reads it may be gone
        os._exit(rc)


def serve(source):
    """Answer until nothing more is asked. In the child that is to run a program, it and its arguments are returned."""
    while True:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends it
        signal.alarm(IDLE_S)
        line = source.readline()
        signal.alarm(0)
        if not line:
            return None
        wanted = json.loads(line)
        program, arguments = source.read(wanted["program"]), source.read(wanted["arguments"])
        if len(program) < wanted["program"] or len(arguments) < wanted["arguments"]:
            return None  # whoever asked went away
        code = ready(program)
        write(b"\1%d\n" % wanted["id"])
        rc, error = 0, b""
        if wanted["time"]:
            said = os.memfd_create("error")
            child = os.fork()
            if not child:
                os.setpgid(0, 0)
                nothing = os.open(os.devnull, os.O_RDONLY)
                os.dup2(nothing, 0)  # the way to whoever asks is not the program's
                os.dup2(said, 2)
                os.close(nothing)
                os.close(said)
                return code, zlib.decompress(arguments) if wanted["packed"] else arguments
            try:
                os.setpgid(child, child)  # whoever comes first, or it could not be ended as a group
            except OSError:
                pass
            rc = waited(child, wanted["time"])
            os.lseek(said, 0, os.SEEK_SET)
            error = os.read(said, LONGEST)
            os.close(said)
        end = {"id": wanted["id"], "rc": rc, "error": error.decode("utf-8", "replace")}
        write(b"\0" + json.dumps(end).encode() + b"\n")


hashlib.sha256(b"").hexdigest()
pwd.getpwuid(0), grp.getgrgid(0)  # brings in what looks names up
asked = serve(sys.stdin.buffer)
if asked is not None:
    sys.stdin = io.TextIOWrapper(io.BytesIO(asked[1]), encoding="utf-8", errors="surrogateescape")
    lived_through(asked[0])
