"""An SMTP client that may pretend to be elsewhere and keeps every reply."""

import base64
import smtplib
from types import TracebackType
from typing import NamedTuple, Self

MESSAGE = "Subject: test\r\n\r\nHello\r\n"
REPLY_SECONDS = 30.0


class Replies(NamedTuple):
    """What Postfix said to one mail, as `code text`."""

    recipients: list[str]
    body: str  # empty if no recipient was accepted: then there is no body

    @property
    def accepted(self) -> bool:
        """Postfix took the mail."""
        return self.body.startswith("250 ")

    @property
    def queue_id(self) -> str:
        _, queued, queue_id = self.body.partition(" queued as ")
        assert queued, self.body
        return queue_id


class Session:
    """One session.

    Args:
        client: the address that Postfix is to see; empty: 127.0.0.1.
        login: empty: none.
    """

    def __init__(self, port: int, *, client: str, login: str, password: str) -> None:
        # smtplib would ask the DNS for a name to greet with.
        self._smtp = smtplib.SMTP(
            "127.0.0.1", port, local_hostname="client.example.net", timeout=REPLY_SECONDS
        )
        try:
            if client:
                address = f"IPV6:{client}" if ":" in client else client
                code, text = self._smtp.docmd("XCLIENT", f"ADDR={address}")
                assert code == 220, text
            self._smtp.ehlo()
            if login:
                self._smtp.login(login, password)
        except BaseException:
            self._smtp.close()
            raise

    def try_login(self, login: str, password: str) -> str:
        """The reply to a login by AUTH PLAIN."""
        token = base64.b64encode(f"\0{login}\0{password}".encode()).decode()
        return _text(self._smtp.docmd("AUTH", f"PLAIN {token}"))

    def send(self, *recipients: str, sender: str = "alice@example.org") -> Replies:
        """Send one mail to those recipients that are accepted."""
        assert _text(self._smtp.mail(sender)).startswith("250 ")
        replies = [_text(self._smtp.rcpt(recipient)) for recipient in recipients]
        if not any(reply.startswith("250 ") for reply in replies):
            self._smtp.rset()
            return Replies(replies, "")
        return Replies(replies, _text(self._smtp.data(MESSAGE)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._smtp.close()


def _text(reply: tuple[int, bytes]) -> str:
    code, text = reply
    return f"{code} {text.decode('ascii')}"
