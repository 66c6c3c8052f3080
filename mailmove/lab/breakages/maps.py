"""What breaks in Postfix' maps."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {
    "mydestination-has-domain": Breakage(
        "new",
        "postfix_setting 'mydestination=localhost, example.org'",
        "a virtual domain stands in mydestination too: its mail goes to system users",
        mend="systemctl reload postfix",
    ),
    "mailbox-map-password": Breakage(
        "new",
        "set_line /etc/postfix/mysql-virtual-mailbox-maps.cf password wrong; systemctl reload postfix",
        "the database password in Postfix' mailbox map is wrong",
        mend="systemctl reload postfix",
    ),
}
