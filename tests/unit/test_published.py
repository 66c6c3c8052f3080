"""What domains publish, and letters as their receivers see them, are read as others read them."""

from __future__ import annotations

import datetime as dt
import hashlib
import xml.etree.ElementTree as ET

import dkim
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from checks import belief, published
from checks.published import Offered
from mailmove.clients import signatures
from mailmove.clients.dns import Records, Reply

SETTINGS = b"""<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="example.org">
<incomingServer type="imap"><hostname>mail.%EMAILDOMAIN%</hostname><port>143</port><socketType>STARTTLS</socketType>
</incomingServer><incomingServer type="pop3"><hostname>pop.example.org</hostname><port>995</port>
<socketType>SSL</socketType></incomingServer><outgoingServer type="smtp"><hostname>mail.example.org</hostname>
<port>587</port><socketType>STARTTLS</socketType></outgoingServer><incomingServer type="exchange"/>
</emailProvider></clientConfig>"""


def test_settings_for_mail_programs_name_their_servers() -> None:
    said = "autoconfig of example.org"

    assert published.autoconfig(SETTINGS, "example.org") == [
        Offered(f"{said}: imap", "mail.example.org", 143, "imap"),
        Offered(f"{said}: pop3", "pop.example.org", 995, "implicit"),
        Offered(f"{said}: smtp", "mail.example.org", 587, "smtp"),
    ]


def test_what_are_no_settings_is_refused() -> None:
    with pytest.raises(ET.ParseError):
        published.autoconfig(b"<html><p>not found", "example.org")


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.org")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )


def test_a_tlsa_record_names_a_certificate_or_its_key(certificate: x509.Certificate) -> None:
    whole = certificate.public_bytes(serialization.Encoding.DER)
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    assert published.key_matches(f"3 1 1 {hashlib.sha256(key).hexdigest().upper()}", certificate)
    assert published.key_matches(f"3 0 2 {hashlib.sha512(whole).hexdigest()}", certificate)
    assert published.key_matches(f"3 1 0 {key.hex()[:40]} {key.hex()[40:]}", certificate)
    assert not published.key_matches(f"3 0 1 {hashlib.sha256(key).hexdigest()}", certificate)
    assert not published.key_matches("3 1 9 00", certificate)
    assert not published.key_matches("3 1 1", certificate)


DELIVERED = b"""Return-Path: <Anna@Example.org>
Received: from mx.elsewhere.example by mx.elsewhere.example with LMTP id x
Received: from mail.example.org (mail.example.org [IPv6:2001:db8::20])
\tby mx.elsewhere.example (Postfix) with ESMTPS id 1
Received: from laptop (cable.example [198.51.100.7])
\tby mail.example.org (Postfix) with ESMTPSA id 2
From: "Anna, of all people" <anna@Example.org>
Subject: x

x
"""


def test_a_letter_is_judged_by_the_hop_from_our_server() -> None:
    letter = belief.arrived(DELIVERED, {"2001:db8::20"})

    assert (letter.address, letter.helo) == ("2001:db8::20", "mail.example.org")
    assert (letter.sender, letter.author) == ("anna@example.org", "example.org")


def test_behind_a_relay_the_last_hop_from_outside_counts() -> None:
    assert belief.arrived(DELIVERED, {"203.0.113.1"}).address == "2001:db8::20"


def test_a_letter_that_names_no_hop_has_no_address() -> None:
    assert belief.arrived(b"From: anna@example.org\r\n\r\nx", set()).address == ""


LETTER = b"From: anna@example.org\r\nTo: bert@example.net\r\nSubject: x\r\n\r\nx\r\n"


@pytest.fixture(scope="module")
def signed() -> tuple[bytes, str]:
    """A signed letter, and the record with its key."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = "".join(public.decode().splitlines()[1:-1])
    return dkim.sign(LETTER, b"s1", b"example.org", private) + LETTER, f"v=DKIM1; k=rsa; p={text}"


def reply(name: str, *values: str) -> Reply:
    if values:
        return Reply("ns1", name, "TXT", "found", Records(name, "TXT", 60, values))
    return Reply("ns1", name, "TXT", "no name")


def test_a_signature_holds_against_the_key_in_dns(signed: tuple[bytes, str]) -> None:
    letter, record = signed

    (mark,) = signatures.of(letter, lambda name: reply(name, record))

    assert (mark.domain, mark.selector, mark.holds) == ("example.org", "s1", True)


def test_a_changed_letter_and_a_missing_key_do_not_hold(signed: tuple[bytes, str]) -> None:
    letter, record = signed

    (changed,) = signatures.of(letter + b"more\r\n", lambda name: reply(name, record))
    (missing,) = signatures.of(letter, lambda name: reply(name))

    assert not changed.holds
    assert not missing.holds
    assert "s1._domainkey.example.org: no such name" in missing.words


def test_a_letter_without_a_signature_has_none() -> None:
    assert signatures.of(LETTER, lambda name: reply(name)) == []
    assert signatures.of(b"", lambda name: reply(name)) == []
