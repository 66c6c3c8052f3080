"""What every breakage must turn red, a module for each chapter."""

from tests.sabotage.chapters import (
    certificate,
    database,
    delivery,
    dns,
    machine,
    mailboxes,
    maps,
    parity,
    quota,
    sieve,
    spam,
    submission,
    webmail,
)
from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    **machine.EXPECTED,
    **certificate.EXPECTED,
    **database.EXPECTED,
    **maps.EXPECTED,
    **mailboxes.EXPECTED,
    **sieve.EXPECTED,
    **quota.EXPECTED,
    **delivery.EXPECTED,
    **submission.EXPECTED,
    **spam.EXPECTED,
    **webmail.EXPECTED,
    **dns.EXPECTED,
    **parity.EXPECTED,
}
