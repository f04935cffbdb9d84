"""The settings of quota."""

import os
from pathlib import Path

import pytest

from chassis.config import load
from chassis.settings import Address, SettingsError
from quota.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unprivileged user with nothing but a home."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/mail")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_without_any_setting_the_defaults_are_in_force() -> None:
    """Loopback only, and the state below the user's home."""
    settings = load(Settings).settings

    assert settings.statedir == Path("/home/mail/.local/state/univention-mtpolicyd")
    assert settings.quota_listen == Address("127.0.0.1", 12347)
    assert settings.metrics_endpoint == settings.quota_metrics == Address("127.0.0.1", 9103)


def test_root_keeps_its_state_with_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """In /var/lib, wherever root's home is."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load(Settings).settings.statedir == Path("/var/lib/univention-mtpolicyd")


def test_xdg_state_home_moves_the_users_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG base directory specification says; empty counts as unset."""
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
    assert load(Settings).settings.statedir == Path("/srv/state/univention-mtpolicyd")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    assert load(Settings).settings.statedir == Path("/home/mail/.local/state/univention-mtpolicyd")


@pytest.mark.parametrize("value", ["/var/lib/private/quota", "/var/lib/private/quota:/var/lib/private/other"])
@pytest.mark.parametrize("user", [0, 1000])
def test_systemds_state_directory_comes_first(monkeypatch: pytest.MonkeyPatch, value: str, user: int) -> None:
    """The first of its list, for root as for anybody."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("STATE_DIRECTORY", value)
    assert load(Settings).settings.statedir == Path("/var/lib/private/quota")


def test_the_setting_comes_before_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the admin says holds under systemd too."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/private/quota")
    monkeypatch.setenv("MTPOLICYD_STATEDIR", "/srv/quota")
    monkeypatch.setenv("MTPOLICYD_QUOTA_LISTEN", "unix:/run/quota.sock")
    settings = load(Settings).settings

    assert settings.statedir == Path("/srv/quota")
    assert settings.quota_listen == Address("", 0, "/run/quota.sock")


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("STATEDIR", "state", "the path does not begin with /"),
        ("STATEDIR", "", "the path does not begin with /"),
        ("STATEDIR", "~/state", "the path does not begin with /"),
        ("QUOTA_LISTEN", "12347", "host:port or unix:/path"),
        ("QUOTA_LISTEN", "127.0.0.1:0", "host:port or unix:/path"),
        ("QUOTA_METRICS", "localhost", "host:port or unix:/path"),
    ],
)
def test_a_wrong_value_stops_with_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str
) -> None:
    """The line has the name, the value, and what is allowed or wrong."""
    monkeypatch.setenv(f"MTPOLICYD_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load(Settings)

    (line,) = caught.value.lines
    assert line.startswith(f"MTPOLICYD_{name}={value!r} is not allowed")
    assert hint in line


def test_the_banner_tells_where_the_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where the metrics are."""
    monkeypatch.setenv("MTPOLICYD_STATEDIR", "/srv/quota")
    assert load(Settings).settings.banner() == [
        ("State", "/srv/quota"),
        ("Metrics of quota", "http://127.0.0.1:9103/metrics"),
    ]
