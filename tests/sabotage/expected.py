"""What each breakage must turn red, and the words that lead to its cause.

``red`` is the scenario meant for it. ``says`` is a regular expression that the red scenario's message must match: it names
the cause, or its hint leads there; of a WITNESS only what it found counts, and only what a healthy server's does not say. ``also``
lists what truly depends on it: scenarios, or whole features by file name ("50_mailboxes"). ``sample`` puts it among those that every
change is tried with. ``alone`` keeps others away from it: beside it they could be neither brought about nor seen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Expected:
    """The scenario that must turn red, and those that may beside it."""

    red: str
    says: str
    also: tuple[str, ...] = ()
    sample: bool = False
    alone: bool = False


EVERYTHING_WITH_A_MAILBOX = (
    "50_mailboxes",
    "55_sieve",
    "60_delivery",
    "65_quota",
    "70_submission",
    "75_spam",
    "80_webmail",
    "85_dkim",
)
"""What no server can do whose Dovecot, Postfix or database does not answer."""

WITNESSES = ("95_parity", "99_log")
"""Whatever is broken may leave its words in the log, and makes the two servers differ: they may always turn red, too."""
