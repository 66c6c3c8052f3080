"""What breaks in the spam filter and its memory."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {
    "redis-stopped": Breakage(
        "new",
        "systemctl stop redis-server",
        "Redis does not run: rspamd forgets",
        mend="systemctl start redis-server",
    ),
    "no-spam-filter": Breakage(
        "new",
        "postfix_setting smtpd_milters= non_smtpd_milters=",
        "Postfix asks rspamd no more",
        mend="systemctl reload postfix",
    ),
}
