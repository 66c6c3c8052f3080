"""The command `mailmove`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from mailmove import queue_command, without_new_command
from mailmove.errors import MailmoveError
from mailmove.lab import breakages
from mailmove.lab.errors import LabError
from mailmove.lab.lab import Lab, existing
from mailmove.lab.needs import check_root
from mailmove.lab.progress import best
from mailmove.lab.traffic import Count, Traffic
from mailmove.lab.variants import find


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 not done (said why), 2 not understood."""
    arguments, words = _parser().parse_known_args(argv)
    if words and arguments.run is not _journey:
        _parser().parse_args(argv)  # says what is wrong with them
    arguments.words = words
    arguments.argv = sys.argv[1:] if argv is None else argv
    try:
        return int(arguments.run(arguments) or 0)
    except (LabError, MailmoveError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command again goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mailmove", description="Move a mail server, and prove that nothing was lost."
    )
    tools = parser.add_subparsers(required=True, metavar="COMMAND")
    lab = tools.add_parser(
        "lab", help="real servers on this machine, to try it all on", description="Real servers on this machine."
    )
    queue_command.add(tools)
    without_new_command.add(tools)
    commands = lab.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--name", default=os.environ.get("MAILMOVE_LAB", "main"), help="of the lab (default: main)")
        made.set_defaults(run=run)
        return made

    up = command("up", _up, "bring the lab up, or what is missing of it")
    up.add_argument("--variant", metavar="NAME", help="servers built in another way; a name that is none lists them")
    command("reset", _reset, "throw away what happened on its servers, and boot them anew")
    down = command("down", _down, "stop it, and leave nothing running or mounted")
    down.add_argument("--purge", action="store_true", help="remove its disks and keys too")
    command("status", _status, "show its hosts")
    shell = command("shell", _shell, "log in on a host, or open a shell in the operator's namespace")
    shell.add_argument("host", choices=["old", "new", "world", "operator"])
    execute = command("exec", _exec, "run a command in the operator's namespace")
    execute.add_argument("argv", nargs="+", metavar="CMD", help="the command, after `--`")
    provision = command("provision", _provision, "run a host's provisioning again, in the machine as it stands")
    provision.add_argument("host", choices=["old", "new", "world"])
    traffic = command(
        "traffic", _traffic, "letters from the world and people reading: start, stop, or count what arrived"
    )
    traffic.add_argument("action", choices=["start", "stop", "count"])
    journey = command("journey", _journey, "the whole journey on a fresh lab, with traffic; further words go to pytest")
    journey.add_argument("--no-traffic", action="store_true", help="without letters and readers")
    broken = command("break", _break, "break something on a server as a real mishap would; without a name: list")
    broken.add_argument("breakage", nargs="?")
    mended = command("mend", _mend, "mend what was broken: by name, or everything")
    mended.add_argument("breakage", nargs="?")
    return parser


def _up(arguments: argparse.Namespace) -> None:
    with best() as progress:
        lab = Lab(arguments.name, progress, find(arguments.variant) if arguments.variant else None)
        lab.up()
    name = "" if lab.name == "main" else f"={lab.name}"
    option = "" if lab.name == "main" else f" --name {lab.name}"
    print(
        f"The lab {lab.name} is up.\n"
        f"  pytest features/ --lab{name}           look at its servers, change nothing\n"
        f"  pytest features/ --lab{name} --move    the whole journey\n"
        f"  mailmove lab shell old{option}         log in; also new, world, operator"
    )


def _reset(arguments: argparse.Namespace) -> None:
    with best() as progress:
        Lab(arguments.name, progress).reset()


def _down(arguments: argparse.Namespace) -> None:
    with best() as progress:
        Lab(arguments.name, progress).down(purge=arguments.purge)


def _provision(arguments: argparse.Namespace) -> None:
    with best() as progress:
        Lab(arguments.name, progress).provision(arguments.host)


def _status(arguments: argparse.Namespace) -> int:
    check_root()
    lab = Lab(arguments.name)
    rows = [("HOST", "NAME", "IPV4", "IPV6", "RELEASE", "STATE")]
    for row in lab.status():
        host = row.host
        state = row.systemd if host.suite else ("there" if row.running else "off")
        rows.append((host.key, host.fqdn, host.ipv4, host.ipv6, host.release or "namespace", state))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"{lab.name}, variant {lab.variant.name}: {lab.variant.what}\n")
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    others = [name for name in existing() if name != arguments.name]
    if others:
        print(f"\nother labs here: {', '.join(others)} (--name)")
    return 0 if lab.is_up() else 3


def _shell(arguments: argparse.Namespace) -> None:
    check_root()
    lab = Lab(arguments.name)
    if arguments.host == "operator":  # noqa: SIM108 - two ways in, not one value
        argv = lab.command([os.environ.get("SHELL", "/bin/sh")])
    else:
        argv = lab.ssh(arguments.host)
    os.execvp(argv[0], argv)


def _exec(arguments: argparse.Namespace) -> None:
    check_root()
    argv = Lab(arguments.name).command(arguments.argv)
    os.execvp(argv[0], argv)


def _traffic(arguments: argparse.Namespace) -> int:
    check_root()
    traffic = Traffic(Lab(arguments.name))
    if arguments.action == "start":
        traffic.start()
        return 0
    traffic.stop()
    return _say(traffic.count()) if arguments.action == "count" else 0


def _say(count: Count) -> int:
    print(f"\nletters the world sent meanwhile: {count.sent}, to {count.copies} mailboxes")
    print(f"  deleted by the people who got them: {count.deleted}")
    for word, letters in (("lost", count.lost), ("doubled", count.doubled), ("astray", count.strayed)):
        print(f"  {word}: {len(letters)}" + "".join(f"\n    {letter}" for letter in letters[:20]))
    return 0 if count.good else 1


def _journey(arguments: argparse.Namespace) -> int:
    with best() as progress:
        Lab(arguments.name, progress).reset()
    lab = Lab(arguments.name)
    traffic = Traffic(lab)
    command = [sys.executable, "-m", "pytest", "features", "--lab", arguments.name, "--move", *arguments.words]
    if arguments.no_traffic:
        return subprocess.run(command, check=False).returncode
    traffic.start()
    try:
        status = subprocess.run(command, check=False).returncode
    finally:
        traffic.stop()
    return max(status, _say(traffic.count()))


def _break(arguments: argparse.Namespace) -> None:
    check_root()
    if not arguments.breakage:
        for chapter, found in breakages.CHAPTERS.items():
            print(f"{chapter}:")
            for name, breakage in found.items():
                print(f"  {name:32} {breakage.host:6} {breakage.what}")
        return
    breakage = breakages.find(arguments.breakage)
    breakages.perform(Lab(arguments.name), arguments.breakage, breakage)
    print(f"{breakage.host}: {breakage.what}")


def _mend(arguments: argparse.Namespace) -> None:
    check_root()
    lab = Lab(arguments.name)
    names = [arguments.breakage] if arguments.breakage else breakages.broken(lab)
    for name in names:
        breakages.mend(lab, name, breakages.find(name))
        print(f"mended: {name}")
    if not names:
        print("nothing is broken")


if __name__ == "__main__":
    sys.exit(main())
