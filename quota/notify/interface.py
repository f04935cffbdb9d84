"""What a channel is: one way to tell somebody, and how it can fail."""

from enum import StrEnum
from typing import Protocol

from quota.notify.notification import Notification

CHANNELS = ("mail", "webhook")
TOTAL_SECONDS = 30.0  # for one delivery, whatever the receiver does


class Tls(StrEnum):
    """How the relay is spoken to."""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"  # STARTTLS if it is offered, whoever has the certificate
    REQUIRED = "required"  # STARTTLS, and a certificate that is trusted
    IMPLICIT = "implicit"  # TLS from the first byte (RFC 8314, 3.3), and a certificate that is trusted


class NotDeliveredError(Exception):
    """It may work later. The message is one line.

    Args:
        retry_after_seconds: how long the receiver asks to be left alone, if it does.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RefusedError(Exception):
    """The receiver will never take it. The message is one line."""


class Channel(Protocol):
    """Delivers one notification at a time."""

    @property
    def receiver(self) -> str:
        """Who is told, in words, without a secret."""

    async def deliver(self, told: Notification) -> str:
        """Returns what the receiver said, within TOTAL_SECONDS or a little more.

        A notification that is delivered again, because nobody knows whether it was, has the same id.

        Raises:
            NotDeliveredError: see there.
            RefusedError: see there.
        """
