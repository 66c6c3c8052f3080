"""Somebody out there: writes to a server as other mail servers do, and looks into the probes' mailboxes afterwards."""

from __future__ import annotations

import functools
import ipaddress
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from mailmove.clients import imap, letters, smtp
from mailmove.clients.account import Account
from mailmove.clients.tls import DISTRUST, NotTrusted, Trust
from mailmove.errors import MailmoveError, SettingsError
from mailmove.evidence import Examination
from mailmove.migration import Probes
from mailmove.progress import Deadline
from mailmove.server import Server

T = TypeVar("T")

ARRIVAL_S = 20.0  # a letter that was taken is in its mailbox within this time
LOG_AFTER_S = 4.0  # a letter that is not there by then is looked for in the log
TAKING_S = 45.0  # how long a sender that is put off goes on trying
SUBMISSION = {"submission": 587, "587": 587}
SUBMISSIONS = {"submissions": 465, "smtps": 465, "465": 465}

BRIEF_S = 5.0  # how long is waited for a host that kept us waiting in vain before
PATIENCE_S = (
    120.0  # how long is waited at one door, or for letters to one host, in a whole run: then each wait is brief
)

# Doors (a host and a port) at which we were put off for as long as we tried, and hosts where a letter did not arrive. What comes
# next is tried once and waited for briefly: waiting as long for each letter again would tell nothing new.
_PUT_US_OFF: set[tuple[str, int]] = set()
_LOST_A_LETTER: set[str] = set()

# How long we waited there. A server that takes one letter and puts off the next (its database hangs up on it) would keep a run
# waiting anew for each.
_WAITED: Counter[tuple[str, int] | str] = Counter()


def _learn(places: set[T], place: T, *, good: bool) -> None:
    (places.discard if good else places.add)(place)


_GREYLISTED = ("; if this is greylisting, run it again in five minutes, when this sender is known", "")

# Most of a log is somebody else's mail: only the lines of this letter, by the queue ids it had, and of what came of it.
_LOG = r"""
lines() {
    if [ -r /var/log/mail.log ]; then tail -n 50000 /var/log/mail.log
    else journalctl -q -o short-iso -n 50000 SYSLOG_FACILITY=2 2>/dev/null; fi
}
lines > "${TMPDIR:-/tmp}/mailmove-log.$$" && trap 'rm -f "${TMPDIR:-/tmp}/mailmove-log.$$"' EXIT
log="${TMPDIR:-/tmp}/mailmove-log.$$"
ids=$(grep -F -e "$1" "$log" | sed -nE 's/.*postfix[^:]*: ([0-9A-Za-z]{6,}): .*/\1/p' | sort -u)
ids="$ids $(for id in $ids; do grep -F -e " $id: " "$log"; done | sed -nE 's/.*notification: ([0-9A-Za-z]{6,})$/\1/p')"
{ grep -F -e "$1" "$log"; for id in $ids; do grep -F -e " $id: " "$log"; done; } | awk '!seen[$0]++' | tail -n 12
"""


@dataclass(frozen=True)
class Outside:
    """The outside of ``server``: where it is reached from there, and as whom one writes."""

    server: Server
    settings: Probes

    @property
    def trust(self) -> Trust:
        """Whom one takes for the server out there."""
        return self.server.trust

    @property
    def sender(self) -> str:
        return self.settings.sender

    @functools.cached_property
    def name(self) -> str:
        """The server's own name, for which its certificate is made out."""
        name = self.server.setting("myhostname")
        return name if "." in name else self.server.facts.fqdn or name

    @functools.cached_property
    def addresses(self) -> dict[str, str]:
        """``IPv4`` and ``IPv6`` -> the address at which the outside reaches the server."""
        found = {_family(self.server.address): self.server.address}
        for address in self.server.facts.addresses:
            if is_public(address):
                found.setdefault(_family(address), address)
        return found

    def no_way(self, family: str) -> str:
        """Why the server cannot be asked over ``family`` from here; empty if it can."""
        if family not in self.addresses:
            return f"the {self.server.role} server has no public {family} address"
        return smtp.can_reach(self.addresses[family])

    def port(self, names: dict[str, int]) -> int:
        """The port of the first of these services (as master.cf names them) that the server offers; 0 if none."""
        offered = {service.partition("/")[0].rpartition(":")[2] for service in self.server.facts.services}
        return next((port for name, port in names.items() if name in offered), 0)

    def call(
        self,
        recipients: Sequence[str],
        letter: letters.Letter | None = None,
        *,
        sender: str | None = None,
        family: str = "",
        tls: smtp.Tls = "opportunistic",
        options: Sequence[str] = (),
        declare_size: bool = True,
        questions: Sequence[str] = (),
        time_s: float = smtp.TIME_S,
    ) -> smtp.Call:
        """A letter from outside, or with none only the question whether the recipients would be taken."""
        return smtp.Call(
            self.addresses[family] if family else self.server.address,
            tls=tls,
            name=self.name,
            trust=self.trust,
            sender=self.sender if sender is None else sender,
            recipients=recipients,
            message=letter.data if letter else None,
            options=options,
            declare_size=declare_size,
            questions=questions,
            time_s=time_s,
        )

    def submit(
        self,
        login: Account | None,
        recipients: Sequence[str] = (),
        letter: letters.Letter | None = None,
        *,
        sender: str | None = None,
        tls: smtp.Tls = "starttls",
        port: int = 587,
    ) -> smtp.Call:
        """A letter as somebody's mail program hands it in; ``sender`` None ends after the login."""
        return smtp.Call(
            self.server.address,
            port,
            tls=tls,
            name=self.name,
            trust=self.trust,
            login=login,
            sender=sender,
            recipients=recipients,
            message=letter.data if letter else None,
        )

    @contextmanager
    def mailbox(self, account: Account) -> Iterator[imap.Mailbox]:
        """The mailbox of a probe, by IMAP."""
        with imap.login(self.server.address, account, name=self.name, trust=self.trust) as box:
            yield box

    @property
    def no_mailbox_elsewhere(self) -> str:
        """Why nobody can look whether letters arrive elsewhere; empty if somebody can."""
        named = self.settings
        if named.recipient and named.imap_host and named.imap_user and named.imap_password_file:
            return ""
        return (
            "no mailbox elsewhere is named in mailmove.toml: probes.recipient, imap_host, imap_user, imap_password_file"
        )

    @contextmanager
    def mailbox_elsewhere(self) -> Iterator[imap.Mailbox]:
        """The mailbox elsewhere that mailmove.toml names. Raises SettingsError, ImapError."""
        file = self.settings.imap_password_file
        assert file is not None
        try:
            password = file.read_text("utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"{file} cannot be read: {error.strerror}", "correct probes.imap_password_file in mailmove.toml"
            ) from None
        account = Account(self.settings.imap_user, password)
        with imap.login(self.settings.imap_host, account, trust=Trust(self.settings.ca_file)) as box:
            yield box

    @property
    def soft_bounce(self) -> bool:
        """Whether refusals are temporary for now: the safety net of the evening."""
        return self.server.run("postconf", "-hx", "soft_bounce").out.strip() == "yes"

    def refusal(self, code: int) -> tuple[int, ...]:
        """The codes by which a refusal for good is known: while the safety net is set, Postfix makes 4xx of 5xx."""
        return (code, code - 100) if self.soft_bounce else (code,)


def ways_in(outside: Outside) -> list[tuple[int, smtp.Tls]]:
    """Ports on which people send, and how TLS begins there."""
    ways: list[tuple[int, smtp.Tls]] = []
    if port := outside.port(SUBMISSION):
        ways.append((port, "starttls"))
    if port := outside.port(SUBMISSIONS):
        ways.append((port, "implicit"))
    return ways


@dataclass(frozen=True)
class Posted:
    """A letter that was sent, whose mailbox it must come to, and what the server said."""

    letter: letters.Letter
    account: Account
    attempts: smtp.Attempts

    @property
    def taken(self) -> bool:
        return self.attempts.conversation.taken


def post(items: Sequence[tuple[letters.Letter, Account, smtp.Call]]) -> list[Posted]:
    """Send letters, all in flight at once, trying again what is only put off."""
    calls = [call for _, _, call in items]
    doors = {(call.host, call.port) for call in calls}
    impatient = any(door in _PUT_US_OFF or _WAITED[door] >= PATIENCE_S for door in doors)
    began = time.monotonic()
    attempts = smtp.deliver_all(calls, 0 if impatient else TAKING_S)
    waited = round(time.monotonic() - began)
    _WAITED.update({(e.conversation.call.host, e.conversation.call.port): waited for e in attempts if e.put_off})
    for each in attempts:
        talk = each.conversation
        _learn(_PUT_US_OFF, (talk.call.host, talk.call.port), good=not talk.put_off)
    return [Posted(letter, account, each) for (letter, account, _), each in zip(items, attempts, strict=True)]


def expect_taken(exam: Examination, posted: Iterable[Posted], asked: str = "a letter from outside") -> bool:
    """Write down whether the letters were taken; what nobody answered to is unknown, not refused."""
    good = True
    for each in posted:
        talk = each.attempts.conversation
        to = ", ".join(f"<{recipient}>" for recipient in talk.call.recipients)
        good = expect(exam, f"{asked} to {to}", each.attempts, talk.taken, "250 queued") and good
    return good


def expect(exam: Examination, asked: str, answer: smtp.Attempts | smtp.Conversation, good: bool, expected: str) -> bool:
    """Write down what a server answered. A server that could not be asked is unknown, one that is not there failed."""
    talk = answer.conversation if isinstance(answer, smtp.Attempts) else answer
    known = f", known by its own certificate: {talk.distrust}" * bool(talk.distrust)
    where = f"{asked} ({talk.call.host} port {talk.call.port}{known})"
    if isinstance(answer, smtp.Attempts) and talk.put_off and not good:
        exam.unknown(where, f"still put off: {answer.words}{_GREYLISTED[not talk.of('DATA')]}")
        return False
    if talk.trouble and "no connection" in talk.trouble:
        exam.unknown(where, f"{talk.trouble}: a provider may block this port; try from a machine that may send mail")
        return False
    if talk.trouble.startswith(DISTRUST):
        exam.unknown(where, f"{talk.trouble}: nothing was asked; mend the certificate first")
        return False
    return exam.expect(where, answer.words, good, expected)


def went_wrong(exam: Examination, asked: str, error: MailmoveError, expected: str) -> None:
    """Write down what kept a client from its work. Where somebody else may have answered nothing was asked: unknown."""
    if isinstance(error, NotTrusted):
        exam.unknown(asked, error.fact)
    else:
        exam.expect(asked, error.fact, False, expected)


def expect_arrived(
    exam: Examination,
    outside: Outside,
    posted: Sequence[Posted],
    *,
    unchanged: bool = True,
    seconds: float = ARRIVAL_S,
) -> dict[str, list[tuple[str, int]]]:
    """Write down that each letter that was taken came to its mailbox exactly once, with its content ``unchanged``.

    Returns where each was found: mark -> folders and UIDs.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    host = outside.server.address
    if host in _LOST_A_LETTER or _WAITED[host] >= PATIENCE_S:
        seconds = min(seconds, BRIEF_S)
    for account in dict.fromkeys(each.account for each in posted if each.taken):
        waited = [each for each in posted if each.account == account and each.taken]
        try:
            with outside.mailbox(account) as box:
                places = find_all(box, [each.letter.mark for each in waited], seconds, outside.server)
                found |= places
                _learn(_LOST_A_LETTER, host, good=all(places.values()))
                _WAITED[host] += 0 if all(places.values()) else round(seconds)
                for each in waited:
                    _expect_once(exam, outside, box, each, places[each.letter.mark], unchanged)
        except imap.ImapError as error:
            exam.unknown(f"the mailbox of {account.email} by IMAP", error.fact)
    return found


def _expect_once(
    exam: Examination,
    outside: Outside,
    box: imap.Mailbox,
    each: Posted,
    places: list[tuple[str, int]],
    unchanged: bool,
) -> None:
    words = ", ".join(f"{folder} (UID {uid})" for folder, uid in places)
    asked = f"the letter {each.letter.mark} in the mailbox of {each.account.email}"
    if not places:
        became = what_became_of(outside.server, each.letter.mark)
        words = f"not there; the server's log:\n{became or '(not a word about it)'}"
    exam.expect(asked, words, len(places) == 1, "there once")
    if unchanged and len(places) == 1:
        folder, uid = places[0]
        body = box.raw(uid, folder).partition(b"\r\n\r\n")[2]
        same = body == each.letter.body
        size = f"{len(body)} bytes" if same else f"{len(body)} bytes, other than the {len(each.letter.body)} sent"
        exam.expect("its content", f"{size}{', byte for byte as sent' if same else ''}", same, "byte for byte as sent")


def find_all(
    box: imap.Mailbox, marks: Sequence[str], seconds: float = ARRIVAL_S, server: Server | None = None
) -> dict[str, list[tuple[str, int]]]:
    """Where each mark is found, in whatever folders, once all have come or the time is over. mark -> (folder, UID).

    With ``server`` the waiting ends as well when its log says of each that is missing that it was put off or bounced.
    """
    missing = set(marks)
    for left in Deadline(seconds, every=0.1):
        missing = {mark for mark in missing if not _with_subject(box, mark, "INBOX")}
        if missing:  # the spam filter or a rule may have put it elsewhere
            missing = {mark for mark in missing if not _places(box, mark)}
        late = server is not None and seconds - left > LOG_AFTER_S
        if not missing or (late and server and all(given_up(server, mark) for mark in missing)):
            break
    return {mark: _places(box, mark) for mark in marks}


def given_up(server: Server, mark: str) -> bool:
    """Whether the log says that a letter is not on its way any more, or not for now."""
    return bool(re.search("status=(deferred|bounced)", what_became_of(server, mark)))


def _places(box: imap.Mailbox, mark: str) -> list[tuple[str, int]]:
    folders = [folder.name for folder in box.folders() if "\\Noselect" not in folder.flags]
    return [(folder, uid) for folder in folders for uid in _with_subject(box, mark, folder)]


def _with_subject(box: imap.Mailbox, mark: str, folder: str) -> list[int]:
    # Not anywhere in the text: Dovecot would have to read every letter for that, large ones too
    return box.search("HEADER", "Subject", mark, folder=folder)


def what_became_of(server: Server, mark: str) -> str:
    """The last lines of the mail log about a letter; empty if there are none."""
    return server.sh(_LOG, mark).out.strip()


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


_NOT_PUBLIC = [ipaddress.ip_network(ip) for ip in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128")]
_NOT_PUBLIC += [ipaddress.ip_network(ip) for ip in ("100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16")]
_NOT_PUBLIC += [ipaddress.ip_network(ip) for ip in ("fc00::/7", "fe80::/10")]


def is_public(address: str) -> bool:
    """Whether other machines may reach it. ``is_global`` says no to the documentation networks, which a lab uses."""
    ip = ipaddress.ip_address(address)
    return not any(ip in network for network in _NOT_PUBLIC if network.version == ip.version)
