"""Which channels the settings switch on."""

import pytest

from chassis.config import ConfigFile, check
from quota.notify.channels import channels_of
from quota.settings import Settings

MAIL = 'notify_mail_relay = "127.0.0.1:25"\nnotify_mail_to = "a@example.org,b@example.org"\n'
HOOK = 'notify_webhook_url = "https://hooks.example.org/x"\n'


@pytest.mark.parametrize(
    ("text", "receivers"),
    [
        ("", {}),
        (MAIL, {"mail": "a@example.org, b@example.org by 127.0.0.1:25"}),
        (HOOK, {"webhook": "https://hooks.example.org"}),
        (
            MAIL + HOOK,
            {
                "mail": "a@example.org, b@example.org by 127.0.0.1:25",
                "webhook": "https://hooks.example.org",
            },
        ),
        (MAIL.splitlines()[0], {}),
        (MAIL.splitlines()[1], {}),
    ],
)
def test_a_channel_is_on_when_its_receiver_is_set(text: str, receivers: dict[str, str]) -> None:
    """Mail needs a relay and somebody to write to."""
    settings = check(Settings, ConfigFile("f.toml", text)).settings

    assert {name: channel.receiver for name, channel in channels_of(settings).items()} == receivers
