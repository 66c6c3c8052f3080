"""What breaks on a letter's way into its mailbox."""

from mailmove.lab.breakages.base import Breakage

RELOAD = "systemctl reload postfix"

BREAKAGES: dict[str, Breakage] = {
    "lmtp-socket-elsewhere": Breakage(
        "new",
        "postfix_setting virtual_transport=lmtp:unix:private/dovecot_lmtp",
        "Postfix looks for Dovecot at a socket that is not there",
        mend=f"{RELOAD}; postsuper -d ALL deferred",
    ),
    "no-mail-over-ipv6": Breakage(
        "new",
        # inet_protocols wants a restart
        "postfix_setting inet_protocols=ipv4; systemctl restart postfix",
        "Postfix speaks IPv4 only, but DNS gives the server an IPv6 address",
        mend="systemctl restart postfix",
    ),
    "aliases-not-expanded": Breakage(
        "new",
        "postfix_setting receive_override_options=no_address_mappings",
        "a setting for a virus scanner that went long ago keeps aliases from being looked up",
        mend=RELOAD,
    ),
    "tags-dropped": Breakage(
        "new", "postfix_setting recipient_delimiter=", "addresses have no tags any more", mend=RELOAD
    ),
    "tags-unknown-to-dovecot": Breakage(
        "new",
        "dovecot_setting 'recipient_delimiter = -'",
        "Postfix and Dovecot part names and tags at different characters",
        mend="doveadm reload",
    ),
    "bounces-refused": Breakage(
        "new",
        "postfix_setting 'smtpd_sender_restrictions=check_sender_access inline:{ {<> = REJECT we take no bounces} }'",
        "bounces are refused, to be rid of backscatter",
        mend=RELOAD,
    ),
    "few-letters-a-minute": Breakage(
        "new",
        "postfix_setting smtpd_client_message_rate_limit=8",
        "one sender may hand over no more than a few letters a minute",
        mend="systemctl restart postfix",  # or anvil remembers its counts
    ),
    "firewall-shuts-out-old": Breakage(
        "new",
        "nft add table inet guard; nft add chain inet guard input '{ type filter hook input priority 0; policy accept; }'; "
        "nft add rule inet guard input ip saddr 203.0.113.20 tcp dport 25 drop",
        "the firewall drops what comes from the old server, whose password once was stolen",
        mend="nft delete table inet guard",
    ),
    "eight-bit-recoded": Breakage(
        "new",
        "postfix_setting lmtp_discard_lhlo_keywords=8bitmime",
        "letters in 8-bit characters are recoded before they are delivered",
        mend=RELOAD,
    ),
    "large-letters-bounced": Breakage(
        "new",
        "dovecot_setting 'plugin {\n  quota_max_mail_size = 1M\n}'",
        "Postfix takes large letters, Dovecot bounces them",
        mend="doveadm reload",
    ),
    "size-limit-tiny": Breakage(
        "new",
        "postfix_setting message_size_limit=1024000",
        "letters may be a tenth as large as on the old server",
        mend=RELOAD,
    ),
    "no-size-limit": Breakage(
        "new",
        "postfix_setting message_size_limit=0",
        "letters may be as large as the disk",
        mend=RELOAD,
    ),
    "unknown-people-accepted": Breakage(
        "new",
        "postfix_setting smtpd_reject_unlisted_recipient=no smtpd_recipient_restrictions=reject_unauth_destination",
        "mail for people who are not there is taken, and bounced afterwards",
        mend=RELOAD,
    ),
    "soft-bounce-forgotten": Breakage(
        "new",
        "postfix_setting soft_bounce=yes",
        "a safety net from a test was left in place: nothing is refused for good",
        mend=RELOAD,
    ),
    "old-writes-another-log": Breakage(
        "old",
        "postfix_setting maillog_file=/var/log/postfix.log; systemctl restart postfix",
        "Postfix on the old server writes a log of its own, which nothing else reads",
        mend="systemctl restart postfix",
    ),
    "few-stations": Breakage(
        "new",
        "postfix_setting hopcount_limit=10",
        "a letter that came through ten servers is taken for one that runs in a circle",
        mend=RELOAD,
    ),
    "headers-cut-off": Breakage(
        "new",
        "postfix_setting header_size_limit=2048",
        "what a letter to many people has in its header is cut off",
        mend=RELOAD,
    ),
    "unknown-users-accepted": Breakage(
        "new",
        "postfix_setting local_recipient_maps=",
        "mail to nobody at the server's own names is taken, and bounced afterwards",
        mend=RELOAD,
    ),
}
