"""The settings of notifications. All of them are taken over by a running service."""

import re
import socket
from collections.abc import Iterable, Iterator
from email.headerregistry import Address as MailAddress
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode
from yarl import URL

from chassis.config import read_file
from chassis.settings import (
    Address,
    Allowed,
    Concealed,
    Doubts,
    OptionalPath,
    SecretFile,
    ServiceSettings,
    SettingsError,
    split_list,
)
from quota.notify.interface import Tls
from quota.notify.notification import FIELDS, KINDS
from quota.notify.template import parse

MAX_RECIPIENTS = 20
MAX_ADDRESS_CHARACTERS = 254  # RFC 5321, 4.5.3.1.3 without the angle brackets
MAX_USER_CHARACTERS = 255
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_LOCAL_ADDRESS = "mtpolicyd"


def _parse_kinds(value: object) -> object:
    items = split_list(value)
    if not isinstance(items, tuple):
        return items
    for item in items:
        if item not in KINDS:
            raise ValueError(f"{item} is no kind of notification")
    return tuple(kind for kind in KINDS if kind in items)


def _parse_host(value: object) -> object:
    if isinstance(value, str) and value and not _HOST.fullmatch(value):
        raise ValueError("a name has letters, digits, dots and hyphens")
    return value


def _parse_relay(value: object) -> object:
    if value is None or value == "":
        return None
    address = Address.parse(value)
    if address.path:
        raise ValueError("a relay is not reached by a UNIX socket")
    return address


def _parse_mail_address(value: object) -> str:
    """An address specification in ASCII. Raises ValueError."""
    text = str(value)
    if len(text) > MAX_ADDRESS_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text[:MAX_ADDRESS_CHARACTERS]!r} is no mail address such as admin@example.org")
    try:
        address = MailAddress(addr_spec=text)
    except Exception as error:  # the parser of headers raises several kinds, IndexError among them
        raise ValueError(f"{text!r} is no mail address such as admin@example.org") from error
    if not address.username or not address.domain or address.addr_spec != text:
        raise ValueError(f"{text!r} is no mail address such as admin@example.org")
    return text


def _parse_from(value: object) -> object:
    return _parse_mail_address(value) if isinstance(value, str) and value else value


def _parse_recipients(value: object) -> object:
    items = split_list(value)
    if not isinstance(items, tuple):
        return items
    if len(items) > MAX_RECIPIENTS:
        raise ValueError(f"more than {MAX_RECIPIENTS} addresses")
    return tuple(dict.fromkeys(map(_parse_mail_address, items)))


def _parse_user(value: object) -> object:
    if isinstance(value, str) and (len(value) > MAX_USER_CHARACTERS or not value.isprintable()):
        raise ValueError("a user has printable characters")
    return value


def _parse_url(value: object) -> object:
    if not isinstance(value, str) or not value:
        return None if value == "" else value
    try:
        url = URL(value)
    except ValueError:
        raise ValueError("no web address") from None
    if url.scheme not in ("http", "https") or not url.host or url.fragment:
        raise ValueError("no web address that begins with http:// or https://")
    if url.user is not None or url.password is not None:
        raise ValueError("the address names a user or a password")
    return url


def _parse_template(value: object) -> object:
    """What cannot be read is no error here: quota is to start, and to send the built-in text."""
    if not isinstance(value, str) or not value or not value.startswith("/"):
        return value
    try:
        text = read_file(Path(value)).text
    except (SettingsError, ValueError):
        return value
    parse(text)
    return value


def _doubtful_template(value: object) -> Iterator[str]:
    try:
        read_file(Path(str(value)))
    except SettingsError as error:
        yield f"{error}; while that is so, the built-in text is sent"


class NotifySettings(ServiceSettings):
    """What stands in quota's Settings about notifications."""

    notify_kinds: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_parse_kinds),
        Allowed(f"comma-separated, of {', '.join(KINDS)}"),
    ] = Field(KINDS, description="what is told of an account, once for each kind and day")
    notify_host: Annotated[str, BeforeValidator(_parse_host), Allowed("a host name, or empty")] = Field(
        "", description="how notifications name this server; empty: its host name"
    )
    notify_mail_relay: Annotated[
        Address | None, NoDecode, BeforeValidator(_parse_relay), Allowed("host:port, or empty")
    ] = Field(None, description="the mail server that takes notifications by SMTP; empty: none are mailed")
    notify_mail_to: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_parse_recipients),
        Allowed(f"comma-separated mail addresses, at most {MAX_RECIPIENTS}"),
    ] = Field((), description="who gets notifications by mail; empty: none are mailed")
    notify_mail_from: Annotated[str, BeforeValidator(_parse_from), Allowed("a mail address, or empty")] = (
        Field("", description=f"their sender; empty: {_LOCAL_ADDRESS}@ and the server's name")
    )
    notify_mail_tls: Annotated[Tls, Allowed("off, opportunistic, required or implicit")] = Field(
        Tls.OPPORTUNISTIC,
        description="opportunistic: STARTTLS if the relay offers it, any certificate; required: STARTTLS "
        "with a trusted certificate; implicit: TLS at once (port 465), likewise; off: none",
    )
    notify_mail_user: Annotated[
        str, BeforeValidator(_parse_user), Allowed("a user of the relay, or empty")
    ] = Field("", description="whom to log in as at the relay; empty: nobody")
    notify_mail_password_file: SecretFile = Field(None, description="a file with the password of that user")
    notify_mail_template: Annotated[
        OptionalPath, BeforeValidator(_parse_template), Doubts(_doubtful_template)
    ] = Field(
        None,
        description="a file with the mail's text: `Subject: ...`, an empty line, the body; fields are "
        f"{', '.join(f'`${name}`' for name in FIELDS)}; empty: the built-in text",
    )
    notify_webhook_url: Annotated[
        URL | None,
        NoDecode,
        BeforeValidator(_parse_url),
        Allowed("a web address, or empty"),
        Concealed(),
    ] = Field(None, description="where notifications are sent to as JSON; empty: nowhere")
    notify_webhook_secret_file: SecretFile = Field(
        None,
        description="a file with a secret of at least 16 bytes, the key of the webhook's signature; empty: "
        "it is not signed",
    )

    @property
    def notify_host_name(self) -> str:
        """How this server is named in notifications."""
        name = self.notify_host or socket.gethostname()
        return name if _HOST.fullmatch(name) else "localhost"

    @property
    def notify_sender(self) -> str:
        """The mail's sender."""
        return self.notify_mail_from or f"{_LOCAL_ADDRESS}@{self.notify_host_name}"

    def doubtful(self) -> Iterable[tuple[str, str]]:
        yield from super().doubtful()
        yield from self._doubtful_mail()
        if self.notify_webhook_url is not None:
            if self.notify_webhook_url.scheme == "http" and not _is_here(self.notify_webhook_url.host or ""):
                yield "notify_webhook_url", "logins are sent to another host without encryption: use https"
            if self.notify_webhook_secret_file is None:
                yield (
                    "notify_webhook_url",
                    "without notify_webhook_secret_file the receiver cannot tell who sends",
                )
        elif self.notify_webhook_secret_file is not None:
            yield "notify_webhook_secret_file", "nothing is sent: notify_webhook_url is empty"

    def _doubtful_mail(self) -> Iterator[tuple[str, str]]:
        relay, mailed = self.notify_mail_relay, self.notify_mail_to
        if mailed and relay is None:
            yield "notify_mail_to", "nothing is mailed: notify_mail_relay is empty"
        if relay is not None and not mailed:
            yield "notify_mail_relay", "nothing is mailed: notify_mail_to is empty"
        if self.notify_mail_user and self.notify_mail_password_file is None:
            yield "notify_mail_user", "there is no password: notify_mail_password_file is empty"
        if self.notify_mail_password_file is not None and not self.notify_mail_user:
            yield "notify_mail_password_file", "it is not used: notify_mail_user is empty"
        if relay is None or not mailed:
            return
        if (
            self.notify_mail_user
            and self.notify_mail_tls in (Tls.OFF, Tls.OPPORTUNISTIC)
            and not _is_here(relay.host)
        ):
            yield "notify_mail_user", f"notify_mail_tls = {self.notify_mail_tls} does not keep the password"
        if not self.notify_mail_from and "." not in self.notify_host_name:
            yield (
                "notify_mail_to",
                f"many relays refuse the sender {self.notify_sender}: set notify_mail_from",
            )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
