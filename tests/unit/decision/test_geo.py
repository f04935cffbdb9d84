"""`mtpolicyctl geo`."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from yarl import URL

from decision import geo
from decision.geo_update import Updated, UpdateError
from tests.support.policy import AMERICAN, GERMAN
from tests.support.publishers import NOVEMBER, OCTOBER, country_file

Patch = pytest.MonkeyPatch
KEY = "s3cr3tKey_mmk"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: Patch) -> Path:
    """geoip_directory, with a file of November; the width of a terminal changes no test."""
    path = tmp_path / "GeoIP"
    path.mkdir()
    (path / "GeoLite2-Country.mmdb").write_bytes(country_file())
    monkeypatch.setenv("MTPOLICYD_GEOIP_DIRECTORY", str(path))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(geo.app, arguments)


def lines(result: Result) -> list[str]:
    return [line.rstrip() for line in result.stdout.splitlines()]


# geo IP...


def test_an_address_is_told_with_its_country_and_what_the_rule_would_do() -> None:
    """Exit code 0 if it would pass."""
    result = run(GERMAN)

    assert (result.exit_code, result.stderr) == (0, "")
    assert lines(result) == [
        "address     GeoLite2-Country  country rule",
        "84.128.0.1  DE Germany        pass: DE (Germany) is allowed",
    ]


def test_one_that_would_be_refused_is_exit_code_1() -> None:
    """Whatever becomes of the others."""
    result = run(AMERICAN, GERMAN, "10.0.0.1", "193.0.0.1", "2002:5480:1::")

    assert result.exit_code == 1
    assert [re.split("  +", line) for line in lines(result)[1:]] == [
        ["8.8.8.8", "US United States", "refuse: Sending mail from country US is not allowed"],
        ["84.128.0.1", "DE Germany", "pass: DE (Germany) is allowed"],
        ["10.0.0.1", "-", "pass: a private address has no country"],
        ["193.0.0.1", "-", "pass: no database knows it, and country_unknown is allow"],
        ["2002:5480:1:: (as 84.128.0.1)", "DE Germany", "pass: DE (Germany) is allowed"],
    ]


def test_what_is_no_address_is_exit_code_2() -> None:
    """The others are told."""
    result = run("example.org", AMERICAN, "unknown")

    assert result.exit_code == 2
    assert result.stderr == "'example.org' is no address\n'unknown' is no address\n"
    assert lines(result)[1].startswith("8.8.8.8")


def test_each_database_has_a_column(directory: Path, monkeypatch: Patch) -> None:
    """In the order of the settings."""
    monkeypatch.setenv("MTPOLICYD_DATABASES", f"builtin,{directory}/GeoLite2-Country.mmdb")
    result = run("9.9.9.9")

    assert lines(result)[0].split() == ["address", "builtin", "GeoLite2-Country", "country", "rule"]
    assert result.exit_code == 1


def test_the_settings_in_force_decide(tmp_path: Path, monkeypatch: Patch) -> None:
    """The file's too."""
    (tmp_path / "settings.toml").write_text('allowedcountries = "US"\n')
    monkeypatch.setenv("MTPOLICYD_CONFIG", str(tmp_path / "settings.toml"))

    assert run(AMERICAN).exit_code == 0
    assert run(GERMAN).exit_code == 1


def test_a_wrong_setting_is_exit_code_2(monkeypatch: Patch) -> None:
    """With its line."""
    monkeypatch.setenv("MTPOLICYD_COUNTRY_MODE", "on")
    result = run(GERMAN)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "MTPOLICYD_COUNTRY_MODE='on' is not allowed" in result.stderr


def test_as_json_it_is_one_object() -> None:
    """Codes, names, and the reason."""
    result = run("--json", AMERICAN, "10.0.0.1")
    said = json.loads(result.stdout)

    assert result.exit_code == 1
    assert said["errors"] == []
    assert [one["source"] for one in said["databases"]] == ["GeoLite2-Country"]
    assert said["addresses"] == [
        {
            "address": "8.8.8.8",
            "looked_up": "8.8.8.8",
            "kind": "country",
            "answers": [{"source": "GeoLite2-Country", "country": "US", "name": "United States"}],
            "refused": True,
            "reason": "Sending mail from country US is not allowed",
        },
        {
            "address": "10.0.0.1",
            "looked_up": "10.0.0.1",
            "kind": "private",
            "answers": [],
            "refused": False,
            "reason": "a private address has no country",
        },
    ]


def test_show_is_the_command_s_whole_name() -> None:
    """`geo IP` is short for it."""
    assert run("show", GERMAN).stdout == run(GERMAN).stdout


# geo


def test_without_an_address_the_databases_are_told(directory: Path, monkeypatch: Patch) -> None:
    """Where they are, what they are and how old."""
    now = NOVEMBER + 10 * 86400
    monkeypatch.setattr("time.time", lambda: now)
    result = run()
    head, line = lines(result)

    assert result.exit_code == 0
    assert head.split() == ["database", "type", "built", "age", "nodes", "path"]
    source, kind, built, *age, nodes, path = line.split()
    assert (source, kind, built, age) == (
        "GeoLite2-Country",
        "GeoLite2-Country",
        "2026-11-01",
        ["10", "days"],
    )
    assert int(nodes) > 0
    assert path == f"{directory}/GeoLite2-Country.mmdb"
    (said,) = json.loads(run("--json").stdout)["databases"] if run("--json").exit_code == 0 else [None]
    assert said == {
        "source": source,
        "path": path,
        "type": kind,
        "built": "2026-11-01T02:26:40+00:00",
        "age_seconds": 10 * 86400,
        "nodes": int(nodes),
    }


def test_what_cannot_be_opened_is_told(directory: Path, monkeypatch: Patch) -> None:
    """And what is used in its place."""
    broken = directory / "broken.mmdb"
    broken.write_bytes(b"text")
    monkeypatch.setenv("MTPOLICYD_DATABASES", f"{directory}/missing.mmdb,{broken}")
    result = run()

    assert result.exit_code == 0
    assert lines(result)[1].startswith("builtin ")
    missing, unusable = result.stderr.splitlines()
    assert missing == f"{directory}/missing.mmdb: No such file or directory"
    assert unusable.startswith(f"{broken}: ")


def test_without_any_data_it_says_what_that_means(directory: Path, monkeypatch: Patch) -> None:
    """Every country passes."""
    (directory / "GeoLite2-Country.mmdb").unlink()
    monkeypatch.setattr("decision.country_data._BUILT_IN_FILE", "missing.mmdb")
    result = run(AMERICAN)

    assert result.exit_code == 0
    assert "pass: there is no country data" in result.stdout
    assert result.stderr.splitlines()[-1] == "there is no country data: mail from every country passes"


def test_help_is_that_of_both_commands() -> None:
    """Not that of the default."""
    result = run("--help")

    assert result.exit_code == 0
    assert " show " in result.stdout
    assert " update " in result.stdout


# geo update


class FakeUpdate:
    """Takes the place of decision.geo_update.update."""

    def __init__(self, monkeypatch: Patch) -> None:
        self.asked: dict[str, Any] = {}
        self.answer: Updated | UpdateError = Updated(Path("/g/X.mmdb"), NOVEMBER, OCTOBER, True, "")
        self.meanwhile: Callable[[], Any] = lambda: None
        monkeypatch.setattr(geo, "update", self)

    async def __call__(self, provider: Any, directory: Path, **how: Any) -> Updated:
        self.asked = {"file": provider.file_name, "directory": directory, **how}
        self.meanwhile()
        await asyncio.sleep(0.01)
        if isinstance(self.answer, UpdateError):
            raise self.answer
        return self.answer


@pytest.fixture
def update(monkeypatch: Patch) -> FakeUpdate:
    return FakeUpdate(monkeypatch)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: Patch) -> None:
    """The settings name the files of an account."""
    for name, content in (("account_id", "123456"), ("license_key", KEY)):
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(f"MTPOLICYD_MAXMIND_{name.upper()}_FILE", str(tmp_path / name))


def test_without_an_account_it_is_dbip_s(update: FakeUpdate, directory: Path) -> None:
    """Into the directory where decision looks; without credentials."""
    assert run("update").exit_code == 0
    assert update.asked["file"] == "DBIP-Country-Lite.mmdb"
    assert update.asked["directory"] == directory
    assert update.asked["base_url"] == URL("https://download.db-ip.com")
    assert update.asked["authorization"] is None
    assert update.asked["bounds"].total_seconds == 600


@pytest.mark.usefixtures("account")
def test_with_an_account_it_is_maxmind_s(update: FakeUpdate) -> None:
    """With credentials, which nobody else gets and which are nowhere shown."""
    result = run("update")

    assert result.exit_code == 0
    assert update.asked["file"] == "GeoLite2-Country.mmdb"
    assert update.asked["base_url"] == URL("https://download.maxmind.com")
    assert update.asked["authorization"].startswith("Basic ")
    assert KEY not in result.output
    run("update", "--provider", "dbip")
    assert (update.asked["file"], update.asked["authorization"]) == ("DBIP-Country-Lite.mmdb", None)


def test_options_beat_the_settings(update: FakeUpdate, tmp_path: Path) -> None:
    """A mirror of MaxMind's may want no account."""
    options = ["--provider", "maxmind", "--directory", str(tmp_path), "--timeout", "7"]
    result = run("update", *options, "--base-url", "http://mirror.example.org:8080/geo")

    assert result.exit_code == 0
    assert update.asked["file"] == "GeoLite2-Country.mmdb"
    assert update.asked["directory"] == tmp_path
    assert update.asked["base_url"] == URL("http://mirror.example.org:8080/geo")
    assert update.asked["bounds"].total_seconds == 7


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            Updated(Path("/g/X.mmdb"), NOVEMBER, OCTOBER, True, ""),
            "/g/X.mmdb is new, built 2026-11-01, the one before it 2026-10-02",
        ),
        (Updated(Path("/g/X.mmdb"), NOVEMBER, None, True, ""), "/g/X.mmdb is new, built 2026-11-01"),
        (Updated(Path("/g/X.mmdb"), NOVEMBER, None, False, ""), "/g/X.mmdb is current, built 2026-11-01"),
        (
            Updated(Path("/g/X.mmdb"), NOVEMBER, None, True, "/g/X.mmdb: it is cut"),
            "/g/X.mmdb is new, built 2026-11-01; the one before it was unusable: /g/X.mmdb: it is cut",
        ),
    ],
)
def test_the_result_is_one_line(update: FakeUpdate, answer: Updated, line: str) -> None:
    """On standard output, and no bar where there is no terminal; with --quiet there is none."""
    update.answer = answer
    result = run("update")

    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{line}\n", "")
    assert run("update", "--quiet").output == ""


def test_a_file_that_decision_does_not_read_is_told(
    update: FakeUpdate, directory: Path, monkeypatch: Patch
) -> None:
    """Because the settings name others."""
    monkeypatch.setenv("MTPOLICYD_DATABASES", "builtin")

    assert run("update").stdout.splitlines()[1] == "decision does not read it: databases names builtin"
    monkeypatch.setenv("MTPOLICYD_DATABASES", "/g/X.mmdb")
    assert len(run("update").stdout.splitlines()) == 1


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_a_failure_is_one_line_and_exit_code_1(update: FakeUpdate, options: list[str]) -> None:
    """On standard error."""
    update.answer = UpdateError("https://example.org/: answers 404")
    result = run("update", *options)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "country data was not updated: https://example.org/: answers 404\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_failure_as_any_other(update: FakeUpdate, number: signal.Signals) -> None:
    """What was begun is cleaned up."""
    update.meanwhile = lambda: os.kill(os.getpid(), number)
    result = run("update")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "country data was not updated: interrupted\n"


@pytest.mark.parametrize(
    "url",
    [
        "example.org",
        "ftp://example.org",
        "https://",
        "http://[",
        "https://example.org/?key=1",
        "https://example.org/#a",
    ],
)
def test_a_base_url_that_is_none(update: FakeUpdate, url: str) -> None:
    """Nobody is asked."""
    result = run("update", "--base-url", url)

    assert result.exit_code == 1
    assert "--base-url is no web address" in result.stderr
    assert update.asked == {}


def test_a_base_url_holds_no_password(update: FakeUpdate) -> None:
    """It stands in the list of processes; the error does not repeat it."""
    result = run("update", "--base-url", f"https://user:{KEY}@example.org")

    assert result.exit_code == 1
    assert "--base-url names a user or a password" in result.stderr
    assert KEY not in result.output
    assert update.asked == {}


def test_maxmind_without_an_account_says_what_to_do(update: FakeUpdate) -> None:
    """Which settings, or which other publisher."""
    result = run("update", "--provider", "maxmind")

    assert result.exit_code == 1
    assert "set maxmind_account_id_file and maxmind_license_key_file" in result.stderr
    assert "--provider dbip" in result.stderr
    assert update.asked == {}


@pytest.mark.usefixtures("account")
def test_a_key_that_cannot_be_read_is_told(update: FakeUpdate, tmp_path: Path) -> None:
    """By the file's name."""
    (tmp_path / "license_key").unlink()
    result = run("update")

    assert result.exit_code == 1
    assert f"{tmp_path}/license_key cannot be read: No such file or directory" in result.stderr
    assert update.asked == {}


@pytest.mark.parametrize("place", ["environment", "file", "unknown name"])
def test_a_key_in_the_place_of_its_file_is_not_repeated(
    update: FakeUpdate, tmp_path: Path, monkeypatch: Patch, place: str
) -> None:
    """An error line goes into logs."""
    if place == "file":
        (tmp_path / "settings.toml").write_text(f'maxmind_license_key_file = "{KEY}"\n')
        monkeypatch.setenv("MTPOLICYD_CONFIG", str(tmp_path / "settings.toml"))
    else:
        suffix = "_FILE" if place == "environment" else ""
        monkeypatch.setenv(f"MTPOLICYD_MAXMIND_LICENSE_KEY{suffix}", KEY)
    result = run("update")

    assert result.exit_code == 2
    assert "maxmind_license_key" in result.stderr.lower()
    assert KEY not in result.output


def test_a_day_is_one_of_utc() -> None:
    """As in the metadata."""
    assert geo._day(datetime(2026, 11, 1, 23, 59, tzinfo=UTC).timestamp()) == "2026-11-01"
