# Apache's virtual hosts and the certificate that Apache, Postfix and Dovecot share.

# certificate_file NAME, key_file NAME: where the certificate for that name and its key lie
certificate_file() {
    if [ "$CERTIFICATE" = snakeoil ]; then echo /etc/ssl/certs/ssl-cert-snakeoil.pem
    else echo "/etc/letsencrypt/live/$(lineage "$1")/fullchain.pem"; fi
}
key_file() {
    if [ "$CERTIFICATE" = snakeoil ]; then echo /etc/ssl/private/ssl-cert-snakeoil.key
    else echo "/etc/letsencrypt/live/$(lineage "$1")/privkey.pem"; fi
}
lineage() { if [ "$CERTIFICATE" = each ]; then echo "$1"; else echo "$FQDN"; fi; }

# web_server: http for every name
web_server() {
    a2enmod -q ssl rewrite proxy_http
    put /etc/apache2/conf-available/server-name.conf 0644 root:root <<< "ServerName $FQDN"
    a2enconf -q server-name
    a2dissite -q 000-default || true    # gone already when told again
    local name
    for name in $(names) $MORE_CERTIFICATES; do web_server_plain "$name"; done
    systemctl restart apache2
}

# names: the host's own name, and that of its webmail if it is another
names() { echo "$FQDN"; [ "$WEBMAIL" = "$FQDN" ] || echo "$WEBMAIL"; }

# web_server_plain NAME: http with the webroot of the ACME challenge, everything else redirected to https
web_server_plain() {
    local fqdn=$1
    install -d -o www-data -g www-data "/var/www/$fqdn"
    put "/etc/apache2/sites-available/$fqdn-http.conf" 0644 root:root <<CONF
<VirtualHost *:80>
    ServerName $fqdn
    DocumentRoot /var/www/$fqdn
    RewriteEngine On
    RewriteCond %{REQUEST_URI} !.well-known/acme-challenge
    RewriteRule ^(.*)\$ https://%{SERVER_NAME}\$1 [R=301,L]
</VirtualHost>
CONF
    a2ensite -q "$fqdn-http"
}

# web_server_tls: Roundcube at the root, rspamd's own pages under /rspamd
web_server_tls() {
    local fqdn=$WEBMAIL roundcube='' pages=''
    [ "$ROUNDCUBE" = no ] || roundcube='DocumentRoot /var/lib/roundcube/public_html
    Include /etc/roundcube/apache.conf'
    [ "$SPAM_PAGES" = no ] || pages='<Location /rspamd>
        Require all granted
    </Location>
    RewriteEngine On
    RewriteRule ^/rspamd$ /rspamd/ [R,L]
    RewriteRule ^/rspamd/(.*) http://localhost:11334/$1 [P,L]'
    put "/etc/apache2/sites-available/$fqdn-https.conf" 0644 root:root <<CONF
<VirtualHost *:443>
    ServerName $fqdn
    $roundcube
    SSLEngine on
    SSLCertificateFile $(certificate_file "$fqdn")
    SSLCertificateKeyFile $(key_file "$fqdn")
    $pages
</VirtualHost>
CONF
    a2ensite -q "$fqdn-https"
    apache2ctl configtest
    systemctl restart apache2
}

# certificates: real ones, by http-01
certificates() {
    local name
    case $CERTIFICATE in
        one | standalone)
            # shellcheck disable=SC2046  # a word for each name
            certificate $(names) ;;
        each) for name in $(names); do certificate "$name"; done ;;
    esac
    for name in $MORE_CERTIFICATES; do certificate "$name"; done
}

# certificate NAME...: one lineage, called by the first name
certificate() {
    local lineage=$1 how=() name
    for name; do how+=(--webroot-path "/var/www/$name" -d "$name"); done
    if [ "$CERTIFICATE" = standalone ]; then
        # as the playbook has it
        how=(--standalone --pre-hook 'systemctl stop apache2 dovecot postfix' \
            --post-hook 'systemctl start apache2 dovecot postfix')
        for name; do how+=(-d "$name"); done
        put /etc/cron.d/certbot-renew 0644 root:root <<< '30 3 * * * root /usr/bin/certbot renew --quiet'
    else
        how=(--webroot "${how[@]}")
    fi
    certbot certonly --quiet --non-interactive --agree-tos --register-unsafely-without-email \
        --server "$ACME_DIRECTORY" --cert-name "$lineage" "${how[@]}" --keep-until-expiring
}

# certificate_hook: one hook for every later renewal. After the first certificate: the services are not set up before
certificate_hook() {
    local ini=/etc/letsencrypt/cli.ini
    case $CERTIFICATE in snakeoil | standalone) return 0 ;; esac
    grep -q '^post-hook' "$ini" || printf '\npost-hook = systemctl restart postfix dovecot apache2\n' >> "$ini"
}
