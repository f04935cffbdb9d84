"""Notifications as JSON to an address of the web, signed, so that the receiver knows who sends."""

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import aiohttp
from aiohttp import AddrInfoType, hdrs
from yarl import URL

from chassis.retry_after import retry_after_seconds
from quota.notify.interface import TOTAL_SECONDS, NotDeliveredError, RefusedError
from quota.notify.notification import Notification, json_fields
from quota.notify.reasons import of_os, one_line
from quota.notify.resolving import CONNECT_SECONDS, Resolver
from quota.notify.secret import read_secret

SIGNATURE = "X-Mtpolicyd-Signature"
TIMESTAMP = "X-Mtpolicyd-Timestamp"
# draft-ietf-httpapi-idempotency-key-header
IDEMPOTENCY_KEY = "Idempotency-Key"
MIN_SECRET_BYTES = 16
# What is received at a time: of a receiver that sends provisional answers without end (1xx, of 25 bytes) the
# event loop takes this much in one turn, and has charges to answer.
RECEIVE_BYTES = 4096
# Request Timeout, Too Early, Too Many Requests (RFC 9110, 8470, 6585): any other 4xx is for ever.
_PASSING = (408, 425, 429)


class WebhookChannel:
    """Fulfils quota.notify.interface.Channel.

    Proxies are those of the environment (https_proxy, no_proxy), as for `geo update`. Redirects are not
    followed.

    Args:
        secret_file: with the key of the signature; None: there is none.
        host: this server's name.
        clock: the wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        url: URL,
        *,
        secret_file: Path | None,
        host: str,
        total_seconds: float = TOTAL_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret_file = secret_file
        self._host = host
        self._total_seconds = total_seconds
        self._clock = clock

    @property
    def receiver(self) -> str:
        # The path may hold a token.
        return str(self._url.origin())

    async def deliver(self, told: Notification) -> str:
        body = json.dumps(json_fields(told, self._host)).encode()
        headers = await self._headers(told, body)
        timeout = aiohttp.ClientTimeout(total=self._total_seconds, sock_connect=CONNECT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(resolver=Resolver(), socket_factory=_socket),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=timeout,
                    trust_env=True,
                ) as client,
                client.post(self._url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                status, reason = answer.status, one_line(answer.reason or "")
                after = retry_after_seconds(answer.headers.get(hdrs.RETRY_AFTER))
        except TimeoutError as error:
            raise NotDeliveredError(f"no answer within {self._total_seconds:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise NotDeliveredError(f"no connection ({of_os(error)})") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Without the text of the error, which may hold the whole address.
            raise NotDeliveredError(f"no HTTP answer ({type(error).__name__})") from error
        said = f"HTTP {status} {reason}".strip()
        if 200 <= status < 300:
            return said
        if 400 <= status < 500 and status not in _PASSING:
            raise RefusedError(said)
        raise NotDeliveredError(said, after)

    async def _headers(self, told: Notification, body: bytes) -> dict[str, str]:
        """Raises NotDeliveredError if the secret cannot be read: what is to be signed is not sent without."""
        timestamp = str(int(self._clock()))
        headers = {
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.USER_AGENT: f"univention-mtpolicyd/{version('univention-mtpolicyd')}",
            TIMESTAMP: timestamp,
            IDEMPOTENCY_KEY: told.id,
        }
        if self._secret_file is not None:
            secret = await read_secret(self._secret_file, at_least_bytes=MIN_SECRET_BYTES)
            headers[SIGNATURE] = sign(secret, timestamp, body)
        return headers


def _socket(address: AddrInfoType) -> socket.socket:
    sock = socket.socket(*address[:3])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    return sock


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC of the timestamp, a dot and the body, in hexadecimal digits."""
    digest = hmac.new(secret.encode(), b"%b.%b" % (timestamp.encode(), body), hashlib.sha256)
    return f"sha256={digest.hexdigest()}"
