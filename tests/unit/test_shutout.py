"""Whom a server shuts out, by what its fail2ban and firewall print; and who is told so."""

from __future__ import annotations

import pytest

from checks import shutout
from mailmove.errors import Unreachable
from mailmove.evidence import Evidence, Examination, Verdict
from mailmove.remote import shutout as remote
from mailmove.server import Server

US, US6, OLD = "203.0.113.40", "2001:db8:113::40", "203.0.113.20"

NFT = """\
table inet f2b-table {
	set addr-set-dovecot {
		type ipv4_addr
		elements = { 198.51.100.7, 203.0.113.40,
				198.51.100.9 }
	}

	set addr6-set-dovecot {
		type ipv6_addr
		flags interval
		elements = { 2001:db8:113::/64 }
	}

	set office {
		type ipv4_addr
		flags interval,timeout
		elements = { 203.0.113.1-203.0.113.30 timeout 1h expires 9m }
	}

	chain f2b-chain {
		type filter hook input priority filter - 1; policy accept;
		tcp dport { 110, 143, 993 } ip saddr @addr-set-dovecot reject with icmp port-unreachable
		tcp dport { 110, 143, 993 } ip6 saddr @addr6-set-dovecot reject with icmpv6 port-unreachable
		tcp dport 22 ip saddr != @office drop
		tcp dport 25 ct state new meter callers size 65535 { ip saddr limit rate over 20/minute burst 10 packets } drop
		tcp dport 25 ip saddr 203.0.113.40 counter packets 3 bytes 180 accept
		ip saddr { 203.0.113.20, 198.51.100.0/24 } counter packets 0 bytes 0 drop
	}
}
"""


def test_nft_is_read_with_its_sets() -> None:
    shut, often = remote.nft(NFT, [US, US6, OLD])

    assert [(address, rule.split(" saddr ")[1][:22]) for address, rule in shut] == [
        (US, "@addr-set-dovecot reje"),
        (US6, "@addr6-set-dovecot rej"),
        (OLD, "{ 203.0.113.20, 198.51"),
    ]
    assert len(often) == 1
    assert "limit rate over 20/minute" in often[0]


def test_iptables_is_read_with_what_counts() -> None:
    text = """\
*filter
:INPUT DROP [0:0]
-A INPUT -s 203.0.113.40/32 -p tcp -m tcp --dport 993 -j REJECT --reject-with icmp-port-unreachable
-A INPUT ! -s 203.0.113.0/24 -p tcp -j DROP
-A INPUT -s 203.0.113.0/24 -j ACCEPT
-A INPUT -p tcp -m set --match-set blocked src -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --rsource
-A ufw-user-input -p tcp -m tcp --dport 22 -m recent --update --seconds 30 --hitcount 6 --rsource -j ufw-user-limit
-A ufw-user-limit -m limit --limit 3/min -j LOG
-A ufw-user-limit -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""

    shut, often = remote.iptables(text, [US, OLD], lambda name, address: (name, address) == ("blocked", OLD))

    assert [address for address, _ in shut] == [US, OLD]
    assert [line.split("--hitcount ")[1][:1] for line in often] == ["6"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["203.0.113.40"], True),
        (["203.0.113.0/24"], True),
        (["203.0.113.1-203.0.113.50"], True),
        (["203.0.113.4", "mail.example.org", "", "-", "2001:db8::/32"], False),
        (["0.0.0.0/0"], True),
        (["::/0"], False),
    ],
)
def test_an_address_is_in_what_covers_it(texts: list[str], expected: bool) -> None:
    assert remote.covered(US, texts) is expected


def test_the_addresses_in_fail2bans_answers_are_found() -> None:
    said = "These IP addresses/networks are ignored:\n|- 127.0.0.0/8\n|- ::1\n`- 2001:db8:113::/64\n"

    assert remote.listed(said) == ["127.0.0.0/8", "::1", "2001:db8:113::/64"]
    assert remote.listed("No IP address/network is ignored") == []
    assert remote.listed("   `- Banned IP list:\t203.0.113.40 198.51.100.7") == [US, "198.51.100.7"]


# the evidence


def seen(role: str = "new", **said: object) -> shutout.Look:
    server = Server(role, "root@nowhere.invalid", None)  # type: ignore[arg-type]
    whole = {"client": US, "jails": {}, "shut_out": [], "limits": [], "watchers": [], **said}
    return shutout.Look(server, whole, {US: shutout.HERE, OLD: "the old server"})


def jail(*, ignored: tuple[str, ...] = (), banned: tuple[str, ...] = ()) -> dict[str, object]:
    return {"maxretry": 3, "findtime": 600, "bantime": -1, "ignored": list(ignored), "banned": list(banned)}


def test_who_is_shut_out_is_told_by_what_and_how_to_end_it() -> None:
    found = seen(jails={"dovecot": jail(banned=(US,))}, shut_out=[[US, "fail2ban's jail dovecot"]])

    evidence = shutout.nobody_is_shut_out([found, seen("old")])

    assert evidence.verdict is Verdict.FAILED
    assert "dovecot (3 failures within 10 min: shut out for good)" in evidence.explain()
    assert f"on the new server: fail2ban-client unban {US}" in evidence.hint
    assert shutout.nobody_is_shut_out([seen(), seen("old")]).verdict is Verdict.PASSED


@pytest.fixture
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutout, "postfix_limits", lambda *_: {})


@pytest.mark.usefixtures("no_limits")
def test_who_may_be_shut_out_is_advised_only() -> None:
    jails = {"sshd": jail(ignored=(US,)), "dovecot": jail()}

    evidence = shutout.nobody_will_be([seen(jails=jails)])

    assert evidence.holds
    assert evidence.verdict is Verdict.FAILED
    assert f"for jail in dovecot; do for address in {US}; do fail2ban-client set $jail addignoreip" in evidence.hint


@pytest.mark.usefixtures("no_limits")
def test_whom_mailmove_has_ignored_needs_no_advice() -> None:
    jails = {"sshd": jail(ignored=(US,)), "dovecot": jail(ignored=(US,))}

    evidence = shutout.nobody_will_be([seen(jails=jails)], [("dovecot", US)])

    assert evidence.verdict is Verdict.PASSED
    ours, theirs = (next(f.answer for f in evidence.findings if f.asked.startswith(who)) for who in (US, OLD))
    assert ours == "ignored by sshd, dovecot as long as mailmove is at work"
    assert theirs == "watched by dovecot until it hands letters on: then mailmove has it ignored"


@pytest.mark.usefixtures("no_limits")
def test_where_nothing_watches_there_is_nothing_to_advise() -> None:
    evidence = shutout.nobody_will_be([seen("old"), seen()])

    assert evidence.verdict is Verdict.PASSED


def test_postfix_networks_are_read() -> None:
    assert shutout._is_among(US6, "127.0.0.0/8 [::1]/128 [2001:db8:113::]/64")
    assert shutout._is_among(US, "127.0.0.0/8, 203.0.113.40")
    assert not shutout._is_among(US, "127.0.0.0/8 hash:/etc/postfix/friends")


# why nobody answered


def failed(answer: str) -> Evidence:
    exam = Examination("It answers", "new", hint="start it")
    exam.expect("port 993", answer, good=False)
    return exam.close()


Looks = tuple[shutout.Look, ...]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Looks]:
    """What both servers answer, the next time they are asked; empty if they are not to be asked."""
    answers: list[Looks] = []

    def look_at_both(*_: Server) -> Looks:
        if not answers:
            raise Unreachable("the new server cannot be reached by ssh", "try it")
        return answers.pop()

    monkeypatch.setattr(shutout, "look_at_both", look_at_both)
    return answers


OLD_SERVER, NEW_SERVER = seen("old").server, seen().server


def test_what_was_not_answered_names_who_shut_us_out(asked: list[Looks]) -> None:
    asked.append((seen("old"), seen(jails={"dovecot": jail(banned=(US,))}, shut_out=[[US, "fail2ban's jail dovecot"]])))
    evidence = [failed("refused"), failed("ECONNREFUSED: no"), failed("535 no")]

    first, second, third = shutout.explained(evidence, OLD_SERVER, NEW_SERVER)

    for each in (first, second):
        assert f"the new server shuts out {US} (this machine): fail2ban's jail dovecot (3" in each.explain()
        assert f"fail2ban-client unban {US}" in each.hint
    assert third == failed("535 no")


def test_who_is_shut_out_elsewhere_is_no_cause(asked: list[Looks]) -> None:
    looks = (seen("old", shut_out=[[US, "its firewall: drop"]]), seen(shut_out=[[OLD, "its firewall: drop"]]))
    asked += [looks, looks]
    from_old = Examination("Old reaches new", "old")
    from_old.expect("connect to port 25", "timed out", good=False)

    assert shutout.explained([failed("refused")], OLD_SERVER, NEW_SERVER) == (failed("refused"),)
    (evidence,) = shutout.explained([from_old.close()], OLD_SERVER, NEW_SERVER)
    assert f"the new server shuts out {OLD} (the old server): its firewall: drop" in evidence.explain()


def test_nobody_is_asked_when_everybody_answered() -> None:
    evidence = (failed("refused: 535 5.7.8"),)

    assert shutout.explained(evidence, OLD_SERVER, NEW_SERVER) == evidence  # there is no way to these servers


@pytest.mark.usefixtures("asked")
def test_a_server_that_cannot_be_asked_either_is_told_so() -> None:
    (evidence,) = shutout.explained([failed("silent for 4 s")], OLD_SERVER, NEW_SERVER)

    assert "cannot be asked by ssh any more either" in evidence.explain()
    assert "console" in evidence.hint


def test_postfix_own_limit_is_named() -> None:
    said = "421 4.7.0 mail.example.org Error: too many connections from 203.0.113.40"

    (evidence,) = shutout.explained([failed(said)], OLD_SERVER, NEW_SERVER)

    assert "smtpd_client_event_limit_exceptions" in evidence.hint
    assert evidence.hint.endswith("start it")
