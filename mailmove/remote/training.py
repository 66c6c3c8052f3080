"""Looks at what a spam filter has learned and where it is kept; with "save" Redis is told to write its dump, nothing else.

With "at": [host, port] of a Redis on this machine, it tells "learned" alone, if that Redis answers: rspamd is not asked then,
which takes longer than all the rest.

Passwords of Redis are found and used here and never leave the server.
"""

import glob
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

trouble = []


def run(*argv, env=None, quiet=False):
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=120,
            env=dict(os.environ, **(env or {})),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble.append("%s: %s" % (argv[0], error))
        return ""
    if done.returncode and not quiet:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        trouble.append("%s: exit status %d: %s" % (" ".join(argv)[:60], done.returncode, said[:200]))
    return done.stdout.decode("utf-8", "replace") if not done.returncode else ""


def configuration():
    """rspamd's effective configuration. All at once: it is made anew for every part that is asked for."""
    text = run("rspamadm", "configdump", "-j")
    try:
        return json.loads(text[text.index("{") :]) if "{" in text else {}
    except ValueError as error:
        trouble.append("rspamadm configdump: %s" % error)
        return {}


def classifier(config):
    """The Bayes classifier's settings, whatever rspamd calls it (bayes, or a list of several)."""
    found = config.get("classifier", {})
    if isinstance(found, list):
        found = found[0] if found else {}
    return found.get("bayes", found) if isinstance(found, dict) else {}


def place(servers):
    """(host, port) of the first server that is written to; a path is a socket."""
    if isinstance(servers, list):
        servers = servers[0] if servers else ""
    word = re.split(
        r"[,;\s]+", re.sub(r"^(master-slave|round-robin|random|sequential):", "", str(servers or "127.0.0.1"))
    )[0]
    if word.startswith("/"):
        return word, 0
    match = re.match(r"\[?([^\]]*?)\]?(?::(\d+))?$", word)
    return (match.group(1) or "127.0.0.1", int(match.group(2) or 6379)) if match else (word, 6379)


class Redis:
    """redis-cli with the password that its own configuration or rspamd's names, in the environment."""

    def __init__(self, host, port, password):
        self.where = ["-s", host] if host.startswith("/") else ["-h", host, "-p", str(port)]
        self.env = {"REDISCLI_AUTH": password} if password else {}

    def ask(self, *words):
        return run("redis-cli", *self.where, *words, env=self.env).strip()

    def config(self, name):
        lines = self.ask("config", "get", name).split("\n")
        return lines[1] if len(lines) > 1 else ""

    def info(self, part):
        pairs = (line.strip().partition(":") for line in self.ask("info", part).split("\n"))
        return {key: value for key, colon, value in pairs if colon}


def password(settings):
    for name in ("password", "write_password"):
        if isinstance(settings.get(name), str):
            return settings[name]
    for path in sorted(glob.glob("/etc/redis/*.conf")):
        try:
            with open(path, errors="replace") as lines:
                for line in lines:
                    match = re.match(r'\s*requirepass\s+"?([^"\s]+)"?', line)
                    if match:
                        return match.group(1)
        except OSError:
            continue
    return ""


def told_by_rspamd():
    """{symbol: how many letters were learned}; rspamd asks Redis for it once a minute only."""
    text = run("rspamc", "-j", "stat", quiet=True)
    try:
        files = json.loads(text[text.index("{") :]).get("statfiles", []) if "{" in text else []
        return {each["symbol"]: int(each["revision"]) for each in files if each.get("type") == "redis"}
    except (ValueError, KeyError):
        return {}


def learned(redis):
    """{symbol: how many letters were learned}, as Redis holds it now: one hash for each user who trains, RS for all."""
    found = {}
    for symbol, field in (("BAYES_SPAM", "learns_spam"), ("BAYES_HAM", "learns_ham")):
        names = [name for name in redis.ask("smembers", symbol + "_keys").split("\n") if name] or ["RS"]
        counts = [redis.ask("hget", name, field) for name in names[:1000]]
        found[symbol] = sum(int(count) for count in counts if count.isdigit())
    return found


def save(redis):
    """Have a fresh dump written without stopping anybody; where the fork fails, with a moment's stop."""
    before = redis.ask("lastsave")
    answer = redis.ask("bgsave")
    deadline = time.time() + 600
    while time.time() < deadline:
        state = redis.info("persistence")
        if state.get("rdb_bgsave_in_progress") == "0" and redis.ask("lastsave") != before:
            break
        if "started" not in answer.lower() and state.get("rdb_bgsave_in_progress") == "0":
            break
        if state.get("rdb_last_bgsave_status") == "err":
            break
        time.sleep(0.2)
    if redis.info("persistence").get("rdb_last_bgsave_status") != "ok" or redis.ask("lastsave") == before:
        time.sleep(1.1)  # lastsave counts in seconds
        if redis.ask("save") != "OK":
            sys.exit("Redis cannot write its dump: look at its log and at the free space of its directory")


def unit():
    for name in ("redis-server", "redis", "valkey-server", "valkey"):
        told = run("systemctl", "show", "-p", "Id,LoadState", name, quiet=True)
        if "LoadState=loaded" in told:
            return re.search(r"^Id=(.*)$", told, re.M).group(1)
    return ""


def main():
    arguments = json.loads(sys.stdin.readline())
    if arguments.get("at"):
        redis = Redis(*arguments["at"], password({}))
        if redis.ask("ping") == "PONG":
            print(json.dumps({"learned": learned(redis), "trouble": trouble}))
            return
        trouble.clear()  # its password may be in rspamd's settings
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(each) for each in (configuration, told_by_rspamd, unit)]
        config, told, name = (each.result() for each in asked)
    bayes, general = classifier(config), config.get("redis", {})
    settings = {**general, **(bayes if bayes.get("servers") or bayes.get("write_servers") else {})}
    host, port = place(settings.get("write_servers") or settings.get("servers"))
    backend = str(bayes.get("backend", "sqlite3" if bayes else ""))
    found = {
        "backend": backend,
        "host": host,
        "port": port,
        "unit": name,
        "local": host.startswith("/") or host in ("127.0.0.1", "::1", "localhost"),
        "per_user": str(bayes.get("users_enabled", bayes.get("per_user", False))).lower(),
        "sqlite": sorted(glob.glob("/var/lib/rspamd/*.sqlite")),
    }
    if backend == "redis" and found["local"]:
        redis = Redis(host, port, password(settings))
        if redis.ask("ping") != "PONG":
            trouble.append("Redis at %s does not answer" % host)
        else:
            before = learned(redis)
            if arguments.get("save"):
                save(redis)
            keyspace = redis.info("keyspace")
            numbers = [
                re.match(r"keys=(\d+),expires=(\d+)", value) for key, value in keyspace.items() if key.startswith("db")
            ]
            found.update(
                version=redis.info("server").get("redis_version", ""),
                dir=redis.config("dir"),
                file=redis.config("dbfilename"),
                aof=redis.config("appendonly"),
                aof_file=redis.config("appendfilename"),
                aof_dir=redis.config("appenddirname"),
                learned=learned(redis),
                stat=told,
                learned_before=before,
                keys=sum(int(n.group(1)) for n in numbers if n),
                expiring=sum(int(n.group(2)) for n in numbers if n),
            )
    elif backend == "redis":
        found["learned"] = told
    found["trouble"] = trouble
    print(json.dumps(found))


if __name__ == "__main__":
    main()
