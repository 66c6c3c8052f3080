"""fail2ban's files for the time that one server hands letters on to the other."""

import configparser

from mailmove.moves import jails

DUMPED = """\
['set', 'syslogsocket', 'auto']
['add', 'sshd', 'systemd']
['set', 'sshd', 'addignoreip', '127.0.0.1/8']
['add', 'postfix', 'auto']
['set', 'postfix', 'usedns', 'warn']
['set', 'postfix', 'addignoreip', '127.0.0.1/8', 'friend.example']
['set', 'postfix', 'addignoreip', '::1']
['add', 'recidive', 'auto']
['multi-set', 'postfix', 'addfailregex', ['^%(x)s$', "a'b"]]
['start', 'postfix']
WARNING something of no interest
"""
OLD = ["203.0.113.20", "2001:db8:113::20"]


def test_jails_for_mail_are_known_with_whom_they_ignore() -> None:
    assert jails.for_mail(DUMPED) == {"postfix": ["127.0.0.1/8", "friend.example", "::1"], "recidive": []}


def test_whom_they_ignored_they_go_on_to_ignore() -> None:
    written = configparser.ConfigParser()
    written.read_string(jails.text({"postfix": ["127.0.0.1/8", "odd%name", OLD[0]], "recidive": []}, OLD))

    assert written["postfix"]["ignoreip"].split() == ["127.0.0.1/8", "odd%name", *OLD]
    assert written["recidive"]["ignoreip"].split() == OLD
