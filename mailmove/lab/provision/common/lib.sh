# Helpers for the provisioning scripts. Sourced, never run.
# Everything here is told once per boot of a fresh machine, but can be told again.

set -euo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022

NOTES=/opt/mailmove-lab     # what tests need to know is written here, readable by root only
. ./choices.sh
ACME_DIRECTORY=${LAB_ACME_DIRECTORY:-https://acme.elsewhere.example:14000/dir}

# say WORDS...: progress, with the seconds since the start
say() { printf '%3ds  %s\n' "$SECONDS" "$*"; }

# secret: 32 characters that need no quoting in SQL, PHP, URLs or .cf files
secret() { openssl rand -hex 16; }

# put PATH MODE OWNER: write standard input to PATH; never readable for a moment by more than MODE allows
put() {
    local path=$1 mode=$2 owner=$3
    mkdir -p "$(dirname "$path")"
    (umask 077; cat > "$path.writing")
    chown "$owner" "$path.writing"
    chmod "$mode" "$path.writing"
    mv "$path.writing" "$path"
}

# wait_until SECONDS COMMAND...: poll until COMMAND succeeds, or fail naming it
wait_until() {
    local deadline=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            printf 'still failing: %s\nhint: journalctl -b -p warning\n' "$*" >&2
            return 1
        fi
        sleep 0.2
    done
}

# change_dns < nsupdate-commands: send RFC 2136 updates to the lab's primary name server
change_dns() {
    : "${LAB_TSIG_SECRET:?is needed to publish records}"
    local key
    key=$(mktemp)       # in a file: a secret does not belong on a command line
    chmod 600 "$key"
    printf 'key "mailmove." { algorithm hmac-sha256; secret "%s"; };\n' "$LAB_TSIG_SECRET" > "$key"
    local failed=0
    { echo "server ${LAB_NS1:-203.0.113.11}"; cat; } | nsupdate -k "$key" || failed=1
    rm -f "$key"
    return $failed
}

# without PACKAGE...: what the owner did not want is not there, and never was
without() { DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y "$@" >/dev/null; }

# admin_login: where the owner wants no root logins, somebody becomes root by sudo; root's own is left to the lab itself
admin_login() {
    [ "$LOGIN" != root ] || return 0
    useradd -M -s /bin/bash -u "$(stat -c %u "/home/$LOGIN")" "$LOGIN"
    put "/etc/sudoers.d/$LOGIN" 0440 root:root <<< "$LOGIN ALL=(ALL) NOPASSWD: ALL"
    put /etc/ssh/sshd_config.d/login.conf 0644 root:root <<SSH
PermitRootLogin no
Match Address ${LAB_OP:?},${LAB_OP_6:?}
    PermitRootLogin prohibit-password
SSH
    systemctl reload ssh
}

# services_up: all that the guide has running runs now, and will after a reboot
services_up() {
    local services='mariadb postfix dovecot rspamd redis-server apache2' service
    [ "$CERTIFICATE" = snakeoil ] || services+=' certbot.timer'
    for service in $services; do
        systemctl is-enabled -q "$service" || systemctl enable -q "$service"
        systemctl is-active -q "$service" || { echo "$service is not running" >&2; return 1; }
    done
}
