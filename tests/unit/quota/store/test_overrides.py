"""The short form of what is in force."""

from hypothesis import given
from hypothesis import strategies as st

from quota.overrides import Kind, Override
from quota.store.overrides import Standing, short
from tests.support.charges import MESSAGES, RECIPIENTS, charge, refusal

NOW = 1000


def of(kind: Kind, value: str = "", until: int = 0) -> Override:
    return Override(b"alice", kind, value, until, "why", "root@mail", 1)


def standing(*overrides: Override) -> Standing:
    text = short(overrides)
    assert text is not None
    return Standing.read(text)


def test_nothing_is_nothing() -> None:
    """The account's row stays as it was made."""
    assert short([]) is None


@given(until=st.integers(0, 2000))
def test_it_is_in_force_before_its_moment(until: int) -> None:
    """0 is never."""
    in_force = until == 0 or until > NOW
    here = standing(
        of(Kind.LOCK, until=until), of(Kind.LIMIT, "5", until=until), of(Kind.COUNTRY, "FR,US", until=until)
    )

    assert here.locks(NOW) is in_force
    assert here.permits(refusal(), NOW) is in_force
    assert here.limits(charge().limits, NOW)[0].maximum == (5 if in_force else 10)


def test_each_kind_stands_for_itself() -> None:
    """A limit locks nobody."""
    here = standing(of(Kind.LIMIT, "5"))

    assert not here.locks(NOW)
    assert not here.permits(refusal(), NOW)
    assert not here.permits(refusal(country=""), NOW)
    assert not standing(of(Kind.LOCK)).permits(refusal(country=""), NOW)
    assert standing(of(Kind.LOCK)).limits((RECIPIENTS,), NOW) == (RECIPIENTS,)


def test_other_limits_keep_their_maximum() -> None:
    """An admin sets that of `quota`."""
    here = standing(of(Kind.LIMIT, "5"))

    assert [limit.maximum for limit in here.limits((RECIPIENTS, MESSAGES), NOW)] == [
        5,
        10,
    ]
