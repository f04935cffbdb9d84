"""What is known about a client address, and how it is counted."""

import pytest
from maxminddb import InvalidDatabaseError

from decision.addresses import Address
from decision.origins import Answer, Kind, Origin
from tests.support.mails import NON_GLOBAL, broken_data, country_data, origins
from tests.support.observed import Observed


@pytest.mark.parametrize(("address", "kind"), NON_GLOBAL)
def test_addresses_without_a_country_have_their_kind(seen: Observed, address: str, kind: Kind) -> None:
    """The data is not asked about an address that belongs to no country."""
    asked: list[Address] = []
    found = origins(seen, country_data(asked=asked)).of(address.encode())

    assert found == Origin(kind)
    assert not asked
    assert seen.sample("geoip_lookups_total", result=kind.result) == 1
    assert kind.result == ("unparsable" if kind is Kind.UNPARSABLE else "non_global")


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("84.128.0.1", "DE"),
        ("8.8.8.8", "US"),
        ("2001:4860:4860::8888", "US"),
        ("::ffff:8.8.8.8", "US"),
        ("2002:808:808::1", "US"),
        ("64:ff9b::808:808", "US"),
    ],
)
def test_a_public_address_has_a_country(seen: Observed, address: str, country: str) -> None:
    """Wrapped IPv4 addresses are looked up as what is inside."""
    assert origins(seen, country_data()).of(address.encode()) == Origin(
        Kind.COUNTRY, (Answer("test", country),)
    )
    assert seen.sample("geoip_lookups_total", result="hit") == 1


@pytest.mark.parametrize(
    "address", [b"100.63.255.255", b"100.128.0.0", b"172.32.0.1", b"9.9.9.9", b"2600::1"]
)
def test_a_public_address_may_be_unknown(seen: Observed, address: bytes) -> None:
    """A public address that the data does not hold is told apart from one without a country."""
    assert origins(seen, country_data()).of(address) == Origin(Kind.UNKNOWN, (Answer("test", ""),))
    assert seen.sample("geoip_lookups_total", result="unknown") == 1


def test_without_data_a_public_address_has_no_origin(seen: Observed) -> None:
    """Missing data shows in the counter; private addresses keep their kind."""
    without = origins(seen)

    assert without.of(b"8.8.8.8") == Origin(Kind.NO_DATA)
    assert without.of(b"10.0.0.1") == Origin(Kind.PRIVATE)
    assert seen.sample("geoip_lookups_total", result="no_data") == 1


@pytest.mark.parametrize("error", [ValueError("bad"), OSError("I/O"), InvalidDatabaseError("bad")])
def test_data_that_is_broken_inside_is_counted(seen: Observed, error: Exception) -> None:
    """A look-up that fails is no verdict on the mail."""
    assert origins(seen, broken_data(error)).of(b"8.8.8.8") == Origin(Kind.ERROR, (Answer("broken", ""),))
    assert seen.sample("geoip_lookups_total", result="error") == 1


def test_every_database_is_asked(seen: Observed) -> None:
    """The country is that of the first one that knows the address; each answer is kept."""
    found = origins(
        seen,
        broken_data(ValueError("bad"), source="a"),
        country_data({"84.128.0.1": "FR"}, source="b"),
        country_data({"84.128.0.1": "DE", "8.8.8.8": "US"}, source="c"),
    )

    german = found.of(b"84.128.0.1")
    assert (german.kind, german.country, str(german)) == (Kind.COUNTRY, "FR", "a:-,b:FR,c:DE")
    assert german.may_be_in(frozenset({"DE", "AT"}))
    assert not german.may_be_in(frozenset({"AT"}))
    assert str(found.of(b"8.8.8.8")) == "a:-,b:-,c:US"
    assert found.of(b"9.9.9.9").kind is Kind.ERROR


def test_each_question_is_counted_and_looked_up_once(seen: Observed) -> None:
    """The cache spares the data, not the counter."""
    asked: list[Address] = []
    found = origins(seen, country_data(asked=asked))
    for _ in range(5):
        found.of(b"8.8.8.8")

    assert len(asked) == 1
    assert seen.sample("geoip_lookups_total", result="hit") == 5


def test_peeking_is_not_counted(seen: Observed) -> None:
    """A log line asks without being counted as a look-up."""
    found = origins(seen, country_data())

    assert found.peek(b"8.8.8.8") == Origin(Kind.COUNTRY, (Answer("test", "US"),))
    assert set(seen.samples("geoip_lookups_total").values()) == {0}


def test_what_is_too_long_for_an_address_fills_no_cache() -> None:
    """Sixty kilobytes of a client's own are no address, and not worth keeping."""
    seen = Observed()
    found = origins(seen, country_data())
    for number in range(3):
        assert found.of(b"%d" % number + b"1" * 60_000).kind is Kind.UNPARSABLE

    assert found._cached.cache_info().currsize == 0
