"""The lab's zones, read by a DNS library as any name server would."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import dns.rdatatype
import dns.zone
import pytest

from mailmove.lab import plan
from mailmove.lab.snapshot import environment
from mailmove.lab.variants import Variant

SCRIPT = Path(plan.__file__).parent / "provision/world/zones.py"
Zones = dict[str, dns.zone.Zone]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lab_zones", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lab_zones"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zones:
    for line in environment(plan.WORLD, "c2VjcmV0", Variant()).splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value.strip("'"))
    load().main(tmp_path)
    found = {}
    for path in tmp_path.glob("*.zone"):
        origin = "." if path.stem == "root" else path.name.removesuffix(".zone") + "."
        found[origin] = dns.zone.from_text(path.read_text(), origin, relativize=False)
    return found


def records(zones: Zones, zone: str, name: str, kind: str) -> list[str]:
    rdataset = zones[zone].get_rdataset(name, kind)
    return sorted(rdata.to_text() for rdata in rdataset) if rdataset else []


def test_every_zone_is_there_and_delegated(zones: Zones) -> None:
    assert len(zones) == 7
    for zone in zones:
        assert records(zones, zone, zone, "NS") == ["ns1.elsewhere.example.", "ns2.elsewhere.example."]
        if zone != ".":
            assert records(zones, ".", zone, "NS")


def test_mail_of_the_hosted_domains_goes_to_old(zones: Zones) -> None:
    assert records(zones, "example.org.", "example.org.", "MX") == ["10 mail.example.org."]
    assert records(zones, "example.net.", "example.net.", "MX") == ["10 mail.example.org."]
    assert records(zones, "example.org.", "mail.example.org.", "A") == [plan.OLD.ipv4]
    idn = "xn--bcher-kva.example."
    assert records(zones, idn, idn, "MX") == [f"10 mx.{idn}"]
    assert records(zones, idn, f"mx.{idn}", "AAAA") == [plan.OLD.ipv6]


def test_what_will_be_switched_has_the_hosted_ttl(zones: Zones) -> None:
    for zone, name, kind in (
        ("example.org.", "example.org.", "MX"),
        ("example.org.", "mail.example.org.", "A"),
        ("xn--bcher-kva.example.", "mx.xn--bcher-kva.example.", "AAAA"),
    ):
        rdataset = zones[zone].get_rdataset(name, kind)
        assert rdataset is not None
        assert rdataset.ttl == 40


def test_every_domain_has_spf_and_dmarc(zones: Zones) -> None:
    for domain in plan.HOSTED_DOMAINS:
        assert records(zones, f"{domain}.", f"{domain}.", "TXT") == ['"v=spf1 mx -all"']
        (policy,) = records(zones, f"{domain}.", f"_dmarc.{domain}.", "TXT")
        assert "v=DMARC1" in policy
    (spf,) = records(zones, "elsewhere.example.", "elsewhere.example.", "TXT")
    assert f"ip4:{plan.WORLD.ipv4}" in spf
    assert f"ip4:{plan.OPERATOR.ipv4}" in spf


def test_every_address_has_its_name_and_back(zones: Zones) -> None:
    everywhere = {
        (str(name), rdata.to_text())
        for zone in zones.values()
        for kind in ("A", "AAAA")
        for name, _, rdata in zone.iterate_rdatas(dns.rdatatype.from_text(kind))
    }
    pointers = [
        (str(name), rdata.to_text()) for zone in zones.values() for name, _, rdata in zone.iterate_rdatas("PTR")
    ]
    assert len(pointers) == 2 * sum(len(host.addresses) for host in plan.HOSTS)
    for host in plan.HOSTS:
        for address in host.addresses:
            assert (f"{address.name}.", address.ipv4) in everywhere
            assert (f"{address.name}.", address.ipv6) in everywhere
