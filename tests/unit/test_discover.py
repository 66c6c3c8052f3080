"""Where a server keeps its mail is read from what Dovecot says of itself."""

import pytest

from mailmove.remote import discover

RULES = "plugin {\n  sieve = file:/var/lib/mail-rules/%d/%n;active=/var/lib/mail-rules/%d/%n.active\n}\n"


@pytest.mark.parametrize(
    ("said", "root"),
    [
        ("userdb {\n  args = uid=vmail gid=vmail home=/var/vmail/%d/%n\n}\n", "/var/vmail"),
        ("mail_home = /srv/mail/%Ld/%n\n", "/srv/mail"),
        ("mail_location = maildir:/data/%d/%n/Maildir:INDEX=/var/idx/%d/%n\n", "/data"),
        ("user_query = SELECT email AS user, \\\n  '/mnt/mail/%d/%n' AS home, 5000 AS uid\n", "/mnt/mail"),
        ("mail_path = /var/vmail/%{user | domain}/%{user | username}\n", "/var/vmail"),
        ("# mail_home = /never/%d/%n\nmail_home = /var/vmail/%d/%n\n", "/var/vmail"),
    ],
    ids=["static", "mail_home", "index-elsewhere", "sql", "dovecot-2.4", "comment"],
)
@pytest.mark.parametrize("before", ["", RULES], ids=["", "rules-elsewhere"])
def test_the_mail_root_is_where_the_homes_are(before: str, said: str, root: str) -> None:
    assert discover.mail_root(before + said, []) == root
