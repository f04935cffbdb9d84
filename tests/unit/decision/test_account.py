"""Which logins are one account."""

import pytest

from decision.account import account_of


@pytest.mark.parametrize(
    ("login", "account"),
    [
        (b"alice", b"alice"),
        (b"Alice@Example.ORG", b"alice@example.org"),
        (b"alice ", b"alice "),
        (b"", b""),
        ("MÜLLER".encode(), "müller".encode()),
        ("mu\u0308ller".encode(), "m\xfcller".encode()),
        (b"STRASSE", b"strasse"),
        ("Straße".encode(), b"strasse"),
        ("ΣΟΦΌΣ".encode(), "σοφόσ".encode()),
        ("σοφός".encode(), "σοφόσ".encode()),
        # Folding takes this letter apart, so only a second normal form gives one account.
        ("\u01f0".encode(), "\u01f0".encode()),
        ("J\u030c".encode(), "\u01f0".encode()),
    ],
)
def test_case_and_normal_form_do_not_matter(login: bytes, account: bytes) -> None:
    """Spellings that differ in case or normal form have one key, in NFC and folded."""
    assert account_of(login) == account


@pytest.mark.parametrize("login", [b"CAF\xe9", b"\xff\xfeA", b"A\xc0\xaf", b"Z\xed\xa0\x80", b"A\xc3"])
def test_invalid_utf8_stays_as_it_is(login: bytes) -> None:
    """Bytes that are no UTF-8 are compared byte by byte, upper case included."""
    assert account_of(login) == login


def test_a_bare_uid_and_an_address_are_two_accounts() -> None:
    """The domain is kept."""
    assert account_of(b"alice") != account_of(b"alice@example.org")


def test_a_long_login_is_kept_whole() -> None:
    """Two logins that differ only in their last character are two accounts."""
    assert account_of(b"l" * 5000 + b"a") != account_of(b"l" * 5000 + b"b")
    assert len(account_of("Ä".encode() * 5000)) == 10000
