"""What images are made of: the host's mirror, the packages, and a name that changes with them."""

from pathlib import Path

import pytest

from mailmove.lab import images
from mailmove.lab.errors import LabError
from mailmove.lab.images import Mirror

HOST = """\
http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/debian-security/ bookworm-security main
https://vendor.example/apt/ stable main
"""


def test_the_mirror_is_the_hosts_own() -> None:
    assert images.mirror_from_targets(HOST) == Mirror(
        "http://mirror.example/debian/", "http://mirror.example/debian-security/"
    )


def test_order_and_backports_do_not_confuse() -> None:
    lines = ["http://b.example/debian/ bookworm-backports main", *reversed(HOST.splitlines())]
    assert images.mirror_from_targets("\n".join(lines)).main == "http://mirror.example/debian/"


@pytest.mark.parametrize("targets", ["", "cdrom://x bookworm main", "http://m.example/debian/ bookworm contrib"])
def test_without_a_mirror_it_says_so(targets: str) -> None:
    with pytest.raises(LabError) as caught:
        images.mirror_from_targets(targets)
    fact, hint = str(caught.value).splitlines()
    assert "no Debian mirror" in fact
    assert hint.startswith("hint: ")


def test_debian_11_comes_from_its_main_archive_alone() -> None:
    mirror = Mirror("http://m.example/debian/", "http://m.example/debian-security/")
    (line,) = images.sources("bullseye", mirror)
    assert line.endswith("http://m.example/debian/ bullseye main")
    assert [line.split()[3] for line in images.sources("bookworm", mirror)] == [
        "bookworm",
        "bookworm-updates",
        "bookworm-security",
    ]


def test_a_host_without_security_archive_still_gets_images() -> None:
    assert len(images.sources("bookworm", Mirror("http://m.example/debian/"))) == 2


def test_the_key_depends_on_what_is_in_it_not_on_its_order() -> None:
    assert images.image_key("bookworm", ["a", "b"]) == images.image_key("bookworm", ["b", "a"])
    assert images.image_key("bookworm", ["a"]) != images.image_key("bookworm", ["a", "b"])
    assert images.image_key("bookworm", ["a"]).startswith("bookworm-")


def test_a_build_dies_with_its_caller() -> None:
    command = images.build_command("bullseye", ["a"], Path("/x"), Mirror("http://m.example/debian/"))
    assert command[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert "--kill-child=KILL" in command
