"""What breaks about the limits of mailboxes."""

from mailmove.lab.breakages.base import Breakage
from mailmove.lab.breakages.mailboxes import RELOAD, SQL

WARNING = "/usr/local/bin/quota-warning.sh"

BREAKAGES: dict[str, Breakage] = {
    "quota-in-kilobytes": Breakage(
        "new",
        f"keep {SQL}; sed -i 's/:bytes=/:storage=/' {SQL}; {RELOAD}",
        "limits are read as kilobytes instead of bytes",
        mend=RELOAD,
    ),
    "quota-not-asked": Breakage(
        "new",
        "postfix_setting smtpd_recipient_restrictions=reject_unauth_destination",
        "Postfix does not ask Dovecot whether a mailbox is full",
        mend="systemctl reload postfix",
    ),
    "quota-cached": Breakage(
        "new",
        """dovecot_setting 'auth_cache_size = 10M
auth_cache_ttl = 1 hour'""",
        "Dovecot remembers limits for an hour",
        mend=RELOAD,
    ),
    "quota-warning-not-executable": Breakage(
        "new", f"keep {WARNING}; chmod a-x {WARNING}", "the script that warns of a full mailbox is not executable"
    ),
    "old-has-a-home-elsewhere": Breakage(
        "old",
        """keep /etc/dovecot/dovecot-sql.conf.ext
sed -i "s|'/var/vmail/%d/%n' AS home|IF(email='frank@example.org', '/srv/frank', '/var/vmail/%d/%n') AS home|" \
    /etc/dovecot/dovecot-sql.conf.ext
doveadm reload""",
        "somebody with very much mail has a home on another disk, by Dovecot's user query",
        mend="doveadm reload",
    ),
}
