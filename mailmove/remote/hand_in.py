"""Hands probe letters to Dovecot by LMTP, as Postfix does and with no more rights than it has, or to sendmail.

In: {"how": "lmtp", "user", "socket" or "host" and "port", "letters": [{"sender", "recipient", "letter" (base64)}...]} or
{"how": "sendmail", "letters": [...]}. Out: {"code", "text"} for each letter, in order: the answer to its content (250) or
to its recipient (550), 0 where it did not come to an answer; for sendmail its exit status.
"""

import base64
import grp
import json
import os
import pwd
import smtplib
import socket
import subprocess
import sys


class Unix(smtplib.LMTP):
    """LMTP by a unix socket; before 3.12 smtplib loses the reason when that fails."""

    def connect(self, host="localhost", port=0, source_address=None):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.file = None
        self.sock.connect(host)
        return self.getreply()


def become(name):
    """Lay down root's rights: what Postfix may not do must fail here too."""
    person = pwd.getpwnam(name)
    os.setgroups([group.gr_gid for group in grp.getgrall() if name in group.gr_mem])
    os.setgid(person.pw_gid)
    os.setuid(person.pw_uid)


def answer(code, text):
    return {"code": code, "text": text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)}


def lmtp(wanted, letter):
    data = base64.b64decode(letter["letter"])
    try:
        if "socket" in wanted:
            client = Unix(wanted["socket"])
        else:
            client = smtplib.LMTP(wanted["host"], wanted["port"], timeout=20)
        with client:
            refused = client.sendmail(letter["sender"], [letter["recipient"]], data)
        for code, text in refused.values():
            return answer(code, text)
        return answer(250, "taken")
    except smtplib.SMTPRecipientsRefused as error:
        return answer(*next(iter(error.recipients.values())))
    except smtplib.SMTPResponseException as error:
        return answer(error.smtp_code, error.smtp_error)
    except (OSError, smtplib.SMTPException) as error:
        return answer(0, "%s (asked as %s)" % (error, wanted["user"]))


def sendmail(wanted, letter):
    data = base64.b64decode(letter["letter"]).replace(b"\r\n", b"\n")
    argv = ["/usr/sbin/sendmail", "-i", "-f", letter["sender"], "--", letter["recipient"]]
    try:
        done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return answer(1, error)
    return answer(done.returncode, done.stdout)


def main():
    wanted = json.loads(sys.stdin.buffer.readline().decode())
    if wanted["how"] == "lmtp":
        become(wanted["user"])
    for letter in wanted["letters"]:
        print(json.dumps({"lmtp": lmtp, "sendmail": sendmail}[wanted["how"]](wanted, letter)))


if __name__ == "__main__":
    main()
