from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

TRUSTED = "Nobody is trusted for the address they call from"

EXPECTED: dict[str, Expected] = {
    "open-relay": Expected(
        "No stranger can send through the server over IPv4",
        "mynetworks",
        also=("No stranger can send through the server over IPv6", TRUSTED, "65_quota"),
    ),
    "open-relay-over-ipv6": Expected(
        "No stranger can send through the server over IPv6", "mynetworks", also=(TRUSTED,), sample=True
    ),
    "whole-world-trusted": Expected(TRUSTED, r"0\.0\.0\.0/0"),
    "backup-mx-left-over": Expected(
        "No stranger can send through the server over IPv4",
        "relay_domains",
        also=("No stranger can send through the server over IPv6",),
    ),
    "any-sender": Expected(
        "Nobody can write under somebody else's address", "reject_sender_login_mismatch", sample=True
    ),
    "aliases-of-everybody": Expected("Nobody can write under somebody else's address", "smtpd_sender_login_maps"),
    "submission-unencrypted": Expected("Nothing can be handed in unencrypted", "smtpd_tls_security_level"),
    "login-unencrypted": Expected(
        "No login is taken before the connection is encrypted",
        "smtpd_tls_auth_only",
        also=("Nobody can log in without encryption",),
    ),
    "submission-open": Expected("Nothing can be handed in without a login", "permit_sasl_authenticated,reject"),
    "sasl-socket-elsewhere": Expected(
        "The right password lets people send",
        "smtpd_sasl_path",
        also=("20_certificate", "70_submission", "80_webmail"),
    ),
    "content-filter-left-over": Expected(
        "A letter to somebody here arrives", "10024", also=("70_submission", "A letter written in the webmail arrives")
    ),
    "relayhost-gone": Expected("A letter to somebody elsewhere arrives there", "smtp.provider.example"),
    "bounces-discarded": Expected("A letter that cannot be delivered comes back", "discard"),
    "sending-needs-no-password": Expected(
        "A wrong password lets nobody send", "passdb", also=("A password changed in the webmail is changed everywhere",)
    ),
    "pickup-left-out": Expected(
        "Whoever could send can send",
        "service pickup/unix old: pickup; new: not there: letters that the server itself writes",
        also=EVERYTHING_WITH_A_MAILBOX,
        alone=True,
    ),
}
