"""`mtpolicyctl notify test`, against real receivers."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quota.notify.command import app
from tests.support.ports import free_port
from tests.support.receivers import mail_server, web_server


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, **settings: str) -> Result:
    for name, value in settings.items():
        monkeypatch.setenv(f"MTPOLICYD_NOTIFY_{name}", value)
    return CliRunner().invoke(app, ["test", *arguments])


def test_both_channels_are_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what each receiver said; exit code 0."""
    with mail_server() as mail, web_server() as web:
        done = run(
            monkeypatch,
            MAIL_RELAY=f"127.0.0.1:{mail.port}",
            MAIL_TO="admin@example.org",
            WEBHOOK_URL=web.url,
            HOST="mail.example.org",
        )

    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"mail: delivered to admin@example.org by 127.0.0.1:{mail.port}: 2.0.0 Ok: queued as 4BFh",
        f"webhook: delivered to {web.url.removesuffix('/hook')}: HTTP 204 No Content",
    ]
    subject = mail.mails[0].message["Subject"]
    assert subject == "[mtpolicyd mail.example.org] Test: notifications of mail.example.org arrive here"
    fields = web.requests[0].json
    assert (fields["kind"], fields["account"], fields["rule"]) == ("test", "test", None)


def test_what_is_not_delivered_is_told_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 if one of several fails; the other is delivered."""
    port = free_port()
    with web_server() as web:
        done = run(
            monkeypatch,
            "--json",
            MAIL_RELAY=f"127.0.0.1:{port}",
            MAIL_TO="admin@example.org",
            WEBHOOK_URL=web.url,
        )

    assert done.exit_code == 1
    mail, hook = json.loads(done.stdout)
    assert mail == {
        "channel": "mail",
        "receiver": f"admin@example.org by 127.0.0.1:{port}",
        "delivered": False,
        "answer": "no connection (Connection refused)",
    }
    assert hook["delivered"] is True


def test_a_receiver_that_refuses_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with web_server() as web:
        web.answers = [(403, {})]
        done = run(monkeypatch, WEBHOOK_URL=web.url)

    assert done.exit_code == 1
    assert done.stdout.endswith(": HTTP 403 Forbidden\n")


def test_without_a_channel_it_is_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line on standard error."""
    done = run(monkeypatch)

    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no channel is set" in done.stderr


def test_a_wrong_setting_is_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, WEBHOOK_URL="nonsense")

    assert done.exit_code == 2
    assert "MTPOLICYD_NOTIFY_WEBHOOK_URL=... is not allowed" in done.stderr
