"""Keys, values and updates of the DNS client; its talking to servers is tried in the lab."""

from __future__ import annotations

import contextlib
from pathlib import Path

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailmove.clients import dns as client
from mailmove.clients.dns import Change, Exchanger
from mailmove.errors import MailmoveError, SettingsError
from mailmove.migration import Dns as Settings
from mailmove.moves import publish

SECRET = "c2VjcmV0IG9mIHRoZSBsYWI="


def settings(path: Path) -> Settings:
    return Settings(update="rfc2136", tsig_name="mailmove.", tsig_secret_file=path)


def test_a_key_is_read_from_base64_or_from_binds_key_file(tmp_path: Path) -> None:
    for text in (f"{SECRET}\n", f'key "mailmove" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'):
        path = tmp_path / "key"
        path.write_text(text)
        path.chmod(0o600)

        key = client.load_key(settings(Path("key")), tmp_path)

        assert (key.name, key.secret) == ("mailmove", b"secret of the lab")


def test_a_key_does_not_show_its_secret(tmp_path: Path) -> None:
    assert "secret" not in repr(client.UpdateKey("mailmove", "hmac-sha256", b"secret"))


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET)
    path.chmod(0o640)

    with pytest.raises(SettingsError, match=r"open to others .mode 0640.\nhint: chmod 600"):
        client.load_key(settings(path), tmp_path)


@pytest.mark.parametrize("text", ["", "no base64!", 'secret ""'])
def test_a_file_without_a_secret_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no TSIG secret"):
        client.parse_secret(text, Path("key"))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        client.load_key(settings(tmp_path / "nowhere"), tmp_path)


def test_the_preferred_exchanger_comes_first() -> None:
    found = client.exchangers(["20 b.example.", "5 C.Example.", "0 ."])

    assert found == [Exchanger(0, ""), Exchanger(5, "c.example"), Exchanger(20, "b.example")]


def test_names_in_other_scripts_are_found_as_dns_has_them() -> None:
    assert client.name_of("bücher.example") == dns.name.from_text("xn--bcher-kva.example.")


@given(st.text())
def test_any_domain_is_a_name_or_is_refused(text: str) -> None:
    with contextlib.suppress(MailmoveError):
        assert client.name_of(text).is_absolute()


@given(st.text())
def test_what_strangers_write_into_dns_cannot_steer_a_terminal(text: str) -> None:
    assert client.printable(text).isprintable()


def test_a_change_is_shown_as_it_would_be_sent() -> None:
    change = Change("example.org", "mail.example.org", "AAAA", ("2001:db8::1",), (), 5)

    assert publish.nsupdate("example.org", [change]).splitlines() == [
        "zone example.org.",
        "prereq yxrrset mail.example.org. AAAA 2001:db8::1",
        "update delete mail.example.org. AAAA",
        "send",
    ]
    assert publish.nsupdate("example.org", [change.back]).splitlines() == [
        "zone example.org.",
        "prereq nxrrset mail.example.org. AAAA",
        "update delete mail.example.org. AAAA",
        "update add mail.example.org. 5 AAAA 2001:db8::1",
        "send",
    ]


def test_records_to_set_by_hand_are_zone_file_lines() -> None:
    change = Change("example.org", "example.org", "MX", ("10 a.",), ("10 mail2.example.org.",), 60)
    gone = Change("example.org", "mail.example.org", "AAAA", ("2001:db8::1",), (), 60)

    assert publish.zone_lines([change, gone]) == [
        "; zone example.org",
        "example.org. 60 IN MX 10 mail2.example.org.",
        "; mail.example.org. has no AAAA record any more: delete 2001:db8::1",
    ]
