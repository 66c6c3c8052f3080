"""What stands in the lab: hosts, addresses, names, domains, packages. Data only.

Addresses are those of RFC 5737 (TEST-NET-3) and RFC 3849, names those of RFC 2606: none exists outside.
"""

from __future__ import annotations

from dataclasses import dataclass

BUILDER_VERSION = "1"
"""Part of every cache key: raise it when the code makes other images or snapshots out of the same input."""

TSIG_NAME = "mailmove."
RESOLVER = "203.0.113.13"
NS1 = "203.0.113.11"
NS2 = "203.0.113.12"
ACME_DIRECTORY = "https://acme.elsewhere.example:14000/dir"
OUTSIDE_DOMAIN = "elsewhere.example"
OUTSIDE_USERS = {
    "postmaster": "outside-postmaster",
    "sink": "outside-sink",
    "friend": "outside-friend",
    "probe": "outside-probe",
}
"""Mailboxes at the outside domain and their passwords: they open nothing but the lab."""
HOSTED_DOMAINS = ("example.org", "example.net", "xn--bcher-kva.example")

COMMON_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "procps", "iproute2", "openssh-server", "openssl", "ca-certificates",
    "python3", "rsync", "rsyslog", "postfix", "swaks", "libnet-ssleay-perl", "dovecot-imapd", "dovecot-lmtpd",
    "bind9-dnsutils",
)  # fmt: skip
MAIL_SERVER_PACKAGES = (
    *COMMON_PACKAGES, "cron", "curl", "ssl-cert", "mariadb-server", "postfix-mysql", "dovecot-mysql", "dovecot-pop3d",
    "dovecot-sieve", "dovecot-managesieved", "apache2", "php", "libapache2-mod-php", "rspamd", "redis-server",
    "redis-tools", "sudo", "roundcube", "roundcube-mysql", "roundcube-plugins", "roundcube-plugins-extra", "certbot",
)  # fmt: skip
"""What the guide's chapter "install the software packages" asks for, the same in both editions."""
WORLD_PACKAGES = (*COMMON_PACKAGES, "bind9", "unbound", "pebble")

MASKED_UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "man-db.timer", "dpkg-db-backup.timer", "console-getty.service", "getty@.service", "getty.target",
    "systemd-networkd-wait-online.service", "unbound-resolvconf.service",
)  # fmt: skip
"""Units that only cost time in a machine that lives for an hour."""


@dataclass(frozen=True)
class Address:
    """One address pair of a host, and the name its PTR records give."""

    name: str
    ipv4: str
    ipv6: str


@dataclass(frozen=True)
class Host:
    """One host of the lab. `suite` and `packages` are empty for the operator, who is only a namespace."""

    key: str
    addresses: tuple[Address, ...]
    suite: str = ""
    release: str = ""
    packages: tuple[str, ...] = ()
    ssh_port: int = 22
    login: str = "root"

    @property
    def fqdn(self) -> str:
        """The host's own name: that of its first address."""
        return self.addresses[0].name

    @property
    def ipv4(self) -> str:
        """The address it sends from."""
        return self.addresses[0].ipv4

    @property
    def ipv6(self) -> str:
        """The IPv6 address it sends from."""
        return self.addresses[0].ipv6


def _address(name: str, last: int) -> Address:
    return Address(name, f"203.0.113.{last}", f"2001:db8:113::{last}")


WORLD = Host(
    "world",
    (
        _address("mx.elsewhere.example", 10),
        _address("ns1.elsewhere.example", 11),
        _address("ns2.elsewhere.example", 12),
        _address("resolver.elsewhere.example", 13),
    ),
    "bookworm",
    "Debian 12",
    WORLD_PACKAGES,
)
OLD = Host("old", (_address("mail.example.org", 20),), "bullseye", "Debian 11", MAIL_SERVER_PACKAGES)
NEW = Host(
    "new",
    (_address("mail2.example.org", 30),),
    "bookworm",
    "Debian 12",
    (*MAIL_SERVER_PACKAGES, "mutt", "opendkim-tools", "fail2ban", "python3-pyinotify", "python3-systemd", "nftables"),
)
OPERATOR = Host("op", (_address("operator.elsewhere.example", 40),))

MACHINES = (WORLD, OLD, NEW)
HOSTS = (*MACHINES, OPERATOR)
