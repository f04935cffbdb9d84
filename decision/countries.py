"""Country codes as an admin writes them: ISO 3166-1 alpha-2, and a few groups."""

from collections.abc import Iterable
from functools import cache

import pycountry

# https://european-union.europa.eu/principles-countries-history/eu-countries_en, 27 since 2020
EU = frozenset(
    {
        "AT",
        "BE",
        "BG",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GR",
        "HR",
        "HU",
        "IE",
        "IT",
        "LT",
        "LU",
    }
    | {"LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)
# The EU with Iceland, Liechtenstein and Norway; EWR is its German name.
EEA = EU | {"IS", "LI", "NO"}
GROUPS = {"EU": EU, "EEA": EEA, "EWR": EEA, "DACH": frozenset({"DE", "AT", "CH"})}
# Codes that people write for a country that ISO 3166-1 lists under another one.
MISTAKEN = {"UK": "GB", "EN": "GB", "EL": "GR"}
# Kosovo: user-assigned in ISO 3166-1, but in use by the EU and in every country database.
EXTRA = {"XK": "Kosovo"}


def names_of(codes: Iterable[str]) -> str:
    """`Austria, Germany`."""
    return ", ".join(map(name_of, sorted(codes)))


def expand(names: Iterable[str]) -> frozenset[str]:
    """The codes of countries and groups; case and blanks are forgiven.

    Raises:
        ValueError: a name is neither, or there is none.
    """
    codes: set[str] = set()
    for name in sorted(item.strip().upper() for item in names):
        if name in MISTAKEN:
            raise ValueError(f"{name} is no country, {MISTAKEN[name]} is")
        if name not in GROUPS and name not in EXTRA and pycountry.countries.get(alpha_2=name) is None:
            raise ValueError(f"{name} is no country")
        codes |= GROUPS.get(name, {name})
    if not codes:
        raise ValueError("the list is empty: nobody could send")
    return frozenset(codes)


def name_of(code: str) -> str:
    """The English name of a country; what is no code of ISO 3166-1 is its own name."""
    country = pycountry.countries.get(alpha_2=code)
    if country is None:
        return EXTRA.get(code, code)
    # "Taiwan" rather than "Taiwan, Province of China".
    return str(getattr(country, "common_name", country.name))


def expand_named(text: str) -> frozenset[str]:
    """The codes of a comma-separated list of codes, groups and English names: `FR,IT`, `EU`, `South Korea`.

    Raises:
        ValueError: a name is neither, or there is none.
    """
    # Names with a comma of their own (`Korea, Republic of`) are one item.
    whole = _code_of(text)
    items = [whole] if whole else [_code_of(item) or item for item in text.split(",") if item.strip()]
    if not items:
        raise ValueError("no country is named")
    return expand(items)


def _code_of(name: str) -> str:
    """The code of a country's name, or of ISO 3166-1's three letters; empty if it is neither."""
    return _codes_by_name().get(name.strip().casefold(), "")


@cache
def _codes_by_name() -> dict[str, str]:
    # pycountry's own look-up takes a millisecond, and a file may have 50,000 lines.
    fields = ("alpha_3", "name", "common_name", "official_name")
    known = {
        str(getattr(country, field)).casefold(): str(country.alpha_2)
        for country in pycountry.countries
        for field in fields
        if hasattr(country, field)
    }
    return known | {name.casefold(): code for code, name in EXTRA.items()}
