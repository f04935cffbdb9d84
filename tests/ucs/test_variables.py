"""The descriptions of the variables, which the UMC module shows."""

import configparser
import re

import pytest

from chassis.settings import declarations, registered
from mtpolicyd_ucs.deployment import AUTOSTART, DEPLOYMENT
from mtpolicyd_ucs.settings_file import SETTINGS
from tests.support.ucr import PACKAGE, UCS
from tests.ucs.double.univention.config_registry.handlers import sections

FILE = UCS / f"debian/{PACKAGE}.univention-config-registry-variables"


@pytest.fixture
def described() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(FILE, encoding="utf-8")
    return parser


def test_every_variable_is_described(described: configparser.ConfigParser) -> None:
    """And nothing is that does not exist."""
    assert set(described.sections()) == {setting.variable for setting in SETTINGS} | {AUTOSTART, DEPLOYMENT}


def test_descriptions_are_german_and_english(described: configparser.ConfigParser) -> None:
    """Each is a text of its own."""
    for name in described.sections():
        german, english = described[name]["Description[de]"], described[name]["Description[en]"]
        assert german.endswith(".")
        assert english.endswith(".")
        assert german != english
        assert described[name]["Categories"] == "service-mail"


def test_defaults_are_those_of_the_services(described: configparser.ConfigParser) -> None:
    """Where there is one."""
    services = {item.key: item.default for item in declarations(registered().values())}

    assert {setting.key: described[setting.variable].get("Default", "") for setting in SETTINGS} == {
        setting.key: services[setting.key] for setting in SETTINGS
    }


def test_ranges_are_those_of_the_services(described: configparser.ConfigParser) -> None:
    """And a default fits its own type."""
    allowed = {item.key: item.allowed for item in declarations(registered().values())}
    for setting in SETTINGS:
        lines = described[setting.variable]
        if lines["Type"] in ("int", "portnumber"):
            found = [int(number) for number in re.findall("[0-9]+", allowed[setting.key])]
            assert (int(lines["Min"]), int(lines["Max"])) == (min(found), max(found))
        if "Regex" in lines:
            assert re.match("^.*\\$$", lines["Regex"])
            assert re.match(lines["Regex"], lines.get("Default", "") or "DE")


def test_the_info_file_names_what_there_is() -> None:
    """Each change of a variable of ours, and no other one, writes the file."""
    (section,) = sections((UCS / f"debian/{PACKAGE}.univention-config-registry").read_text())

    assert section["Variables"] == ["mtpolicyd/.*"]
    assert (UCS / "conffiles" / section["File"][0]).exists()
    assert (UCS / "conffiles" / section["Postinst"][0]).exists()
