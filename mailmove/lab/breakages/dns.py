"""What breaks in DNS and DKIM, on the world's side and on the server's."""

from mailmove.lab.breakages.base import Breakage

_KEY = "/var/lib/rspamd/dkim/example.org.2026112401.key"
_MAP = "/etc/rspamd/dkim_selectors.map"


def _update(*lines: str) -> str:
    """Change records at the primary name server, as an admin does it with nsupdate."""
    words = "\\n".join(("server 203.0.113.11", *lines, "send", "")).replace("'", "'\\''")
    return (
        "key=$(mktemp); sed -n '/^key /p' /etc/bind/ns1.conf > $key; "
        f"printf '{words}' | nsupdate -k $key || {{ rm -f $key; exit 1; }}; rm -f $key"
    )


def _replaced(name: str, kind: str, before: str, after: str, what: str) -> Breakage:
    """Other records of one name and type; ``before`` and ``after`` are one value each, or empty for none."""

    def lines(value: str) -> list[str]:
        added = [f"update add {name} 40 {kind} {value}"] if value else []
        return [f"update delete {name} {kind}", *added]

    return Breakage("world", _update(*lines(after)), what, mend=_update(*lines(before)))


def _reverse(change: str, what: str) -> Breakage:
    """The new server's PTR record for IPv4 in the provider's zone, which takes no updates."""
    zone = "/var/lib/bind/ns1/113.0.203.in-addr.arpa.zone"
    told = f'sed -i "s/hostmaster.elsewhere.example. [0-9]*/hostmaster.elsewhere.example. $(date +%s)/" {zone}'
    reload = f"{told}; systemctl reload named-ns1"
    return Breakage("world", f"keep {zone}; sed -i '{change}' {zone}; {reload}", what, mend=reload)


def _listed(turned: str, what: str) -> Breakage:
    """An address on the lab's blocklist, which stands in a zone of the outside that takes no updates."""
    zone = "/var/lib/bind/ns1/elsewhere.example.zone"
    told = f'sed -i "s/hostmaster.elsewhere.example. [0-9]*/hostmaster.elsewhere.example. $(date +%s)/" {zone}'
    reload = f"{told}; systemctl reload named-ns1"
    lines = f'{turned}.blocklist 5 A 127.0.0.4\\n{turned}.blocklist 5 TXT "spam was seen from there"\\n'
    return Breakage("world", f"keep {zone}; printf '{lines}' >> {zone}; {reload}", what, mend=reload)


def _tagged(tag: str, what: str) -> Breakage:
    """One more tag in the signing key of a domain."""
    record = "update add 2022031501._domainkey.example.net. 40 TXT %s"
    changed = _update("update delete 2022031501._domainkey.example.net. TXT", record)
    return Breakage(
        "world",
        'record=$(dig +short @203.0.113.11 2022031501._domainkey.example.net TXT); echo "$record" > $KEPT/record; '
        + changed.replace("| nsupdate", f'"$(echo "$record" | sed "s/v=DKIM1; */v=DKIM1; {tag}; /")" | nsupdate'),
        what,
        mend=changed.replace("| nsupdate", '"$(cat $KEPT/record)" | nsupdate'),
    )


BREAKAGES: dict[str, Breakage] = {
    "secondary-dns-stopped": Breakage(
        "world",
        "systemctl stop named-ns2",
        "one of two name servers does not answer",
        mend="systemctl start named-ns2",
    ),
    "secondary-dns-old-zone": Breakage(
        "world",
        "keep /etc/bind/ns2.conf /var/lib/bind/ns2/old.zone; "
        "sed 's/v=spf1 mx -all/v=spf1 -all/' /var/lib/bind/ns2/example.net.zone > /var/lib/bind/ns2/old.zone; "
        "chown bind: /var/lib/bind/ns2/old.zone; "
        'sed -i \'s/^zone "example.net".*/zone "example.net" { type primary; file "old.zone"; };/\' /etc/bind/ns2.conf; '
        "systemctl restart named-ns2",
        "one of two name servers has an old copy of a zone and fetches no new one",
        mend="systemctl restart named-ns2",
    ),
    "mx-elsewhere": _replaced(
        "example.net.", "MX", "10 mail.example.org.", "10 mx.elsewhere.example.", "a domain's MX leads to somebody else"
    ),
    "mx-is-an-alias": Breakage(
        "world",
        # The alias stands in another zone: BIND itself refuses one in the same
        _update("update add smtp.example.org. 40 CNAME mail.example.org.")
        + "; "
        + _update("update delete example.net. MX", "update add example.net. 40 MX 10 smtp.example.org."),
        "a domain's MX is an alias",
        mend=_update("update delete example.net. MX", "update add example.net. 40 MX 10 mail.example.org.")
        + "; "
        + _update("update delete smtp.example.org. CNAME"),
    ),
    "updates-refused": Breakage(
        "world",
        "keep /etc/bind/ns1.conf; sed -i '/^zone \"xn--bcher-kva.example\"/s/grant [^ ]*/grant the-key-before./' /etc/bind/ns1.conf; "
        "systemctl reload named-ns1",
        "a zone takes no updates: it was forgotten when the key was changed",
        mend="systemctl reload named-ns1",
    ),
    "address-on-a-blocklist": _listed(
        "30.113.0.203", "the new server's address is on a blocklist: somebody sent spam from it before"
    ),
    "address-on-a-blocklist-over-ipv6": _listed(
        "0.3.0.0." + "0.0.0.0." * 4 + "3.1.1.0.8.b.d.0.1.0.0.2",
        "the new server's IPv6 address is on a blocklist",
    ),
    "ptr-missing": _reverse("/^30\\./d", "the new server's address has no name"),
    "ptr-of-the-provider": _reverse(
        "s/^\\(30\\..*PTR\\).*/\\1 static-30.provider.example./",
        "the new server's address has the name that its provider gave it, which leads nowhere",
    ),
    "helo-name-nowhere": Breakage(
        "new",
        "postfix_setting smtp_helo_name=mail2.example.local",
        "the new server introduces itself by a name that is not in DNS",
        mend="systemctl reload postfix",
    ),
    "spf-without-new": _replaced(
        "example.net.",
        "TXT",
        '"v=spf1 mx -all"',
        '"v=spf1 ip4:203.0.113.20 ip6:2001:db8:113::20 -all"',
        "the sender policy names the old server's addresses only",
    ),
    "spf-too-many-lookups": _replaced(
        "example.net.",
        "TXT",
        '"v=spf1 mx -all"',
        '"v=spf1 ' + " ".join(["mx:elsewhere.example"] * 11) + ' mx -all"',
        "the sender policy needs more questions to DNS than receivers ask",
    ),
    "spf-lets-everybody-send": _replaced(
        "example.net.", "TXT", '"v=spf1 mx -all"', '"v=spf1 mx +all"', "the sender policy lets everybody send"
    ),
    "dmarc-misspelt": _replaced(
        "_dmarc.example.net.",
        "TXT",
        '"v=DMARC1; p=quarantine; rua=mailto:postmaster@example.net"',
        '"v=DMARC1; p=quarantene; rua=mailto:postmaster@example.net"',
        "the policy for forged mail is misspelt",
    ),
    "dkim-record-of-another-key": Breakage(
        "world",
        "keep /root/dkim; mkdir /root/dkim; openssl genrsa -out /root/dkim/key 2048; "
        "openssl rsa -in /root/dkim/key -pubout -outform DER -out /root/dkim/public; "
        "dig +short @203.0.113.11 2022031501._domainkey.example.net TXT > /root/dkim/record; "
        "p=$(base64 -w 200 /root/dkim/public | sed 's/.*/\"&\"/' | tr '\\n' ' '); "
        + _update(
            "update delete 2022031501._domainkey.example.net. TXT",
            'update add 2022031501._domainkey.example.net. 40 TXT "v=DKIM1; k=rsa; p=" %s',
        ).replace("| nsupdate", '"$p" | nsupdate')
        + "; cp -a /root/dkim/record $KEPT/record",
        "the signing key in DNS is another one",
        mend=_update(
            "update delete 2022031501._domainkey.example.net. TXT",
            "update add 2022031501._domainkey.example.net. 40 TXT %s",
        ).replace("| nsupdate", '"$(cat $KEPT/record)" | nsupdate'),
    ),
    "dkim-record-of-other-days": _tagged(
        "h=sha1", "the signing key in DNS is for signatures of twenty years ago only (h=sha1)"
    ),
    "dkim-record-in-testing": _tagged("t=y", "the signing key in DNS is still marked as a trial (t=y)"),
    "dkim-selector-map-lost": Breakage(
        "old",
        f"keep {_MAP}; rm {_MAP}",
        "the old server's table of signing keys was lost when /etc was put back",
    ),
    "dkim-signing-off": Breakage(
        "new",
        "keep /etc/rspamd/local.d/dkim_signing.conf; echo 'enabled = false;' >> /etc/rspamd/local.d/dkim_signing.conf; "
        "systemctl reload rspamd",
        "the spam filter of the new server signs nothing",
        mend="systemctl reload rspamd",
    ),
    "milter-macros-lost": Breakage(
        "new",
        "postfix_setting 'milter_mail_macros=i {mail_addr} {client_addr} {client_name}'",
        "Postfix does not tell the spam filter who is logged in",
        mend="systemctl reload postfix",
    ),
    "dkim-key-unreadable": Breakage(
        "new",
        f"keep {_KEY} {_MAP}; rspamadm dkim_keygen -d example.org -s 2026112401 -k {_KEY} > /dev/null; "
        f"chown root:root {_KEY}; chmod 600 {_KEY}; echo example.org 2026112401 >> {_MAP}",
        "a signing key of the new server belongs to root: the spam filter cannot read it",
    ),
    "selector-map-forgotten": Breakage(
        "new",
        f"keep {_KEY}; rspamadm dkim_keygen -d example.org -s 2026112401 -k {_KEY} > /dev/null; chown _rspamd: {_KEY}",
        "a signing key lies on the new server, but the table of keys does not name it",
    ),
    "dkim-key-not-published": Breakage(
        "new",
        f"keep {_KEY} {_MAP}; rspamadm dkim_keygen -d example.org -s 2026112401 -k {_KEY} > /dev/null; "
        f"chown _rspamd: {_KEY}; chmod 400 {_KEY}; echo example.org 2026112401 >> {_MAP}",
        "the new server signs with a key of its own that is not in DNS",
    ),
    "domain-without-its-key": Breakage(
        "new",
        "mariadb mailserver -e \"INSERT INTO virtual_domains (name) VALUES ('example.org')\"",
        "a domain was set up on the new server by hand, without its signing key",
        mend="mariadb mailserver -e \"DELETE FROM virtual_domains WHERE name = 'example.org'\"",
    ),
    "sts-policy-unreachable": Breakage(
        "world",
        _update(
            'update add _mta-sts.example.net. 40 TXT "v=STSv1; id=20240101"',
            "update add mta-sts.example.net. 40 A 203.0.113.20",
        ),
        "a domain promises encryption, but its policy cannot be fetched",
        mend=_update("update delete _mta-sts.example.net. TXT", "update delete mta-sts.example.net. A"),
    ),
    "tlsa-of-an-old-key": _replaced(
        "_25._tcp.mail2.example.org.",
        "TLSA",
        "",
        "3 1 1 " + "ab" * 32,
        "the key published for the new server is one from before",
    ),
    "caa-forbids-all": _replaced(
        "mail2.example.org.", "CAA", "", '0 issue ";"', "nobody may issue certificates for the new server's name"
    ),
    "srv-to-a-dead-port": _replaced(
        "_submissions._tcp.example.net.",
        "SRV",
        "",
        "0 1 465 mail.example.org.",
        "mail programs are led to a port where nobody answers",
    ),
    "autoconfig-gone": _replaced(
        "autoconfig.example.net.",
        "A",
        "",
        "203.0.113.30",
        "a name for mail programs' settings leads to the new server, which has none",
    ),
    "tls-reports-nowhere": _replaced(
        "_smtp._tls.example.net.",
        "TXT",
        "",
        '"v=TLSRPTv1; rua=postmaster@example.net"',
        "the address for reports on encryption is none",
    ),
    "no-postmaster": Breakage(
        "old",
        "mariadb-dump mailserver virtual_aliases > $KEPT/aliases.sql; "
        "mariadb mailserver -e \"DELETE FROM virtual_aliases WHERE source = 'abuse@example.org'\"",
        "nobody reads mail to abuse in one domain",
        mend="mariadb mailserver < $KEPT/aliases.sql",
    ),
    "old-signs-by-another-program": Breakage(
        "old",
        "keep /usr/local/sbin/opendkim; cp /bin/sleep /usr/local/sbin/opendkim; "
        "systemd-run --quiet --unit=lab-signer /usr/local/sbin/opendkim infinity",
        "mail is signed by OpenDKIM on the old server, which the guide had before rspamd",
        mend="systemctl stop lab-signer; rm -f /usr/local/sbin/opendkim",
    ),
    "old-is-a-name-server": Breakage(
        "world",
        _update(
            "update add ns3.example.net. 40 A 203.0.113.20",
            "update add example.net. 3600 NS ns3.example.net.",
        ),
        "the old mail server is one of a domain's name servers",
        mend=_update("update delete example.net. NS ns3.example.net.", "update delete ns3.example.net. A"),
    ),
    "address-of-nobody": Breakage(
        "world",
        _update("update add mail2.example.org. 40 AAAA 2001:db8:113::99"),
        "the new server's name has another IPv6 address beside its own, from before the provider changed them",
        mend=_update("update delete mail2.example.org. AAAA 2001:db8:113::99"),
    ),
    "backup-mx-refuses": Breakage(
        "world",
        "keep /etc/postfix/main.cf; "
        "postconf -e 'smtpd_recipient_restrictions=check_recipient_access inline:{example.net=REJECT}'; postfix reload; "
        + _update("update add example.net. 40 MX 20 mx.elsewhere.example."),
        "a domain has a backup MX at a provider's, who has dropped the domain since",
        mend="postfix reload; " + _update("update delete example.net. MX 20 mx.elsewhere.example."),
    ),
    "backup-mx-of-nobody": Breakage(
        "world",
        _update(
            "update add backup.example.org. 40 A 203.0.113.199",
            "update add example.org. 40 MX 20 backup.example.org.",
        ),
        "a domain's backup MX was switched off long ago",
        mend=_update("update delete example.org. MX 20 backup.example.org.", "update delete backup.example.org. A"),
    ),
}
