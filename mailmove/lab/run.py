"""Running the host's own programs (ip, mount, ...), with their complaint kept when one fails."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from mailmove.lab.errors import LabError


def run(
    argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60, hint: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it said; `timeout` in seconds.

    Raises LabError with the command and the last lines of its complaint if it fails or takes too long.
    """
    done = attempt(argv, stdin=stdin, timeout=timeout)
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        said = " | ".join(complaint) or "without a word"
        raise LabError(
            f"`{shlex.join(argv)}` failed with status {done.returncode}: {said}",
            hint or "run it by hand to see more; `mailmove lab down` and `up` again often helps",
        )
    return done


def attempt(argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Like `run`, for programs that may fail: the caller looks at `returncode`."""
    try:
        return subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(
            f"`{shlex.join(argv)}` did not end within {timeout:.0f} s",
            "the machine may be overloaded: look at `uptime`, then try again",
        ) from late
    except FileNotFoundError as missing:
        raise LabError(f"the program `{argv[0]}` is not installed", "run `mailmove lab up` as root") from missing
