"""The lab itself, with real machines: up, reset and down, also when they are killed halfway. Runs as root."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailmove.lab import network, overlay
from mailmove.lab.guest import TRUSTED
from mailmove.lab.lab import Lab
from mailmove.lab.progress import Lines

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")]

NAME = "lifecycle"


def mailmove(*words: str) -> list[str]:
    return [sys.executable, "-m", "mailmove", "lab", *words, "--name", NAME]


def inside(lab: Lab, *argv: str) -> str:
    done = subprocess.run(lab.command(argv), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ssh(lab: Lab, host: str, command: str) -> str:
    done = subprocess.run(lab.ssh(host, command), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def killed_after(seconds: float, *words: str) -> None:
    """Begin a command of the lab, and pull the plug."""
    running = subprocess.Popen(mailmove(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    running.send_signal(signal.SIGKILL)
    running.wait()


def remains() -> dict[str, list[str]]:
    """Everything on this computer that belongs to the lab and is not an ordinary file."""
    lab = Lab(NAME)
    prefix = f"mm-{NAME}-"
    processes = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except (FileNotFoundError, ProcessLookupError):
            continue
        if prefix.encode() in words:
            processes.append(words.decode())
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    return {
        "mounts": [str(point) for point in overlay.mounted_under(lab.home)],
        "namespaces": [path.name for path in Path("/run/netns").glob(prefix + "*")],
        "settings": [path.name for path in Path("/etc/netns").glob(prefix + "*")],
        "control groups": [
            f"{place}/{name}"
            for place, names, _ in os.walk("/sys/fs/cgroup")  # which goes on when a group vanishes meanwhile
            for name in names
            if name.startswith(prefix)
        ],
        "links": [line for line in links.splitlines() if "eth0@" in line or prefix in line],
        "processes": processes,
    }


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab(NAME, Lines())
    made.up()
    yield made
    made.down(purge=True)


def test_what_runs_is_left_alone(lab: Lab) -> None:
    before = {key: machine.leader() for key, machine in lab.machines.items()}
    lab.up()
    assert {key: machine.leader() for key, machine in lab.machines.items()} == before
    assert all(before.values())


def test_every_machine_is_itself(lab: Lab) -> None:
    assert ssh(lab, "old", "hostname -f; . /etc/os-release; echo $VERSION_ID").split() == ["mail.example.org", "11"]
    assert ssh(lab, "new", "hostname -f; . /etc/os-release; echo $VERSION_ID").split() == ["mail2.example.org", "12"]
    assert ssh(lab, "world", "hostname -f").split() == ["mx.elsewhere.example"]
    assert len({ssh(lab, key, "cat /etc/machine-id") for key in lab.machines}) == 3
    assert [row.systemd for row in lab.status()] == ["running", "running", "running", "-"]


def test_there_is_no_way_out(lab: Lab) -> None:
    assert "default" not in inside(lab, "ip", "route") + inside(lab, "ip", "-6", "route")
    for key in lab.machines:
        assert "default" not in ssh(lab, key, "ip route; ip -6 route")


@pytest.mark.parametrize("server", ["203.0.113.11", "203.0.113.12", "203.0.113.13", "2001:db8:113::13"])
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("example.org MX", "10 mail.example.org."),
        ("mx.xn--bcher-kva.example A", "203.0.113.20"),
        ("mail2.example.org AAAA", "2001:db8:113::30"),
        ("-x 203.0.113.40", "operator.elsewhere.example."),
        ("-x 2001:db8:113::20", "mail.example.org."),
        ("elsewhere.example MX", "10 mx.elsewhere.example."),
    ],
)
def test_every_name_server_knows(lab: Lab, server: str, question: str, answer: str) -> None:
    assert ssh(lab, "old", f"dig +short +time=2 @{server} {question}").strip() == answer


def test_what_is_elsewhere_does_not_exist(lab: Lab) -> None:
    assert "NXDOMAIN" in ssh(lab, "new", "dig +time=2 mail.example.com")


def test_zones_take_signed_updates_and_no_others(lab: Lab) -> None:
    secret = (lab.home / "tsig.key").read_text().strip()
    update = "server 203.0.113.11\nupdate add probe.example.org 40 TXT there\nsend\n"
    signed = f"key hmac-sha256:mailmove. {secret}\n{update}"
    for text, status in ((update, 2), (signed, 0)):
        done = subprocess.run(lab.ssh("world", "nsupdate"), input=text, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
    deadline = time.monotonic() + 10
    while ssh(lab, "old", "dig +short @203.0.113.12 probe.example.org TXT").strip() != '"there"':
        assert time.monotonic() < deadline, "the secondary never heard of it"
        time.sleep(0.1)


def test_the_outside_receives_mail_and_refuses_strangers(lab: Lab) -> None:
    sent = ssh(lab, "world", "swaks -tls --to sink@elsewhere.example --from friend@elsewhere.example --server mx")
    assert "250 2.0.0 Ok: queued" in sent
    refused = lab.ssh("world", "swaks --to nobody@elsewhere.example --server 203.0.113.10")
    done = subprocess.run(refused, capture_output=True, text=True, check=False)
    assert "550 5.1.1 <nobody@elsewhere.example>" in done.stdout


def test_certificates_can_be_had(lab: Lab) -> None:
    command = "certbot certonly --standalone --http-01-port 80 -n --agree-tos --register-unsafely-without-email"
    ssh(
        lab,
        "new",
        f"systemctl stop apache2 && {command} --server https://acme.elsewhere.example:14000/dir -d mail2.example.org"
        " --cert-name probe && openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt"
        " -untrusted /etc/letsencrypt/live/probe/chain.pem /etc/letsencrypt/live/probe/cert.pem",
    )


def test_accounts_of_the_snapshot_are_known_to_the_acme_server(lab: Lab) -> None:
    renew = "if [ -d /etc/letsencrypt/live/mail.example.org ]; then certbot renew --force-renewal"
    ssh(lab, "old", f"{renew} --cert-name mail.example.org --no-random-sleep-on-renew; fi")


def test_reset_forgets_what_happened_but_not_the_keys(lab: Lab) -> None:
    ssh(lab, "new", "touch /root/happened; systemctl stop postfix")
    (lab.home / "mailmove.journal").write_text("of a journey before")
    known = (lab.home / "known_hosts").read_text()
    lab.reset()
    assert ssh(lab, "new", "ls /root; systemctl is-active postfix").split() == ["active"]
    assert (lab.home / "known_hosts").read_text() == known
    assert not (lab.home / "mailmove.journal").exists()


def test_reset_from_within_the_operators_namespace(lab: Lab) -> None:
    ssh(lab, "world", "touch /root/happened")
    done = subprocess.run(lab.command(mailmove("reset")), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert ssh(lab, "world", "ls /root").split() == []


@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_a_reset_killed_halfway_can_be_done_again(lab: Lab, seconds: float) -> None:
    killed_after(seconds, "reset")
    lab.up()
    assert [row.systemd for row in lab.status()] == ["running", "running", "running", "-"]


def test_down_leaves_nothing_and_up_goes_on_where_it_was(lab: Lab) -> None:
    ssh(lab, "old", "echo kept > /root/happened")
    killed_after(0.5, "down")
    lab.down()
    assert remains() == {key: [] for key in remains()}
    assert not lab.is_up()
    lab.down()  # and again, with nothing there
    lab.up()
    assert ssh(lab, "old", "cat /root/happened").strip() == "kept"


def test_one_that_died_is_brought_back_and_the_others_are_left_alone(lab: Lab) -> None:
    world, old = lab.machines["world"], lab.machines["old"]
    before = world.leader()
    (old.root / TRUSTED / "roots.pem").unlink()  # it has everything to learn from a world long ready
    old.kill()
    lab.up()
    assert [row.systemd for row in lab.status()] == ["running", "running", "running", "-"]
    assert world.leader() == before
    assert (old.root / TRUSTED / "roots.pem").exists()


def test_an_unclean_end_of_everything(lab: Lab) -> None:
    for machine in lab.machines.values():
        network.kill([*machine.supervisors(), *network.processes(machine.name)])
    subprocess.run(["ip", "netns", "del", network.namespace(NAME, "old")], check=True)
    assert not lab.is_up()
    lab.up()
    assert [row.systemd for row in lab.status()] == ["running", "running", "running", "-"]


def test_a_stranger_is_told_in_two_lines() -> None:
    # Rights are dropped after the imports: strangers may not be able to read this clone.
    stranger = "import os; from mailmove.cli import main; os.setgroups([]); os.setuid(65534); raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", stranger, *mailmove("up")[3:]], capture_output=True, text=True, check=False
    )
    fact, hint = done.stderr.splitlines()
    assert done.returncode == 1
    assert "root" in fact
    assert hint.startswith("hint: ")
