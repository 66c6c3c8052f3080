from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

EXPECTED: dict[str, Expected] = {
    "dovecot-database-password": Expected(
        "The right password opens the mailbox in every way offered",
        "Access denied|password",
        also=(
            *EVERYTHING_WITH_A_MAILBOX,
            "The guide's sample passwords are gone",
            "Postfix and Dovecot can read the database and not write it",
        ),
    ),
    "pop3-locked-out": Expected(
        "The right password opens the mailbox in every way offered",
        "POP3",
        also=("Programs that fetch letters get each once",),
        sample=True,
    ),
    "any-password": Expected(
        "Nobody gets in with a wrong password",
        "static|nopassword",
        also=("70_submission", "80_webmail", "The guide's sample passwords are gone"),
    ),
    "hashes-without-scheme": Expected("Everybody's password stays valid", r"no scheme named|default_pass_scheme"),
    "passwords-in-the-log": Expected(
        "The new server complains of nothing", r"lines with a password in them \d+ none: auth_debug_passwords"
    ),
    "unusual-names-refused": Expected("Nobody is locked out for an unusual name", "auth_username_chars"),
    "no-iterate-query": Expected("Dovecot knows everybody in the database", "iterate_query"),
    "letters-for-anybody": Expected(
        "Postfix can hand letters over to Dovecot",
        "userdb static",
        also=("Dovecot knows everybody in the database", "A letter that cannot be delivered comes back"),
    ),
    "lmtp-socket-for-root": Expected(
        "Postfix can hand letters over to Dovecot", "Permission denied", also=EVERYTHING_WITH_A_MAILBOX
    ),
    "mailboxes-of-another-group": Expected("A mailbox lies where it belongs and is private", "gid"),
    "sent-mail-unmarked": Expected(
        "Mail programs find the folders for spam, sent and deleted mail", "special_use", sample=True
    ),
    "no-autoexpunge": Expected("Old spam and deleted mail go away by themselves", "autoexpunge"),
    "expunged-within-seconds": Expected("Only spam and deleted mail go away by themselves", "after 30 seconds"),
    "nobody-may-delete": Expected(
        "Letters can be stored, found, flagged, moved and deleted",
        "ACL|permission",
        also=(
            "Folders people subscribed to stay subscribed",
            "Several programs can be open on one mailbox",
            "75_spam",
            "80_webmail",
        ),
    ),
    "idle-not-offered": Expected("A waiting mail program is told of a new letter", "imap_capability"),
    "few-connections": Expected("Several programs can be open on one mailbox", "mail_max_userip_connections"),
    "other-pop3-numbers": Expected("Programs that fetch letters get each once", "pop3_uidl_format"),
    "no-pop3": Expected("Every way to the mailbox that people use stays", "dovecot-pop3d"),
    "other-separator": Expected("Folders keep their names", "separator"),
    "folder-below-inbox": Expected("No folder will have a double", "INBOX.Sent"),
    "subscriptions-where-nobody-writes": Expected(
        "Folders people subscribed to stay subscribed", "subscribe failed", also=EVERYTHING_WITH_A_MAILBOX
    ),
    "capitals-are-others": Expected(
        "A name in capitals opens the same mailbox",
        "0 seen[\\s\\S]*email AS user",
        also=("A letter to an address in capitals reaches its mailbox",),
    ),
    "old-has-accounts-in-a-file": Expected(
        "Every way of reading and logging in is there", r"passdb passwd-file old: scanner@example\.org; new: not there"
    ),
    "old-locks-people-out": Expected(
        "Every way of reading and logging in is there",
        "password_query old: where .*active=1; new: where",
        also=("The old server's accounts fit into the new tables", "Nothing else lies in the database"),
    ),
    "old-adds-the-domain": Expected(
        "Mailboxes work as they did", r"auth_default_realm old: example\.org; new: \(default\)"
    ),
}
