"""How an account is named in a label."""

from quota.account_label import AccountLabel, namer


def test_plain_is_the_login_made_safe() -> None:
    """Quotes and other printable bytes stay; the exposition format escapes them."""
    name = namer(AccountLabel.PLAIN, b"")
    assert name is not None
    assert name(b'a"b\\c@example.org') == 'a"b\\c@example.org'
    assert name(b"a\nb\xff").isprintable()
    assert len(name(b"a" * 1000)) <= 256


def test_a_hash_needs_its_key() -> None:
    """The same account has the same hash with the same key, another with another; without a key none."""
    one, other = namer(AccountLabel.HASH, b"one"), namer(AccountLabel.HASH, b"other")
    assert one is not None
    assert other is not None
    assert one(b"alice") == one(b"alice") != one(b"bob")
    assert one(b"alice") != other(b"alice")
    assert len(one(b"alice")) == 16
    assert namer(AccountLabel.HASH, b"") is None


def test_off_is_no_name() -> None:
    """Totals only."""
    assert namer(AccountLabel.OFF, b"key") is None
