# Postfix: domains, mailboxes and aliases from the database; delivery by LMTP; submission on 587.

# postfix_map NAME PASSWORD QUERY: one lookup file, readable by Postfix but by nobody else
postfix_map() {
    put "$MAPS$1.cf" 0640 root:postfix <<CF
user = $DATABASE_READER
password = $2
hosts = 127.0.0.1
dbname = $DATABASE
query = $3
CF
}

# postfix_server READER_PASSWORD
postfix_server() {
    local password=$1
    postfix_map virtual-mailbox-domains "$password" "SELECT 1 FROM virtual_domains WHERE name='%s'"
    postfix_map virtual-mailbox-maps "$password" "SELECT 1 FROM virtual_users WHERE email='%s'"
    local aliases="SELECT destination FROM virtual_aliases WHERE source='%s'"
    local people="SELECT email FROM virtual_users WHERE email='%s'"
    local maps=$MAP_TYPE:$MAPS
    local alias_maps=${maps}virtual-alias-maps.cf,${maps}email2email.cf
    if [ "$ALIAS_MAPS" = one ]; then
        aliases+=" UNION $people"
        alias_maps=${maps}virtual-alias-maps.cf
    fi
    postfix_map virtual-alias-maps "$password" "$aliases"
    [ "$ALIAS_MAPS$SENDER_LOGINS" = oneno ] || postfix_map email2email "$password" "$people"

    echo "$FQDN" > /etc/mailname
    postconf -e \
        "myhostname = $FQDN" \
        'myorigin = /etc/mailname' \
        'mydestination = localhost' \
        "virtual_mailbox_domains = ${maps}virtual-mailbox-domains.cf" \
        "virtual_mailbox_maps = ${maps}virtual-mailbox-maps.cf" \
        "virtual_alias_maps = $alias_maps" \
        'virtual_transport = lmtp:unix:private/dovecot-lmtp' \
        'smtpd_sasl_type = dovecot' \
        'smtpd_sasl_path = private/auth' \
        'smtpd_sasl_auth_enable = yes' \
        'smtpd_tls_security_level = may' \
        'smtpd_tls_auth_only = yes' \
        "smtpd_tls_cert_file = $(certificate_file "$FQDN")" \
        "smtpd_tls_key_file = $(key_file "$FQDN")" \
        'smtp_tls_security_level = may' \
        'smtpd_milters = inet:127.0.0.1:11332' \
        'non_smtpd_milters = inet:127.0.0.1:11332' \
        'milter_mail_macros = i {mail_addr} {client_addr} {client_name} {auth_authen}'

    [ "$SENDER_LOGINS" = no ] || postconf -e "smtpd_sender_login_maps = ${maps}email2email.cf"
    [ "$QUOTA" = no ] ||
        postconf -e 'smtpd_recipient_restrictions = reject_unauth_destination check_policy_service unix:private/quota-status'
    [ -z "$MESSAGE_SIZE_LIMIT" ] || postconf -e "message_size_limit = $MESSAGE_SIZE_LIMIT"

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
    if [ "$SUBMISSION" = playbook ]; then
        postconf -PX submission/inet/smtpd_sender_restrictions
        postconf -P submission/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject \
            submission/inet/smtpd_recipient_restrictions=
    fi
    newaliases
    systemctl restart postfix
}
