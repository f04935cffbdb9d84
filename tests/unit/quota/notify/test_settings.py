"""The settings of notifications."""

import socket
from pathlib import Path

import pytest

from chassis.config import Config, ConfigFile, check
from chassis.settings import Address, SettingsError, declarations
from quota.notify.interface import Tls
from quota.notify.notification import KINDS
from quota.settings import Settings


@pytest.fixture(autouse=True)
def host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "mail.example.org")


def read(text: str) -> Config[Settings]:
    return check(Settings, ConfigFile("f.toml", text))


def test_by_default_nobody_is_told() -> None:
    settings = read("").settings

    assert settings.notify_kinds == KINDS
    assert settings.notify_mail_relay is None
    assert settings.notify_mail_to == ()
    assert settings.notify_webhook_url is None
    assert settings.notify_mail_tls is Tls.OPPORTUNISTIC
    assert settings.notify_host_name == "mail.example.org"
    assert settings.notify_sender == "mtpolicyd@mail.example.org"
    assert read("").doubts == ()


def test_no_setting_of_notifications_needs_a_restart() -> None:
    ours = [item for item in declarations([Settings]) if item.key.startswith("notify_")]

    assert len(ours) == 11
    assert not any(item.needs_restart for item in ours)


def test_everything_can_be_set(tmp_path: Path) -> None:
    """Lists as TOML or as text; an address twice is once."""
    settings = read(
        'notify_kinds = ["quota_80_percent", "country_refused"]\n'
        'notify_host = "mx1.example.org"\n'
        'notify_mail_relay = "[::1]:587"\n'
        'notify_mail_to = "a@example.org, b@example.org,a@example.org"\n'
        'notify_mail_from = "robot@example.org"\n'
        'notify_mail_tls = "required"\n'
        'notify_mail_user = "robot"\n'
        f'notify_mail_password_file = "{tmp_path}/password"\n'
        'notify_webhook_url = "https://hooks.example.org/x?y=z"\n'
        f'notify_webhook_secret_file = "{tmp_path}/secret"\n'
    ).settings

    assert settings.notify_kinds == ("country_refused", "quota_80_percent")
    assert settings.notify_mail_relay == Address("::1", 587)
    assert settings.notify_mail_to == ("a@example.org", "b@example.org")
    assert settings.notify_sender == "robot@example.org"
    assert settings.notify_host_name == "mx1.example.org"
    assert str(settings.notify_webhook_url) == "https://hooks.example.org/x?y=z"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('notify_kinds = "quota"', "quota is no kind of notification"),
        ('notify_host = "a b"', "a name has letters, digits, dots and hyphens"),
        ('notify_host = "a\\r\\nb"', "a name has letters"),
        ('notify_mail_relay = "mail.example.org"', "neither host:port"),
        ('notify_mail_relay = "unix:/run/relay"', "a relay is not reached by a UNIX socket"),
        ('notify_mail_to = "admin"', "'admin' is no mail address such as admin@example.org"),
        ('notify_mail_to = "a@example.org\\nBcc: b@example.org"', "is no mail address"),
        ('notify_mail_to = "Admin <a@example.org>"', "is no mail address"),
        ('notify_mail_to = "a@example.org>, <b@example.org"', "is no mail address"),
        ('notify_mail_to = "müller@example.org"', "is no mail address"),
        (f'notify_mail_to = "{"a" * 250}@example.org"', "is no mail address"),
        (f"notify_mail_to = {[f'a{n}@example.org' for n in range(21)]}", "more than 20 addresses"),
        ('notify_mail_from = "root"', "'root' is no mail address"),
        ('notify_mail_tls = "yes"', "off, opportunistic, required or implicit"),
        ('notify_mail_user = "a\\nb"', "a user has printable characters"),
        ('notify_mail_password_file = "secret"', "does not begin with /"),
        ('notify_webhook_url = "hooks.example.org"', "no web address"),
        ('notify_webhook_url = "ftp://hooks.example.org"', "no web address"),
        ('notify_webhook_url = "http://"', "no web address"),
        ('notify_webhook_url = "https://user:secret@hooks.example.org/"', "names a user or a password"),
        ('notify_webhook_url = "http://[::1"', "no web address"),
        ("notify_webhook_url = 5", "a web address, or empty"),
    ],
)
def test_what_is_wrong_is_one_clear_line(line: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(line)

    (said,) = caught.value.lines
    assert reason in said
    assert said.startswith("f.toml:1: notify_")
    assert said.isprintable()


def test_no_line_repeats_the_webhooks_address() -> None:
    """Its path may be a token."""
    with pytest.raises(SettingsError) as caught:
        read('notify_webhook_url = "htps://hooks.example.org/token"')
    assert "token" not in str(caught.value)


def test_a_template_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    """With the file's own line."""
    path = tmp_path / "template"
    path.write_text("Subject: hello\n\n$acount\n")
    with pytest.raises(SettingsError) as caught:
        read(f'notify_mail_template = "{path}"')

    (said,) = caught.value.lines
    assert "the template's line 3 names $acount, which is no field; fields are id, kind" in said


def test_a_template_that_cannot_be_read_is_a_doubt(tmp_path: Path) -> None:
    """quota is to start without it."""
    (doubt,) = read(f'notify_mail_template = "{tmp_path}/missing"').doubts

    assert doubt == (
        f"f.toml:1: notify_mail_template: {tmp_path}/missing cannot be read: No such file or directory; "
        "while that is so, the built-in text is sent"
    )


MAILED = 'notify_mail_relay = "{relay}"\nnotify_mail_to = "a@example.org"\n'


@pytest.mark.parametrize(
    ("text", "doubts"),
    [
        (MAILED.format(relay="127.0.0.1:25"), []),
        (
            'notify_mail_to = "a@example.org"',
            ["notify_mail_to: nothing is mailed: notify_mail_relay is empty"],
        ),
        (
            'notify_mail_relay = "127.0.0.1:25"',
            ["notify_mail_relay: nothing is mailed: notify_mail_to is empty"],
        ),
        (
            MAILED.format(relay="127.0.0.1:25") + 'notify_mail_user = "robot"',
            ["notify_mail_user: there is no password: notify_mail_password_file is empty"],
        ),
        (
            MAILED.format(relay="127.0.0.1:25") + 'notify_mail_password_file = "/x"',
            ["notify_mail_password_file: it is not used: notify_mail_user is empty"],
        ),
        (
            MAILED.format(relay="mx.example.org:587")
            + 'notify_mail_user = "robot"\nnotify_mail_password_file = "/x"',
            ["notify_mail_user: notify_mail_tls = opportunistic does not keep the password"],
        ),
        (
            MAILED.format(relay="mx.example.org:587")
            + 'notify_mail_user = "robot"\nnotify_mail_password_file = "/x"\nnotify_mail_tls = "required"',
            [],
        ),
        (
            MAILED.format(relay="127.0.0.1:25") + 'notify_host = "mx1"',
            ["notify_mail_to: many relays refuse the sender mtpolicyd@mx1: set notify_mail_from"],
        ),
        (
            'notify_webhook_url = "http://hooks.example.org/"',
            [
                "notify_webhook_url: logins are sent to another host without encryption: use https",
                "notify_webhook_url: without notify_webhook_secret_file the receiver cannot tell who sends",
            ],
        ),
        ('notify_webhook_url = "http://127.0.0.1:8080/"\nnotify_webhook_secret_file = "/x"', []),
        ('notify_webhook_url = "https://hooks.example.org/"\nnotify_webhook_secret_file = "/x"', []),
        (
            'notify_webhook_secret_file = "/x"',
            ["notify_webhook_secret_file: nothing is sent: notify_webhook_url is empty"],
        ),
    ],
)
def test_what_was_hardly_meant_is_told(text: str, doubts: list[str]) -> None:
    """Also of settings that are doubtful only beside each other."""
    assert [doubt.split(": ", 1)[1] for doubt in read(text).doubts] == doubts


def test_a_doubt_about_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTPOLICYD_NOTIFY_MAIL_TO", "a@example.org")

    assert read("").doubts == ("MTPOLICYD_NOTIFY_MAIL_TO: nothing is mailed: notify_mail_relay is empty",)


def test_a_host_name_that_is_none_has_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes into headers."""
    monkeypatch.setattr(socket, "gethostname", lambda: "a\nb")

    assert read("").settings.notify_host_name == "localhost"
