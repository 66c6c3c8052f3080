"""What a mail server has beside Postfix and Dovecot: databases, jobs, mail of the machine, web, spam filter, services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from mailmove.parity.model import Difference, Side, judged, listed, owned
from mailmove.parity.rules import Weight


def database(old: Side, new: Side, carried: Iterable[str]) -> Iterator[Difference]:
    """Databases, tables, triggers and events that old has. ``carried``: databases that the moves carry over, old: new."""
    theirs, ours = old.seen["database"].get("tables", {}), new.seen["database"].get("tables", {})
    names = dict(pair.split(":", 1) for pair in carried)
    for base, tables in sorted(theirs.items()):
        there = ours.get(names.get(base, base))
        if base not in names:
            if there is None:
                yield Difference(
                    f"database {base}",
                    f"{len(tables)} tables",
                    "not there",
                    Weight.RECOMMENDED,
                    "no move carries it over",
                )
            continue
        for table, columns in sorted(tables.items()):
            if there is None or table not in there:
                yield Difference(
                    f"database {base}.{table}", "a table", "not there", Weight.RECOMMENDED, "no move carries it over"
                )
            elif more := [column for column in columns if column not in there[table]]:
                yield Difference(
                    f"database {base}.{table}",
                    listed(more),
                    "not there",
                    Weight.RECOMMENDED,
                    "columns new does not have",
                )
    known = {(kind, name) for kind, _, name in new.seen["database"].get("extra", [])}
    for kind, base, name in old.seen["database"].get("extra", []):
        if (kind, name) not in known:
            yield Difference(
                f"database {kind} {base}.{name}",
                "there",
                "not there",
                Weight.RECOMMENDED,
                "it does something by itself",
            )


def jobs(old: Side, new: Side) -> Iterator[Difference]:
    """Jobs of the admin's own that touch mail, and by which clock they are done."""
    (there, *theirs), (here, *ours) = old.seen["zone"], new.seen["zone"]
    if theirs != ours:
        reason = "jobs, people's rules that ask for the hour, and what the logs say go by another clock (timedatectl set-timezone)"
        yield Difference("time zone", there, here, Weight.RECOMMENDED, reason)
    known = {each["digest"] for lines in new.seen["jobs"].values() for each in lines}
    for where, lines in sorted(old.seen["jobs"].items()):
        for each in lines:
            if each["digest"] not in known:
                runs = ", ".join(each["runs"]) or "a command"
                found = judged(f"job {where}", f"runs {runs}", "not there", new)
                yield (
                    found
                    if found.reason
                    else Difference(found.name, found.old, found.new, found.weight, "nobody does it on new")
                )


def system_mail(old: Side, new: Side) -> Iterator[Difference]:
    """The system's own aliases, mail in /var/mail, and people with a login."""
    theirs, ours = old.seen["aliases"], new.seen["aliases"]
    for name, target in sorted(theirs.items()):
        if old.plain(ours.get(name, "")) != old.plain(target) and new.plain(ours.get(name, "")) != old.plain(target):
            programs = re.search(r"[|/]|:include:", target) is not None
            yield Difference(
                f"system alias {name}",
                "a program or a file" if programs else target,
                "elsewhere" if name in ours else "not there",
                Weight.REQUIRED if "|" in target else Weight.RECOMMENDED,
                "letters are handed to a program there (a list, a ticket system), and no longer will be"
                if "|" in target
                else "reports of the machine itself reach nobody, or somebody else",
            )
    for user, spool in sorted(old.seen["spools"].items()):
        yield Difference(
            f"mail in {user}" if "/" in user else f"mail in /var/mail of {user}",
            f"{spool['bytes']:,} bytes",
            "not carried over",
            Weight.REQUIRED if spool["person"] else Weight.RECOMMENDED,
            "no move carries over letters that lie outside the mail root",
        )
    left = [home for home in old.seen["homes"] if home.lower() not in old.users]
    if left:
        yield Difference(
            "mailboxes without an account",
            listed(set(left)),
            "seen by nobody",
            Weight.RECOMMENDED,
            "they come along as they are, and nobody can look into them: delete them, or give them accounts",
        )
    if old.seen["shut"]:
        yield Difference(
            "what Dovecot on old may not read",
            owned(old.seen["shut"]),
            "shut there as well",
            Weight.REQUIRED,
            "nobody sees what lies there, and the move cannot prove that it came along: give it to the mailboxes' own user "
            "(chown), or move it out of the mail root",
        )
    if away := old.seen["elsewhere"]:
        yield Difference(
            "mailboxes with a home elsewhere",
            listed(f"{user} in {home}" for user, home in away),
            "not carried over",
            Weight.REQUIRED,
            "moves look below the mail root only: move the directory there, and let Dovecot's user query say so",
        )
    for path, target in old.seen["links"]:
        yield Difference(
            f"mail behind the link {path}",
            f"lies in {target}",
            "not carried over",
            Weight.REQUIRED,
            "a link is carried over as a link: move the directory to where the link is, or mount it there (mount --bind)",
        )
    for user, forward in sorted(old.seen["people"].items()):
        here = new.seen["people"].get(user)
        if here is None:
            yield Difference(
                f"login {user}", "there", "not there", Weight.RECOMMENDED, "somebody has an account on old"
            )
        elif forward and not here:
            yield Difference(
                f"forward of {user}",
                "there",
                "not there",
                Weight.RECOMMENDED,
                "mail for this user is passed on, on old",
            )


def web(old: Side, new: Side) -> Iterator[Difference]:
    """Web sites, paths and the webmail's plugins."""
    own = {n.lower() for n in (*old.names, *old.websites)} & {n.lower() for n in old.seen["websites"]["names"]}
    mail = {name for name in own if name in {n.lower() for n in old.names}}
    for name in old.seen["websites"]["names"]:
        covered = name in new.seen["websites"]["names"] or name in mail
        if not covered and not name.endswith(tuple(f".{d}" for d in old.domains)):
            yield Difference(
                f"web site {name}", "there", "not there", Weight.RECOMMENDED, "it goes with the old server"
            )
        elif not covered:
            reason = "a name of the mail server's; certificates and signing keys carry it over where it is in use"
            yield Difference(f"web site {name}", "there", "not there", Weight.EXPLAINED, reason)
    for path in sorted(set(old.seen["websites"]["paths"]) - set(new.seen["websites"]["paths"])):
        yield Difference(f"web path {path}", "there", "not there", Weight.RECOMMENDED, "it goes with the old server")
    yield from webmail(old, new)


def webmail(old: Side, new: Side) -> Iterator[Difference]:
    """Roundcube's plugins and settings, and what may be attached to a letter there."""
    theirs, ours = old.seen["webmail"], new.seen["webmail"]
    for plugin in sorted(set(theirs["plugins"]) - set(ours["plugins"])):
        yield Difference(
            f"webmail plugin {plugin}", "in use", "not in use", Weight.RECOMMENDED, "people miss what it does"
        )
    if not theirs["settings"] or not ours["settings"]:
        return  # one of them has no webmail, which other scenarios say
    largest, here = theirs["attachment"], ours["attachment"]
    if here and (not largest or here < largest):
        yield Difference(
            "webmail attachments",
            f"up to {largest:,} bytes" if largest else "without limit",
            f"up to {here:,} bytes",
            Weight.RECOMMENDED,
            "files that people attach in the webmail today are refused (upload_max_filesize, post_max_size)",
        )
    for name in sorted(set(theirs["settings"]) | set(ours["settings"])):
        there, now = (old.plain(theirs["settings"].get(name, "")), new.plain(ours["settings"].get(name, "")))
        if there != now:
            yield judged(f"webmail setting {name}", there or "not set", now or "not set", new)


def spam_filter(old: Side, new: Side) -> Iterator[Difference]:
    """The filter's own settings, lists and thresholds."""
    theirs, ours = old.seen["spam_filter"], new.seen["spam_filter"]
    known = {each["digest"] for each in ours.values()}
    for name, each in sorted(theirs.items()):
        if each["digest"] not in known:
            there = "another text" if name in ours else "not there"
            found = judged(f"spam filter {name}", f"{each['lines']} lines", there, new)
            reason = found.reason or "letters are judged in another way: white and black lists are not carried over"
            yield Difference(found.name, found.old, found.new, found.weight, reason)
    usual = {each["digest"] for each in theirs.values()}
    for name, each in sorted(ours.items()):
        if name not in theirs and each["digest"] not in usual:
            found = judged(f"spam filter {name}", "not there", f"{each['lines']} lines", new)
            reason = found.reason or "letters are judged by something that only new has"
            yield Difference(found.name, found.old, found.new, found.weight, reason)
    yield from _thresholds(old.seen["thresholds"], new.seen["thresholds"])


SPAM_TO_ALL = 15.0  # rspamd's own score for a refusal: who refuses below it refuses letters of people


def _thresholds(theirs: Mapping[str, float], ours: Mapping[str, float]) -> Iterator[Difference]:
    """From which score on a letter is refused, marked or put off."""
    if not theirs or not ours:
        return  # one of them has no filter, or it tells nobody
    for action in sorted({*theirs, *ours}):
        there, here = (side.get(action) for side in (theirs, ours))
        if there == here:
            continue
        stricter = here is not None and (there is None or here < there)
        refused = action == "reject" and stricter and here is not None and here < SPAM_TO_ALL
        reason = "letters are judged more strictly than people are used to" if stricter else "more spam comes through"
        yield Difference(
            f"spam filter threshold {action}",
            "never" if there is None else f"from {there:g} on",
            "never" if here is None else f"from {here:g} on",
            Weight.REQUIRED if refused else Weight.RECOMMENDED,
            "letters that come through on old are refused" if refused else reason,
        )


def daemons(old: Side, new: Side) -> Iterator[Difference]:
    """Services that run on old only, what systemd was told about those of both, and what guards the machine."""
    for name in sorted(set(old.seen["daemons"]) - set(new.seen["daemons"])):
        yield judged(f"service {name}", "runs", "does not run", new)
    for unit in sorted({*old.seen["overrides"], *new.seen["overrides"]}):
        there, here = (set(side.seen["overrides"].get(unit, [])) for side in (old, new))
        if there != here:
            yield judged(
                f"unit {unit}", listed(there - here) or "nothing more", listed(here - there) or "nothing more", new
            )
    theirs, ours = old.seen["firewall"], new.seen["firewall"]
    if theirs["rules"] and not ours["rules"]:
        yield Difference(
            "firewall", f"{theirs['rules']} rules", "none", Weight.RECOMMENDED, "nothing is kept out on new"
        )
    for jail in sorted(set(theirs["jails"]) - set(ours["jails"])):
        yield Difference(
            f"fail2ban {jail}",
            "watched",
            "not watched",
            Weight.RECOMMENDED,
            "whoever guesses passwords is not shut out",
        )
