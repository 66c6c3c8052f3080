"""Conversations with a server that answers by a script, on a real socket."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailmove.clients import smtp
from mailmove.clients.account import Account

HELLO = "250-there\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"
LETTER = b"Subject: x\r\n\r\n.a dot\r\nx\r\n"


class Peer:
    """A mail server that answers each command as told: a list is used up, its last answer is repeated."""

    def __init__(self, answers: dict[str, list[str]], greeting: str = "220 there") -> None:
        self.answers = {"EHLO": [HELLO], "DATA": ["354 go on"], ".": ["250 queued"], "QUIT": ["221 bye"]} | answers
        self.greeting = greeting
        self.heard: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as lines:
                self._talk(lines)

    def _talk(self, lines) -> None:  # type: ignore[no-untyped-def]
        try:
            lines.write(f"{self.greeting}\r\n".encode())
            lines.flush()
            while line := lines.readline().decode().strip():
                self.heard.append(line)
                verb = line.split(" ")[0]
                answer = self._answer(verb)
                if answer == "hang up":
                    return
                lines.write(answer.encode() + b"\r\n")
                lines.flush()
                if verb == "DATA" and answer.startswith("354"):
                    content = []
                    while (part := lines.readline()) not in (b".\r\n", b""):
                        content.append(part.decode())
                    self.heard.append("".join(content))
                    lines.write(self._answer(".").encode() + b"\r\n")
                    lines.flush()
        except OSError:
            pass

    def _answer(self, verb: str) -> str:
        script = self.answers.get(verb, ["250 ok"])
        return script.pop(0) if len(script) > 1 else script[0]


@contextmanager
def peer(greeting: str = "220 there", **answers: list[str]) -> Iterator[Peer]:
    server = Peer({"." if verb == "CONTENT" else verb: script for verb, script in answers.items()}, greeting)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.listening.shutdown(socket.SHUT_RDWR)
        server.listening.close()
        thread.join(5)


def call(server: Peer, **how: object) -> smtp.Call:
    values: dict[str, object] = {"sender": "a@x.example", "recipients": ["b@y.example"], "message": LETTER}
    return smtp.Call("127.0.0.1", server.port, tls="none", time_s=5, **(values | how))  # type: ignore[arg-type]


def test_a_letter_that_is_taken_was_said_whole() -> None:
    with peer() as server:
        talk = smtp.converse_all([call(server)])[0]

    assert talk.taken
    assert talk.words == "250 queued (to DATA)"
    assert f"MAIL FROM:<a@x.example> SIZE={len(LETTER)}" in server.heard
    assert "Subject: x\r\n\r\n..a dot\r\nx\r\n" in server.heard
    assert talk.size_limit == 1000


def test_a_refused_recipient_ends_before_the_content() -> None:
    with peer(RCPT=["550 5.1.1 nobody"]) as server:
        talk = smtp.converse_all([call(server)])[0]

    assert not talk.taken
    assert talk.refused_at == smtp.Reply("RCPT TO:<b@y.example>", 550, "5.1.1 nobody")
    assert not talk.put_off
    assert "DATA" not in server.heard


def test_every_recipient_is_asked_about_whatever_is_said_to_the_others() -> None:
    with peer(RCPT=["550 no", "250 yes", "450 later"]) as server:
        talk = smtp.converse_all([call(server, recipients=["a", "b", "c"], message=None)])[0]

    assert [reply.code for reply in talk.of("RCPT")] == [550, 250, 450]


def test_addresses_go_out_as_they_are_written() -> None:
    odd = ['"a b"@x.example', "@one.example:b@two.example", "a%b", "b!a", ""]
    with peer() as server:
        smtp.converse_all([call(server, recipients=odd, message=None)])

    assert [line for line in server.heard if line.startswith("RCPT")] == [f"RCPT TO:<{each}>" for each in odd]


def test_an_address_cannot_smuggle_a_command_in() -> None:
    with peer() as server, pytest.raises(ValueError, match="control character"):
        smtp.converse_all([call(server, recipients=["b@y.example>\r\nRCPT TO:<c@z.example"])])

    assert not any("c@z.example" in line for line in server.heard)


def test_a_password_is_not_kept() -> None:
    account = Account("anna@x.example", "sesame", exposed=True)
    with peer(AUTH=["535 5.7.8 no"]) as server:
        talk = smtp.converse_all([call(server, login=account)])[0]

    assert talk.words == "535 5.7.8 no (to AUTH PLAIN)"
    assert "sesame" not in repr(talk)
    assert "AHNlc2FtZQ" not in repr(talk)


def test_what_is_put_off_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "AGAIN_AFTER_S", 0.05)
    with peer(CONTENT=["451 4.7.1 greylisted", "451 4.7.1 greylisted", "250 queued"]) as server:
        attempts = smtp.deliver(call(server), 10)

    assert attempts.conversation.taken
    assert "put off 2 times, first with 451 4.7.1 greylisted" in attempts.words


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    with peer(CONTENT=["554 5.7.1 spam", "250 queued"]) as server:
        attempts = smtp.deliver(call(server), 10)

    assert attempts.put_off == ()
    assert attempts.conversation.refused_at == smtp.Reply("DATA", 554, "5.7.1 spam")


def test_a_server_that_is_set_up_wrongly_is_not_waited_for() -> None:
    with peer(RCPT=["451 4.3.5 Server configuration problem"]) as server:
        attempts = smtp.deliver(call(server), 10)

    assert not attempts.conversation.put_off
    assert attempts.put_off == ()


def test_a_login_that_fails_for_now_is_not_waited_for() -> None:
    account = Account("anna@x.example", "secret", exposed=True)
    with peer(AUTH=["454 4.7.0 Temporary authentication failure"]) as server:
        attempts = smtp.deliver(call(server, login=account), 10)

    assert not attempts.conversation.taken
    assert attempts.put_off == ()


def test_trying_again_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "AGAIN_AFTER_S", 0.05)
    with peer(RCPT=["450 later"]) as server:
        attempts = smtp.deliver(call(server), 0.2)

    assert attempts.conversation.put_off
    assert attempts.put_off


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    talk = smtp.converse("127.0.0.1", port, tls="none")

    assert talk.unreachable
    assert "ECONNREFUSED" in talk.words


def test_a_server_that_hangs_up_is_trouble_and_no_answer() -> None:
    with peer(MAIL=["hang up"]) as server:
        talk = smtp.converse_all([call(server)])[0]

    assert talk.trouble
    assert not talk.taken
    assert not talk.unreachable


def test_a_server_that_turns_callers_away_says_why() -> None:
    with peer(greeting="554 5.7.1 not you") as server:
        talk = smtp.converse_all([call(server)])[0]

    assert talk.words == "554 5.7.1 not you (to (connect))"


def test_without_starttls_nothing_is_said_where_tls_is_wanted() -> None:
    with peer() as server:
        talk = smtp.converse_all([smtp.Call("127.0.0.1", server.port, tls="starttls", sender="a@x.example")])[0]

    assert talk.refused_at is not None
    assert talk.refused_at.command == "STARTTLS"
    assert not any(line.startswith("MAIL") for line in server.heard)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=60))
@example("0")
@example("99 yes")
def test_whatever_a_server_says_the_conversation_ends(line: str) -> None:
    with peer(MAIL=[line or "x"]) as server:
        talk = smtp.converse_all([call(server)])[0]

    assert not talk.taken or re.match(r"[23]\d\d", line)


def test_an_offer_is_found_by_its_keyword_only() -> None:
    assert smtp.offer(("PIPELINING", "AUTH=PLAIN LOGIN"), "AUTH") == "AUTH=PLAIN LOGIN"
    assert smtp.offer(("XAUTH PLAIN",), "AUTH") == ""


def test_questions_are_asked_instead_of_a_letter() -> None:
    with peer(VRFY=["252 maybe"], EXPN=["502 no"]) as server:
        talk = smtp.converse("127.0.0.1", server.port, sender="a@x.example", questions=["VRFY anna", "EXPN all"])

    assert [(reply.command, reply.code) for reply in talk.replies[2:]] == [("VRFY anna", 252), ("EXPN all", 502)]
    assert not any(line.startswith("MAIL") for line in server.heard)


def test_who_did_not_greet_is_waited_for_briefly_the_next_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        first = smtp.converse("127.0.0.1", port, time_s=0.3)
        smtp_silent, smtp.SILENT_S = smtp.SILENT_S, 0.1
        try:
            second = smtp.converse("127.0.0.1", port, time_s=30)
        finally:
            smtp.SILENT_S = smtp_silent

    assert "no greeting" in first.trouble
    assert "no greeting" in second.trouble
    assert second.seconds < 10


def test_who_fell_silent_in_the_middle_is_waited_for_briefly_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def greet(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller = server.accept()[0]
                caller.sendall(b"220 hello\r\n")
                kept.append(caller)

    kept: list[socket.socket] = []
    monkeypatch.setattr(smtp, "STALLED_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=greet, args=[server], daemon=True).start()
        first = smtp.converse("127.0.0.1", port, time_s=0.4)
        second = smtp.converse("127.0.0.1", port, time_s=30)
        server.shutdown(socket.SHUT_RDWR)
    for caller in kept:
        caller.close()

    assert "no end after" in first.trouble
    assert "no end after" in second.trouble
    assert second.seconds < 10
