"""Variants are data: every decision in them is one that the provisioning knows."""

import re
from pathlib import Path

import pytest

from mailmove.lab import plan, snapshot, variants
from mailmove.lab.errors import LabError
from mailmove.lab.lab import Lab
from mailmove.lab.state import State
from mailmove.lab.variants import GUIDE, OWN_KEYS, Variant

PROVISION = Path(plan.__file__).parent / "provision"
NAMES = [name for name in variants.names() if name != GUIDE]


def test_the_guide_is_a_variant_without_decisions() -> None:
    guide = variants.find(GUIDE)

    assert guide == Variant()
    assert guide.machines == plan.MACHINES
    assert not guide.choices


@pytest.mark.parametrize("name", NAMES)
def test_every_decision_is_known_to_the_provisioning(name: str) -> None:
    known = set(re.findall(r"^choose (\w+)", (PROVISION / "common/choices.sh").read_text(), re.M))
    variant = variants.find(name)

    for decided in variant.choices.values():
        assert {key.upper() for key in decided} <= known
        assert not set(decided) & set(OWN_KEYS)
    assert variant.what
    assert len(variant.domains) == 3


@pytest.mark.parametrize("name", NAMES)
def test_no_variant_has_the_snapshot_of_another(name: str) -> None:
    keys = {snapshot.snapshot_key([], PROVISION, variants.find(each)) for each in variants.names()}

    assert len(keys) == len(variants.names())
    assert snapshot.environment(variants.find(name).host("old"), "secret", variants.find(name))


def test_names_and_ports_are_the_labs_own_business(tmp_path: Path) -> None:
    variant = variants.find("elsewhere")
    state = State("unit", tmp_path, variant)
    state.ensure_keys()

    known = (tmp_path / "known_hosts").read_text()
    assert variant.host("new").ssh_port == 2222
    assert "[203.0.113.30]:2222" in known and "[mx2.stadtchor.example]:2222" in known
    assert "Port 2222" in (tmp_path / "ssh_config").read_text()
    assert State.known_variant(tmp_path) == variant


def test_a_variant_misspelt() -> None:
    with pytest.raises(LabError) as caught:
        variants.find("snakoil")
    assert "snakeoil" in caught.value.hint


def test_a_lab_remembers_its_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILMOVE_STATE", str(tmp_path))
    Lab("one", variant=variants.find("dots")).state.ensure_keys()

    assert Lab("one").variant.name == "dots"
    assert Lab("two").variant.name == GUIDE
