"""The gRPC face of quota: messages to plain values and back, and nothing else."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import grpc

from chassis.blocks import Blocks
from chassis.item_server import ItemServer, ItemStream
from chassis.logs import Logger
from chassis.metrics import Metrics
from protos import quota_pb2 as pb
from protos.quota_pb2_grpc import QuotaServicer
from quota.domain import (
    LOCK,
    MAX_RECIPIENTS,
    QUOTA,
    Charge,
    ChargeResult,
    Limit,
    Noted,
    Outcome,
    Refusal,
    Stage,
    Unit,
)
from quota.periods import zone
from quota.reads import TooManyReadsError
from quota.reporting import Reporter
from quota.store.interface import StoreError
from quota.writer import Failure, Result, Writer

MAX_NAME_BYTES = 64
LIMITS = (QUOTA,)  # decision's limiting rules, by which refusals are counted
MAX_ADDRESS_BYTES = 64
COUNTRY_LETTERS = 2
INVALID_ARGUMENT = 3
UNIMPLEMENTED = 12
_FAILURES = {
    Failure.EXPIRED: "the deadline has passed",
    Failure.OVERLOADED: "too many items wait",
    Failure.UNAVAILABLE: "the store failed",
}
_STAGES = {
    pb.STAGE_RCPT: Stage.RCPT,
    pb.STAGE_DATA: Stage.DATA,
    pb.STAGE_END_OF_MESSAGE: Stage.END_OF_MESSAGE,
}
_UNITS = {pb.UNIT_RECIPIENTS: Unit.RECIPIENTS, pb.UNIT_MESSAGES: Unit.MESSAGES}
_OUTCOMES = {
    Outcome.CHARGED: pb.OUTCOME_CHARGED,
    Outcome.REPEATED: pb.OUTCOME_REPEATED,
    Outcome.REFUSED: pb.OUTCOME_REFUSED,
    Outcome.LOCKED: pb.OUTCOME_LOCKED,
}


class InvalidItemError(Exception):
    """An item that cannot be done, with the gRPC status code that says why."""

    def __init__(self, message: str, code: int = INVALID_ARGUMENT) -> None:
        super().__init__(message)
        self.code = code


class QuotaService(QuotaServicer):
    """See protos/quota.proto."""

    def __init__(self, writer: Writer, reporter: Reporter, *, log: Logger, metrics: Metrics) -> None:
        self._writer = writer
        self._reporter = reporter
        self._log = log
        self._server: ItemServer[Any, Any] = ItemServer(
            handle=self._handle,
            unpack=lambda batch: [*batch.charges, *batch.refusals],
            pack=_pack,
            metrics=metrics,
        )
        names = [outcome.name.lower() for outcome in Outcome] + ["unavailable", "invalid"]
        charges = metrics.counter("charges_total", "Charges by what became of them.", outcome=names)
        self._charges = {name: charges.labels(name) for name in names}
        self._units = metrics.counter("charge_units_total", "Units charged, of each charge's first limit.")
        self._blocks = Blocks(metrics, (*LIMITS, LOCK))
        self._refusals = metrics.counter(
            "refusals_recorded_total", "Refusals that cost no charge, as decision sent them."
        )
        self._permitted = metrics.counter(
            "refusals_overridden_total", "Refusals that an admin's permit has prevented."
        )

    async def Charge(self, request: pb.Charge, context: Any) -> pb.ChargeResult:
        return await self._ask(request)  # type: ignore[no-any-return]

    async def Record(self, request: pb.Refusal, context: Any) -> pb.RefusalResult:
        return await self._ask(request)  # type: ignore[no-any-return]

    async def ChargeStream(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        await self._server.serve(context)

    async def Report(self, request: pb.ReportRequest, context: Any) -> pb.ReportReply:
        try:
            return await self._reporter.answer(request)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except TooManyReadsError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except StoreError as error:
            self._log.error("report_failed", reason=error)
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the store cannot be read: {error}")
        raise AssertionError("abort raises")

    async def drain(self) -> None:
        await self._server.drain()

    async def _ask(self, message: pb.Charge | pb.Refusal) -> Any:
        try:
            item = read_item(message)
        except InvalidItemError as error:
            return self._invalid(message, error)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._writer.submit([item], lambda results: None if answer.done() else answer.set_result(results[0]))
        result = await answer
        self._count([message], [result])
        return result_message(message, result)

    def _handle(self, messages: Sequence[Any], stream: ItemStream[Any, Any]) -> None:
        accepted, items = [], []
        for message in messages:
            try:
                items.append(read_item(message))
                accepted.append(message)
            except InvalidItemError as error:
                stream.reply(self._invalid(message, error))
        if items:
            self._writer.submit(items, partial(self._deliver, accepted, stream))

    def _deliver(
        self, messages: Sequence[Any], stream: ItemStream[Any, Any], results: Sequence[Result]
    ) -> None:
        for message, result in zip(messages, results, strict=True):
            stream.reply(result_message(message, result))
        # The replies leave in the next turn of the loop: this is behind it.
        asyncio.get_running_loop().call_soon(self._count, messages, results)

    def _count(self, messages: Sequence[Any], results: Sequence[Result]) -> None:
        charged = [result for result in results if isinstance(result, ChargeResult)]
        for message, result in zip(messages, results, strict=True):
            if not isinstance(result, ChargeResult):
                continue
            if result.outcome is Outcome.LOCKED:
                self._blocks.add(LOCK, message.country)
            elif result.outcome is Outcome.REFUSED:
                for limit, state in zip(message.limits, result.limits, strict=True):
                    if state.would_refuse and limit.mode == pb.MODE_ENFORCE and limit.name in LIMITS:
                        self._blocks.add(limit.name, message.country)
        for outcome, number in Counter(result.outcome for result in charged).items():
            self._charges[outcome.name.lower()].inc(number)
        self._units.inc(sum(result.units for result in charged))
        if len(charged) < len(results):
            self._refusals.inc(sum(result is Noted.RECORDED for result in results))
            self._permitted.inc(sum(result is Noted.OVERRIDDEN for result in results))
            self._charges["unavailable"].inc(
                sum(
                    isinstance(result, Failure) and isinstance(message, pb.Charge)
                    for message, result in zip(messages, results, strict=True)
                )
            )

    def _invalid(self, message: Any, error: InvalidItemError) -> Any:
        self._log.warning("invalid_item", reason=error)
        reason = pb.Error(code=error.code, message=str(error))
        if isinstance(message, pb.Refusal):
            return pb.RefusalResult(id=message.id, error=reason)
        self._charges["invalid"].inc()
        return pb.ChargeResult(id=message.id, outcome=pb.OUTCOME_UNAVAILABLE, error=reason)


def result_message(message: pb.Charge | pb.Refusal, result: Result) -> Any:
    """The answer to an item."""
    if isinstance(result, ChargeResult):
        return pb.ChargeResult(
            id=message.id,
            outcome=_OUTCOMES[result.outcome],
            units=result.units,
            limits=[
                pb.LimitState(
                    name=state.name,
                    maximum=state.maximum,
                    used=state.used,
                    refused=state.refused,
                    resets_unix_ms=state.resets_unix_ms,
                    would_refuse=state.would_refuse,
                    first_refusal=state.first_refusal,
                    crossed_80=state.crossed_80,
                )
                for state in result.limits
            ],
        )
    if isinstance(result, Noted):
        return pb.RefusalResult(id=message.id, overridden=result is Noted.OVERRIDDEN)
    error = pb.Error(code=result, message=_FAILURES[result])
    if isinstance(message, pb.Refusal):
        return pb.RefusalResult(id=message.id, error=error)
    return pb.ChargeResult(id=message.id, outcome=pb.OUTCOME_UNAVAILABLE, error=error)


def read_item(message: pb.Charge | pb.Refusal) -> Charge | Refusal:
    """The plain value of an item. Raises InvalidItemError."""
    return read_refusal(message) if isinstance(message, pb.Refusal) else read_charge(message)


def read_charge(message: pb.Charge) -> Charge:
    """The plain value of a charge. Raises InvalidItemError."""
    if not message.account:
        raise InvalidItemError("a charge without an account")
    time_zone, limits = (
        _read_limits(tuple([limit.SerializeToString() for limit in message.limits]))
        if message.limits
        else (_zone_name(message.day.time_zone), ())
    )
    return Charge(
        account=message.account,
        login=message.login,
        instance=message.instance,
        recipient=message.recipient,
        stage=_STAGES.get(message.stage, Stage.OTHER),
        recipient_count=message.recipient_count,
        decision_id=message.decision_id,
        expires_unix_ms=message.expires_unix_ms,
        time_zone=time_zone,
        limits=limits,
        address=_address(message.address),
        country=_country(message.country),
        exempt=message.exempt,
        sender=message.sender,
        settings=message.settings,
    )


def read_refusal(message: pb.Refusal) -> Refusal:
    """The plain value of a refusal. Raises InvalidItemError."""
    if not message.account:
        raise InvalidItemError("a refusal without an account")
    if message.mode not in (pb.MODE_ENFORCE, pb.MODE_OBSERVE):
        raise InvalidItemError("a refusal without a mode")
    return Refusal(
        account=message.account,
        rule=_name(message.rule),
        country=_country(message.country),
        address=_address(message.address),
        decision_id=message.decision_id,
        enforced=message.mode == pb.MODE_ENFORCE,
        time_zone=_zone_name(message.day.time_zone),
        login=message.login,
        sender=message.sender,
        recipient=message.recipient,
        recipient_count=message.recipient_count,
        settings=message.settings,
        detail=message.detail,
        expires_unix_ms=message.expires_unix_ms,
    )


# Every charge of a policy brings the same limits, and reading them costs as much as all the rest.
@lru_cache(maxsize=64)
def _read_limits(serialised: tuple[bytes, ...]) -> tuple[str, tuple[Limit, ...]]:
    """The time zone and the limits of a charge. Raises InvalidItemError."""
    messages = [pb.Limit.FromString(message) for message in serialised]
    limits = tuple(map(_read_limit, messages))
    if len({limit.name for limit in limits}) != len(limits):
        raise InvalidItemError("two limits of one name")
    zones = {message.calendar_day.time_zone for message in messages}
    if len(zones) != 1:
        raise InvalidItemError("limits with different time zones in one charge")
    return _zone_name(zones.pop()), limits


def _read_limit(message: pb.Limit) -> Limit:
    if message.unit == pb.UNIT_DISTINCT or message.WhichOneof("window") == "rolling":
        raise InvalidItemError("not implemented: UNIT_DISTINCT, rolling windows", UNIMPLEMENTED)
    unit = _UNITS.get(message.unit)
    if unit is None or message.WhichOneof("window") is None:
        raise InvalidItemError("a limit without a unit or a window")
    if not 1 <= message.maximum <= MAX_RECIPIENTS:
        raise InvalidItemError(f"a limit's maximum is 1 to {MAX_RECIPIENTS}, not {message.maximum}")
    if message.mode not in (pb.MODE_ENFORCE, pb.MODE_OBSERVE):
        raise InvalidItemError("a limit without a mode")
    return Limit(_name(message.name), unit, message.maximum, message.mode == pb.MODE_ENFORCE)


def _name(name: str) -> str:
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise InvalidItemError(f"a name has 1 to {MAX_NAME_BYTES} bytes")
    return name


def _address(address: bytes) -> bytes:
    # What is too long is no address, and the beginning of one would be somebody else's.
    return address if len(address) <= MAX_ADDRESS_BYTES else b""


def _country(country: str) -> str:
    if len(country) > COUNTRY_LETTERS:
        raise InvalidItemError(f"a country has {COUNTRY_LETTERS} letters, or none")
    return country


def _zone_name(name: str) -> str:
    try:
        zone(name)
    except ValueError as error:
        raise InvalidItemError(str(error)) from error
    return name


def _pack(results: Any) -> pb.Results:
    packed = pb.Results()
    for result in results:
        (packed.charges if isinstance(result, pb.ChargeResult) else packed.refusals).append(result)
    return packed
