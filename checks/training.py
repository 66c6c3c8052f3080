"""Looking at what the spam filters have learned."""

from __future__ import annotations

import re
from typing import Any

from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline
from mailmove.server import Server

CHAPTER = "guide: Catching spam with rspamd"
START_S = 60.0  # rspamd compiles its expressions when it starts


def look(server: Server, *, save: bool = False) -> dict[str, Any]:
    """What ``remote/training.py`` tells. With ``save`` Redis writes a fresh dump first."""
    (told,) = server.remote("training", {"save": save}, timeout_s=900)
    return told


def major(version: str) -> tuple[int, ...]:
    """``7.0.15`` -> (7, 0): a dump of a newer minor version cannot be read by an older one."""
    return tuple(int(word) for word in re.findall(r"\d+", version)[:2])


def why_not(told: dict[str, Any], server: Server) -> str:
    """Why there is nothing to carry from this old server; empty if there is."""
    if "rspamd" not in server.facts.packages:
        return "no rspamd on the old server"
    if told["backend"] and told["backend"] != "redis":
        files = ", ".join(told["sqlite"]) or "no file found"
        return (
            f"the old rspamd keeps what it learned in {told['backend']} ({files}), not in Redis: "
            "convert it by rspamd's own recipe (rspamd.com/doc/faq.html), or let the new one learn anew"
        )
    if not told["backend"]:
        return "the old rspamd has no Bayes classifier"
    return ""


def training_can_be_carried(old: Server, new: Server) -> Evidence:
    """Both spam filters learn into a Redis of their own, in the same way, and new's can read old's dump."""
    exam = Examination(
        "what the spam filter learned can be carried over",
        "both",
        why="training of another kind is silently never found: spam comes through as on the first day",
        hint=f"make the classifier's settings the same on both servers ({CHAPTER}); rspamadm configdump classifier shows them",
    )
    if "rspamd" not in old.facts.packages:
        return exam.not_applicable("no rspamd on the old server")
    theirs = look(old)
    reason = why_not(theirs, old)
    if reason:
        return exam.not_applicable(reason)
    ours = look(new)
    for role, told in (("old", theirs), ("new", ours)):
        for words in told["trouble"]:
            exam.unknown(f"{role}: rspamd and Redis", words)
            exam.hint = f"systemctl status redis-server rspamd on the {role} server says what is wrong there"
        exam.expect(
            f"{role}: where the classifier keeps what it learned",
            f"{told['backend'] or 'nowhere'} at {told['host']}",
            told["backend"] == "redis" and told["local"],
            "redis on the server itself",
        )
    exam.expect(
        "training for each user apart (users_enabled) on new",
        ours["per_user"],
        ours["per_user"] == theirs["per_user"],
        f"{theirs['per_user']}, as on old",
    )
    if theirs.get("version") and ours.get("version"):
        exam.expect(
            "Redis, old and new",
            f"{theirs['version']}, {ours['version']}",
            major(theirs["version"]) <= major(ours["version"]),
            "new's is not older",
        )
    return exam.close()


def new_has_learned(new: Server, carried: dict[str, Any] | None, *, exactly: bool = False) -> Evidence:
    """The new spam filter knows as many learned letters as the old one when its training was saved."""
    exam = Examination(
        "the new spam filter has learned what the old one had",
        "new",
        why="below 200 letters of each kind the classifier is silent: spam comes through as on the first day",
        hint=f"carry the training again; is rspamd on new asking the Redis that was filled? ({CHAPTER})",
    )
    if carried is None:
        exam.expect("what was carried", "nothing", False, "old's training")
        return exam.close()
    told: dict[str, Any] = {}
    for _left in Deadline(START_S):
        told = look(new)
        if told.get("stat") and all(told["stat"].get(k, 0) >= n for k, n in carried["learned_before"].items()):
            break
    for words in told["trouble"]:
        exam.unknown("new: rspamd and Redis", words)
    for symbol, count in carried["learned"].items():
        low = carried["learned_before"].get(symbol, count)
        for whose, kind in (("in Redis", "learned"), ("as rspamd tells", "stat")):
            now = told.get(kind, {}).get(symbol)
            good = now is not None and (low <= now <= count if exactly else low <= now)
            wanted = f"{count}, as on old" + ("" if exactly else ", or more")
            exam.expect(f"{symbol}: letters learned, {whose}", "not told" if now is None else now, good, wanted)
    least = carried["keys"] - carried["expiring"]
    exam.expect("keys in new's Redis", told.get("keys", 0), told.get("keys", 0) >= least, f"at least {least}")
    return exam.close()


def drift(old: Server, carried: dict[str, Any] | None) -> list[str]:
    """What the old spam filter learned since its training was carried."""
    if not carried:
        return []
    at = [carried["host"], carried["port"]] if carried.get("local") else None
    (told,) = old.remote("training", {"at": at}, timeout_s=900)
    now = told.get("learned", {})
    return [
        f"{symbol}: {now[symbol]} letters learned, {count} when carried"
        for symbol, count in carried["learned"].items()
        if symbol in now and now[symbol] != count
    ]


def has_learned(old: Server, new: Server, carried: dict[str, Any] | None) -> Evidence:
    """The new spam filter knows at least the letters that were carried; where nothing could be, why."""
    if carried is None:
        return training_can_be_carried(old, new)
    return new_has_learned(new, carried)


def spam_filter_is_at_work(new: Server) -> Evidence:
    """rspamd on the new server reaches its Redis."""
    exam = Examination(
        "the new spam filter is at work",
        "new",
        why="letters wait or come through unfiltered without it",
        hint=f"systemctl status rspamd redis-server ({CHAPTER})",
    )
    if "rspamd" not in new.facts.packages:
        return exam.not_applicable("no rspamd on the new server")
    told: dict[str, Any] = {}
    for _left in Deadline(START_S):
        told = look(new)
        if told.get("stat") and not told["trouble"]:
            break
    for words in told["trouble"]:
        exam.expect("rspamd and Redis", words, False, "no trouble")
    exam.expect("letters learned", told.get("stat") or "not told", bool(told.get("stat")), "told")
    return exam.close()
