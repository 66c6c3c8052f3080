from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "rules-without-encryption": Expected(
        "Rules are managed over encrypted connections only",
        "protocol sieve",
        also=("Nobody can log in without encryption",),
    ),
    "rules-of-root": Expected(
        "Rules are tried when they are written",
        "writable for vmail",
        also=("The right password opens the mailbox in every way offered", "55_sieve", "80_webmail"),
    ),
    "no-sieve-at-delivery": Expected(
        "A rule takes effect once it is switched on",
        "mail_plugins",
        also=("A notice of absence is sent once, and to people only", "75_spam", "80_webmail"),
        sample=True,
    ),
    "no-way-out-for-notices": Expected("A notice of absence is sent once, and to people only", "sendmail_path"),
    "rules-may-set-no-flags": Expected("The new server understands every rule of the old one", "imap4flags"),
    "old-keeps-rules-elsewhere": Expected(
        "Mailboxes work as they did", "files of plugin/sieve old: 1 in /var/lib/mail-rules/.*; new: not there.*rules"
    ),
}
