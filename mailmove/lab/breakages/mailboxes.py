"""What breaks in Dovecot: logins, mailboxes, folders."""

from mailmove.lab.breakages.base import Breakage

SQL = "/etc/dovecot/dovecot-sql.conf.ext"
FOLDERS = "/etc/dovecot/conf.d/15-mailboxes.conf"
RELOAD = "doveadm reload"

BREAKAGES: dict[str, Breakage] = {
    "dovecot-database-password": Breakage(
        "new",
        f"keep {SQL}; sed -i 's/password=[^ ]*$/password=changed/' {SQL}; {RELOAD}",
        "the database password in Dovecot's settings is an old one",
        mend=RELOAD,
    ),
    "pop3-locked-out": Breakage(
        "new",
        f"""set_line {SQL} password_query "SELECT password FROM virtual_users WHERE email='%u' AND '%s' <> 'pop3'"; {RELOAD}""",
        "Dovecot's password query leaves POP3 out",
        mend=RELOAD,
    ),
    "any-password": Breakage(
        "new",
        """dovecot_setting 'passdb {
  driver = static
  args = nopassword=y
}'""",
        "a passdb from a trial lets everybody in who fails at the first",
        mend=RELOAD,
    ),
    "hashes-without-scheme": Breakage(
        "old",
        f"keep {SQL}; echo 'default_pass_scheme = SHA512-CRYPT' >> {SQL}; {RELOAD};"
        " mariadb mailserver -e \"UPDATE virtual_users SET password=REPLACE(password, '{SHA512-CRYPT}', '')\"",
        "old has hashes without a scheme before them, and a default of its own for these",
        mend=f"{RELOAD}; mariadb mailserver -e"
        " \"UPDATE virtual_users SET password=CONCAT('{SHA512-CRYPT}', password) WHERE password LIKE '\\$6\\$%'\"",
    ),
    "passwords-in-the-log": Breakage(
        "new",
        "dovecot_setting 'auth_debug_passwords = yes'",
        "Dovecot still writes everybody's password into the log, since somebody could not log in",
        mend=RELOAD,
    ),
    "unusual-names-refused": Breakage(
        "new",
        f"keep /etc/dovecot/conf.d/99-mailbox-names.conf; rm /etc/dovecot/conf.d/99-mailbox-names.conf; {RELOAD}",
        "Dovecot does not know of apostrophes in names",
        mend=RELOAD,
    ),
    "no-iterate-query": Breakage(
        "new",
        f"keep {SQL}; sed -i /^iterate_query/d {SQL}; {RELOAD}",
        "Dovecot has no query for all mailboxes",
        mend=RELOAD,
    ),
    "letters-for-anybody": Breakage(
        "new",
        """dovecot_setting 'userdb {
  driver = static
  args = uid=vmail gid=vmail home=/var/vmail/%d/%n allow_all_users=yes
}'""",
        "a second userdb knows everybody, there or not",
        mend=RELOAD,
    ),
    "lmtp-socket-for-root": Breakage(
        "new",
        "keep /etc/dovecot/conf.d/10-master.conf;"
        " sed -i '/private\\/dovecot-lmtp {/,/}/s/= postfix/= root/' /etc/dovecot/conf.d/10-master.conf;"
        " systemctl restart dovecot",
        "Postfix has no right to Dovecot's LMTP socket",
        mend="systemctl restart dovecot; postqueue -f",  # or Postfix goes on holding back what is for there
    ),
    "mailboxes-of-another-group": Breakage(
        "new",
        f"keep {SQL}; sed -i 's/5000 AS gid/8 AS gid/' {SQL}; {RELOAD}",
        "the user database names another group than that of the mail directory",
        mend=RELOAD,
    ),
    "sent-mail-unmarked": Breakage(
        "new",
        f"keep {FOLDERS}; sed -i '/special_use = .Sent/d' {FOLDERS}; {RELOAD}",
        "mail programs are not told which folder is for sent mail",
        mend=RELOAD,
    ),
    "no-autoexpunge": Breakage(
        "new",
        f"keep {FOLDERS}; sed -i /autoexpunge/d {FOLDERS}; {RELOAD}",
        "spam and deleted mail stay for ever",
        mend=RELOAD,
    ),
    "expunged-within-seconds": Breakage(
        "new",
        f"set_line {FOLDERS} autoexpunge 30s; {RELOAD}",
        "deleted mail is gone after 30 seconds instead of days",
        mend=RELOAD,
    ),
    "nobody-may-delete": Breakage(
        "new",
        """keep /etc/dovecot/acl; echo '* owner lrwstipk' > /etc/dovecot/acl; dovecot_setting 'protocol imap {
  mail_plugins = $mail_plugins quota imap_sieve acl
}
plugin {
  acl = vfile:/etc/dovecot/acl
}'""",
        "a global ACL forgot the right to expunge",
        mend=RELOAD,
    ),
    "subscriptions-where-nobody-writes": Breakage(
        "new",
        "dovecot_setting 'mail_location = maildir:~/Maildir:SUBSCRIPTIONS=../../../../../etc/dovecot/subscriptions'",
        "subscriptions are to be kept in one place for all, where Dovecot may not write",
        mend=RELOAD,
    ),
    "idle-not-offered": Breakage(
        "new",
        "dovecot_setting 'imap_capability = IMAP4rev1 SASL-IR LITERAL+ ID ENABLE SORT UNSELECT CHILDREN NAMESPACE UIDPLUS"
        " LIST-EXTENDED CONDSTORE ESEARCH MOVE SPECIAL-USE'",
        "a list of capabilities from an older server leaves IDLE out",
        mend=RELOAD,
    ),
    "few-connections": Breakage(
        "new",
        "dovecot_setting 'mail_max_userip_connections = 3'",
        "a person may have three connections only",
        mend=RELOAD,
    ),
    "other-pop3-numbers": Breakage(
        "new",
        "dovecot_setting 'pop3_uidl_format = %g'",
        "POP3 numbers letters in another way than on old",
        mend=RELOAD,
    ),
    "no-pop3": Breakage(
        "new",
        "dovecot_setting 'protocols = imap lmtp sieve'",
        "POP3 is not offered, and somebody uses it on old",
        mend=RELOAD,
    ),
    "other-separator": Breakage(
        "new",
        """dovecot_setting 'namespace inbox {
  separator = /
}'""",
        "folders are separated by another sign than on old",
        mend=RELOAD,
    ),
    "folder-below-inbox": Breakage(
        "old",
        "keep /var/vmail/example.org/john/Maildir/.INBOX.Sent;"
        " install -d -o vmail -g vmail /var/vmail/example.org/john/Maildir/.INBOX.Sent/cur",
        "somebody has a folder INBOX.Sent from an earlier edition of the guide",
    ),
    "capitals-are-others": Breakage(
        "new",
        f"keep {SQL}; sed -i 's/email as user, //' {SQL}; dovecot_setting 'auth_username_format = %u'",
        "Dovecot takes names as they are typed, and makes a mailbox for each way of typing",
        mend=f"{RELOAD}; rm -rf /var/vmail/PROBE.MAILMOVE.INVALID",
    ),
    "old-has-accounts-in-a-file": Breakage(
        "old",
        """keep /etc/dovecot/users; echo 'scanner@example.org:{PLAIN}lab-only' > /etc/dovecot/users; chmod 644 /etc/dovecot/users
dovecot_setting 'passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}'""",
        "a device logs in on the old server with an account that stands in a file, not in the database",
        mend=RELOAD,
    ),
    "old-locks-people-out": Breakage(
        "old",
        "mariadb mailserver -e 'ALTER TABLE virtual_users ADD COLUMN active tinyint NOT NULL DEFAULT 1'; "
        f"keep {SQL}; sed -i \"s/^password_query.*/password_query = SELECT password FROM virtual_users WHERE email='%u' "
        f'AND active=1/" {SQL}; {RELOAD}',
        "the old server lets in only those who are active, by a column of its own",
        mend=f"{RELOAD}; mariadb mailserver -e 'ALTER TABLE virtual_users DROP COLUMN active'",
    ),
    "old-adds-the-domain": Breakage(
        "old",
        "dovecot_setting 'auth_default_realm = example.org'",
        "people log in on the old server with the first half of their address",
        mend=RELOAD,
    ),
}
