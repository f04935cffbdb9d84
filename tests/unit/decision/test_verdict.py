"""The words of decision against the words of the protocols."""

from decision.verdict import Mode, Stage, Verb
from protos import decision_pb2, quota_pb2


def test_no_verb_lets_mail_pass_other_restrictions() -> None:
    """OK or PERMIT before reject_unauth_destination would open a relay, so there is no such verb."""
    assert {str(verb) for verb in Verb} == {"DUNNO", "DEFER", "REJECT"}


def test_stages_are_numbered_as_on_the_wire() -> None:
    """decision.proto and quota.proto have the same stages."""
    names = {f"STAGE_{stage.name}": stage.value for stage in Stage}
    assert dict(decision_pb2.Stage.items()) == names
    assert dict(quota_pb2.Stage.items()) == names


def test_modes_are_what_the_settings_say() -> None:
    """A mode's value is the word that the admin writes."""
    assert [str(mode) for mode in Mode] == ["enforce", "observe", "off"]
