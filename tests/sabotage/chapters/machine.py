from tests.sabotage.expected import EVERYTHING_WITH_A_MAILBOX, Expected

RELEASE = "The new server runs a supported Debian release"
PACKAGES = "All packages are installed completely"
SERVICES = "Every service runs now and after a reboot"
BACK = "Every disk is there again after a reboot"
ALONE = "The new server needs nothing of the old one"
FIREWALL = "The firewall is the same after a reboot"
NAMES = "Names are looked up without waiting"
CURRENT = "The running programs are the installed ones"
READ = "The services run with what their files say"
CONFIGURATION = "Each service accepts its own configuration"
FAILED = "No unit of the machine has failed"
CLOCKS = "The clocks are right"
KEPT = "The clock is kept right"
ROOM = "The new server has room for all mail"
SHUT_OUT = "Nobody who takes part in the move is shut out"
REACHED = "Everything offered can be reached from outside"
PRIVATE = "The database and the spam filter cannot be reached from outside"
ELSE = "Nothing else listens to the outside"
WRITTEN = "What happens is written to the mail log"
NEW_LOG = "The new server complains of nothing"
OLD_LOG = "The old server complains of nothing"

NO_ANSWER = (
    *EVERYTHING_WITH_A_MAILBOX,
    REACHED,
    "Mail programs trust the certificate on every service",
    "Every service shows the same certificate",
    "Nobody can log in without encryption",
    "Outdated encryption is refused where people read their mail",
    "Programs of some years ago can encrypt",
)
"""What a service cannot do that does not answer the outside."""

EXPECTED: dict[str, Expected] = {
    "testing-release": Expected(RELEASE, "trixie/sid"),
    "package-missing": Expected(PACKAGES, "rsync.*not installed"),
    "package-half-installed": Expected(PACKAGES, "lab-admin-tools", sample=True),
    "dovecot-stopped": Expected(SERVICES, "dovecot", also=NO_ANSWER, sample=True),
    "dovecot-not-at-boot": Expected(SERVICES, "is-enabled dovecot disabled"),
    "postfix-stopped-by-hand": Expected(SERVICES, "processes of postfix none", also=(*NO_ANSWER, FAILED), alone=True),
    "upgraded-under-its-feet": Expected(  # alone: whatever else restarts Dovecot mends it
        CURRENT, "dovecot .* runs the replaced /usr/sbin/dovecot", alone=True
    ),
    "apache-half-edited": Expected(CONFIGURATION, "Syntax error.*https.conf", also=(READ,), alone=True),
    "database-half-edited": Expected(
        CONFIGURATION, "unknown variable 'innodb_bufer_pool_size=1G'", also=(READ,), sample=True
    ),
    "database-not-restarted": Expected(READ, r"MariaDB: \S+50-server\.cnf on new changed on .*, read on"),
    "aliases-not-made": Expected(READ, "Postfix: /etc/aliases on new changed on .*, read on"),
    "postfix-file-of-somebody": Expected(CONFIGURATION, "not owned by root.*postfix-files"),
    "backup-job-failed": Expected(FAILED, "lab-backup"),
    "clock-fast": Expected(CLOCKS, r"(8|9)\d\.\d s off"),
    "clock-drifts": Expected(KEPT, "none runs.*timesyncd"),
    "mail-disk-small": Expected(ROOM, "/var/vmail.*MiB", also=(BACK,)),
    "mail-disk-few-inodes": Expected(ROOM, "inodes", also=(BACK,)),
    "prober-banned": Expected(
        SHUT_OUT,
        r"203\.0\.113\.40 \(this machine\) at the new server shut out by fail2ban's jail dovecot .*for 1 h",
        also=NO_ANSWER,
        alone=True,
    ),
    "firewall-counts-callers": Expected(SHUT_OUT, "limit rate over 20/minute", also=(*NO_ANSWER, FIREWALL), alone=True),
    "postfix-for-itself-only": Expected(REACHED, "port 25.*refused", also=NO_ANSWER),
    "pop3-for-itself-only": Expected(
        REACHED,
        "port 995.*refused",
        also=(
            "50_mailboxes",
            "Mail programs trust the certificate on every service",
            "Outdated encryption is refused where people read their mail",
            "Programs of some years ago can encrypt",
        ),
    ),
    "no-ipv6": Expected(REACHED, "2001:db8:113::30 port 25.*refused", also=("60_delivery", "70_submission")),
    "redis-for-everybody": Expected(PRIVATE, "Redis.*open", sample=True),
    "mariadb-for-everybody": Expected(PRIVATE, "MariaDB.*open"),
    "forgotten-web-server": Expected(ELSE, "8080.*python3"),
    "log-daemon-stopped": Expected(
        WRITTEN,
        r"in /var/log/mail\.log no line about it within",
        # What became of a letter only the log tells
        also=(
            "What the server has to say reaches its admin",
            "Spam written on the server itself does not reach the inbox",
        ),
    ),
    "leftover-milter": Expected(NEW_LOG, r"inet:127\.0\.0\.1:8891.*refused"),
    "old-aliases-gone": Expected(OLD_LOG, r"/etc/aliases\.db: No such file"),
    "disk-mounted-by-hand": Expected(BACK, "/var/vmail.*mounted by hand"),
    "redis-in-memory": Expected(BACK, r"/var/lib/redis, mounted by /etc/fstab, which is memory \(tmpfs\)"),
    "old-without-rsync": Expected(PACKAGES, "rsync on the old server .*not installed"),
    "trial-copy-left-over": Expected(ALONE, r"a job \(/etc/cron\.d/trial-copy\) rsync … mail\.example\.org"),
    "old-in-the-hosts-file": Expected(ALONE, r"/etc/hosts 203\.0\.113\.20 mail\.example\.org"),
    "names-asked-of-old": Expected(
        ALONE,
        r"resolv\.conf nameserver 203\.0\.113\.20",
        also=(NAMES,),  # nobody answers there
    ),
    "firewall-never-loaded": Expected(FIREWALL, r"stand after a reboot, and not now .*policy drop"),
    "firewall-by-hand": Expected(FIREWALL, r"stand now, and not after a reboot .*tcp dport \{ 3306"),
    "name-server-dead": Expected(NAMES, r"203\.0\.113\.77 .*no answer within"),
    "log-in-memory": Expected(WRITTEN, "in memory only: the next reboot takes it", also=(SERVICES, FAILED), alone=True),
    "old-log-in-memory": Expected(
        "What happened on the old server stands in its mail log",
        "in memory only: the next reboot takes it",
        alone=True,
    ),
    "old-dovecot-half-edited": Expected(
        CONFIGURATION, r"doveconf -n on old .*mail_locaton", also=(READ, "50_mailboxes"), alone=True
    ),
}
