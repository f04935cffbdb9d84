"""What a store records beside its counters, and what its reader makes of it, for every store."""

from collections.abc import Callable

import pytest

from quota.domain import (
    AccountReport,
    Charge,
    ChargeResult,
    CountryCount,
    Limit,
    Origin,
    Outcome,
    Refusal,
    Refusals,
    Report,
    Stage,
    Unit,
)
from quota.periods import day_of
from quota.store.interface import KEEP_DAYS, MAX_ADDRESSES, Reader, Store
from tests.contract.conftest import Opener
from tests.support.charges import BERLIN, HOUR, MESSAGES, NOON, RECIPIENTS, berlin, charge, refusal

DAY = day_of(NOON, BERLIN)
DAY_MS = 24 * HOUR
NARROW = RECIPIENTS._replace(maximum=1)
OBSERVED = NARROW._replace(enforce=False)

Where = tuple[str, bytes, str, bool]
Of = Callable[..., AccountReport]


@pytest.fixture
def of(reader: Reader) -> Of:
    """The report on one account, of today unless other days are named."""

    def report(account: bytes = b"alice", first: int = DAY, last: int = DAY) -> AccountReport:
        (found,) = reader.report(first, last, account).accounts
        return found

    return report


def where(report: AccountReport) -> dict[Where, int]:
    """The counts of an account by (country, address, rule, enforced)."""
    counts = {(o.country, o.address, o.rule, o.enforced): o.total for o in report.origins}
    assert len(counts) == len(report.origins)
    return counts


def refused(report: AccountReport) -> dict[tuple[str, bool], int]:
    return {(refusals.rule, refusals.enforced): refusals.total for refusals in report.refusals}


def test_accepted_mail_is_counted_where_it_came_from(store: Store, of: Of) -> None:
    """In the units that were charged: repeats and what was refused add nothing."""
    store.apply([charge(), charge(), charge(stage=Stage.DATA, recipient_count=3)], NOON)
    store.apply([charge(instance=b"i2", address=b"8.8.8.8", country="US")], NOON)
    store.apply([charge(instance=b"i3", stage=Stage.OTHER)], NOON)

    assert where(of()) == {("DE", b"84.128.0.1", "", False): 3, ("US", b"8.8.8.8", "", False): 1}
    assert of().refusals == ()


def test_the_first_limit_says_in_what_units(store: Store, of: Of) -> None:
    """Counted in messages first, a message of five recipients is one."""
    store.apply([charge(stage=Stage.DATA, recipient_count=5, limits=(MESSAGES, RECIPIENTS))], NOON)

    assert where(of()) == {("DE", b"84.128.0.1", "", False): 1}


def test_where_a_client_is_may_be_unknown(store: Store, of: Of) -> None:
    """It is counted all the same."""
    store.apply([charge(address=b"", country=""), charge(instance=b"i2", country="")], NOON)

    assert where(of()) == {("", b"", "", False): 1, ("", b"84.128.0.1", "", False): 1}


def test_refusals_are_counted_where_they_came_from(store: Store, of: Of) -> None:
    """By rule, and told apart from what would have been refused."""
    items = [refusal(), refusal(address=b"8.8.4.4"), refusal(enforced=False), refusal(rule="other")]
    store.apply([*items, refusal()], NOON)

    assert where(of()) == {
        ("US", b"8.8.8.8", "country", True): 2,
        ("US", b"8.8.4.4", "country", True): 1,
        ("US", b"8.8.8.8", "country", False): 1,
        ("US", b"8.8.8.8", "other", True): 1,
    }
    assert refused(of()) == {("country", True): 3, ("country", False): 1, ("other", True): 1}


def test_a_refusal_by_a_limit_is_counted_where_it_came_from(store: Store, of: Of) -> None:
    """Once for each request, whatever its units."""
    over = charge(stage=Stage.DATA, recipient_count=11, address=b"8.8.8.8", country="US")
    store.apply([over, over], NOON)

    assert where(of()) == {("US", b"8.8.8.8", "quota", True): 2}
    assert refused(of()) == {("quota", True): 2}


def test_what_an_observed_limit_would_refuse_is_recorded(store: Store, of: Of) -> None:
    """And accepted; a repeat of it is nothing new."""
    items = [charge(recipient=b"%d" % number, limits=(OBSERVED,)) for number in range(3)]
    store.apply([*items, items[-1]], NOON)

    assert where(of()) == {("DE", b"84.128.0.1", "", False): 3, ("DE", b"84.128.0.1", "quota", False): 2}
    assert refused(of()) == {("quota", False): 2}


def test_an_exempt_sender_would_not_have_been_refused(store: Store, of: Of) -> None:
    """His mail is counted as accepted, and nothing else."""
    items = [charge(recipient=b"%d" % number, limits=(OBSERVED,), exempt=True) for number in range(3)]
    store.apply(items, NOON)

    assert where(of()) == {("DE", b"84.128.0.1", "", False): 3}
    assert of().refusals == ()


def test_what_was_refused_would_not_have_been_refused(store: Store, of: Of) -> None:
    """Where an enforced limit refuses, an observed one that is over too is not recorded."""
    limits = (
        Limit("watched", Unit.RECIPIENTS, 1, enforce=False),
        Limit("full", Unit.RECIPIENTS, 1, enforce=True),
        Limit("room", Unit.RECIPIENTS, 9, enforce=True),
    )
    store.apply([charge(stage=Stage.DATA, recipient_count=2, limits=limits)], NOON)

    assert refused(of()) == {("full", True): 1}
    assert where(of()) == {("DE", b"84.128.0.1", "full", True): 1}


def test_a_count_that_no_limit_holds_would_have_been_refused(store: Store, of: Of) -> None:
    """It is never charged, but an observed limit lets the mail pass."""
    store.apply([charge(stage=Stage.DATA, recipient_count=10**9 + 1, limits=(OBSERVED,))], NOON)

    assert refused(of()) == {("quota", False): 1}


@pytest.mark.parametrize("enforced", [True, False])
def test_the_sums_agree(store: Store, of: Of, enforced: bool) -> None:
    """Accepted mail by origin is the counter; refusals by origin are the refusals."""
    limits = (RECIPIENTS._replace(enforce=enforced),)
    items: list[Charge | Refusal] = [
        charge(
            instance=b"%d" % number,
            stage=Stage.DATA,
            recipient_count=number % 3,
            address=b"%d" % (number % 4),
            country=("DE", "US")[number % 2],
            limits=limits,
        )
        for number in range(20)
    ]
    results = store.apply(items, NOON)
    last = results[-1]
    assert isinstance(last, ChargeResult)
    counts = where(of())

    assert sum(total for (_, _, rule, _), total in counts.items() if not rule) == last.limits[0].used
    assert {(rule, how) for (_, _, rule, how) in counts if rule} == {("quota", enforced)}
    assert sum(total for (_, _, rule, _), total in counts.items() if rule) == refused(of())["quota", enforced]
    assert refused(of())["quota", enforced] == sum(
        result.limits[0].would_refuse for result in results if isinstance(result, ChargeResult)
    )


# Days


def test_an_origin_belongs_to_the_period_of_its_message(store: Store, of: Of) -> None:
    """Mail begun before midnight is counted to yesterday, as its charge is; refused or not."""
    midnight = berlin("2026-11-24 00:00")
    store.apply([charge(limits=(NARROW,))], midnight - 1)
    store.apply([charge(stage=Stage.DATA, recipient_count=2)], midnight)
    store.apply([charge(recipient=b"x", limits=(NARROW,)), refusal()], midnight)

    assert where(of(b"alice", DAY, DAY)) == {
        ("DE", b"84.128.0.1", "", False): 2,
        ("DE", b"84.128.0.1", "quota", True): 1,
    }
    assert where(of(b"alice", DAY + 1, DAY + 1)) == {("US", b"8.8.8.8", "country", True): 1}


def test_an_origin_of_another_time_zone_belongs_to_its_day(store: Store, of: Of) -> None:
    """The zone is changed at 23:30 in Berlin: what is under way stays, new mail is Tokyo's tomorrow."""
    late = berlin("2026-11-23 23:30")
    store.apply([charge()], late)
    store.apply(
        [charge(recipient=b"x", time_zone="Asia/Tokyo"), charge(instance=b"i2", time_zone="Asia/Tokyo")], late
    )

    assert where(of(b"alice", DAY, DAY)) == {("DE", b"84.128.0.1", "", False): 2}
    assert where(of(b"alice", DAY + 1, DAY + 1)) == {("DE", b"84.128.0.1", "", False): 1}


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-23", 24)], ids=str
)
def test_an_origin_belongs_to_its_whole_day(store: Store, of: Of, day: str, hours: int) -> None:
    """Also on a day of 23 or 25 hours."""
    first = berlin(f"{day} 00:00")
    number = day_of(first, BERLIN)
    for index, moment in enumerate((first - 1, first, first + hours * HOUR - 1, first + hours * HOUR)):
        store.apply([charge(instance=b"%d" % index), refusal()], moment)

    for which, total in ((number - 1, 1), (number, 2), (number + 1, 1)):
        assert set(where(of(b"alice", which, which)).values()) == {total}


def test_days_are_summed_up(store: Store, of: Of, reader: Reader) -> None:
    """First and last included, nothing beside them; each count with its own first and last."""
    for number in range(5):
        store.apply([charge(instance=b"%d" % number), refusal()], NOON + number * DAY_MS)
    store.apply([refusal(address=b"8.8.4.4")], NOON + 2 * DAY_MS)
    first, last = NOON + DAY_MS, NOON + 3 * DAY_MS

    assert of(b"alice", DAY + 1, DAY + 3) == AccountReport(
        b"alice",
        b"alice",
        (Refusals("country", True, 4, first, last),),
        (
            Origin("DE", b"84.128.0.1", "", False, 3, DAY + 1, DAY + 3),
            Origin("US", b"8.8.8.8", "country", True, 3, DAY + 1, DAY + 3),
            Origin("US", b"8.8.4.4", "country", True, 1, DAY + 2, DAY + 2),
        ),
    )
    assert reader.report(DAY - 5, DAY + 9).recorded_since == DAY
    assert reader.report(DAY + 1, DAY + 9).recorded_since == DAY + 1


def test_origins_are_forgotten_as_counters_are(store: Store, of: Of) -> None:
    """Those of the last KEEP_DAYS stay."""
    store.apply([charge(), refusal()], NOON)
    while store.expire(NOON + (KEEP_DAYS - 1) * DAY_MS, 100):
        pass
    kept = len(of().origins)
    while store.expire(NOON + (KEEP_DAYS + 2) * DAY_MS, 100):
        pass

    assert (kept, of().origins, of().refusals) == (2, (), ())


# Bounds


def addresses(report: AccountReport) -> int:
    return len({origin.address for origin in report.origins if origin.address})


def test_a_botnet_does_not_fill_the_store(open_store: Opener, of: Of) -> None:
    """Of an account's day so many addresses are kept; those beyond count without one, over restarts."""
    net = [refusal(address=b"%d" % number) for number in range(MAX_ADDRESSES - 1)]
    open_store().apply(net, NOON)
    store = open_store()
    beyond = [refusal(address=b"more %d" % number, country="FR") for number in range(3)]
    store.apply([*beyond, *net, charge(), charge(instance=b"i2", address=b"", country="")], NOON)
    store.apply([*beyond, *net[:5]], NOON)
    store.apply([refusal(account=b"bob"), *(refusal(address=b"y")._replace(account=b"bob"),)], NOON)
    total = of()

    assert refused(total) == {("country", True): 2 * (MAX_ADDRESSES - 1) + 6 + 5}
    assert sum(o.total for o in total.origins if o.rule) == refused(total)["country", True]
    assert sum(o.total for o in total.origins if o.country == "FR") == 6
    assert sum(o.total for o in total.origins if not o.rule) == 2
    assert addresses(of(b"bob")) == 2


def test_the_next_day_has_room_again(store: Store, of: Of) -> None:
    """The bound is of one day."""
    store.apply([refusal(address=b"%d" % number) for number in range(MAX_ADDRESSES + 1)], NOON)
    store.apply([refusal()], NOON + DAY_MS)

    assert where(of(b"alice", DAY + 1, DAY + 1)) == {("US", b"8.8.8.8", "country", True): 1}


def test_a_report_shows_the_addresses_with_the_highest_counts(store: Store, of: Of) -> None:
    """What came from the others is counted to their country, so the sums hold."""
    store.apply([refusal(address=b"%d" % number) for number in range(600)], NOON)
    store.apply([refusal(address=b"often", country="FR")] * 2 + [charge()], NOON)
    report = of()

    assert report.origins[0].address == b""
    assert addresses(report) <= 200
    assert where(report)["FR", b"often", "country", True] == 2
    assert sum(o.total for o in report.origins if o.rule and o.country == "US") == 600


def test_a_report_shows_the_accounts_with_most_refusals(store: Store, reader: Reader) -> None:
    """And says that there are more."""
    store.apply([refusal(account=b"%d" % number) for number in range(600)], NOON)
    store.apply([refusal(account=b"most")] * 3 + [refusal(account=b"more")] * 2, NOON)
    report = reader.report(DAY, DAY)

    assert [account.account for account in report.accounts[:2]] == [b"most", b"more"]
    assert len(report.accounts) < 600
    assert report.truncated
    assert report.countries == (CountryCount("US", "country", True, 605),)


# Which accounts and countries


def test_nothing_counted_is_an_empty_report(store: Store, reader: Reader) -> None:
    """Of a new store, of other days, of an account that nobody knows."""
    empty = Report(None, (), (), False)
    assert reader.report(DAY, DAY) == empty
    store.apply([charge(), refusal()], NOON)

    assert reader.report(DAY + 1, DAY + 9) == empty
    assert reader.report(DAY - 9, DAY - 1) == empty
    assert reader.report(DAY + 1, DAY) == empty
    assert reader.report(DAY, DAY, b"nobody") == Report(DAY, (), (), False)


def test_who_was_never_refused_is_in_the_countries_only(store: Store, reader: Reader) -> None:
    """Unless he is asked for by name."""
    store.apply([charge(login=b"Alice"), charge(account=b"bob"), refusal(account=b"carol")], NOON)
    report = reader.report(DAY, DAY)
    alice = reader.report(DAY, DAY, b"alice")

    assert [account.account for account in report.accounts] == [b"carol"]
    assert report.countries == (
        CountryCount("DE", "", False, 2),
        CountryCount("US", "country", True, 1),
    )
    assert [(account.account, account.login) for account in alice.accounts] == [(b"alice", b"Alice")]
    assert alice.countries == (CountryCount("DE", "", False, 1),)


def test_any_bytes_may_be_reported(store: Store, of: Of) -> None:
    """Invalid UTF-8, NUL and quotes, as a login and as an address."""
    for name in (b"\xff\xfe", b"a\0b", b"'; --", b"x" * 65536):
        store.apply([charge(account=name, instance=name, address=name[:64], country="")], NOON)
        assert where(of(name)) == {("", name[:64], "", False): 1}
        assert of(name).account == name


def test_a_report_sees_what_was_done_before_it(store: Store, of: Of) -> None:
    """And holds nobody up: the next charge is done at once."""
    for number in range(3):
        (result,) = store.apply([charge(instance=b"%d" % number)], NOON)
        assert isinstance(result, ChargeResult)
        assert result.outcome is Outcome.CHARGED
        assert where(of()) == {("DE", b"84.128.0.1", "", False): number + 1}
