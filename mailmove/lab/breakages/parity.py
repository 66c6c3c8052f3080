"""What the old server does beyond the guide, and the new one would not."""

from mailmove.lab.breakages.base import Breakage
from mailmove.lab.breakages.spam import RESTART

BREAKAGES: dict[str, Breakage] = {
    "old-takes-larger-letters": Breakage(
        "old",
        "postfix_setting message_size_limit=52428800",
        "the old server takes letters of 50 MB, the new one does not",
        mend="systemctl reload postfix",
    ),
    "old-passes-mail-on": Breakage(
        "old",
        "keep /etc/postfix/transport /etc/postfix/transport.db\n"
        "echo 'branch.elsewhere.example smtp:[mx.elsewhere.example]' >> /etc/postfix/transport\n"
        "postmap /etc/postfix/transport\n"
        "postfix_setting transport_maps=hash:/etc/postfix/transport",
        "a transport table on the old server leads a domain elsewhere",
        mend="systemctl reload postfix",
    ),
    "old-copies-letters": Breakage(
        "old",
        "keep /etc/postfix/copies /etc/postfix/copies.db\n"
        "echo 'dave@example.org postmaster@example.org' >> /etc/postfix/copies\n"
        "postmap /etc/postfix/copies\n"
        "postfix_setting recipient_bcc_maps=hash:/etc/postfix/copies",
        "somebody gets a copy of another's letters, on the old server",
        mend="systemctl reload postfix",
    ),
    "new-copies-letters": Breakage(
        "new",
        "postfix_setting always_bcc=dave@example.org",
        "a copy of every letter still goes to the admin who tried the new server",
        mend="systemctl reload postfix",
    ),
    "old-relays-for-a-branch": Breakage(
        "old",
        "postfix_setting relay_domains=branch.example",
        "the old server takes mail for a domain that lies on another server",
        mend="systemctl reload postfix",
    ),
    "old-trusts-a-printer": Breakage(
        "old",
        'postfix_setting "mynetworks=$(postconf -h mynetworks) 192.0.2.0/28"',
        "printers may send through the old server without a login",
        mend="systemctl reload postfix",
    ),
    "old-has-port-465": Breakage(
        "old",
        "keep /etc/postfix/master.cf\n"
        "postconf -M 'smtps/inet=smtps inet n - y - - smtpd'\n"
        "postconf -P smtps/inet/smtpd_tls_wrappermode=yes smtps/inet/smtpd_sasl_auth_enable=yes\n"
        "systemctl reload postfix",
        "mail programs hand in letters at port 465 of the old server",
        mend="systemctl reload postfix",
    ),
    "new-refuses-nameless-senders": Breakage(
        "new",
        "postfix_setting smtpd_client_restrictions=reject_unknown_reverse_client_hostname",
        "the new server refuses servers without a name, the old one takes their mail",
        mend="systemctl reload postfix",
    ),
    "old-hides-its-users": Breakage(
        "old",
        "postfix_setting disable_vrfy_command=yes",
        "a setting that somebody made on the old server years ago",
        mend="systemctl reload postfix",
    ),
    "old-logs-in-by-cram-md5": Breakage(
        "old",
        "dovecot_setting 'auth_mechanisms = plain login cram-md5'",
        "mail programs log in by CRAM-MD5 on the old server",
        mend="doveadm reload",
    ),
    "old-compresses-letters": Breakage(
        "old",
        "dovecot_setting 'mail_plugins = $mail_plugins zlib\nplugin {\n  zlib_save = gz\n}'",
        "the old server stores letters compressed, the new one cannot read them",
        mend="doveadm reload",
    ),
    "old-filters-for-everybody": Breakage(
        "old",
        "keep /etc/dovecot/sieve-before\n"
        "mkdir -p /etc/dovecot/sieve-before\n"
        'printf \'require ["copy"];\\nif header :contains "subject" "invoice" { redirect :copy "dave@example.org"; }\\n\''
        " > /etc/dovecot/sieve-before/invoices.sieve\n"
        "dovecot_setting 'plugin {\n  sieve_before = /etc/dovecot/sieve-before\n}'\n"
        "sievec /etc/dovecot/sieve-before/invoices.sieve",
        "a Sieve script for everybody on the old server sends invoices to the office",
        mend="doveadm reload",
    ),
    "old-has-a-white-list": Breakage(
        "old",
        "keep /etc/rspamd/local.d/multimap.conf /etc/rspamd/local.d/friends.map\n"
        "echo 'friend@elsewhere.example' > /etc/rspamd/local.d/friends.map\n"
        'printf \'FRIENDS {\\n  type = "from";\\n  map = "/etc/rspamd/local.d/friends.map";\\n  score = -20;\\n}\\n\''
        " > /etc/rspamd/local.d/multimap.conf\n"
        "systemctl reload rspamd",
        "the old server's spam filter has a white list",
        mend="systemctl reload rspamd",
    ),
    "old-has-mail-in-var-mail": Breakage(
        "old",
        "useradd -m hugo\n"
        "printf 'From hugo Mon Jan  1 00:00:00 2024\\nSubject: kept for years\\n\\nHello.\\n\\n' > /var/mail/hugo",
        "somebody has mail in /var/mail of the old server",
        mend="userdel -r hugo 2>/dev/null || true; rm -f /var/mail/hugo",
    ),
    "old-has-a-mailbox-elsewhere": Breakage(
        "old",
        "mkdir -p /srv/disk2; mv /var/vmail/example.org/frank /srv/disk2/; ln -s /srv/disk2/frank /var/vmail/example.org/",
        "somebody's mailbox was moved to another disk, and a link left in its place",
        mend="rm /var/vmail/example.org/frank; mv /srv/disk2/frank /var/vmail/example.org/; rmdir /srv/disk2",
    ),
    "old-has-a-former-mailbox": Breakage(
        "old",
        "home=/var/vmail/example.org/former; mkdir -p $home/Maildir/cur $home/Maildir/new $home/Maildir/tmp\n"
        "printf 'Subject: long ago\\n\\nHello.\\n' > $home/Maildir/cur/1000000000.M1P1.mail:2,S\n"
        "chown -R vmail:vmail $home; chmod -R go= $home",
        "somebody's account was deleted, and their letters stayed on the disk",
        mend="rm -r /var/vmail/example.org/former",
    ),
    "old-has-a-newsletter": Breakage(
        "old",
        "mariadb -e 'CREATE DATABASE newsletter; CREATE TABLE newsletter.readers (email varchar(100))'",
        "another program keeps its data in the old server's database",
        mend="mariadb -e 'DROP DATABASE newsletter'",
    ),
    "old-has-a-backup-job": Breakage(
        "old",
        "keep /etc/cron.d/mail-backup\n"
        "echo '0 4 * * * root rsync -a /var/vmail/ backup.elsewhere.example:/mail/' > /etc/cron.d/mail-backup",
        "a backup runs on the old server every night",
    ),
    "old-has-another-website": Breakage(
        "old",
        "keep /etc/apache2/sites-enabled/wiki.conf\n"
        "printf '<VirtualHost *:80>\\n  ServerName wiki.elsewhere.example\\n  DocumentRoot /var/www/html\\n</VirtualHost>\\n'"
        " > /etc/apache2/sites-enabled/wiki.conf\n"
        "systemctl reload apache2",
        "the old server has a web site that has nothing to do with mail",
        mend="systemctl reload apache2",
    ),
    "old-webmail-takes-large-files": Breakage(
        "old",
        "keep /etc/php/7.4/apache2/conf.d/99-local.ini\n"
        "printf 'upload_max_filesize = 25M\\npost_max_size = 30M\\n' > /etc/php/7.4/apache2/conf.d/99-local.ini\n"
        "systemctl reload apache2",
        "PHP on the old server was told to take larger files, PHP on the new one was not",
        mend="systemctl reload apache2",
    ),
    "old-webmail-speaks-german": Breakage(
        "old",
        "keep /etc/roundcube/config.inc.php\n"
        'echo \'$config["drafts_mbox"] = "Entw&APw-rfe";\' >> /etc/roundcube/config.inc.php',
        "the webmail of the old server keeps drafts in a folder of another name",
    ),
    "old-has-another-daemon": Breakage(
        "old",
        "systemd-run -q --unit=list-manager sleep infinity",
        "a mailing list manager runs on the old server",
        mend="systemctl stop list-manager",
    ),
    "new-takes-encrypted-mail-only": Breakage(
        "new",
        "postfix_setting smtpd_tls_security_level=encrypt",
        "the new server takes letters over encrypted connections only, the old one takes all",
        mend="systemctl reload postfix",
    ),
    "new-refuses-as-spam": Breakage(
        "new",
        "keep /etc/rspamd/local.d/actions.conf; echo 'reject = 7; add_header = 6; greylist = 4;' > /etc/rspamd/local.d/actions.conf; "
        f"{RESTART}",
        "the spam filter of the new server refuses what the old one marks",
        mend=RESTART,
    ),
    "new-answers-one-at-a-time": Breakage(
        "new",
        "keep /etc/postfix/master.cf; postconf -F smtp/inet/process_limit=1; systemctl reload postfix",
        "the new server takes letters from one sender at a time, since somebody looked into something",
        mend="systemctl reload postfix",
    ),
    "new-throws-letters-away": Breakage(
        "new",
        "keep /etc/postfix/unwanted; echo '/^Subject:.*lottery/ DISCARD' > /etc/postfix/unwanted; "
        "postfix_setting header_checks=regexp:/etc/postfix/unwanted",
        "the new server throws letters away by their subject",
        mend="systemctl reload postfix",
    ),
    "new-keeps-dovecot-small": Breakage(
        "new",
        "keep /etc/systemd/system/dovecot.service.d; mkdir -p /etc/systemd/system/dovecot.service.d; "
        "printf '[Service]\\nLimitNOFILE=512\\n' > /etc/systemd/system/dovecot.service.d/small.conf; "
        "systemctl daemon-reload; systemctl restart dovecot",
        "Dovecot may open few files on the new server, as somebody wrote for systemd",
        mend="systemctl daemon-reload; systemctl restart dovecot",
    ),
    "new-in-another-time-zone": Breakage(
        "new",
        "keep /etc/localtime /var/spool/postfix/etc/localtime; ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime; "
        "cp /usr/share/zoneinfo/Asia/Tokyo /var/spool/postfix/etc/localtime",
        "the new server lives in another time zone than the old one",
    ),
    "old-has-mail-in-homes": Breakage(
        "old",
        "useradd -m hugo\n"
        "mkdir -p /home/hugo/Maildir/cur; printf 'Subject: kept for years\\n\\nHello.\\n' > /home/hugo/Maildir/cur/1.M1P1.mail:2,S",
        "a Unix user of the old server has mail in a Maildir at home",
        mend="userdel -r hugo 2>/dev/null || true",
    ),
    "old-has-a-job-of-no-name": Breakage(
        "old",
        "keep /etc/cron.d/nightly /usr/local/sbin/nightly; "
        "printf '#!/bin/sh\\ndoveadm expunge -A mailbox Trash before 90d\\n' > /usr/local/sbin/nightly; chmod 755 /usr/local/sbin/nightly; "
        "echo '0 3 * * * root /usr/local/sbin/nightly' > /etc/cron.d/nightly",
        "a script of a name that tells nothing looks after the mailboxes every night",
    ),
    "old-rules-start-programs": Breakage(
        "old",
        "keep /etc/dovecot/sieve/ticket.sh; printf '#!/bin/sh\\ncat >/dev/null\\n' > /etc/dovecot/sieve/ticket.sh; "
        "chmod 755 /etc/dovecot/sieve/ticket.sh",
        "rules on the old server hand letters to a ticket system",
    ),
    "new-discards-by-a-rule": Breakage(
        "new",
        "keep /etc/dovecot/sieve-before; mkdir -p /etc/dovecot/sieve-before; "
        'printf \'if header :contains "subject" "lottery" {\\n discard;\\n stop;\\n}\\n\' > /etc/dovecot/sieve-before/lottery.sieve; '
        "sievec /etc/dovecot/sieve-before; dovecot_setting 'plugin {\n sieve_before9 = /etc/dovecot/sieve-before\n}'",
        "a rule for everybody on the new server throws letters away by their subject",
        mend="doveadm reload",
    ),
    "new-rewrites-senders": Breakage(
        "new",
        "postfix_setting sender_canonical_maps=static:noreply@example.net",
        "the new server writes one sender's address into every letter, since it was to send reports",
        mend="systemctl reload postfix",
    ),
    "old-has-a-folder-of-root": Breakage(
        "old",
        "box=/var/vmail/example.org/frank/Maildir/.Archive-2019; mkdir -p $box/cur $box/new $box/tmp; "
        "printf 'Subject: kept for years\\n\\nHello.\\n' > $box/cur/1.M1P1.mail:2,S; chmod -R go= $box",
        "a folder that was put back from a backup belongs to root: Dovecot cannot read it",
        mend="rm -r /var/vmail/example.org/frank/Maildir/.Archive-2019",
    ),
    "new-has-a-domain-of-root": Breakage(
        "new",
        "mkdir -m 700 /var/vmail/example.net",
        "the directory of a domain was made by root: Dovecot can deliver nothing there",
        mend="rmdir /var/vmail/example.net",
    ),
}
