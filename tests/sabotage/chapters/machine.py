from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

EXPECTED: dict[str, Expected] = {
    "dovecot-stopped": Expected(
        "Every service runs now and after a reboot",
        "dovecot",
        also=(
            *EVERYTHING_WITH_A_MAILBOX,
            "Everything offered can be reached from outside",
            "Mail programs trust the certificate on every service",
            "Every service shows the same certificate",
            "Nobody can log in without encryption",
            "Outdated encryption is refused where people read their mail",
        ),
        sample=True,
    ),
    "dovecot-not-at-boot": Expected("Every service runs now and after a reboot", "dovecot"),
}
