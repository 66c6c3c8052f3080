"""What breaks about people's filter rules."""

from mailmove.lab.breakages.base import Breakage
from mailmove.lab.breakages.mailboxes import RELOAD

BREAKAGES: dict[str, Breakage] = {
    "rules-without-encryption": Breakage(
        "new",
        """dovecot_setting 'protocol sieve {
  ssl = yes
  disable_plaintext_auth = no
}'""",
        "ManageSieve takes passwords without TLS, for a webmail that could not do better",
        mend=RELOAD,
    ),
    "rules-of-root": Breakage(
        "new",
        """keep /var/lib/mail-rules; install -d -m 0755 /var/lib/mail-rules; dovecot_setting 'plugin {
  sieve = file:/var/lib/mail-rules/%d/%n;active=/var/lib/mail-rules/%d/%n.active
}'""",
        "the directory of people's rules belongs to root",
        mend=RELOAD,
    ),
    "no-sieve-at-delivery": Breakage(
        "new",
        """keep /etc/dovecot/conf.d/20-lmtp.conf;
sed -i 's/^  mail_plugins = .*/  mail_plugins = $mail_plugins/' /etc/dovecot/conf.d/20-lmtp.conf; doveadm reload""",
        "Dovecot's LMTP runs no Sieve",
        mend=RELOAD,
    ),
    "no-way-out-for-notices": Breakage(
        "new",
        "dovecot_setting 'sendmail_path = /usr/lib/courier/sendmail'",
        "Dovecot's sendmail_path is that of another mail server",
        mend=RELOAD,
    ),
    "rules-may-set-no-flags": Breakage(
        "new",
        """dovecot_setting 'plugin {
  sieve_extensions = -imap4flags
}'""",
        "a Sieve extension that people's rules use is switched off",
        mend=RELOAD,
    ),
    "old-keeps-rules-elsewhere": Breakage(
        "old",
        """keep /var/lib/mail-rules; mkdir -p /var/lib/mail-rules/example.org/john
echo 'keep;' > /var/lib/mail-rules/example.org/john/mine.sieve; chown -R vmail: /var/lib/mail-rules
dovecot_setting 'plugin {
  sieve = file:/var/lib/mail-rules/%d/%n;active=/var/lib/mail-rules/%d/%n.active
}'""",
        "people's rules lie outside the mail root on the old server, as an older guide had it",
        mend=RELOAD,
    ),
}
