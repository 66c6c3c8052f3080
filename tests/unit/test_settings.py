"""mailmove.toml: every mistake is named, with its place and what instead; all at once."""

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailmove.errors import SettingsError
from mailmove.migration import load_settings, seconds, tables

GOOD = '[servers]\nold = "root@old"\nnew = "root@new"\n'


def write(path: Path, text: str) -> Path:
    file = path / "mailmove.toml"
    file.write_text(text)
    return file


def test_the_two_servers_are_enough(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))

    assert settings.servers.old == "root@old"
    assert settings.dns.ttl == 60
    assert settings.retirement.quiet == 7 * 86400


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD), old="root@other")

    assert (settings.servers.old, settings.servers.new) == ("root@other", "root@new")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no servers named: old and new missing"),
        ('[servers]\nold = "root@old"\n', "no servers named: new missing"),
        (GOOD + "[dns]\nttll = 60\n", "unknown key 'dns.ttll'; did you mean 'ttl'?"),
        (GOOD + "[announcment]\n", "unknown key 'announcment'; did you mean 'announcement'?"),
        (GOOD + "[announcement]\nsend = true\n", "key 'announcement.date' is missing"),
        (GOOD + '[retirement]\nquiet = "a week"\n', "'a week' is no length of time"),
        (GOOD + '[dns]\nupdate = "rfc2136"\n', "needs tsig_name and tsig_secret_file"),
        (GOOD + "[dns\n", "is no TOML"),
        (GOOD + '[[waiver]]\nscenario = "x"\nby = "me"\nuntil = 2026-12-24\n', "reason"),
    ],
)
def test_a_mistake_is_named_with_a_hint(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))

    assert said in str(caught.value)
    assert str(caught.value).splitlines()[-1].startswith("hint: ")


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, GOOD + '[dns]\nttl = "x"\nswich = "mx"\n[probs]\n'))

    assert len(caught.value.fact.splitlines()) == 3


@given(st.integers(0, 10**6), st.sampled_from(["s", "min", "h", "d", "w"]))
def test_a_length_of_time_is_a_number_with_its_unit(number: int, unit: str) -> None:
    assert seconds(f"{number}{unit}") == number * {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}[unit]


@given(st.text())
def test_anything_else_is_refused_by_name(text: str) -> None:
    assume(not re.fullmatch(r"\d+(\.\d+)?\s*(s|min|h|d|w)", text))
    with pytest.raises(ValueError, match="no length of time"):
        seconds(text)


def test_every_key_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()

    for table, model in tables().items():
        for name in model.model_fields:
            assert f"`{table}.{name}`" in documented
