"""Looking whether people get in: every way of hashing passwords, the webmail, and the old server's name."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from checks import accounts
from mailmove import databases, lineages
from mailmove.clients import imap
from mailmove.clients import roundcube as webmail
from mailmove.clients.account import Account, is_probe
from mailmove.clients.tls import DISTRUST
from mailmove.errors import MailmoveError
from mailmove.evidence import Evidence, Examination
from mailmove.server import Server

CHAPTER = "guide: Managing users, aliases and domains"
AT_ONCE = 8
# Dovecot lets an address wait up to 15 s that has failed before, and there are checks that fail on purpose
LOGIN_S = 40.0


def ways_of_hashing(server: Server) -> tuple[dict[str, list[str]], set[str]]:
    """{way: whose passwords are hashed so} of people, and the schemes this server's Dovecot understands."""
    (told,) = server.remote("schemes", {"database": server.facts.database}, timeout_s=60)
    ways = {way: [email for email in emails if not is_probe(email)] for way, emails in told["ways"].items()}
    return {way: emails for way, emails in ways.items() if emails}, {word.upper() for word in told["known"]}


def every_way_of_hashing_lets_in(
    new: Server,
    ways: Mapping[str, list[str]],
    known: set[str],
    probes: Mapping[str, Account | None],
) -> Evidence:
    """For each way in which people's passwords are hashed, somebody whose password was hashed so by old can log in."""
    exam = Examination(
        "every kind of password hash from the old server lets its owner in",
        "new",
        why="a scheme that the new Dovecot does not accept locks out everybody who has it",
        hint="doveadm pw -l lists what it understands; hashes without a scheme before them need old's default_pass_scheme "
        f"(passdb_default_password_scheme); on Dovecot 2.4 see auth_allow_weak_schemes ({CHAPTER})",
    )
    said = _log_in(new, [account for account in probes.values() if account])
    for way, emails in ways.items():
        asked = f"{way or 'no scheme named'}: {len(emails)} people"
        scheme = way[1 : way.index("}")] if way.startswith("{") else ""
        account = probes.get(way)
        if scheme and scheme.partition(".")[0] not in known:
            exam.expect(asked, f"{scheme} is not understood", False, "one of doveadm pw -l")
        elif account is None:
            # Nothing of ours could be made: crypt(3)'s newest kinds, or a way of somebody's own
            exam.unknown(asked, f"the old server's doveadm pw makes no such hash; try one of them by hand: {emails[0]}")
        elif (trouble := said[account]) is None:
            exam.expect(asked, "an account of ours with such a hash logged in", True)
        elif isinstance(trouble, imap.LoginRefused):
            exam.expect(asked, trouble.fact, False, "let in")
        else:
            exam.unknown(asked, trouble.fact)
    return exam.close()


def _log_in(new: Server, accounts: list[Account]) -> dict[Account, MailmoveError | None]:
    """Why each account was not let in; None if it was. All at once: a slow hash is slow on purpose."""

    def attempt(account: Account) -> MailmoveError | None:
        try:
            with imap.login(new.address, account, name=new.setting("myhostname"), trust=new.trust, time_s=LOGIN_S):
                return None
        except MailmoveError as error:
            return error

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return dict(zip(accounts, pool.map(attempt, accounts), strict=True))


def passwords_are_those_of_old(old: Server, new: Server) -> Evidence:
    """Everybody of the old server has an account on the new one, with the same password unless it was changed there since."""
    exam = Examination(
        "everybody has an account on the new server, with the password of the old one",
        "both",
        why="who cannot log in cannot read that anything went wrong",
        hint="set the account up by hand from /var/backups/mailmove/database/from-old.sql on the new server; a password that was"
        " changed on the old server after the evening is carried by its hash (virtual_users.password), or set anew by its owner",
    )
    carried = databases.recall(new, accounts.ACCOUNTS)
    salt = carried.salt if carried else databases.new_salt()
    theirs = accounts.by_what_they_mean(databases.read(old, old.facts.database, salt))["virtual_users"]
    ours = accounts.by_what_they_mean(databases.read(new, new.facts.database, salt))["virtual_users"]
    base = accounts.by_what_they_mean(carried)["virtual_users"] if carried else {}
    same = 0
    for key, row in theirs.items():
        here, before = ours.get(key), base.get(key)
        if here is None:
            exam.expect(f"account {key[0]}", "not on the new server", False, "there")
        elif here["password"] == row["password"]:
            same += 1
        elif before is not None and here["password"] != before["password"]:
            exam.expect(f"password of {key[0]}", "changed on the new server since the move", True)
        else:
            exam.expect(f"password of {key[0]}", "not the one of the old server", False, "the same")
    exam.expect(f"{len(theirs)} accounts of the old server", f"{same} with the same password", True)
    return exam.close()


def webmail_lets_in(new: Server, look: lineages.Look, account: Account) -> Evidence:
    """Somebody with the right password gets into the new server's webmail, and nobody with a wrong one."""
    exam = Examination(
        "the webmail lets people in, and only with their password",
        "new",
        why="for many people the webmail is the mail server",
        hint="see /var/log/roundcube/errors.log on the new server; imap_host must name it (guide: Webmail using Roundcube)",
    )
    if not new.facts.roundcube or look.webmail is None:
        return exam.not_applicable("no Roundcube with TLS on the new server")
    names = look.webmail["names"] or [new.facts.postconf.get("myhostname", "")]
    right = webmail.log_in(new.address, names[0], account, new.trust)
    if right.words.startswith(DISTRUST):
        exam.unknown(f"https://{names[0]}/", f"{right.words}: nothing was asked; mend the certificate first")
        return exam.close()
    exam.expect(f"https://{names[0]}{right.path or '/'}, right password", right.words, right.let_in, "let in")
    wrong = webmail.log_in(new.address, names[0], Account(account.email, account.password + "x"), new.trust)
    exam.expect(
        f"https://{names[0]}{wrong.path or '/'}, wrong password",
        wrong.words,
        not wrong.let_in and bool(wrong.path),
        "not let in",
    )
    return exam.close()
