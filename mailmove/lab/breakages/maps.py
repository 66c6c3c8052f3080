"""What breaks in Postfix' maps."""

from mailmove.lab.breakages.base import Breakage

_RELOAD = "systemctl reload postfix"
_DOMAINS = "/etc/postfix/mysql-virtual-mailbox-domains.cf"
_MAILBOXES = "/etc/postfix/mysql-virtual-mailbox-maps.cf"
_ALIASES = "/etc/postfix/mysql-virtual-alias-maps.cf"
_EMAILS = "/etc/postfix/mysql-email2email.cf"


def _query(file: str, query: str) -> str:
    return f'set_line {file} query "{query}"; {_RELOAD}'


BREAKAGES: dict[str, Breakage] = {
    "domain-map-wrong-column": Breakage(
        "new",
        _query(_DOMAINS, "SELECT 1 FROM virtual_domains WHERE domain='%s'"),
        "the query for domains names a column that is not there",
        mend=_RELOAD,
    ),
    "domain-map-takes-all": Breakage(
        "new",
        _query(_DOMAINS, "SELECT 1 FROM virtual_domains LIMIT 1"),
        "the query for domains lacks its condition: every domain is ours",
        mend=_RELOAD,
    ),
    "mailbox-map-password": Breakage(
        "new",
        f"set_line {_MAILBOXES} password wrong; {_RELOAD}",
        "the database password in Postfix' mailbox map is wrong",
        mend=_RELOAD,
    ),
    "mailbox-map-takes-all": Breakage(
        "new",
        _query(_MAILBOXES, "SELECT 1 FROM virtual_domains WHERE name='%d'"),
        "the query for mailboxes asks for the domain only: nobody is unknown",
        mend=_RELOAD,
    ),
    "alias-map-left-out": Breakage(
        "new",
        f"postfix_setting virtual_alias_maps=mysql:{_EMAILS}",
        "the map of aliases was left out",
        mend=_RELOAD,
    ),
    "alias-map-first-row-only": Breakage(
        "new",
        _query(_ALIASES, "SELECT destination FROM virtual_aliases WHERE source='%s' LIMIT 1"),
        "the query for aliases says the first destination only",
        mend=_RELOAD,
    ),
    "catch-all-unguarded": Breakage(
        "new",
        f"postfix_setting virtual_alias_maps=mysql:{_ALIASES}",
        "the map that leads every mailbox to itself is missing: a catch-all would take everything",
        mend=_RELOAD,
    ),
    "catch-all-never-asked": Breakage(
        "new",
        _query(_ALIASES, "SELECT destination FROM virtual_aliases WHERE source='%u@%d'"),
        "the query for aliases is put together from parts: Postfix does not ask it for whole domains",
        mend=_RELOAD,
    ),
    "no-sender-map": Breakage(
        "new",
        "postfix_setting smtpd_sender_login_maps=",
        "Postfix does not know who may send as whom",
        mend=_RELOAD,
    ),
    "mydestination-has-domain": Breakage(
        "new",
        "postfix_setting 'mydestination=localhost, example.org'",
        "a virtual domain stands in mydestination too: its mail goes to system users",
        mend=_RELOAD,
    ),
    "relay-domains-has-domain": Breakage(
        "new",
        "postfix_setting relay_domains=example.net",
        "a domain from the days as a second mail exchanger stands in relay_domains",
        mend=_RELOAD,
    ),
    "map-file-readable": Breakage(
        "new",
        f"keep {_ALIASES}; chmod 644 {_ALIASES}",
        "everybody can read a file with the database password",
    ),
    "alias-circle": Breakage(
        "old",
        'mariadb mailserver -e "INSERT INTO virtual_aliases (domain_id, source, destination) SELECT id,'
        " 'lab-one@example.org', 'lab-two@example.org' FROM virtual_domains WHERE name='example.org' UNION SELECT id,"
        " 'lab-two@example.org', 'lab-one@example.org' FROM virtual_domains WHERE name='example.org'\"",
        "two aliases lead to each other",
        mend="mariadb mailserver -e \"DELETE FROM virtual_aliases WHERE source LIKE 'lab-%@example.org'\"",
    ),
    "old-alias-for-a-program": Breakage(
        "old",
        "keep /etc/aliases /etc/aliases.db; echo 'tickets: |/usr/local/bin/tickets' >> /etc/aliases; newaliases; "
        'mariadb mailserver -e "INSERT INTO virtual_aliases (domain_id, source, destination) SELECT id,'
        " 'lab-tickets@example.org', 'tickets@localhost' FROM virtual_domains WHERE name='example.org'\"",
        "an alias on the old server hands letters to a ticket system",
        mend="mariadb mailserver -e \"DELETE FROM virtual_aliases WHERE source = 'lab-tickets@example.org'\"",
    ),
    "old-lets-aliases-write": Breakage(
        "old",
        f"set_line {_EMAILS} query \"SELECT email FROM virtual_users WHERE email='%s' UNION SELECT destination FROM "
        f"virtual_aliases WHERE source='%s'\"; {_RELOAD}",
        "people write under their aliases on the old server, and may not on the new one",
        mend=_RELOAD,
    ),
}
