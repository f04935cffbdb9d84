"""How an account is named in a label."""

from chassis.printable import as_text
from quota.account_label import AccountLabel, address_keeper, namer


def test_plain_is_the_login_made_safe() -> None:
    """As the commands show and take it, up to a bound; the exposition format escapes quotes."""
    name = namer(AccountLabel.PLAIN, b"")
    assert name is not None
    assert name(b'a"b\\c@example.org') == 'a"b\\c@example.org'
    assert name("m\u00fcller".encode()) == "m\u00fcller"
    for odd in (b"a\nb\xff" * 80, "\U0001f600".encode() * 80, "a\u202eb".encode()):
        assert name(odd) == as_text(odd)
        assert name(odd).isprintable()
    assert len(name(b"a" * 1000)) == 800


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


def test_addresses_are_kept_as_was_wished() -> None:
    """As they are, as keyed hashes of their own length, or not; an unknown one stays unknown."""
    plain, hashed = address_keeper(AccountLabel.PLAIN, b""), address_keeper(AccountLabel.HASH, b"key")
    nothing = [address_keeper(AccountLabel.OFF, b"key"), address_keeper(AccountLabel.HASH, b"")]

    assert plain(b"8.8.8.8") == b"8.8.8.8"
    assert hashed(b"8.8.8.8") == hashed(b"8.8.8.8") != hashed(b"8.8.4.4")
    assert (len(hashed(b"8.8.8.8")), hashed(b"")) == (16, b"")
    assert [keep(b"8.8.8.8") for keep in nothing] == [b"", b""]
