"""What `1_verify` finds on each variant that is not plainly good: each scenario with its outcome and a word of the reason.

Everything that is not named here must have passed. ``advised`` is a scenario that holds but recommends something.
"""

from __future__ import annotations

Outcomes = dict[str, tuple[str, str]]
"""Scenario -> its outcome, and a regular expression that what it says must match."""

ABSENT = "not applicable"

USUAL: Outcomes = {
    # On every server of the lab, the guide's own included
    "The clock is kept right": (ABSENT, "container"),
    "Outdated encryption is refused where people read their mail": ("advised", r"TLSv1\.1"),
    "No folder will have a double": ("advised", r"INBOX\.Junk"),
    "A letter that needs an international header is not taken and then lost": ("advised", "SMTPUTF8"),
    "Who collects addresses is told none": ("advised", "VRFY"),
    "Letters are believed where they arrive": (ABSENT, "hosts none of the domains yet"),
    "Receivers can verify what the new server signs": (ABSENT, "the move of certificates and signing keys"),
    "A promise to encrypt holds after the switch too": (ABSENT, "MTA-STS"),
    "Published keys are the ones that are shown": (ABSENT, "TLSA"),
    "The certificate may be issued": (ABSENT, "CAA"),
    "Mail programs find the servers by themselves": (ABSENT, "SRV"),
    "Reports on encryption have somewhere to go": (ABSENT, "reports"),
}


def _each(outcome: str, says: str, *names: str) -> Outcomes:
    return dict.fromkeys(names, (outcome, says))


_UNTRUSTED = "certificate .*not trusted|ERR_CERT"

EXPECTED: dict[str, Outcomes] = {
    "elsewhere": {},
    "places": {},
    # Nothing has a name like INBOX.Junk by accident: all folders are called so
    "dots": {"No folder will have a double": ("passed", "")},
    "frugal": {
        "Programs that fetch letters get each once": (ABSENT, "POP3 is not offered"),
        **_each(
            ABSENT,
            "chapter on quotas was left out",
            "A mailbox knows its limit",
            "A letter to a full mailbox is refused at once",
            "A mailbox with more room takes letters again",
            "A mailbox that is nearly full warns its owner",
        ),
        "The filter's web pages ask for a password": (ABSENT, "web pages are not offered"),
        **_each(
            ABSENT,
            "no Roundcube on this server",
            "A browser opens the webmail without a warning",
            "Nobody types a password into an unencrypted page",
            "A wrong password opens nothing",
            "People read a letter in the webmail",
            "A letter written in the webmail arrives",
            "People find in the webmail whom they know",
            "A filter made in the webmail sorts letters",
            "A password changed in the webmail is changed everywhere",
        ),
    },
    # Where the playbook falls behind the guide: whoever is logged in may write as anybody, and the folder that mail programs
    # take for spam is neither the one that spam is filed into nor the one that the filter learns from
    "playbook": {
        "The old server's accounts fit into the new tables": ("advised", "2 GiB|int"),
        "Postfix knows who may send as whom": (ABSENT, "not bound to their own address"),
        "Nobody can write under somebody else's address": ("failed", "553 5.7.1 not owned"),
        "What is marked as spam is filed as spam": ("failed", r"INBOX\.Junk"),
        "People teach the filter by moving letters": ("failed", "imapsieve_mailbox1_name"),
        **_each(
            ABSENT,
            "the old server signs no mail",
            "The new server is ready to sign what people send",
            "Every key that signs today is found",
            "The world knows the keys that sign",
        ),
    },
    # Whatever is asked over an encrypted connection stays unanswered, and says why
    "snakeoil": {
        "Mail programs trust the certificate on every service": ("failed", "self-signed"),
        "The certificate is renewed by itself": (ABSENT, "not certbot's"),
        "A renewal would succeed today": (ABSENT, "not certbot's"),
        **_each(
            "failed",
            _UNTRUSTED,
            "A rule takes effect once it is switched on",
            "A notice of absence is sent once, and to people only",
            "A browser opens the webmail without a warning",
            "A wrong password opens nothing",
            "A letter written in the webmail arrives",
            "People find in the webmail whom they know",
            "A filter made in the webmail sorts letters",
            "A password changed in the webmail is changed everywhere",
        ),
        **_each(
            "unknown",
            _UNTRUSTED,
            "Everybody's password stays valid",
            "A letter from outside arrives once over IPv4",
            "A letter from outside arrives once over IPv6",
            "A letter to an alias reaches the person behind it",
            "A letter reaches everybody its alias leads to",
            "A letter to a tagged address reaches its mailbox",
            "A bounce from another server reaches its mailbox",
            "Many letters at the same time each arrive once",
            "Letters in any script arrive unchanged",
            "A letter as large as the server allows arrives",
            "A letter to a full mailbox is refused at once",
            "A mailbox with more room takes letters again",
            "Spam written on the server itself does not reach the inbox",
            "What is marked as spam is filed as spam",
            "People teach the filter by moving letters",
            "The filter's web pages ask for a password",
            "People read a letter in the webmail",
            "The right password lets people send",
            "Nobody can write under somebody else's address",
            "A letter to somebody here arrives",
            "A letter to somebody elsewhere arrives there",
            "A letter that cannot be delivered comes back",
            "Nothing can be handed in without a login",
            "A wrong password lets nobody send",
        ),
        **_each(
            "advised",
            _UNTRUSTED,
            "A letter that needs an international header is not taken and then lost",
            "A mailbox that is nearly full warns its owner",
            "Letters show what the filter thought of them",
            "Emptying the spam folder teaches nothing",
        ),
    },
}
