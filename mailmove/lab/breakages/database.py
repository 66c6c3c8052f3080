"""What breaks in the database of domains, mailboxes and aliases."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {
    "reader-may-write": Breakage(
        "new",
        "mariadb -e \"GRANT INSERT, UPDATE, DELETE ON mailserver.* TO 'mailserver'@'127.0.0.1'\"",
        "the database user of Postfix and Dovecot may write",
        mend="mariadb -e \"REVOKE INSERT, UPDATE, DELETE ON mailserver.* FROM 'mailserver'@'127.0.0.1'\"",
    ),
}
