"""The composition root of quota: the one module that knows all the others."""

from chassis.errors import StartError
from chassis.grpc_server import grpc_server
from chassis.service import Runtime
from protos.quota_pb2_grpc import add_QuotaServicer_to_server
from quota.reporting import Reporter
from quota.service import QuotaService
from quota.settings import Settings
from quota.state_dir import locked_state_dir
from quota.store.checkpoint import Checkpointer
from quota.store.interface import StoreError
from quota.store.reader import SqliteReader
from quota.store.sqlite import SqliteStore
from quota.writer import Writer

DATABASE = "quota.sqlite3"


async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
    """Open the state, then the writer, then the port; everything ends in the opposite order."""
    stack, log, metrics = runtime.stack, runtime.log, runtime.metrics
    path = stack.enter_context(locked_state_dir(settings.statedir)) / DATABASE
    checkpointer = Checkpointer(path, failed=lambda reason: log.error("checkpoint_failed", reason=reason))
    stack.callback(checkpointer.close)
    try:
        store = SqliteStore(path, committed=checkpointer.committed)
    except StoreError as error:
        raise StartError(f"cannot open {path}: {error}") from error
    writer = Writer(
        store,
        log=log,
        metrics=metrics,
        died=runtime.fail,
        wal_is_large=checkpointer.wal_is_large,
        checkpoint=store.checkpoint,
    )
    stack.push_async_callback(writer.close)
    service = QuotaService(writer, Reporter(SqliteReader(path)), log=log, metrics=metrics)
    await stack.enter_async_context(
        grpc_server(
            settings.quota_listen,
            service="mtpolicyd.quota.v1.Quota",
            register=lambda server: add_QuotaServicer_to_server(service, server),
            drain=service.drain,
        )
    )
