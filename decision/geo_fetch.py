"""Fetches one address into a file: bounded in time and size, tried again where that can help.

What the server sends is not believed in any way; that is the business of whoever reads the file.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import version
from ipaddress import ip_address
from typing import BinaryIO, NamedTuple

import aiohttp
from aiohttp import hdrs
from yarl import URL

from chassis.retry_after import retry_after_seconds, unix_seconds
from decision.geo_archive import MAX_BYTES

_CHUNK = 64 * 1024
_MAX_REDIRECTS = 5

# Called with the bytes that have come, and with those that will come, if the server has said so.
Progress = Callable[[int, int | None], None]


class FetchError(Exception):
    """The address did not give what was asked for; the message names it and says what to do."""


class NotThereError(FetchError):
    """404, RFC 9110."""


class Bounds(NamedTuple):
    """How long and how large an update may be."""

    total_seconds: float = 600.0  # for all of it
    stall_seconds: float = 30.0  # without a byte, and for making a connection
    bytes: int = MAX_BYTES
    retries: int = 3
    pause_seconds: float = 1.0  # before the first retry; twice as long before each further one


BOUNDS = Bounds()


class Fetched(NamedTuple):
    """`modified_unix_seconds` is the server's Last-Modified, if it has said one."""

    modified_unix_seconds: float | None


class _PassingError(Exception):
    """May be gone at the next try."""


@asynccontextmanager
async def session(bounds: Bounds) -> AsyncIterator[aiohttp.ClientSession]:
    """What `fetch` works with. Proxies are those of the environment (https_proxy, no_proxy)."""
    async with aiohttp.ClientSession(
        # A file that a server calls "Content-Encoding: gzip" is to come as it is.
        auto_decompress=False,
        headers={
            hdrs.ACCEPT_ENCODING: "identity",
            hdrs.USER_AGENT: f"univention-mtpolicyd/{version('univention-mtpolicyd')}",
        },
        # The address of a redirect is signed as it stands.
        requote_redirect_url=False,
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=bounds.stall_seconds, sock_read=bounds.stall_seconds
        ),
        trust_env=True,
    ) as client:
        yield client


async def fetch(
    client: aiohttp.ClientSession,
    url: URL,
    into: BinaryIO,
    *,
    authorization: str | None = None,
    newer_than_unix_seconds: float | None = None,
    bounds: Bounds = BOUNDS,
    progress: Progress = lambda done, total: None,
) -> Fetched | None:
    """Write what an address gives into an empty file; None if there is nothing newer.

    There is no bound on the whole time: that is the caller's.

    Args:
        authorization: the header of this name, for the server of this address alone.
        newer_than_unix_seconds: the Last-Modified of what is there already.

    Raises:
        FetchError: anything else happens.
        OSError: the file cannot be written.
    """
    if authorization is not None and url.scheme != "https" and not _is_loopback(url):
        raise FetchError(f"{url}: the licence key is not sent without encryption; use https")
    headers: dict[str, str] = {}
    if newer_than_unix_seconds is not None:
        when = datetime.fromtimestamp(newer_than_unix_seconds, UTC)
        headers[hdrs.IF_MODIFIED_SINCE] = format_datetime(when, usegmt=True)
    pause = bounds.pause_seconds
    for retries_left in range(bounds.retries, -1, -1):
        into.seek(0)
        into.truncate()
        try:
            return await _fetch_once(client, url, into, headers, authorization, bounds, progress)
        except _PassingError as error:
            if not retries_left:
                raise FetchError(f"{url}: {error}, {bounds.retries + 1} times; try again later") from error
        await asyncio.sleep(pause)
        pause *= 2
    raise AssertionError("the last try returns or raises")


async def _fetch_once(
    client: aiohttp.ClientSession,
    url: URL,
    into: BinaryIO,
    headers: dict[str, str],
    authorization: str | None,
    bounds: Bounds,
    progress: Progress,
) -> Fetched | None:
    try:
        async with client.get(
            url,
            headers=headers,
            max_redirects=_MAX_REDIRECTS,
            middlewares=[_guard(url, authorization)],
        ) as answer:
            if answer.status == 304 and headers:
                return None
            _check_status(url, answer)
            total = answer.content_length
            done = 0
            progress(done, total)
            _check_size(url, total or 0, bounds)
            async for data in answer.content.iter_chunked(_CHUNK):
                done += len(data)
                _check_size(url, done, bounds)
                into.write(data)
                progress(done, total)
            into.flush()
            return Fetched(unix_seconds(answer.headers.get(hdrs.LAST_MODIFIED)))
    except aiohttp.ClientSSLError as error:
        raise FetchError(f"{url}: no trusted encryption: {_tls_reason(error)}") from error
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
        raise _PassingError("the answer was cut short") from error
    except aiohttp.ServerTimeoutError as error:
        raise _PassingError(f"no answer within {bounds.stall_seconds:g} s") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise _PassingError(f"the name {error.host} is not found") from error
    except aiohttp.ClientConnectorError as error:
        raise _PassingError(f"no connection to {error.host} port {error.port} ({_reason(error)})") from error
    except (aiohttp.ClientOSError, aiohttp.ClientConnectionResetError) as error:
        raise _PassingError(f"the connection broke ({_reason(error)})") from error
    # The texts of these may hold the address of a redirect, which is signed: it is not repeated.
    except aiohttp.TooManyRedirects as error:
        raise FetchError(f"{url}: more than {_MAX_REDIRECTS} redirects") from error
    except aiohttp.RedirectClientError as error:
        raise FetchError(f"{url}: redirects to something that is no web address") from error
    except aiohttp.ClientHttpProxyError as error:
        raise FetchError(f"{url}: the proxy answers {error.status}") from error
    except aiohttp.ClientError as error:
        raise FetchError(f"{url}: no valid HTTP ({type(error).__name__})") from error


def _check_status(url: URL, answer: aiohttp.ClientResponse) -> None:
    """Raises what a status other than 200 means, RFC 9110."""
    said = f"{url}: answers {answer.status}"
    match answer.status:
        case 200:
            return
        case 401:
            raise FetchError(
                f"{said}: the account id or the licence key is wrong; see the files that "
                "maxmind_account_id_file and maxmind_license_key_file name"
            )
        case 403:
            raise FetchError(f"{said}: access is refused; may this account have this file?")
        case 404:
            raise NotThereError(f"{said}: there is no such file; is the base URL right?")
        case 429:
            wait = retry_after_seconds(answer.headers.get(hdrs.RETRY_AFTER))
            when = "tomorrow" if wait is None else f"in {wait} s"
            raise FetchError(f"{said}: too many downloads; try again {when}")
        case status if status >= 500:
            raise _PassingError(f"answers {status}")
        case _:
            raise FetchError(f"{said} instead of a file")


def _check_size(url: URL, size: int, bounds: Bounds) -> None:
    if size > bounds.bytes:
        raise FetchError(f"{url}: more than {bounds.bytes} bytes, which is no country data")


def _guard(url: URL, authorization: str | None) -> aiohttp.ClientMiddlewareType:
    """Watches every request of one fetch, also those that follow a redirect.

    The credentials are for the server of the first address alone, and what began encrypted stays so: who
    can read along must not be able to choose the country data.
    """

    async def send(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if url.scheme == "https" and request.url.scheme != "https":
            raise FetchError(f"{url}: redirects from https to {request.url.scheme}")
        if authorization is not None and request.url.origin() == url.origin():
            request.headers[hdrs.AUTHORIZATION] = authorization
        return await handler(request)

    return send


def _is_loopback(url: URL) -> bool:
    try:
        return url.host == "localhost" or ip_address(url.host or "").is_loopback
    except ValueError:
        return False


def _reason(error: OSError) -> str:
    # asyncio has a text of its own in the place of "Connection refused".
    return os.strerror(error.errno) if error.errno else error.strerror or type(error).__name__


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    cause = error.os_error
    return (
        cause.verify_message
        if isinstance(cause, ssl.SSLCertVerificationError)
        else str(cause.strerror or cause)
    )
