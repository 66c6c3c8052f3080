"""Looks at a server's certificates, at who serves them, and at rspamd's signing keys. Changes nothing.

Private keys are opened only to see whether they are there and whole; nothing of them is printed.
"""

import calendar
import glob
import grp
import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import time

LIVE = "/etc/letsencrypt/live"
trouble = []


def run(*argv, data=None):
    try:
        done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def certificate(path):
    """{names, ends (seconds since 1970), fingerprint, key} of a PEM file's first certificate; None if it has none.

    key is a digest of its public key.
    """
    what = ("-enddate", "-fingerprint", "-sha256", "-ext", "subjectAltName", "-pubkey")
    rc, out, err = run("openssl", "x509", "-in", path, "-noout", *what)
    if "ingerprint=" not in out:
        return None
    end = re.search(r"notAfter=(.*?) GMT", out).group(1)
    return {
        "names": re.findall(r"DNS:([^,\s]+)", out),
        "ends": calendar.timegm(time.strptime(end, "%b %d %H:%M:%S %Y")),
        "fingerprint": re.search(r"ingerprint=([0-9A-F:]+)", out).group(1).replace(":", "").lower(),
        "key": digest(re.search(r"-----BEGIN PUBLIC KEY-----.*-----END PUBLIC KEY-----\n", out, re.S).group()),
    }


def whole(path):
    """Whether the last certificate in a PEM file comes to its end."""
    with open(path, "rb") as file:
        return file.read().rstrip().endswith(b"-----END CERTIFICATE-----")


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def renewal(name):
    """The settings of renewal/NAME.conf that say how it will be renewed."""
    found, section, webroots = {}, "", {}
    try:
        with open("/etc/letsencrypt/renewal/%s.conf" % name, errors="replace") as lines:
            for line in lines:
                line = line.strip()
                if line.startswith("["):
                    section = line.strip("[]")
                key, equals, value = (part.strip() for part in line.partition("="))
                if equals and section == "webroot_map":
                    webroots[key] = value.rstrip(",")
                elif equals and section == "renewalparams":
                    found[key] = value
    except OSError:
        return {}
    keep = ("authenticator", "installer", "webroot_path", "pre_hook", "post_hook", "renew_hook", "server", "account")
    return dict({key: found[key] for key in keep if key in found}, webroots=webroots)


def lineages():
    found = {}
    for directory in sorted(glob.glob(LIVE + "/*/")):
        name = directory.rstrip("/").rpartition("/")[2]
        about = certificate(directory + "fullchain.pem")
        key = public_half(directory + "privkey.pem")
        if about is None or not key:
            trouble.append("%s: no certificate or no key in it" % directory.rstrip("/"))
            continue
        if key != about.pop("key") or not whole(directory + "fullchain.pem"):
            trouble.append("%s: the key is another one's, or the chain breaks off" % directory.rstrip("/"))
            continue
        found[name] = dict(about, links=os.path.islink(directory + "fullchain.pem"), renewal=renewal(name))
    return found


def setting(*argv):
    rc, out, err = run(*argv)
    return out.strip() if rc == 0 else ""


def vhosts():
    """Apache's enabled virtual hosts: names, port, certificate, web root, whether Roundcube is in it, file and text."""
    found = []
    for path in sorted(glob.glob("/etc/apache2/sites-enabled/*")):
        try:
            with open(path, errors="replace") as file:
                text = file.read()
        except OSError as error:
            trouble.append(str(error))
            continue
        for match in re.finditer(r"^[ \t]*<VirtualHost\s+([^>]*)>(.*?)^[ \t]*</VirtualHost>", text, re.S | re.M | re.I):
            block = match.group(2)

            def values(word, block=block):
                return re.findall(r"^[ \t]*%s[ \t]+(.+?)[ \t]*$" % word, block, re.M | re.I)

            cert = values("SSLCertificateFile")
            found.append(
                {
                    "file": path,
                    "ports": re.findall(r":(\d+)", match.group(1)),
                    "names": [n.strip('"') for v in values("ServerName") + values("ServerAlias") for n in v.split()],
                    "certificate": cert[0].strip('"') if cert else "",
                    "roundcube": "roundcube" in block.lower(),
                    "root": (values("DocumentRoot") or [""])[0].strip('"'),
                    "text": match.group(0),
                }
            )
    return found


def served():
    """{service: certificate file}."""
    # asked for alone, ssl_cert is answered with the file's content
    match = re.search(r"^ssl_(?:server_)?cert(?:_file)? = <?\s*(\S+)", setting("doveconf", "-n"), re.M)
    return {"postfix": setting("postconf", "-hx", "smtpd_tls_cert_file"), "dovecot": match.group(1) if match else ""}


def about_file(path):
    try:
        info = os.stat(path)
    except OSError:
        return {"there": False}
    try:
        owner, group = pwd.getpwuid(info.st_uid).pw_name, grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        owner, group = str(info.st_uid), str(info.st_gid)
    return {"there": True, "owner": owner, "group": group, "mode": "%04o" % stat.S_IMODE(info.st_mode)}


def public_half(path):
    """A digest of the public key that belongs to a private one; empty if it cannot be read."""
    rc, out, err = run("openssl", "pkey", "-in", path, "-pubout")
    return digest(out) if rc == 0 else ""


def map_lines(setting_value):
    """{domain: value} of a selector_map or path_map that is a plain file."""
    path = re.sub(r"^(file|regexp|glob)://", "", str(setting_value or ""))
    found = {}
    if path.startswith("/"):
        try:
            with open(path, errors="replace") as lines:
                for line in lines:
                    words = line.split("#")[0].split()
                    if len(words) >= 2:
                        found[words[0].lower()] = words[1]
        except OSError as error:
            trouble.append(str(error))
    return path if path.startswith("/") else "", found


def signing():
    """rspamd's DKIM signing: its settings, and (domain, selector, key file) for each domain it has a key for."""
    rc, out, err = run("rspamadm", "configdump", "-j", "dkim_signing")
    if rc or "{" not in out:
        return {"there": False, "keys": []}
    try:
        config = json.loads(out[out.index("{") :])
    except ValueError as error:
        trouble.append("rspamadm configdump dkim_signing: %s" % error)
        return {"there": False, "keys": []}
    config = config.get("dkim_signing", config)
    template = str(config.get("path", "") or "/var/lib/rspamd/dkim/$domain.$selector.key")
    default = str(config.get("selector", "dkim"))
    selectors_file, selectors = map_lines(config.get("selector_map"))
    paths_file, paths = map_lines(config.get("path_map"))
    arguments["domains"] += [d for d in list(selectors) + list(paths) if d not in arguments["domains"]]
    per_domain = config.get("domain") or {}
    keys = []
    for domain in arguments["domains"]:
        blocks = per_domain.get(domain) or {}
        if isinstance(blocks, dict):
            blocks = blocks.get("selectors", [blocks]) if blocks else [{}]
        for block in blocks if isinstance(blocks, list) else [blocks]:
            selector = str(block.get("selector") or selectors.get(domain) or default)
            path = str(block.get("path") or paths.get(domain) or template)
            path = path.replace("$domain", domain).replace("$selector", selector)
            if "selector" in block or domain in selectors or domain in paths or os.path.exists(path):
                keys.append(
                    dict(about_file(path), domain=domain, selector=selector, path=path, public=public_half(path))
                )
    return {
        "there": True,
        "template": template,
        "selector_map": selectors_file,
        "path_map": paths_file,
        "selectors": selectors,
        "enabled": config.get("enabled", True),
        "keys": keys,
    }


arguments = {"domains": []}


def main():
    arguments.update(json.loads(sys.stdin.readline()))
    print(
        json.dumps(
            {
                "lineages": lineages(),
                "served": served(),
                "vhosts": vhosts(),
                "signing": signing(),
                "accounts": sorted(glob.glob("/etc/letsencrypt/accounts/*/*/*")),
                "hooks": sorted(glob.glob("/etc/letsencrypt/renewal-hooks/*/*")),
                "trouble": trouble,
            }
        )
    )


if __name__ == "__main__":
    main()
