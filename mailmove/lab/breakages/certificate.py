"""What breaks about certificates and encryption."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {
    "wrong-certificate": Breakage(
        "new",
        "openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=wrong.example"
        " -keyout /etc/ssl/private/wrong.key -out /etc/ssl/certs/wrong.pem 2>/dev/null;"
        " postfix_setting smtpd_tls_cert_file=/etc/ssl/certs/wrong.pem smtpd_tls_key_file=/etc/ssl/private/wrong.key",
        "Postfix shows a self-signed certificate of another name",
        mend="systemctl reload postfix; rm /etc/ssl/private/wrong.key /etc/ssl/certs/wrong.pem",
    ),
}
