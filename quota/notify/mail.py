"""Notifications by mail, over a connection of its own to a set relay."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import aiosmtplib

from chassis.settings import Address, SettingsError
from quota.notify.interface import TOTAL_SECONDS, NotDeliveredError, RefusedError, Tls
from quota.notify.message import build
from quota.notify.notification import Notification
from quota.notify.reasons import of_os, one_line
from quota.notify.resolving import connected
from quota.notify.secret import read_secret
from quota.notify.template import BUILT_IN, parse, read

QUIT_SECONDS = 2.0
_PERMANENT = 500


class Relay(NamedTuple):
    """Where mail is handed in, and as whom."""

    address: Address
    tls: Tls
    user: str  # empty: no authentication
    password_file: Path | None


class MailChannel:
    """Fulfils quota.notify.interface.Channel.

    Args:
        sender, recipients: address specifications.
        template: a file; None: the built-in text, which also stands in for a file that is wrong by now.
        host: this server's name, for EHLO, Message-ID and the text.
    """

    def __init__(
        self,
        relay: Relay,
        *,
        sender: str,
        recipients: Sequence[str],
        template: Path | None,
        host: str,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._relay = relay
        self._sender = sender
        self._recipients = recipients
        self._template = template
        self._host = host
        self._total_seconds = total_seconds

    @property
    def receiver(self) -> str:
        return f"{', '.join(self._recipients)} by {self._relay.address}"

    async def deliver(self, told: Notification) -> str:
        message = await asyncio.to_thread(self._message, told)
        password = await self._password()
        client: aiosmtplib.SMTP | None = None
        try:
            async with asyncio.timeout(self._total_seconds):
                connection = await connected(self._relay.address.host, self._relay.address.port)
                client = self._client(connection, password)
                await client.connect()
                # One that is taken for some of the recipients is delivered: they must not get it twice.
                refused, answer = await client.sendmail(self._sender, self._recipients, message)
            with suppress(aiosmtplib.SMTPException, TimeoutError, OSError):
                await client.quit(timeout=QUIT_SECONDS)
        except TimeoutError as error:
            raise NotDeliveredError(f"no answer within {self._total_seconds:g} s") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _of_recipients(error) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
            raise _of_code(error.code, error.message) from error
        except aiosmtplib.SMTPResponseException as error:
            # A banner or a wrong password says nothing of this mail: it may be mended before it is too old.
            raise NotDeliveredError(f"{error.code} {one_line(error.message)}") from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise NotDeliveredError(_why(error)) from error
        finally:
            if client is not None:
                client.close()
        left_out = "".join(f"; not {who}: {one_line(str(why))}" for who, why in refused.items())
        return one_line(answer) + left_out

    def _message(self, told: Notification) -> bytes:
        try:
            template = read(self._template)
        except (SettingsError, ValueError):
            # It was good when the settings were taken over: better this text than none.
            template = parse(BUILT_IN)
        return build(
            told,
            template,
            sender=self._sender,
            recipients=self._recipients,
            host=self._host,
            now=datetime.now(UTC),
        )

    async def _password(self) -> str | None:
        """Raises NotDeliveredError if it cannot be read."""
        path = self._relay.password_file
        return None if path is None else await read_secret(path)

    def _client(self, connection: socket.socket, password: str | None) -> aiosmtplib.SMTP:
        tls = self._relay.tls
        return aiosmtplib.SMTP(
            hostname=self._relay.address.host,
            sock=connection,
            username=self._relay.user or None,
            password=password,
            local_hostname=self._host,
            timeout=self._total_seconds,
            use_tls=tls is Tls.IMPLICIT,
            start_tls={Tls.REQUIRED: True, Tls.OPPORTUNISTIC: None}.get(tls, False),
            validate_certs=tls is not Tls.OPPORTUNISTIC,
        )


def _why(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"no trusted encryption: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.errno:
        return f"no connection ({of_os(cause)})"
    return one_line(str(error)) or type(error).__name__


def _of_recipients(error: aiosmtplib.SMTPRecipientsRefused) -> NotDeliveredError | RefusedError:
    """A recipient that may be taken later keeps the mail waiting."""
    first = min(error.recipients, key=lambda one: one.code)
    return _of_code(first.code, f"{first.recipient}: {first.message}")


def _of_code(code: int, message: str) -> NotDeliveredError | RefusedError:
    """RFC 5321, 4.2.1."""
    text = f"{code} {one_line(message)}"
    return RefusedError(text) if code >= _PERMANENT else NotDeliveredError(text)
