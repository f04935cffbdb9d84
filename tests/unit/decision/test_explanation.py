"""What becomes of an address, in words."""

from ipaddress import ip_network
from typing import Any

import pytest

from decision.country_data import CountryData
from decision.explanation import Explainer, Explanation
from decision.origins import Kind
from decision.settings import Settings
from tests.support.mails import NON_GLOBAL, broken_data, country_data, origins
from tests.support.observed import Observed
from tests.support.policy import AMERICAN, GERMAN

REFUSAL = "Sending mail from country US is not allowed"


def explained(address: str, *databases: CountryData, **settings: Any) -> Explanation:
    """By the data of the tests, if no other is named."""
    data = databases or (country_data(),)
    return Explainer(Settings(**settings), origins(Observed(), *data)).explain(address)


def test_an_allowed_country_passes() -> None:
    """With its name."""
    one = explained(GERMAN)

    assert (one.refused, one.reason) == (False, "DE (Germany) is allowed")
    assert str(one.origin) == "test:DE"


def test_another_one_is_refused_in_the_words_that_the_user_reads() -> None:
    """Without the decision's id."""
    assert explained(AMERICAN)[-2:] == (True, REFUSAL)


def test_databases_that_say_otherwise_are_named() -> None:
    """Where one that says "allowed" is enough."""
    other = country_data({GERMAN: "US"}, source="other")
    unaware = country_data({}, source="unaware")

    assert explained(GERMAN, country_data(), other, unaware)[-2:] == (
        False,
        "DE (Germany) is allowed, though other says US",
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"allowed_networks": (ip_network("8.8.8.0/24"),)}, "it is in allowed_networks"),
        (
            {"exempt_networks": (ip_network("8.8.8.0/24"),)},
            f"it is in exempt_networks; otherwise: {REFUSAL}",
        ),
        ({"country_mode": "observe"}, f"country_mode is observe; otherwise: {REFUSAL}"),
        ({"country_mode": "off"}, "country_mode is off"),
        ({"rules": "quota"}, "country is not among the rules"),
    ],
)
def test_what_lets_a_foreign_address_pass_is_named(settings: dict[str, object], reason: str) -> None:
    """By the setting's name."""
    assert explained(AMERICAN, **settings)[-2:] == (False, reason)


@pytest.mark.parametrize(
    ("setting", "refused", "reason"),
    [
        ("allow", False, "no database knows it, and country_unknown is allow"),
        ("reject", True, "Sending mail from an unknown country is not allowed"),
    ],
)
def test_an_unknown_address(setting: str, refused: bool, reason: str) -> None:
    """As country_unknown says."""
    assert explained("9.9.9.9", country_unknown=setting)[-2:] == (refused, reason)


@pytest.mark.parametrize(("address", "kind"), [case for case in NON_GLOBAL if case[1] is not Kind.UNPARSABLE])
def test_an_address_without_a_country_passes(address: str, kind: Kind) -> None:
    """The reason names its kind, even where unknown countries are refused."""
    one = explained(address, country_unknown="reject")

    assert (one.refused, one.origin.kind) == (False, kind)
    assert one.reason.endswith("has no country")


def test_data_that_is_broken_or_missing_lets_pass() -> None:
    """And is named."""
    assert explained(AMERICAN, broken_data(ValueError())).reason == "the country data is broken inside"
    explainer = Explainer(Settings(), origins(Observed()))
    assert explainer.explain(AMERICAN).reason == "there is no country data"


@pytest.mark.parametrize("text", ["unknown", "", "8.8.8", "8.8.8.8/32", "example.org", "x" * 100, "8.8.8.8é"])
def test_what_is_no_address_is_a_value_error(text: str) -> None:
    """It is quoted."""
    with pytest.raises(ValueError, match="is no address"):
        explained(text)


def test_the_address_that_is_looked_up_is_told() -> None:
    """An IPv6 address may wrap an IPv4 one."""
    assert str(explained(f"::ffff:{AMERICAN}").looked_up) == AMERICAN
