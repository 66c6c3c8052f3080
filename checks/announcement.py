"""Looking whether the people know: a notice in every mailbox, or somebody's word that they were told."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from mailmove import notice
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.migration import Migration
from mailmove.notice import ENDED_AS, SENT_TO, Notice
from mailmove.progress import Progress, Silence

NAME = "announce"
"""The move that tells them."""

NO_NEWS_S = 30  # so long may nothing happen before the last letters count as late
DEFERRED_S = 3  # and so long if they are deferred: Postfix tries again when it will
_PAUSE_S = 1.0
LATE_S = 86400
_WHY = "people who are not told lose their trust in the move at the first failed login"


def day_is_set(migration: Migration, journal: Journal, now: dt.datetime | None = None) -> Evidence:
    """The day of the move is set, and it is said how the people are told."""
    exam = Examination(
        "the day of the move is set, and how the people are told", "mailmove.toml",
        why=_WHY, hint=f"write {notice.EXAMPLE}",
    )  # fmt: skip
    announcement = migration.settings.announcement
    if announcement is None:
        exam.expect("[announcement]", "missing", False, "a date, and send or attested_by")
        return exam.close()
    at = now or dt.datetime.now(announcement.date.tzinfo)
    late = at - announcement.date > dt.timedelta(seconds=LATE_S) and not journal.proved(NAME)
    exam.expect(
        "announcement.date", notice.say_date(announcement.date) + (", which is over" if late else ""), not late,
        "a day that is still to come",
    )  # fmt: skip
    if announcement.attested_by:
        on = announcement.attested_on
        good = on is not None and on <= at.date()
        said = f"{announcement.attested_by}, {on or 'no day given'}"
        exam.expect("told by other means, attested by", said, good, "a name, and a day that is not still to come")
    else:
        how = "by a letter to every mailbox" if announcement.send else "neither by letter (send) nor attested"
        exam.expect("how the people are told", how, announcement.send, "send = true, or attested_by and attested_on")
    return exam.close()


def everybody_was_told(
    migration: Migration, journal: Journal, progress: Progress | None = None, wait_s: float = NO_NEWS_S
) -> list[Evidence]:
    """A notice was accepted for every mailbox (required), and reached it (else its owner is to be told otherwise)."""
    announcement = migration.settings.announcement
    if announcement and announcement.attested_by:
        return [_attested(migration)]
    exam = Examination(
        "the old server took a notice for every mailbox", "old", why=_WHY,
        hint="run it again: pytest features/2_prepare/10_announcement.feature --move sends only the missing ones",
    )  # fmt: skip
    reached = Examination(
        "every notice reached its mailbox", "old", why=_WHY, required=False,
        hint="tell the people named in another way; a full mailbox cannot be told by mail",
    )  # fmt: skip
    if announcement is None:
        exam.expect("[announcement]", "missing", False, "a date, and send or attested_by")
        return [exam.close()]
    letter = notice.of(migration)
    ended = _wait_for(migration, journal, letter, progress or Silence(), wait_s)
    ends = {r: ended[r] for r in letter.recipients if r in ended}
    total = len(letter.recipients)
    # What sendmail took counts, even if the log lost its line.
    sent = set(journal.recall(SENT_TO, {}).get(letter.version, []))
    missing = [r for r in letter.recipients if r not in ends and r not in sent]
    exam.expect(f"notices of {total} that the old server took", f"{total - len(missing)}", not missing, str(total))
    for recipient in missing:
        exam.expect(f"notice to {recipient}", "not found", False, "accepted")
    arrived = sum(1 for end in ends.values() if end["state"] == "sent")
    reached.expect("notices delivered", f"{arrived} of {total}", arrived == total, str(total))
    for recipient in letter.recipients:
        if recipient in sent and recipient not in ends:
            reached.expect(f"notice to {recipient}", "not found in the mail log", False, "delivered")
    for recipient, end in ends.items():
        if end["state"] != "sent":
            words = f"{end['state']}: {end['said']} (queue id {', '.join(end['queue_ids'])})"
            reached.expect(f"notice to {recipient}", words, False, "delivered")
    return [exam.close(), reached.close()]


def letters_stay_sent(journal: Journal) -> Evidence:
    """Letters that were sent cannot be recalled; the journal knows who has one."""
    exam = Examination("what was announced is known", "journal", why="a letter that was sent cannot be recalled")
    sent = {address for addresses in journal.recall(SENT_TO, {}).values() for address in addresses}
    words = f"{len(sent)} mailboxes have a notice; if the date changes, change it in mailmove.toml and announce again"
    exam.expect("letters sent", words if sent else "none", True)
    return exam.close()


def ends_of(migration: Migration, letter: Notice, since: float) -> dict[str, dict[str, Any]]:
    """What the old server's mail log says of each letter: recipient -> state, said, queue_ids."""
    by_id = {letter.letter_id(r): r for r in letter.recipients}
    found = {}
    for line in migration.old.remote("notices", {"look": letter.mark, "since": since}, timeout_s=300):
        recipient = by_id.get(line.pop("letter"))
        if recipient:
            found[recipient] = line
    return found


def since(journal: Journal) -> float:
    """From when on letters may have been sent: the move's first beginning, with an hour to spare for other clocks."""
    entries = journal.entries(NAME)
    return (entries[0].at if entries else time.time()) - 3600


def _wait_for(
    migration: Migration, journal: Journal, letter: Notice, progress: Progress, wait_s: float
) -> dict[str, dict[str, Any]]:
    """Until every letter has come to an end, or nothing happens any more. What was seen once is remembered: logs go."""
    memory: dict[str, Any] = journal.recall(ENDED_AS, {})
    ends: dict[str, dict[str, Any]] = dict(memory.get(letter.version, {}))
    sent = set(journal.recall(SENT_TO, {}).get(letter.version, []))
    total, last, news = len(letter.recipients), -1, time.monotonic()
    while True:
        if any(ends.get(r, {}).get("state") != "sent" for r in letter.recipients):
            ends |= ends_of(migration, letter, since(journal))
        states = [ends[r]["state"] if r in ends else "queued" if r in sent else "" for r in letter.recipients]
        open_ = [state for state in states if state in ("queued", "deferred")]
        if len(open_) != last:
            last, news = len(open_), time.monotonic()
        if not open_ or time.monotonic() - news > (wait_s if "queued" in open_ else DEFERRED_S):
            break
        progress.at("notices delivered", total - len(open_), total)
        time.sleep(_PAUSE_S)
    journal.keep(ENDED_AS, {**memory, letter.version: ends})
    return ends


def _attested(migration: Migration) -> Evidence:
    announcement = migration.settings.announcement
    assert announcement is not None
    exam = Examination("the people were told by other means", "mailmove.toml", why=_WHY)
    words = f"attested by {announcement.attested_by} on {announcement.attested_on}"
    exam.expect(f"the move on {notice.say_date(announcement.date)}", words, announcement.attested_on is not None)
    return exam.close()
