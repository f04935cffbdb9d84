"""The composition root of quota: the one module that knows all the others."""

from pathlib import Path

from chassis.config import Config, read_file
from chassis.errors import StartError
from chassis.grpc_server import grpc_server
from chassis.logs import Logger
from chassis.service import Runtime
from chassis.settings import SettingsError
from chassis.tasks import background
from protos.quota_pb2_grpc import add_QuotaServicer_to_server
from quota.account_label import AccountLabel, namer
from quota.domain import COUNTRY, LOCK
from quota.refused_senders import RefusedSenders
from quota.reporting import Reporter
from quota.service import LIMITS, QuotaService
from quota.settings import Settings
from quota.state_dir import locked_state_dir
from quota.store.checkpoint import Checkpointer
from quota.store.interface import StoreCorruptError, StoreError
from quota.store.mending import MendingStore
from quota.store.reader import SqliteReader
from quota.store.sqlite import SqliteStore
from quota.writer import Writer

DATABASE = "quota.sqlite3"
RULES = (COUNTRY, LOCK, *LIMITS)  # decision's, so that they are shown before they refuse anybody


async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
    """Open the state, then the writer, then the port; everything ends in the opposite order."""
    stack, log, metrics = runtime.stack, runtime.log, runtime.metrics
    path = stack.enter_context(locked_state_dir(settings.statedir)) / DATABASE
    checkpointer = Checkpointer(path, failed=lambda reason: log.error("checkpoint_failed", reason=reason))
    stack.callback(checkpointer.close)
    corrupt = metrics.counter("store_corrupt_total", "Stores that were found corrupt and moved aside.")

    def moved(aside: Path, error: StoreCorruptError) -> None:
        corrupt.inc()
        lost = "the counts begin anew, limits, permits and locks of admins are gone"
        log.error("store_corrupt", reason=error, moved_to=aside, consequence=lost)

    try:
        store = MendingStore(
            path,
            lambda: SqliteStore(path, committed=checkpointer.committed),
            alone=checkpointer.kept_away,
            moved=moved,
        )
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
    reader = SqliteReader(path)
    senders = RefusedSenders(reader, reasons=RULES, log=log)

    def show_senders(config: Config[Settings]) -> None:
        senders.most = config.settings.metrics_blocked_senders
        senders.name = namer(config.settings.metrics_accounts, _read_key(config.settings, log))

    show_senders(runtime.reloader.config)
    runtime.reloader.on_change(show_senders)
    metrics.registry.register(senders)
    await stack.enter_async_context(background(senders.run(), died=runtime.fail))
    service = QuotaService(writer, Reporter(reader), log=log, metrics=metrics)
    await stack.enter_async_context(
        grpc_server(
            settings.quota_listen,
            service="mtpolicyd.quota.v1.Quota",
            register=lambda server: add_QuotaServicer_to_server(service, server),
            drain=service.drain,
        )
    )


def _read_key(settings: Settings, log: Logger) -> bytes:
    """The key of hashed accounts; empty, and told, if there is none though it is needed."""
    if settings.metrics_accounts is not AccountLabel.HASH:
        return b""
    try:
        if settings.metrics_key_file is None:
            raise SettingsError(["MTPOLICYD_METRICS_KEY_FILE is empty"])
        key = read_file(settings.metrics_key_file).text.strip().encode()
        if not key:
            raise SettingsError([f"{settings.metrics_key_file} is empty"])
    except SettingsError as error:
        log.error(
            "no_key_for_accounts", reason=error, consequence="refused accounts are not listed in metrics"
        )
        return b""
    return key
