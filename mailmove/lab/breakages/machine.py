"""What breaks in the machine itself: services, programs, clock, room, ports, logs."""

from mailmove.lab.breakages.base import Breakage

_SMALL = """
    systemctl stop dovecot.socket dovecot.service
    mount -t tmpfs -o "{options},uid=$(id -u vmail),gid=$(id -g vmail),mode=0750" tmpfs /var/vmail
    systemctl start dovecot.service
"""
_LARGE_AGAIN = "systemctl stop dovecot.socket dovecot.service; umount /var/vmail; systemctl start dovecot.service"

# A container cannot set its clock: to Python, and so to mailmove, another one is shown instead
_OTHER_CLOCK = """
for site in /etc/python3*/sitecustomize.py; do
    keep "$site"
    printf '\\nimport time\\n_right = time.time\\ntime.time = lambda: _right() + 90\\n' >> "$site"
done
"""

# The package as somebody removed it; what belongs to it comes back when it is mended
_REMOVE = """
keep /var/lib/dpkg
dpkg -L {package} | while IFS= read -r path; do
    if [ -f "$path" ]; then keep "$path"; fi
done
dpkg --remove --force-depends {package} >/dev/null
"""

_HALF_DONE = """
made=$(mktemp -d)
mkdir "$made/DEBIAN"
printf 'Package: lab-admin-tools\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: broken\n' > "$made/DEBIAN/control"
printf '#!/bin/sh\nexit 1\n' > "$made/DEBIAN/postinst"
chmod 755 "$made" "$made/DEBIAN/postinst"
dpkg-deb --build "$made" "$made.deb" >/dev/null
dpkg --install "$made.deb" >/dev/null 2>&1 || true
rm -r "$made" "$made.deb"
"""

_IN_MEMORY = """
keep /etc/fstab
systemctl stop redis-server
cp -a /var/lib/redis "$KEPT/redis"
echo "tmpfs /var/lib/redis tmpfs size=64m,mode=0750,uid=$(id -u redis),gid=$(id -g redis) 0 0" >> /etc/fstab
systemctl daemon-reload
systemctl start var-lib-redis.mount
cp -a "$KEPT/redis/." /var/lib/redis/
systemctl start redis-server
"""

_CRONJOB = """
keep /etc/systemd/system/lab-backup.service
printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' > /etc/systemd/system/lab-backup.service
systemctl daemon-reload
systemctl start lab-backup.service || true
"""

# Mail of a cron job for root, every two seconds: so that something happens on the old server, too
_ALIASES_GONE = """
keep /etc/aliases.db
rm /etc/aliases.db
systemctl restart postfix
systemd-run --quiet --unit=lab-cron --on-active=0s --on-unit-active=2s --timer-property=AccuracySec=100ms \
    sh -c 'echo done | sendmail root@localhost'
"""

_ALIASES_BACK = r"""
systemctl stop lab-cron.timer
systemctl restart postfix
postqueue -j | sed -n '/root@localhost/s/.*"queue_id": "\([^"]*\)".*/\1/p' | postsuper -d - 2>/dev/null
"""

# As the manuals for mail servers have it; Debian itself watches sshd. What earlier runs left in the log does not count
_FAIL2BAN = """
keep /etc/fail2ban/jail.local /var/lib/fail2ban /var/log/fail2ban.log
cat > /etc/fail2ban/jail.local <<'END'
[DEFAULT]
banaction = nftables
banaction_allports = nftables[type=allports]
findtime = 10m
maxretry = 3
bantime = 1h
[postfix]
enabled = true
mode = more
logpath = /var/log/mail.log tail
[postfix-sasl]
enabled = true
logpath = /var/log/mail.log tail
[dovecot]
enabled = true
logpath = /var/log/mail.log tail
[sieve]
enabled = true
logpath = /var/log/mail.log tail
END
systemctl restart fail2ban
until fail2ban-client status dovecot >/dev/null 2>&1; do sleep 0.2; done
"""
_NO_FAIL2BAN = "systemctl stop fail2ban; nft flush ruleset"

_BANNED = """
for jail in dovecot postfix-sasl; do
    fail2ban-client set $jail banip 203.0.113.40 2001:db8:113::40 >/dev/null
done
until nft list ruleset | grep -q 203.0.113.40; do sleep 0.2; done
"""

_COUNTED = """
nft -f - <<'END'
table inet guard {
    chain input {
        type filter hook input priority 0; policy accept;
        tcp dport { 25, 143, 587, 993 } ct state new meter callers { ip saddr limit rate over 20/minute burst 10 packets } drop
    }
}
END
"""

BREAKAGES: dict[str, Breakage] = {
    "testing-release": Breakage(
        "new",
        "keep /usr/lib/os-release; sed -i -e '/^VERSION/d' -e 's/(bookworm)/trixie\\/sid/' /usr/lib/os-release",
        "it runs Debian testing, which the guide was not written for",
    ),
    "package-missing": Breakage("new", _REMOVE.format(package="rsync"), "rsync is not installed"),
    "package-half-installed": Breakage(
        "new",
        _HALF_DONE,
        "an installation broke off in the middle",
        mend="dpkg --purge --force-all lab-admin-tools >/dev/null 2>&1",
    ),
    "dovecot-stopped": Breakage(
        "new",
        "systemctl stop dovecot.socket dovecot.service",
        "Dovecot does not run",
        mend="systemctl start dovecot.service",
    ),
    "dovecot-not-at-boot": Breakage(
        "new", "systemctl disable -q dovecot", "Dovecot does not start at boot", mend="systemctl enable -q dovecot"
    ),
    "postfix-stopped-by-hand": Breakage(
        "new",
        "postfix stop 2>/dev/null",
        "Postfix was stopped without systemd, which calls it active still",
        mend="systemctl restart postfix",
    ),
    "upgraded-under-its-feet": Breakage(
        "new",
        "cp -a /usr/sbin/dovecot /usr/sbin/dovecot.upgraded; mv /usr/sbin/dovecot.upgraded /usr/sbin/dovecot",
        "Dovecot was upgraded and not restarted",
        mend="systemctl restart dovecot",
    ),
    "apache-half-edited": Breakage(
        "new",
        'site=$(ls /etc/apache2/sites-available/*-https.conf); keep "$site"; echo \'<Location /status>\' >> "$site"',
        "Apache's site was edited and not finished; it runs on with what it read before",
    ),
    "database-half-edited": Breakage(
        "new",
        "keep /etc/mysql/mariadb.conf.d/50-server.cnf; sed -i '/^\\[mysqld\\]/a innodb_bufer_pool_size = 1G'"
        " /etc/mysql/mariadb.conf.d/50-server.cnf",
        "MariaDB was to have more memory, and the setting is misspelt; it runs on until its next start",
    ),
    "database-not-restarted": Breakage(
        "new",
        "keep /etc/mysql/mariadb.conf.d/50-server.cnf; sed -i '/^\\[mysqld\\]/a max_connections = 20'"
        " /etc/mysql/mariadb.conf.d/50-server.cnf",
        "MariaDB is to let in fewer, and was not restarted: it will after the next reboot",
    ),
    "aliases-not-made": Breakage(
        "new",
        "keep /etc/aliases; echo 'hostmaster: root' >> /etc/aliases",
        "/etc/aliases was edited, and newaliases forgotten",
    ),
    "postfix-file-of-somebody": Breakage(
        "new",
        "keep /etc/postfix/postfix-files; chown www-data /etc/postfix/postfix-files",
        "a file of Postfix belongs to the web server's user",
    ),
    "backup-job-failed": Breakage(
        "new",
        _CRONJOB,
        "a backup job fails",
        mend="systemctl daemon-reload; systemctl reset-failed lab-backup.service 2>/dev/null || true",
    ),
    "clock-fast": Breakage("new", _OTHER_CLOCK, "the clock is a minute and a half fast"),
    "clock-drifts": Breakage(
        "new",
        "mount --bind /bin/false /usr/bin/systemd-detect-virt",  # the host of a container would keep its clock
        "nothing keeps the clock right, on a machine of its own",
        mend="umount /usr/bin/systemd-detect-virt",
    ),
    "mail-disk-small": Breakage(
        "new",
        _SMALL.format(options="size=32m"),
        "the file system of the mailboxes is smaller than the old server's mail",
        mend=_LARGE_AGAIN,
    ),
    "mail-disk-few-inodes": Breakage(
        "new",
        _SMALL.format(options="size=1g,nr_inodes=700"),
        "the file system of the mailboxes has too few inodes",
        mend=_LARGE_AGAIN,
    ),
    "postfix-for-itself-only": Breakage(
        "new",
        "keep /etc/postfix/main.cf; postconf inet_interfaces=loopback-only; systemctl restart postfix",
        'Postfix was installed as "local only" and listens on the loopback',
        mend="systemctl restart postfix",
    ),
    "pop3-for-itself-only": Breakage(
        "new",
        "keep /etc/dovecot/dovecot.conf; printf '\\nservice pop3-login {\\n inet_listener pop3s {\\n"
        "  address = ::1\\n }\\n}\\n' >> /etc/dovecot/dovecot.conf; systemctl restart dovecot",
        "POP3 with TLS listens on one loopback address only",
        mend="systemctl restart dovecot",
    ),
    "no-ipv6": Breakage(
        "new",
        "keep /etc/postfix/main.cf; postconf inet_protocols=ipv4; systemctl restart postfix",
        "Postfix listens on IPv4 only, though the machine has an IPv6 address",
        mend="systemctl restart postfix",
    ),
    "redis-for-everybody": Breakage(
        "new",
        "keep /etc/redis/redis.conf; sed -i -e 's/^bind .*/bind 0.0.0.0 ::/' -e 's/^protected-mode .*/protected-mode no/'"
        " /etc/redis/redis.conf; systemctl restart redis-server",
        "Redis listens on all addresses, without a password",
        mend="systemctl restart redis-server",
    ),
    "mariadb-for-everybody": Breakage(
        "new",
        "keep /etc/mysql/mariadb.conf.d/50-server.cnf; sed -i 's/^bind-address.*/bind-address = 0.0.0.0/'"
        " /etc/mysql/mariadb.conf.d/50-server.cnf; systemctl restart mariadb postfix dovecot",
        "MariaDB listens on all addresses",
        mend="systemctl restart mariadb postfix dovecot",
    ),
    "forgotten-web-server": Breakage(
        "new",
        "systemd-run --quiet --unit=lab-demo --working-directory=/srv python3 -m http.server 8080",
        "somebody tried something and left a web server running",
        mend="systemctl stop lab-demo",
    ),
    "prober-banned": Breakage(
        "new",
        _FAIL2BAN + _BANNED,
        "fail2ban shuts the operator's machine out since yesterday's mistyped passwords",
        mend=_NO_FAIL2BAN,
    ),
    "firewall-counts-callers": Breakage(
        "new",
        _COUNTED,
        "the firewall drops whoever connects more than twenty times a minute",
        mend="nft delete table inet guard",
    ),
    "log-daemon-stopped": Breakage(
        "new",
        "systemctl stop syslog.socket rsyslog.service",
        "rsyslog does not run: nothing is written to the mail log",
        mend="systemctl start rsyslog.service",
    ),
    "leftover-milter": Breakage(
        "new",
        "postfix_setting 'smtpd_milters=inet:127.0.0.1:8891 inet:127.0.0.1:11332' milter_default_action=accept",
        "Postfix still asks an OpenDKIM that was removed",
        mend="systemctl reload postfix",
    ),
    "old-aliases-gone": Breakage(
        "old",
        _ALIASES_GONE,
        "the old Postfix cannot read its table of local aliases",
        mend=_ALIASES_BACK,
    ),
    "disk-mounted-by-hand": Breakage(
        "new",
        "mount --bind /var/vmail /var/vmail",
        "the disk with the mailboxes was mounted by hand, and not written into /etc/fstab",
        mend="umount /var/vmail",
    ),
    "redis-in-memory": Breakage(
        "new",
        _IN_MEMORY,
        "Redis' directory lies in memory, to spare the disk",
        mend="systemctl stop redis-server; umount /var/lib/redis; systemctl daemon-reload; systemctl start redis-server",
    ),
    "old-without-rsync": Breakage("old", _REMOVE.format(package="rsync"), "rsync is not installed on the old server"),
    "trial-copy-left-over": Breakage(
        "new",
        "keep /etc/cron.d/trial-copy; echo '15 2 * * * root rsync -a --delete root@mail.example.org:/var/vmail/ /var/vmail/'"
        " > /etc/cron.d/trial-copy",
        "a job from a trial still fetches the old server's mail every night, and deletes what came since",
    ),
    "old-in-the-hosts-file": Breakage(
        "new",
        "keep /etc/hosts /var/spool/postfix/etc/hosts; echo '203.0.113.20 mail.example.org mail' >> /etc/hosts; "
        "cp /etc/hosts /var/spool/postfix/etc/hosts",
        "the name that is to move stands in the new server's /etc/hosts with the old one's address",
    ),
    "names-asked-of-old": Breakage(
        "new",
        "keep /etc/resolv.conf /var/spool/postfix/etc/resolv.conf; echo 'nameserver 203.0.113.20' >> /etc/resolv.conf; "
        "cp /etc/resolv.conf /var/spool/postfix/etc/resolv.conf",
        "the new server asks the old one for names, as every machine in the house does",
    ),
    "firewall-never-loaded": Breakage(
        "new",
        "keep /etc/nftables.conf; printf '%s\\n' '#!/usr/sbin/nft -f' 'flush ruleset' 'table inet filter {' ' chain input {' "
        "'  type filter hook input priority 0; policy drop;' '  ct state established,related accept' '  iif lo accept' "
        "'  tcp dport 22 accept' ' }' '}' > /etc/nftables.conf",
        "a firewall that lets in ssh and nothing else waits for the next reboot",
    ),
    "firewall-by-hand": Breakage(
        "new",
        "nft add table inet guard; nft add chain inet guard input '{ type filter hook input priority 0; policy accept; }'; "
        "nft add rule inet guard input iif != lo tcp dport '{ 3306, 6379, 11332-11334 }' drop",
        "the rules of the firewall were typed in, and stand in no file that is loaded at boot",
        mend="nft delete table inet guard",
    ),
    "name-server-dead": Breakage(
        "new",
        "keep /etc/resolv.conf /var/spool/postfix/etc/resolv.conf; echo 'nameserver 203.0.113.77' >> /etc/resolv.conf; "
        "cp /etc/resolv.conf /var/spool/postfix/etc/resolv.conf",
        "one of the name servers that are asked is gone since the provider changed them",
    ),
    "log-in-memory": Breakage(
        "new",
        "keep /etc/systemd/journald.conf.d/small.conf; mkdir -p /etc/systemd/journald.conf.d; "
        "printf '[Journal]\\nStorage=volatile\\n' > /etc/systemd/journald.conf.d/small.conf; "
        "systemctl stop syslog.socket rsyslog; mkdir $KEPT/log; mv /var/log/mail.log* /var/log/journal $KEPT/log/; "
        "systemctl restart systemd-journald",
        "there is no rsyslog, and the journal is kept in memory, to spare the disk",
        mend="rm -rf /var/log/journal; mv $KEPT/log/* /var/log/; systemctl restart systemd-journald; systemctl start syslog.socket rsyslog",
    ),
    "old-log-in-memory": Breakage(
        "old",
        "keep /etc/systemd/journald.conf.d/small.conf; mkdir -p /etc/systemd/journald.conf.d; "
        "printf '[Journal]\\nStorage=volatile\\n' > /etc/systemd/journald.conf.d/small.conf; "
        "systemctl stop syslog.socket rsyslog; mkdir $KEPT/log; mv /var/log/mail.log* /var/log/journal $KEPT/log/; "
        "systemctl restart systemd-journald; logger -p mail.info -t postfix/qmgr[1] 'a line since'",
        "the old server has no rsyslog, and its journal is kept in memory",
        mend="rm -rf /var/log/journal; mv $KEPT/log/* /var/log/; systemctl restart systemd-journald; systemctl start syslog.socket rsyslog",
    ),
    "old-dovecot-half-edited": Breakage(
        "old",
        "keep /etc/dovecot/conf.d/10-mail.conf; echo 'mail_locaton = maildir:~/Maildir' >> /etc/dovecot/conf.d/10-mail.conf",
        "a setting of the old server's Dovecot is misspelt; it runs on with what it read before",
    ),
}
