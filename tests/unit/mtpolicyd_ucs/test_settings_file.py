"""UCR variables as TOML."""

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.config import ConfigFile, check
from chassis.settings import declarations, registered
from mtpolicyd_ucs.settings_file import (
    FIXED,
    SETTINGS,
    Setting,
    as_number,
    as_text,
    as_words,
    text_of,
    values_of,
    variable_of,
)

HOSTILE = st.text(st.characters()) | st.lists(
    st.sampled_from(
        ["@!@", "@%@", "@", "!", "%", '"', "'", "\\", "\n", "\r", "#", "=", "[x]", '"""', " ", "ä"]
    )
).map("".join)


def settings_file(variables: dict[str, str]) -> str:
    return text_of(values_of(variables))


def test_every_setting_is_one_of_a_service() -> None:
    """No line of the table has a slip."""
    known = {item.key for item in declarations(registered().values())}

    assert {setting.key for setting in SETTINGS} | set(FIXED) <= known


def test_the_five_variables_of_before_have_their_names() -> None:
    """They are those of every installation that there is."""
    assert {variable_of(key) for key in ("allowedcountries", "debug", "host", "port", "threshold")} == {
        "mtpolicyd/allowedcountries",
        "mtpolicyd/debug",
        "mtpolicyd/host",
        "mtpolicyd/port",
        "mtpolicyd/threshold",
    }


def test_nothing_set_leaves_the_defaults() -> None:
    """Only where the services talk to each other is said."""
    assert tomllib.loads(settings_file({})) == FIXED
    assert tomllib.loads(settings_file({"mtpolicyd/threshold": "", "mtpolicyd/host": " "})) == FIXED


def test_a_remark_stands_above_its_key_or_in_its_place() -> None:
    """As a comment: it changes nothing."""
    text = text_of({"debug": "2"}, {"debug": "the one before:", "threshold": "the default."})

    assert text.splitlines()[:3] == ["# the one before:", "debug = 2", "# the default."]
    assert tomllib.loads(text) == {"debug": 2, **FIXED}


@pytest.mark.parametrize("service", ["frontend", "decision", "quota"])
def test_the_services_take_the_file(service: str) -> None:
    """With a value of each variable."""
    values = {
        "mtpolicyd/allowedcountries": "DE, at;CH",
        "mtpolicyd/threshold": "500",
        "mtpolicyd/debug": "3",
        "mtpolicyd/port": "12346",
        "mtpolicyd/exemptaccounts": "alice@example.org, Bob",
        "mtpolicyd/allowednetworks": "192.0.2.0/24 2001:db8::/32",
    }
    settings = check(registered()[service], ConfigFile("settings.toml", settings_file(values))).settings

    names = {"debug", "threshold", "port"} & set(type(settings).model_fields)
    values_taken = {name: getattr(settings, name) for name in names}
    assert values_taken.items() <= {"debug": 3, "threshold": 500, "port": 12346}.items()
    if service == "decision":
        assert settings.model_dump()["allowedcountries"] == {"DE", "AT", "CH"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("1000", "1000"),
        (" 7 ", "7"),
        ("0", "0"),
        ("007", '"007"'),
        ("-1", '"-1"'),
        ("1_000", '"1_000"'),
        ("1e3", '"1e3"'),
        ("true", '"true"'),
        ("\u0661", '"\\u0661"'),
        ("9" * 40, f'"{"9" * 40}"'),
    ],
)
def test_a_number_is_one_or_the_services_refuse_it_by_its_name(value: str, written: str) -> None:
    """What is no plain number is a string."""
    assert as_number(value) == written


def test_lists_are_taken_in_every_form_of_ucs() -> None:
    """By commas, semicolons and blanks."""
    assert as_words(" DE,AT;CH  FR,, \t") == '"DE,AT,CH,FR"'


@given(HOSTILE)
@example("\udcff")
@example('"\nthreshold = 5\nx = "')
@example("@!@ print(1) @!@")
def test_a_string_holds_any_text_and_nothing_that_ucr_would_look_at(value: str) -> None:
    """It is one line of plain ASCII; only what is no text at all is lost."""
    written = as_text(value)

    assert written.isascii()
    assert written.isprintable()
    assert "@!@" not in written
    assert "@%@" not in written
    expected = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    assert tomllib.loads(f"x = {written}") == {"x": expected}


@given(st.sampled_from(SETTINGS), HOSTILE)
def test_a_value_changes_its_own_key_and_no_other(setting: Setting, value: str) -> None:
    """Whatever it is."""
    others = {one.variable: "7" for one in SETTINGS}
    before = tomllib.loads(settings_file(others))
    after = tomllib.loads(settings_file({**others, setting.variable: value}))

    key = setting.key
    assert {name: after[name] for name in after if name != key} == {
        name: before[name] for name in before if name != key
    }
