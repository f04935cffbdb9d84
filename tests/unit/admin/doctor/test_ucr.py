"""Univention Configuration Registry."""

from pathlib import Path

from admin.doctor.ucr import SMTPD, Registry, Slot, out_of_order, read, service_option


def test_a_host_without_ucr_has_none(tmp_path: Path) -> None:
    """It is no UCS."""
    assert read(tmp_path) is None


def test_a_later_layer_hides_an_earlier(tmp_path: Path) -> None:
    """Values may hold colons."""
    (tmp_path / "base.conf").write_text(
        "# univention_ base.conf\n\na: check_policy_service inet:127.0.0.1:1\nb: 1\n"
    )
    (tmp_path / "base-forced.conf").write_text("b: 2\n")

    assert read(tmp_path) == Registry({"a": "check_policy_service inet:127.0.0.1:1", "b": "2"})


def test_slots_are_sorted_as_strings() -> None:
    """As UCS does it."""
    registry = Registry({f"{SMTPD}{name}": "x" for name in ("8", "10", "100", "08-x")} | {"other": "y"})

    assert [slot.name for slot in registry.slots()] == ["08-x", "10", "100", "8"]


def test_a_slot_on_the_wrong_side_is_found() -> None:
    """Of permits alone."""
    ours, permit, other = (
        Slot(f"{SMTPD}8", "c"),
        Slot(f"{SMTPD}30", "permit_x"),
        Slot(f"{SMTPD}31", "reject_x"),
    )

    assert out_of_order([permit, other, ours], ours) == [permit]
    assert out_of_order([permit], Slot(f"{SMTPD}08-x", "c")) == []
    assert out_of_order([permit], Slot(f"{SMTPD}x", "c")) == []


def test_services_have_names_in_ucr() -> None:
    """Ports too."""
    assert [service_option(name) for name in ("smtp", "465", "submission")] == ["smtp", "smtps", "submission"]
