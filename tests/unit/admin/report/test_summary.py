"""A report of quota as rows."""

from ipaddress import ip_network

from admin.report.summary import AccountRow, CountryRow, account_rows, country_rows
from protos import quota_pb2 as pb
from tests.support.reports import FIRST_MS, LAST_MS, account, origin


def test_an_account_has_a_row_for_each_rule() -> None:
    """Refused and would-be-refused side by side; most frequent countries and networks first."""
    rows = account_rows(
        [
            account(
                b"anna",
                origin(count=5),
                origin(b"8.8.8.8", "US", rule="country", enforced=True, count=2),
                origin(b"8.8.8.9", "US", rule="country", count=3),
                origin(b"8.8.4.4", "US", rule="country"),
                origin(b"", "FR", rule="country", count=9),
                origin(b"84.128.0.1", rule="quota", count=4),
                origin(b"8.8.8.8", "US", count=7),
            ),
            account(b"bernd", origin(count=1)),
        ]
    )

    assert rows == [
        AccountRow(
            b"anna",
            b"anna",
            "country",
            refused=2,
            would_be_refused=13,
            accepted=12,
            countries=("FR", "US"),
            networks=(ip_network("8.8.8.0/24"), ip_network("8.8.4.0/24")),
            first_unix_ms=FIRST_MS,
            last_unix_ms=LAST_MS,
        ),
        AccountRow(
            b"anna",
            b"anna",
            "quota",
            refused=0,
            would_be_refused=4,
            accepted=12,
            countries=("DE",),
            networks=(ip_network("84.128.0.0/24"),),
            first_unix_ms=FIRST_MS,
            last_unix_ms=LAST_MS,
        ),
    ]


def test_refusals_without_origins_are_a_row() -> None:
    """They are older than the counts of where mail came from."""
    refusals = [
        pb.Refusals(rule="country", mode=pb.MODE_ENFORCE, count=2, first_unix_ms=5, last_unix_ms=6),
        pb.Refusals(rule="country", mode=pb.MODE_OBSERVE, count=1, first_unix_ms=4, last_unix_ms=5),
    ]
    rows = account_rows([pb.AccountReport(account=b"anna", login=b"Anna", refusals=refusals)])

    assert rows == [AccountRow(b"anna", b"Anna", "country", 2, 1, 0, (), (), 4, 6)]


def test_countries_are_summed_over_rules() -> None:
    """Those with most mail first."""
    counts = [
        pb.CountryCount(country="US", rule="country", mode=pb.MODE_ENFORCE, count=4),
        pb.CountryCount(country="", count=1),
        pb.CountryCount(country="DE", count=9),
        pb.CountryCount(country="DE", rule="quota", mode=pb.MODE_ENFORCE, count=1),
        pb.CountryCount(country="DE", rule="country", mode=pb.MODE_ENFORCE, count=1),
        pb.CountryCount(country="DE", rule="quota", mode=pb.MODE_OBSERVE, count=2),
    ]

    assert country_rows(counts) == [
        CountryRow("DE", 9, 2, 2),
        CountryRow("US", 0, 4, 0),
        CountryRow("", 1, 0, 0),
    ]
    assert country_rows([]) == []
