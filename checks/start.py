"""Looking at a server that has just begun its work."""

from __future__ import annotations

from checks.outside import Outside, expect_arrived, expect_taken, post
from mailmove.clients import letters
from mailmove.clients.account import Account
from mailmove.evidence import Evidence, Examination
from mailmove.journal import Journal
from mailmove.server import Server
from mailmove.units import exists, postfix_runs, unit_states

ON = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated")


def enough_was_done(journal: Journal) -> Evidence:
    """The mailboxes are copied and the safety net is spread."""
    exam = Examination(
        "the mailboxes are copied, and the safety net is spread",
        "journal",
        why="with half the mail people see empty folders; without the net mail is refused for good",
        hint="pytest features/3_cutover --move does them in their order",
    )
    for move in ("freeze", "cold_copy", "safety_net"):
        exam.expect(
            move, "proved" if journal.proved(move) else "not proved", journal.proved(move) is not None, "proved"
        )
    return exam.close()


def has_started(journal: Journal) -> Evidence:
    """The new server has begun its work."""
    exam = Examination(
        "people use the new server",
        "journal",
        why="before that it would lengthen the downtime, and Dovecot does not run",
        hint="pytest features/3_cutover --move",
    )
    proved = journal.proved("start")
    exam.expect("the start", "proved" if proved else "not proved", proved is not None, "proved")
    return exam.close()


def services_run(new: Server) -> Evidence:
    """Postfix and Dovecot run, and will do so after a reboot."""
    exam = Examination(
        "Postfix and Dovecot run and come back after a reboot",
        "new",
        why="from now on this is the server people use",
        hint="systemctl status postfix dovecot; systemctl enable brings one back after a reboot",
    )
    for unit, state in unit_states(new, ["postfix.service", "dovecot.service"]).items():
        if not exists(state):
            exam.expect(unit, "no such unit", False, "active")
            continue
        good = state["ActiveState"] == "active" and state["UnitFileState"] in ON
        exam.expect(unit, f"{state['ActiveState']}, {state['UnitFileState']}", good, "active, enabled")
    exam.expect("Postfix' master", "runs" if postfix_runs(new) else "does not run", postfix_runs(new), "runs")
    return exam.close()


def letter_goes_round(outside: Outside, account: Account) -> Evidence:
    """A letter from outside comes into a mailbox and is read there."""
    exam = Examination(
        "a letter from outside arrives and is read",
        str(outside.server),
        why="the one thing a mail server is for, tried before the world is led to it",
        hint="what the mail log says about the letter is above",
    )
    letter = letters.compose(outside.sender, account.email)
    posted = post([(letter, account, outside.call([account.email], letter))])
    if expect_taken(exam, posted):
        expect_arrived(exam, outside, posted)
    return exam.close()
