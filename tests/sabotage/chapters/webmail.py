from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "webmail-certificate-of-nobody": Expected(
        "A browser opens the webmail without a warning",
        "ERR_CERT|certificate",
        also=("Mail programs trust the certificate on every service", "Every service shows the same certificate"),
    ),
    "webmail-unencrypted": Expected(
        "Nobody types a password into an unencrypted page",
        "the login form",
        also=("A renewal would succeed today",),  # the authority is shown the webmail, and not what Certbot put there
    ),
    "webmail-database-password": Expected(
        "A browser opens the webmail without a warning", "Access denied for user .roundcube", also=("80_webmail",)
    ),
    "webmail-imap-elsewhere": Expected("People read a letter in the webmail", "imap_host", also=("80_webmail",)),
    "webmail-smtp-elsewhere": Expected("A letter written in the webmail arrives", "smtp_host", sample=True),
    "webmail-attaches-nothing": Expected("A letter written in the webmail arrives", r"attaching \S+ \(50,000 bytes\)"),
    "webmail-address-book-lost": Expected("People find in the webmail whom they know", "address_book_type"),
    "webmail-sieve-elsewhere": Expected("A filter made in the webmail sorts letters", "managesieve_host"),
    "webmail-filters-lost": Expected("A filter made in the webmail sorts letters", "plugins"),
    "webmail-password-database": Expected(
        "A password changed in the webmail is changed everywhere", "password_db_dsn", sample=True
    ),
    "webmail-password-algorithm": Expected(
        "A password changed in the webmail is changed everywhere",
        "the new password by IMAP.*password_algorithm|password_algorithm",
    ),
    "webmail-needs-no-password": Expected("A wrong password opens nothing", "allow_nets"),
}
