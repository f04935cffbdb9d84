"""`mtpolicyctl`."""

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chassis import ctl
from chassis.ctl import app, main, settings_table
from chassis.settings import ServiceSettings, declarations, registered

Patch = pytest.MonkeyPatch
CapSys = pytest.CaptureFixture[str]


class FakeLauncher:
    """Remembers what it was given, and ends at once."""

    given: Mapping[str, ServiceSettings] | None = None
    exit_code = 0

    def __init__(self, settings: Mapping[str, ServiceSettings]) -> None:
        FakeLauncher.given = settings

    async def run(self) -> int:
        return FakeLauncher.exit_code


@pytest.fixture(autouse=True)
def launcher(monkeypatch: Patch) -> None:
    """No test of this file starts a service."""
    monkeypatch.setattr(FakeLauncher, "given", None)
    monkeypatch.setattr("chassis.launcher.Launcher", FakeLauncher)


@pytest.fixture
def commands(monkeypatch: Patch) -> None:
    """What `main` adds to the commands is gone after the test."""
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    monkeypatch.setattr(app, "registered_groups", list(app.registered_groups))


def run_main(monkeypatch: Patch, *arguments: str) -> object:
    """The exit code of the console script."""
    monkeypatch.setattr(sys, "argv", ["mtpolicyctl", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


# run


@pytest.mark.parametrize("code", [0, 2])
def test_run_ends_as_the_launcher_ends(monkeypatch: Patch, code: int) -> None:
    """It gets the settings of every service."""
    monkeypatch.setattr(FakeLauncher, "exit_code", code)
    monkeypatch.setenv("MTPOLICYD_DEBUG", "3")
    result = CliRunner().invoke(app, ["run"])

    assert (result.exit_code, result.output) == (code, "")
    assert FakeLauncher.given is not None
    assert {name: (type(of), of.debug) for name, of in FakeLauncher.given.items()} == {
        name: (cls, 3) for name, cls in registered().items()
    }


def test_run_names_every_wrong_setting_before_it_starts_anything(monkeypatch: Patch) -> None:
    """Each once, whichever services read it; exit code 2."""
    for name, value in (("DEBUG", "9"), ("PORT", "99999"), ("THRESHOLD", "0"), ("TRESHOLD", "5")):
        monkeypatch.setenv(f"MTPOLICYD_{name}", value)
    result = CliRunner().invoke(app, ["run"])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert sorted(re.split("=| is ", line)[0] for line in result.stderr.splitlines()) == [
        "univention-mtpolicyd: MTPOLICYD_DEBUG",
        "univention-mtpolicyd: MTPOLICYD_PORT",
        "univention-mtpolicyd: MTPOLICYD_THRESHOLD",
        "univention-mtpolicyd: MTPOLICYD_TRESHOLD",
    ]
    assert FakeLauncher.given is None


# check-config, show-config


def test_check_config_warns_of_what_was_hardly_meant(tmp_path: Path) -> None:
    """And finds the file good."""
    path = tmp_path / "f.toml"
    path.write_text('allowed_networks = ["192.0.2.1/24"]')
    result = CliRunner().invoke(app, ["check-config", str(path)])

    assert (result.exit_code, result.stdout) == (0, f"{path} is good\n")
    assert result.stderr == (
        f"univention-mtpolicyd: warning: {path}:1: allowed_networks: 192.0.2.1/24 is taken as 192.0.2.0/24\n"
    )


def test_show_config_shows_values_as_one_writes_them_and_what_they_mean(monkeypatch: Patch) -> None:
    """Groups of countries are expanded and named; lists keep their order; access rights are octal."""
    monkeypatch.setenv("MTPOLICYD_ALLOWEDCOUNTRIES", "DACH,XK")
    monkeypatch.setenv("MTPOLICYD_RULES", "quota,country")
    lines = CliRunner().invoke(app, ["show-config"]).stdout.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1:] for line in lines}

    assert shown["allowedcountries"] == [
        "AT,CH,DE,XK    Austria, Switzerland, Germany, Kosovo    (environment)"
    ]
    assert shown["rules"] == ["quota,country    (environment)"]
    assert shown["socket_mode"] == ["0660"]


def test_show_config_shows_what_is_in_force_while_the_file_is_wrong(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    """With its source, the last good copy; each mistake is told once, though all services have it."""
    path = tmp_path / "f.toml"
    monkeypatch.setenv("MTPOLICYD_CONFIG", str(path))
    monkeypatch.setenv("MTPOLICYD_STATEDIR", str(tmp_path))
    path.write_text("threshhold = 5")
    for name in ("quota", "decision"):
        (tmp_path / f"settings-{name}.toml").write_text("threshold = 7")
    refused = CliRunner().invoke(app, ["show-config"])
    (tmp_path / "settings-frontend.toml").write_text("threshold = 7")
    shown = CliRunner().invoke(app, ["show-config"])

    mistake = f"univention-mtpolicyd: {path}:1: threshhold is not a setting; did you mean threshold?\n"
    assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", mistake)
    assert (shown.exit_code, shown.stderr.count("\n")) == (0, 2)
    assert shown.stderr.startswith(f"{mistake}univention-mtpolicyd: instead of it the last good settings")
    assert f"7    ({tmp_path}/settings-decision.toml:1)\n" in shown.stdout


# settings


def test_settings_prints_the_table() -> None:
    """With exit code 0, on standard output."""
    result = CliRunner().invoke(app, ["settings"])

    assert (result.exit_code, result.stdout.splitlines()) == (0, settings_table())


def test_the_table_has_one_line_for_each_setting_of_each_service() -> None:
    """Postfix's side first, the common ones once."""
    names = [line.split("`")[1] for line in settings_table()[2:]]

    assert sorted(names) == sorted(item.name for item in declarations(registered().values()))
    assert len(set(names)) == len(names)
    assert names[:2] == ["MTPOLICYD_DEBUG", "MTPOLICYD_LOG_FORMAT"]
    order = [names.index(f"MTPOLICYD_{name}") for name in ("PORT", "THRESHOLD", "QUOTA_LISTEN")]
    assert order == sorted(order)


def test_the_table_is_markdown() -> None:
    """Four columns in every line, none of them empty."""
    head, rule, *lines = settings_table()

    assert head == "| setting | default | allowed | what it does |"
    assert rule == "|---|---|---|---|"
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 4, line
        assert all(cells), line


@pytest.mark.parametrize(
    "line",
    [
        "| `MTPOLICYD_PORT` | `12345` | a port number, 1 to 65535 | TCP port for Postfix |",
        "| `MTPOLICYD_ALLOWEDCOUNTRIES` | `DE` |",
        "| `MTPOLICYD_THRESHOLD` | `1000` |",
        "| `MTPOLICYD_SOCKET` | (empty) | an absolute path, or empty |",
        "| `MTPOLICYD_SOCKET_MODE` | `0660` |",
        "| `MTPOLICYD_DECISION_TARGET` | `127.0.0.1:12346` | host:port or unix:/path |",
        "| `MTPOLICYD_STATEDIR` | `/var/lib/univention-mtpolicyd` |",
        "| `MTPOLICYD_QUOTA_MODE` | `enforce` |",
        "| `MTPOLICYD_EXEMPT_NETWORKS` | (empty) |",
    ],
)
def test_defaults_stand_in_the_table_as_an_admin_writes_them(line: str) -> None:
    """Not as Python shows them."""
    assert [found for found in settings_table() if found.startswith(line)] != []


# The console script


@pytest.mark.usefixtures("commands")
def test_the_services_commands_are_there(monkeypatch: Patch, capsys: CapSys) -> None:
    """Beside those of the launcher."""
    assert run_main(monkeypatch, "--help") == 0
    text = capsys.readouterr().out

    for name in ("run", "settings", "test", "geo"):
        assert f" {name} " in text


@pytest.mark.usefixtures("commands")
def test_a_service_may_add_several_commands_under_one_name(monkeypatch: Patch, capsys: CapSys) -> None:
    """As a typer app: geo, geo update."""
    assert run_main(monkeypatch, "geo", "10.0.0.1") == 0
    assert "a private address has no country" in capsys.readouterr().out
    assert run_main(monkeypatch, "geo", "update", "--help") == 0
    assert "--provider" in capsys.readouterr().out


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["top", "--help"], {"top"}),
        (["geo", "update", "--help"], {"geo"}),
        (["check-config", "--help"], set()),
        (["run", "--help"], set()),
        (["--help"], {"geo", "top", "usage"}),
        (["nosuch"], {"geo", "top", "usage"}),
    ],
)
def test_what_no_argument_names_is_not_loaded(monkeypatch: Patch, words: list[str], loaded: set[str]) -> None:
    """An admin waits for the imports of one command alone; the help has them all."""
    seen: set[str] = set()

    class Point(EntryPoint):
        def load(self) -> object:
            seen.add(self.name)
            return super().load()

    points = EntryPoints(
        Point(point.name, point.value, point.group)
        for point in entry_points(group=ctl.COMMANDS)
        if point.name in ("geo", "top", "usage")
    )
    monkeypatch.setattr(ctl, "entry_points", lambda **_: points)
    run_main(monkeypatch, *words)

    assert seen == loaded


def test_a_command_that_asks_imports_no_more_than_it_needs() -> None:
    """Neither what the services need for their log and their ports, nor what other commands do."""
    code = "import sys; sys.argv = ['mtpolicyctl', 'top', '--help']; from chassis.ctl import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-c", code], capture_output=True, text=True, timeout=60
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert done.returncode == 0
    assert {"protos.quota_admin_pb2", "grpc", "pydantic"} <= imported
    assert imported & {"aiohttp", "structlog", "aiosmtplib", "prometheus_client", "geoip2", "uvloop"} == set()


@pytest.mark.usefixtures("commands")
def test_without_a_command_the_help_is_shown(monkeypatch: Patch, capsys: CapSys) -> None:
    """Nothing is started by accident."""
    assert run_main(monkeypatch) == 2
    out, err = capsys.readouterr()

    assert "Usage: " in out + err
    assert FakeLauncher.given is None


@pytest.mark.usefixtures("commands")
def test_an_unknown_command_is_an_error(monkeypatch: Patch, capsys: CapSys) -> None:
    """It is named."""
    assert run_main(monkeypatch, "rnu") == 2
    assert "rnu" in capsys.readouterr().err
