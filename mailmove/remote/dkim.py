"""Looks how rspamd signs (DKIM) and at the keys of the domains named; prints one JSON object. Changes nothing.

A private key never leaves the machine: its public half is worked out here. With ``try`` each domain that has a key or
a selector is tried: rspamd is shown a letter of its postmaster, and asked how it would go out.
"""

import base64
import glob
import http.client
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import time

FILTER = ("127.0.0.1", 11333)  # rspamd's normal worker; it speaks HTTP
TIME_S = 20


def begin(*argv):
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def dumped(text):
    """The JSON in what configdump prints, behind the warnings."""
    for start in [m.start() for m in re.finditer(r"^\{", text, re.M)]:
        try:
            return json.loads(text[start:])
        except ValueError:
            continue
    return None


def read_map(value, problems):
    """The pairs of an rspamd map: lines in a file, or a list in the configuration."""
    if not value:
        return {}
    if isinstance(value, dict):
        return {str(k).lower(): str(v) for k, v in value.items()}
    if isinstance(value, list) and all(re.match(r"(fallback\+)?(file:/)?/", str(v)) for v in value):
        value = value[-1]  # the setting stands there twice
    lines = value if isinstance(value, list) else None
    if lines is None:
        path = re.sub(r"^(fallback\+)?file://", "", str(value))
        if not path.startswith("/"):
            problems.append("%s is no file: mailmove does not know this kind of map" % value)
            return {}
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError as error:
            problems.append("%s: %s" % (path, error.strerror))
            return {}
    pairs = {}
    for line in lines:
        words = re.sub(r"(^|\s)#.*", "", str(line)).replace('"', "").split()
        if len(words) >= 2:
            pairs[words[0].lower()] = words[1]
    return pairs


def one(value):
    """A setting that may stand there twice: the last one."""
    return str((value[-1] if isinstance(value, list) else value) or "")


def places(domain, config, selectors, paths):
    """(selector, path) pairs with which a domain's mail would be signed; the name that signs."""
    template = one(config.get("path"))
    labels = domain.split(".")
    # use_esld: mail of sub.example.org is signed as example.org
    names = [".".join(labels[i:]) for i in range(len(labels) - 1)] if config.get("use_esld", True) else [domain]
    for name in names or [domain]:
        own = (config.get("domain") or {}).get(name)
        if isinstance(own, list):
            own = own[0] if own else None
        if own:
            entries = own.get("selectors") or [own]
            entries = entries if isinstance(entries, list) else [entries]
            return name, [
                (
                    one(e.get("selector") or config.get("selector")) or "dkim",
                    one(e.get("path") or own.get("path")) or template,
                )
                for e in entries
            ]
        if name in selectors or name in paths:
            return name, [(selectors.get(name) or one(config.get("selector")) or "dkim", paths.get(name) or template)]
    return domain, [(one(config.get("selector")) or "dkim", template)] if config.get("try_fallback", True) else []


def others(template, name):
    """Keys that lie where the domain's key would, under other selectors."""
    pattern = template.replace("$domain", glob.escape(name)).replace("$selector", "*")
    return sorted(glob.glob(pattern))[:5] if "*" in pattern else []


def public(path):
    """Base64 of the key's public half as a DKIM record holds it, the kind, and what is wrong."""
    try:
        with open(path, "rb") as file:
            data = file.read(100000)
    except OSError as error:
        return "", "", error.strerror
    if b"-----BEGIN" not in data:
        try:
            raw = base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError:
            raw = b""
        if len(raw) == 64:  # libsodium: the seed, then the public key
            return base64.b64encode(raw[32:]).decode(), "ed25519", ""
        return "", "", "it is no PEM key"
    done = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if done.returncode:
        return "", "", done.stderr.decode("utf-8", "replace").strip()[:200]
    der = done.stdout
    if b"\x2b\x65\x70" in der[:16]:  # the object identifier of Ed25519 (RFC 8410): DKIM has the bare key (RFC 8463)
        return base64.b64encode(der[-32:]).decode(), "ed25519", ""
    return base64.b64encode(der).decode(), "rsa", ""


def readable_by(user, path):
    """Whether that user may open the file: tried by being it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            entry = pwd.getpwnam(user)
            os.initgroups(user, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            with open(path, "rb"):
                code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def trial(domain):
    """A letter of the domain's postmaster, who is logged in, as rspamd would let it out: base64, and what went wrong."""
    sender = "postmaster@" + domain
    stamp = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    fields = ("From: <%s>" % sender, "To: <%s>" % sender, "Date: " + stamp, "Subject: mailmove: is it signed?")
    letter = "\r\n".join((*fields, "Message-ID: <mailmove-trial@%s>" % domain, "", "Only a trial.", "")).encode()
    asked = {"From": sender, "Rcpt": sender, "User": sender, "IP": "127.0.0.1", "Flags": "no_stat"}
    connection = http.client.HTTPConnection(*FILTER, timeout=TIME_S)
    try:
        connection.request("POST", "/checkv2", letter, asked)
        said = json.loads(connection.getresponse().read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return "", "rspamd at port %d does not answer: %s" % (FILTER[1], error)
    finally:
        connection.close()
    marks = said.get("dkim-signature") or []
    marks = [marks] if isinstance(marks, str) else marks
    if not marks:
        return "", "rspamd does not sign it"
    head = "".join("DKIM-Signature: %s\r\n" % mark for mark in marks).encode()
    return base64.b64encode(head + letter).decode(), ""


def worker_user():
    """The user the filter's workers run as."""
    for entry in os.listdir("/proc"):
        try:
            with open("/proc/%s/comm" % entry) as file:
                if not file.read().startswith("rspamd"):
                    continue
            uid = os.stat("/proc/%s" % entry).st_uid
        except OSError:
            continue
        if uid:
            return pwd.getpwuid(uid).pw_name
    return "_rspamd"


SIGNERS = ("opendkim", "dkimproxy.out", "dkim-filter", "dkimpy-milter")


def signers():
    """Programs beside rspamd that sign, and run."""
    found = set()
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path) as file:
                found.add(file.read().strip())
        except OSError:
            continue  # it ended while we looked
    return sorted(found & {name[:15] for name in SIGNERS})


def main():
    arguments = json.loads(sys.stdin.readline())
    problems = []
    if not any(os.access(os.path.join(d, "rspamadm"), os.X_OK) for d in ("/usr/bin", "/usr/sbin", "/usr/local/bin")):
        nothing = {"installed": False, "valid": False, "said": "", "config": None, "keys": [], "problems": []}
        print(json.dumps({**nothing, "signers": signers()}))
        return
    asked = [begin("rspamadm", "configdump", "-j", "dkim_signing"), begin("rspamadm", "configtest")]
    (dump, _), (said, errors) = (process.communicate(timeout=50) for process in asked)
    config = dumped(dump.decode("utf-8", "replace"))
    user = worker_user()
    keys = []
    if config is not None and config.get("enabled", True):
        selectors, paths = read_map(config.get("selector_map"), problems), read_map(config.get("path_map"), problems)
        for domain in arguments["domains"]:
            name, found = places(domain.lower(), config, selectors, paths)
            for selector, template in found:
                path = template.replace("$domain", name).replace("$selector", selector)
                key = {
                    "domain": domain,
                    "signs_as": name,
                    "selector": selector,
                    "path": path,
                    "there": os.path.exists(path),
                }
                key["unused"] = [] if key["there"] else others(template, name)
                key["mapped"] = name in selectors or name in paths or name in (config.get("domain") or {})
                key["public"], key["kind"], key["problem"] = public(path) if key["there"] else ("", "", "")
                key["readable"] = key["there"] and readable_by(user, path)
                info = os.stat(path) if key["there"] else None
                key["mode"] = "%04o" % stat.S_IMODE(info.st_mode) if info else ""
                keys.append(key)
    trials = {}
    if arguments.get("try"):
        for domain in sorted({key["domain"] for key in keys if key["there"] or key["mapped"]}):
            trials[domain] = trial(domain)
    print(
        json.dumps(
            {
                "installed": True,
                "valid": asked[1].returncode == 0,
                "said": (said + errors).decode("utf-8", "replace").strip()[-400:],
                "config": config,
                "user": user,
                "keys": keys,
                "problems": problems,
                "trials": trials,
                "signers": signers(),
            }
        )
    )


main()
