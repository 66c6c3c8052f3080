from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

TRUSTED = "Mail programs trust the certificate on every service"
SAME = "Every service shows the same certificate"
PRIVATE = "The private key is private"
FITS = "The key belongs to the certificate"
LASTS = "The certificate does not run out soon"
RENEWED = "The certificate is renewed by itself"
REHEARSED = "A renewal would succeed today"
ENCRYPTED = "Nobody can log in without encryption"
BROWSER = "A browser opens the webmail without a warning"
YEARS_AGO = "Programs of some years ago can encrypt"
OUTDATED = "Outdated encryption is refused where people read their mail"

EXPECTED: dict[str, Expected] = {
    "wrong-certificate": Expected(
        TRUSTED, "wrong.example|self-signed", also=(SAME, "A letter written in the webmail arrives"), sample=True
    ),
    "chain-incomplete": Expected(TRUSTED, "HTTPS.*unable to get local issuer.*|fullchain", also=(BROWSER,)),
    "renewed-dovecot-not-told": Expected(SAME, "IMAP with TLS.*SHA-256.*as most"),
    "certificate-key-readable": Expected(PRIVATE, "privkey.*can be read"),
    "certificate-key-of-another": Expected(
        FITS, "other.key.*another certificate", also=("The services run with what their files say",), sample=True
    ),
    "certificate-runs-out": Expected(LASTS, "4 days"),
    "certificate-ran-out": Expected(TRUSTED, "certificate has expired", also=(LASTS, "80_webmail")),
    "renewal-timer-off": Expected(RENEWED, "certbot.timer inactive", sample=True),
    "hook-forgets-dovecot": Expected(RENEWED, "hook that tells Dovecot none"),
    "web-root-moved": Expected(REHEARSED, "acme-challenge.*returned 40.|web root"),
    "dovecot-plaintext": Expected(
        ENCRYPTED,
        "IMAP .port 143.: login offered before TLS.*AUTH=PLAIN",
        also=("Rules are managed over encrypted connections only",),
    ),
    "submission-plaintext": Expected(
        ENCRYPTED,
        "submission .port 587.: login with a right password before TLS 235",
        also=(
            "No login is taken before the connection is encrypted",
            "Nothing can be handed in unencrypted",
        ),
    ),
    "dovecot-outdated-tls": Expected(OUTDATED, "IMAP with TLS.*TLSv1.1"),
    "newest-encryption-only": Expected(YEARS_AGO, r"port 993\) refused", also=EVERYTHING_WITH_A_MAILBOX),
    "servers-newest-encryption-only": Expected(YEARS_AGO, r"port 25\) refused", also=EVERYTHING_WITH_A_MAILBOX),
    "certificate-of-the-name-to-move": Expected(
        "Every service shows the same certificate",
        r"asked for mail\.example\.org, the name that is to move another one, not trusted",
    ),
    "networks-trusted-with-passwords": Expected(
        ENCRYPTED, r"port 143\): login with a right password before TLS.*|login_trusted_networks", also=("55_sieve",)
    ),
}
