# What the owner of a server decides. The lab's variants (../../variants/*.toml) say it in LAB_*; what they leave out is
# as the guide has it. Sourced by lib.sh.

choose() { local name=$1 guide=$2 said="LAB_$1"; printf -v "$name" '%s' "${!said-$guide}"; }

FQDN=${LAB_FQDN:?}
choose LOGIN root                   # or who logs in by ssh and becomes root by sudo
choose LOG rsyslog                  # or journal: systemd's alone, as Debian 12 comes
choose WEBMAIL "$FQDN"              # the name people type to read mail in the browser
choose CERTIFICATE one              # one: for all names; each: one for every name; standalone: as the playbook; snakeoil
choose MORE_CERTIFICATES ''         # names that have a certificate besides
choose MAIL_ROOT /var/vmail
choose VMAIL_ID 5000
choose DATABASE mailserver
choose DATABASE_READER mailserver
choose DATABASE_ADMIN mailadmin
choose MAPS /etc/postfix/mysql-     # how the names of Postfix' lookup files begin
choose MAP_TYPE mysql               # or proxy:mysql
choose ALIAS_MAPS two               # files: two, or one that asks for aliases and mailboxes together
choose SENDER_LOGINS yes
choose SEPARATOR ''                 # of folders; '' is Dovecot's own
choose PREFIX ''                    # what every folder's name but INBOX begins with
choose POP3 yes
choose QUOTA guide                  # guide, maildir (backend), no
choose QUOTA_COLUMN bigint
choose QUOTA_ANSWER ''              # '' is the edition's
choose ITERATE yes                  # whether Dovecot can list all users
choose SPAM_PAGES yes               # rspamd's web pages
choose SPAM_MATCH ''                # what X-Spam must contain; '' is the edition's
choose SPAM_FOLDER Junk             # where the global script files spam
choose DKIM map                     # map of selectors; default: one selector `dkim` for every domain; none
choose DKIM_DIRECTORY /var/lib/rspamd/dkim
choose ROUNDCUBE yes
choose SUBMISSION guide             # guide or playbook: what master.cf says of port 587
choose MESSAGE_SIZE_LIMIT ''        # '' is Postfix' own
choose SCHEMES ''                   # passwords of old's people: '' is several, or these in turn
