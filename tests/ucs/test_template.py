"""The settings file as UCR writes it."""

import stat
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.config import check, read_file
from chassis.settings import registered
from mtpolicyd_ucs.settings_file import FIXED, SETTINGS
from tests.support.ucr import Ucr

HOSTILE = [
    '@!@open("executed", "w")@!@',
    '@!@\nopen("executed", "w")\n@!@',
    'x"\n@!@open("executed", "w")@!@\ny = "',
    '" + open("executed", "w").name + "',
    "@%@mtpolicyd/threshold@%@",
    '@%@UCRWARNING=@!@open("executed", "w")@!@@%@',
    '@!@@%@@!@open("executed", "w")@!@@%@@!@',
    '"\nthreshold = 5\nport = 7\nx = "',
    '"""\nthreshold = 5\n"""',
    "[other]\nthreshold = 5",
    "$(touch executed)",
    "`touch executed`",
    "{configRegistry}",
    "%s%n",
    "\\",
    "\\u0022",
    "x" * 5000,
    "ä€😀",
]


def written(ucr: Ucr) -> dict[str, Any]:
    return tomllib.loads(ucr.settings_file.read_text())


def test_a_fresh_system_has_the_defaults_of_the_services(ucr: Ucr) -> None:
    """Nothing is set: the file says what the services would have taken anyway, but for their sockets."""
    ucr("register", "univention-mtpolicyd")

    for cls in registered().values():
        taken = check(cls, read_file(ucr.settings_file)).settings.model_dump()
        expected = check(cls).settings.model_dump()
        assert {name: taken[name] for name in taken if name not in FIXED} == {
            name: expected[name] for name in expected if name not in FIXED
        }


def test_what_was_set_before_is_taken_over(ucr: Ucr) -> None:
    """An installation that has the five variables keeps its values."""
    five = {"allowedcountries": "DE,AT", "debug": "3", "host": "0.0.0.0", "port": "10031", "threshold": "200"}
    ucr("set", *(f"mtpolicyd/{name}={value}" for name, value in five.items()))
    ucr("register", "univention-mtpolicyd")

    assert {name: str(value) for name, value in written(ucr).items() if name in five} == five


def test_every_variable_reaches_the_file(ucr: Ucr) -> None:
    """On set, on unset, and by a policy."""
    ucr("register", "univention-mtpolicyd")
    ucr("set", *(f"{setting.variable}=7" for setting in SETTINGS))
    assert {key: value for key, value in written(ucr).items() if key not in FIXED} == {
        setting.key: 7 if setting.write.__name__ == "as_number" else "7" for setting in SETTINGS
    }
    ucr("set", "--ldap-policy", "mtpolicyd/threshold=8")
    assert written(ucr)["threshold"] == 8
    ucr("unset", "--ldap-policy", "mtpolicyd/threshold")
    assert written(ucr)["threshold"] == 7
    ucr("unset", *(setting.variable for setting in SETTINGS))
    assert written(ucr)["threshold"] == 1000


def test_everybody_may_read_it_and_root_alone_write(ucr: Ucr) -> None:
    """Containers have another user; UCR's own files are readable for all, so nothing is secret in it."""
    ucr("register", "univention-mtpolicyd")

    assert stat.S_IMODE(ucr.settings_file.stat().st_mode) == 0o644


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_never_executed_and_changes_no_other_key(ucr: Ucr, value: str) -> None:
    """In all variables at a time."""
    ucr("set", *(f"{setting.variable}={value}" for setting in SETTINGS))

    # UCR itself drops the ends of lines.
    kept = value.replace("\n", "").strip()
    expected = {setting.key: tomllib.loads(f"x = {setting.write(kept)}")["x"] for setting in SETTINGS}
    assert written(ucr) == {**expected, **FIXED}
    assert not list(ucr.root.rglob("executed"))


MARKS = ["@!@", "@%@", "@", "!", "%", '"', "\\", "open('executed','w')", "#", " "]


@given(value=st.lists(st.sampled_from(MARKS)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_ucr_looks_for_is_never_found(ucr: Ucr, value: list[str]) -> None:
    """Marks in any order, whole and in pieces."""
    text = "".join(value).strip()
    ucr("set", f"mtpolicyd/exemptaccounts={text}")

    assert written(ucr).get("exempt_accounts", "") == text
    assert not list(ucr.root.rglob("executed"))


def test_a_template_that_fails_leaves_no_file_that_could_be_taken(ucr: Ucr) -> None:
    """The services keep what they have, and the admin sees why."""
    template = ucr.root / "etc/univention/templates/files/etc/univention-mtpolicyd/settings.toml"
    template.write_text(
        template.read_text().replace("good_values import settings_file", "nothing import nothing")
    )
    told = ucr("commit", "/etc/univention-mtpolicyd/settings.toml").stderr

    assert "the settings file cannot be written: ModuleNotFoundError" in told
    with pytest.raises(tomllib.TOMLDecodeError):
        written(ucr)
