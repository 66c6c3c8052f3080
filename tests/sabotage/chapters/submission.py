from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {}
