"""The gRPC face of decision for admins: how it is, and its decisions as they are made."""

import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any

import grpc

from chassis.printable import printable
from chassis.reload import Reloader
from chassis.settings import setting_lines
from decision.country_files import Database
from decision.decider import NO_REASON, Decider
from decision.policy import Policy
from decision.quota_client import QuotaClient
from decision.rules import RULES
from decision.settings import Settings
from decision.tail import MAX_READERS, Decision, Filter, TooManyReadersError
from decision.verdict import LOCK, Verb
from protos import decision_admin_pb2 as pb
from protos.decision_admin_pb2_grpc import DecisionAdminServicer

UNDECIDED = "none"
ACTIONS = (*Verb, UNDECIDED)
REASONS = (NO_REASON, *RULES, LOCK)


class DecisionAdminService(DecisionAdminServicer):
    """See protos/decision_admin.proto. Args: databases: those in force, when asked."""

    def __init__(
        self,
        decider: Decider,
        quota: QuotaClient,
        reloader: Reloader[Settings],
        databases: Callable[[], list[Database]],
    ) -> None:
        self._decider = decider
        self._quota = quota
        self._reloader = reloader
        self._databases = databases
        self._started_unix_ms = round(time.time() * 1000)

    async def Status(self, request: pb.DecisionStatusRequest, context: Any) -> pb.DecisionStatus:
        policy: Policy = self._decider.policy
        settings = self._reloader.config.settings
        return pb.DecisionStatus(
            version=version("univention-mtpolicyd"),
            started_unix_ms=self._started_unix_ms,
            settings=self._reloader.config.version,
            settings_error=printable(self._reloader.error),
            setting_lines=map(_text, setting_lines(settings)),
            quota_connected=self._quota.connected,
            databases=[
                pb.CountryDatabase(
                    source=_text(found.source),
                    built_unix_ms=found.build_unix_seconds * 1000,
                    error=_text(found.error),
                )
                for found in self._databases()
            ],
            time_zone=policy.time_zone,
            rules=[f"{name}={settings.mode_of(name)}" for name in settings.rules],
        )

    async def Tail(
        self, request: pb.TailRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.TailReply]:
        for field, known in (("action", ACTIONS), ("reason", REASONS)):
            value = getattr(request, field)
            if value and value not in known:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"{printable(value)} is no {field}; allowed: {', '.join(known)}",
                )
        tail = self._decider.tail
        try:
            reader = tail.open(Filter(request.account, request.reason, request.action))
        except TooManyReadersError:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_READERS} admins are watching already"
            )
        try:
            # So the caller knows that nothing is missed from now on.
            await context.send_initial_metadata(())
            async for lost, decisions in reader.read():
                yield pb.TailReply(decisions=map(_message, decisions), lost=lost)
        finally:
            tail.leave(reader)

    async def drain(self) -> None:
        """End the readers: the service stops."""
        self._decider.tail.close()


def _message(decision: Decision) -> pb.TailDecision:
    event = decision.event
    message = pb.TailDecision(
        at_unix_ms=decision.at_unix_ms,
        id=decision.decision_id,
        action=decision.action,
        reason=decision.reason,
        mode=decision.mode,
        login=event.login,
        account=event.account,
        client=event.client_address,
        country=_text(decision.country),
        sender=event.sender,
        recipient=event.recipient,
        recipient_count=event.recipient_count,
        stage=event.stage.name,
        settings=decision.settings,
        would_refuse=decision.would_refuse,
        permitted=decision.permitted,
        instance=printable(event.instance),
        queue_id=printable(event.queue_id),
        ms=decision.ms,
    )
    if decision.state is not None:
        message.has_limit = True
        message.used, message.limit = decision.state.used, decision.state.maximum
        message.refused = decision.state.refused
    return message


def _text(value: str) -> str:
    """What a proto3 string takes: a path, or country data, may hold what is no UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode()
