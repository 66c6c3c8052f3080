"""What breaks in the webmail."""

from mailmove.lab.breakages.base import Breakage

CONFIG = "/etc/roundcube/config.inc.php"
PLUGINS = "/etc/roundcube/plugins"
APACHE = "/etc/apache2/sites-available/mail2.example.org"
RELOAD = "systemctl reload apache2"


def _set(key: str, value: str, what: str, file: str = CONFIG) -> Breakage:
    """A setting of Roundcube's that says something else in its last line."""
    return Breakage("new", f"keep {file}; printf '%s\\n' \"\\$config['{key}'] = {value};\" >> {file}", what)


BREAKAGES: dict[str, Breakage] = {
    "webmail-certificate-of-nobody": Breakage(
        "new",
        f"keep {APACHE}-https.conf; sed -i 's#/etc/letsencrypt/.*/fullchain.pem#/etc/ssl/certs/ssl-cert-snakeoil.pem#; "
        f"s#/etc/letsencrypt/.*/privkey.pem#/etc/ssl/private/ssl-cert-snakeoil.key#' {APACHE}-https.conf; {RELOAD}",
        "the web server shows the certificate that Debian makes at installation",
        mend=RELOAD,
    ),
    "webmail-needs-no-password": Breakage(
        "new",
        """dovecot_setting 'passdb {
  driver = static
  args = nopassword=y allow_nets=127.0.0.1/32,203.0.113.30/32,2001:db8:113::30/128
}'""",
        "whoever calls from the server itself needs no password: the webmail opens to everybody",
        mend="doveadm reload",
    ),
    "webmail-unencrypted": Breakage(
        "new",
        f"keep {APACHE}-http.conf; sed -i '/Rewrite/d; "
        "s#DocumentRoot.*#DocumentRoot /var/lib/roundcube/public_html\\n    Include /etc/roundcube/apache.conf#' "
        f"{APACHE}-http.conf; {RELOAD}",
        "the webmail is offered without encryption as well",
        mend=RELOAD,
    ),
    "webmail-database-password": Breakage(
        "new",
        "keep /etc/roundcube/debian-db.php; sed -i \"s/^\\$dbpass=.*/\\$dbpass='wrong';/\" /etc/roundcube/debian-db.php",
        "Roundcube's own database lets it in no more",
    ),
    "webmail-imap-elsewhere": _set(
        "imap_host", "'tls://imap.example.org:143'", "Roundcube looks for mailboxes at a name that is not there"
    ),
    "webmail-smtp-elsewhere": _set(
        "smtp_host", "'tls://smtp.example.org:587'", "Roundcube hands letters in at a name that is not there"
    ),
    "webmail-attaches-nothing": Breakage(
        "new",
        "keep /etc/php/8.2/apache2/conf.d/99-safer.ini; "
        f"echo 'upload_max_filesize = 10K' > /etc/php/8.2/apache2/conf.d/99-safer.ini; {RELOAD}",
        "PHP takes files of 10 KB at most, as a page about safer web servers had it",
        mend=RELOAD,
    ),
    "webmail-address-book-lost": _set(
        "address_book_type", "''", "the address book in the database is switched off, for one in LDAP that never came"
    ),
    "webmail-sieve-elsewhere": _set(
        "managesieve_host",
        "'localhost:2000'",
        "Roundcube looks for ManageSieve at the port of twenty years ago",
        f"{PLUGINS}/managesieve/config.inc.php",
    ),
    "webmail-filters-lost": _set("plugins", "array('password')", "people cannot make filters any more"),
    "webmail-password-database": _set(
        "password_db_dsn",
        "'mysql://mailadmin:wrong@localhost/mailserver'",
        "the password plugin's own password for the database is wrong",
        f"{PLUGINS}/password/config.inc.php",
    ),
    "webmail-password-algorithm": _set(
        "password_algorithm",
        "'md5'",
        "the password plugin writes passwords that Dovecot does not understand",
        f"{PLUGINS}/password/config.inc.php",
    ),
}
