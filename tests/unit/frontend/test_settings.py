"""The frontend's settings."""

import pytest

from chassis.config import load
from chassis.settings import Address, SettingsError
from frontend.settings import Settings

Patch = pytest.MonkeyPatch


def with_settings(patch: Patch, **environment: str) -> Settings:
    for name, value in environment.items():
        patch.setenv(f"MTPOLICYD_{name}", value)
    return load(Settings).settings


def test_the_defaults_are_those_of_one_host() -> None:
    """Postfix on the same machine, mail with a login passes unchecked on failure."""
    settings = load(Settings).settings

    assert settings.hosts == ("127.0.0.1",)
    assert settings.port == 12345
    assert settings.socket is None
    assert settings.socket_mode == 0o660
    assert settings.max_connections == 5000
    assert settings.on_failure == "dunno"
    assert settings.decision_target == Address("127.0.0.1", 12346)
    assert settings.metrics_endpoint == Address("127.0.0.1", 9101)


def test_every_setting_is_read(monkeypatch: Patch) -> None:
    """By its name in the environment."""
    settings = with_settings(
        monkeypatch,
        HOST="192.0.2.1, ::1",
        PORT="10025",
        SOCKET="/var/spool/postfix/private/mtpolicyd",
        SOCKET_MODE="0666",
        MAX_CONNECTIONS="100000",
        ON_FAILURE="defer",
        DECISION_TARGET="unix:/run/decision",
        FRONTEND_METRICS="[::]:9101",
    )

    assert settings.hosts == ("192.0.2.1", "::1")
    assert settings.port == 10025
    assert settings.socket == Address("", 0, "/var/spool/postfix/private/mtpolicyd")
    assert settings.socket_mode == 0o666
    assert settings.max_connections == 100_000
    assert settings.on_failure == "defer"
    assert settings.decision_target == Address("", 0, "/run/decision")
    assert settings.metrics_endpoint == Address("::", 9101)


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ("", ("127.0.0.1",)),
        (" , ", ("127.0.0.1",)),
        ("localhost", ("localhost",)),
        ("0.0.0.0,::", ("0.0.0.0", "::")),
    ],
)
def test_there_is_always_a_host_to_listen_on(monkeypatch: Patch, value: str, hosts: tuple[str, ...]) -> None:
    """Without one it is this machine alone."""
    assert with_settings(monkeypatch, HOST=value).hosts == hosts


def test_an_empty_socket_is_none(monkeypatch: Patch) -> None:
    """As without the setting."""
    assert with_settings(monkeypatch, SOCKET="").socket is None


@pytest.mark.parametrize(("value", "mode"), [("0600", 0o600), ("666", 0o666), ("0", 0), ("777", 0o777)])
def test_the_mode_of_the_socket_is_octal(monkeypatch: Patch, value: str, mode: int) -> None:
    """As in chmod(1)."""
    assert with_settings(monkeypatch, SOCKET_MODE=value).socket_mode == mode


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "99999", "a port number, 1 to 65535"),
        ("SOCKET", "relative", "an absolute path, or empty"),
        ("SOCKET", "/" + "x" * 107, "an absolute path, or empty"),
        ("SOCKET_MODE", "0999", "octal digits such as 0660"),
        ("SOCKET_MODE", "1777", "octal digits such as 0660"),
        ("SOCKET_MODE", "-1", "octal digits such as 0660"),
        ("SOCKET_MODE", "rw", "octal digits such as 0660"),
        ("MAX_CONNECTIONS", "0", "a whole number, 1 to 100000"),
        ("MAX_CONNECTIONS", "100001", "a whole number, 1 to 100000"),
        ("ON_FAILURE", "reject", "dunno or defer"),
        ("ON_FAILURE", "ok", "dunno or defer"),
        ("ON_FAILURE", "", "dunno or defer"),
        ("DECISION_TARGET", "decision", "host:port or unix:/path"),
        ("FRONTEND_METRICS", "9101", "host:port or unix:/path"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(
    monkeypatch: Patch, name: str, value: str, allowed: str
) -> None:
    """With the value and what is allowed instead."""
    with pytest.raises(SettingsError) as caught:
        with_settings(monkeypatch, **{name: value})

    (line,) = caught.value.lines
    assert line.startswith(f"MTPOLICYD_{name}={value!r} is not allowed")
    assert line.endswith(f"; allowed: {allowed}")


def test_the_banner_tells_what_to_write_into_postfixs_configuration(monkeypatch: Patch) -> None:
    """And where the metrics are."""
    settings = with_settings(monkeypatch, HOST="::1,192.0.2.1", PORT="10025")

    assert settings.banner() == [
        ("Policy port", "[::1]:10025, 192.0.2.1:10025"),
        ("In Postfix", "check_policy_service { inet:[::1]:10025, timeout=10s, default_action=DUNNO }"),
        ("", "before permit_sasl_authenticated in smtpd_recipient_restrictions"),
        ("Metrics of frontend", "http://127.0.0.1:9101/metrics"),
    ]
