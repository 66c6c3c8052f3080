from tests.sabotage.chapters.machine import FIREWALL, SHUT_OUT
from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

WHAT_ARRIVES = ("50_mailboxes", "60_delivery", "65_quota", "70_submission", "75_spam", "80_webmail")
"""What cannot be seen where letters do not arrive."""

EXPECTED: dict[str, Expected] = {
    "lmtp-socket-elsewhere": Expected(
        "A letter from outside arrives once over IPv4",
        r"private/dovecot_lmtp.*No such file",
        also=(*WHAT_ARRIVES, "55_sieve"),
    ),
    "no-mail-over-ipv6": Expected(
        "A letter from outside arrives once over IPv6",
        r"ECONNREFUSED[\s\S]*inet_protocols",
        also=("No stranger can send through the server over IPv6", "Everything offered can be reached from outside"),
    ),
    "aliases-not-expanded": Expected(
        "A letter to an alias reaches the person behind it", "no_address_mappings", also=("60_delivery",), sample=True
    ),
    "tags-dropped": Expected("A letter to a tagged address reaches its mailbox", "recipient_delimiter.*empty"),
    "tags-unknown-to-dovecot": Expected(
        "A letter to a tagged address reaches its mailbox", "User doesn't exist.*|doveconf recipient_delimiter"
    ),
    "bounces-refused": Expected("A bounce from another server reaches its mailbox", "we take no bounces", sample=True),
    "few-letters-a-minute": Expected(
        "Many letters at the same time each arrive once", "too much mail|rate_limit", also=(*WHAT_ARRIVES, SHUT_OUT)
    ),
    "firewall-shuts-out-old": Expected(
        "The old server can hand letters on to the new one",
        r"shuts out 203\.0\.113\.20 \(the old server\): its firewall.*tcp dport 25 drop",
        also=(SHUT_OUT, FIREWALL),
    ),
    "eight-bit-recoded": Expected(
        "Letters in any script arrive unchanged",
        "lmtp_discard_lhlo_keywords",
        also=("People read a letter in the webmail",),
    ),
    "large-letters-bounced": Expected("A letter as large as the server allows arrives", "quota_max_mail_size"),
    "size-limit-tiny": Expected("A letter as large as the server allows arrives", "as on the old server"),
    "no-size-limit": Expected("A letter larger than the server allows is refused at once", "fill the disk"),
    "unknown-people-accepted": Expected(
        "Mail to somebody unknown is refused at once",
        "smtpd_reject_unlisted_recipient",
        also=("A letter to a full mailbox is refused at once", "A mailbox with more room takes letters again"),
    ),
    "soft-bounce-forgotten": Expected(
        "Mail to somebody unknown is refused at once", "soft_bounce is on", also=("65_quota",)
    ),
    "old-writes-another-log": Expected(
        "What happened on the old server stands in its mail log", r"maillog_file\) /var/log/postfix\.log"
    ),
    "few-stations": Expected("A letter that came a long way arrives whole", "too many hops|hopcount_limit"),
    "headers-cut-off": Expected(
        "A letter that came a long way arrives whole",
        r"people it was written to, in its header \d+ of 200",
        also=EVERYTHING_WITH_A_MAILBOX,
    ),
    "unknown-users-accepted": Expected(
        "Mail to somebody unknown is refused at once", r"@localhost> from outside \(mydestination; local_recipient_maps"
    ),
}
