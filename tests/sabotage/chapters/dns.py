from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "secondary-dns-stopped": Expected("All name servers say the same", "ns2", also=("90_dns",), sample=True),
}
