# Apache's virtual hosts and the certificate that Apache, Postfix and Dovecot share.

# web_server FQDN: http with the webroot of the ACME challenge, everything else redirected to https
web_server() {
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
    put /etc/apache2/conf-available/server-name.conf 0644 root:root <<< "ServerName $fqdn"
    a2enmod -q ssl rewrite proxy_http
    a2enconf -q server-name
    a2dissite -q 000-default || true    # gone already when told again
    a2ensite -q "$fqdn-http"
    systemctl restart apache2
}

# web_server_tls FQDN: Roundcube at the root, rspamd's own pages under /rspamd
web_server_tls() {
    local fqdn=$1
    put "/etc/apache2/sites-available/$fqdn-https.conf" 0644 root:root <<CONF
<VirtualHost *:443>
    ServerName $fqdn
    DocumentRoot /var/lib/roundcube/public_html
    Include /etc/roundcube/apache.conf
    SSLEngine on
    SSLCertificateFile /etc/letsencrypt/live/$fqdn/fullchain.pem
    SSLCertificateKeyFile /etc/letsencrypt/live/$fqdn/privkey.pem
    <Location /rspamd>
        Require all granted
    </Location>
    RewriteEngine On
    RewriteRule ^/rspamd\$ /rspamd/ [R,L]
    RewriteRule ^/rspamd/(.*) http://localhost:11334/\$1 [P,L]
</VirtualHost>
CONF
    a2ensite -q "$fqdn-https"
    apache2ctl configtest
    systemctl restart apache2
}

# certificate FQDN: a real one, by http-01 through the webroot
certificate() {
    local fqdn=$1
    certbot certonly --quiet --non-interactive --agree-tos --register-unsafely-without-email \
        --server "$ACME_DIRECTORY" --webroot --webroot-path "/var/www/$fqdn" -d "$fqdn" --keep-until-expiring
}

# certificate_hook: one hook for every later renewal. After the first certificate: the services are not set up before
certificate_hook() {
    local ini=/etc/letsencrypt/cli.ini
    grep -q '^post-hook' "$ini" || printf '\npost-hook = systemctl restart postfix dovecot apache2\n' >> "$ini"
}
