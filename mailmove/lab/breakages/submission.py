"""What breaks when people hand in letters, and what lets strangers do so."""

from mailmove.lab.breakages.base import Breakage

RELOAD = "systemctl reload postfix"
TRUSTING = (
    "smtpd_recipient_restrictions=permit_mynetworks reject_unauth_destination "
    "check_policy_service unix:private/quota-status"
)
"""As many pages on the web have it. The guide's own does not even let mynetworks send elsewhere by port 25."""


def _submission(*settings: str) -> str:
    """Set settings of the submission service, as an admin does it."""
    words = " ".join(f"submission/inet/{each}" for each in settings)
    return f"keep /etc/postfix/master.cf; postconf -P {words}; {RELOAD}"


BREAKAGES: dict[str, Breakage] = {
    "open-relay": Breakage(
        "new",
        f"postfix_setting 'mynetworks=127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128 203.0.113.0/24 [2001:db8:113::]/64' '{TRUSTING}'",
        "everybody in the provider's network may send to the whole world",
        mend=RELOAD,
    ),
    "open-relay-over-ipv6": Breakage(
        "new",
        f"postfix_setting 'mynetworks=127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128 [2000::]/3' '{TRUSTING}'",
        "whoever calls over IPv6 may send to the whole world",
        mend=RELOAD,
    ),
    "whole-world-trusted": Breakage(
        "new",
        "postfix_setting 'mynetworks=0.0.0.0/0'",
        "everybody is one of the house: only the guide's own restrictions keep it from being an open relay",
        mend=RELOAD,
    ),
    "backup-mx-left-over": Breakage(
        "new",
        "postfix_setting relay_domains=elsewhere.example",
        "a domain whose backup MX this once was is still relayed for",
        mend=RELOAD,
    ),
    "any-sender": Breakage(
        "new",
        _submission("smtpd_sender_restrictions=permit_sasl_authenticated,reject"),
        "whoever is logged in may write under any address",
        mend=RELOAD,
    ),
    "aliases-of-everybody": Breakage(
        "new",
        "keep /etc/postfix/mysql-senders.cf; "
        "sed \"s/^query.*/query = SELECT u.email FROM virtual_users u WHERE u.email='%s' UNION "
        "SELECT u.email FROM virtual_users u, virtual_aliases a WHERE a.source='%s'/\" "
        "/etc/postfix/mysql-email2email.cf > /etc/postfix/mysql-senders.cf; "
        "chgrp postfix /etc/postfix/mysql-senders.cf; chmod 640 /etc/postfix/mysql-senders.cf; "
        "postfix_setting smtpd_sender_login_maps=mysql:/etc/postfix/mysql-senders.cf",
        "everybody may write under everybody's alias: a join without its condition",
        mend=RELOAD,
    ),
    "submission-unencrypted": Breakage(
        "new",
        _submission("smtpd_tls_security_level=may"),
        "mail programs may hand in letters without encryption",
        mend=RELOAD,
    ),
    "login-unencrypted": Breakage(
        "new",
        "postfix_setting smtpd_tls_auth_only=no",
        "passwords are taken before the connection is encrypted",
        mend=RELOAD,
    ),
    "submission-open": Breakage(
        "new",
        _submission(
            "smtpd_sender_restrictions=reject_authenticated_sender_login_mismatch",
            "smtpd_recipient_restrictions=permit_sasl_authenticated,reject_unauth_destination",
        ),
        "letters for people here are taken from whoever asks, without a login",
        mend=RELOAD,
    ),
    "sasl-socket-elsewhere": Breakage(
        "new",
        _submission("smtpd_sasl_path=private/dovecot-auth"),
        "where letters are handed in, passwords are asked for at a socket that is not there",
        mend="systemctl restart postfix",
    ),
    "sending-needs-no-password": Breakage(
        "new",
        "keep /etc/dovecot/trial-smtp; echo 'everybody:::::::nopassword=y' > /etc/dovecot/trial-smtp; "
        "chown root:dovecot /etc/dovecot/trial-smtp; chmod 640 /etc/dovecot/trial-smtp; "
        """dovecot_setting 'passdb {
  driver = passwd-file
  args = username_format=everybody /etc/dovecot/trial-%s
}'""",
        "a file for a trial of sending lets everybody send, whatever the password",
        mend="doveadm reload",
    ),
    "content-filter-left-over": Breakage(
        "new",
        _submission("content_filter=smtp:[127.0.0.1]:10024"),
        "letters that are handed in go to a virus scanner that is no more, and wait",
        mend=f"{RELOAD}; postsuper -d ALL deferred",
    ),
    "relayhost-gone": Breakage(
        "new",
        "postfix_setting relayhost=[smtp.provider.example]",
        "mail for elsewhere goes to a provider's server that is no more",
        mend=f"{RELOAD}; postsuper -d ALL deferred",
    ),
    "bounces-discarded": Breakage(
        "new",
        "keep /etc/postfix/header_checks; "
        "echo '/^Subject: Undelivered Mail Returned to Sender/ DISCARD' > /etc/postfix/header_checks; "
        "postfix_setting header_checks=regexp:/etc/postfix/header_checks internal_mail_filter_classes=bounce",
        "a rule against backscatter throws away the server's own bounces",
        mend=RELOAD,
    ),
    "pickup-left-out": Breakage(
        "new",
        "keep /etc/postfix/master.cf; postconf -MX pickup/unix; systemctl restart postfix",
        "a line of master.cf was left out: what the server itself writes is never picked up",
        mend="systemctl restart postfix; postsuper -d ALL maildrop >/dev/null 2>&1 || true",
    ),
}
