"""What breaks in the database of domains, mailboxes and aliases."""

from mailmove.lab.breakages.base import Breakage


def _sql(database: str, statements: str) -> str:
    return f"mariadb {database} <<'END'\n{statements}\nEND\n"


_KEY = "ALTER TABLE virtual_users DROP FOREIGN KEY virtual_users_ibfk_1;"
_KEY_AGAIN = (
    "ALTER TABLE virtual_users ADD CONSTRAINT virtual_users_ibfk_1"
    " FOREIGN KEY (domain_id) REFERENCES virtual_domains(id) ON DELETE CASCADE;"
)
_JOHN = """
hash=$(printf 'summersun\\nsummersun\\n' | doveadm pw -s BLF-CRYPT -r 5 2>/dev/null | tail -n 1)
mariadb mailserver <<END
INSERT INTO virtual_domains (name) VALUES ('example.org');
INSERT INTO virtual_users (domain_id, email, password)
    SELECT id, 'john@example.org', '$hash' FROM virtual_domains WHERE name='example.org';
END
"""

BREAKAGES: dict[str, Breakage] = {
    "email-not-unique": Breakage(
        "new",
        _sql("mailserver", "ALTER TABLE virtual_users DROP INDEX email;"),
        "nothing keeps an address from being there twice",
        mend=_sql("mailserver", "ALTER TABLE virtual_users ADD UNIQUE KEY email (email);"),
    ),
    "tables-of-another-engine": Breakage(
        "new",
        _sql(
            "mailserver",
            "ALTER TABLE virtual_aliases DROP FOREIGN KEY virtual_aliases_ibfk_1; ALTER TABLE virtual_aliases ENGINE=Aria;",
        ),
        "a table was made anew with an engine that knows no foreign keys",
        mend=_sql(
            "mailserver",
            "ALTER TABLE virtual_aliases ENGINE=InnoDB; ALTER TABLE virtual_aliases ADD CONSTRAINT"
            " virtual_aliases_ibfk_1 FOREIGN KEY (domain_id) REFERENCES virtual_domains(id) ON DELETE CASCADE;",
        ),
    ),
    "table-of-an-admin-tool": Breakage(
        "old",
        _sql("mailserver", "CREATE TABLE virtual_vacations (email varchar(100) PRIMARY KEY, words text);"),
        "an admin tool keeps a table of its own beside the guide's",
        mend=_sql("mailserver", "DROP TABLE virtual_vacations;"),
    ),
    "database-lets-few-in": Breakage(
        "new",
        "mariadb -e 'SET GLOBAL max_connections = 60'; "
        # Like a busy minute: one after another comes in and stays
        "for n in $(seq 90); do mariadb -e 'DO SLEEP(5)' 2>/dev/null & done; wait",
        "MariaDB lets in fewer than ask it at once",
        # Begun anew it has its own limit again; as long as it lets few in, nobody can ask it for that
        mend="systemctl restart mariadb; postfix reload",
    ),
    "database-without-room": Breakage(
        "new",
        "chmod 0755 /tmp",
        "/tmp belongs to root alone, since a backup was put back: MariaDB cannot write what it needs for an answer",
        mend="chmod 1777 /tmp",
    ),
    "no-foreign-key": Breakage(
        "new",
        _sql("mailserver", _KEY),
        "mailboxes stay when their domain is deleted",
        mend=_sql("mailserver", _KEY_AGAIN),
    ),
    "reader-may-write": Breakage(
        "new",
        "mariadb -e \"GRANT INSERT, UPDATE, DELETE ON mailserver.* TO 'mailserver'@'127.0.0.1'\"",
        "the database user of Postfix and Dovecot may write",
        mend="mariadb -e \"REVOKE INSERT, UPDATE, DELETE ON mailserver.* FROM 'mailserver'@'127.0.0.1'\"",
    ),
    "reader-reads-everything": Breakage(
        "new",
        "mariadb -e \"GRANT SELECT ON *.* TO 'mailserver'@'127.0.0.1'\"",
        "the database user of Postfix and Dovecot may read every database",
        mend="mariadb -e \"REVOKE SELECT ON *.* FROM 'mailserver'@'127.0.0.1'\"",
    ),
    "sample-mailbox": Breakage(
        "new",
        _JOHN,
        "the guide's sample mailbox is still there, with its password",
        mend="mariadb mailserver -e \"DELETE FROM virtual_domains WHERE name='example.org'\"; rm -rf /var/vmail/example.org",
    ),
    "dummy-password-left": Breakage(
        "new",
        "keep /etc/postfix/mysql-old.cf; printf 'user = mailserver\\npassword = MAILSERVER-PASSWORD-HERE\\n'"
        " > /etc/postfix/mysql-old.cf; chmod 640 /etc/postfix/mysql-old.cf",
        "a file still has the guide's dummy password",
    ),
    "database-user-from-anywhere": Breakage(
        "new",
        "mariadb -e \"CREATE USER 'backup'@'%' IDENTIFIED BY 'lab-only'\"",
        "a database user may come from anywhere",
        mend="mariadb -e \"DROP USER 'backup'@'%'\"",
    ),
    "old-has-mailboxes-of-no-domain": Breakage(
        "old",
        _sql(
            "mailserver",
            "SET foreign_key_checks = 0; INSERT INTO virtual_users (domain_id, email, password)"
            " SELECT 999, 'lab-stray@gone.example', password FROM virtual_users LIMIT 1;",
        ),
        "mailboxes of a deleted domain are still in the old server's table",
        mend=_sql("mailserver", "DELETE FROM virtual_users WHERE email = 'lab-stray@gone.example';"),
    ),
    "database-hangs-up": Breakage(
        "new",
        "mariadb -e 'SET GLOBAL wait_timeout = 50'",
        "MariaDB hangs up on whoever asks nothing for 50 seconds, as a page about tuning had it",
        mend="mariadb -e 'SET GLOBAL wait_timeout = 28800'",
    ),
    "database-reads-only": Breakage(
        "new",
        "mariadb -e 'SET GLOBAL read_only = 1'",
        "MariaDB was another one's copy once, and takes no changes still",
        mend="mariadb -e 'SET GLOBAL read_only = 0'",
    ),
    "webmail-key-of-the-documentation": Breakage(
        "new",
        "keep /etc/roundcube/config.inc.php; "
        'echo \'$config["des_key"] = "rcmail-!24ByteDESkey*Str";\' >> /etc/roundcube/config.inc.php',
        "Roundcube's key is the one of its sample configuration",
    ),
    "old-has-names-told-apart-by-capitals": Breakage(
        "old",
        "mariadb-dump mailserver virtual_users > $KEPT/users.sql; "
        'mariadb mailserver -e "ALTER TABLE virtual_users MODIFY email varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL; '
        "INSERT INTO virtual_users (domain_id, email, password) SELECT domain_id, 'Frank@example.org', password "
        "FROM virtual_users WHERE email = 'frank@example.org'\"",
        "the old server's table tells Frank from frank",
        mend="mariadb mailserver < $KEPT/users.sql",
    ),
}
