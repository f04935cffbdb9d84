"""The source package in the form that UCS's own tools read: what they, and ucslint, hold of its files."""

import configparser
import re
from pathlib import Path

import pytest

from tests.support.protos import ROOT
from tests.support.ucr import PACKAGE, UCS
from tests.ucs.double.univention.config_registry.handlers import sections

DEBIAN = UCS / "debian"
PACKAGES = (PACKAGE, f"{PACKAGE}-compose")
# univention.config_registry.validation
TYPES = {"str", "int", "uint", "pint", "bool", "portnumber", "ipaddress", "list", "json", "cron", "url_http"}
VARIABLE_KEYS = {"description[de]", "description[en]", "type", "min", "max", "regex", "default", "categories"}
# univention.service_info: others are "unknown", without the first two it is "incomplete".
SERVICE_KEYS = {"programs", "description[de]", "description[en]", "systemd", "start_type", "icon"}
FILE_KEYS = {"Type", "File", "Variables", "User", "Group", "Mode", "Preinst", "Postinst"}
# Debian Policy 6.5
ACTIONS = {
    "postinst": {"configure", "abort-upgrade", "abort-remove", "abort-deconfigure", "triggered"},
    "prerm": {"remove", "upgrade", "deconfigure", "failed-upgrade"},
    "postrm": {"remove", "purge", "upgrade", "disappear", "failed-upgrade", "abort-install", "abort-upgrade"},
}
SCRIPTS = sorted(path for kind in ACTIONS for path in DEBIAN.glob(f"*.{kind}"))


def ini(path: Path) -> configparser.ConfigParser:
    """As UCS reads it: strict, without interpolation, names in lower case."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


def test_the_info_file_says_what_ucr_understands() -> None:
    """One file, one module that follows."""
    (section,) = sections((DEBIAN / f"{PACKAGE}.univention-config-registry").read_text())

    assert set(section) <= FILE_KEYS
    assert [name for name, values in section.items() if name != "Variables" and len(values) != 1] == []
    assert section["Type"] == ["file"]
    # A name, no number.
    assert not section["User"][0].isdigit()
    assert not section["Group"][0].isdigit()
    assert int(section["Mode"][0], 8) == 0o644
    for pattern in section["Variables"]:
        assert re.compile(pattern).match("mtpolicyd/threshold")
        # `mtpolicyd/*` would be one of a shell.
        assert "*" not in pattern.replace(".*", "")


def test_the_template_is_one() -> None:
    """With the header of UCS, whole marks, and no variable outside of code."""
    text = (UCS / "conffiles/etc/univention-mtpolicyd/settings.toml").read_text(encoding="ascii")

    assert text.startswith("@%@UCRWARNING=# @%@\n")
    assert re.findall("@%@([^@]*)@%@", text) == ["UCRWARNING=# "]
    assert text.count("@!@") == 2
    compile(text.split("@!@")[1], "template", "exec")


def test_the_module_has_the_function_that_is_called() -> None:
    """In the form that ucslint looks for: two arguments, no annotations."""
    name = f"{PACKAGE}.py"
    text = (UCS / "conffiles" / name).read_text(encoding="ascii")

    assert re.fullmatch(r"[0-9A-Z_a-z][0-9A-Z_a-z-]*\.py", name)
    assert re.search(r"^def postinst\(\w+, \w+\):$", text, re.MULTILINE)


def test_variables_have_what_the_umc_module_needs() -> None:
    """A type that UCS knows, and each key by its own name: UCS ignores any other without a word."""
    described = ini(DEBIAN / f"{PACKAGE}.univention-config-registry-variables")
    for name in described.sections():
        lines = described[name]
        assert re.fullmatch(r"mtpolicyd/[a-z]+", name)
        assert set(lines) <= VARIABLE_KEYS, name
        assert {"description[de]", "description[en]", "type", "categories"} <= set(lines), name
        assert lines["type"] in TYPES, name


def test_the_service_can_be_shown_started_and_stopped() -> None:
    """The unit is one of ours and a .service, since UCS calls service(8)."""
    described = ini(DEBIAN / f"{PACKAGE}.univention-service")
    assert described.sections() == [PACKAGE]
    lines = described[PACKAGE]

    assert set(lines) == SERVICE_KEYS
    assert lines["systemd"].endswith(".service")
    assert (ROOT / "deploy/systemd" / lines["systemd"]).exists()
    variables = ini(DEBIAN / f"{PACKAGE}.univention-config-registry-variables")
    assert lines["start_type"] in variables.sections()
    started = [
        path.read_text().partition("ExecStart=")[2].partition("\n")[0]
        for path in (ROOT / "deploy/systemd").glob(f"{PACKAGE}-[dfq]*.service")
    ]
    assert sorted(lines["programs"].split(", ")) == sorted(started)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_maintainer_scripts_have_debhelper_s_part_and_ask_for_their_own_actions(script: Path) -> None:
    """An action that a script is never called with would be code that never runs."""
    text = script.read_text()

    assert "\n#DEBHELPER#\n" in text
    assert text.endswith("\nexit 0\n")
    asked = re.findall(r'\[ "\$1" = (\S+) \]', text)
    for cases in re.findall(r'case "\$1" in\n(.*?)esac', text, re.DOTALL):
        for labels in re.findall(r"^\s+([a-z-]+(?: \| [a-z-]+)*)\)", cases, re.MULTILINE):
            asked += labels.split(" | ")
    assert asked
    assert set(asked) <= ACTIONS[script.suffix[1:]]


def test_the_source_package_is_one_of_univention() -> None:
    """Section, priority and maintainer; each file of debhelper has the name of its package."""
    control = (DEBIAN / "control").read_text()
    names = re.findall(r"^Package: (.*)$", control, re.MULTILINE)

    assert tuple(names) == PACKAGES
    for line in (
        "Section: univention",
        "Priority: optional",
        "Maintainer: Univention GmbH <packages@univention.de>",
    ):
        assert control.count(f"\n{line}\n") == 1
    assert "dh $@ --with ucr" in (DEBIAN / "rules").read_text()
    assert (DEBIAN / "changelog").read_text().startswith(f"{PACKAGE} (")
    others = {"changelog", "control", "copyright", "rules", "source"}
    assert [
        path.name
        for path in DEBIAN.iterdir()
        if path.name not in others and path.name.partition(".")[0] not in PACKAGES
    ] == []
