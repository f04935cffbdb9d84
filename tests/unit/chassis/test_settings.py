"""Settings from the environment: what is read, and what an admin hears when one is wrong."""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from chassis.config import load, load_or_exit
from chassis.settings import (
    MAX_SOCKET_PATH_BYTES,
    Address,
    Allowed,
    Declaration,
    Endpoint,
    Networks,
    Port,
    SecretFile,
    ServiceSettings,
    SettingsError,
    ShownDefault,
    declarations,
    exit_with,
    registered,
    setting_lines,
    split_list,
)
from decision.settings import Settings as DecisionSettings

Patch = pytest.MonkeyPatch


class Settings(ServiceSettings):
    """A service's settings of every kind."""

    sample_port: Port = Field(12345, description="a port")
    sample_target: Endpoint = Field(Address("127.0.0.1", 12346), description="a peer")
    sample_networks: Networks = Field((), description="networks")
    sample_mode: Annotated[Literal["on", "off"], Allowed("on or off")] = Field("on", description="a switch")
    sample_path: Annotated[Path, Allowed("a path"), ShownDefault("~/sample")] = Field(
        Path("/somewhere"), description="a path"
    )
    sample_names: Annotated[frozenset[str], Allowed("names")] = Field(frozenset({"a"}), description="names")
    sample_key_file: SecretFile = Field(None, description="a file that holds a key")
    sample_nothing: Annotated[str | None, Allowed("anything, or empty")] = Field(None, description="nothing")

    @property
    def metrics_endpoint(self) -> Address:
        return self.sample_target


def wrong(patch: Patch, **environment: str) -> tuple[str, ...]:
    """The lines for these settings, names without the prefix."""
    for name, value in environment.items():
        patch.setenv(f"MTPOLICYD_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    assert str(caught.value) == "\n".join(caught.value.lines)
    return caught.value.lines


# Reading


def test_without_an_environment_the_defaults_hold() -> None:
    """Log lines at level 1, as key=value."""
    settings = load(Settings).settings

    assert (settings.debug, settings.log_format, settings.sample_port) == (1, "keyvalue", 12345)
    assert settings.sample_target == Address("127.0.0.1", 12346)
    assert settings.sample_networks == ()


def test_the_environment_replaces_defaults(monkeypatch: Patch) -> None:
    """By the setting's name in capitals, with the prefix."""
    for name, value in (
        ("DEBUG", "4"),
        ("LOG_FORMAT", "json"),
        ("SAMPLE_PORT", "65535"),
        ("SAMPLE_TARGET", "unix:/run/peer"),
        ("SAMPLE_NETWORKS", " 192.0.2.0/24, 2001:db8::/32 ,, 198.51.100.7 "),
    ):
        monkeypatch.setenv(f"MTPOLICYD_{name}", value)
    settings = load(Settings).settings

    assert (settings.debug, settings.log_format, settings.sample_port) == (4, "json", 65535)
    assert settings.sample_target == Address("", 0, "/run/peer")
    assert settings.sample_networks == (
        ip_network("192.0.2.0/24"),
        ip_network("2001:db8::/32"),
        ip_network("198.51.100.7/32"),
    )


def test_settings_never_change() -> None:
    """Nobody can write to the snapshot that was taken at the start."""
    settings = load(Settings).settings

    with pytest.raises(ValidationError, match="frozen"):
        settings.debug = 4  # type: ignore[misc]


def test_a_service_knows_its_neighbours_names(monkeypatch: Patch) -> None:
    """All services may share one environment, and the test suite its own switches."""
    monkeypatch.setenv("MTPOLICYD_THRESHOLD", "10")
    monkeypatch.setenv("MTPOLICYD_PORT", "10025")
    monkeypatch.setenv("MTPOLICYD_TEST_ANYTHING", "1")

    assert load(Settings).settings.debug == 1


def test_a_wrong_value_of_a_neighbour_is_the_neighbours_affair(monkeypatch: Patch) -> None:
    """It says so itself."""
    monkeypatch.setenv("MTPOLICYD_THRESHOLD", "none")

    assert load(Settings).settings.debug == 1


# What is wrong


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "SAMPLE_PORT",
            "99999",
            "MTPOLICYD_SAMPLE_PORT='99999' is not allowed; allowed: a port number, 1 to 65535",
        ),
        ("SAMPLE_PORT", "0", "MTPOLICYD_SAMPLE_PORT='0' is not allowed; allowed: a port number, 1 to 65535"),
        (
            "SAMPLE_PORT",
            "smtp",
            "MTPOLICYD_SAMPLE_PORT='smtp' is not allowed; allowed: a port number, 1 to 65535",
        ),
        ("SAMPLE_PORT", "", "MTPOLICYD_SAMPLE_PORT='' is not allowed; allowed: a port number, 1 to 65535"),
        (
            "DEBUG",
            "9",
            "MTPOLICYD_DEBUG='9' is not allowed; allowed: 0 error, 1 warning, 2 notice, 3 info, 4 debug",
        ),
        (
            "DEBUG",
            "-1",
            "MTPOLICYD_DEBUG='-1' is not allowed; allowed: 0 error, 1 warning, 2 notice, 3 info, 4 debug",
        ),
        ("LOG_FORMAT", "xml", "MTPOLICYD_LOG_FORMAT='xml' is not allowed; allowed: keyvalue or json"),
        (
            "LOG_FORMAT",
            "json\nexit",
            "MTPOLICYD_LOG_FORMAT='json\\nexit' is not allowed; allowed: keyvalue or json",
        ),
        (
            "SAMPLE_TARGET",
            "somewhere",
            (
                "MTPOLICYD_SAMPLE_TARGET='somewhere' is not allowed (neither host:port nor unix:path);"
                " allowed: host:port or unix:/path"
            ),
        ),
        (
            "SAMPLE_NETWORKS",
            "192.0.2.1/33",
            (
                "MTPOLICYD_SAMPLE_NETWORKS='192.0.2.1/33' is not allowed"
                " ('192.0.2.1/33' does not appear to be an IPv4 or IPv6 network);"
                " allowed: comma-separated networks such as 192.0.2.0/24, 2001:db8::/32"
            ),
        ),
        ("SAMPLE_MODE", "ON", "MTPOLICYD_SAMPLE_MODE='ON' is not allowed; allowed: on or off"),
    ],
)
def test_a_wrong_value_is_one_line(monkeypatch: Patch, name: str, value: str, line: str) -> None:
    """With the name, the value, the reason if there is one, and what is allowed."""
    assert wrong(monkeypatch, **{name: value}) == (line,)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("TRESHOLD", "did you mean MTPOLICYD_THRESHOLD?"),
        ("SAMPLE_PROT", "did you mean MTPOLICYD_SAMPLE_PORT?"),
        ("ALLOWED_COUNTRIES", "did you mean MTPOLICYD_ALLOWEDCOUNTRIES?"),
        ("DATABSES", "did you mean MTPOLICYD_DATABASES?"),
        ("threshold", "did you mean MTPOLICYD_THRESHOLD?"),
        ("XYZZY", "see `mtpolicyctl settings` for all names"),
        ("", "see `mtpolicyctl settings` for all names"),
    ],
)
def test_an_unknown_name_is_one_line(monkeypatch: Patch, name: str, hint: str) -> None:
    """With the name that was probably meant, of whatever service, if one is near."""
    assert wrong(monkeypatch, **{name: "5"}) == (f"MTPOLICYD_{name} is not a setting; {hint}",)


def test_a_secret_that_stands_in_the_place_of_its_file_is_not_repeated(monkeypatch: Patch) -> None:
    """Nor one under a name that is no setting: the lines go into logs."""
    reason = "the path does not begin with /"
    assert wrong(monkeypatch, SAMPLE_KEY_FILE="s3cr3t", SAMPLE_KEY="s3cr3t") == (
        "MTPOLICYD_SAMPLE_KEY is not a setting; did you mean MTPOLICYD_SAMPLE_KEY_FILE?",
        f"MTPOLICYD_SAMPLE_KEY_FILE=... is not allowed ({reason}); allowed: an absolute path, or empty",
    )


def test_a_secret_s_file_may_be_named_or_not(monkeypatch: Patch) -> None:
    """An empty value is none."""
    for value, path in (("", None), ("/etc/key", Path("/etc/key"))):
        monkeypatch.setenv("MTPOLICYD_SAMPLE_KEY_FILE", value)
        assert load(Settings).settings.sample_key_file == path


def test_the_prefix_in_small_letters_is_an_unknown_name(monkeypatch: Patch) -> None:
    """Nobody shall believe in a setting that is half read."""
    monkeypatch.setenv("mtpolicyd_debug", "3")

    assert wrong(monkeypatch) == ("mtpolicyd_debug is not a setting; did you mean MTPOLICYD_DEBUG?",)


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: Patch) -> None:
    """One line each; the admin starts the service once to see them all."""
    lines = wrong(monkeypatch, DEBUG="9", SAMPLE_PORT="0", UNHEARDOF="1", SAMPLE_MODE="off")

    assert [re.split("=| is ", line)[0] for line in lines] == [
        "MTPOLICYD_UNHEARDOF",
        "MTPOLICYD_DEBUG",
        "MTPOLICYD_SAMPLE_PORT",
    ]


def test_a_wrong_setting_ends_the_process_with_2(
    monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines are on standard error."""
    monkeypatch.setenv("MTPOLICYD_DEBUG", "9")
    with pytest.raises(SystemExit) as caught:
        load_or_exit("decision", Settings)

    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "univention-mtpolicyd: MTPOLICYD_DEBUG='9' is not allowed;"
        " allowed: 0 error, 1 warning, 2 notice, 3 info, 4 debug\n"
    )


def test_right_settings_end_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """They are handed over."""
    assert load_or_exit("decision", Settings).settings == load(Settings).settings
    assert capsys.readouterr() == ("", "")


def test_each_line_gets_the_products_name(capsys: pytest.CaptureFixture[str]) -> None:
    """It may stand among the lines of many programs."""
    with pytest.raises(SystemExit) as caught:
        exit_with(SettingsError(["one", "two"]))

    assert caught.value.code == 2
    assert capsys.readouterr().err == "univention-mtpolicyd: one\nunivention-mtpolicyd: two\n"


# Addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:12345", ("127.0.0.1", 12345, "")),
        ("mail.example.org:1", ("mail.example.org", 1, "")),
        ("[::1]:65535", ("::1", 65535, "")),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80, "")),
        ("unix:/run/mtpolicyd/quota", ("", 0, "/run/mtpolicyd/quota")),
    ],
)
def test_an_address_is_read_and_shown_the_same(text: str, address: tuple[str, int, str]) -> None:
    """IPv4, a name, IPv6 in brackets, a UNIX socket."""
    assert tuple(Address.parse(text)) == address
    assert str(Address.parse(text)) == text


def test_an_address_passes_as_it_is() -> None:
    """Defaults are addresses already."""
    address = Address("127.0.0.1", 1)

    assert Address.parse(address) is address


def test_blanks_around_an_address_are_forgiven() -> None:
    """They come from environment files."""
    assert Address.parse(" 127.0.0.1:80\n") == Address("127.0.0.1", 80)


def test_the_longest_path_of_a_socket_has_107_bytes() -> None:
    """Not characters; one byte more is refused here, before the system does."""
    name = "/" + "ä" * ((MAX_SOCKET_PATH_BYTES - 1) // 2)

    assert len(os.fsencode(name)) == MAX_SOCKET_PATH_BYTES
    assert Address.parse(f"unix:{name}").path == name
    with pytest.raises(ValueError, match="at most 107 bytes"):
        Address.parse(f"unix:{name}x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither host:port nor unix:path"),
        ("12345", "neither host:port nor unix:path"),
        ("localhost", "neither host:port nor unix:path"),
        (":12345", "neither host:port nor unix:path"),
        ("[]:12345", "neither host:port nor unix:path"),
        ("localhost:", "neither host:port nor unix:path"),
        ("localhost:0", "neither host:port nor unix:path"),
        ("localhost:65536", "neither host:port nor unix:path"),
        ("localhost:-1", "neither host:port nor unix:path"),
        ("localhost:+1", "neither host:port nor unix:path"),
        ("localhost: 1", "neither host:port nor unix:path"),
        ("localhost:1_0", "neither host:port nor unix:path"),
        ("localhost:٣", "neither host:port nor unix:path"),
        ("localhost:smtp", "neither host:port nor unix:path"),
        ("::1:12345", r"an IPv6 address stands in brackets: \[::1\]:12345"),
        ("[::1:12345", r"an IPv6 address stands in brackets: \[::1\]:12345"),
        ("::1]:12345", r"an IPv6 address stands in brackets: \[::1\]:12345"),
        ("unix:", "the path of a socket begins with /"),
        ("unix:relative", "the path of a socket begins with /"),
    ],
)
def test_what_is_no_address_is_refused(text: str, reason: str) -> None:
    """With the reason."""
    with pytest.raises(ValueError, match=f"^{reason}$"):
        Address.parse(text)


# Lists


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("a,b", ("a", "b")),
        (" a , b ,, ", ("a", "b")),
        ("", ()),
        (" , ", ()),
        (("a", "b"), ("a", "b")),
        (7, 7),
    ],
)
def test_a_list_is_split_at_its_commas(value: object, items: object) -> None:
    """Blanks and empty items are forgiven; what is no text passes as it is."""
    assert split_list(value) == items


# The settings table


def test_every_setting_is_declared_once() -> None:
    """With its default as an admin would write it, what is allowed, and what it does."""
    found = {item.name: item for item in declarations([Settings, Settings])}

    assert len(list(declarations([Settings, Settings]))) == len(found) == len(Settings.model_fields)
    assert found["MTPOLICYD_SAMPLE_PORT"] == Declaration(
        "MTPOLICYD_SAMPLE_PORT", "12345", "a port number, 1 to 65535", "a port", needs_restart=False
    )
    assert {name.removeprefix("MTPOLICYD_"): item.default for name, item in found.items()} == {
        "DEBUG": "1",
        "LOG_FORMAT": "keyvalue",
        "STATEDIR": "/var/lib/univention-mtpolicyd",
        "SAMPLE_PORT": "12345",
        "SAMPLE_TARGET": "127.0.0.1:12346",
        "SAMPLE_NETWORKS": "",
        "SAMPLE_MODE": "on",
        "SAMPLE_PATH": "~/sample",
        "SAMPLE_NAMES": "a",
        "SAMPLE_KEY_FILE": "",
        "SAMPLE_NOTHING": "",
    }


def test_each_service_is_registered() -> None:
    """By its name, with a class that has a metrics endpoint and a banner."""
    classes = registered()

    assert sorted(classes) == ["decision", "frontend", "quota"]
    assert len({cls().metrics_endpoint for cls in classes.values()}) == 3
    assert all(cls().banner() for cls in classes.values())


def test_a_service_without_a_banner_says_nothing() -> None:
    """It has no lines of its own."""
    assert load(Settings).settings.banner() == []


def test_a_service_has_to_say_where_its_metrics_are() -> None:
    """There is no default for all of them."""
    with pytest.raises(NotImplementedError):
        _ = ServiceSettings().metrics_endpoint


@pytest.mark.parametrize("name", ["frontend", "decision", "quota"])
def test_every_default_of_a_service_is_allowed(name: str, monkeypatch: Patch) -> None:
    """An admin may write down what holds anyway; an empty value stands for an empty default."""
    cls = registered()[name]
    before = load(cls).settings
    for item in declarations([cls]):
        monkeypatch.setenv(item.name, item.default)

    after = load(cls).settings
    shown = {
        field
        for field, info in cls.model_fields.items()
        if any(isinstance(data, ShownDefault) for data in info.metadata)
    }
    assert after.model_dump(exclude=shown) == before.model_dump(exclude=shown)


def test_every_setting_has_a_line_and_secrets_have_no_value() -> None:
    """An empty one hides nothing."""
    lines = setting_lines(DecisionSettings(threshold=7, record_key_file=Path("/secret"), timezone="UTC"))

    assert {"threshold = 7", "timezone = UTC", "record_key_file = ...", "maxmind_license_key_file = "} <= set(
        lines
    )
    assert len(lines) == len(DecisionSettings.model_fields)
    assert "/secret" not in "".join(lines)
