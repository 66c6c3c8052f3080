from tests.sabotage.expected import Expected

EXPECTED: dict[str, Expected] = {
    "secondary-dns-stopped": Expected("All name servers say the same", "ns2", also=("90_dns",)),
    "secondary-dns-old-zone": Expected("All name servers say the same", "ns2.*v=spf1 -all"),
    "mx-elsewhere": Expected(
        "The mail of every domain is led to our servers",
        "example.net.*elsewhere",
        also=("The new server may send for every domain",),
    ),
    "mx-is-an-alias": Expected("Every mail exchanger is a name with an address", "must not be an alias"),
    "updates-refused": Expected("The records can be changed on the evening", "bcher-kva.*REFUSED"),
    "address-on-a-blocklist": Expected(
        "No blocklist names the new server", "203.0.113.30 on blocklist.*127.0.0.4.*spam was seen"
    ),
    "address-on-a-blocklist-over-ipv6": Expected("No blocklist names the new server", "2001:db8:113::30 on blocklist"),
    "ptr-missing": Expected(
        "The new server's addresses have names that lead back to them", "PTR of 203.0.113.30.*no such"
    ),
    "ptr-of-the-provider": Expected(
        "The new server's addresses have names that lead back to them", "static-30.provider.example", sample=True
    ),
    "helo-name-nowhere": Expected("The new server introduces itself by a name of its own", "mail2.example.local"),
    "spf-without-new": Expected("The new server may send for every domain", "example.net.*fail", sample=True),
    "spf-too-many-lookups": Expected("The new server may send for every domain", "more than 10 DNS lookups"),
    "spf-lets-everybody-send": Expected("Every domain says what to do with forged mail", r"stranger.*\+all"),
    "dmarc-misspelt": Expected("Every domain says what to do with forged mail", "quarantene"),
    "dkim-record-of-another-key": Expected("The world knows the keys that sign", "another key", sample=True),
    "dkim-record-of-other-days": Expected("The world knows the keys that sign", "with sha1 only"),
    "dkim-selector-map-lost": Expected("Every key that signs today is found", "dkim_selectors.map", also=("85_dkim",)),
    "dkim-signing-off": Expected("The new server is ready to sign what people send", "signing module.*not set up"),
    "milter-macros-lost": Expected("The new server is ready to sign what people send", "milter_mail_macros"),
    "dkim-key-unreadable": Expected("Receivers can verify what the new server signs", "_rspamd.*refused"),
    "selector-map-forgotten": Expected("Receivers can verify what the new server signs", "though there is"),
    "dkim-key-not-published": Expected(
        "Receivers can verify what the new server signs", "2026112401._domainkey.*no such"
    ),
    "domain-without-its-key": Expected(
        "Letters are believed where they arrive",
        "example.org.*not signed",
        also=("The postmaster of every domain can be reached",),
    ),
    "sts-policy-unreachable": Expected(
        "A promise to encrypt holds after the switch too", "mta-sts.example.net.*not trusted"
    ),
    "tlsa-of-an-old-key": Expected("Published keys are the ones that are shown", "3 1 1"),
    "caa-forbids-all": Expected("The certificate may be issued", "nobody may issue"),
    "srv-to-a-dead-port": Expected("Mail programs find the servers by themselves", "465.*refused"),
    "autoconfig-gone": Expected("Mail programs find the servers by themselves", r"settings at .*not trusted"),
    "tls-reports-nowhere": Expected("Reports on encryption have somewhere to go", "mailto"),
    "no-postmaster": Expected("The postmaster of every domain can be reached", "abuse@example.org.*nobody"),
    "old-signs-by-another-program": Expected(
        "Every key that signs today is found", "mail signed by opendkim its keys are not carried over"
    ),
    "old-is-a-name-server": Expected(
        "The name servers stay when the old server goes",
        r"ns3\.example\.net is the old server",
        also=("90_dns", "85_dkim"),
    ),
    "dkim-record-in-testing": Expected("The world knows the keys that sign", r"marked as a trial \(t=y\)"),
    "address-of-nobody": Expected(
        "The new server introduces itself by a name of its own",
        "2001:db8:113::99, also an address of mail2.example.org",
        also=("A renewal would succeed today", "90_dns"),
    ),
    "backup-mx-refuses": Expected(
        "Other mail exchangers help in the downtime",
        r"mx\.elsewhere\.example .*RCPT TO:<.*@example\.net>: 5\d\d",
        also=("A promise to encrypt holds after the switch too",),
    ),
    "backup-mx-of-nobody": Expected(
        "Other mail exchangers help in the downtime", r"backup\.example\.org .*No route to host"
    ),
}
