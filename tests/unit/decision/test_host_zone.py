"""A host whose time zone is changed while decision runs."""

import asyncio

import pytest

from chassis.tasks import background
from decision.host_zone import LOOK_SECONDS, follow_time_zone
from decision.settings import host_time_zone


async def test_another_zone_is_put_in_force_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing happens while it stays."""
    monkeypatch.setattr("decision.host_zone.LOOK_SECONDS", 0.001)
    zones = {"wanted": "Europe/Berlin", "in force": "Europe/Berlin"}
    changes: list[str] = []

    def change() -> None:
        changes.append(zones["wanted"])
        zones["in force"] = zones["wanted"]

    following = follow_time_zone(
        wanted=lambda: zones["wanted"], in_force=lambda: zones["in force"], change=change
    )
    async with background(following, died=pytest.fail), asyncio.timeout(5):
        await asyncio.sleep(0.02)
        assert changes == []
        zones["wanted"] = "Asia/Tokyo"
        while not changes:  # noqa: ASYNC110 - it looks every millisecond
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)

    assert changes == ["Asia/Tokyo"]
    assert 1 <= LOOK_SECONDS <= 60


def test_the_host_is_asked_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library remembers would hold for the life of the process."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert host_time_zone() == "Europe/Berlin"
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert host_time_zone() == "Asia/Tokyo"
