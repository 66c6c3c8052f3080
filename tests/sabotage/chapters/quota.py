from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "quota-in-kilobytes": Expected("A mailbox knows its limit", "KiB", also=("65_quota",), sample=True),
    "quota-not-asked": Expected(
        "A letter to a full mailbox is refused at once",
        "smtpd_recipient_restrictions",
        also=("A mailbox with more room takes letters again",),
    ),
    "quota-cached": Expected("A mailbox with more room takes letters again", "auth_cache_size", also=("65_quota",)),
    "quota-warning-not-executable": Expected("A mailbox that is nearly full warns its owner", "executable"),
    "old-has-a-home-elsewhere": Expected(
        "No letter lies outside the mailboxes",
        r"home elsewhere old: frank@example\.org in /srv/frank; new: not carried over",
    ),
}
