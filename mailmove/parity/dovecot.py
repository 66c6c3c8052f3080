"""How people read their letters: protocols and logins, and how their mailboxes work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mailmove.parity import rules
from mailmove.parity.model import Difference, Side, judged, listed, owned
from mailmove.parity.rules import Weight


def reading(old: Side, new: Side) -> Iterator[Difference]:
    """Protocols and ways of logging in."""
    for kind, theirs, ours, loss in (
        ("protocol", old.protocols, new.protocols, "mail programs that are set up so find nobody"),
        ("login", old.mechanisms, new.mechanisms, "mail programs that log in so are refused"),
    ):
        for word in sorted({w.lower() for w in theirs} - {w.lower() for w in ours}):
            yield Difference(f"dovecot {kind} {word}", "offered", "not offered", Weight.REQUIRED, loss)
        for word in sorted({w.lower() for w in ours} - {w.lower() for w in theirs}):
            yield Difference(f"dovecot {kind} {word}", "not offered", "offered", Weight.EXPLAINED, "one way more")
    yield from _accounts(old, new)
    yield from _queries(old, new)


_OF_THE_MACHINE = ("pam", "passwd", "shadow", "bsdauth")


def _accounts(old: Side, new: Side) -> Iterator[Difference]:
    """Who is known to old's Dovecot beside the database."""
    ours: dict[tuple[str, ...], set[str]] = {}
    for kind, driver, deny, master, names in new.seen["accounts"]:
        ours.setdefault((kind, driver, deny, master), set()).update(names)
    for kind, driver, deny, master, names in old.seen["accounts"]:
        here = ours.get((kind, driver, deny, master))
        lost = sorted({name for name in names if name.lower() not in old.users or deny or master} - (here or set()))
        beside = driver not in ("sql", "static", "prefetch", "passwd-file") and here is None
        if not lost and not beside:
            continue
        weight, reason = Weight.REQUIRED, "who is known there and not in the database can no longer log in"
        if driver in _OF_THE_MACHINE:
            reason = "users of the machine itself, who read mail with their login, can no longer"
        elif kind == "userdb":
            reason = "mailboxes that are in no database are not known on new: letters for them are refused"
        if deny:
            reason = "who is shut out by it on old gets in on new"
        elif master:
            weight, reason = (
                Weight.RECOMMENDED,
                "programs that open everybody's mailbox with it (a backup, an archive) cannot",
            )
        word = " that refuses" if deny else " of masters" if master else ""
        yield Difference(f"dovecot {kind} {driver}{word}", listed(lost) or "in use", "not there", weight, reason)


def _queries(old: Side, new: Side) -> Iterator[Difference]:
    """By which conditions Dovecot finds people in the database, and what else it takes from there."""
    for query, (condition, fields) in sorted(old.seen["queries"].items()):
        now, taken = new.seen["queries"].get(query, (condition, fields))
        if condition.lower() != now.lower():
            reason = "who is let in and who is not, or which mailbox is theirs, is decided in another way"
            yield Difference(f"dovecot {query}", f"where {condition}", f"where {now}", Weight.REQUIRED, reason)
        if lost := sorted(set(fields) - set(taken)):
            reason = (
                "what it says of single people (where their mail lies, from where they may log in) is not asked for"
            )
            yield Difference(f"dovecot {query} fields", listed(lost), "not asked for", Weight.REQUIRED, reason)


def mailboxes(old: Side, new: Side) -> Iterator[Difference]:
    """Plugins, namespaces, limits, folders for a purpose, Sieve for everybody, and whatever else is set."""
    yield from _plugins_of_protocols(old, new)
    yield from _stored(old, new)
    for plugin in sorted(old.plugins - new.plugins):
        if rules.PLUGINS_RENAMED.get(plugin, plugin) in new.plugins:
            continue
        loss = rules.PLUGINS_NEEDED.get(plugin, "")
        weight = Weight.REQUIRED if loss else Weight.RECOMMENDED
        if plugin == "quota":
            weight, loss = Weight.RECOMMENDED, "mailboxes have no limit any more"
        yield Difference(f"dovecot plugin {plugin}", "in use", "not in use", weight, loss)
    for plugin in sorted(new.plugins - old.plugins):
        yield Difference(
            f"dovecot plugin {plugin}", "not in use", "in use", Weight.EXPLAINED, "the new server does more"
        )
    there, here = (int(side.seen["watchers"] or 0) for side in (old, new))
    if 0 < here < there:
        loss = (
            "programs of more people than that, waiting at once, are told late of a new letter (sysctl, /etc/sysctl.d)"
        )
        yield Difference("kernel fs.inotify.max_user_instances", str(there), str(here), Weight.RECOMMENDED, loss)
    yield from _sieve(old, new)
    yield from _programs(old, new)
    yield from _kept(old, new)
    if new.seen["shut"]:
        yield Difference(
            "what Dovecot on new may not read",
            "",
            owned(new.seen["shut"]),
            Weight.REQUIRED,
            "letters for people there are put off, and then come back to those who wrote: chown -R to the mailboxes' own user",
        )
    if old.dovecot != new.dovecot:
        return  # another language: single settings cannot be laid side by side
    theirs, ours = old.seen["dovecot"], new.seen["dovecot"]
    lost = {k.split("/")[0] for k in theirs if k.startswith("namespace ")} - {k.split("/")[0] for k in ours}
    for namespace in sorted(lost):
        yield Difference(f"dovecot {namespace}", "there", "not there", Weight.REQUIRED, "all folders in it are gone")
    for name in sorted(set(theirs) | set(ours)):
        if name.split("/")[0] in lost:
            continue
        there, here = theirs.get(name), ours.get(name)
        if name.endswith("/autoexpunge"):
            if _days(here) and (not _days(there) or _days(here) < _days(there)):
                yield judged(f"dovecot {name}", there or "kept", f"deleted after {here}", new)
        elif name.endswith("/special_use"):
            if there and not here:
                yield judged(f"dovecot {name}", there, "no folder for it", new)
        elif old.plain(there or "") != new.plain(here or ""):
            yield judged(
                f"dovecot {name}", old.plain(there or "") or "(default)", new.plain(here or "") or "(default)", new
            )


def _kept(old: Side, new: Side) -> Iterator[Difference]:
    """What old's Dovecot keeps of people's outside the mail root: no move looks there."""
    for name, where in sorted(old.seen["dicts"].items()):
        yield Difference(
            f"dovecot dict of {name}", where, "not carried over", Weight.REQUIRED,
            "no move carries over what is kept there (who shares which folder, keys of encrypted letters, what programs wrote of"
            " folders): copy it by hand, last of all once Dovecot rests",
        )  # fmt: skip
    there = new.seen["kept"].values()
    known = {digest for each in there for kind in ("digests", "letters") for digest in each[kind]}
    many = any(each["many"] for each in there)  # nobody read the letters among them
    for name, each in sorted(old.seen["kept"].items()):
        loss = next((words for pattern, words in rules.KEPT if fnmatchcase(name, pattern)), "")
        lost = {*each["digests"], *([] if many else each["letters"])} - known
        if lost or each["more"]:
            yield Difference(
                f"dovecot files of {name}",
                f"{each['files']:,}{' and more' * each['more']} in {each['path']}",
                "not there" if lost else "too many to compare",
                Weight.REQUIRED if loss else Weight.RECOMMENDED,
                f"no move carries over what lies outside the mail root: {loss}" if loss else "no move carries it over",
            )


def _plugins_of_protocols(old: Side, new: Side) -> Iterator[Difference]:
    """Where new has a plugin that letters depend on, but not for all who read them."""
    if old.dovecot != new.dovecot:
        return
    for protocol in ("", "imap", "pop3", "lmtp"):
        if protocol and protocol not in {word.lower() for word in new.protocols}:
            continue
        theirs, ours = (_loaded(side, protocol) for side in (old, new))
        for plugin in sorted((theirs - ours) & set(rules.PLUGINS_NEEDED) & new.plugins):
            name = f"dovecot protocol {protocol} plugin {plugin}" if protocol else f"dovecot mail_plugins {plugin}"
            yield Difference(name, "in use", "not in use there", Weight.REQUIRED, rules.PLUGINS_NEEDED[plugin])


def _stored(old: Side, new: Side) -> Iterator[Difference]:
    """How each stores the letters that come, where the other could not read them."""
    theirs, ours = old.seen["dovecot"], new.seen["dovecot"]
    packed = ours.get("plugin/zlib_save") or ours.get("mail_compress_write_method")
    locked = ours.get("plugin/mail_crypt_save_version", "0") != "0"
    for saved, readers, word in (
        (packed, {"zlib", "mail_compress"}, "compressed"),
        (locked, {"mail_crypt"}, "encrypted"),
    ):
        if saved and not readers & old.plugins:
            reason = "letters that reach new cannot be read on old, should the move be called off: switch it off until old is dismissed"
            yield Difference(
                f"dovecot letters stored {word}", "no plugin to read them", "new ones are", Weight.REQUIRED, reason
            )
    if theirs.get("plugin/zlib_save") in ("xz", "lzma") and new.dovecot not in ("2.2", "2.3"):
        reason = "Dovecot 2.4 does not read letters that were stored so: store them anew on old first (doveadm sync to a new Maildir)"
        yield Difference("dovecot letters stored as xz", "new ones are", "not read", Weight.REQUIRED, reason)


def _loaded(side: Side, protocol: str) -> set[str]:
    """The plugins of a protocol; "" is doveadm(1), by which letters are moved and looked at."""
    settings = side.seen["dovecot"]
    everywhere = settings.get("mail_plugins", "")
    return set(settings.get(f"protocol {protocol}/mail_plugins", everywhere).split())


def _days(text: str | None) -> float:
    """A time in Dovecot's words in days; 0 is never."""
    match = re.fullmatch(r"(\d+)\s*([a-z]*)", (text or "").strip())
    if not match:
        return 0.0
    units = {"s": 1 / 86400, "m": 1 / 1440, "h": 1 / 24, "d": 1.0, "w": 7.0}
    return int(match[1]) * units.get(match[2][:1], 1 / 86400)


def _sieve(old: Side, new: Side) -> Iterator[Difference]:
    theirs, ours = old.seen["sieve"], new.seen["sieve"]
    for name, script in sorted(theirs.items()):
        same = ours.get(name)
        if any(each["digest"] == script["digest"] for each in ours.values()):
            continue
        does = f"{', '.join(script['does']) or 'nothing'} (looks at {', '.join(script['looks_at']) or 'everything'})"
        if any(_alike(script, each) for each in ours.values()):
            reason = "both do the guide's work; the chapter on spam tries it"
            yield Difference(f"dovecot global sieve {name}", does, "another text", Weight.EXPLAINED, reason)
        elif same:
            yield Difference(
                f"dovecot global sieve {name}", does, "another text", Weight.RECOMMENDED, "it may do something else"
            )
        else:
            loss = "it works on everybody's letters, and no longer will"
            yield Difference(f"dovecot global sieve {name}", does, "not there", Weight.REQUIRED, loss)
    known = {each["digest"] for each in theirs.values()}
    for name, script in sorted(ours.items()):
        if name not in theirs and script["digest"] not in known and not any(_alike(script, e) for e in theirs.values()):
            does = ", ".join(script["does"]) or "nothing"
            weight, reason = Weight.RECOMMENDED, "only new has it"
            if TAKING & set(script["does"]):
                weight = Weight.REQUIRED
                reason = "it keeps letters of everybody's from the mailbox, which old delivers: left over from a test?"
            yield Difference(f"dovecot global sieve {name}", "not there", does, weight, reason)


TAKING = {"discard", "reject", "ereject", "redirect"}  # a letter that is filed is still there


def _programs(old: Side, new: Side) -> Iterator[Difference]:
    """What rules of old may start, and cannot on new."""
    theirs, ours = old.seen["sieve_programs"], new.seen["sieve_programs"]
    known = {each["digest"] for each in ours.values()}
    teacher = any(each["teaches"] for each in ours.values())
    for name, program in sorted(theirs.items()):
        if program["digest"] in known and name in ours:
            continue
        if program["teaches"] and teacher:
            weight, reason = Weight.EXPLAINED, "it teaches the spam filter; the chapter on spam tries it"
        elif name in ours:
            weight, reason = Weight.RECOMMENDED, "it may do something else with what rules hand to it"
        else:
            weight, reason = Weight.REQUIRED, "rules that hand letters to it (pipe, filter, execute) no longer can"
        yield Difference(
            f"dovecot sieve program {name}", "there", "another one" if name in ours else "not there", weight, reason
        )


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both do the guide's work on spam: file what the filter marked, or teach the filter."""
    filing = all(
        s["does"] == ["fileinto"]
        and s["looks_at"]
        and {w.lower() for w in s["looks_at"]} <= {"x-spam", "x-spam-flag", "x-spam-status"}
        for s in (one, other)
    )
    return filing or all(s["does"] == ["pipe"] for s in (one, other))
