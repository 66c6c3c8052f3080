from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "redis-stopped": Expected(
        "Every service runs now and after a reboot",
        "redis",
        also=("75_spam", "60_delivery", "A notice of absence is sent once, and to people only"),
        alone=True,  # who may reach Redis, say, is seen only while it runs
    ),
    "redis-forgets": Expected("What the filter learns outlasts a restart", "never; expected now and then"),
    "redis-cannot-write": Expected(
        "What the filter learns outlasts a restart",
        r"rdb_last_bgsave_status\): err",
        # Redis that cannot write takes nothing new either
        also=("75_spam",),
    ),
    "no-spam-filter": Expected(
        "The spam filter sees every letter", "milter|rspamd", also=("75_spam", "85_dkim", "70_submission")
    ),
    "local-mail-unfiltered": Expected(
        "Spam written on the server itself does not reach the inbox",
        "non_smtpd_milters",
        also=("The spam filter sees every letter",),
    ),
    "spam-on-hold": Expected(
        "Spam from outside does not reach the inbox",
        "quarantine_on_reject",
        also=("Spam written on the server itself does not reach the inbox",),
    ),
    "spam-not-filed": Expected("What is marked as spam is filed as spam", "X-Spam: Yes", sample=True),
    "learning-elsewhere": Expected(
        "What the filter learns can be carried over",
        "6380",
        also=(
            "People teach the filter by moving letters",
            "The spam filter can look up names",
            "What the filter learns outlasts a restart",
        ),
    ),
    "learning-not-executable": Expected("People teach the filter by moving letters", "executable"),
    "emptying-teaches": Expected("Emptying the spam folder teaches nothing", "learn-ham.sieve"),
    "filter-pages-open": Expected("The filter's web pages ask for a password", "without a password"),
    "filter-default-password": Expected("The filter's web pages ask for a password", "the password q1"),
    "filter-dead-resolver": Expected("The spam filter can look up names", "DNSFAIL|name server"),
    "no-spam-headers": Expected("Letters show what the filter thought of them", "extended_spam_headers"),
    "filter-trusts-everybody": Expected(
        "The spam filter can look up names", r"local_addrs in rspamadm configdump options", also=("75_spam",)
    ),
    "filter-learns-for-each": Expected(
        "What the filter learns can be carried over", r"users_enabled\) on new true", also=("75_spam",)
    ),
}
