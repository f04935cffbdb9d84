"""Country codes and groups as an admin writes them."""

import pycountry
import pytest

from decision.countries import EEA, EU, GROUPS, expand, expand_named, name_of


def test_case_and_blanks_are_forgiven() -> None:
    """De is DE."""
    assert expand(["de", " At ", "DE"]) == {"DE", "AT"}


@pytest.mark.parametrize(
    ("name", "count", "inside", "outside"),
    [
        ("EU", 27, {"DE", "IE", "GR"}, {"GB", "CH", "NO"}),
        ("EEA", 30, {"DE", "NO", "LI", "IS"}, {"GB", "CH"}),
        ("EWR", 30, {"DE", "NO", "LI", "IS"}, {"GB", "CH"}),
        ("dach", 3, {"DE", "AT", "CH"}, {"LI"}),
    ],
)
def test_groups_stand_for_their_countries(name: str, count: int, inside: set[str], outside: set[str]) -> None:
    """Alone or beside countries."""
    codes = expand([name, "US"])

    assert len(codes) == count + 1
    assert inside | {"US"} <= codes
    assert not outside & codes


def test_every_country_of_a_group_is_a_country() -> None:
    """By the current list."""
    assert [code for code in EEA if pycountry.countries.get(alpha_2=code) is None] == []
    assert EU < EEA
    # A group's name must never be a country's, or it would mean both.
    assert [name for name in GROUPS if pycountry.countries.get(alpha_2=name) is not None] == []


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["UK"], "UK is no country, GB is"),
        (["XX"], "XX is no country"),
        (["Germany"], "GERMANY is no country"),
        (["DE", ""], " is no country"),
        ([], "the list is empty: nobody could send"),
    ],
)
def test_what_is_neither_is_refused(names: list[str], reason: str) -> None:
    """With the reason in words."""
    with pytest.raises(ValueError, match=r"country|empty") as caught:
        expand(names)

    assert str(caught.value) == reason


def test_kosovo_is_a_country() -> None:
    """XK is in use, though ISO leaves it to its users."""
    assert expand(["XK"]) == {"XK"}


@pytest.mark.parametrize(
    ("code", "name"),
    [("DE", "Germany"), ("TW", "Taiwan"), ("BO", "Bolivia"), ("XK", "Kosovo"), ("EU", "EU"), ("T1", "T1")],
)
def test_a_country_has_a_name(code: str, name: str) -> None:
    """The common one; some files have codes that are no country's."""
    assert name_of(code) == name


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("FR,it", {"FR", "IT"}),
        ("France, Italy", {"FR", "IT"}),
        ("deu", {"DE"}),
        ("south korea", {"KR"}),
        ("Korea, Republic of", {"KR"}),
        ("Kosovo,DACH", {"XK", "DE", "AT", "CH"}),
        ("Taiwan", {"TW"}),
    ],
)
def test_countries_may_be_named(text: str, codes: set[str]) -> None:
    """By code, group, or English name."""
    assert expand_named(text) == codes


@pytest.mark.parametrize("text", ["", " , ", "Frankreich", "FR;IT", "UK", "F", "\x1b"])
def test_what_names_no_country_is_refused(text: str) -> None:
    """With ValueError."""
    with pytest.raises(ValueError, match=r"is no country|no country is named"):
        expand_named(text)


def test_every_country_is_found_by_its_names() -> None:
    """And is itself."""
    for country in pycountry.countries:
        assert expand_named(country.name) == expand_named(country.alpha_3) == {country.alpha_2}
        assert expand_named(name_of(country.alpha_2)) == {country.alpha_2}
