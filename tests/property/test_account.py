"""account_of for any login."""

import unicodedata

from hypothesis import assume, example, given
from hypothesis import strategies as st

from decision.account import account_of

# Letters that upper case and case folding treat alike; the dotless i, for one, is a letter of its own.
cased = st.text(st.characters(codec="utf-8").filter(lambda c: c.upper().casefold() == c.casefold()))


def is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
@example("\u1fb3\u0301".encode())
@example("\u01f0\u0323".encode())
@example("\u0130\u0345\u0307".encode())
def test_the_account_of_an_account_is_itself(login: bytes) -> None:
    """Normalising twice changes nothing, whatever the bytes."""
    account = account_of(login)
    assert account_of(account) == account


@given(cased)
@example("straße")
@example("ΐ")
@example("ὈΔΥΣΣΕΎΣ")
def test_case_does_not_matter(text: str) -> None:
    """A login in capitals is the same account."""
    text = unicodedata.normalize("NFC", text)
    assert account_of(text.upper().encode()) == account_of(text.encode())
    assert account_of(text.casefold().encode()) == account_of(text.encode())


@given(st.text(st.characters(codec="utf-8")))
@example("Å\u0323")
def test_the_normal_form_does_not_matter(text: str) -> None:
    """A login in another normal form is the same account."""
    account = account_of(text.encode())
    assert account_of(unicodedata.normalize("NFC", text).encode()) == account
    assert account_of(unicodedata.normalize("NFD", text).encode()) == account


@given(st.text(st.characters(codec="utf-8")))
def test_the_account_of_utf8_is_utf8_in_nfc(text: str) -> None:
    """What quota stores can be read."""
    account = account_of(text.encode()).decode()
    assert unicodedata.is_normalized("NFC", account)


@given(st.binary(min_size=1))
@example(b"CAF\xe9")
def test_invalid_utf8_stays_as_it_is(login: bytes) -> None:
    """Nothing is guessed about bytes of an unknown encoding."""
    assume(not is_utf8(login))
    assert account_of(login) == login


@given(st.text(st.characters(codec="ascii")))
def test_ascii_is_treated_like_any_text(text: str) -> None:
    """The short way for ASCII gives what the long way gives."""
    assert account_of(text.encode()) == unicodedata.normalize("NFC", text).casefold().encode()
