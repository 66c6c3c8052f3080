from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "wrong-certificate": Expected(
        "Mail programs trust the certificate on every service",
        "wrong.example|self-signed",
        also=("Every service shows the same certificate", "70_submission", "80_webmail"),
        sample=True,
    ),
}
