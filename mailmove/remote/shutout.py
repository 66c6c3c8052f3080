"""Looks whom this machine shuts out, and what would make it do so: fail2ban, the firewall, Postfix' limits. One JSON object.

In: one line of JSON {"addresses": whom to look for; the address ssh came from is added, "lease": seconds, or 0}.
Out: {"client": where ssh came from, "jails": name -> {"maxretry", "findtime", "bantime", "ignored", "banned"}, "shut_out": [[address,
by what]], "limits": [rules that shut out whoever comes too often], "watchers": [others at work], "spared": [[jail, address]]}.

Without a lease it changes nothing. With one it has every jail of fail2ban ignore these addresses ("spared") until its input ends,
or nothing came for so long: this is told to the running fail2ban, stands in no file, and is taken back when this program is gone,
however it went.
"""

import configparser
import ipaddress
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time

LINGER_S = 2.0  # fail2ban reads a log up to a second after it was written
PROMPT = "fail2ban> "
TRUST = "/etc/fail2ban/jail.d/zz-mailmove-trust.local"
LIMITS = ("maxretry", "findtime", "bantime")
WATCHERS = ("crowdsec", "sshguard", "denyhosts")


def run(*argv, data=None):
    """(exit status, standard output); 127 if there is no such program, 124 if it took too long."""
    try:
        done = subprocess.run(
            argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=False
        )
    except FileNotFoundError:
        return 127, ""
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, done.stdout.decode("utf-8", "replace")


def covered(address, texts):
    """Whether one of the texts names the address, or a network or range that it is in."""
    wanted = ipaddress.ip_address(address)
    for text in texts:
        first, dash, last = text.strip().partition("-")
        try:
            if dash:
                low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
                if low.version == wanted.version and low <= wanted <= high:
                    return True
                continue
            network = ipaddress.ip_network(first, strict=False)
        except ValueError:
            continue  # a name, or a port
        if network.version == wanted.version and wanted in network:
            return True
    return False


# fail2ban


def fail2ban(*commands):
    """What the running fail2ban says to each command. One client for all: each takes as long to start as a hundred answers."""
    if not commands or not shutil.which("fail2ban-client"):
        return []
    _, out = run("fail2ban-client", "-i", data="".join(each + "\n" for each in (*commands, "quit")).encode())
    answers = out.split(PROMPT)[1:]
    return answers[: len(commands)] if len(answers) > len(commands) else []


def listed(text):
    """The addresses and networks in an answer."""
    return re.findall(r"(?<![\w.:])(?:[0-9a-fA-F]*:[0-9a-fA-F:.]+|\d+\.\d+\.\d+\.\d+)(?:/\d+)?(?![\w.:])", text)


def jail_names():
    said = fail2ban("status")
    found = re.search(r"Jail list:[ \t]*(.*)", said[0]) if said else None
    return [name for name in re.split(r"[,\s]+", found.group(1).strip()) if name] if found else []


def jails(addresses):
    names = jail_names()
    questions = ["status", *("get {} " + limit for limit in LIMITS), "get {} ignoreip"]
    said = fail2ban(*((q.format(name) if "{}" in q else q + " " + name) for name in names for q in questions))
    found = {}
    for name, answers in zip(names, zip(*[iter(said)] * len(questions))):
        banned = listed(answers[0].partition("Banned IP list:")[2])
        jail = {
            "ignored": [each for each in addresses if covered(each, listed(answers[-1]))],
            "banned": [each for each in addresses if covered(each, banned)],
        }
        for limit, answer in zip(LIMITS, answers[1:]):
            number = re.search(r"-?\d+", answer)
            jail[limit] = int(number.group()) if number else 0
        found[name] = jail
    return found


# The firewall


def nft_rules(text):
    """(table, rule) of each rule in what ``nft list ruleset`` prints, and set -> its elements."""
    rules, sets = [], {}
    text = re.sub(r"elements = \{([^{}]*)\}", lambda found: found.group().replace("\n", " "), text)
    table = name = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:1] in (["set"], ["map"]):
            name = words[1]
        elif words[:1] == ["elements"]:
            inner = line.partition("{")[2].rpartition("}")[0]
            sets[table, name] = [each.split()[0] for each in inner.split(",") if each.split()]
        elif words[:1] not in (["chain"], ["type"], ["}"], []):
            rules.append((table, " ".join(words)))
    return rules, sets


REFUSING = re.compile(r"\b(drop|reject)\b")
OFTEN = re.compile(r"\b(limit rate over|ct count over)\b")


def nft(text, addresses):
    """([address, rule] that shuts it out, rules that shut out whoever comes too often), by ``nft list ruleset``."""
    rules, sets = nft_rules(text)
    shut, often = [], []
    for table, rule in rules:
        if not REFUSING.search(rule):
            continue
        if OFTEN.search(rule):
            often.append(rule)
            continue
        for negated, name, several, one in re.findall(r"saddr (!= )?(?:@([\w.-]+)|\{([^}]*)\}|(\S+))", rule):
            texts = sets.get((table, name), []) if name else several.split(",") if several else [one]
            shut += [[each, rule] for each in addresses if not negated and covered(each, texts)]
    return shut, often


TOO_OFTEN = re.compile(r"-m recent .*--(update|rcheck)|--connlimit-above|--hashlimit-above")


def iptables(text, addresses, is_in):
    """The same by ``iptables-save``. ``is_in`` tells whether an ipset holds an address."""
    shut, often = [], []
    for line in text.splitlines():
        found = re.search(r" -j (\S+)", line)
        if not line.startswith("-A") or not found or found.group(1) in ("ACCEPT", "LOG", "RETURN", "NFLOG"):
            continue
        if TOO_OFTEN.search(line):
            often.append(line)
        elif found.group(1) in ("DROP", "REJECT"):
            source = re.search(r"(! )?-s (\S+)", line)
            named = re.search(r"(! )?--match-set (\S+) src", line)
            for each in addresses:
                by_source = source and not source.group(1) and covered(each, [source.group(2)])
                by_set = named and not named.group(1) and is_in(named.group(2), each)
                if by_source or by_set:
                    shut.append([each, line])
    return shut, often


def in_ipset(name, address):
    return run("ipset", "test", name, address)[0] == 0


def firewall(addresses):
    shut, often, tables = [], [], set()
    for program, family in (("iptables-save", "ip"), ("ip6tables-save", "ip6")):
        text = run(program)[1]
        if re.search("(?m)^-A", text):
            tables |= {family + " " + name for name in re.findall(r"(?m)^\*(\w+)", text)}
        found = iptables(text, addresses, in_ipset)
        shut, often = shut + found[0], often + found[1]
    # What iptables made in nftables is told by iptables
    parts = re.split(r"(?m)^(?=table )", run("nft", "list", "ruleset")[1])
    text = "".join(part for part in parts if " ".join(part.split()[1:3]) not in tables)
    found = nft(text, addresses)
    return shut + found[0], often + [rule for rule in found[1] if rule not in often]


def blackholes(addresses):
    found = []
    for kind in ("blackhole", "prohibit", "unreachable"):
        for family in ("-4", "-6"):
            for line in run("ip", family, "route", "show", "type", kind)[1].splitlines():
                words = line.split()
                if len(words) > 1 and words[1] != "default":
                    found += [[each, "the route " + line.strip()] for each in addresses if covered(each, [words[1]])]
    return found


def watchers():
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as file:
                found.add(file.read().strip())
        except OSError:
            continue
    return [name for name in WATCHERS if name in found]


def look(addresses):
    watched = jails(addresses)
    by_jail = [[each, "fail2ban's jail " + name] for name, jail in watched.items() for each in jail["banned"]]
    rules, limits = firewall(addresses)
    # What fail2ban put into the firewall is told by its jail
    known = {each for each, _ in by_jail}
    rules = [each for each in rules if not (each[0] in known and re.search("f2b|addr6?-set-", each[1]))]
    return {
        "jails": watched,
        "shut_out": by_jail + [[each, "its firewall: " + rule] for each, rule in rules] + blackholes(addresses),
        "limits": limits,
        "watchers": watchers(),
    }


# Sparing


def spare(watched, addresses):
    """Have each jail ignore the addresses it does not ignore yet; [jail, address] of those that were added."""
    wanted = [[name, each] for name, jail in watched.items() for each in addresses if each not in jail["ignored"]]
    said = fail2ban(*("set %s addignoreip %s" % (name, each) for name, each in wanted))
    return [each for each, answer in zip(wanted, said) if covered(each[1], listed(answer))]


def trusted():
    """{(jail, address)} of those that mailmove has ignored for as long as the other server hands letters on."""
    found = configparser.RawConfigParser()
    found.read(TRUST)
    return {(name, each) for name in found.sections() for each in found.get(name, "ignoreip", fallback="").split()}


def take_back(spared):
    kept = trusted()  # mailmove may run on the other server
    fail2ban(*("set %s delignoreip %s" % (name, each) for name, each in spared if (name, each) not in kept))


def hold(lease):
    """Until whoever asked goes away or falls silent."""
    while select.select([0], [], [], lease)[0]:
        if not os.read(0, 4096):
            return


def watched_over(spared, lease):
    """Hold, and have the addresses taken out again by a process that sees this one end, however it does."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        os.close(theirs)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.read(ours, 1)
        time.sleep(LINGER_S)
        take_back(spared)
        os._exit(0)
    os.close(ours)
    hold(lease)
    os.close(theirs)
    if os.waitpid(child, 0)[1]:
        take_back(spared)


def main():
    asked = json.loads(sys.stdin.buffer.readline())
    client = os.environ.get("SSH_CONNECTION", "").split(" ")[0].partition("%")[0]
    addresses = list(dict.fromkeys([*filter(None, [client]), *asked["addresses"]]))
    lease = asked.get("lease", 0)
    found = look(addresses)
    spared = spare(found["jails"], addresses) if lease else []
    print(json.dumps({"client": client, **found, "spared": spared}), flush=True)
    if spared:
        watched_over(spared, lease)


if __name__ == "__main__":
    main()
