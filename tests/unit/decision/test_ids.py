"""Decision ids."""

import pytest

from decision import ids
from decision.ids import ALPHABET, new_decision_id


def test_an_id_has_ten_characters_that_are_not_mistaken() -> None:
    """I, L, O and U are not used, nor upper case."""
    assert not set(ALPHABET) & set("ilou")
    for _ in range(200):
        value = new_decision_id()
        assert len(value) == 10
        assert set(value) <= set(ALPHABET)


def test_ids_do_not_repeat() -> None:
    """Ten thousand ids are ten thousand different ones."""
    assert len({new_decision_id() for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize(("bits", "value"), [(0, "0000000000"), (2**50 - 1, "zzzzzzzzzz")])
def test_all_50_bits_are_shown(monkeypatch: pytest.MonkeyPatch, bits: int, value: str) -> None:
    """The smallest and the largest number have ten characters too."""
    monkeypatch.setattr(ids, "getrandbits", lambda count: bits if count == 50 else None)
    assert new_decision_id() == value


def test_each_bit_makes_another_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bit is lost."""
    values = {"0000000000"}
    for bit in range(50):
        monkeypatch.setattr(ids, "getrandbits", lambda _, bit=bit: 1 << bit)
        values.add(new_decision_id())
    assert len(values) == 51
