# Postfix: domains, mailboxes and aliases from the database; delivery by LMTP; submission on 587.

# postfix_map NAME PASSWORD QUERY: one lookup file, readable by Postfix but by nobody else
postfix_map() {
    put "/etc/postfix/mysql-$1.cf" 0640 root:postfix <<CF
user = mailserver
password = $2
hosts = 127.0.0.1
dbname = mailserver
query = $3
CF
}

# postfix_server FQDN READER_PASSWORD
postfix_server() {
    local fqdn=$1 password=$2
    postfix_map virtual-mailbox-domains "$password" "SELECT 1 FROM virtual_domains WHERE name='%s'"
    postfix_map virtual-mailbox-maps "$password" "SELECT 1 FROM virtual_users WHERE email='%s'"
    postfix_map virtual-alias-maps "$password" "SELECT destination FROM virtual_aliases WHERE source='%s'"
    postfix_map email2email "$password" "SELECT email FROM virtual_users WHERE email='%s'"

    echo "$fqdn" > /etc/mailname
    local maps=mysql:/etc/postfix/mysql
    postconf -e \
        "myhostname = $fqdn" \
        'myorigin = /etc/mailname' \
        'mydestination = localhost' \
        "virtual_mailbox_domains = $maps-virtual-mailbox-domains.cf" \
        "virtual_mailbox_maps = $maps-virtual-mailbox-maps.cf" \
        "virtual_alias_maps = $maps-virtual-alias-maps.cf,$maps-email2email.cf" \
        'virtual_transport = lmtp:unix:private/dovecot-lmtp' \
        "smtpd_sender_login_maps = $maps-email2email.cf" \
        'smtpd_sasl_type = dovecot' \
        'smtpd_sasl_path = private/auth' \
        'smtpd_sasl_auth_enable = yes' \
        'smtpd_tls_security_level = may' \
        'smtpd_tls_auth_only = yes' \
        "smtpd_tls_cert_file = /etc/letsencrypt/live/$fqdn/fullchain.pem" \
        "smtpd_tls_key_file = /etc/letsencrypt/live/$fqdn/privkey.pem" \
        'smtp_tls_security_level = may' \
        'smtpd_recipient_restrictions = reject_unauth_destination check_policy_service unix:private/quota-status' \
        'smtpd_milters = inet:127.0.0.1:11332' \
        'non_smtpd_milters = inet:127.0.0.1:11332' \
        'milter_mail_macros = i {mail_addr} {client_addr} {client_name} {auth_authen}'

    postconf -M 'submission/inet=submission inet n - y - - smtpd'
    postconf -P \
        submission/inet/syslog_name=postfix/submission \
        submission/inet/smtpd_tls_security_level=encrypt \
        submission/inet/smtpd_sasl_auth_enable=yes \
        submission/inet/smtpd_tls_auth_only=yes \
        submission/inet/smtpd_reject_unlisted_recipient=no \
        submission/inet/smtpd_client_restrictions= \
        submission/inet/smtpd_helo_restrictions= \
        submission/inet/smtpd_sender_restrictions=reject_sender_login_mismatch,permit_sasl_authenticated,reject \
        submission/inet/smtpd_relay_restrictions= \
        submission/inet/smtpd_recipient_restrictions=permit_sasl_authenticated,reject \
        submission/inet/milter_macro_daemon_name=ORIGINATING
    newaliases
    systemctl restart postfix
}
