"""Folders: known for what they are, kept, and named as people are used to."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress

from checks import sievescripts
from checks.mailboxes import exam_of_dovecot, in_mailbox
from mailmove.clients import imap
from mailmove.clients.account import Account
from mailmove.errors import ServerError
from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline
from mailmove.server import Server

DAY = 86400
PERIOD_S = 1  # how old a probe's letter must be to be called old
AGEING_S = 4.0  # until it is

WEARING = {"\\Junk": ("junk", "spam"), "\\Trash": ("trash", "deleted")}
"""Folders whose letters may go away by themselves: their mark, and words in the names of such folders."""


def special_folders_are_known(new: Server, account: Account) -> Evidence:
    """Mail programs are told which folder is for sent mail, drafts, spam and deleted mail (RFC 6154)."""
    exam = exam_of_dovecot(
        "Mail programs find the folders for spam, sent and deleted mail",
        "Programs that are not told make folders of their own, each its own: Sent, Sent Items, Gesendet.",
        "15-mailboxes.conf: special_use in the mailbox blocks Drafts, Junk, Sent, Trash",
    )
    in_mailbox(exam, new, account, lambda box: _look_for_special_folders(exam, box))
    return exam.close()


def _look_for_special_folders(exam: Examination, box: imap.Mailbox) -> None:
    prefix = box.namespace().prefix
    wanted = {f"{prefix}{name}": f"\\{name}" for name in ("Drafts", "Junk", "Sent", "Trash")}
    there = {folder.name for folder in box.folders()}
    made = [name for name in wanted if name not in there]
    for name in made:
        with suppress(imap.ImapError):  # a folder that cannot be made will be missing below
            box.create(name)
    shown = {folder.name: folder.flags for folder in box.folders()}
    for name, flag in wanted.items():
        flags = shown.get(name, frozenset())
        by_whom = "made on demand" if name in made else "made by the server"
        exam.expect(f"folder {name} ({by_whom})", " ".join(sorted(flags)) or "none", flag in flags, flag)
    wrongly = [name for name, flags in shown.items() if name == "INBOX" and flags & set(wanted.values())]
    exam.expect("the inbox", "marked as one of these" if wrongly else "not marked", not wrongly, "not marked")


def old_spam_goes_away(old: Server, new: Server, account: Account) -> Evidence:
    """Spam and deleted mail that is old enough is removed by Dovecot itself; a letter in the inbox is not."""
    exam = exam_of_dovecot(
        "Old spam and deleted mail go away by themselves",
        "Nobody empties these folders: they fill the disk, and people's quota.",
        "15-mailboxes.conf: autoexpunge = 30d in the mailbox blocks Junk and Trash",
        required=False,
    )
    theirs, ours = expiry(_namespaces(old)), expiry(_namespaces(new))
    if not theirs and not ours:
        return exam.not_applicable("no folder is cleared by age, on neither server")
    folders: list[str] = []
    prefix = ""

    def look(box: imap.Mailbox) -> None:
        nonlocal prefix
        prefix = box.namespace().prefix
        marked = {flag: f.name.removeprefix(prefix) for f in box.folders() for flag in WEARING if flag in f.flags}
        folders.extend(marked.get(flag, words[0].capitalize()) for flag, words in WEARING.items())

    in_mailbox(exam, new, account, look)
    for name in folders:
        seconds = ours.get(name, 0)
        there = f", on old {words_for(theirs[name])}" if name in theirs else ""
        exam.expect(f"letters in {name} go away", words_for(seconds) + there, seconds > 0, "after some weeks")
    ageing = [name for name in folders if ours.get(name)]
    if ageing:
        _watch_them_go(exam, new, account, ageing, prefix)
    return exam.close()


def _watch_them_go(exam: Examination, new: Server, account: Account, names: list[str], prefix: str) -> None:
    """Dovecot's own session of the probe's, to which one second is old: nobody can wait for weeks."""
    mark = secrets.token_hex(8)
    letter = f"Subject: mailmove {mark}\r\n\r\nGrowing old.\r\n".encode()
    settings = [
        word for name in names for word in ("-o", f"namespace/inbox/mailbox/{name}/autoexpunge={PERIOD_S} secs")
    ]
    session = 'user=$1; shift; printf "a LOGOUT\\r\\n" | "$(doveconf -h libexec_dir)/imap" "$@" -u "$user"'
    folders = [prefix + name for name in names]
    left: dict[str, int] = {}

    def put(box: imap.Mailbox) -> None:
        for name in (*folders, "INBOX"):
            if name not in {f.name for f in box.folders()}:
                box.create(name)
            box.append(letter, name)

    def count(box: imap.Mailbox) -> None:
        left.update({name: len(box.search("HEADER", "Subject", mark, folder=name)) for name in (*folders, "INBOX")})

    in_mailbox(exam, new, account, put)
    said = ""
    for _ in Deadline(AGEING_S, every=PERIOD_S + 0.5):
        answer = new.sh(session, account.email, *settings)
        said = answer.err.strip() if not answer.ok else ""
        in_mailbox(exam, new, account, count)
        if said or not any(left.get(name) for name in folders):
            break
    for name in folders:
        words = "still there" if left.get(name) else "gone"
        exam.expect(f"a letter in {name}, once it is old", said or words, not said and words == "gone", "gone")
    exam.equal("letters as old in the inbox that are still there", left.get("INBOX"), 1)


def only_spam_goes_away(old: Server, new: Server) -> Evidence:
    """No folder but those for spam and deleted mail loses letters by age, and those not sooner than on the old server."""
    exam = exam_of_dovecot(
        "Only spam and deleted mail go away by themselves",
        "Dovecot deletes for good what is older, at the owner's next logout, without a word.",
        "15-mailboxes.conf: autoexpunge belongs into the mailbox blocks Junk and Trash only; 30 without d is 30 seconds",
    )
    theirs, ours = expiry(_namespaces(old)), expiry(_namespaces(new))
    for name, seconds in ours.items():
        least = min(theirs.get(name, 7 * DAY), 7 * DAY) if wears(name) else theirs.get(name, 0)
        good = bool(least) and seconds >= least
        exam.expect(f"letters in {name} go away", words_for(seconds), good, words_for(least, "or later"))
    exam.expect("other folders", "keep their letters", good=True)
    return exam.close()


def wears(name: str) -> bool:
    """Whether a folder's name says that it is for spam or deleted mail."""
    last = re.split(r"[./]", name.lower())[-1]
    return any(word in last for words in WEARING.values() for word in words)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY, "w": 7 * DAY}
_BLOCK = re.compile(r"^\s*mailbox\s+(\"(?:[^\"\\]|\\.)*\"|\S+)\s*\{")
_EXPIRY = re.compile(r"^\s*(?:mailbox_)?autoexpunge\s*=\s*(\d+)\s*([a-z]*)")


def expiry(namespaces: str) -> dict[str, int]:
    """Folder -> seconds after which Dovecot removes its letters, from ``doveconf namespace``."""
    found: dict[str, int] = {}
    folder = ""
    for line in namespaces.splitlines():
        if block := _BLOCK.match(line):
            folder = block[1].strip('"')
        elif (setting := _EXPIRY.match(line)) and folder:
            seconds = int(setting[1]) * _UNITS.get(setting[2][:1], 1)
            if setting[2].startswith("ms") or setting[2].startswith("milli"):
                seconds = 0
            if seconds:
                found[folder] = seconds
    return found


def words_for(seconds: int, more: str = "") -> str:
    """A period for a person."""
    if not seconds:
        return "never"
    number, unit = (seconds // DAY, "days") if seconds >= DAY else (seconds, "seconds")
    return f"after {number} {unit}" + f" {more}" * bool(more)


def _namespaces(server: Server) -> str:
    return server.run("doveconf", "namespace", check=True).out


def subscriptions_are_kept(new: Server, account: Account) -> Evidence:
    """A folder that was subscribed to is shown at the next login, one that was unsubscribed from is not."""
    exam = exam_of_dovecot(
        "Folders people subscribed to stay subscribed",
        "Mail programs show the subscribed folders only: what is lost here looks like lost mail.",
        "is subscriptions = no in the namespace (doveconf namespace)? is the file subscriptions in the Maildir writable "
        "for vmail?",
    )
    mark = secrets.token_hex(6)
    kept, dropped = f"mailmove-{mark}", f"mailmove-{mark}-gone"

    def subscribe(box: imap.Mailbox) -> None:
        nonlocal kept, dropped
        kept, dropped = (box.namespace().prefix + name for name in (kept, dropped))
        inner = f"{kept}{next((f.separator for f in box.folders()), '.')}Ünter & mehr"
        for name in (kept, inner, dropped):
            box.create(name)
        box.unsubscribe(dropped)

    def look(box: imap.Mailbox) -> None:
        shown = [name for name in box.subscribed() if mark in name]
        folders = [folder.name for folder in box.folders() if mark in folder.name]
        words = ", ".join(shown) or "none"
        exam.expect("subscribed at the next login", words, len(shown) == 2 and dropped not in shown, "two of three")
        exam.expect("folders at the next login", ", ".join(folders), len(folders) == 3, "all three")
        for name in sorted(folders, reverse=True):
            box.delete(name)
        exam.equal("subscribed after they were deleted", [n for n in box.subscribed() if mark in n], [])

    in_mailbox(exam, new, account, subscribe)
    in_mailbox(exam, new, account, look)
    return exam.close()


def folders_keep_their_names(old: Server, new: Server, account: Account) -> Evidence:
    """Folders have the same names on both servers: same separator, same prefix, same layout on disk."""
    exam = Examination(
        "Folders keep their names",
        "both",
        "Where they differ every folder gets another name, and mail programs download everything again.",
        "set separator and prefix of the namespace inbox as on the old server (guide: setting up Dovecot)",
    )
    layout, theirs = _layout(old), separator_of(old)
    prefix = prefix_of(old)

    def look(box: imap.Mailbox) -> None:
        shown = box.namespace()
        exam.expect("separator between folders", f"{shown.separator!r}", shown.separator == theirs, f"{theirs!r}")
        exam.expect("prefix of folders", f"{shown.prefix!r}", shown.prefix == prefix, f"{prefix!r}")

    in_mailbox(exam, new, account, look)
    ours = _layout(new)
    exam.expect("how mailboxes lie on disk", ours, ours == layout, layout)
    return exam.close()


def separator_of(server: Server) -> str:
    """What separates the levels of a folder's name, by the server's settings."""
    return effective_separator(_doveconf(server, "namespace/inbox/separator"), _layout(server))


def prefix_of(server: Server) -> str:
    """What the names of all folders but INBOX begin with, as people see them: mostly nothing, or INBOX and the separator."""
    return _doveconf(server, "namespace/inbox/prefix")


def effective_separator(setting: str, layout: str) -> str:
    """The separator Dovecot uses where none is set: that of the layout on disk."""
    return setting or ("/" if "LAYOUT=fs" in layout or not layout.startswith("maildir") else ".")


_OUTDATED = re.compile(r'"(INBOX[./](?:Junk|Spam|Trash|Sent|Drafts))"', re.I)


def no_folder_is_shadowed(old: Server, scripts: sievescripts.Scripts) -> Evidence:
    """No folder on the old server, and none that a rule names, is such that another of its purpose appears beside it."""
    exam = Examination(
        "No folder will have a double",
        "old",
        "Earlier playbooks of the guide filed spam into INBOX.Junk, the new one into Junk: people see both.",
        "after the move: doveadm mailbox rename -u USER INBOX.Junk Junk; correct the Sieve scripts that name it",
        required=False,
    )
    root = old.facts.mail_place
    if not root:
        exam.unknown("where the mailboxes lie", "not found on the old server")
        return exam.close()
    names = [word for name in ("Junk", "Trash", "Sent", "Drafts") for word in ("-o", "-name", f".INBOX.{name}")][1:]
    paths = old.run("find", root, "-maxdepth", "4", "-type", "d", "(", *names, ")", timeout_s=300).out.splitlines()
    for path in paths:
        exam.expect(f"the folder {path}", "there", good=False, expected="a name without INBOX")
    below = prefix_of(old).upper().startswith("INBOX")  # all folders are called so
    for rule in [] if below else named_in_rules(scripts):
        exam.expect(f"a rule, {rule}", "there", good=False, expected="a name without INBOX")
    exam.expect("all folders and rules", f"{len(paths)} folders like INBOX.Junk", good=True)
    return exam.close()


def named_in_rules(scripts: sievescripts.Scripts) -> list[str]:
    """Which scripts name folders like INBOX.Junk: ``script: folder``."""
    found = []
    for script in scripts.all:
        folders = sorted(set(_OUTDATED.findall(script.text)))
        found += [f"{script.where}: {folder}" for folder in folders]
    return found


def _doveconf(server: Server, setting: str) -> str:
    answer = server.run("doveconf", "-h", setting)
    if broken := re.search(
        r"Error in configuration file (.*)", answer.err
    ):  # a setting that is not there is another matter
        raise ServerError(
            f"Dovecot's settings on the {server} server cannot be read: {broken[1]}",
            "mend the line named; Dovecot itself runs on with what it read before, until its next start",
        )
    return answer.out.strip().strip('"')


def _layout(server: Server) -> str:
    """``maildir``, with what differs from the guide's ~/Maildir: ``maildir:~/Maildir:LAYOUT=fs``."""
    location = server.facts.doveconf.get("mail_location", "")
    if location:
        return location.rstrip("/")
    # Dovecot 2.4 has split the setting
    driver, path, layout = (_doveconf(server, name) for name in ("mail_driver", "mail_path", "mailbox_list_layout"))
    return f"{driver}:{path.rstrip('/')}" + (":LAYOUT=fs" if layout == "fs" else "")
