"""What breaks about certificates and encryption."""

from mailmove.lab.breakages.base import Breakage

_RESTART = "systemctl restart postfix dovecot apache2"
_SITE = 'site=$(ls /etc/apache2/sites-available/*-https.conf); keep "$site"'


def _renewed_for(how_long: str) -> str:
    """Renew with a CA that issues for so long only (arguments of a timedelta), and wait until the clock has gone on by
    five seconds: what is valid for less has run out then.
    """
    return f"""
keep /etc/letsencrypt
python3 - <<'END'
import datetime, time
from acme import messages
from certbot import main

plain = messages.NewOrder.to_partial_json
until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta({how_long})
messages.NewOrder.to_partial_json = lambda self: dict(plain(self), notAfter=until.strftime("%Y-%m-%dT%H:%M:%SZ"))
main.main(["renew", "--force-renewal", "--quiet", "--no-random-sleep-on-renew"])
time.sleep(5)
END
"""


BREAKAGES: dict[str, Breakage] = {
    "wrong-certificate": Breakage(
        "new",
        "openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=wrong.example"
        " -keyout /etc/ssl/private/wrong.key -out /etc/ssl/certs/wrong.pem 2>/dev/null;"
        " postfix_setting smtpd_tls_cert_file=/etc/ssl/certs/wrong.pem smtpd_tls_key_file=/etc/ssl/private/wrong.key",
        "Postfix shows a self-signed certificate of another name",
        mend="systemctl reload postfix; rm /etc/ssl/private/wrong.key /etc/ssl/certs/wrong.pem",
    ),
    "chain-incomplete": Breakage(
        "new",
        f"{_SITE}; sed -i 's/fullchain.pem/cert.pem/' \"$site\"; systemctl reload apache2",
        "Apache shows the certificate without the one of its issuer",
        mend="systemctl reload apache2",
    ),
    "renewed-dovecot-not-told": Breakage(
        "new",
        "keep /etc/letsencrypt; certbot renew --quiet --force-renewal --no-random-sleep-on-renew"
        " --post-hook 'systemctl restart postfix apache2'",
        "the certificate was renewed, and Dovecot was not told",
        mend=_RESTART,
    ),
    "certificate-key-readable": Breakage(
        "new",
        "keep /etc/letsencrypt; chmod -R o+rX /etc/letsencrypt",
        "everybody may read certbot's directory, for some monitoring",
    ),
    "certificate-key-of-another": Breakage(
        "new",
        f"{_SITE}; keep /etc/ssl/private/other.key; openssl genpkey -algorithm RSA -out /etc/ssl/private/other.key"
        " 2>/dev/null; sed -i 's,SSLCertificateKeyFile .*,SSLCertificateKeyFile /etc/ssl/private/other.key,' \"$site\"",
        "Apache was given another key; it goes on with the right one until its next start",
    ),
    "certificate-runs-out": Breakage(
        "new", _renewed_for("days=5"), "the certificate is valid for five more days only", mend=_RESTART
    ),
    "certificate-ran-out": Breakage(
        "new", _renewed_for("seconds=2"), "the certificate has run out, and nobody noticed", mend=_RESTART
    ),
    "renewal-timer-off": Breakage(
        "new",
        "systemctl disable -q --now certbot.timer",
        "certbot's timer was switched off",
        mend="systemctl enable -q --now certbot.timer",
    ),
    "hook-forgets-dovecot": Breakage(
        "new",
        "keep /etc/letsencrypt/cli.ini; sed -i '/^post-hook/s/ dovecot//' /etc/letsencrypt/cli.ini",
        "the hook of the renewal does not tell Dovecot",
    ),
    "web-root-moved": Breakage(
        "new",
        "site=$(ls /etc/apache2/sites-available/*-http.conf); keep \"$site\"; sed -i 's,DocumentRoot .*,DocumentRoot /srv,'"
        ' "$site"; systemctl reload apache2',
        "Apache's web root was moved: the CA's question finds no answer",
        mend="systemctl reload apache2",
    ),
    "dovecot-plaintext": Breakage(
        "new",
        "dovecot_setting 'disable_plaintext_auth = no\nssl = yes'",
        "Dovecot takes passwords without encryption, for an old mail program",
        mend="doveadm reload",
    ),
    "submission-plaintext": Breakage(
        "new",
        "keep /etc/postfix/master.cf; postconf -P submission/inet/smtpd_tls_security_level=may"
        " submission/inet/smtpd_tls_auth_only=no; systemctl reload postfix",
        "submission takes passwords without encryption, for a scanner",
        mend="systemctl reload postfix",
    ),
    "dovecot-outdated-tls": Breakage(
        "new",
        "dovecot_setting 'ssl_min_protocol = TLSv1\nssl_cipher_list = ALL:@SECLEVEL=0'",
        "Dovecot speaks TLS 1.0, for an old Outlook",
        mend="doveadm reload",
    ),
    "newest-encryption-only": Breakage(
        "new",
        "dovecot_setting 'ssl_min_protocol = TLSv1.3'",
        "Dovecot speaks TLS 1.3 and nothing older, as a page about safe servers had it",
        mend="doveadm reload",
    ),
    "servers-newest-encryption-only": Breakage(
        "new",
        "postfix_setting 'smtpd_tls_protocols=>=TLSv1.3' 'smtpd_tls_mandatory_protocols=>=TLSv1.3'",
        "Postfix speaks TLS 1.3 and nothing older",
        mend="systemctl reload postfix",
    ),
    "certificate-of-the-name-to-move": Breakage(
        "new",
        "dovecot_setting 'local_name mail.example.org {\n ssl_cert = </etc/ssl/certs/ssl-cert-snakeoil.pem\n "
        "ssl_key = </etc/ssl/private/ssl-cert-snakeoil.key\n}'",
        "for the name that is to move Dovecot has a certificate of its own from a trial, which nobody trusts",
        mend="doveadm reload",
    ),
    "networks-trusted-with-passwords": Breakage(
        "new",
        "dovecot_setting 'login_trusted_networks = 203.0.113.0/24 2001:db8:113::/48'",
        "Dovecot trusts a whole network, for a proxy that once was there: who calls from it may log in without encryption",
        mend="doveadm reload",
    ),
}
