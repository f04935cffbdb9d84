"""A wrong value holds back itself alone: what the file has then."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from chassis.config import check, read_file
from chassis.settings import registered
from mtpolicyd_ucs.settings_file import FIXED, SETTINGS
from tests.support.ucr import Ucr, checking
from tests.ucs.test_template import HOSTILE

WRONG = ("mtpolicyd/port=99999", "mtpolicyd/debug=9", "mtpolicyd/allowedcountries=Germany")


@pytest.fixture(scope="module")
def registered_once(tmp_path_factory: pytest.TempPathFactory) -> Ucr:
    root = tmp_path_factory.mktemp("registered") / "ucs"
    ucr = Ucr(root, mtpolicyctl=checking(root / "var/lib/univention-mtpolicyd"))
    ucr("register", "univention-mtpolicyd")
    return ucr


@pytest.fixture
def ucr(registered_once: Ucr, tmp_path: Path) -> Ucr:
    return registered_once.copied_to(tmp_path / "ucs")


def values(ucr: Ucr) -> dict[str, Any]:
    """Of a file that all services take."""
    for cls in registered().values():
        check(cls, read_file(ucr.settings_file))
    return tomllib.loads(ucr.settings_file.read_text())


def test_the_wrong_one_keeps_its_value_of_before_and_others_change(ucr: Ucr) -> None:
    """In the same command, and in later ones."""
    ucr("set", "mtpolicyd/allowedcountries=DE,AT", "mtpolicyd/threshold=700")
    told = ucr("set", "mtpolicyd/allowedcountries=Germany", "mtpolicyd/debug=3").stderr
    assert "mtpolicyd/allowedcountries = 'Germany' is not allowed (GERMANY is no country" in told
    assert 'mtpolicyd/allowedcountries: the value before stays in force until this is mended: "DE,AT"' in told
    assert values(ucr).items() >= {"allowedcountries": "DE,AT", "threshold": 700, "debug": 3}.items()

    told = ucr("set", "mtpolicyd/threshold=500").stderr
    assert "'Germany' is not allowed" in told
    assert values(ucr).items() >= {"allowedcountries": "DE,AT", "threshold": 500}.items()
    assert "# mtpolicyd/allowedcountries is not allowed as it is set now" in ucr.settings_file.read_text()

    assert ucr("set", "mtpolicyd/allowedcountries=CH").stderr == ""
    assert values(ucr)["allowedcountries"] == "CH"
    assert "not allowed" not in ucr.settings_file.read_text()


def test_all_of_them_at_once(ucr: Ucr) -> None:
    """Each is told, each keeps its own."""
    ucr("set", "mtpolicyd/port=10031", "mtpolicyd/debug=2")
    told = ucr("set", *WRONG, "mtpolicyd/threshold=3").stderr

    assert [name for name in ("port", "debug", "allowedcountries") if f"mtpolicyd/{name} = " in told] == [
        "port",
        "debug",
        "allowedcountries",
    ]
    expected = {"port": 10031, "debug": 2, "allowedcountries": "DE", "threshold": 3}
    assert values(ucr).items() >= expected.items()


def test_commit_and_register_keep_it_too(ucr: Ucr) -> None:
    """As on an upgrade of the package."""
    ucr("set", "mtpolicyd/threshold=700")
    ucr("set", "mtpolicyd/threshold=many")
    ucr("commit", "/etc/univention-mtpolicyd/settings.toml")
    assert values(ucr)["threshold"] == 700
    ucr("register", "univention-mtpolicyd")
    assert values(ucr)["threshold"] == 700


def test_a_policy_of_the_directory_is_no_exception(ucr: Ucr) -> None:
    """It beats what was set by hand, and its wrong value does not."""
    ucr("set", "mtpolicyd/threshold=700")
    ucr("set", "--ldap-policy", "mtpolicyd/threshold=0")
    assert values(ucr)["threshold"] == 700


def test_without_a_value_before_the_default_is_in_force(ucr: Ucr) -> None:
    """The variable has none in the registry, either."""
    told = ucr("set", "mtpolicyd/timezone=Berlin").stderr

    assert "mtpolicyd/timezone: the default is in force until this is mended" in told
    assert "timezone" not in values(ucr)


@pytest.mark.parametrize(
    "content", ["threshold = 0\n", "threshold = [1]\n", "threshold = true\n", "no TOML", "\udcff"]
)
def test_what_the_file_had_before_must_be_allowed_itself(ucr: Ucr, content: str) -> None:
    """Somebody has written into it, or an older version has."""
    ucr.settings_file.write_text(content, errors="surrogateescape")
    told = ucr("set", "mtpolicyd/threshold=many", "mtpolicyd/debug=2").stderr

    assert "mtpolicyd/threshold: the default is in force until this is mended" in told
    assert "threshold" not in values(ucr)
    assert values(ucr)["debug"] == 2


def test_with_no_file_before_the_defaults_are_in_force(ucr: Ucr) -> None:
    """A variable was wrong before the package was installed."""
    ucr.settings_file.unlink()
    ucr("set", *WRONG, "mtpolicyd/threshold=300")

    expected = values(ucr)
    assert expected["threshold"] == 300
    assert not {"port", "debug", "allowedcountries"} & set(expected)


@pytest.mark.parametrize("turn", [0, 5, 11])
def test_hostile_values_in_all_variables_leave_a_file_that_the_services_take(ucr: Ucr, turn: int) -> None:
    """Nothing is executed, not by what is told either; a key has its own value or the one before."""
    before = values(ucr)
    hostile = {
        setting: HOSTILE[(number + turn) % len(HOSTILE)].strip() for number, setting in enumerate(SETTINGS)
    }
    ucr("set", *(f"{setting.variable}={value}" for setting, value in hostile.items()))

    after = values(ucr)
    assert set(after) <= {setting.key for setting in SETTINGS} | set(FIXED)
    for setting, value in hostile.items():
        # UCR itself drops the ends of lines.
        own = tomllib.loads(f"x = {setting.write(value.replace(chr(10), ''))}")["x"]
        assert after.get(setting.key) in (own, before.get(setting.key)), setting.key
    assert not list(ucr.root.rglob("executed"))


def test_where_nobody_can_be_asked_the_services_judge_the_file(ucr: Ucr) -> None:
    """While the package is being unpacked, say."""
    ucr.program("usr/bin/mtpolicyctl", "#!/bin/sh\necho broken >&2\nexit 1\n")
    told = ucr("set", "mtpolicyd/threshold=many").stderr

    assert "whether the values are allowed cannot be asked now: broken" in told
    assert tomllib.loads(ucr.settings_file.read_text())["threshold"] == "many"
