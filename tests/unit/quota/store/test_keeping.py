"""What of a person is kept."""

from quota.store.keeping import REFUSAL_DAYS, Keeping


def test_as_delivered() -> None:
    """Addresses as they are, single refusals for a week."""
    keeping = Keeping()

    assert keeping.address(b"8.8.8.8") == b"8.8.8.8"
    assert keeping.refusal_days == REFUSAL_DAYS == 7
