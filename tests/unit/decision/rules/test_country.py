"""The country rule."""

from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from decision.addresses import Network, NetworkSet
from decision.country_data import CountryData, open_built_in
from decision.rules.country import CountryRule
from decision.verdict import Objection, Verb
from tests.support.mails import NON_GLOBAL, broken_data, country_data, mail, origins
from tests.support.observed import Observed

FROM_US = Objection(Verb.REJECT, "5.7.1", "Sending mail from country US is not allowed", "US")
FROM_UNKNOWN = Objection(Verb.REJECT, "5.7.1", "Sending mail from an unknown country is not allowed", "")


def look(
    address: str,
    *,
    data: CountryData | Sequence[CountryData],
    allowed: frozenset[str] = frozenset({"DE"}),
    allowed_networks: tuple[Network, ...] = (),
    reject_unknown: bool = False,
) -> Objection | None:
    """What the rule says to a mail from this address."""
    rule = CountryRule(
        origins=origins(Observed(), *([data] if isinstance(data, CountryData) else data)),
        allowed=allowed,
        allowed_networks=NetworkSet(allowed_networks),
        reject_unknown=reject_unknown,
    )
    return rule.look(mail(client_address=address.encode()))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"]
)
def test_mail_from_another_country_is_refused(address: str) -> None:
    """IPv4, IPv6 and IPv4 inside IPv6 alike: REJECT 5.7.1 with the country."""
    assert look(address, data=country_data()) == FROM_US


@pytest.mark.parametrize("address", ["84.128.0.1", "2a00:1450::1", "::ffff:84.128.0.1", "64:ff9b::5480:1"])
def test_mail_from_an_allowed_country_passes(address: str) -> None:
    """The default country is DE."""
    assert look(address, data=country_data()) is None


def test_several_countries_may_be_allowed() -> None:
    """Each country of the list passes."""
    both = frozenset({"DE", "US"})
    assert look("8.8.8.8", data=country_data(), allowed=both) is None
    assert look("84.128.0.1", data=country_data(), allowed=both) is None


@pytest.mark.parametrize(("address", "kind"), NON_GLOBAL)
def test_addresses_without_a_country_pass(address: str, kind: str) -> None:
    """Webmail on the host, VPNs and unparsable addresses pass, even where unknown countries do not."""
    assert look(address, data=country_data(), reject_unknown=True) is None, kind


def test_an_unknown_public_address_passes_by_default() -> None:
    """country_unknown=allow."""
    assert look("9.9.9.9", data=country_data()) is None


def test_an_unknown_public_address_can_be_refused() -> None:
    """country_unknown=reject."""
    assert look("9.9.9.9", data=country_data(), reject_unknown=True) == FROM_UNKNOWN


@pytest.mark.parametrize(
    ("one", "other", "passes"),
    [
        ("DE", "US", True),
        ("US", "DE", True),
        ("US", "FR", False),
        ("US", "", False),
        ("", "DE", True),
        ("", "", True),
    ],
)
def test_mail_is_refused_only_if_every_database_that_knows_the_address_says_so(
    one: str, other: str, passes: bool
) -> None:
    """No database is the truth; one that does not know the address has no say."""
    databases = [
        country_data({"9.9.9.9": one}, source="one"),
        country_data({"9.9.9.9": other}, source="other"),
    ]
    assert (look("9.9.9.9", data=databases) is None) == passes


@pytest.mark.parametrize("data", [(), broken_data(OSError("I/O")), broken_data(ValueError("record"))])
@pytest.mark.parametrize("address", ["8.8.8.8", "9.9.9.9", "10.0.0.1", "unknown"])
def test_without_usable_data_everything_passes(data: CountryData | tuple[()], address: str) -> None:
    """Missing or broken country data stops no mail."""
    assert look(address, data=data, reject_unknown=True) is None


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2001:4860:4860::8888", "9.9.9.9"])
def test_an_allowed_network_passes_from_anywhere(address: str) -> None:
    """A branch office abroad can be let through, known to the data or not."""
    networks = (ip_network("8.8.8.0/24"), ip_network("2001:4860::/32"), ip_network("9.9.9.9/32"))
    assert look(address, data=country_data(), allowed_networks=networks, reject_unknown=True) is None


def test_an_allowed_network_lets_its_neighbours_not_pass() -> None:
    """Only addresses inside the network are let through."""
    assert look("8.8.8.8", data=country_data(), allowed_networks=(ip_network("8.8.9.0/24"),)) == FROM_US


def test_the_text_is_ascii_without_code_and_id() -> None:
    """The decider adds both."""
    for objection in (FROM_US, FROM_UNKNOWN):
        assert objection.text.isascii()
        assert "5.7.1" not in objection.text


@pytest.mark.parametrize(
    ("address", "passes"), [("8.8.8.8", False), ("84.128.0.1", True), ("2001:4860:4860::8888", False)]
)
def test_the_built_in_data_serves_the_rule(address: str, passes: bool) -> None:
    """Without any data of the admin's, mail from the US is refused and mail from Germany passes."""
    assert (look(address, data=open_built_in()) is None) is passes
