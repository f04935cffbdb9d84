"""How decision is, and its decisions as they are made, over a real channel."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from chassis.config import LastGood, check
from chassis.reload import Reloader
from decision.admin_service import DecisionAdminService
from decision.country_files import Database
from decision.decider import Decider
from decision.policy import make_policy
from decision.settings import Settings
from decision.tail import MAX_READERS
from decision.verdict import LimitState
from protos import decision_admin_pb2 as pb
from protos.decision_admin_pb2_grpc import DecisionAdminStub, add_DecisionAdminServicer_to_server
from tests.support.loops import until
from tests.support.mails import FakeQuota, country_data, decision, origins
from tests.support.observed import Observed


class Quota(FakeQuota):
    @property
    def connected(self) -> bool:
        return True


class Served:
    """The service behind a port, and a stub of it."""

    def __init__(self, seen: Observed, directory: Path, channel: grpc.aio.Channel) -> None:
        quota = Quota()
        config = check(Settings)
        policy = make_policy(config.settings, origins(seen, country_data()), config.version)
        self.decider = Decider(policy, quota, log=seen.log.logger, metrics=seen.metrics)
        self.reloader = Reloader(
            config, None, LastGood(directory, "decision"), log=seen.log.logger, metrics=seen.metrics
        )
        databases = [
            Database("/geo/a.mmdb", 1_700_000_000, ""),
            Database("/geo/\udcff.mmdb", 0, "gone \udcff"),
        ]
        self.service = DecisionAdminService(self.decider, quota, self.reloader, lambda: databases)
        self.stub = DecisionAdminStub(channel)

    async def watch(self, **wanted: object) -> "grpc.aio.UnaryStreamCall[pb.TailRequest, pb.TailReply]":
        """A reader that the service knows of."""
        call: grpc.aio.UnaryStreamCall[pb.TailRequest, pb.TailReply]
        call = self.stub.Tail(pb.TailRequest(**wanted))  # type: ignore[arg-type]
        await call.initial_metadata()
        return call


@pytest.fixture
async def served(seen: Observed, tmp_path: Path) -> AsyncIterator[Served]:
    server = grpc.aio.server()
    address = f"unix:{tmp_path}/admin"
    server.add_insecure_port(address)
    async with grpc.aio.insecure_channel(address) as channel:
        found = Served(seen, tmp_path, channel)
        add_DecisionAdminServicer_to_server(found.service, server)
        await server.start()
        yield found
        await server.stop(None)


async def test_the_status_says_how_decision_is(served: Served) -> None:
    """Names of any bytes become text."""
    status = await served.stub.Status(pb.DecisionStatusRequest())

    assert status.version
    assert status.started_unix_ms > 1_700_000_000_000
    assert status.settings == served.reloader.config.version
    assert (status.settings_error, status.quota_connected) == ("", True)
    assert "threshold = 1000" in status.setting_lines
    assert list(status.rules) == ["country=enforce", "quota=enforce"]
    assert status.time_zone == served.decider.policy.time_zone
    assert [(found.source, found.built_unix_ms, found.error) for found in status.databases] == [
        ("/geo/a.mmdb", 1_700_000_000_000, ""),
        ("/geo/\\udcff.mmdb", 0, "gone \\udcff"),
    ]


async def test_a_reader_gets_decisions_from_now_on(served: Served) -> None:
    """All fields; bytes stay bytes, and a limit only where there is one."""
    call = await served.watch()
    served.decider.tail.publish(
        decision(account=b"\xff", state=LimitState(1000, 4, 2, 0, would_refuse=False))
    )
    reply = await call.read()
    assert isinstance(reply, pb.TailReply)
    (told,) = reply.decisions

    assert (told.account, told.login, told.country, told.stage) == (b"\xff", b"Alice", "DE", "RCPT")
    assert (told.has_limit, told.used, told.limit, told.refused) == (True, 4, 1000, 2)
    assert (told.at_unix_ms, told.id, told.ms) == (1_800_000_000_123, "0123456789", 1.5)
    assert (told.instance, told.queue_id, told.settings) == ("i1", "4XyZ", "0a1b2c3d")
    assert reply.lost == 0
    call.cancel()


async def test_filters_are_applied_by_the_service(served: Served) -> None:
    """What does not match is not sent."""
    call = await served.watch(action="DEFER")
    served.decider.tail.publish(decision(decision_id="a"))
    served.decider.tail.publish(decision(decision_id="b", action="DEFER", reason="quota"))
    reply = await call.read()
    assert isinstance(reply, pb.TailReply)

    assert [(told.id, told.has_limit) for told in reply.decisions] == [("b", False)]
    call.cancel()


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"action": "OK"}, "OK is no action; allowed: DUNNO, DEFER, REJECT, none"),
        ({"reason": "cuota"}, "cuota is no reason; allowed: none, country, quota, lock"),
    ],
)
async def test_what_never_happens_is_not_waited_for(
    served: Served, wanted: dict[str, str], text: str
) -> None:
    """The reader is told what there is."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub.Tail(pb.TailRequest(**wanted)).read()  # type: ignore[arg-type]

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, text)


async def test_one_reader_too_many_is_refused_until_another_one_goes(served: Served) -> None:
    """A reader that is gone, however it went, gives its place free."""
    calls = [await served.watch() for _ in range(MAX_READERS)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (await served.watch()).read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in calls:
        call.cancel()
    await until(lambda: not served.decider.tail.readers)

    (await served.watch()).cancel()


async def test_a_stop_ends_the_readers(served: Served) -> None:
    """In order, so that a tail says nothing of an error."""
    call = await served.watch()
    served.decider.tail.publish(decision())
    await served.service.drain()

    assert [len(reply.decisions) async for reply in call] == [1]
    assert await call.code() is grpc.StatusCode.OK
