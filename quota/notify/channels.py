"""Which channels the settings switch on."""

from collections.abc import Mapping

from quota.notify.interface import Channel
from quota.notify.mail import MailChannel, Relay
from quota.notify.settings import NotifySettings
from quota.notify.webhook import WebhookChannel


def channels_of(settings: NotifySettings) -> Mapping[str, Channel]:
    """By name; what is not set is not in it."""
    channels: dict[str, Channel] = {}
    if settings.notify_mail_relay is not None and settings.notify_mail_to:
        channels["mail"] = MailChannel(
            Relay(
                settings.notify_mail_relay,
                settings.notify_mail_tls,
                settings.notify_mail_user,
                settings.notify_mail_password_file,
            ),
            sender=settings.notify_sender,
            recipients=settings.notify_mail_to,
            template=settings.notify_mail_template,
            host=settings.notify_host_name,
        )
    if settings.notify_webhook_url is not None:
        channels["webhook"] = WebhookChannel(
            settings.notify_webhook_url,
            secret_file=settings.notify_webhook_secret_file,
            host=settings.notify_host_name,
        )
    return channels
