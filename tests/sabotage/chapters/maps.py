from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

DOMAINS = "Postfix finds every hosted domain and no other"
MAILBOXES = "Postfix finds every mailbox and no other"
ALIASES = "Postfix finds every alias and where it leads"
EVERYBODY = "A letter reaches everybody its alias leads to"
CATCH_ALL = "A catch-all does not swallow other people's mail"
CAUGHT = "A catch-all takes the letters to nobody, and no others"
SENDERS = "Postfix knows who may send as whom"
CLAIMED = "No hosted domain is claimed by another part of Postfix"
PRIVATE = "The database passwords in the files are private"
MACHINE = "Aliases that lead to the machine itself find somebody there"
CIRCLES = "No alias runs in a circle or ends nowhere"
READERS = "Postfix and Dovecot can read the database and not write it"

EXPECTED: dict[str, Expected] = {
    "domain-map-wrong-column": Expected(
        DOMAINS, "unknown column|query failed|lookup error", also=EVERYTHING_WITH_A_MAILBOX
    ),
    "domain-map-takes-all": Expected(DOMAINS, "nobody.mailmove.invalid.*not found", also=EVERYTHING_WITH_A_MAILBOX),
    "mailbox-map-password": Expected(MAILBOXES, "denied|password", also=(*EVERYTHING_WITH_A_MAILBOX, READERS)),
    "mailbox-map-takes-all": Expected(MAILBOXES, "nobody's address.*not found", also=("60_delivery", "70_submission")),
    "alias-map-left-out": Expected(ALIASES, "alias@.*leads to not found", also=("60_delivery",)),
    "alias-map-first-row-only": Expected(EVERYBODY, "no LIMIT in the query"),
    "catch-all-unguarded": Expected(CATCH_ALL, "email2email", also=(CAUGHT,)),
    "catch-all-never-asked": Expected(CAUGHT, r"nobody-.*550 5\.1\.1"),
    "no-sender-map": Expected(
        SENDERS, "smtpd_sender_login_maps", also=("70_submission", "A letter written in the webmail arrives")
    ),
    "mydestination-has-domain": Expected(CLAIMED, "mydestination.*example.org", sample=True),
    "relay-domains-has-domain": Expected(CLAIMED, "relay_domains.*example.net"),
    "map-file-readable": Expected(PRIVATE, "alias-maps.*can be read", sample=True),
    "alias-circle": Expected(CIRCLES, "lab-one@example.org → lab-two@example.org"),
    "old-alias-for-a-program": Expected(MACHINE, r"tickets@localhost, to whom lab-tickets@example\.org leads.*550"),
    "old-lets-aliases-write": Expected(SENDERS, "on old people write under their aliases"),
}
