"""Sieve: people's filter rules (guide: Sieve; the rules that teach the spam filter are in ``checks/spam.py``)."""

from __future__ import annotations

from contextlib import AbstractContextManager

from checks import hand_in, sievescripts
from checks.offers import Offer, offered
from checks.outside import Outside, find_all, went_wrong, what_became_of
from mailmove.clients import imap, letters, managesieve
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Examination
from mailmove.progress import Deadline
from mailmove.server import Server

_GUIDE = "(guide: filtering mail with Sieve)"
NAME = "mailmove"
REPLY_S = 40.0  # until a notice of absence has come back: through the spam filter, on a busy server too

_FILING = """require ["fileinto", "mailbox"];
if header :contains "Subject" "{mark}" {{
    fileinto :create "{folder}";
    stop;
}}
"""
_AWAY = """require ["vacation"];
vacation :days 1 :subject "{mark}" "Away, says mailmove.";
"""
_BROKEN = b'require ["fileinto"];\nif header :contains "Subject" {\n    fileinto "Nowhere";\n}\n'


def why_none(outside: Outside) -> str:
    """Why there are no rules on this server; empty if there are."""
    facts = outside.server.facts
    plugins = facts.doveconf.get("protocol/lmtp/mail_plugins", "")
    if "sieve" in plugins.replace("{", " ").split() or "sieve" in facts.protocols:
        return ""
    return "Dovecot runs no Sieve: neither LMTP's mail_plugins nor the protocols name it"


def _offer(server: Server) -> Offer | None:
    return next((each for each in offered(server) if each.speaks == "sieve"), None)


def _open(outside: Outside, account: Account, offer: Offer) -> AbstractContextManager[managesieve.Scripts]:
    return managesieve.login(offer.address, account, name=outside.name, trust=outside.trust, port=offer.port)


def rules_need_encryption(outside: Outside, account: Account, exposed: Account) -> Evidence:
    """Mail programs can manage rules with the right password; before the connection is encrypted it is not taken.

    The password of ``exposed`` is sent in the clear.
    """
    exam = Examination(
        "people can manage their rules, over encrypted connections only",
        str(outside.server),
        why="the password of the rules is the password of the mailbox",
        hint="ManageSieve must offer no login before STARTTLS: ssl = required and disable_plaintext_auth = yes, inside "
        f"protocol sieve too; is dovecot-managesieved running? {_GUIDE}",
    )
    offer = _offer(outside.server)
    if offer is None:
        return exam.not_applicable("ManageSieve is not offered to others")
    asked = f"login to ManageSieve (port {offer.port})"
    try:
        with _open(outside, account, offer) as scripts:
            scripts.list()
        exam.expect(f"{asked} with TLS", "let in", True)
    except managesieve.SieveError as error:
        went_wrong(exam, f"{asked} with TLS", error, "let in")
    try:
        said = managesieve.login_without_tls(offer.address, exposed, offer.port)
        exam.expect(f"{asked} without TLS", f"{said.status} {said.text}", said.status != "OK", "refused")
    except OSError as error:
        exam.unknown(f"{asked} without TLS", str(error))
    return exam.close()


def rules_are_tried_when_uploaded(outside: Outside, account: Account) -> Evidence:
    """A rule that is right is kept as it was written; one that is wrong is refused, and the one in use stays in use."""
    exam = Examination(
        "rules are kept as written, and wrong ones refused",
        str(outside.server),
        why="a wrong rule that is taken does nothing, and its owner waits for letters that lie elsewhere",
        hint="the directory of the scripts (doveconf plugin/sieve) must be writable for vmail; "
        f"look for sieve_max_script_size and sieve_quota_max_scripts {_GUIDE}",
    )
    offer = _offer(outside.server)
    if offer is None:
        return exam.not_applicable("ManageSieve is not offered to others")
    right = _FILING.format(mark=letters.new_mark(), folder="Übung").encode()
    try:
        with _open(outside, account, offer) as scripts:
            scripts.put(NAME, right)
            scripts.activate(NAME)
            same = scripts.get(NAME) == right
            exam.expect("a rule that is right", "kept as written" if same else "changed", same, "kept as written")
            try:
                scripts.put(NAME, _BROKEN)
                exam.expect("a rule that is wrong", "taken", False, "refused")
            except managesieve.Refused as error:
                exam.expect("a rule that is wrong", error.fact, True)
            stays = scripts.list().get(NAME, False) and scripts.get(NAME) == right
            exam.expect("the one in use", "still in use" if stays else "gone", stays, "still in use")
            _clear(scripts)
    except managesieve.SieveError as error:
        went_wrong(exam, f"the rules of {account.email}", error, "taken")
    return exam.close()


def _clear(scripts: managesieve.Scripts) -> None:
    scripts.activate("")
    scripts.delete(NAME)


def rules_take_effect(outside: Outside, account: Account) -> Evidence:
    """A rule that is switched on files the letter it is meant for and no other; switched off it files none."""
    exam = Examination(
        "a rule takes effect as soon as it is switched on",
        str(outside.server),
        why="letters that are not filed are not found, and notices of absence are not sent",
        hint=f"mail_plugins of protocol lmtp must have sieve (20-lmtp.conf); ~/.dovecot.sieve.log says more {_GUIDE}",
    )
    offer = _offer(outside.server)
    if reason := why_none(outside) or hand_in.why_no_lmtp(outside):
        return exam.not_applicable(reason)
    if offer is None:
        return exam.not_applicable("ManageSieve is not offered to others")
    mark = letters.new_mark()
    meant, other, late = (
        letters.compose(outside.sender, account.email, about=about)
        for about in (f"for {mark}", "other", f"late {mark}")
    )
    try:
        with outside.mailbox(account) as box:
            folder = f"{box.namespace().prefix}Sorted {mark}"
        with _open(outside, account, offer) as scripts:
            scripts.put(NAME, _FILING.format(mark=mark, folder=folder).encode())
            scripts.activate(NAME)
            handed = _deliver(exam, outside, account, meant, other)
            _clear(scripts)
            handed = _deliver(exam, outside, account, late) and handed
        if handed:
            with outside.mailbox(account) as box:
                places = find_all(box, [meant.mark, other.mark, late.mark])
            for what, letter, place in (
                ("a letter the rule is for", meant, folder),
                ("another letter", other, "INBOX"),
                ("a letter after the rule was switched off", late, "INBOX"),
            ):
                found = [name for name, _ in places[letter.mark]]
                exam.expect(what, ", ".join(found) or "nowhere", found == [place], f"in {place}")
    except (managesieve.SieveError, imap.ImapError) as error:
        went_wrong(exam, f"the rules of {account.email}", error, "taken")
    return exam.close()


def _deliver(exam: Examination, outside: Outside, account: Account, *handed: letters.Letter) -> bool:
    answers = hand_in.by_lmtp(outside, [hand_in.Envelope(outside.sender, account.email, each) for each in handed])
    for each in answers:
        if each.code != 250:
            exam.expect("a letter by LMTP", each.words, False, "250")
    return all(each.code == 250 for each in answers)


def absence_is_told_once(outside: Outside, away: Account, writer: Account, lists: Account) -> Evidence:
    """A notice of absence answers a person once; never a mailing list, a program, or a bounce.

    ``away`` has the notice, ``writer`` writes twice, ``lists`` stands for a mailing list and a program.
    """
    exam = Examination(
        "a notice of absence is sent once, and to people only",
        str(outside.server),
        why="a notice that answers lists and bounces makes loops, and gets the server onto blocklists",
        hint="the mail log says what vacation did; Dovecot's sendmail_path or submission_host must lead to Postfix, and pickup stand "
        "in its master.cf "
        f"{_GUIDE}",
    )
    offer = _offer(outside.server)
    if reason := why_none(outside) or hand_in.why_no_lmtp(outside):
        return exam.not_applicable(reason)
    if offer is None:
        return exam.not_applicable("ManageSieve is not offered to others")
    mark = letters.new_mark()
    try:
        with _open(outside, away, offer) as scripts:
            if "vacation" not in scripts.extensions():
                return exam.not_applicable("the vacation extension is not offered")
            scripts.put(NAME, _AWAY.format(mark=mark).encode())
            scripts.activate(NAME)
            taken = _write_to(outside, away, writer, lists)
            _clear(scripts)
        for each in taken:
            if each.code != 250:
                exam.expect(f"letters to {away.email} by LMTP", each.words, False, "250")
        with outside.mailbox(writer) as box:
            for _ in Deadline(REPLY_S):
                if notices := box.search("HEADER", "Subject", mark):
                    break
            _fence(outside, box, writer)
            notices = box.search("HEADER", "Subject", mark)
            said = "" if notices else f"; {what_became_of(outside.server, away.email)}"
            exam.expect("notices to a person who wrote twice", f"{len(notices)}{said}", len(notices) == 1, "1")
            if notices:
                header = box.raw(notices[0]).partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
                null = "return-path: <>" in header.lower()
                exam.expect("whom a bounce of the notice would go to", "nobody" if null else "somebody", null, "nobody")
        with outside.mailbox(lists) as box:
            exam.equal("notices to a mailing list and to a program", len(box.search("HEADER", "Subject", mark)), 0)
    except (managesieve.SieveError, imap.ImapError) as error:
        went_wrong(exam, f"the rules of {away.email}", error, "taken")
    return exam.close()


def _write_to(outside: Outside, away: Account, writer: Account, lists: Account) -> list[hand_in.Answer]:
    """A letter of a list, one of a program, one with the null sender, and two of a person."""

    def letter(sender: str, *headers: tuple[str, str], automatic: bool = False) -> letters.Letter:
        return letters.compose(sender, away.email, headers=headers, automatic=automatic)

    envelopes = [
        hand_in.Envelope(lists.email, away.email, letter(lists.email, ("List-Id", "<talk.mailmove.invalid>"))),
        hand_in.Envelope(lists.email, away.email, letter(lists.email, automatic=True)),
        hand_in.Envelope("", away.email, letter(lists.email)),
        hand_in.Envelope(writer.email, away.email, letter(writer.email)),
        hand_in.Envelope(writer.email, away.email, letter(writer.email)),
    ]
    return hand_in.by_lmtp(outside, envelopes)


def _fence(outside: Outside, box: imap.Mailbox, account: Account) -> None:
    """Wait until a letter handed in now has come: what was handed in before has come, too."""
    letter = letters.compose(account.email, account.email)
    hand_in.by_sendmail(outside, [hand_in.Envelope(account.email, account.email, letter)])
    find_all(box, [letter.mark], REPLY_S)


def old_rules_are_understood(old: Server, new: Server, account: Account, scripts: sievescripts.Scripts) -> Evidence:
    """Every script of the old server, people's and its own, is taken by the new one's Dovecot with what it offers."""
    exam = Examination(
        "the new server understands every rule of the old one",
        "both",
        why="a script that is not understood is not run at all: letters come unsorted, and forwarding stops",
        hint="new's Dovecot must offer the same Sieve extensions: sieve_extensions, sieve_global_extensions and "
        f"sieve_plugins in 90-sieve.conf as on old, or let the owner change the script {_GUIDE}",
    )
    for problem in scripts.problems:
        exam.unknown("a script on the old server", problem)
    if not scripts.all and not scripts.problems:
        return exam.not_applicable("there are no Sieve scripts on the old server")
    said = sievescripts.compile_on(new, account, scripts.all)
    for script, complaint in said.items():
        if complaint:
            unused = "" if script.active else " (not in use)"
            exam.expect(f"{script.where}{unused}", complaint, False, "taken")
    people = {each.owner for each in said if each.owner}
    own = sum(1 for each in said if not each.owner)
    good = sum(1 for each in said.values() if not each)
    exam.expect(f"{len(said) - own} scripts of {len(people)} people, {own} of the server", f"{good} taken", True)
    return exam.close()
