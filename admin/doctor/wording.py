"""All that the doctor says: wording_en.toml and wording_de.toml, which have the same names."""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

Language = Literal["en", "de"]


def language(wanted: str = "") -> Language:
    """The language that is wanted, or that of the locale (LC_ALL, LC_MESSAGES, LANG); English if in doubt."""
    names = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    chosen = wanted or next((name for name in names if name), "")
    return "de" if chosen.lower().startswith("de") else "en"


def term(name: str, language: Language, *details: str) -> str:
    """A word or a sentence of the output."""
    return words(language)["terms"][name].format(*details)


class Told(Exception):
    """What keeps the doctor from its work, in one line for the admin.

    Args:
        key: of the line in the table `errors`.
        details: what stands in its `{0}`, `{1}`.
    """

    def __init__(self, key: str, *details: str) -> None:
        super().__init__(key, *details)
        self._key, self._details = key, details

    def told(self, language: Language) -> str:
        return words(language)["errors"][self._key].format(*self._details)

    def __str__(self) -> str:
        return self.told("en")


def sentence(finding: str, language: Language, details: tuple[str, ...]) -> str:
    """The sentence of a finding. Args: details: what stands in its `{0}`, `{1}`."""
    return words(language)["findings"][finding].format(*details)


@cache
def words(language: Language) -> Mapping[str, Mapping[str, str]]:
    """The tables `findings`, `terms` and `errors` of a language."""
    text = Path(__file__).with_name(f"wording_{language}.toml").read_text("utf-8")
    found: Mapping[str, Mapping[str, str]] = tomllib.loads(text)
    return found
