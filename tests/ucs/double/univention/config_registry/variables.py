"""What packages say about their variables: defaults, types, descriptions."""

import configparser
import re
from collections.abc import Iterator

from .layers import ROOT

PLACE = ROOT / "etc/univention/registry.info/variables"
NUMBERS = {"int": (None, None), "uint": (0, None), "pint": (1, None), "portnumber": (0, 65535)}


def described() -> dict[str, dict[str, str]]:
    """Each variable with the lines of its section, names in lower case."""
    found = {}
    for path in sorted(PLACE.glob("*.cfg")):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(path.read_text())
        found.update({name: dict(parser[name]) for name in parser.sections()})
    return found


def defaults() -> dict[str, str]:
    return {name: lines["default"] for name, lines in described().items() if "default" in lines}


def doubts(name: str, value: str) -> Iterator[str]:
    """Why a value does not fit its type. It is stored nevertheless."""
    lines = described().get(name, {})
    kind = lines.get("type", "str")
    if kind in NUMBERS:
        least, most = NUMBERS[kind]
        if not re.fullmatch(r"-?[0-9]+", value):
            yield f"{value!r} is not a valid {kind}"
            return
        least, most = int(lines.get("min", least or -(10**9))), int(lines.get("max", most or 10**10))
        if not least <= int(value) <= most:
            yield f"{value} is not between {least} and {most}"
    elif "regex" in lines and not re.match(lines["regex"], value):
        yield f"{value!r} does not match {lines['regex']}"
