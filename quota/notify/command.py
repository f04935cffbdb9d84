"""`mtpolicyctl notify test`: one notification through each channel that the settings switch on."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import typer

from chassis.config import load_or_exit
from chassis.printable import printable
from chassis.settings import EXIT_SETTINGS, complain
from quota.notify.channels import channels_of
from quota.notify.interface import Channel, NotDeliveredError, RefusedError
from quota.notify.notification import TEST, Notification
from quota.settings import Settings

EXIT_NOT_DELIVERED = 1

app = typer.Typer(help="Try notifications by mail and webhook.", no_args_is_help=True)


class Tried(NamedTuple):
    """What became of one delivery."""

    channel: str
    receiver: str
    delivered: bool
    answer: str  # the receiver's, or why there is none


@app.callback()
def notify() -> None:
    """Try notifications by mail and webhook."""


@app.command("test")
def try_channels(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Send one test notification through each channel that is set, from this process.

    Exit code 0: all receivers have taken it; 1: one has not; 2: the settings are wrong, or set no channel.
    """
    settings = load_or_exit("quota", Settings).settings
    channels = channels_of(settings)
    if not channels:
        complain(
            ["no channel is set: notify_mail_relay and notify_mail_to, or notify_webhook_url, switch one on"]
        )
        raise typer.Exit(EXIT_SETTINGS)
    tried = asyncio.run(_try_all(channels, sample()))
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in tried]))
    else:
        for one in tried:
            word = "delivered" if one.delivered else "not delivered"
            typer.echo(f"{one.channel}: {word} to {one.receiver}: {one.answer}")
    if not all(one.delivered for one in tried):
        raise typer.Exit(EXIT_NOT_DELIVERED)


def sample() -> Notification:
    """Of no account."""
    now_ms = time.time_ns() // 1_000_000
    return Notification(
        id=secrets.token_hex(16),
        kind=TEST,
        account=b"test",
        rule="",
        country="",
        address=b"",
        decision_id="",
        used=None,
        maximum=None,
        since_unix_ms=now_ms,
        until_unix_ms=now_ms,
        time_zone="UTC",
    )


async def _try_all(channels: Mapping[str, Channel], told: Notification) -> list[Tried]:
    return list(await asyncio.gather(*(_try(name, channel, told) for name, channel in channels.items())))


async def _try(name: str, channel: Channel, told: Notification) -> Tried:
    try:
        answer, delivered = await channel.deliver(told), True
    except (NotDeliveredError, RefusedError) as error:
        answer, delivered = str(error), False
    return Tried(name, printable(channel.receiver), delivered, answer)
