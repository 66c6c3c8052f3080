"""Teaches rspamd of the old server enough spam and ham for Bayes to be active.

Run as root when rspamd answers with its settings for Redis. Standard library only (Python 3.9).
"""

from __future__ import annotations

import json
import pathlib
import random
import subprocess
import tempfile

import letters

RESULT = pathlib.Path("/opt/mailmove-lab/learned.json")
# Below 200 of each Bayes is silent. It is awake while the last of the ham is learned, and then refuses what it knows
# for sure: so those letters are doubtful ones
LESSONS = (("spam", 240, False), ("ham", 190, False), ("ham", 70, True))
ENOUGH = 220


def teach(kind: str, count: int, doubtful: bool) -> None:
    """One call for many letters."""
    dice = random.Random(f"teach {kind} {doubtful}")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            text = letters.teaching(dice, number + 1000 * doubtful, kind == "spam", doubtful)
            (pathlib.Path(folder) / f"{number:03d}.eml").write_bytes(text)
        command = ["rspamc", "-h", "localhost:11334", "-n", "8", f"learn_{kind}", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def learned() -> dict[str, int]:
    """How many letters Bayes knows. Asked of Redis: `rspamc stat` tells the same, but half a minute late."""
    answer = subprocess.run(["redis-cli", "hmget", "RS", "learns_spam", "learns_ham"], check=True, capture_output=True)
    spam, ham = answer.stdout.split(b"\n")[:2]
    return {"spam": int(spam or 0), "ham": int(ham or 0)}


if __name__ == "__main__":
    for lesson in LESSONS:
        teach(*lesson)
    counts = learned()
    if min(counts.values()) < ENOUGH:
        raise SystemExit(f"rspamd has learned too little: {counts}")
    unfinished = RESULT.with_suffix(".writing")
    unfinished.write_text(json.dumps(counts))
    unfinished.rename(RESULT)
