"""What breaks in the spam filter and its memory."""

from mailmove.lab.breakages.base import Breakage

RESTART = """systemctl restart rspamd
timeout 60 sh -c 'until python3 -c "import urllib.request as u; u.urlopen(\\"http://127.0.0.1:11334/ping\\")" 2>/dev/null
do sleep 0.3; done'"""
SCRIPTS = "/etc/dovecot/sieve"

BREAKAGES: dict[str, Breakage] = {
    "redis-stopped": Breakage(
        "new",
        "systemctl stop redis-server",
        "Redis does not run: rspamd forgets",
        mend="systemctl start redis-server",
    ),
    "redis-forgets": Breakage(
        "new",
        "redis-cli config get save | tail -n 1 > \"$KEPT/save\"; redis-cli config set save ''",
        "Redis was told to write nothing to the disk, to be faster",
        mend='redis-cli config set save "$(cat "$KEPT/save")"',
    ),
    "redis-cannot-write": Breakage(
        "new",
        "chown root:root /var/lib/redis; chmod 755 /var/lib/redis",
        "Redis may not write into its directory, since data was copied into it as root",
        mend="chown redis:redis /var/lib/redis; chmod 750 /var/lib/redis; redis-cli bgsave",
    ),
    "no-spam-filter": Breakage(
        "new",
        "postfix_setting smtpd_milters= non_smtpd_milters=",
        "Postfix asks rspamd no more",
        mend="systemctl reload postfix",
    ),
    "local-mail-unfiltered": Breakage(
        "new",
        "postfix_setting non_smtpd_milters=",
        "Postfix asks rspamd about mail from outside only",
        mend="systemctl reload postfix",
    ),
    "spam-on-hold": Breakage(
        "new",
        "keep /etc/rspamd/local.d/worker-proxy.inc;"
        f" echo 'quarantine_on_reject = true;' > /etc/rspamd/local.d/worker-proxy.inc; {RESTART}",
        "rspamd puts into quarantine what it should refuse: it stays in Postfix' queue, on hold",
        mend=RESTART,
    ),
    "spam-not-filed": Breakage(
        "new",
        "keep /etc/dovecot/sieve-after; sed -i 's/X-Spam/X-Spam-Flag/' /etc/dovecot/sieve-after/spam-to-folder.sieve;"
        " sievec /etc/dovecot/sieve-after/spam-to-folder.sieve",
        "the rule that files spam looks for another filter's header",
    ),
    "learning-elsewhere": Breakage(
        "new",
        f"keep /etc/rspamd/override.d/redis.conf; echo 'servers = \"127.0.0.1:6380\";' > /etc/rspamd/override.d/redis.conf; {RESTART}",
        "rspamd looks for Redis on another port",
        mend=RESTART,
    ),
    "learning-not-executable": Breakage(
        "new",
        f"keep {SCRIPTS}/rspamd-learn-spam.sh; chmod a-x {SCRIPTS}/rspamd-learn-spam.sh",
        "the script that teaches spam is not executable",
    ),
    "emptying-teaches": Breakage(
        "new",
        f"""keep {SCRIPTS}/learn-ham.sieve {SCRIPTS}/learn-ham.svbin
printf '%s\\n' 'require ["vnd.dovecot.pipe", "copy", "imapsieve"];' 'pipe :copy "rspamd-learn-ham.sh";' > {SCRIPTS}/learn-ham.sieve
sievec {SCRIPTS}/learn-ham.sieve; chown vmail:vmail {SCRIPTS}/learn-ham.svbin; chmod 0600 {SCRIPTS}/learn-ham.svbin""",
        "whoever empties the spam folder teaches that it was no spam",
    ),
    "filter-pages-open": Breakage(
        "new",
        "keep /etc/apache2/conf-enabled/proxy-headers.conf;"
        " echo 'ProxyAddHeaders Off' > /etc/apache2/conf-enabled/proxy-headers.conf; systemctl reload apache2",
        "Apache does not tell rspamd who asks: everybody looks like the server itself",
        mend="systemctl reload apache2",
    ),
    "filter-default-password": Breakage(
        "new",
        "keep /etc/rspamd/local.d/worker-controller.inc; echo 'password = \"q1\";' > /etc/rspamd/local.d/worker-controller.inc;"
        f" {RESTART}",
        "the password of rspamd's web pages is the one of its documentation",
        mend=RESTART,
    ),
    "filter-dead-resolver": Breakage(
        "new",
        "keep /etc/rspamd/local.d/options.inc; echo 'dns { nameserver = [\"192.0.2.53\"]; }' > /etc/rspamd/local.d/options.inc;"
        f" {RESTART}",
        "the name server in rspamd's settings is gone",
        mend=RESTART,
    ),
    "no-spam-headers": Breakage(
        "new",
        f"keep /etc/rspamd/override.d/milter_headers.conf; rm /etc/rspamd/override.d/milter_headers.conf; {RESTART}",
        "letters do not show what the filter thought of them",
        mend=RESTART,
    ),
    "filter-trusts-everybody": Breakage(
        "new",
        'keep /etc/rspamd/local.d/options.inc; echo \'local_addrs = ["0.0.0.0/0", "::/0"];\' >> /etc/rspamd/local.d/options.inc; '
        "systemctl reload rspamd",
        "the spam filter takes the whole world for its own network",
        mend="systemctl reload rspamd",
    ),
    "filter-learns-for-each": Breakage(
        "new",
        "keep /etc/rspamd/local.d/classifier-bayes.conf; echo 'users_enabled = true;' >> /etc/rspamd/local.d/classifier-bayes.conf; "
        "systemctl reload rspamd",
        "the spam filter learns for each person apart, and old's for all together",
        mend="systemctl reload rspamd",
    ),
}
