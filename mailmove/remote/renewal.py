"""Rehearses the renewal of certificates with certbot's own --dry-run, in a copy of its directory: nothing of it stays.

Arguments: {"lineages": [names]}. A JSON line for each: {"lineage", "method", "status", "said", "seconds"}; status is null
where it was not tried, because that way of renewing changes something for the moment. No hook is run.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

CONFIG = "/etc/letsencrypt"
PREFIX = "mailmove-renewal-"
HARMLESS_METHODS = ("webroot",)  # others stop a service, or change Apache's settings or a zone while it lasts
PRODUCTION = "https://acme-v02.api.letsencrypt.org/"
TIME_S = 120


def copy(directory):
    """The copy of certbot's directory that is as good as the original: what names its own paths names the copy's."""
    config = os.path.join(directory, "config")
    shutil.copytree(CONFIG, config, symlinks=True)
    for path in glob.glob(config + "/renewal/*.conf"):
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(re.sub(r"(?m)^(\w+ = )%s/" % re.escape(CONFIG), r"\g<1>%s/" % config, text))
    return config


def rehearse(name, directory):
    config = os.path.join(directory, "config")
    try:
        with open("%s/renewal/%s.conf" % (config, name)) as file:
            settings = dict(re.findall(r"(?m)^(\w+)\s*=\s*(\S+)", file.read()))
    except OSError as error:
        return {"method": "", "status": 1, "said": str(error), "seconds": 0.0}
    method, server = settings.get("authenticator", ""), settings.get("server", "")
    if method not in HARMLESS_METHODS:
        return {"method": method, "status": None, "said": "", "seconds": 0.0}
    began = time.monotonic()
    command = ["certbot", "renew", "--dry-run", "--cert-name", name, "--non-interactive", "--no-random-sleep-on-renew"]
    command += ["--config-dir", config, "--work-dir", directory + "/work", "--logs-dir", directory + "/logs"]
    command += ["--no-directory-hooks", "--pre-hook", "true", "--post-hook", "true"]
    if not server.startswith(PRODUCTION):  # for that one, certbot itself knows where to rehearse
        command += ["--server", server]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIME_S
        )
    except subprocess.TimeoutExpired:
        return {"method": method, "status": 124, "said": "no end after %d s" % TIME_S, "seconds": float(TIME_S)}
    said = done.stdout.decode("utf-8", "replace").replace(directory, "")
    return {"method": method, "status": done.returncode, "said": said, "seconds": time.monotonic() - began}


def main():
    arguments = json.loads(sys.stdin.buffer.readline())
    place = "/run" if os.path.isdir("/run") else None
    for left in glob.glob("/run/%s*" % PREFIX):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    directory = tempfile.mkdtemp(prefix=PREFIX, dir=place)  # for root only: keys lie in it
    try:
        copy(directory)
        for name in arguments["lineages"]:
            json.dump(dict(rehearse(name, directory), lineage=name), sys.stdout)
            print(flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


main()
