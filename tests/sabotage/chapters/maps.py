from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

EXPECTED: dict[str, Expected] = {
    "mydestination-has-domain": Expected(
        "No hosted domain is claimed by another part of Postfix", "example.org", sample=True
    ),
    "mailbox-map-password": Expected(
        "Postfix finds every mailbox and no other", "denied|password", also=EVERYTHING_WITH_A_MAILBOX
    ),
}
