"""Folders with the names of earlier editions (INBOX.Junk): kept or renamed, as the admin wants it."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable

from checks.folders import prefix_of
from checks.mailstore import SHOWN
from mailmove import stores
from mailmove.clients.account import is_probe
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.server import Server

RENAMED = "folders renamed"  # in the journal: [user, from, to]
_OLD_NAMES = r"""grep -rHZiE 'INBOX[./]' --include='*.sieve' "$1" 2>/dev/null | head -c 4000000; exit 0"""


def named_by_sieve(server: Server) -> dict[str, str]:
    """The lines of people's Sieve scripts that name folders below INBOX, by user."""
    root = stores.place(server).root
    found: dict[str, str] = defaultdict(str)
    for line in server.sh(_OLD_NAMES, root, timeout_s=600).out.split("\n"):
        path, zero, text = line.partition("\0")
        parts = path.removeprefix(f"{root}/").split("/")
        if zero and len(parts) > 2:
            found[f"{parts[1]}@{parts[0]}"] += f"{text}\n"
    return dict(found)


def is_named(folder: str, text: str) -> bool:
    """Whether lines of a Sieve script name a folder, however their separator is written."""
    names = {folder.replace(folder[5], separator) for separator in "./"}
    quoted = {name.replace("\\", "\\\\").replace('"', '\\"') for name in names}  # RFC 5228, 2.4.2
    return any(f'"{name}"'.lower() in text.lower() for name in quoted)


def keep_their_names(folders: Iterable[str], text: str) -> set[str]:
    """Folders that Sieve scripts name, or whose names Dovecot gives to no new folder (with line breaks), and those above
    them: who renames a folder renames what is in it."""
    every = set(folders)
    named = {each for each in every if is_named(each, text) or any(c < " " for c in each)}
    return {each for each in every if each in named or any(name.startswith(each + each[5]) for name in named)}


def folders_below_inbox(new: Server) -> dict[str, list[str]]:
    """The folders below INBOX that Dovecot shows, by user: INBOX.Junk or INBOX/Junk.

    Where all folders are called so (the prefix of the namespace), those that bear it twice.
    """
    found: dict[str, list[str]] = defaultdict(list)
    prefix = prefix_of(new)
    said = new.run("doveadm", "-f", "tab", "mailbox", "list", "-A", f"{prefix}INBOX*", timeout_s=3600, check=True).out
    # A line break in a name is not escaped there
    for line in re.split("\n(?=[^\n\t]*\t)", said.rstrip("\n"))[1:]:
        user, _, name = line.partition("\t")
        name = stores.untabbed(name)
        if name.removeprefix(prefix).startswith(("INBOX.", "INBOX/")) and not is_probe(user):
            found[user].append(name)
    return dict(found)


def name_without_inbox(folder: str, prefix: str) -> str:
    """INBOX.Junk becomes Junk."""
    return prefix + folder.removeprefix(prefix)[len("INBOX.") :]


def folders_of(new: Server, user: str) -> dict[str, str]:
    """The folders of a mailbox, as Dovecot shows them, with their GUIDs; those that are only to be made are not among them."""
    said = new.run("doveadm", "-f", "tab", "mailbox", "status", "-u", user, "guid", "*", check=True).out
    rows = [line.split("\t") for line in said.split("\n")[1:] if line]
    return {stores.untabbed(row[0]): row[-1] for row in rows}


def folders_are_called_as_wanted(new: Server, wanted: str) -> Evidence:
    """Folders below INBOX have the names that the admin wanted them to have."""
    exam = Examination(
        "folders are called as it was decided",
        "new",
        why="whoever has INBOX.Junk and Junk finds spam in two places; whose folder is renamed has to know",
        hint='copy.folders in mailmove.toml: "keep" or "rename"; correct the Sieve scripts named above, then run it again',
    )
    found = folders_below_inbox(new)
    named = named_by_sieve(new)
    kept = {user: keep_their_names(names, named.get(user, "")) for user, names in found.items()}
    exam.expect(
        "folders of earlier editions", f"{sum(map(len, found.values())):,} of {len(found):,} mailboxes; {wanted}", True
    )
    for user, names in itertools.islice(sorted(found.items()), SHOWN):
        for name in names:
            if name in kept[user]:
                exam.expect(
                    stores.shown(f"{user} {name}"),
                    "keeps its name: a Sieve script of its owner names it, or one in it, or it has a line break",
                    True,
                )
            else:
                exam.expect(stores.shown(f"{user} {name}"), "there", wanted == "keep", "renamed")
    return exam.close()


def folder_names_suit_the_new_server(old: Server) -> Evidence:
    """No mailbox has folders below INBOX from an earlier edition: beside them the new server makes a second Junk."""
    exam = Examination(
        "folders are called as the new server calls them",
        "old",
        why="earlier editions filed spam into INBOX.Junk. The new server files it into Junk: people then have both, and"
        " only Junk is emptied after 30 days and teaches the spam filter",
        hint='nothing is lost. Set copy.folders = "rename" in mailmove.toml, and the folders are renamed on the new server'
        " when people are back; correct Sieve scripts that name them, those folders are left as they are",
        required=False,
    )
    found: dict[str, list[str]] = defaultdict(list)
    user, mailboxes = "", 0
    for fact in stores.read(old, "names"):
        if fact["kind"] == "user":
            user, mailboxes = fact["user"], mailboxes + 1
        elif fact["kind"] == "folder" and fact["folder"].startswith(("INBOX.", "INBOX/")):
            found[user].append(stores.folder_name(fact["folder"]))
    exam.expect(f"mailboxes with folders below INBOX, of {mailboxes:,}", len(found), not found, "0")
    for who, names in itertools.islice(sorted(found.items()), SHOWN):
        exam.expect(stores.shown(who), stores.shown(", ".join(names[:10])), False, "no INBOX.Junk and the like")
    scripts = sorted(named_by_sieve(old))
    exam.expect(
        "people whose Sieve scripts name such folders", stores.shown(", ".join(scripts)) or "none", not scripts, "none"
    )
    return exam.close()


def nothing_is_renamed(journal: Journal) -> Evidence:
    """No folder has another name on new than it had on old by mailmove's doing."""
    exam = Examination(
        "every folder has the name it had",
        "journal",
        why="Sieve scripts and mail programs on the old server know it by that name",
        hint="run --undo again while Dovecot runs on the new server",
    )
    renamed = journal.recall(RENAMED) or []
    exam.expect("folders that have another name", f"{len(renamed):,}", not renamed, "0")
    return exam.close()
