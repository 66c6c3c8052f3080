"""A server's Dovecot with what the guide does not have, people who use it, and all that they see of it."""

from __future__ import annotations

import json
from typing import Any

from mailmove.server import Server
from tests.lab.mailboxes import Bench

SET_UP = r"""
set -e; umask 022
mkdir -p /etc/dovecot/virtual/All /etc/dovecot/crypt /var/lib/dovecot/db /var/vmail/public
printf '*\n  all\n' > /etc/dovecot/virtual/All/dovecot-virtual
if [ -n "$1" ]; then printf %s "$1" | base64 -d | tar -C /etc/dovecot/crypt -x; else
    openssl ecparam -name prime256v1 -genkey 2>/dev/null | openssl pkey -out /etc/dovecot/crypt/private.pem
    openssl pkey -in /etc/dovecot/crypt/private.pem -pubout -out /etc/dovecot/crypt/public.pem
fi
chown -R vmail: /etc/dovecot/crypt /var/lib/dovecot/db /var/vmail/public; chmod 700 /etc/dovecot/crypt /var/vmail/public
cat > /etc/dovecot/conf.d/99-other.conf
systemctl restart dovecot
"""
SETTINGS = """
mail_plugins = quota zlib acl virtual mail_crypt
mail_attribute_dict = file:%h/dovecot-attributes
protocol lmtp {
  mail_plugins = quota sieve zlib acl virtual mail_crypt
}
protocol imap {
  mail_plugins = quota imap_quota imap_sieve zlib imap_zlib acl imap_acl virtual mail_crypt
  imap_metadata = yes
}
namespace inbox {
  separator = /
}
namespace public {
  type = public
  separator = /
  prefix = Public/
  location = maildir:/var/vmail/public:INDEXPVT=~/Maildir/public
  subscriptions = no
  list = yes
}
namespace shared {
  type = shared
  separator = /
  prefix = shared/%%u/
  location = maildir:%%h/Maildir:INDEXPVT=~/Maildir/shared/%%u
  subscriptions = no
  list = children
}
namespace virtual {
  separator = /
  prefix = virtual/
  location = virtual:/etc/dovecot/virtual:INDEX=~/virtual
  list = yes
  subscriptions = no
}
plugin {
  acl = vfile
  acl_anyone = allow
  acl_shared_dict = file:/var/lib/dovecot/db/shared-mailboxes.db
  zlib_save = gz
  mail_crypt_curve = secp521r1
  mail_crypt_save_version = 0
  mail_crypt_global_private_key = </etc/dovecot/crypt/private.pem
}
"""
OWNER, READER, WRITER = "alice@example.org", "bob@example.org", "john@example.org"
PEOPLE = (OWNER, READER, WRITER)

# Runs on old: people use all of it, by IMAP and LMTP, and the admin changed how letters are stored in the course of the years.
USE = r"""
import imaplib, json, smtplib, subprocess, sys, time
passwords = json.loads(sys.stdin.readline()); alice, bob, john = sorted(passwords)
def login(user):
    imap = imaplib.IMAP4("localhost"); imap.login(user, passwords[user]); return imap
def ask(imap, what, *args):
    kind, data = getattr(imap, what)(*args)
    assert kind == "OK", (what, args, data)
    return data
def text(subject):
    head = "From: a@elsewhere.example\r\nSubject: %s\r\nMessage-ID: <%d@x>" % (subject, time.time_ns())
    return ("%s\r\n\r\n%s\r\n" % (head, subject * 300)).encode()
def save(user, folder, subject, *options):
    more = [word for option in options for word in ("-o", option)]
    subprocess.run(["doveadm", *more, "save", "-u", user, "-m", folder], input=text(subject), check=True)
with open("/var/vmail/public/dovecot-acl", "w") as acl:
    acl.write("user=%s lrwstipekxa\n" % john)
subprocess.run(["chown", "vmail:", "/var/vmail/public/dovecot-acl"], check=True)
a, b, j = login(alice), login(bob), login(john)
for folder in ("Team", "Team/Inner", "Packed", "Locked"):
    ask(a, "create", folder)
for folder in ("Team", "Team/Inner"):
    for number in range(3):
        ask(a, "append", folder, r"(\Flagged)", None, text("packed %d" % number))
    ask(a, "setacl", folder, bob, "lrswi")
for how in ("gz", "xz", "zstd", ""):
    save(alice, "Packed", "stored as %s" % (how or "it is"), "plugin/zlib_save=" + how)
save(alice, "Locked", "with keys of her own", "plugin/mail_crypt_save_version=2", "plugin/zlib_save=")
save(alice, "Locked", "with keys of her own, packed", "plugin/mail_crypt_save_version=2")
key = "plugin/mail_crypt_global_public_key=" + open("/etc/dovecot/crypt/public.pem").read()
save(alice, "Locked", "with the key of all", "plugin/mail_crypt_save_version=2", key)
for folder in ("Public/News", "Public/News/Old"):
    ask(j, "create", folder)
    for number in range(3):
        ask(j, "append", folder, None, None, text("for all %d" % number))
    ask(j, "setacl", folder, "authenticated", "lrs")
    ask(j, "setacl", folder, bob, "lrsi")
for folder in ("shared/%s/Team" % alice, "Public/News"):
    ask(b, "select", folder)
    ask(b, "uid", "store", "2", "+FLAGS", r"(\Seen)")
    ask(b, "subscribe", folder)
    ask(b, "unselect")
for imap, where, entry, value in (
    (b, "INBOX", "/private/comment", "mine"), (a, "Team", "/shared/comment", "ours"), (a, '""', "/private/vendor/x/y", "settings")
):
    ask(imap, "xatom", "SETMETADATA", where, "(%s \"%s\")" % (entry, value))
with smtplib.LMTP("/var/spool/postfix/private/dovecot-lmtp") as lmtp:
    lmtp.sendmail("a@elsewhere.example", [alice], text("delivered"))
for each in (a, b, j):
    each.logout()
"""

# After the first copy
ONCE_MORE = r"""
import imaplib, json, sys
passwords = json.loads(sys.stdin.readline()); alice, bob, john = sorted(passwords)
b = imaplib.IMAP4("localhost"); b.login(bob, passwords[bob])
for folder in ("shared/%s/Team" % alice, "Public/News"):
    b.select(folder); assert b.uid("store", "3", "+FLAGS", r"(\Seen)")[0] == "OK"; b.unselect()
assert b.xatom("SETMETADATA", "INBOX", '(/private/vendor/late "later")')[0] == "OK"
b.logout()
a = imaplib.IMAP4("localhost"); a.login(alice, passwords[alice])
assert a.setacl("Packed", bob, "lr")[0] == "OK"; a.logout()
j = imaplib.IMAP4("localhost"); j.login(john, passwords[john])
assert j.append("Public/News", None, None, b"Subject: for all, late\r\n\r\nbody\r\n")[0] == "OK"; j.logout()
"""

# Runs on either: all that these people see, folder by folder and letter by letter.
LOOK = r"""
import hashlib, imaplib, json, re, sys
imaplib._MAXLINE = 10000000
passwords = json.loads(sys.stdin.readline())
found = {}
for user in sorted(passwords):
    imap = imaplib.IMAP4("localhost"); imap.login(user, passwords[user])
    seen = found[user] = {}
    names = sorted(re.search(rb'" "?(.*?)"?$', line).group(1).decode() for line in imap.list()[1])
    seen["subscribed"] = sorted(line.decode() for line in imap.lsub()[1] if line and b"Junk" not in line)
    seen["quota"] = [line.decode() for each in imap.getquotaroot("INBOX")[1] for line in each if line]
    for name in ["", *names]:
        told = seen["folder " + name] = {}
        for entry in ("/private", "/shared"):
            imap.xatom("GETMETADATA", "(DEPTH infinity)", '"%s"' % name, "(%s)" % entry)
            told[entry] = repr(sorted(map(repr, imap.response("METADATA")[1])))
        if not name:
            continue
        rights = imap.getacl('"%s"' % name)
        told["acl"] = [repr(rights) if rights[0] == "OK" else rights[0], repr(imap.myrights('"%s"' % name))]
        kind, data = imap.select('"%s"' % name, readonly=True)
        told["select"] = [kind, repr(imap.response("UIDVALIDITY")[1]) if not name.startswith("virtual/") else ""]
        if kind == "OK":
            data = imap.uid("fetch", "1:*", "(FLAGS BODY.PEEK[])")
            told["letters"] = [data[0]]
            for each in data[1]:
                if isinstance(each, tuple):
                    uid, flags = re.search(rb"UID (\d+)", each[0]), re.search(rb"FLAGS \(([^)]*)\)", each[0])
                    subject = re.search(rb"(?im)^subject: *(.*)", each[1])
                    number = uid.group(1).decode() if not name.startswith("virtual/") else ""
                    told["letters"].append([number, sorted(flags.group(1).decode().replace("\\Recent", "").split()),
                        subject.group(1).decode("utf-8", "replace").strip() if subject else "", hashlib.sha256(each[1]).hexdigest()[:16]])
            told["letters"][1:] = sorted(told["letters"][1:], key=repr)
            imap.unselect()
    imap.logout()
print(json.dumps(found))
"""


def passwords(bench: Bench) -> str:
    everybody = json.loads((bench.lab.home / "lab.json").read_text())["users"]["users"]
    return json.dumps({each["email"]: each["password"] for each in everybody if each["email"] in PEOPLE}) + "\n"


def set_up(server: Server, keys: str = "", settings: str = SETTINGS) -> None:
    """Dovecot with compressed and encrypted letters, public, shared and virtual folders; ``keys``: of another server."""
    server.sh(SET_UP, keys, stdin=settings, check=True)
    server.refresh()


def keys_of(server: Server) -> str:
    return server.sh("tar -C /etc/dovecot/crypt -c . | base64 -w0", check=True).out


def use(bench: Bench) -> None:
    bench.context.old.run("python3", "-c", USE, stdin=passwords(bench), check=True)


def use_once_more(bench: Bench) -> None:
    bench.context.old.run("python3", "-c", ONCE_MORE, stdin=passwords(bench), check=True)


def seen(bench: Bench, server: Server) -> dict[str, dict[str, Any]]:
    """User -> what they see."""
    found: dict[str, dict[str, Any]] = json.loads(
        server.run("python3", "-c", LOOK, stdin=passwords(bench), check=True).out
    )
    return found


def unlike(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """What people see otherwise."""
    return {
        f"{user} {name} {key}": (mine, theirs)
        for user in old
        for name in sorted({*old[user], *new[user]})
        for key, mine, theirs in _pairs(old[user].get(name), new[user].get(name))
        if mine != theirs
    }


def _pairs(one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        return [(key, one.get(key), other.get(key)) for key in sorted({*one, *other})]
    return [("", one, other)]
