from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "redis-stopped": Expected(
        "Every service runs now and after a reboot", "redis", also=("75_spam", "60_delivery"), sample=True
    ),
    "no-spam-filter": Expected(
        "The spam filter sees every letter", "milter|rspamd", also=("75_spam", "85_dkim", "70_submission"), sample=True
    ),
}
