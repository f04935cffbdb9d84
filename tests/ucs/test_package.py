"""The package on a system with a systemd: installed, running, changed, upgraded, removed."""

import configparser
import json
import re
import subprocess
from pathlib import Path

import pytest

from mtpolicyd_ucs.settings_file import FIXED
from tests.support.programs import require_program
from tests.support.protos import ROOT
from tests.support.services import wait_until
from tests.support.ucr import LAYOUT
from tests.ucs.machine import Machine
from tests.ucs.packages import NEWER, VERSION, package

pytestmark = pytest.mark.ucs

INSTALL = "apt-get install --yes univention-mtpolicyd"
SETTINGS = "/etc/univention-mtpolicyd/settings.toml"
SERVICES = ("quota", "decision", "frontend")
# Asks on one connection, whose instance is new each time, as often as it is told to, with pauses.
ASK = """
import itertools, socket, subprocess, sys, time
connection = socket.create_connection(("127.0.0.1", {port}), 30)
def ask(login, instance, recipient="bob@example.net", client="84.128.0.1"):
    connection.sendall((
        "request=smtpd_access_policy\\nprotocol_state=RCPT\\nclient_address=%s\\nsasl_username=%s\\n"
        "instance=%s\\nrecipient=%s\\n\\n" % (client, login, instance, recipient)).encode())
    reply = b""
    while not reply.endswith(b"\\n\\n"):
        data = connection.recv(4096)
        if not data:
            raise SystemExit("the connection was closed")
        reply += data
    return reply.decode().strip()
"""


def listening(machine: Machine) -> set[str]:
    """Addresses and ports at which somebody listens."""
    return {
        line.split()[3] for line in machine.said("ss --no-header --listening --tcp --numeric").splitlines()
    }


def test_lintian_finds_nothing(repository: Path) -> None:
    """No error, no warning; what is overridden has its reason beside it."""
    lintian = require_program("lintian", packages="lintian")
    done = subprocess.run(
        [lintian, "--allow-root", "--fail-on=error,warning", *repository.glob("*.deb")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_files_lie_where_ucr_looks_for_them(repository: Path) -> None:
    """And nothing of ours is in a place that another package of that name removes."""
    listed = subprocess.run(
        ["dpkg-deb", "--contents", package(repository)], capture_output=True, text=True, check=True
    )
    files = {line.split()[5].removeprefix(".") for line in listed.stdout.splitlines()}

    assert {f"/etc/univention/{target}" for target in LAYOUT.values()} <= files
    assert [
        name for name in files if re.match(r"/(var/lib|etc|usr/bin|lib/systemd/system)/mtpolicyd", name)
    ] == []
    assert [name for name in files if name.endswith((".pyc", "/pip/"))] == []


def test_documents_are_where_units_and_readmes_say(repository: Path, tmp_path: Path) -> None:
    """Uncompressed: `systemctl help` and a link know one name."""
    subprocess.run(["dpkg-deb", "--extract", package(repository), tmp_path], check=True)
    units = [path.read_text() for path in (tmp_path / "lib/systemd/system").iterdir()]
    named = {
        name for text in units for name in re.findall(r"^Documentation=file:///(.*)$", text, re.MULTILINE)
    }
    assert named
    assert [name for name in named if not (tmp_path / name).exists()] == []
    documents = tmp_path / "usr/share/doc/univention-mtpolicyd"
    for readme in ("README.md", "README.de.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", (documents / readme).read_text())
        assert len(links) >= 4
        assert [link for link in links if not (documents / link).exists()] == [], readme


def test_it_shares_no_file_with_mtpolicyd_of_debian(repository: Path, tmp_path: Path) -> None:
    """Hence neither Conflicts nor Replaces: both can be installed."""
    tmp_path.chmod(0o755)
    subprocess.run(["apt-get", "download", "mtpolicyd"], cwd=tmp_path, capture_output=True, check=True)
    (theirs,) = tmp_path.glob("mtpolicyd_*.deb")

    def files(path: Path) -> set[str]:
        listed = subprocess.run(["dpkg-deb", "--contents", path], capture_output=True, text=True, check=True)
        return {line.split()[5] for line in listed.stdout.splitlines() if not line.startswith("d")}

    assert files(package(repository)) & files(theirs) == set()


def test_after_the_installation_everything_works_with_its_defaults(fresh: Machine) -> None:
    """Without a network: nothing is fetched. Postfix is not touched."""
    told = fresh.run(INSTALL)
    fresh.wait_ready()

    assert (
        "the services run. Postfix does not ask them yet; next: univention-mtpolicyd-activate" in told.stdout
    )
    assert fresh.said("mtpolicyctl test --user alice --ip 84.128.0.1") == "DUNNO"
    assert fresh.run("mtpolicyctl test --user alice --ip 8.8.8.8", check=False).stdout.startswith(
        "REJECT 5.7.1 "
    )
    assert listening(fresh) == {"127.0.0.1:12345", "127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103"}
    assert fresh.said("systemctl is-enabled univention-mtpolicyd.service") == "enabled"
    assert (
        fresh.run("systemctl is-enabled univention-mtpolicyd-geo-update.timer", check=False).stdout
        == "disabled\n"
    )
    assert fresh.said("dpkg --verify univention-mtpolicyd") == ""


def test_a_web_server_may_have_the_repository(fresh: Machine) -> None:
    """As well as a directory."""
    address = "127.0.0.1:8080"
    server = f"python3 -m http.server 8080 --bind {address.partition(':')[0]} --directory /srv/repository"
    fresh.run(f"systemd-run --quiet {server}")
    wait_until(lambda: address in listening(fresh))
    fresh.run(f"echo 'deb [trusted=yes] http://{address} ./' >/etc/apt/sources.list && apt-get update")
    fresh.run("apt-get install --yes --download-only univention-mtpolicyd")

    fetched = fresh.said("ls /var/cache/apt/archives")
    assert f"univention-mtpolicyd_{VERSION}_amd64.deb" in fetched


def test_installed_into_an_image_it_runs_after_the_boot(machine: Machine) -> None:
    """There was no systemd when it was installed."""
    assert machine.said("mtpolicyctl test --user alice --ip 84.128.0.1") == "DUNNO"
    assert machine.said("systemctl list-units --failed --no-legend") == ""


def test_the_services_run_without_rights(machine: Machine) -> None:
    """As their own user, without capabilities, and where they may not write nothing can be written."""
    service = configparser.ConfigParser()
    service.read(machine.root / "etc/univention/service.info/services/univention-mtpolicyd.cfg")
    programs = service["univention-mtpolicyd"]["programs"].split(", ")
    for name, pid in machine.pids().items():
        status = dict(re.findall(r"^(\w+):\s+(.*)$", machine.said(f"cat /proc/{pid}/status"), re.MULTILINE))
        user = machine.said("id --user univention-mtpolicyd")
        assert set(status["Uid"].split()) == {user}, name
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, name
        assert status["NoNewPrivs"] == "1", name
        assert status["Seccomp"] == "2", name
        unit = f"univention-mtpolicyd-{name}.service"
        machine.run(f"systemd-analyze security --threshold=30 --no-pager {unit}")
        environment = machine.said(f"tr '\\0' '\\n' </proc/{pid}/environ | grep ^MTPOLICYD_")
        assert environment == f"MTPOLICYD_CONFIG={SETTINGS}", name
        # What UCS looks for to say whether the service runs.
        assert machine.said(f"tr '\\0' ' ' </proc/{pid}/cmdline").strip() in programs
    # Nobody else reaches what they say to each other.
    for path in (FIXED["quota_listen"], FIXED["decision_listen"]):
        directory = str(Path(path.removeprefix("unix:")).parent)
        assert machine.said(f"stat --format=%U:%a {directory}") == "univention-mtpolicyd:750"


def umc(machine: Machine, action: str) -> None:
    """What the UMC module for services runs: service(8), for the unit that the service file names."""
    service = configparser.ConfigParser()
    service.read(machine.root / "etc/univention/service.info/services/univention-mtpolicyd.cfg")
    name = service["univention-mtpolicyd"]["systemd"].removesuffix(".service")
    machine.run(f"/usr/sbin/service {name} {action}")


def test_the_umc_stops_starts_and_restarts_it(machine: Machine) -> None:
    """All three services, and the port with them; while they restart, the port stays open."""
    before = machine.pids()
    umc(machine, "stop")
    wait_until(lambda: set(machine.pids().values()) == {"0"}, what="all have ended")
    assert "127.0.0.1:12345" not in listening(machine)
    umc(machine, "start")
    machine.wait_ready()
    assert machine.said("mtpolicyctl test --user alice --ip 84.128.0.1") == "DUNNO"
    started = machine.pids()
    program = """
restart = subprocess.Popen(["service", "univention-mtpolicyd", "restart"])
while restart.poll() is None:
    # A refused connection ends this program.
    connection = socket.create_connection(("127.0.0.1", 12345), 30)
    assert ask("", "u.1") == "action=DUNNO"
    time.sleep(0.02)
assert restart.returncode == 0
"""
    machine.python(ASK.format(port=12345) + program)
    machine.wait_ready()
    assert set(started.values()).isdisjoint({*before.values(), *machine.pids().values()})


def test_the_services_may_keep_their_threads_on_one_processor(machine: Machine) -> None:
    """The units' filter of system calls does not forbid it (chassis/processor.py)."""
    for name in SERVICES:
        show = "systemctl show --property=SystemCallFilter --value"
        assert "sched_setaffinity" in machine.said(f"{show} univention-mtpolicyd-{name}.service").split()


def test_each_service_has_its_identifier_in_the_journal(machine: Machine) -> None:
    """All of them have something to say of a file that is no TOML."""
    machine.run(f"echo 'this is no TOML' >>{SETTINGS}")
    for name in SERVICES:
        said = f"journalctl --quiet --no-pager --identifier=univention-mtpolicyd-{name}"
        wait_until(lambda said=said: "event=settings_refused" in machine.said(said), what=f"{name} says so")


def test_a_changed_threshold_is_in_force_within_three_seconds(machine: Machine) -> None:
    """On a connection that is not closed."""
    program = """
assert ask("alice", "a.1") == "action=DUNNO"
began = time.monotonic()
command = subprocess.Popen(["ucr", "set", "mtpolicyd/threshold=1"], stdout=subprocess.DEVNULL)
for number in itertools.count():
    if ask("user%d" % number, "b.%d" % number, "a@example.net") != "action=DUNNO":
        raise SystemExit("the first recipient of a user is never over the limit")
    if ask("user%d" % number, "b.%d" % number, "b@example.net").startswith("action=DEFER"):
        break
    time.sleep(0.05)
print(time.monotonic() - began)
assert command.wait(30) == 0
"""
    before = machine.pids()

    assert float(machine.python(ASK.format(port=12345) + program)) < 3
    assert machine.pids() == before


def test_wrong_values_hold_back_nothing_else_now_or_at_the_next_boot(machine: Machine) -> None:
    """The admin sees why, in what `ucr set` says and in the log; of each the value before stays in force."""
    machine.run("ucr set mtpolicyd/allowedcountries=DE,AT mtpolicyd/debug=2 mtpolicyd/threshold=700")
    before = machine.pids()
    wrong = {
        "port": "99999 is not allowed; allowed: a port number, 1 to 65535",
        "debug": "9 is not allowed",
        "allowedcountries": "'Germany' is not allowed (GERMANY is no country)",
    }
    told = machine.run(
        "ucr set mtpolicyd/port=99999 mtpolicyd/debug=9 mtpolicyd/allowedcountries=Germany"
    ).stderr
    logged = machine.said("journalctl --no-pager --identifier=univention-mtpolicyd")

    for name, reason in wrong.items():
        assert f"mtpolicyd/{name} = {reason}" in told
        assert f"mtpolicyd/{name} = {reason}" in logged
    assert 'mtpolicyd/allowedcountries: the value before stays in force until this is mended: "DE,AT"' in told
    machine.run("ucr set mtpolicyd/threshold=500")
    copies = [f"/var/lib/univention-mtpolicyd/settings-{name}.toml" for name in SERVICES]
    wait_until(
        lambda: all("threshold = 500" in machine.said(f"cat {copy}") for copy in copies),
        seconds=3,
        what="all services have taken over what is right",
    )
    assert machine.pids() == before
    machine.reboot()
    machine.wait_ready()
    assert machine.said("mtpolicyctl test --user alice --ip 84.128.0.1") == "DUNNO"
    shown = machine.run("mtpolicyctl show-config")
    assert shown.stderr == ""
    for line in ("allowedcountries +AT,DE", "debug +2", "threshold +500", "port +12345"):
        assert re.search(rf"^{line} ", shown.stdout, re.MULTILINE), line


def test_a_value_that_was_wrong_before_the_installation_stops_nothing(fresh: Machine) -> None:
    """The rest is taken over."""
    fresh.run("ucr set mtpolicyd/port=99999 mtpolicyd/threshold=300 mtpolicyd/allowedcountries='AT DE'")
    told = fresh.run(INSTALL)
    fresh.wait_ready()

    # dpkg has one terminal for both.
    assert "mtpolicyd/port = 99999 is not allowed" in told.stdout + told.stderr
    assert fresh.said("ucr get mtpolicyd/threshold") == "300"
    shown = fresh.run("mtpolicyctl show-config").stdout
    assert re.search(r"^threshold +300 ", shown, re.MULTILINE)
    assert re.search(r"^allowedcountries +AT,DE ", shown, re.MULTILINE)
    assert fresh.said("mtpolicyctl test --user alice --ip 84.128.0.1 2>/dev/null") == "DUNNO"


def test_a_new_port_moves_the_policy_port_and_restarts_nobody_else(machine: Machine) -> None:
    """Not even the frontend on a change of anything else."""
    before = machine.pids()
    machine.run("ucr set mtpolicyd/port=10031")
    machine.wait_ready()

    assert "127.0.0.1:10031" in listening(machine)
    assert "127.0.0.1:12345" not in listening(machine)
    assert machine.said("mtpolicyctl test --user alice --ip 84.128.0.1") == "DUNNO"
    after = machine.pids()
    assert {name: after[name] for name in ("quota", "decision")} == {
        name: before[name] for name in ("quota", "decision")
    }
    machine.reboot()
    machine.wait_ready()
    assert "127.0.0.1:10031" in listening(machine)


def test_a_port_that_somebody_has_is_told_and_the_old_one_stays(machine: Machine) -> None:
    """As with Debian's mtpolicyd, which has the same port."""
    program = "import socket, time; s = socket.create_server(('127.0.0.1', 10031)); time.sleep(300)"
    machine.run(f'systemd-run --quiet python3 -c "{program}"')
    wait_until(lambda: "127.0.0.1:10031" in listening(machine))
    told = machine.run("ucr set mtpolicyd/port=10031").stderr
    machine.wait_ready()

    assert "cannot listen on 127.0.0.1:10031, the address before stays" in told
    assert "127.0.0.1:12345" in listening(machine)
    assert "DUNNO" in machine.python(ASK.format(port=12345) + 'print(ask("alice", "c.1"))')


def test_another_host_opens_the_firewall_and_says_what_that_means(machine: Machine) -> None:
    """And localhost closes it again."""
    told = machine.run(
        "ucr set mtpolicyd/host=0.0.0.0 mtpolicyd/allowedclients='127.0.0.0/8 192.0.2.0/24'"
    ).stderr
    machine.wait_ready()

    assert "0.0.0.0:12345" in listening(machine)
    assert "The policy protocol has no authentication" in told
    assert "127.0.0.0/8,192.0.2.0/24" in told
    firewall = "security/packetfilter/package/univention-mtpolicyd"
    assert machine.said(f"ucr get {firewall}/tcp/12345/all") == "ACCEPT"
    machine.run("ucr set mtpolicyd/port=10031")
    assert machine.said(f"ucr dump | grep {firewall} | grep -c ACCEPT") == "1"
    assert machine.said(f"ucr get {firewall}/tcp/10031/all") == "ACCEPT"
    machine.run("ucr unset mtpolicyd/host")
    assert machine.run(f"ucr dump | grep {firewall}", check=False).stdout == ""
    assert "127.0.0.1:10031" in listening(machine)


def test_a_killed_frontend_costs_nobody_a_connection(machine: Machine) -> None:
    """systemd holds the port: who connects in between waits for the next one."""
    program = """
subprocess.run(["systemctl", "kill", "--signal=KILL", "univention-mtpolicyd-frontend.service"], check=True)
connection = socket.create_connection(("127.0.0.1", 12345), 30)
print(ask("alice", "d.1"))
"""
    assert machine.python(ASK.format(port=12345) + program) == "action=DUNNO"


def test_an_upgrade_keeps_counts_and_settings_and_loses_no_mail(machine: Machine) -> None:
    """Who asks meanwhile has an answer, and what is accepted is counted; so after a downgrade."""
    machine.run("ucr set mtpolicyd/threshold=3")
    wait_until(
        lambda: "threshold = 3" in machine.said("cat /var/lib/univention-mtpolicyd/settings-decision.toml")
    )
    asking = 'for n in range(3): print(ask("carol", "e.1", "r%d@example.net" % n))'
    assert machine.python(ASK.format(port=12345) + asking).count("DUNNO") == 3
    before = machine.pids()
    machine.run("ucr set mtpolicyd/onfailure=defer && mtpolicyctl limit set erin 100000")
    program = """
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
upgrade = subprocess.Popen(["dpkg", "--install", "/srv/newer.deb"], **quiet)
accepted = deferred = 0
for number in itertools.count():
    if upgrade.poll() is not None:
        break
    for attempt in range(2):
        # A refused connection ends this program. One that is closed is made anew, once, as Postfix does.
        connection = socket.create_connection(("127.0.0.1", 12345), 30)
        try:
            answer = ask("erin", "f.%d" % number)
            break
        except (SystemExit, ConnectionResetError, BrokenPipeError):
            assert attempt == 0
    accepted += answer == "action=DUNNO"
    deferred += answer.startswith("action=DEFER")
    assert accepted + deferred == number + 1, answer
    connection.close()
    time.sleep(0.02)
print(accepted, deferred, upgrade.returncode)
"""
    accepted, deferred, returncode = map(int, machine.python(ASK.format(port=12345) + program).split())
    machine.wait_ready()

    assert returncode == 0
    assert accepted > 20
    (day,) = json.loads(machine.said("mtpolicyctl usage erin --json"))["days"]
    assert accepted <= day["used"] <= accepted + deferred
    assert version(machine) == NEWER
    assert set(machine.pids().values()).isdisjoint(before.values())
    over = 'print(ask("carol", "g.1", "r9@example.net"))'
    assert machine.python(ASK.format(port=12345) + over).startswith("action=DEFER")

    machine.run(f"apt-get install --yes --allow-downgrades univention-mtpolicyd={VERSION}")
    machine.wait_ready()
    assert version(machine) == VERSION
    assert machine.python(ASK.format(port=12345) + over).startswith("action=DEFER")


def version(machine: Machine) -> str:
    return machine.said("dpkg-query --show --showformat='${Version}' univention-mtpolicyd")


def test_a_reinstallation_changes_nothing(machine: Machine) -> None:
    """Settings, autostart and state are as before."""
    machine.run("ucr set mtpolicyd/threshold=42")
    settings = machine.said(f"cat {SETTINGS}")
    machine.run("apt-get install --yes --reinstall univention-mtpolicyd")
    machine.wait_ready()

    assert machine.said(f"cat {SETTINGS}") == settings
    assert machine.said("mtpolicyctl test --user alice --ip 84.128.0.1") == "DUNNO"


def test_removed_nothing_runs_and_the_counts_are_kept_for_the_next_time(machine: Machine) -> None:
    """Removing is not purging."""
    machine.run("ucr set mtpolicyd/host=0.0.0.0 mtpolicyd/threshold=1")
    machine.wait_ready()
    assert machine.said("mtpolicyctl test --user dora --ip 84.128.0.1") == "DUNNO"
    machine.run("apt-get remove --yes univention-mtpolicyd")

    assert listening(machine) == set()
    assert (
        machine.run("systemctl list-unit-files --no-legend 'univention-mtpolicyd*'", check=False).stdout == ""
    )
    assert machine.run("ucr dump | grep packetfilter", check=False).stdout == ""
    assert not (machine.root / SETTINGS.lstrip("/")).exists()
    assert (machine.root / "var/lib/univention-mtpolicyd/quota.sqlite3").exists()
    assert not (machine.root / "usr/lib/univention-mtpolicyd").exists()
    assert not list((machine.root / "etc/systemd/system").rglob("*mtpolicyd*"))
    # UCR no longer knows our file, and its templates, which a removal leaves, do not run.
    assert machine.run("ucr set mtpolicyd/debug=2").stderr == ""
    assert not (machine.root / SETTINGS.lstrip("/")).exists()
    machine.run(INSTALL)
    machine.wait_ready()
    assert machine.run("mtpolicyctl test --user dora --ip 84.128.0.1", check=False).stdout.startswith("DEFER")


# As much of Postfix as is asked before something is changed.
POSTFIX = {
    "usr/sbin/postconf": "#!/bin/sh\n[ \"$1\" != -M ] || echo 'smtp inet n - n - - smtpd'\n",
    "usr/sbin/postfix": '#!/bin/sh\necho "$@" >>/srv/postfix.log\n',
}


def test_a_removal_takes_the_check_out_of_postfix(machine: Machine) -> None:
    """What the activation has not set stays, and is told."""
    machine.install_stub("postfix", "3.7.11", POSTFIX)
    slots = "mail/postfix/smtpd/restrictions/recipient"
    by_hand = f"{slots}/79"
    machine.run(f"ucr set {slots}/10=permit_mynetworks {by_hand}='check_policy_service inet:127.0.0.1:12345'")
    machine.run("univention-mtpolicyd-activate --observe")
    assert "12345" in machine.said(f"ucr get {slots}/08-mtpolicyd")
    done = machine.run("apt-get purge --yes univention-mtpolicyd")

    assert machine.run(f"ucr get {slots}/08-mtpolicyd", check=False).returncode == 1
    assert machine.said(f"ucr get {slots}/10") == "permit_mynetworks"
    assert machine.said("tail -n 1 /srv/postfix.log") == "reload"
    assert f"{by_hand} still asks" in done.stdout + done.stderr


def test_a_removal_that_fails_leaves_it_running(machine: Machine) -> None:
    """dpkg keeps the package then, and has its postinst set it right."""
    machine.run("ucr set mtpolicyd/threshold=42")
    script = machine.root / "var/lib/dpkg/info/univention-mtpolicyd.prerm"
    script.write_text(script.read_text().replace("exit 0", "exit 1"))
    assert machine.run("dpkg --remove univention-mtpolicyd", check=False).returncode != 0
    machine.wait_ready()

    assert "threshold = 42\n" in machine.said(f"cat {SETTINGS}")
    assert machine.said("mtpolicyctl test --user alice --ip 84.128.0.1") == "DUNNO"
    assert machine.said("systemctl is-enabled univention-mtpolicyd.service") == "enabled"


def test_purged_nothing_of_it_is_left_but_what_the_admin_has_set(machine: Machine) -> None:
    """UCR's variables stay, as those of every package do."""
    machine.run("ucr set mtpolicyd/threshold=42")
    machine.run("apt-get purge --yes univention-mtpolicyd")

    left = machine.said(
        "find / -xdev -name '*mtpolicyd*' -not -path '/srv/*' -not -path '/proc/*' -not -path '/run/*'"
    )
    logs = ("/var/log/", "/var/lib/apt/", "/var/cache/apt/", "/tmp/", "/var/tmp/")
    assert [line for line in left.splitlines() if not line.startswith(logs)] == []
    assert machine.said("ucr get mtpolicyd/threshold") == "42"
    assert (machine.root / "var/lib/dpkg/info").exists()


def test_autostart_and_deployment(machine: Machine) -> None:
    """`no` stops, `yes` starts, `manually` leaves it to the admin; what cannot be is told."""
    machine.run("ucr set mtpolicyd/autostart=no")
    assert set(machine.pids().values()) == {"0"}
    assert "127.0.0.1:12345" not in listening(machine)
    machine.run("ucr set mtpolicyd/autostart=manually")
    assert set(machine.pids().values()) == {"0"}
    machine.run("systemctl start univention-mtpolicyd.service")
    machine.wait_ready()
    machine.reboot()
    assert set(machine.pids().values()) == {"0"}
    machine.run("ucr set mtpolicyd/autostart=yes")
    machine.wait_ready()
    before = machine.pids()
    told = machine.run("ucr set mtpolicyd/deployment=compose").stderr
    assert "the package univention-mtpolicyd-compose is not installed" in told
    assert machine.pids() == before


def test_the_package_of_the_containers_has_what_the_image_is_built_of(repository: Path) -> None:
    """And what docker-compose.yml mounts."""
    found = package(repository, "univention-mtpolicyd-compose")
    listed = subprocess.run(["dpkg-deb", "--contents", found], capture_output=True, text=True, check=True)
    place = "./usr/share/univention-mtpolicyd/compose/"
    files = {line.split()[5].removeprefix(place).rstrip("/") for line in listed.stdout.splitlines()}
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    copied = [
        words
        for line in re.findall(r"^COPY (?!--)(.*)$", dockerfile, re.MULTILINE)
        for words in [line.split()]
    ]
    mounted = re.findall(r"- \./([^:]+):", (ROOT / "docker-compose.yml").read_text())

    assert {name.rstrip("/") for words in copied for name in words[:-1]} <= files
    assert set(mounted) <= files
    assert {"docker-compose.yml", "deploy/Dockerfile", ".dockerignore"} <= files
    assert len([name for name in files if name.endswith(".whl")]) > 20


def test_versions_agree(repository: Path) -> None:
    """The package has the version of the project."""
    shown = subprocess.run(
        ["dpkg-deb", "--field", package(repository), "Version", "Architecture"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == ["Version:", VERSION, "Architecture:", "amd64"]


def test_it_wants_the_python_that_its_environment_is_made_for(repository: Path) -> None:
    """grpcio and uvloop are built for one minor version, and nothing else has to be fetched for it."""
    shown = subprocess.run(
        ["dpkg-deb", "--field", package(repository), "Depends"], capture_output=True, text=True, check=True
    )
    depends = set(shown.stdout.strip().split(", "))

    assert {"python3 (>= 3.11)", "python3 (<< 3.12)", "adduser"} <= depends
    assert [name for name in depends if name.startswith("python3-")] == []
