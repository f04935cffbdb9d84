"""What the containers may do, and what is open to whom."""

import re
from collections.abc import Iterator, Sequence
from urllib.request import urlopen

import pytest

from tests.compose.engine import Engine
from tests.compose.stack import MONITORING, SERVICES, Inspected, Stack, created, labels
from tests.support.policy import AMERICAN, PolicyClient, encode, request

pytestmark = pytest.mark.compose

ALL = {*SERVICES, *MONITORING}
OWN_STOP_SECONDS = 10


@pytest.fixture(scope="module")
def as_it_comes(engine: Engine, stack: Stack, program: Sequence[str]) -> Iterator[Stack]:
    """What `docker compose up` makes without a variable set."""
    with created(engine, stack.checkout, "as-it-comes", program) as made:
        yield made


def service(container: Inspected) -> str:
    return labels(container)["com.docker.compose.service"]


def test_up_starts_everything_but_the_update(as_it_comes: Stack) -> None:
    """Nothing is fetched from outside before somebody asks for it."""
    assert {service(one) for one in as_it_comes.containers()} == ALL


def test_the_first_up_builds_the_image(engine: Engine, stack: Stack, program: Sequence[str]) -> None:
    """One for all; nobody looks for it in a registry, where somebody else might have put one."""
    image = "univention-mtpolicyd:first"
    engine.docker("rmi", image, check=False)
    variables = {"IMAGE": image, "COMPOSE_PROFILES": "monitoring,geo"}
    with created(engine, stack.checkout, "first", program, **variables) as made:
        used = {service(one): one["Image"] for one in made.containers()}
        (built,) = engine.docker("images", "--no-trunc", "--quiet", image).split()

    assert used.keys() == {*ALL, "geo-update"}
    assert {used[name] for name in (*SERVICES, "geo-update")} == {built}


def test_only_the_policy_port_and_grafana_are_published_on_loopback(as_it_comes: Stack) -> None:
    """On their documented ports."""
    published = {
        (service(one), inside, binding["HostIp"], binding["HostPort"])
        for one in as_it_comes.containers()
        for inside, bindings in (one["HostConfig"]["PortBindings"] or {}).items()
        for binding in bindings
    }

    assert published == {
        ("frontend", "12345/tcp", "127.0.0.1", "12345"),
        ("grafana", "3000/tcp", "127.0.0.1", "3000"),
    }


def test_every_container_is_confined(as_it_comes: Stack) -> None:
    """And looked after: Docker knows whether it is well."""
    for one in as_it_comes.containers():
        assert_confined(one)
        assert one["Config"]["Healthcheck"]["Test"], service(one)


def test_the_update_of_country_data_is_confined_too(engine: Engine, stack: Stack) -> None:
    """It reaches the Internet, and nothing of ours."""
    with created(engine, stack.checkout, "with-geo", COMPOSE_PROFILES="geo") as made:
        update = made.container("geo-update")
        networks = list(update["NetworkSettings"]["Networks"])

    assert_confined(update)
    assert networks == ["with-geo_outside"]


def assert_confined(one: Inspected) -> None:
    """No root, no capability, nothing to write on, bounds on memory, processors, processes and the log."""
    host, name = one["HostConfig"], service(one)
    assert one["Config"]["User"].split(":")[0] not in {"", "0", "root"}, name
    assert host["ReadonlyRootfs"], name
    assert host["CapDrop"] == ["ALL"], name
    assert host["CapAdd"] is None, name
    assert not host["Privileged"], name
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), name
    assert list(host["Tmpfs"]) == ["/tmp"], name
    assert host["Init"], name
    assert host["RestartPolicy"]["Name"] == "unless-stopped", name
    assert host["Memory"] > 0, name
    assert host["NanoCpus"] > 0, name
    assert 0 < host["PidsLimit"] <= 256, name
    assert host["LogConfig"]["Type"] == "json-file", name
    assert {"max-size", "max-file"} <= host["LogConfig"]["Config"].keys(), name
    assert one["Config"]["StopTimeout"] > OWN_STOP_SECONDS, name


def test_without_the_profile_only_the_services_start(engine: Engine, stack: Stack) -> None:
    """Where a Grafana and a Prometheus are there already, ours are left out."""
    with created(engine, stack.checkout, "without-monitoring", COMPOSE_PROFILES="") as made:
        assert {service(one) for one in made.containers()} == set(SERVICES)


def test_metrics_are_published_for_a_prometheus_outside(engine: Engine, stack: Stack) -> None:
    """With one more file, and on loopback."""
    files = "docker-compose.yml:deploy/compose.metrics.yml"
    with created(engine, stack.checkout, "with-metrics", COMPOSE_PROFILES="", COMPOSE_FILE=files) as made:
        published = {
            f"{binding['HostIp']}:{binding['HostPort']}"
            for one in made.containers()
            for bindings in one["HostConfig"]["PortBindings"].values()
            for binding in bindings
        }

    assert published == {f"127.0.0.1:{port}" for port in (12345, 9101, 9102, 9103)}


@pytest.mark.parametrize("name", [*SERVICES, *MONITORING])
def test_no_process_has_root_or_a_capability(stack: Stack, name: str) -> None:
    """Seen from within, in what the kernel says of every process."""
    status = stack.run(name, "sh", "-c", "cat /proc/[0-9]*/status")

    found = {
        key: set(re.findall(rf"^{key}:\t(\w+)", status, re.MULTILINE))
        for key in ("Uid", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs")
    }
    assert found.pop("Uid") <= {"10001", "65534", "472"}
    assert found == {
        "CapPrm": {"0" * 16},
        "CapEff": {"0" * 16},
        "CapBnd": {"0" * 16},
        "NoNewPrivs": {"1"},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_threads_may_be_kept_on_one_processor(stack: Stack, name: str) -> None:
    """The engine's filter of system calls does not forbid it (chassis/processor.py)."""
    keep = (
        "import os; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}); print(os.sched_getaffinity(0))"
    )
    assert len(stack.run(name, "python", "-c", keep).split(",")) == 1


@pytest.mark.parametrize("name", [*SERVICES, *MONITORING])
def test_nothing_is_written_but_state(stack: Stack, name: str) -> None:
    """The root file system is read-only, and so is what is mounted for reading."""
    one = stack.container(name)
    mounts = [
        line.split()[1:4]
        for line in stack.run(name, "cat", "/proc/mounts").splitlines()
        if not line.split()[1].startswith(("/proc", "/sys", "/dev", "/etc/host", "/etc/resolv"))
    ]
    writable = {path for path, _, options in mounts if "rw" in options.split(",")}

    volumes = {mount["Destination"] for mount in one["Mounts"] if mount["Type"] == "volume" and mount["RW"]}
    assert writable == {"/tmp", *volumes}
    assert len(volumes) == 1
    assert ["/", "ro"] in [[path, options.split(",")[0]] for path, _, options in mounts]


@pytest.mark.parametrize("name", ["decision", "quota"])
def test_what_is_behind_the_frontend_has_no_way_out(stack: Stack, engine: Engine, name: str) -> None:
    """It reaches the frontend in the network that both are in, and not at its address in another network."""
    frontend = stack.container("frontend")
    reach = "import socket, sys; socket.create_connection((sys.argv[1], 9101), 2)"

    def reaches(network: str) -> bool:
        command = (
            "exec",
            stack.container(name)["Id"],
            "sh",
            "-c",
            f"python -c '{reach}' $0 2>&1 && echo reached",
        )
        return "reached" in engine.docker(*command, stack.address(frontend, network), check=False)

    assert reaches("backend")
    assert not reaches("policy")


def test_the_network_behind_the_frontend_is_internal(stack: Stack, engine: Engine) -> None:
    """And the only one of decision, quota and Prometheus."""
    for name in ("decision", "quota", "prometheus"):
        assert list(stack.container(name)["NetworkSettings"]["Networks"]) == [f"{stack.name}_backend"]
    network = engine.docker("network", "inspect", f"{stack.name}_backend", "--format", "{{.Internal}}")
    assert network.strip() == "true"


def test_another_container_may_not_use_the_policy_port(stack: Stack) -> None:
    """It reaches the frontend, and is closed without an answer; this host is answered."""
    ask = f"""
import socket
with socket.create_connection(("frontend", 12345), 5) as client:
    try:
        client.sendall({encode(request(client_address=AMERICAN))!r})
        print(client.recv(100))
    except ConnectionError:
        print(b"")
"""
    assert stack.run("quota", "python", "-c", ask) == "b''\n"

    with PolicyClient(stack.policy_ports()[0]) as client:
        assert client.ask(client_address=AMERICAN).startswith("REJECT ")


def test_the_image_holds_no_installer_and_tells_what_it_is(stack: Stack) -> None:
    """What builds it stays behind; labels are those of the OCI."""
    found = "ls /opt/univention-mtpolicyd/bin; command -v pip gcc || true"
    told = labels(stack.container("quota"))

    assert not re.search(r"\b(pip|hatchling|gcc)", stack.run("quota", "sh", "-c", found))
    assert told["org.opencontainers.image.title"] == "univention-mtpolicyd"
    assert told["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert told["org.opencontainers.image.base.name"] == "debian:bookworm-slim"


def test_grafana_finds_what_it_is_started_with(stack: Stack) -> None:
    """Seen from a stand-in: a password of its own that stays, files it can read, Prometheus, its port."""
    password = "/var/lib/grafana/admin-password"
    before = stack.compose("exec", "-T", "grafana", "cat", password)
    files = "cat /etc/grafana/provisioning/*/*.yml /etc/grafana/dashboards/*.json"

    stack.compose("restart", "grafana")
    stack.wait_healthy("grafana")

    assert re.fullmatch(r"[A-Za-z0-9+/]{24}\n", before)
    assert stack.compose("exec", "-T", "grafana", "cat", password) == before
    assert stack.run("grafana", "stat", "-c", "%a %u", password) == "600 472\n"
    assert "mtpolicyd: Overview" in stack.run("grafana", "sh", "-ec", files)
    assert "Ready" in stack.run("grafana", "wget", "-q", "-O", "-", "http://prometheus:9090/-/ready")
    with urlopen(f"http://127.0.0.1:{stack.variables['GRAFANA_PORT']}/api/health", timeout=5) as answer:
        assert answer.status == 200


def test_what_is_mounted_for_the_monitoring_is_good(stack: Stack) -> None:
    """Prometheus and Alertmanager say so of their files, and of the example for an outside Prometheus."""
    for name in ("prometheus.yml", "outside.yml"):
        assert "SUCCESS" in stack.run("prometheus", "promtool", "check", "config", f"/etc/prometheus/{name}")
    file = "/etc/alertmanager/alertmanager.yml"
    assert "SUCCESS" in stack.run("alertmanager", "amtool", "check-config", file)
