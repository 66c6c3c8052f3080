# rspamd: milter for Postfix, Bayes in Redis, web pages behind a password, DKIM signing.

# rspamd_server WEB_PASSWORD
rspamd_server() {
    put /etc/rspamd/local.d/actions.conf 0644 root:root <<< $'reject = 150;\nadd_header = 6;\ngreylist = 4;'
    put /etc/rspamd/override.d/milter_headers.conf 0644 root:root <<< 'extended_spam_headers = true;'
    put /etc/rspamd/override.d/redis.conf 0644 root:root <<< 'servers = "127.0.0.1";'
    put /etc/rspamd/override.d/classifier-bayes.conf 0644 root:root <<< 'autolearn = [-5, 10];'
    [ "$SPAM_PAGES" = yes ] || return 0
    local hash
    hash=$(rspamadm pw -q -p "$1")
    put /etc/rspamd/local.d/worker-controller.inc 0640 root:_rspamd <<< "password = \"$hash\";"
}

# rspamd_signing: where keys and the table of selectors are looked for. The table is left as it is
rspamd_signing() {
    [ "$DKIM" != none ] || return 0
    install -d -o _rspamd -g _rspamd "$DKIM_DIRECTORY"
    put /etc/rspamd/local.d/dkim_signing.conf 0644 root:root <<< "path = \"$DKIM_DIRECTORY/\$domain.\$selector.key\";"
    [ "$DKIM" = map ] || return 0
    echo 'selector_map = "/etc/rspamd/dkim_selectors.map";' >> /etc/rspamd/local.d/dkim_signing.conf
    touch /etc/rspamd/dkim_selectors.map
}

# rspamd_key DOMAIN SELECTOR: a new signing key, its line in the table, and its public half in the DNS
rspamd_key() {
    local domain=$1 selector=$2 key=$DKIM_DIRECTORY/$1.$2.key public
    public=$(rspamadm dkim_keygen -d "$domain" -s "$selector" -k "$key")
    chown _rspamd:_rspamd "$key"
    chmod u=r,go= "$key"
    [ "$DKIM" != map ] || printf '%s %s\n' "$domain" "$selector" >> /etc/rspamd/dkim_selectors.map
    # rspamadm prints a zone file line over several lines; the quoted parts are the record
    public=$(grep -o '"[^"]*"' <<< "$public" | tr '\n' ' ')
    change_dns <<UPDATE
update delete $selector._domainkey.$domain TXT
update add $selector._domainkey.$domain 40 TXT $public
send
UPDATE
}

# rspamd_restart: with the new settings. The very first start, at boot, compiles patterns for 10 s of processor time and keeps
# them only when it comes to its end; so that is waited for. Meant to run beside the rest
rspamd_restart() {
    rspamadm configtest
    wait_until 180 rspamc -h localhost:11334 stat
    systemctl restart rspamd
    wait_until 60 rspamc -h localhost:11334 stat
}
