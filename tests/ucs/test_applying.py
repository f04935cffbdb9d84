"""What `ucr set` does beside writing the file: what the admin is told, and what systemd is told."""

import socket
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from mtpolicyd_ucs import compose
from mtpolicyd_ucs.firewall import PREFIX as FIREWALL
from mtpolicyd_ucs.listening import Listening
from tests.support.programs import require_program
from tests.support.protos import ROOT
from tests.support.services import wait_until
from tests.support.ucr import Ucr, checking

WHOLE = "univention-mtpolicyd.service"
SOCKET = "univention-mtpolicyd-frontend.socket"
FRONTEND = "univention-mtpolicyd-frontend.service"
ALL = f"{WHOLE} {SOCKET} {FRONTEND} univention-mtpolicyd-decision.service univention-mtpolicyd-quota.service"
CONTAINERS = "univention-mtpolicyd-compose.service"
DROP_IN = "etc/systemd/system/univention-mtpolicyd-frontend.socket.d/listen.conf"


@pytest.fixture(scope="module")
def registered_once(tmp_path_factory: pytest.TempPathFactory) -> Ucr:
    """With systemd running, and our unit enabled and active."""
    root = tmp_path_factory.mktemp("registered") / "ucs"
    ucr = Ucr(root, mtpolicyctl=checking(root / "var/lib/univention-mtpolicyd"))
    (root / "run/systemd/system").mkdir(parents=True)
    for kind, units in {"is-active": (WHOLE, SOCKET, FRONTEND), "is-enabled": (WHOLE,)}.items():
        (root / kind).mkdir()
        for unit in units:
            (root / kind / unit).touch()
    ucr("register", "univention-mtpolicyd")
    ucr.called()
    return ucr


@pytest.fixture
def ucr(registered_once: Ucr, tmp_path: Path) -> Ucr:
    """The same, of the test's own."""
    return registered_once.copied_to(tmp_path / "ucs")


def test_a_change_that_the_services_take_by_themselves_starts_nothing(ucr: Ucr) -> None:
    """They look at their file every second."""
    told = ucr("set", "mtpolicyd/threshold=500", "mtpolicyd/debug=3")

    assert told.stderr == ""
    assert ucr.called() == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("port", "99999", "mtpolicyd/port = 99999 is not allowed; allowed: a port number, 1 to 65535"),
        ("debug", "9", "mtpolicyd/debug = 9 is not allowed; allowed: 0 error"),
        ("allowedcountries", "Germany", "mtpolicyd/allowedcountries = 'Germany' is not allowed (GERMANY is"),
        ("threshold", "many", "mtpolicyd/threshold = 'many' is not allowed"),
        ("exemptnetworks", "300.1.1.1", "mtpolicyd/exemptnetworks = '300.1.1.1' is not allowed"),
    ],
)
def test_a_wrong_value_is_told_by_the_name_of_its_variable(
    ucr: Ucr, name: str, value: str, reason: str
) -> None:
    """And nothing else happens: `ucr set` succeeds, and the socket stays where it is."""
    before = (ucr.root / DROP_IN).read_text()
    done = ucr("set", f"mtpolicyd/{name}={value}")

    assert f"univention-mtpolicyd: {reason}" in done.stderr
    assert f"mtpolicyd/{name}: the " in done.stderr
    assert "in force until this is mended" in done.stderr
    assert ucr.called() == []
    assert (ucr.root / DROP_IN).read_text() == before


def test_it_is_told_again_until_it_is_mended(ucr: Ucr) -> None:
    """With each change."""
    ucr("set", "mtpolicyd/debug=9")
    assert "mtpolicyd/debug = 9 is not allowed" in ucr("set", "mtpolicyd/threshold=7").stderr
    assert ucr("set", "mtpolicyd/debug=1").stderr == ""


def test_a_file_that_somebody_else_has_broken_is_told(ucr: Ucr) -> None:
    """Then there is no good one, and the services have their last good copies."""
    template = ucr.root / "etc/univention/templates/files/etc/univention-mtpolicyd/settings.toml"
    template.write_text(template.read_text() + "colour = 7\n")
    state = ucr.root / "var/lib/univention-mtpolicyd"
    state.mkdir(parents=True)
    for service in ("quota", "decision", "frontend"):
        (state / f"settings-{service}.toml").write_text(ucr.settings_file.read_text())
    told = ucr("set", "mtpolicyd/threshold=5").stderr

    assert "colour is not a setting" in told
    assert "the settings before stay in force, all of them, until this is mended" in told


def test_what_was_hardly_meant_is_told(ucr: Ucr) -> None:
    """A network with host bits."""
    told = ucr("set", "mtpolicyd/allowednetworks=192.0.2.7/24").stderr

    assert "warning: mtpolicyd/allowednetworks: 192.0.2.7/24 is taken as 192.0.2.0/24" in told


def test_a_new_port_moves_the_socket(ucr: Ucr) -> None:
    """Socket and frontend, in this order, and nobody else."""
    ucr("set", "mtpolicyd/port=10031")

    assert (ucr.root / DROP_IN).read_text().splitlines()[-2:] == [
        "ListenStream=",
        "ListenStream=127.0.0.1:10031",
    ]
    assert ucr.called() == ["daemon-reload", f"stop {SOCKET} {FRONTEND}", f"start {SOCKET} {FRONTEND}"]


def test_an_address_that_cannot_be_listened_on_is_told_and_the_one_before_stays(ucr: Ucr) -> None:
    """The socket is started again, at its old place."""
    before = (ucr.root / DROP_IN).read_text()
    (ucr.root / "cannot-start").touch()
    told = ucr("set", "mtpolicyd/port=10031").stderr

    assert "cannot listen on 127.0.0.1:10031, the address before stays: Job failed." in told
    assert (ucr.root / DROP_IN).read_text() == before
    anew = [f"stop {SOCKET} {FRONTEND}", f"start {SOCKET} {FRONTEND}"]
    assert ucr.called() == ["daemon-reload", *anew, "daemon-reload", *anew]


def test_for_a_port_that_somebody_has_nothing_is_stopped(ucr: Ucr) -> None:
    """Not with this change, not with each later one; and the firewall is not opened for somebody else."""
    before = (ucr.root / DROP_IN).read_text()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        told = ucr(
            "set", f"mtpolicyd/port={server.getsockname()[1]}", "mtpolicyd/host=127.0.0.1,0.0.0.0"
        ).stderr
        assert f"cannot listen on {address}, the address before stays: somebody else does" in told
        assert "cannot listen" in ucr("set", "mtpolicyd/threshold=5").stderr
    assert ucr.called() == []
    assert (ucr.root / DROP_IN).read_text() == before
    assert FIREWALL not in ucr("dump").stdout

    ucr("set", "mtpolicyd/threshold=6")
    assert FIREWALL in ucr("dump").stdout
    assert f"ListenStream={address}" in (ucr.root / DROP_IN).read_text()


# The first call of a kind is slow: what it says has become old when it is heard.
SLOW = """#!/bin/sh
said=$({command} "$@" 2>&1 >{root}/said.$$)
code=$?
if [ "$1" = "$(cat {root}/slow 2>/dev/null)" ]; then
    rm {root}/slow
    sleep 2
fi
[ -z "$said" ] || echo "$said" >&2
cat {root}/said.$$
exit $code
"""


@pytest.mark.parametrize("slow", ["check-config", "show-config"])
def test_of_two_changes_at_a_time_both_count(ucr: Ucr, slow: str) -> None:
    """The first one is overtaken while its file is written, or while it finds out where to listen."""
    command = ucr.root / "usr/bin/mtpolicyctl"
    command.rename(command.with_suffix(".fast"))
    ucr.program("usr/bin/mtpolicyctl", SLOW.format(command=command.with_suffix(".fast"), root=ucr.root))
    (ucr.root / "slow").write_text(slow)
    first = subprocess.Popen(
        [sys.executable, "-m", "univention.config_registry", "set", "mtpolicyd/port=10031"],
        env=ucr.environment,
        cwd=ucr.root,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: not (ucr.root / "slow").exists(), what="the first one is under way")
    ucr("set", "mtpolicyd/port=10032", "mtpolicyd/debug=3")
    assert first.wait(30) == 0

    assert tomllib.loads(ucr.settings_file.read_text()).items() >= {"port": 10032, "debug": 3}.items()
    assert (ucr.root / DROP_IN).read_text().splitlines()[-1] == "ListenStream=127.0.0.1:10032"


def test_an_address_that_this_host_does_not_have_is_told(ucr: Ucr) -> None:
    """It may get it later: systemd listens there already. Addresses that it has are not told."""
    told = ucr("set", "mtpolicyd/host=127.0.0.1,192.0.2.99,2001:db8::99").stderr
    assert "warning: this host does not have the address 192.0.2.99 now" in told
    assert "2001:db8::99" in told
    assert "ListenStream=192.0.2.99:12345" in (ucr.root / DROP_IN).read_text()
    assert "does not have" not in ucr("set", "mtpolicyd/threshold=5").stderr
    assert "does not have" not in ucr("set", "mtpolicyd/host=0.0.0.0").stderr


def test_while_nothing_runs_only_the_file_is_written(ucr: Ucr) -> None:
    """The next start listens there."""
    (ucr.root / "is-active" / SOCKET).unlink()
    ucr("set", "mtpolicyd/port=10031")

    assert ucr.called() == ["daemon-reload"]


def test_a_name_without_an_address_is_told(ucr: Ucr) -> None:
    """Nothing moves."""
    before = (ucr.root / DROP_IN).read_text()
    done = ucr("set", f"mtpolicyd/host={'a' * 64}")

    assert "univention-mtpolicyd: the change cannot be applied: " in done.stderr
    assert (ucr.root / DROP_IN).read_text() == before


def test_the_firewall_is_open_exactly_while_others_may_ask(ucr: Ucr) -> None:
    """At this port, and not at the one of before."""

    def variables() -> dict[str, str]:
        lines = ucr("dump").stdout.splitlines()
        return dict(line.split(": ", 1) for line in lines if line.startswith(FIREWALL))

    told = ucr("set", "mtpolicyd/host=0.0.0.0").stderr
    assert "The policy protocol has no authentication" in told
    assert "127.0.0.0/8,::1/128" in told
    assert variables()[f"{FIREWALL}tcp/12345/all"] == "ACCEPT"
    ucr("set", "mtpolicyd/port=10031")
    assert set(variables()) == {f"{FIREWALL}tcp/10031/all", f"{FIREWALL}tcp/10031/all/en"}
    ucr("unset", "mtpolicyd/host")
    assert variables() == {}


def test_whatever_goes_wrong_ucr_set_goes_on(ucr: Ucr) -> None:
    """Other packages' files are written after ours, or before."""
    ucr.program("usr/bin/mtpolicyctl", "#!/bin/sh\necho broken\n")
    done = ucr("set", "mtpolicyd/threshold=5")

    assert "univention-mtpolicyd: the change cannot be applied" in done.stderr
    assert "threshold = 5" in ucr.settings_file.read_text()


def test_nothing_is_done_inside_our_own_maintainer_script(ucr: Ucr) -> None:
    """It does all of it, when everything is in its place."""
    environment = {**ucr.environment, "DPKG_MAINTSCRIPT_PACKAGE": "univention-mtpolicyd"}
    command = [sys.executable, "-m", "univention.config_registry", "set", "mtpolicyd/port=10031"]
    subprocess.run(command, env=environment, cwd=ucr.root, capture_output=True, check=True)

    assert ucr.called() == []


@pytest.mark.parametrize(
    ("value", "called"),
    [
        ("no", [f"disable --quiet {WHOLE}", f"stop {ALL}"]),
        ("manually", [f"disable --quiet {WHOLE}"]),
        ("yes", []),
        ("perhaps", []),
    ],
)
def test_autostart(ucr: Ucr, value: str, called: list[str]) -> None:
    """UCS's words; any other one means yes, and is told."""
    told = ucr("set", f"mtpolicyd/autostart={value}").stderr

    assert ucr.called() == called
    assert ("is not allowed" in told) == (value == "perhaps")


def test_containers_take_the_place_of_the_units(ucr: Ucr) -> None:
    """With what they need; without it the units stay."""
    told = ucr("set", "mtpolicyd/deployment=compose").stderr
    assert "the package univention-mtpolicyd-compose is not installed" in told
    assert ucr.called() == []

    with_containers(ucr)
    ucr("set", "mtpolicyd/deployment=units", "mtpolicyd/deployment=compose", "mtpolicyd/debug=2")
    assert ucr.called() == [
        f"stop {ALL}",
        f"disable --quiet {WHOLE}",
        f"enable --quiet {CONTAINERS}",
        f"start {CONTAINERS}",
    ]


def with_containers(ucr: Ucr) -> None:
    """Their package is installed."""
    place = ucr.root / "usr/share/univention-mtpolicyd/compose/docker-compose.yml"
    place.parent.mkdir(parents=True)
    place.touch()
    ucr.program("usr/bin/docker-compose", "#!/bin/sh\n")


def test_units_take_the_place_of_the_containers_again(ucr: Ucr) -> None:
    """A word that is neither leaves what there is."""
    with_containers(ucr)
    for kind in ("is-active", "is-enabled"):
        for unit in (ucr.root / kind).iterdir():
            unit.unlink()
        (ucr.root / kind / CONTAINERS).touch()
    told = ucr("set", "mtpolicyd/deployment=docker").stderr
    assert "mtpolicyd/deployment = 'docker' is not allowed; allowed: units or compose" in told
    assert ucr.called() == []

    ucr("set", "mtpolicyd/deployment=units", "mtpolicyd/port=10031")
    assert ucr.called() == [
        "daemon-reload",
        f"stop {CONTAINERS}",
        f"disable --quiet {CONTAINERS}",
        f"enable --quiet {WHOLE}",
        f"start {WHOLE}",
    ]


def test_containers_have_one_address_and_it_is_told(ucr: Ucr) -> None:
    """The first of several."""
    assert "one address" not in ucr("set", "mtpolicyd/host=127.0.0.1,127.0.0.2").stderr
    told = ucr("set", "mtpolicyd/deployment=compose", "mtpolicyd/host=127.0.0.2,127.0.0.1").stderr

    assert "containers are reached at one address alone: 127.0.0.2:12345" in told


def test_compose_publishes_the_same_port_and_mounts_the_same_settings() -> None:
    """As docker-compose 1.29 understands it."""
    program = require_program("docker-compose", packages="docker-compose")
    settings = {"allowed_clients": "127.0.0.0/8,192.0.2.0/24", "geoip_directory": "/var/lib/GeoIP"}
    text = compose.variables(Listening(("192.0.2.1",), 10031), settings)
    variables: Mapping[str, str] = dict(line.split("=", 1) for line in text.splitlines())
    done = subprocess.run(
        [program, "-f", ROOT / "docker-compose.yml", "config"],
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "192.0.2.1:10031:12345" in done.stdout
    assert "/etc/univention-mtpolicyd:/etc/univention-mtpolicyd:ro" in done.stdout
    assert "/var/lib/GeoIP:/var/lib/GeoIP:ro" in done.stdout
    assert "10.201.45.0/24,127.0.0.0/8,192.0.2.0/24" in done.stdout
