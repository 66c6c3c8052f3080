"""Asks rspamd's controller, its log and its Redis. Changes nothing."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

CONTROLLERS = ("http://127.0.0.1:11334", "http://[::1]:11334")
LOG_BYTES = 8000000  # of the log's end


def controller(path):
    """The controller's answer as JSON, or {"problem": why there is none}."""
    problem = ""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for base in CONTROLLERS:
        try:
            with opener.open(base + path, timeout=10) as answer:
                return json.loads(answer.read().decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            return {"problem": "%s%s: %d %s" % (base, path, error.code, error.reason)}
        except (OSError, ValueError) as error:
            problem = problem or "%s%s: %s" % (base, path, error)
    return {"problem": problem}


def log_lines(words, names):
    """The log's last lines with all of these words."""
    found = []
    for name in names:
        try:
            with open(name, "rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - LOG_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            continue
        found += [line for line in lines if all(word in line for word in words)]
    return found[-5:]


def stat(wanted):
    return controller("/stat")


def seen(wanted):
    """What rspamd says about a letter, by its Message-ID without brackets."""
    known = wanted["message_id"]
    history = controller("/history")
    rows = history.get("rows", []) if isinstance(history, dict) else []
    rows = [
        {
            "action": row.get("action", ""),
            "score": row.get("score", 0),
            "ip": row.get("ip", ""),
            "user": row.get("user", ""),
            "symbols": sorted(row.get("symbols", {})),
        }
        for row in rows
        if row.get("message-id") == known
    ]
    problem = history.get("problem", "") if isinstance(history, dict) else ""
    return {"rows": rows, "problem": problem, "log": log_lines([known], ["/var/log/rspamd/rspamd.log"])}


def configdump(*sections):
    argv = ["rspamadm", "configdump", *sections]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.exit("rspamadm configdump: %s" % error)
    return done.stdout.decode("utf-8", "replace")


def web_password(wanted):
    """The password of the web pages, where it is kept as it is; empty where it is kept as a hash."""
    match = re.search(r'^\s*password\s*=\s*"([^"]*)"', configdump("worker"), re.M)
    return {"password": match.group(1) if match and not match.group(1).startswith("$") else ""}


def servers():
    """The Redis servers that rspamd's configuration names, and the password."""
    text = configdump("redis", "classifier")
    found = []
    for value in re.findall(r"^\s*(?:read_|write_)?servers\s*=\s*(.+?);?\s*$", text, re.M):
        for server in re.findall(r"[^\s\",\[\]]+", value):
            if server not in found:
                found.append(server)
    match = re.search(r'^\s*password\s*=\s*"([^"]*)"', text, re.M)
    return found, match.group(1) if match else ""


def ask_redis(server, password, *words):
    """What redis-cli prints. The password travels by the environment."""
    host, _, port = server.rpartition(":") if re.search(r"[^:]:\d+$", server) else (server, "", "6379")
    where = ["-s", server] if server.startswith("/") else ["-h", host, "-p", port]
    env = dict(os.environ, REDISCLI_AUTH=password) if password else None
    argv = ["redis-cli", *where, *words]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, env=env)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout.decode("utf-8", "replace").strip()


def redis(wanted):
    """What each Redis server answers to PING."""
    found, password = servers()
    return {server: ask_redis(server, password, "ping") for server in found}


SETTINGS = ("save", "appendonly", "maxmemory", "maxmemory-policy")
SAVED_S = 30


def keeping(wanted):
    """server -> whether what is in it would be there after a restart: its settings, and how saving ends now."""
    found, password = servers()
    return {server: kept(server, password) for server in found}


def kept(server, password):
    settings = {}
    for name in SETTINGS:
        lines = ask_redis(server, password, "config", "get", name).splitlines()
        settings[name] = (lines[1] if len(lines) > 1 else "") if lines[:1] == [name] else None
    saved = persistence(server, password)
    if settings["save"] and saved.get("rdb_bgsave_in_progress") == "0":
        ask_redis(server, password, "bgsave")
        saved = persistence(server, password)
    end = time.monotonic() + SAVED_S
    while saved.get("rdb_bgsave_in_progress") == "1" and time.monotonic() < end:
        time.sleep(0.05)
        saved = persistence(server, password)
    return {"settings": settings, "saved": saved}


def persistence(server, password):
    lines = ask_redis(server, password, "info", "persistence").splitlines()
    return dict(line.strip().split(":", 1) for line in lines if ":" in line)


def learnt(wanted):
    """How many letters Redis holds as learnt. rspamd itself tells old numbers: it looks them up once in a while only.

    With "until" ({symbol: number}) it waits, at most "time_s", until there are as many. The answer names the Redis server
    that needs no password, so that it need not be looked for again: "server" next time.
    """
    if wanted.get("server"):
        found, password = [wanted["server"]], ""
    else:
        found, password = servers()
    until, end = wanted.get("until", {}), time.monotonic() + wanted.get("time_s", 0)
    while True:
        counts = counted(found[0], password) if found else {}
        if time.monotonic() >= end or all(counts.get(symbol, 0) >= number for symbol, number in until.items()):
            return {"counts": counts, "server": found[0] if found and not password else ""}
        time.sleep(0.1)


def counted(server, password):
    counts = {}
    for symbol, field in (("BAYES_SPAM", "learns_spam"), ("BAYES_HAM", "learns_ham")):
        keys = ask_redis(server, password, "smembers", symbol + "_keys").split()
        values = [ask_redis(server, password, "hget", key, field) for key in keys]
        counts[symbol] = sum(int(value) for value in values if value.isdigit())
    return counts


def main():
    wanted = json.loads(sys.stdin.buffer.readline().decode())
    answers = {
        "stat": stat,
        "seen": seen,
        "redis": redis,
        "keeping": keeping,
        "learnt": learnt,
        "web_password": web_password,
    }
    print(json.dumps(answers[wanted["do"]](wanted)))


main()
