"""Spam is told from mail, and people can teach the filter (guide: catching spam with rspamd)."""

from __future__ import annotations

from typing import Any

from checks import hand_in
from checks.outside import Outside, expect, expect_taken, find_all, post, what_became_of
from mailmove.clients import imap, letters, web
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline

SEEN_S = 10.0  # until the filter has looked at a letter handed in on the server itself
LEARNT_S = 10.0

_GUIDE = "(guide: catching spam with rspamd)"


def why_none(outside: Outside) -> str:
    """Why there is no spam filter on this server; empty if there is one."""
    server = outside.server
    if "rspamd" in server.facts.packages:
        return ""
    milters = server.setting("smtpd_milters")
    other = f"Postfix asks {milters}, which this check does not know" if milters else "Postfix asks no filter either"
    return f"rspamd is not installed, and {other}"


def filter_is_asked(outside: Outside, account: Account) -> Evidence:
    """Every letter is shown to the spam filter: from outside, and written on the server itself."""
    exam = Examination(
        "the spam filter sees every letter",
        str(outside.server),
        why="letters that pass it by are neither judged nor signed",
        hint="postconf smtpd_milters and non_smtpd_milters must both name rspamd (inet:127.0.0.1:11332), and rspamd "
        f"must run: Postfix goes on without it when milter_default_action is accept {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    out = letters.compose(outside.sender, account.email)
    posted = post([(out, account, outside.call([account.email], out))])
    if expect_taken(exam, posted):
        _expect_seen(exam, outside, "a letter from outside", out)
    local = letters.compose(account.email, account.email)
    (answer,) = hand_in.by_sendmail(outside, [hand_in.Envelope(account.email, account.email, local)])
    if exam.expect("a letter written on the server itself", answer.words, answer.code == 0, "taken"):
        _expect_seen(exam, outside, "a letter written on the server itself", local)
    return exam.close()


def _expect_seen(exam: Examination, outside: Outside, what: str, letter: letters.Letter) -> bool:
    seen: dict[str, Any] = {}
    for _ in Deadline(SEEN_S):
        seen = _ask(outside, "seen", message_id=letter.message_id.strip("<>"))
        if seen["rows"] or seen["log"]:
            break
    words = "; ".join(f"{row['action']}, score {row['score']:.2f}" for row in seen["rows"]) or "".join(seen["log"][-1:])
    asked = f"what rspamd says about {what}, {letter.mark}"
    if not words and seen["problem"]:
        exam.unknown(asked, f"rspamd's history and log do not tell: {seen['problem']}")
        return False
    return exam.expect(asked, words or f"it has not seen it within {SEEN_S:.0f} s", bool(words), "it was looked at")


def spam_from_outside_is_stopped(outside: Outside, account: Account) -> Evidence:
    """A letter that is certainly spam is refused, or filed into Junk; never in the inbox."""
    exam = Examination(
        "spam from outside does not reach the inbox",
        str(outside.server),
        why="a filter that lets the one letter pass which every filter must know does not work at all",
        hint=f"rspamadm configtest; what does rspamd's log say about the mark? {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    letter = letters.compose(outside.sender, account.email, text=letters.SPAM_REFUSED)
    (posted,) = post([(letter, account, outside.call([account.email], letter))])
    talk = posted.attempts.conversation
    if talk.refused_at is not None and talk.refused_at.command == "DATA" and not posted.taken:
        expect(exam, "GTUBE from outside", talk, talk.refused_at.for_good or outside.soft_bounce, "refused for good")
        return exam.close()
    if not expect(exam, "GTUBE from outside", talk, posted.taken, "refused after DATA, or taken and filed"):
        return exam.close()
    _expect_junk(exam, outside, account, letter)
    return exam.close()


def spam_from_here_is_stopped(outside: Outside, account: Account) -> Evidence:
    """Spam written on the server itself (by a web form, a hacked site) does not reach the inbox either."""
    exam = Examination(
        "spam written on the server itself does not reach the inbox",
        str(outside.server),
        why="a web page that is misused sends from the server itself",
        hint=f"postconf non_smtpd_milters must name rspamd as well {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    letter = letters.compose(account.email, account.email, text=letters.SPAM_REFUSED)
    (answer,) = hand_in.by_sendmail(outside, [hand_in.Envelope(account.email, account.email, letter)])
    exam.expect("GTUBE handed to sendmail", answer.words, True)
    if answer.code != 0:
        return exam.close()
    became = ""
    for _ in Deadline(SEEN_S):
        became = what_became_of(outside.server, letter.mark)
        if "milter-reject" in became or "status=" in became:
            break
    try:
        with outside.mailbox(account) as box:
            places = find_all(box, [letter.mark], seconds=1)[letter.mark]
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return exam.close()
    stopped = "milter-reject" in became or any(is_junk(folder) for folder, _ in places)
    exam.expect(
        "what became of it", became or "the mail log does not tell", stopped, "rejected by the filter, or filed"
    )
    words = ", ".join(folder for folder, _ in places) or "nowhere"
    exam.expect("where it is", words, all(folder != "INBOX" for folder, _ in places), "not in the inbox")
    return exam.close()


def marked_letters_are_filed(outside: Outside, account: Account) -> Evidence:
    """A letter that the filter marked as spam is filed into Junk when it is delivered."""
    exam = Examination(
        "what the filter marks as spam is filed into Junk",
        str(outside.server),
        why="marked letters in the inbox are no help, and elsewhere nobody finds them",
        hint="the global Sieve script must file what has X-Spam: Yes; doveconf plugin/sieve_after, and is it compiled "
        "for the folder name in use (Junk or INBOX.Junk)? "
        f"{_GUIDE}",
    )
    if reason := why_none(outside) or hand_in.why_no_lmtp(outside):
        return exam.not_applicable(reason)
    letter = letters.compose(outside.sender, account.email, headers=[("X-Spam", "Yes")])
    (answer,) = hand_in.by_lmtp(outside, [hand_in.Envelope(outside.sender, account.email, letter)])
    if exam.expect("a letter with X-Spam: Yes to Dovecot's LMTP", answer.words, answer.code == 250, "250"):
        _expect_junk(exam, outside, account, letter)
    return exam.close()


def _expect_junk(exam: Examination, outside: Outside, account: Account, letter: letters.Letter) -> None:
    try:
        with outside.mailbox(account) as box:
            places = find_all(box, [letter.mark])[letter.mark]
            special = {folder.name for folder in box.folders() if "\\Junk" in folder.flags}
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return
    words = ", ".join(folder for folder, _ in places) or "nowhere"
    junk = special or {folder for folder, _ in places if is_junk(folder)}
    good = len(places) == 1 and places[0][0] in junk
    exam.expect(f"where {letter.mark} was filed", words, good, f"in {' or '.join(sorted(junk)) or 'Junk'}")


def is_junk(folder: str) -> bool:
    """Whether a folder is named as one for spam, below INBOX or not."""
    return folder.replace("/", ".").rpartition(".")[2].lower() in ("junk", "spam")


def redis_is_the_backend(outside: Outside) -> Evidence:
    """What the filter learns is kept in Redis, and Redis answers."""
    exam = Examination(
        "what the filter learns is kept in Redis",
        str(outside.server),
        why="the old server's training is carried over as Redis' data; kept elsewhere it would not be found",
        hint=f"rspamadm configdump classifier redis; systemctl status redis-server {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    stat = _ask(outside, "stat")
    if problem := stat.get("problem"):
        exam.unknown("rspamd's controller", problem)
        return exam.close()
    for each in stat.get("statfiles", []):
        exam.equal(f"where {each['symbol']} is kept", each["type"], "redis")
    if not stat.get("statfiles"):
        exam.expect("what rspamd learns with", "no statistics are set up", False, "BAYES_SPAM and BAYES_HAM in Redis")
    answers = _ask(outside, "redis")
    for server, answer in answers.items():
        exam.expect(f"PING to Redis at {server}", answer, answer == "PONG", "PONG")
    if not answers:
        exam.expect("Redis servers in rspamd's configuration", "none", False, "servers = 127.0.0.1")
    return exam.close()


def people_can_teach(outside: Outside, account: Account, refrain: str = "") -> Evidence:
    """A letter moved into Junk is learnt as spam, moved out again as no spam: the counts go up by one.

    The filter on the server looked at learns from this letter, one spam and then back. Before the training is carried
    over that does not matter, for it is replaced; afterwards ``refrain`` says why it is not done any more.
    """
    exam = Examination(
        "the filter learns from what people move into Junk and out of it",
        str(outside.server),
        why="without it the filter grows old, and people sort their spam by hand for ever",
        hint="doveconf -n: imap_sieve among imap's mail_plugins, imapsieve_mailbox1_name = Junk; are learn-spam.sieve "
        "and its .svbin readable by vmail, and the script executable? (guide: learning from user actions)",
    )
    reason = why_none(outside) or refrain
    if not reason and not _imapsieve(outside):
        reason = (
            "Dovecot is not set up to teach rspamd (no imapsieve_mailbox1_name): this part of the chapter was left out"
        )
    if reason:
        return exam.not_applicable(reason)
    letter = letters.compose(outside.sender, account.email)
    try:
        with outside.mailbox(account) as box:
            junk = next((f.name for f in box.folders() if "\\Junk" in f.flags or is_junk(f.name)), "Junk")
            box.append(letter.data)
            before = _ask(outside, "learnt")
            for place, target, symbol in (("INBOX", junk, "BAYES_SPAM"), (junk, "INBOX", "BAYES_HAM")):
                before = _expect_learnt(exam, outside, box, letter, (place, target), symbol, before)
    except imap.ImapError as error:
        exam.unknown(f"moving a letter in the mailbox of {account.email}", f"{error.fact}; {error.hint}")
    return exam.close()


def _expect_learnt(
    exam: Examination,
    outside: Outside,
    box: imap.Mailbox,
    letter: letters.Letter,
    way: tuple[str, str],
    symbol: str,
    before: dict[str, int],
) -> dict[str, int]:
    place, target = way
    box.move(box.with_text(letter.mark, place), target, place)
    wanted = before.get(symbol, 0) + 1
    after = _ask(outside, "learnt", until={symbol: wanted}, time_s=LEARNT_S)
    good = after.get(symbol, 0) >= wanted
    words = f"{before.get(symbol, 'none')} before, {after.get(symbol, 'none')} after"
    if not good:
        log = _ask(outside, "seen", message_id=letter.message_id.strip("<>"))["log"]
        words += "; rspamd's log: " + ("\n".join(log[-2:]) or "not a word about it")
    exam.expect(f"moved from {place} to {target}: letters learnt as {symbol}", words, good, f"{wanted} after")
    return after


def web_pages_need_a_password(outside: Outside) -> Evidence:
    """The filter's own web pages tell a stranger nothing."""
    exam = Examination(
        "the spam filter's web pages ask for a password",
        str(outside.server),
        why="whoever gets in reads who writes to whom, and can switch the filter off",
        hint="password in /etc/rspamd/local.d/worker-controller.inc, and Apache must pass on X-Forwarded-For: without "
        f"it every visitor looks like the server itself, which needs no password {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    start = _page(outside, "/rspamd/")
    if start.trouble:
        exam.unknown(start.url, start.words)
        return exam.close()
    if start.status >= 500:
        exam.expect(start.url, start.words, False, "rspamd's page")
        return exam.close()
    if start.status != 200 or "rspamd" not in start.headers.get("server", "").lower() + start.text[:2000].lower():
        return exam.not_applicable(f"the web pages are not offered: {start.url} answers {start.words}")
    for path in ("/rspamd/stat", "/rspamd/history", "/rspamd/stat?password=wrong"):
        page = _page(outside, path)
        good = page.status in (401, 403)
        # Not what it tells: that is other people's mail
        exam.expect(page.url, page.words if good else f"{page.words}, without a password", good, "401 or 403")
    return exam.close()


def _page(outside: Outside, path: str) -> web.Page:
    return web.get(outside.server.address, path, name=outside.name, ca_file=outside.ca_file)


def _imapsieve(outside: Outside) -> bool:
    return "imap_sieve" in outside.server.run("doveconf", "-h", "protocol/imap/mail_plugins").out or (
        "imap_sieve" in outside.server.run("doveconf", "-n").out
    )


def _ask(outside: Outside, question: str, **arguments: Any) -> dict[str, Any]:
    (answer,) = outside.server.remote("spam", {"do": question, **arguments}, timeout_s=60)
    return answer
