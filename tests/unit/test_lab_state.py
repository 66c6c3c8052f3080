"""The files by which a lab is used, its names, its breakages, and its command line."""

import json
import shlex
import stat
from pathlib import Path

import pytest

from mailmove import cli
from mailmove.lab import breakages, needs, overlay, plan, snapshot
from mailmove.lab.errors import LabError
from mailmove.lab.lab import Lab
from mailmove.lab.state import State, new_tsig_secret, write
from mailmove.lab.variants import Variant
from mailmove.migration import load_settings


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State("unit", tmp_path / "unit")
    made.ensure_keys()
    made.write_for_users("c2VjcmV0", "roots\n", [{"address": "john@example.org"}])
    return made


def test_the_settings_are_what_mailmove_reads(state: State) -> None:
    settings = load_settings(state.home / "mailmove.toml")
    assert settings.servers.old == "root@old"
    assert settings.dns.tsig_secret_file == state.home / "tsig.key"
    assert settings.probes.imap_password_file == state.home / "sink.password"


def test_settings_somebody_changed_are_kept(state: State) -> None:
    (state.home / "mailmove.toml").write_text("# mine\n")
    state.write_for_users("c2VjcmV0", "roots\n", [])
    assert (state.home / "mailmove.toml").read_text() == "# mine\n"


def test_secrets_are_for_root_alone(state: State) -> None:
    for name in ("tsig.key", "sink.password", "lab.json", "id_ed25519", "hostkeys/old_ed25519"):
        assert stat.S_IMODE((state.home / name).stat().st_mode) == 0o600, name


def test_ssh_knows_every_machine_by_all_its_names(state: State) -> None:
    lines = (state.home / "known_hosts").read_text().splitlines()
    assert [line.split()[0].split(",")[0] for line in lines] == ["world", "old", "new"]
    old = lines[1].split()
    assert {"mail.example.org", "203.0.113.20", "2001:db8:113::20"} <= set(old[0].split(","))
    assert old[1:] == (state.home / "hostkeys/old_ed25519.pub").read_text().split()[:2]
    assert "StrictHostKeyChecking yes" in (state.home / "ssh_config").read_text()


def test_keys_stay(state: State) -> None:
    before = (state.home / "id_ed25519").read_text()
    (state.home / "mailmove.journal").write_text("x")
    (state.home / "left").mkdir()
    state.forget()
    state.ensure_keys()
    assert (state.home / "id_ed25519").read_text() == before
    assert not (state.home / "mailmove.journal").exists()
    assert not (state.home / "left").exists()


def test_lab_json_has_everything(state: State) -> None:
    lab = json.loads((state.home / "lab.json").read_text())
    assert lab["hosts"]["new"]["ipv4"] == "203.0.113.30"
    assert lab["users"] == [{"address": "john@example.org"}]
    assert lab["outside"]["users"]["sink"] == plan.OUTSIDE_USERS["sink"]


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", "one", mode=0o600)
    write(tmp_path / "a" / "b", "two", mode=0o640)
    assert (tmp_path / "a" / "b").read_text() == "two"
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o640
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_every_tsig_secret_is_another() -> None:
    assert new_tsig_secret() != new_tsig_secret()


def test_the_snapshots_key_changes_with_each_file(tmp_path: Path) -> None:
    script = tmp_path / "old" / "run"
    write(script, "#!/bin/sh\n")
    first = snapshot.snapshot_key([script], tmp_path, Variant())
    assert snapshot.snapshot_key([script], tmp_path, Variant()) == first
    script.chmod(0o755)
    second = snapshot.snapshot_key([script], tmp_path, Variant())
    script.write_text("#!/bin/sh\ntrue\n")
    assert len({first, second, snapshot.snapshot_key([script], tmp_path, Variant())}) == 3


def test_provisioning_is_told_everything() -> None:
    lines = snapshot.environment(plan.OLD, "a b'c", Variant()).splitlines()
    values = {name: shlex.split(value) for name, _, value in (line.partition("=") for line in lines)}
    assert values["LAB_TSIG_SECRET"] == ["a b'c"]
    assert values["LAB_FQDN"] == ["mail.example.org"]
    assert values["LAB_NEW_6"] == ["2001:db8:113::30"]
    assert values["LAB_DOMAINS"] == [" ".join(plan.HOSTED_DOMAINS)]


@pytest.mark.parametrize("name", ["", "A", "a/b", "../x", "-a", "a-", "a" * 21, "a b", "ü"])
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(LabError, match="cannot be the name of a lab"):
        Lab(name)


@pytest.mark.parametrize("name", ["a", "main", "b-2", "a" * 20])
def test_names(name: str) -> None:
    assert Lab(name).namespace == f"mm-{name}-op"


def test_a_lab_that_never_was_is_not_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILMOVE_STATE", str(tmp_path))
    lab = Lab("never")
    assert not lab.is_up()
    assert lab.settings_file == tmp_path / "lab/never/mailmove.toml"
    with pytest.raises(LabError, match="is not up"):
        lab.command(["true"])


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "PROGRAMS", {"no-such-program": "its-package", "sh": "dash"})
    assert "its-package" in needs.missing_packages()
    assert "dash" not in needs.missing_packages()


def test_a_breakage_misspelt() -> None:
    with pytest.raises(LabError) as caught:
        breakages.find("dovecot-stoped")
    assert "dovecot-stopped" in caught.value.hint


def test_nothing_is_mounted_here(tmp_path: Path) -> None:
    assert overlay.mounted_under(tmp_path) == []
    assert Path("/proc") in overlay.mounted_under(Path("/"))


def test_errors_are_two_lines_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab", "up", "--name", "No/Name"]) == 1
    fact, hint = capsys.readouterr().err.splitlines()
    assert "No/Name" in fact
    assert hint.startswith("hint: ")


def test_a_command_that_is_none() -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["lab", "explode"])
    assert caught.value.code == 2
