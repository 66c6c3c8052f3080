# Dovecot 2.3: users from the database, Maildirs, LMTP, quota, Sieve with spam learning.
# Edits the packaged files where they offer a setting, as a reader of the guide does.

CONF=/etc/dovecot/conf.d

# fresh FILE...: start from the packaged text, so that telling again does not add things twice
fresh() { local file; for file; do cp "/usr/share/dovecot/conf.d/$file" "$CONF/$file"; done; }

# setting FILE KEY VALUE: set KEY where the packaged text has it, perhaps commented out
setting() {
    local file=$CONF/$1 key=$2 value=$3
    # "#key =" is the setting commented out, "#   key =" is an example in the text around it
    grep -qE "^ *#?$key *=" "$file" || { echo "$file has no setting $key" >&2; return 1; }
    sed -Ei "0,/^( *)#?$key *=.*/s||\1$key = $value|" "$file"
}

# dovecot_users: the owner of all mail
dovecot_users() {
    getent group vmail >/dev/null || groupadd -g "$VMAIL_ID" vmail
    getent passwd vmail >/dev/null || useradd -g vmail -u "$VMAIL_ID" vmail -d "$MAIL_ROOT" -m
    install -d -o vmail -g vmail "$MAIL_ROOT"
    chown -R vmail:vmail "$MAIL_ROOT"
}

# dovecot_base READER_PASSWORD
dovecot_base() {
    local password=$1
    [ "$POP3" = yes ] || without dovecot-pop3d
    fresh 10-auth.conf 10-mail.conf 10-master.conf 10-ssl.conf 15-mailboxes.conf \
        20-imap.conf 20-lmtp.conf 90-quota.conf 90-sieve.conf

    setting 10-auth.conf auth_mechanisms 'plain login'
    sed -i -e 's/^!include auth-system/#&/' -e 's/^#!include auth-sql/!include auth-sql/' $CONF/10-auth.conf
    setting 10-mail.conf mail_location 'maildir:~/Maildir'
    [ "$QUOTA" = no ] || setting 10-mail.conf mail_plugins quota
    [ -z "$SEPARATOR" ] || setting 10-mail.conf separator "$SEPARATOR"
    [ -z "$PREFIX" ] || setting 10-mail.conf prefix "$PREFIX"
    setting 10-ssl.conf ssl required
    setting 10-ssl.conf ssl_cert "<$(certificate_file "$FQDN")"
    setting 10-ssl.conf ssl_key "<$(key_file "$FQDN")"
    local plugins='quota imap_sieve'
    [ "$QUOTA" != no ] || plugins=imap_sieve
    # shellcheck disable=SC2016  # Dovecot expands these, not the shell
    setting 20-imap.conf mail_plugins '$mail_plugins'" $plugins"
    # shellcheck disable=SC2016
    setting 20-lmtp.conf mail_plugins '$mail_plugins sieve'

    # Inside Postfix' chroot, for Postfix only
    cat >> $CONF/10-master.conf <<'CF'

service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
CF

    local limit="concat('*:bytes=', quota) AS quota_rule, "
    [ "$QUOTA" != no ] || limit=''
    put /etc/dovecot/dovecot-sql.conf.ext 0600 root:root <<CF
driver = mysql
connect = host=127.0.0.1 dbname=$DATABASE user=$DATABASE_READER password=$password
user_query = SELECT email as user, $limit'$MAIL_ROOT/%d/%n' AS home, $VMAIL_ID AS uid, $VMAIL_ID AS gid FROM virtual_users WHERE email='%u'
password_query = SELECT password FROM virtual_users WHERE email='%u'
CF
    [ "$ITERATE" = no ] || echo 'iterate_query = SELECT email AS user FROM virtual_users' >> /etc/dovecot/dovecot-sql.conf.ext
}

# dovecot_names: not in the guide, but without it no mailbox can have an apostrophe or an ampersand:
# Dovecot refuses such user names before it looks into the database
dovecot_names() {
    put $CONF/99-mailbox-names.conf 0644 root:root <<'CF'
# Mailboxes such as o'brien@ and r&d@ exist here
auth_username_chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@'&+"
CF
}

# dovecot_folders SPECIAL: "expunge" = Junk and Trash lose what is older than 30 days; "create" = made and subscribed, too
dovecot_folders() {
    local name extra=''
    [ "$1" = create ] && extra='\n    auto = subscribe'
    for name in Junk Trash; do
        sed -i "/^  mailbox $name {/a\\    autoexpunge = 30d$extra" $CONF/15-mailboxes.conf
    done
}

# dovecot_quota BACKEND ANSWER: BACKEND maildir or count; ANSWER what Postfix says when a mailbox is full
dovecot_quota() {
    local backend=$1 answer=${QUOTA_ANSWER:-$2} vsizes=''
    [ "$QUOTA" != no ] || return 0
    [ "$QUOTA" != maildir ] || backend=maildir
    [ "$backend" = count ] && vsizes='quota_vsizes = yes'
    cat >> $CONF/90-quota.conf <<CF

plugin {
  quota = $backend:User quota
  $vsizes
  quota_status_success = DUNNO
  quota_status_nouser = DUNNO
  quota_status_overquota = "$answer"
  quota_warning = storage=95%% quota-warning 95 %u
  quota_warning2 = storage=80%% quota-warning 80 %u
}
service quota-status {
  executable = /usr/lib/dovecot/quota-status -p postfix
  unix_listener /var/spool/postfix/private/quota-status {
    user = postfix
  }
}
service quota-warning {
  executable = script /usr/local/bin/quota-warning.sh
  unix_listener quota-warning {
    user = vmail
    group = vmail
    mode = 0660
  }
}
CF
    put /usr/local/bin/quota-warning.sh 0750 root:root <<SH
#!/bin/sh
# quota-warning.sh PERCENT USER: tell USER how full the mailbox is, even if it is full
/usr/lib/dovecot/dovecot-lda -d "\$2" -o "plugin/quota=$backend:User quota:noenforcing" <<MAIL
From: postmaster@$(hostname -f)
To: \$2
Subject: Your mailbox is more than \$1% full
Content-Type: text/plain; charset=utf-8

Please delete or move away some of your mail, before new mail has to be refused.
MAIL
SH
}

# dovecot_sieve MATCH [CREATE]: spam (rspamd's X-Spam header contains MATCH) is filed into Junk, with CREATE also if there is none yet;
# moving letters into Junk and out of it teaches rspamd
dovecot_sieve() {
    local match=${SPAM_MATCH:-$1} action='fileinto' extensions='"fileinto"'
    # The playbook's folder is nobody's until it is needed
    [ -z "${2:-}" ] && [ "$SPAM_FOLDER" = Junk ] || { action='fileinto :create'; extensions='"fileinto", "mailbox"'; }
    setting 90-sieve.conf sieve_after /etc/dovecot/sieve-after
    cat >> $CONF/90-sieve.conf <<CF

plugin {
  sieve_plugins = sieve_imapsieve sieve_extprograms
  sieve_global_extensions = +vnd.dovecot.pipe
  sieve_pipe_bin_dir = /etc/dovecot/sieve

  imapsieve_mailbox1_name = $PREFIX$SPAM_FOLDER
  imapsieve_mailbox1_causes = COPY
  imapsieve_mailbox1_before = file:/etc/dovecot/sieve/learn-spam.sieve

  imapsieve_mailbox2_name = *
  imapsieve_mailbox2_from = $PREFIX$SPAM_FOLDER
  imapsieve_mailbox2_causes = COPY
  imapsieve_mailbox2_before = file:/etc/dovecot/sieve/learn-ham.sieve
}
CF
    put /etc/dovecot/sieve-after/spam-to-folder.sieve 0644 root:root <<CF
require [$extensions];
if header :contains "X-Spam" "$match" {
    $action "$PREFIX$SPAM_FOLDER";
    stop;
}
CF
    put /etc/dovecot/sieve/learn-spam.sieve 0600 vmail:vmail <<'CF'
require ["vnd.dovecot.pipe", "copy", "imapsieve"];
pipe :copy "rspamd-learn-spam.sh";
CF
    # Emptying Junk into Trash is not a verdict
    sed "s/PREFIX/$PREFIX/" <<'CF' | put /etc/dovecot/sieve/learn-ham.sieve 0600 vmail:vmail
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];
if environment :matches "imap.mailbox" "*" {
    set "mailbox" "${1}";
}
if string "${mailbox}" "PREFIXTrash" {
    stop;
}
pipe :copy "rspamd-learn-ham.sh";
CF
    local kind
    for kind in spam ham; do
        printf '#!/bin/sh\nexec /usr/bin/rspamc learn_%s\n' $kind |
            put /etc/dovecot/sieve/rspamd-learn-$kind.sh 0700 vmail:vmail
    done
}

# dovecot_start: with the plugins loaded the global scripts can be compiled
dovecot_start() {
    doveconf -n >/dev/null
    systemctl restart dovecot
    sievec /etc/dovecot/sieve-after/spam-to-folder.sieve
    sievec /etc/dovecot/sieve/learn-spam.sieve
    sievec /etc/dovecot/sieve/learn-ham.sieve
    chmod 0600 /etc/dovecot/sieve/*.svbin
    chown vmail:vmail /etc/dovecot/sieve/*.svbin
}
