"""The machine under the mail server."""

from __future__ import annotations

import pytest
from pytest_bdd import then

from checks import machine, shutout
from checks.machine import Looked
from mailmove.evidence import Judge
from mailmove.moves.spared import Spared
from mailmove.server import Server


@pytest.fixture(scope="session")
def looked(old: Server, new: Server) -> Looked:
    """What both machines say of themselves: asked in one go, for all that is said of them here."""
    return machine.look(old, new)


@then("the new server runs a Debian release the guide was written for")
def release_is_supported(old: Server, new: Server, judge: Judge) -> None:
    judge(machine.release_is_supported(old, new))


@then("the packages of the guide and those the old server uses are installed")
def packages_are_installed(looked: Looked, judge: Judge) -> None:
    judge(machine.packages_are_installed(looked))


@then("every mail service runs and is started at boot")
def services_run(looked: Looked, judge: Judge) -> None:
    judge(machine.services_run(looked))


@then("whatever mail lies on is mounted again by itself")
def disks_come_back(looked: Looked, judge: Judge) -> None:
    judge(machine.disks_come_back(looked))


@then("a reboot brings the firewall that stands now")
def firewall_stays(looked: Looked, judge: Judge) -> None:
    judge(machine.firewall_stays(looked))


@then("every name server that the new server asks answers it")
def name_servers_answer(looked: Looked, judge: Judge) -> None:
    judge(machine.name_servers_answer(looked))


@then("the new server asks the old one for nothing")
def nothing_leans_on_old(looked: Looked, judge: Judge) -> None:
    judge(machine.nothing_leans_on_old(looked))


@then("no service runs a program that was replaced under it")
def binaries_are_current(looked: Looked, judge: Judge) -> None:
    judge(machine.binaries_are_current(looked))


@then("no service finds fault with its configuration")
def configurations_are_accepted(looked: Looked, judge: Judge) -> None:
    judge(machine.configurations_are_accepted(looked))


@then("no file of a service was changed after the service read it")
def settings_are_read(looked: Looked, judge: Judge) -> None:
    judge(*machine.settings_are_read(looked))


@then("nothing else has failed on the machine")
def no_unit_failed(looked: Looked, judge: Judge) -> None:
    judge(machine.no_unit_failed(looked))


@then("the clocks of both servers are right")
def clocks_are_right(old: Server, new: Server, judge: Judge) -> None:
    judge(machine.clocks_are_right(old, new))


@then("the clock of the new server is synchronised")
def clock_is_kept_right(looked: Looked, judge: Judge) -> None:
    judge(machine.clock_is_kept_right(looked))


@then("all mail of the old server fits on the new server")
def disk_is_large_enough(looked: Looked, judge: Judge) -> None:
    judge(machine.disk_is_large_enough(looked))


@then("neither server shuts out this machine or the other server")
def nobody_is_shut_out(old: Server, new: Server, spared: Spared, judge: Judge) -> None:
    looks = shutout.look_at_both(old, new)
    judge(shutout.nobody_is_shut_out(looks), shutout.nobody_will_be(looks, spared.jails))


@then("every service for people and other mail servers is reachable from outside")
def ports_are_open(looked: Looked, judge: Judge) -> None:
    judge(*machine.ports_are_open(looked))


@then("database and spam filter answer nobody outside")
def private_services_are_closed(looked: Looked, judge: Judge) -> None:
    judge(machine.private_services_are_closed(looked))


@then("no other service listens to the outside")
def nothing_else_listens(looked: Looked, judge: Judge) -> None:
    judge(machine.nothing_else_listens(looked))
