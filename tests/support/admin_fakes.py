"""quota and decision as `mtpolicyctl` sees them: they answer what a test says, and remember the questions."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import typer
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from typer.testing import CliRunner, Result

from protos import decision_admin_pb2 as decision_pb
from protos import quota_admin_pb2 as quota_pb
from protos.decision_admin_pb2_grpc import DecisionAdminServicer, add_DecisionAdminServicer_to_server
from protos.quota_admin_pb2_grpc import QuotaAdminServicer, add_QuotaAdminServicer_to_server
from tests.support.ports import free_port

TOKEN = "0123456789abcdef"


class Answers:
    """What is answered, by the name of the call; an exception's class is no answer at all."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}
        self.errors: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.requests: list[Any] = []

    def answer(self, call: str, request: Any, context: Any, default: Any) -> Any:
        self.requests.append(request)
        if call in self.errors:
            context.abort(*self.errors[call])
        return self.replies.get(call, default)


class FakeQuotaAdmin(Answers, QuotaAdminServicer):
    """`changes` are those that were asked for, with the right token or not."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[quota_pb.Changes] = []
        self.tokens: list[str] = []
        self.pages: list[list[quota_pb.Override]] = [[]]

    def Status(self, request: Any, context: Any) -> Any:
        return self.answer("Status", request, context, quota_pb.QuotaStatus(version="1", store_up=True))

    def Blocked(self, request: Any, context: Any) -> Any:
        return self.answer("Blocked", request, context, quota_pb.BlockedReply())

    def Usage(self, request: Any, context: Any) -> Any:
        known = quota_pb.UsageReply(account=request.account, days=[quota_pb.DayUsage(name="quota")])
        return self.answer("Usage", request, context, known)

    def Top(self, request: Any, context: Any) -> Any:
        return self.answer("Top", request, context, quota_pb.TopReply())

    def Explain(self, request: Any, context: Any) -> Any:
        return self.answer("Explain", request, context, quota_pb.RefusalRecord())

    def Audit(self, request: Any, context: Any) -> Any:
        return self.answer("Audit", request, context, quota_pb.AuditReply())

    def ListOverrides(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        number = int(request.after or b"0")
        following = str(number + 1).encode() if number + 1 < len(self.pages) else b""
        return quota_pb.ListOverridesReply(overrides=self.pages[number], next=following)

    def ExportAccount(self, request: Any, context: Any) -> Any:
        yield from self.answer("ExportAccount", request, context, [])

    def Change(self, request_iterator: Any, context: Any) -> Any:
        self.tokens += [
            str(value) for key, value in context.invocation_metadata() if key == "mtpolicyd-token"
        ]
        self.changes += list(request_iterator)
        done = sum(len(message.changes) for message in self.changes)
        return self.answer("Change", self.changes, context, quota_pb.ChangeReply(done=done))

    @property
    def change(self) -> quota_pb.Change:
        """The only one that was asked for."""
        (message,) = self.changes
        (change,) = message.changes
        return change


class FakeDecisionAdmin(Answers, DecisionAdminServicer):
    """`told` is what a reader of Tail gets before decision ends."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[decision_pb.TailReply] = []

    def Status(self, request: Any, context: Any) -> Any:
        return self.answer("Status", request, context, decision_pb.DecisionStatus(version="1"))

    def Tail(self, request: Any, context: Any) -> Any:
        self.answer("Tail", request, context, None)
        context.send_initial_metadata(())
        yield from self.told


@contextmanager
def serving(add: Callable[[Any, grpc.Server], None], servicer: Any) -> Iterator[str]:
    """Serve on loopback, with grpc.health.v1; the address."""
    server = grpc.server(ThreadPoolExecutor(8))
    add(servicer, server)
    health = HealthServicer()
    health.set("", HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"127.0.0.1:{free_port()}"
    server.add_insecure_port(address)
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


@contextmanager
def serving_quota(servicer: FakeQuotaAdmin) -> Iterator[str]:
    with serving(add_QuotaAdminServicer_to_server, servicer) as address:
        yield address


@contextmanager
def serving_decision(servicer: FakeDecisionAdmin) -> Iterator[str]:
    with serving(add_DecisionAdminServicer_to_server, servicer) as address:
        yield address


def invoke(command: Any, *arguments: str, stdin: "str | bytes | None" = None) -> Result:
    """Run a command, or a typer app, as `mtpolicyctl` would."""
    app = command
    if not isinstance(command, typer.Typer):
        app = typer.Typer()
        app.command()(command)
    return CliRunner().invoke(app, list(arguments), input=stdin)


def outcome(result: Result) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def override(account: bytes = b"alice", **what: Any) -> quota_pb.Override:
    """One in force."""
    codes: Iterable[str] | None = what.pop("countries", None)
    found = quota_pb.Override(account=account, who="root@mail", set_unix_ms=1_800_000_000_000, **what)
    if codes:
        found.countries.codes.extend(codes)
    return found
