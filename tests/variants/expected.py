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
    "The database lets in everybody who asks at once": ("advised", "connections"),
    "What the server has to say reaches its admin": ("advised", "loops back|undeliverable"),
    "Aliases that lead to the machine itself find somebody there": (ABSENT, "leads to the machine itself"),
    "A letter that needs an international header is not taken and then lost": ("advised", "SMTPUTF8"),
    "Who collects addresses is told none": ("advised", "VRFY"),
    "Letters are believed where they arrive": (ABSENT, "hosts none of the domains yet"),
    "Receivers can verify what the new server signs": (ABSENT, "the move of certificates and signing keys"),
    "A promise to encrypt holds after the switch too": (ABSENT, "MTA-STS"),
    "Published keys are the ones that are shown": (ABSENT, "TLSA"),
    "The certificate may be issued": (ABSENT, "CAA"),
    "Other mail exchangers help in the downtime": (ABSENT, "no domain names another"),
    "Mail programs find the servers by themselves": (ABSENT, "SRV"),
    "Reports on encryption have somewhere to go": (ABSENT, "reports"),
}


def _each(outcome: str, says: str, *names: str) -> Outcomes:
    return dict.fromkeys(names, (outcome, says))


EXPECTED: dict[str, Outcomes] = {
    "elsewhere": {},
    "sudo": {},
    # proxy: maps share few connections
    "places": {"The database lets in everybody who asks at once": ("passed", "")},
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
    "journal": {"Nothing else runs on the old server alone": ("advised", "rsyslog")},
    # Where the playbook falls behind the guide: whoever is logged in may write as anybody, and the folder that mail programs
    # take for spam is neither the one that spam is filed into nor the one that the filter learns from
    "playbook": {
        "The old server's accounts fit into the new tables": ("advised", "2 GiB|int"),
        "Postfix knows who may send as whom": (ABSENT, "is not set, on the old server neither"),
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
    # The certificate is red, and what truly stumbles over it: the webmail checks Dovecot's. All else is asked nevertheless
    "snakeoil": {
        "Mail programs trust the certificate on every service": ("failed", "self-signed"),
        "The certificate is renewed by itself": (ABSENT, "not certbot's"),
        "A renewal would succeed today": (ABSENT, "not certbot's"),
        "A browser opens the webmail without a warning": ("failed", "ERR_CERT"),
        **_each(
            "failed",
            "Unable to negotiate TLS",
            "People read a letter in the webmail",
            "A letter written in the webmail arrives",
            "People find in the webmail whom they know",
            "A filter made in the webmail sorts letters",
            "A password changed in the webmail is changed everywhere",
        ),
    },
}
