from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

TABLES = "The database has the tables of the guide"
FITS = "The old server's accounts fit into the new tables"
CASCADE = "No account can be without its domain"
READERS = "Postfix and Dovecot can read the database and not write it"
SAMPLES = "The guide's sample passwords are gone"
ROOM = "The database lets in everybody who asks at once"
ELSEWHERE = "The database lets nobody in from elsewhere"

EXPECTED: dict[str, Expected] = {
    "email-not-unique": Expected(TABLES, "virtual_users.email is unique"),
    "tables-of-another-engine": Expected(TABLES, "engine of virtual_aliases Aria", also=(CASCADE,)),
    "table-of-an-admin-tool": Expected(FITS, "virtual_vacations only on the old server", sample=True),
    "database-lets-few-in": Expected(
        ROOM, r"turned away on the new server[\s\S]*max_connections", also=EVERYTHING_WITH_A_MAILBOX, alone=True
    ),
    "database-without-room": Expected(
        "The database has the tables of the guide",
        r"cannot write the files[\s\S]*chmod 1777 /tmp",
        also=("30_database", "65_quota"),
    ),
    "no-foreign-key": Expected(CASCADE, "1 mailboxes.*|foreign keys are missing"),
    "reader-may-write": Expected(READERS, "INSERT|write", sample=True),
    "reader-reads-everything": Expected(READERS, "database password allowed"),
    "sample-mailbox": Expected(
        SAMPLES,
        "john@example.org.*let in",
        # Its domain is on new before the keys for it are
        also=("The postmaster of every domain can be reached", "Letters are believed where they arrive"),
    ),
    "dummy-password-left": Expected(SAMPLES, "mysql-old.cf"),
    "database-user-from-anywhere": Expected(ELSEWHERE, "'backup'@'%'"),
    "old-has-mailboxes-of-no-domain": Expected(FITS, "whose domain is gone lab-stray@gone.example"),
    "database-hangs-up": Expected(
        ROOM, r"wait_timeout\) 50 s", also=(*EVERYTHING_WITH_A_MAILBOX, "40_postfix_maps"), alone=True
    ),
    "database-reads-only": Expected(TABLES, r"read_only\) it only reads", also=("80_webmail",)),
    "webmail-key-of-the-documentation": Expected(SAMPLES, "des_key.*the one of its documentation"),
    "old-has-names-told-apart-by-capitals": Expected(
        FITS, "differ by capitals or accents only .*Frank@example.org and frank@example.org", also=("50_mailboxes",)
    ),
}
