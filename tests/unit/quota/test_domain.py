"""The plain values of quota against the words of the protocol."""

import pytest

from protos import quota_pb2 as pb
from quota.domain import MAX_RECIPIENTS, LimitState, Outcome, Stage, Unit


def test_stages_are_numbered_as_on_the_wire() -> None:
    """quota.proto has no other stages."""
    assert dict(pb.Stage.items()) == {f"STAGE_{stage.name}": stage.value for stage in Stage}


@pytest.mark.parametrize(
    ("wire", "ours", "prefix", "beyond"),
    [
        (pb.Unit, Unit, "UNIT_", {"UNSPECIFIED", "DISTINCT"}),
        (pb.Outcome, Outcome, "OUTCOME_", {"UNSPECIFIED", "UNAVAILABLE"}),
    ],
)
def test_words_are_numbered_as_on_the_wire(
    wire: "type[pb.Unit]", ours: type[Unit] | type[Outcome], prefix: str, beyond: set[str]
) -> None:
    """What is stored as a number can be read by whoever knows the protocol."""
    numbers = {name.removeprefix(prefix): number for name, number in wire.items()}
    assert {member.name: member.value for member in ours} == {
        name: number for name, number in numbers.items() if name not in beyond
    }


def test_a_limits_state_has_the_fields_of_the_protocol() -> None:
    """The service copies it field by field."""
    assert list(LimitState._fields) == [field.name for field in pb.LimitState.DESCRIPTOR.fields]


def test_a_billion_fits_the_wire() -> None:
    """Some thousand charges of the largest size fit a 64-bit counter."""
    assert MAX_RECIPIENTS == 10**9
    assert pb.LimitState(used=MAX_RECIPIENTS * 10**6).used == 10**15
