"""`mtpolicyctl tail`: decisions as they are made."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import grpc
import grpc.aio
import typer
from rich.text import Text

from admin.talk.exits import EXIT_NO_SERVICE, EndError, command, forget_reader
from admin.talk.names import plain
from admin.talk.options import JsonOption, read_user
from admin.talk.output import print_json, print_line
from admin.talk.services import CALL_SECONDS, addresses_of, decision_settings, end_of, frontend_settings
from admin.talk.times import iso, second
from chassis.grpc_server import open_channel
from chassis.printable import as_text
from chassis.settings import Address
from protos import decision_admin_pb2 as pb
from protos.decision_admin_pb2_grpc import DecisionAdminStub

STYLES = {"DUNNO": "green", "DEFER": "yellow", "REJECT": "red", "none": "magenta"}
Show = Callable[[pb.TailReply], None]


@command
def tail(
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="Of this login alone.", show_default=False)
    ] = None,
    reason: Annotated[
        str, typer.Option(help="By this rule alone: country, quota, lock; none: no rule.", show_default=False)
    ] = "",
    action: Annotated[
        str, typer.Option(help="DUNNO, DEFER, REJECT; none: undecided.", show_default=False)
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show decisions on mail of logged-in users while they are made, of all replicas; Ctrl-C ends it.

    What is too fast for this reader is left out, and it says how much. With --json one object a line.

    Exit code 0: it was ended; 2: wrong input, or too many are watching; 3: decision does not answer, or ends.
    """
    wanted = action.upper() if action.upper() in STYLES else "none" if action.lower() == "none" else action
    request = pb.TailRequest(
        account=b"" if user is None else read_user(user), reason=reason.lower(), action=wanted
    )
    zone = ZoneInfo(decision_settings().time_zone_name)
    show: Show = show_json(zone) if as_json else show_lines(zone)
    try:
        asyncio.run(watch(addresses_of(frontend_settings().decision_target), request, show))
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        forget_reader()  # who has seen enough


async def watch(targets: list[Address], request: pb.TailRequest, show: Show) -> None:
    """Show what all of them decide, until one of them ends. Raises EndError."""
    async with AsyncExitStack() as stack:
        calls = []
        for target in targets:
            channel = await stack.enter_async_context(open_channel(target))
            calls.append(await _begin(target, DecisionAdminStub(channel), request))
        sys.stderr.write(f"watching decision at {', '.join(map(str, targets))}\n")
        readers = [
            asyncio.ensure_future(_read(target, replies, show))
            for target, replies in zip(targets, calls, strict=True)
        ]
        try:
            done, _ = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
            for reader in done:
                reader.result()
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


async def _begin(target: Address, stub: Any, request: pb.TailRequest) -> AsyncIterator[pb.TailReply]:
    call = stub.Tail(request)
    try:
        async with asyncio.timeout(CALL_SECONDS):
            # decision sends it when it has the reader: nothing is missed from here on.
            await call.initial_metadata()
        if call.done():
            await call.read()
    except grpc.aio.AioRpcError as error:
        raise end_of("decision", target, error) from error
    except TimeoutError as error:
        raise EndError(EXIT_NO_SERVICE, f"no answer from decision at {target}: time-out") from error
    replies: AsyncIterator[pb.TailReply] = call
    return replies


async def _read(target: Address, replies: AsyncIterator[pb.TailReply], show: Show) -> None:
    try:
        async for reply in replies:
            show(reply)
    except grpc.aio.AioRpcError as error:
        raise end_of("decision", target, error) from error
    raise EndError(EXIT_NO_SERVICE, f"decision at {target} has ended")


def show_json(zone: ZoneInfo) -> Show:
    """One object a line: a decision, or `{"lost": N}`."""

    def show(reply: pb.TailReply) -> None:
        if reply.lost:
            print_json({"lost": reply.lost})
        for decision in reply.decisions:
            print_json(as_object(decision, zone))

    return show


def show_lines(zone: ZoneInfo) -> Show:
    """One line a decision."""

    def show(reply: pb.TailReply) -> None:
        if reply.lost:
            print_line(Text(f"... {reply.lost} left out: this reader is too slow", "dim"))
        for decision in reply.decisions:
            print_line(*line(decision, zone))
        sys.stdout.flush()

    return show


def as_object(decision: pb.TailDecision, zone: ZoneInfo) -> dict[str, Any]:
    """For JSON; the names are those of the log line."""
    return {
        "at": iso(decision.at_unix_ms, zone),
        "id": decision.id,
        "action": decision.action,
        "reason": decision.reason,
        "mode": decision.mode,
        "account": as_text(decision.account),
        "login": as_text(decision.login),
        "client": as_text(decision.client),
        "country": decision.country or None,
        "sender": as_text(decision.sender),
        "recipient": as_text(decision.recipient),
        "recipient_count": decision.recipient_count,
        "stage": decision.stage,
        "used": decision.used if decision.has_limit else None,
        "limit": decision.limit if decision.has_limit else None,
        "refused": decision.refused if decision.has_limit else None,
        "would_refuse": decision.would_refuse.split(",") if decision.would_refuse else [],
        "permitted": decision.permitted.split(",") if decision.permitted else [],
        "instance": decision.instance,
        "queue_id": decision.queue_id,
        "settings": decision.settings,
        "ms": decision.ms,
    }


def line(decision: pb.TailDecision, zone: ZoneInfo) -> list[str | Text]:
    """For people: when, what, why, who, from where, to whom, how much is used, and the id."""
    clock = second(decision.at_unix_ms, zone).split()[1]
    action = Text(f"{plain(decision.action):6}", STYLES.get(decision.action, ""))
    would = f" ({plain(decision.mode)}: {plain(decision.would_refuse)})" if decision.would_refuse else ""
    would += f" (permitted: {plain(decision.permitted)})" if decision.permitted else ""
    where = f"{as_text(decision.client) or '-'} {plain(decision.country) or '-'}"
    to = as_text(decision.recipient) or f"{decision.recipient_count} recipients"
    used = f" {decision.used} of {decision.limit}" if decision.has_limit else ""
    parts = f" {plain(decision.reason)}{would} {as_text(decision.account)} from {where}"
    return [f"{clock} ", action, f"{parts} to {to}{used} (id {plain(decision.id)})"]
