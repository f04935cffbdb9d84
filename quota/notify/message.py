"""Builds the mail, by the standard library; nothing in it is a line that a login began."""

from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from quota.notify.notification import Notification, shown, text_fields
from quota.notify.template import MailTemplate

# 7bit: whatever relay it is.
_POLICY = SMTP.clone(cte_type="7bit")
# The library would fold a long subject before its first word, and readers would show an empty one. What is
# encoded must be folded (RFC 2047, 2), other lines may be that long (RFC 5322, 2.1.1).
_ASCII_POLICY = _POLICY.clone(max_line_length=998)


def build(
    told: Notification,
    template: MailTemplate,
    *,
    sender: str,
    recipients: Sequence[str],
    host: str,
    now: datetime,
) -> bytes:
    """The message with CRLF line ends.

    The Message-ID is made of the notification's id: a repeat has the same one (RFC 5322, 3.6.4).
    Auto-Submitted keeps auto-responders from answering (RFC 3834, 5).

    Args:
        sender, recipients: address specifications.
        now: with its time zone.
    """
    subject, body = template.fill(text_fields(told, host))
    subject = _without_encoded_words(shown(subject))
    message = EmailMessage(policy=_ASCII_POLICY if subject.isascii() else _POLICY)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{told.id}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    return message.as_bytes()


def _without_encoded_words(text: str) -> str:
    """A login like `=?utf-8?q?=0A?=` would be decoded when the header is set, line break and all."""
    return text.replace("=?", "= ?")
