"""Spam is told from mail, and people can teach the filter (guide: catching spam with rspamd)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from checks import hand_in
from checks.outside import Outside, expect, expect_taken, find_all, post, what_became_of
from mailmove.clients import imap, letters, web
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline

SEEN_S = 30.0  # until the filter has looked at a letter handed in on the server itself
LEARNT_S = 30.0
WELL_KNOWN = ("q1", "q2")  # the passwords in rspamd's own documentation

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
    local, out = letters.compose(account.email, account.email), letters.compose(outside.sender, account.email)
    (answer,) = hand_in.by_sendmail(outside, [hand_in.Envelope(account.email, account.email, local)])
    posted = post([(out, account, outside.call([account.email], out))])
    if expect_taken(exam, posted):
        _expect_seen(exam, outside, "a letter from outside", out)
    if exam.expect("a letter written on the server itself", answer.words, answer.code == 0, "taken"):
        _expect_seen(exam, outside, "a letter written on the server itself", local)
    return exam.close()


def _expect_seen(exam: Examination, outside: Outside, what: str, letter: letters.Letter) -> bool:
    seen = _seen(outside, letter)
    words = "; ".join(f"{row['action']}, score {row['score']:.2f}" for row in seen["rows"]) or "".join(seen["log"][-1:])
    asked = f"what rspamd says about {what}, {letter.mark}"
    if not words and seen["problem"]:
        exam.unknown(asked, f"rspamd's history and log do not tell: {seen['problem']}")
        return False
    return exam.expect(asked, words or f"it has not seen it within {SEEN_S:.0f} s", bool(words), "it was looked at")


def _seen(outside: Outside, letter: letters.Letter) -> dict[str, Any]:
    """What rspamd says about a letter, once it has seen it."""
    seen: dict[str, Any] = {}
    for _ in Deadline(SEEN_S):
        seen = _ask(outside, "seen", message_id=letter.message_id.strip("<>"))
        if seen["rows"] or seen["log"]:
            break
    return seen


FAILING = re.compile("DNSFAIL|TEMPFAIL")  # of rspamd's symbols: the question was asked and not answered
SENDERS = re.compile("^R_SPF_")


def filter_finds_names(outside: Outside, account: Account) -> Evidence:
    """The spam filter's own resolver answers: whether a sender may write for a domain can be told."""
    exam = Examination(
        "the spam filter can look up names",
        str(outside.server),
        why="without DNS it knows neither SPF nor DKIM nor blocklists: spam comes through, and every letter takes long",
        hint="rspamadm configdump options: is a name server set under dns that does not answer? without one rspamd "
        f"takes those of /etc/resolv.conf, as they were when it was started {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    letter = letters.compose(outside.sender, account.email)
    if not expect_taken(exam, post([(letter, account, outside.call([account.email], letter))])):
        return exam.close()
    seen = _seen(outside, letter)
    if not seen["rows"]:
        exam.unknown("rspamd's history about a letter from outside", seen["problem"] or "it does not have it")
        exam.hint = f"rspamd keeps its history in Redis: does that run, and let it in (NOAUTH: a password)? {_GUIDE}"
        return exam.close()
    found = seen["rows"][0]["symbols"]
    failed = [symbol for symbol in found if FAILING.search(symbol)]
    about = [symbol for symbol in found if SENDERS.search(symbol)]
    exam.expect(
        "questions about a letter from outside", ", ".join(failed) or "all answered", not failed, "all answered"
    )
    asked = f"whether {outside.sender} may write from here (SPF)"
    if not about:
        exam.unknown(asked, f"rspamd did not ask; it said {', '.join(found)}")
        exam.hint = (
            "of letters of its own people and its own network rspamd asks nothing: local_addrs in rspamadm configdump options must "
            f"not name the outside, and spf must be switched on {_GUIDE}"
        )
    elif not failed:
        exam.expect(asked, ", ".join(about), True)
    return exam.close()


SHOWN = re.compile(r"^(X-Spam[d-]?-?(?:Result|Bar|Level|Status|Score)|X-Rspamd-[\w-]+):", re.I | re.M)


def letters_show_the_verdict(outside: Outside, account: Account) -> Evidence:
    """A letter from outside shows in its header what the filter thought of it, and no sender can put that there."""
    exam = Examination(
        "letters show what the filter thought of them",
        str(outside.server),
        why="whoever asks why a letter was taken for spam finds the answer in it",
        hint=f"extended_spam_headers = true in milter_headers.conf {_GUIDE}",
        required=False,
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    forged = ("X-Spamd-Result", f"default: False [-99.00 / 15.00]; FORGED_{letters.new_mark()}")
    letter = letters.compose(outside.sender, account.email, headers=[forged])
    if not expect_taken(exam, post([(letter, account, outside.call([account.email], letter))])):
        return exam.close()
    try:
        with outside.mailbox(account) as box:
            places = find_all(box, [letter.mark])[letter.mark]
            if not exam.expect("a letter from outside", f"{len(places)} found", bool(places), "in the mailbox"):
                return exam.close()
            folder, uid = places[0]
            header = box.raw(uid, folder).partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return exam.close()
    stays = forged[1] in re.sub(r"\r\n\s+", " ", header)
    shown = sorted(set(SHOWN.findall(header)) - ({forged[0]} if stays else set()))
    exam.expect("the filter's headers in it", ", ".join(shown) or "none", bool(shown), "X-Spamd-Result or the like")
    exam.expect("a verdict that its sender had put there", "kept" if stays else "gone", not stays, "gone")
    return exam.close()


def spam_from_outside_is_stopped(outside: Outside, account: Account) -> Evidence:
    """A letter that is certainly spam is refused, or filed into Junk; never in the inbox."""
    exam = Examination(
        "spam from outside does not reach the inbox",
        str(outside.server),
        why="a filter that lets the one letter pass which every filter must know does not work at all",
        hint="rspamadm configtest; does rspamd's milter refuse (quarantine_on_reject and discard_on_reject are for others)? "
        f"what does rspamd's log say about the mark? {_GUIDE}",
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
    for _ in Deadline(SEEN_S, every=0.1):
        became = what_became_of(outside.server, letter.mark)
        if "milter-reject" in became or "status=" in became:
            break
    try:
        with outside.mailbox(account) as box:
            places = find_all(box, [letter.mark], seconds=0)[letter.mark]
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return exam.close()
    # Of what the filter refuses, cleanup itself tells that it bounced
    refused = re.search(r"milter-reject|postfix/cleanup\[\d+\]: .*status=bounced", became) is not None
    stopped = refused or any(is_junk(folder) for folder, _ in places)
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
    marked, clean = (
        letters.compose(outside.sender, account.email, headers=[("X-Spam", mark)]) for mark in ("Yes", "No")
    )
    envelopes = [hand_in.Envelope(outside.sender, account.email, each) for each in (marked, clean)]
    answers = hand_in.by_lmtp(outside, envelopes)
    for what, answer in zip(("Yes", "No"), answers, strict=True):
        exam.expect(f"a letter with X-Spam: {what} to Dovecot's LMTP", answer.words, answer.code == 250, "250")
    if all(answer.code == 250 for answer in answers):
        _expect_junk(exam, outside, account, marked, clean)
    return exam.close()


def _expect_junk(
    exam: Examination, outside: Outside, account: Account, spam: letters.Letter, *clean: letters.Letter
) -> None:
    try:
        with outside.mailbox(account) as box:
            found = find_all(box, [spam.mark, *(each.mark for each in clean)])
            special = {folder.name for folder in box.folders() if "\\Junk" in folder.flags}
    except imap.ImapError as error:
        exam.unknown(f"the mailbox of {account.email}", error.fact)
        return
    places = [folder for folder, _ in found[spam.mark]]
    junk = special or {folder for folder in places if is_junk(folder)}
    good = len(places) == 1 and places[0] in junk
    wanted = f"in {' or '.join(sorted(junk)) or 'Junk'}"
    words = ", ".join(places) or f"nowhere; the server's log:\n{what_became_of(outside.server, spam.mark)}"
    exam.expect("where the letter marked as spam was filed", words, good, wanted)
    for each in clean:
        places = [folder for folder, _ in found[each.mark]]
        words = ", ".join(places) or "nowhere"
        exam.expect("where a letter not marked was filed", words, places == ["INBOX"], "in INBOX")


def is_junk(folder: str) -> bool:
    """Whether a folder is named as one for spam, below INBOX or not."""
    return folder.replace("/", ".").rpartition(".")[2].lower() in ("junk", "spam")


def redis_is_the_backend(outside: Outside) -> Evidence:
    """What the filter learns is kept in Redis, and Redis answers."""
    exam = Examination(
        "what the filter learns is kept in Redis",
        str(outside.server),
        why="the old server's training is carried over as Redis' data; kept elsewhere it would not be found",
        hint="rspamadm configdump classifier redis; systemctl status redis-server; NOAUTH: requirepass in redis.conf wants the "
        f"same password in /etc/rspamd/override.d/redis.conf {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    stat = _ask(outside, "stat")
    if problem := stat.get("problem"):
        exam.unknown("rspamd's controller", problem)
        return exam.close()
    for each in stat.get("statfiles", []):
        if "symbol" in each:  # without its Redis rspamd tells of them with nothing in it
            exam.equal(f"where {each['symbol']} is kept", each["type"], "redis")
    if not stat.get("statfiles"):
        exam.expect("what rspamd learns with", "no statistics are set up", False, "BAYES_SPAM and BAYES_HAM in Redis")
    answers = _ask(outside, "redis")
    for server, answer in answers.items():
        exam.expect(f"PING to Redis at {server}", answer, answer == "PONG", "PONG")
    if not answers:
        exam.expect("Redis servers in rspamd's configuration", "none", False, "servers = 127.0.0.1")
    return exam.close()


def what_is_learnt_outlasts_a_restart(outside: Outside) -> Evidence:
    """Redis writes what it holds to the disk, is told to do so now, and throws nothing away when it is full."""
    exam = Examination(
        "what the filter learns outlasts a restart",
        str(outside.server),
        why="Redis holds it in memory: without a copy on the disk the next reboot takes all training away",
        hint="redis-cli CONFIG GET save, and dir, which must be redis' own to write; /etc/redis/redis.conf: save lines as Debian "
        f"has them, maxmemory-policy noeviction or volatile-ttl; journalctl -u redis-server {_GUIDE}",
    )
    if reason := why_none(outside):
        return exam.not_applicable(reason)
    answers = _ask(outside, "keeping")
    for server, kept in answers.items():
        settings, saved = kept["settings"], kept["saved"]
        if not saved or None in settings.values():
            exam.unknown(
                f"what Redis at {server} keeps",
                "it does not tell its settings (CONFIG is refused, or it does not answer)",
            )
            continue
        every = settings["save"] or ("each change" if settings["appendonly"] == "yes" else "never")
        exam.expect(
            f"when Redis at {server} writes to the disk (save, appendonly)", every, every != "never", "now and then"
        )
        for name in ("rdb_last_bgsave_status", "aof_last_write_status"):
            if name in saved:
                exam.equal(f"how its last writing ended ({name})", saved[name], "ok")
        full = settings["maxmemory-policy"] if settings["maxmemory"] != "0" else "it may grow"
        exam.expect(
            "what it does when it is full (maxmemory-policy)",
            full,
            not full.startswith("allkeys"),
            "forget nothing learnt",
        )
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
    if reason := why_none(outside) or refrain or _why_nobody_teaches(outside):
        return exam.not_applicable(reason)
    letter = letters.compose(outside.sender, account.email)
    try:
        with outside.mailbox(account) as box:
            junk = _folder(box, "\\Junk", "Junk")
            box.append(letter.data)
            before = _ask(outside, "learnt")
            for place, target, symbol in (("INBOX", junk, "BAYES_SPAM"), (junk, "INBOX", "BAYES_HAM")):
                before = _expect_learnt(exam, outside, box, letter, (place, target), symbol, before)
    except imap.ImapError as error:
        exam.unknown(f"moving a letter in the mailbox of {account.email}", f"{error.fact}; {error.hint}")
    return exam.close()


def emptying_teaches_nothing(outside: Outside, account: Account, refrain: str = "") -> Evidence:
    """Spam that is thrown away is not learnt as wanted mail."""
    exam = Examination(
        "emptying the spam folder teaches nothing",
        str(outside.server),
        why="mail programs that delete by moving to Trash would teach that all spam is wanted mail",
        hint='learn-ham.sieve must stop where environment "imap.mailbox" is "Trash" '
        "(guide: learning from user actions)",
        required=False,
    )
    if reason := why_none(outside) or refrain or _why_nobody_teaches(outside):
        return exam.not_applicable(reason)
    letter = letters.compose(outside.sender, account.email)
    try:
        with outside.mailbox(account) as box:
            junk, trash = _folder(box, "\\Junk", "Junk"), _folder(box, "\\Trash", "Trash")
            for each in {junk, trash} - {folder.name for folder in box.folders()}:
                box.create(each)
            box.append(letter.data, junk)
            before = _ask(outside, "learnt")
            # Dovecot answers when its script has come to an end: what would be learnt has been
            box.move(box.search("HEADER", "Subject", letter.mark, folder=junk), trash, junk)
            after = _ask(outside, "learnt", server=before["server"])
    except imap.ImapError as error:
        exam.unknown(f"moving a letter in the mailbox of {account.email}", f"{error.fact}; {error.hint}")
        return exam.close()
    log = _ask(outside, "seen", message_id=letter.message_id.strip("<>"))["log"]
    ours = [line for line in log if "learned message" in line]
    words = _change(before, after, "BAYES_HAM")
    same = after["counts"] == before["counts"]
    if not same and not ours:
        exam.unknown(f"moved from {junk} to {trash}", f"{words}: somebody else may have taught just then; try again")
        return exam.close()
    asked = f"moved from {junk} to {trash}: letters learnt as BAYES_HAM"
    exam.expect(asked, words, same, "as many as before")
    return exam.close()


def _folder(box: imap.Mailbox, flag: str, usual: str) -> str:
    """The folder with a mark, else the one with the usual name."""
    return next((each.name for each in box.folders() if flag in each.flags), usual)


def _why_nobody_teaches(outside: Outside) -> str:
    """Why moving letters teaches nothing by choice; empty if it should."""
    named = "imap_sieve" in outside.server.run("doveconf", "-h", "protocol/imap/mail_plugins").out
    if named or "imap_sieve" in outside.server.run("doveconf", "-n").out:
        return ""
    return "Dovecot is not set up to teach rspamd (no imapsieve_mailbox1_name): this part of the chapter was left out"


def _expect_learnt(
    exam: Examination,
    outside: Outside,
    box: imap.Mailbox,
    letter: letters.Letter,
    way: tuple[str, str],
    symbol: str,
    before: dict[str, Any],
) -> dict[str, Any]:
    place, target = way
    box.move(box.search("HEADER", "Subject", letter.mark, folder=place), target, place)
    wanted = before["counts"].get(symbol, 0) + 1
    after = _ask(outside, "learnt", until={symbol: wanted}, time_s=LEARNT_S, server=before["server"])
    good = after["counts"].get(symbol, 0) >= wanted
    words = _change(before, after, symbol)
    if not good:
        log = _ask(outside, "seen", message_id=letter.message_id.strip("<>"))["log"]
        words += "; rspamd's log: " + ("\n".join(log[-2:]) or "not a word about it")
    exam.expect(f"moved from {place} to {target}: letters learnt as {symbol}", words, good, f"{wanted} after")
    return after


def _change(before: dict[str, Any], after: dict[str, Any], symbol: str) -> str:
    return f"{before['counts'].get(symbol, 'none')} before, {after['counts'].get(symbol, 'none')} after"


def web_pages_need_a_password(outside: Outside) -> Evidence:
    """The filter's own web pages tell a stranger nothing, and open to the password where it is not kept as a hash."""
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
    tries = [
        ("/rspamd/stat", ""),
        ("/rspamd/history", ""),
        *(("/rspamd/stat", word) for word in (*WELL_KNOWN, "wrong")),
    ]
    with ThreadPoolExecutor(max_workers=len(tries) + 1) as pool:
        right = pool.submit(lambda: str(_ask(outside, "web_password")["password"]))
        pages = pool.map(lambda each: _page(outside, *each), tries)
        for page, (_, password) in zip(pages, tries, strict=True):
            how = f"with the password {password}" if password else "without a password"
            # Not what it tells: that is other people's mail
            exam.expect(f"{page.url} {how}", page.words, page.status in (401, 403), "401 or 403")
        if right.result():
            page = _page(outside, "/rspamd/stat", right.result())
            exam.expect(f"{page.url} with the right password", page.words, page.status == 200, "200")
    return exam.close()


def _page(outside: Outside, path: str, password: str = "") -> web.Page:
    name = outside.server.facts.website(outside.name)
    headers = {"Password": password} if password else {}
    return web.get(outside.server.address, path, name=name, trust=outside.trust, headers=headers)


def _ask(outside: Outside, question: str, **arguments: Any) -> dict[str, Any]:
    (answer,) = outside.server.remote("spam", {"do": question, **arguments}, timeout_s=60)
    return answer
