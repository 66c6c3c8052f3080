"""What breaks in the machine itself: services, programs, clock, room, ports."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {
    "dovecot-stopped": Breakage(
        "new",
        "systemctl stop dovecot.socket dovecot.service",
        "Dovecot does not run",
        mend="systemctl start dovecot.service",
    ),
    "dovecot-not-at-boot": Breakage(
        "new", "systemctl disable -q dovecot", "Dovecot does not start at boot", mend="systemctl enable -q dovecot"
    ),
}
