"""UCR variables as the settings file of the services.

The name of a variable is that of the setting without underscores: `mtpolicyd/countrymode` is `country_mode`.
A value may be anything that somebody has typed, or that a policy of the directory says: it is written as one
TOML string that can neither end early nor hold what UCR executes, so it changes its own key and no other.
Whether it is allowed is for the services to say: `good_values.py` asks them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

PREFIX = "mtpolicyd/"


class Registry(Protocol):
    """What is needed of univention.config_registry.ConfigRegistry."""

    def get(self, key: str, /) -> str | None:
        """The value of a variable."""


def as_text(value: str) -> str:
    """A TOML string, https://toml.io/en/v1.0.0#string, of ASCII alone."""
    return '"' + "".join(map(_escaped, _without_marks(value))) + '"'


def as_number(value: str) -> str:
    """A TOML integer; what is none becomes a string, which the services refuse with its own name."""
    value = value.strip()
    return value if re.fullmatch(r"0|[1-9][0-9]{0,17}", value, re.ASCII) else as_text(value)


def as_words(value: str) -> str:
    """A list of words without blanks, in the forms that UCS knows: by commas, semicolons or blanks."""
    return as_text(",".join(filter(None, re.split(r"[\s,;]+", value))))


class Setting(NamedTuple):
    """One line of the settings file. Args: write: the TOML value of a variable's text."""

    key: str
    write: Callable[[str], str] = as_text

    @property
    def variable(self) -> str:
        return PREFIX + self.key.replace("_", "")


# Another setting is one line here, and a description in debian/*.univention-config-registry-variables.
SETTINGS = (
    Setting("debug", as_number),
    Setting("host"),
    Setting("port", as_number),
    Setting("allowed_clients", as_words),
    Setting("on_failure"),
    Setting("allowedcountries", as_words),
    Setting("threshold", as_number),
    Setting("count"),
    Setting("timezone"),
    Setting("country_mode"),
    Setting("country_unknown"),
    Setting("quota_mode"),
    Setting("quota_action"),
    Setting("exempt_accounts"),
    Setting("exempt_networks", as_words),
    Setting("allowed_networks", as_words),
    Setting("databases"),
    Setting("notify_mail_to"),
    Setting("notify_mail_relay"),
    Setting("notify_mail_from"),
    Setting("notify_kinds", as_words),
)

MARK = "# made of "

# On one host the services talk through sockets that nobody else may use; the units make their directories.
FIXED = {
    "decision_listen": "unix:/run/univention-mtpolicyd/decision/socket",
    "decision_target": "unix:/run/univention-mtpolicyd/decision/socket",
    "quota_listen": "unix:/run/univention-mtpolicyd/quota/socket",
    "quota_target": "unix:/run/univention-mtpolicyd/quota/socket",
}


def values_of(registry: Registry) -> dict[str, str]:
    """Keys and TOML values. A variable that is not set, or empty, leaves the service's own default."""
    texts = {setting: (registry.get(setting.variable) or "").strip() for setting in SETTINGS}
    return {setting.key: setting.write(text) for setting, text in texts.items() if text}


def text_of(values: Mapping[str, str], remarks: Mapping[str, str] | None = None) -> str:
    """The text of the file.

    Args:
        values: by keys of SETTINGS, as `values_of` has them.
        remarks: what stands in a comment about a key, which need not have a value; one line of plain ASCII.
    """
    return "\n".join(_lines(values, remarks or {}))


def mark_of(values: Mapping[str, str]) -> str:
    """A comment that says of which values a file was made, also where some of them are not in it."""
    return f"{MARK}{hashlib.sha256(text_of(values).encode()).hexdigest()}"


def variable_of(key: str) -> str | None:
    """The UCR variable of a setting."""
    return next((setting.variable for setting in SETTINGS if setting.key == key), None)


def _lines(values: Mapping[str, str], remarks: Mapping[str, str]) -> Iterator[str]:
    for key in (setting.key for setting in SETTINGS):
        if key in remarks:
            yield f"# {remarks[key]}"
        if key in values:
            yield f"{key} = {values[key]}"
    yield from (f"{key} = {as_text(value)}" for key, value in FIXED.items())


def _without_marks(value: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it may stand as it is.

    UCR looks for its marks in what a template has printed, too: there must be none, not even half of one.
    """
    for before, character, after in zip(" " + value, value, value[1:] + " ", strict=False):
        yield character, not (character == "@" and (before in "%!" or after in "%!"))


def _escaped(item: tuple[str, bool]) -> str:
    character, plain = item
    if plain and " " <= character <= "~" and character not in '"\\':
        return character
    number = ord(character)
    if 0xD800 <= number <= 0xDFFF:
        # A byte that is no UTF-8 arrives so; TOML has no way to write it.
        number = 0xFFFD
    return f"\\u{number:04X}" if number <= 0xFFFF else f"\\U{number:08X}"
