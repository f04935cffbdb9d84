"""Where settings come from: the file, the environment, and the last good copy."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from chassis.config import ConfigFile, LastGood, check, load, load_or_exit, read_file, start_config
from chassis.settings import Allowed, ServiceSettings, SettingsError
from decision.settings import Settings

Patch = pytest.MonkeyPatch


def lines(text: str) -> tuple[str, ...]:
    """What is said about a file of this text."""
    with pytest.raises(SettingsError) as caught:
        check(Settings, ConfigFile("f.toml", text))
    return caught.value.lines


def test_the_file_beats_the_default_and_the_environment_beats_the_file(patch: Patch) -> None:
    """And each value is known with its source."""
    patch.setenv("MTPOLICYD_DEBUG", "3")
    config = check(Settings, ConfigFile("f.toml", "threshold = 5\n\n debug = 4\n"))

    assert (config.settings.threshold, config.settings.debug, config.settings.count) == (5, 3, "recipients")
    assert [config.sources[key] for key in ("threshold", "debug", "count")] == [
        "f.toml:1",
        "environment",
        "default",
    ]


@pytest.mark.parametrize("value", ['["DE", "at"]', '"DE, at"', '[ "DE",\n "at" ]'])
def test_a_list_may_be_written_as_a_list_or_as_text(value: str) -> None:
    """Both forms mean the same."""
    config = check(Settings, ConfigFile("f.toml", f"allowedcountries = {value}"))

    assert config.settings.allowedcountries == {"DE", "AT"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("threshold = 0", "f.toml:1: threshold = 0 is not allowed; allowed: a whole number, 1 to 1000000000"),
        ("\nthreshold = true", "f.toml:2: threshold = True is not allowed; allowed: a whole number, "),
        ("treshold = 5", "f.toml:1: treshold is not a setting; did you mean threshold?"),
        (
            'maxmind_license_key_file = "s3cr3t"',
            "f.toml:1: maxmind_license_key_file = ... is not allowed (the path does not begin with /)",
        ),
        (
            "maxmind_account_id_file = 123456",
            "f.toml:1: maxmind_account_id_file = ... is not allowed; allowed: an absolute path, or empty",
        ),
        ("[quota]\nthreshold = 5", "f.toml: quota is not a setting; did you mean "),
        (
            'allowedcountries = ["UK"]',
            "f.toml:1: allowedcountries = ['UK'] is not allowed (UK is no country, GB is)",
        ),
        ("exempt_networks = [1]", "f.toml:1: exempt_networks = [1] is not allowed (1 is no text)"),
        ("exempt_accounts = [{a=1}]", "f.toml:1: exempt_accounts = [{'a': 1}] is not allowed ({'a': 1}"),
        ("record_directory = 0", "f.toml:1: record_directory = 0 is not allowed"),
        ("allowedcountries = []", "f.toml:1: allowedcountries = [] is not allowed (the list is empty"),
        ("allowedcountries = [[1]]", "f.toml:1: allowedcountries = [[1]] is not allowed ("),
        (r'databases = ["/a\u0000.mmdb"]', "f.toml:1: databases = ['/a\\x00.mmdb'] is not allowed ("),
        (r'geoip_directory = "/a\u0000"', "f.toml:1: geoip_directory = '/a\\x00' is not allowed ("),
        ("threshold = ", "f.toml is no TOML: Invalid value (at end of document)"),
        (
            "threshold = 1\nthreshold = 2",
            "f.toml is no TOML: Cannot overwrite a value (",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(text: str, line: str) -> None:
    """Key, value, what is allowed, or what was probably meant."""
    (only,) = lines(text)

    assert only.startswith(line)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("threshold = " + "1" * 5000, "Exceeds the limit"),
    ],
)
def test_what_the_parser_cannot_bear_is_one_line_too(text: str, reason: str) -> None:
    """tomllib raises RecursionError and a plain ValueError; either would end the watch for good."""
    (line,) = lines(text)

    assert line.startswith(f"f.toml is no TOML: {reason}")


def test_every_wrong_line_is_named() -> None:
    """Not one by one."""
    assert len(lines("threshold = 0\ncount = 'x'\nnonsense = 1")) == 3


def test_a_file_of_another_program_is_refused_in_a_few_lines_and_no_time() -> None:
    """The event loop reads it: looking 100,000 names up would take minutes."""
    started = time.monotonic()
    said = lines("\n".join(f"a{number}=1" for number in range(100_000)))

    assert len(said) == 21
    assert said[0] == "f.toml:1: a0 is not a setting; see `mtpolicyctl settings` for all names"
    assert said[-1] == "f.toml: 99980 more names are not settings"
    assert time.monotonic() - started < 10


def test_a_strange_name_stays_in_its_line() -> None:
    """TOML's quoted keys may hold line ends and escape sequences, and be long."""
    assert lines('"a\\n\\u001b[2J" = 1')[0].startswith("f.toml: 'a\\n\\x1b[2J' is not a setting")
    assert len(lines(f"{'a' * 10_000} = 1")[0]) < 250


def test_keys_of_the_other_services_are_known() -> None:
    """One file serves all three."""
    text = 'port = 1\nstatedir = "/x"\nquota_listen = "unix:/x"\non_failure = "defer"'

    assert check(Settings, ConfigFile("f.toml", text)).settings.threshold == 1000


@pytest.mark.parametrize(
    ("networks", "doubts"),
    [
        ("192.0.2.0/24, 2001:db8::/32, 198.51.100.7", []),
        ("192.0.2.1/24", ["192.0.2.1/24 is taken as 192.0.2.0/24"]),
        ("2001:db8::1/32", ["2001:db8::1/32 is taken as 2001:db8::/32"]),
        ("192.0.0.0/16,192.0.2.0/24", ["192.0.2.0/24 is part of 192.0.0.0/16"]),
        ("192.0.2.0/24,192.0.2.9/24", ["192.0.2.9/24 is taken", "192.0.2.0/24 is listed twice"]),
        (
            "10.1.2.0/24,11.0.0.0/8,10.0.0.0/8,10.1.0.0/16",
            ["10.1.0.0/16 is part of 10.0.0.0/8", "10.1.2.0/24 is part of 10.1.0.0/16"],
        ),
        ("::/0", ["::/0 holds every address"]),
        ("0.0.0.0/0,2001:db8::/32", ["0.0.0.0/0 holds every address"]),
    ],
)
def test_networks_that_were_hardly_meant_are_named_but_taken(
    patch: Patch, networks: str, doubts: list[str]
) -> None:
    """With the place where they are written: the file or the variable."""
    items = [item.strip() for item in networks.split(",")]
    config = check(Settings, ConfigFile("f.toml", f"debug = 1\nallowed_networks = {items}"))
    assert len(config.doubts) == len(doubts)
    for said, doubt in zip(config.doubts, doubts, strict=True):
        assert said.startswith(f"f.toml:2: allowed_networks: {doubt}")

    patch.setenv("MTPOLICYD_ALLOWED_NETWORKS", networks)
    assert [said.removeprefix("MTPOLICYD_ALLOWED_NETWORKS: ") for said in check(Settings).doubts] == [
        said.removeprefix("f.toml:2: allowed_networks: ") for said in config.doubts
    ]


def test_a_long_list_of_networks_is_checked_in_no_time() -> None:
    """The event loop does it, while questions wait: each with each would take minutes."""
    networks = [f"10.{number // 256}.{number % 256}.0/24" for number in range(20_000)]
    started = time.process_time()
    config = check(Settings, ConfigFile("f.toml", f"allowed_networks = {[*networks, '10.78.31.0/25']}"))

    assert [doubt.partition(": ")[2] for doubt in config.doubts] == [
        "allowed_networks: 10.78.31.0/25 is part of 10.78.31.0/24"
    ]
    assert time.process_time() - started < 5


def test_of_many_doubts_the_first_are_told() -> None:
    """The log, and the event loop that writes it, are not for 100,000 lines about one setting."""
    networks = [f"10.{number // 256}.{number % 256}.1/24" for number in range(5000)]
    doubts = check(Settings, ConfigFile("f.toml", f"allowed_networks = {networks}")).doubts

    assert len(doubts) == 21
    assert doubts[-1] == "f.toml:1: allowed_networks: and 4980 more of this kind"


class Pair(ServiceSettings):
    """Two settings that make no sense without each other."""

    left: Annotated[int, Allowed("a whole number")] = Field(0, description="left")
    right: Annotated[int, Allowed("a whole number")] = Field(0, description="right")

    def doubtful(self) -> Iterable[tuple[str, str]]:
        if self.left and not self.right:
            yield "left", "it does nothing without right"


def test_values_that_are_doubtful_beside_each_other_are_told(patch: Patch) -> None:
    """With the line, or the variable, of the one that is named."""
    assert check(Pair, ConfigFile("f.toml", "\nleft = 1")).doubts == (
        "f.toml:2: left: it does nothing without right",
    )
    assert check(Pair, ConfigFile("f.toml", "left = 1\nright = 1")).doubts == ()
    patch.setenv("MTPOLICYD_LEFT", "1")
    assert check(Pair).doubts == ("MTPOLICYD_LEFT: it does nothing without right",)


def test_the_version_is_that_of_the_values() -> None:
    """The same for the same settings, another for others; comments do not matter."""
    versions = [
        check(Settings, ConfigFile("f", text)).version
        for text in ("threshold = 5", "# five\nthreshold = 5", "threshold = 6")
    ]

    assert versions[0] == versions[1] != versions[2]
    assert len(versions[0]) == 8


def make_directory(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)


def make_binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_directory, "is no regular file"),
        (make_fifo, "is no regular file"),
        (make_loop, "cannot be read: Too many levels of symbolic links"),
        (make_large, "is larger than 1048576 bytes"),
        (make_binary, "is no UTF-8 text (byte 128)"),
        (lambda path: None, "cannot be read: No such file or directory"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, make: object, reason: str) -> None:
    """At once, whatever it is."""
    path = tmp_path / "settings.toml"
    assert callable(make)
    make(path)
    with pytest.raises(SettingsError) as caught:
        read_file(path)

    assert caught.value.lines == (f"{path} {reason}",)


@pytest.fixture
def patch(monkeypatch: Patch, tmp_path: Path) -> Patch:
    monkeypatch.setenv("MTPOLICYD_STATEDIR", str(tmp_path))
    return monkeypatch


def test_a_start_with_a_wrong_file_takes_the_last_good_one(patch: Patch, tmp_path: Path) -> None:
    """And says what is wrong."""
    path = tmp_path / "settings.toml"
    patch.setenv("MTPOLICYD_CONFIG", str(path))
    path.write_text("threshold = 5")
    good = start_config("decision", Settings)
    path.write_text("threshold = 0")
    bad = start_config("decision", Settings)

    assert (good.refused, good.config.settings.threshold) == (None, 5)
    assert bad.config.settings.threshold == 5
    assert bad.refused is not None
    assert "threshold = 0 is not allowed" in bad.refused.lines[0]


def test_a_command_goes_on_with_the_last_good_settings_too(
    patch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`geo`, `report` and `test` are wanted most when somebody has just spoilt the file."""
    path = tmp_path / "settings.toml"
    patch.setenv("MTPOLICYD_CONFIG", str(path))
    path.write_text("threshold = 5")
    start_config("decision", Settings)
    path.write_text("threshold = 0")

    assert load_or_exit("decision", Settings).settings.threshold == 5
    mistake, instead = capsys.readouterr().err.splitlines()
    assert mistake.startswith(f"univention-mtpolicyd: {path}:1: threshold = 0 is not allowed")
    assert instead.endswith(f"the last good settings are taken: {tmp_path}/settings-decision.toml")
    assert (tmp_path / "settings-decision.toml").read_text() == "threshold = 5"


def test_a_wrong_file_without_a_good_copy_ends_the_start(
    patch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and the line."""
    path = tmp_path / "settings.toml"
    patch.setenv("MTPOLICYD_CONFIG", str(path))
    path.write_text("threshold = 0")
    with pytest.raises(SystemExit) as caught:
        start_config("decision", Settings)

    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"univention-mtpolicyd: {path}:1: threshold = 0 is not allowed")


def test_a_state_directory_that_cannot_be_written_costs_only_the_copy(tmp_path: Path) -> None:
    """The start goes on."""
    (tmp_path / "file").touch()
    copy = LastGood(tmp_path / "file" / "state", "decision")
    copy.keep(ConfigFile("f", "threshold = 5"))

    assert copy.read() is None


def test_a_damaged_copy_is_replaced(patch: Patch, tmp_path: Path) -> None:
    """A good file starts the service, whatever lies in the place of its copy."""
    path = tmp_path / "settings.toml"
    patch.setenv("MTPOLICYD_CONFIG", str(path))
    path.write_text("threshold = 5")
    (tmp_path / "settings-decision.toml").write_bytes(b"\x80\xff")

    assert start_config("decision", Settings).refused is None
    assert (tmp_path / "settings-decision.toml").read_text() == "threshold = 5"


def test_without_a_file_nothing_but_the_environment_counts(patch: Patch) -> None:
    """As before there was a file."""
    patch.setenv("MTPOLICYD_THRESHOLD", "7")

    assert load(Settings).settings.threshold == 7
