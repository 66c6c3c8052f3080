"""What breaks in DNS and DKIM, on the world's side and on the server's."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {
    "secondary-dns-stopped": Breakage(
        "world",
        "systemctl stop named-ns2",
        "one of two name servers does not answer",
        mend="systemctl start named-ns2",
    ),
}
