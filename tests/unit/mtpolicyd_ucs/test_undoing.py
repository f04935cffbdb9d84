"""What was changed is undone exactly, and what somebody has changed since is his."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtpolicyd_ucs import places, undoing
from mtpolicyd_ucs.undoing import Changes

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2", "3"])
REGISTRIES = st.dictionaries(NAMES, VALUES)


@pytest.fixture
def ucr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    registry: dict[str, str] = {}

    def change(changes: Mapping[str, str | None]) -> None:
        for name, value in changes.items():
            if value is None:
                registry.pop(name, None)
            else:
                registry[name] = value

    monkeypatch.setattr(undoing, "change", change)
    # Hundreds of files: none of them has to outlive a power loss.
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(places, "ACTIVATION", tmp_path / "state/activation.json")
    return registry


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=REGISTRIES, made=st.lists(REGISTRIES), since=REGISTRIES)
def test_undoing_leaves_what_was_and_what_was_changed_since(
    ucr: dict[str, str], before: dict[str, str], made: list[dict[str, str]], since: dict[str, str]
) -> None:
    """Each time by a new process, which knows only what was written down."""
    ucr.clear()
    ucr.update(before)
    for wanted in made:
        Changes().make(ucr, wanted)
    expected = {**before, **{name: value for name, value in since.items() if ucr.get(name) != value}}
    ucr.update(since)
    Changes().undo(ucr)

    assert ucr == expected
    assert not places.ACTIVATION.exists()


def test_it_is_written_down_before_it_is_done(ucr: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends us in between can be undone."""

    def fail(changes: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(undoing, "change", fail)
        with pytest.raises(OSError):  # noqa: PT011 - as it was raised
            Changes().make(ucr, {"a": "1"})
    assert places.ACTIVATION.exists()
    ucr["a"] = "1"
    Changes().undo(ucr)
    assert ucr == {}


def test_nobody_else_may_write_down_what_root_is_to_undo(ucr: dict[str, str]) -> None:
    """It does not lie in the directory of the services."""
    Changes().make(ucr, {"a": "1"})

    assert places.ACTIVATION.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\0" * 100])
def test_a_damaged_file_is_told_by_its_name(ucr: dict[str, str], text: str) -> None:
    """A machine may lose its power; what was undone then would be a guess."""
    places.ACTIVATION.parent.mkdir()
    places.ACTIVATION.write_text(text)

    with pytest.raises(OSError, match=f"{places.ACTIVATION} is damaged"):
        Changes()
