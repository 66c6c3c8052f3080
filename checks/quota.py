"""Mailboxes with a limit (guide: quotas, an optional chapter)."""

from __future__ import annotations

from collections.abc import Callable

from checks.outside import Outside, expect, expect_arrived, expect_taken, find_all, post
from mailmove import sql
from mailmove.clients import imap, letters, smtp
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline

FULL = 1000  # bytes: less than any letter
REFUSALS = (452, 552, 422, 554)  # 452 Bookworm's guide, 552 its playbook, 554 Trixie's; 422 is seen, too
WARNED_S = 30.0  # until a warning is there: a script, dovecot-lda
WARNING_LIMIT = 100_000  # bytes: a mailbox small enough to be filled, large enough for a percentage

SetQuota = Callable[[int], Account]
"""Gives the same probe account another limit in bytes (0: none)."""

_GUIDE = "(guide: quotas)"


def why_none(outside: Outside) -> str:
    """Why mailboxes have no limits on this server; empty if they have."""
    server = outside.server
    if not server.facts.database:
        return "no database of mail accounts"
    if "quota" not in {row[0] for row in sql.rows(server, server.facts.database, "SHOW COLUMNS FROM virtual_users")}:
        return "the table virtual_users has no column quota: the chapter on quotas was left out"
    if not server.run("doveconf", "-h", "plugin/quota").out.strip() and "quota" not in _plugins(outside):
        return "Dovecot's quota plugin is not set up: the chapter on quotas was left out"
    return ""


def full_mailboxes_refuse(outside: Outside, set_quota: SetQuota, other: Account) -> Evidence:
    """A letter to a full mailbox is refused while its sender waits, one to ``other``, who has room, is not."""
    exam = Examination(
        "a letter to a full mailbox is refused at once",
        str(outside.server),
        why="taken first and bounced later it would go to forged senders; silently dropped it would be lost",
        hint="postconf smtpd_recipient_restrictions must ask Dovecot's quota-status service, and doveconf -n must show "
        f"quota_status_overquota with a refusal {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    account = set_quota(0)
    if not _fill(exam, outside, account):
        return exam.close()
    set_quota(FULL)
    try:
        talk, room = smtp.converse_all([outside.call([each.email]) for each in (account, other)])
    finally:
        set_quota(0)
    said = outside.server.run("doveconf", "-h", "plugin/quota_status_overquota").out.strip().strip('"')
    codes = (int(said[:3]),) if said[:3].isdigit() else REFUSALS
    wanted = " or ".join(map(str, codes)) + " to RCPT, as in Dovecot's quota_status_overquota"
    refused = talk.refused_at
    good = refused is not None and refused.command.startswith("RCPT") and refused.code in codes
    expect(exam, f"RCPT TO:<{account.email}>, whose mailbox is full", talk, good, wanted)
    expect(exam, f"RCPT TO:<{other.email}>, whose mailbox has room", room, room.refused_at is None, "250")
    return exam.close()


def room_lets_mail_in(outside: Outside, set_quota: SetQuota) -> Evidence:
    """A mailbox that was full and was given more room takes letters again."""
    exam = Examination(
        "a mailbox that was given more room takes letters again",
        str(outside.server),
        why="whoever made room waits for the letters that were put off",
        hint=f"doveadm quota recalc -u USER; is Dovecot's auth cache on? doveconf auth_cache_size {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    account = set_quota(0)
    if not _fill(exam, outside, account):
        return exam.close()
    set_quota(FULL)
    full = smtp.converse_all([outside.call([account.email])])[0]
    set_quota(0)
    # Without this the rest would prove nothing
    expect(exam, f"RCPT TO:<{account.email}> while it was full", full, full.refused_at is not None, "a refusal")
    letter = letters.compose(outside.sender, account.email)
    posted = post([(letter, account, outside.call([account.email], letter))])
    expect_taken(exam, posted, "a letter after it was given more room")
    expect_arrived(exam, outside, posted)
    return exam.close()


def people_are_warned(outside: Outside, set_quota: SetQuota) -> Evidence:
    """Whoever's mailbox is nearly full finds a warning in it."""
    exam = Examination(
        "a mailbox that is nearly full gets a warning",
        str(outside.server),
        why="without it people learn from others that their mailbox refuses letters",
        hint="the script of quota_warning must be executable and deliver by dovecot-lda, quota not enforced; "
        f"run it by hand as vmail {_GUIDE}",
        required=False,
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    if not outside.server.run("doveconf", "-h", "plugin/quota_warning").out.strip():
        return exam.not_applicable("no quota_warning is set up")
    account = set_quota(WARNING_LIMIT)
    few = letters.compose(outside.sender, account.email, size=WARNING_LIMIT // 10)
    many = letters.compose(outside.sender, account.email, size=int(WARNING_LIMIT * 0.86))
    try:
        with outside.mailbox(account) as box:
            box.append(few.data)
            exam.equal("warnings in a mailbox that is nearly empty", len(_warnings(box, few)), 0)
            posted = post([(many, account, outside.call([account.email], many))])
            if expect_taken(exam, posted, f"a letter that fills {account.email} to 96 %"):
                find_all(box, [many.mark])
                _expect_warning(exam, box, few, many)
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
    finally:
        set_quota(0)
    return exam.close()


def _fill(exam: Examination, outside: Outside, account: Account) -> bool:
    """Put a letter into the mailbox that is larger than FULL."""
    try:
        with outside.mailbox(account) as box:
            box.append(letters.compose(account.email, account.email, size=4 * FULL).data)
    except imap.ImapError as error:
        exam.unknown(f"putting a letter into the mailbox of {account.email}", error.fact)
        return False
    return True


def _expect_warning(exam: Examination, box: imap.Mailbox, *ours: letters.Letter) -> None:
    found: list[int] = []
    for _ in Deadline(WARNED_S, every=0.1):
        if found := _warnings(box, *ours):
            break
    words = box.raw(found[-1]).decode("utf-8", "replace") if found else f"none after {WARNED_S:.0f} s"
    exam.expect("the warning in the mailbox", words, bool(found), "a letter")


def _warnings(box: imap.Mailbox, *ours: letters.Letter) -> list[int]:
    """The letters in the inbox that are not ours."""
    return box.search(*(word for each in ours for word in ("NOT", "HEADER", "Subject", each.mark)))


def _plugins(outside: Outside) -> str:
    return outside.server.run("doveconf", "-h", "mail_plugins").out
