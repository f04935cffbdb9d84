"""The package where something is missing, broken or full, or is pulled away."""

import subprocess
from pathlib import Path

import pytest

from tests.support.services import wait_until
from tests.ucs.machine import Machine

pytestmark = pytest.mark.ucs

STATE = "/var/lib/univention-mtpolicyd"
SETTINGS = "/etc/univention-mtpolicyd/settings.toml"
FRONTEND = "univention-mtpolicyd-frontend.service"
SERVICES = ("quota", "decision", "frontend")
UNITS = " ".join(f"univention-mtpolicyd-{name}.service" for name in SERVICES)
WHOLE = "univention-mtpolicyd.service"
CONTAINERS = "univention-mtpolicyd-compose.service"
ALLOWED = "mtpolicyctl test --user alice --ip 84.128.0.1"
# As Postfix: waits in the backlog while nobody answers.
WAITING = """
import socket
connection = socket.create_connection(("127.0.0.1", 12345), 60)
connection.sendall(b"request=smtpd_access_policy\\nprotocol_state=RCPT\\nrecipient=b@example.net\\n\\n")
print(connection.recv(100).decode().strip())
"""
# In the place of Docker: `up` listens where the policy port is published.
DOCKER_COMPOSE = """#!/usr/bin/python3
import os, socket, sys, time
with open("/srv/docker-compose.log", "a") as log:
    print(*sys.argv[1:], os.environ.get("POLICY_PORT", ""), file=log)
if sys.argv[1] == "up":
    server = socket.create_server((os.environ["POLICY_ADDRESS"], int(os.environ["POLICY_PORT"])))
    time.sleep(3600)
"""
DOCKER_UNIT = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"

DOCKER = """#!/bin/sh
echo "$*" >>/srv/docker.log
[ "$1 $2" != "volume ls" ] || echo univention-mtpolicyd_quota-state
"""


def restarts(machine: Machine, name: str) -> int:
    unit = f"univention-mtpolicyd-{name}.service"
    return int(machine.said(f"systemctl show --property=NRestarts --value {unit}"))


def listens(machine: Machine, address: str) -> bool:
    return f" {address} " in machine.said("ss --no-header --listening --tcp --numeric")


def is_active(machine: Machine, unit: str) -> bool:
    return machine.run(f"systemctl is-active {unit}", check=False).stdout.strip() == "active"


def test_a_boot_with_a_broken_file_has_the_last_good_settings(machine: Machine) -> None:
    """Somebody has written into it."""
    machine.run("ucr set mtpolicyd/threshold=500")
    copies = [f"{STATE}/settings-{name}.toml" for name in SERVICES]
    wait_until(lambda: all("500" in machine.said(f"cat {copy}") for copy in copies))
    machine.run(f"echo 'this is no TOML' >>{SETTINGS}")
    machine.reboot()
    machine.wait_ready()

    assert machine.said(f"{ALLOWED} 2>/dev/null") == "DUNNO"
    assert "500" in machine.said("mtpolicyctl show-config 2>/dev/null | grep ^threshold")


def test_what_cannot_start_is_tried_without_haste_until_it_can(machine: Machine) -> None:
    """No settings, good or of before, and mail that waits: no spinning, no giving up, no refusal."""
    machine.run(f"systemctl stop {WHOLE} {UNITS}")
    machine.run(f"rm {STATE}/settings-*.toml && echo 'this is no TOML' >{SETTINGS}")
    machine.run(f"systemctl start {WHOLE}")
    (machine.root / "srv/waiting.py").write_text(WAITING)
    machine.run("systemd-run --quiet --unit=waiting sh -c 'python3 /srv/waiting.py >/srv/answer'")
    wait_until(lambda: restarts(machine, "frontend") >= 3, seconds=60, what="it is tried again")
    began = restarts(machine, "frontend")
    machine.run("sleep 10")
    assert 1 <= restarts(machine, "frontend") - began <= 5
    assert listens(machine, "127.0.0.1:12345")

    machine.run(f"ucr commit {SETTINGS}")
    machine.wait_ready()
    wait_until(lambda: (machine.root / "srv/answer").read_text() == "action=DUNNO\n", seconds=60)
    assert machine.said(ALLOWED) == "DUNNO"


def test_without_its_user_it_waits_and_an_installation_makes_it_anew(machine: Machine) -> None:
    """With another number: what was counted is still his."""
    machine.run("ucr set mtpolicyd/threshold=1")
    wait_until(lambda: "threshold = 1\n" in machine.said(f"cat {STATE}/settings-decision.toml") + "\n")
    assert machine.said("mtpolicyctl test --user dora --ip 84.128.0.1") == "DUNNO"
    machine.run(f"systemctl stop {WHOLE} univention-mtpolicyd-frontend.socket {UNITS}")
    machine.run(
        "userdel univention-mtpolicyd; groupdel univention-mtpolicyd 2>/dev/null; adduser --system other"
    )
    machine.run(f"systemctl start {WHOLE}", check=False)
    machine.run("sleep 6")
    assert all(restarts(machine, name) <= 4 for name in SERVICES)

    machine.run("apt-get install --yes --reinstall univention-mtpolicyd")
    machine.wait_ready()
    assert machine.run("mtpolicyctl test --user dora --ip 84.128.0.1", check=False).stdout.startswith("DEFER")


def test_with_a_full_disk_it_is_installed_and_mail_passes_and_afterwards_it_counts(machine: Machine) -> None:
    """By itself."""
    machine.run(f"systemctl stop {WHOLE} univention-mtpolicyd-frontend.socket {UNITS}")
    machine.run(f"mount -t tmpfs -o size=64k,mode=0755 tmpfs {STATE}")
    machine.run(f"dd if=/dev/zero of={STATE}/full bs=4k", check=False)
    machine.run("apt-get install --yes --reinstall univention-mtpolicyd")
    wait_until(lambda: machine.run(ALLOWED, check=False).stdout == "DUNNO\n", seconds=60, what="mail passes")
    assert machine.pids()["frontend"] != "0"
    machine.run(f"rm {STATE}/full && mount -o remount,size=64m {STATE}")
    machine.wait_ready()
    assert machine.said(ALLOWED) == "DUNNO"
    assert (machine.root / STATE.lstrip("/")).exists()


def test_purging_mtpolicyd_of_debian_leaves_ours_alone(machine: Machine, tmp_path: Path) -> None:
    """It removes its user, /var/lib/mtpolicyd and what UCS has of that name, and stops its own service."""
    tmp_path.chmod(0o755)
    subprocess.run(["apt-get", "download", "mtpolicyd"], cwd=tmp_path, capture_output=True, check=True)
    (theirs,) = tmp_path.glob("mtpolicyd_*.deb")
    (machine.root / "srv/theirs.deb").write_bytes(theirs.read_bytes())
    machine.run("ucr set mtpolicyd/threshold=500")
    before = machine.pids()
    machine.run("dpkg --force-depends --install /srv/theirs.deb", check=False)
    machine.run("dpkg --force-depends --purge mtpolicyd")

    assert machine.pids() == before
    assert machine.said(ALLOWED) == "DUNNO"
    assert machine.said("dpkg --verify univention-mtpolicyd") == ""
    machine.reboot()
    machine.wait_ready()
    assert machine.said(ALLOWED) == "DUNNO"
    assert "500" in machine.said("mtpolicyctl show-config | grep ^threshold")


def test_units_and_containers_take_turns_with_the_settings_of_now(machine: Machine) -> None:
    """Never both, also while packages are installed; Docker is a stand-in that holds the policy port."""
    files = {"lib/systemd/system/docker.service": DOCKER_UNIT, "usr/bin/docker": DOCKER}
    machine.install_stub("docker.io", "20.10.24", files)
    machine.install_stub("docker-compose", "1.29.2", {"usr/bin/docker-compose": DOCKER_COMPOSE})
    machine.run("ucr set mtpolicyd/deployment=compose")
    assert is_active(machine, WHOLE)

    def containers_alone(address: str) -> None:
        wait_until(lambda: listens(machine, address), what=f"{address} is published")
        assert is_active(machine, CONTAINERS)
        assert not is_active(machine, WHOLE)
        assert set(machine.pids().values()) == {"0"}

    machine.run("apt-get install --yes univention-mtpolicyd-compose")
    containers_alone("127.0.0.1:12345")
    machine.run("ucr set mtpolicyd/port=10031 mtpolicyd/threshold=500 mtpolicyd/allowedcountries=Germany")
    containers_alone("127.0.0.1:10031")
    both = "univention-mtpolicyd univention-mtpolicyd-compose"
    show = f"systemctl show --property=MainPID --value {CONTAINERS}"
    before = machine.said(show)
    machine.run(f"apt-get install --yes --reinstall {both}")
    containers_alone("127.0.0.1:10031")
    # An upgrade has new files for the image.
    assert machine.said(show) not in (before, "0")
    machine.reboot()
    containers_alone("127.0.0.1:10031")

    machine.run("ucr set mtpolicyd/deployment=units mtpolicyd/host=0.0.0.0")
    machine.wait_ready()
    assert not is_active(machine, CONTAINERS)
    assert listens(machine, "0.0.0.0:10031")
    assert "500" in machine.said("mtpolicyctl show-config | grep ^threshold")
    machine.run("ucr set mtpolicyd/deployment=compose mtpolicyd/port=10032")
    containers_alone("0.0.0.0:10032")
    machine.run("ucr unset mtpolicyd/host")
    containers_alone("127.0.0.1:10032")

    machine.run("apt-get purge --yes univention-mtpolicyd-compose")
    machine.wait_ready()
    assert listens(machine, "127.0.0.1:10032")
    assert "volume rm univention-mtpolicyd_quota-state" in machine.said("cat /srv/docker.log")
    assert "down --remove-orphans" in machine.said("cat /srv/docker-compose.log")
    assert machine.said(ALLOWED) == "DUNNO"
