"""The composition root of quota: the one module that knows all the others."""

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import grpc.aio

from chassis.config import Config, read_file
from chassis.errors import StartError
from chassis.grpc_server import grpc_server
from chassis.logs import Logger
from chassis.printable import printable
from chassis.reload import Reloader
from chassis.service import Runtime
from chassis.settings import SettingsError, setting_lines
from chassis.tasks import background
from protos.quota_admin_pb2_grpc import add_QuotaAdminServicer_to_server
from protos.quota_pb2_grpc import add_QuotaServicer_to_server
from quota.account_label import AccountLabel, address_keeper, namer
from quota.admin_service import About, AdminService
from quota.admin_token import TOKEN_FILE, TokenGuard, make_token
from quota.domain import COUNTRY, LOCK
from quota.notify.notifier import Notifier
from quota.reads import Reads, shed_reads
from quota.refused_senders import RefusedSenders
from quota.reporting import Reporter
from quota.service import LIMITS, QuotaService
from quota.settings import Settings
from quota.state_dir import locked_state_dir
from quota.store.admin_reader import SqliteAdminReader
from quota.store.checkpoint import Checkpointer
from quota.store.interface import StoreCorruptError, StoreError
from quota.store.keeping import Keeping
from quota.store.mending import MendingStore
from quota.store.outbox_reader import OutboxReader
from quota.store.reader import SqliteReader
from quota.store.sqlite import SqliteStore
from quota.writer import Writer

DATABASE = "quota.sqlite3"
REPORTS_AT_A_TIME = 1
QUESTIONS_AT_A_TIME = 2  # of admins
RULES = (COUNTRY, LOCK, *LIMITS)  # decision's, so that they are shown before they refuse anybody


async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
    """Open the state, then the writer, then the port; everything ends in the opposite order."""
    stack, log, metrics = runtime.stack, runtime.log, runtime.metrics
    path = stack.enter_context(locked_state_dir(settings.statedir)) / DATABASE
    checkpointer = Checkpointer(path, log=log, metrics=metrics)
    stack.callback(checkpointer.close)
    notifier = Notifier(log=log, metrics=metrics)
    corrupt = metrics.counter("store_corrupt_total", "Stores that were found corrupt and moved aside.")

    def moved(aside: Path, error: StoreCorruptError) -> None:
        corrupt.inc()
        lost = "the counts begin anew, limits, permits and locks of admins are gone"
        log.error("store_corrupt", reason=error, moved_to=aside, consequence=lost)

    rewrites = metrics.counter(
        "store_rewrites_total",
        "Times that files of the store were gone while it was open: written anew, or not.",
        result=["done", "failed"],
    )

    told: str | None = None

    def rewritten(problem: str | None) -> None:
        nonlocal told
        rewrites.labels("done" if problem is None else "failed").inc()
        if problem is None:
            log.error("store_files_gone", consequence="they are written anew, nothing is lost")
        elif problem != told:
            log.error("store_files_gone", reason=problem, consequence="counts are lost when quota ends")
        told = problem

    keeping = Keeping()

    def keep(config: Config[Settings]) -> None:
        keeping.refusal_days = config.settings.refusals_keep_days
        keeping.address = address_keeper(
            config.settings.accepted_addresses,
            _read_key(
                config.settings,
                config.settings.accepted_addresses,
                log,
                "addresses of accepted mail are not kept",
            ),
        )

    keep(runtime.reloader.config)
    runtime.reloader.on_change(keep)
    try:
        store = MendingStore(
            path,
            lambda: SqliteStore(
                path,
                committed=checkpointer.committed,
                keeping=keeping,
                outgoing=notifier.outgoing,
                purged=checkpointer.purged,
            ),
            alone=checkpointer.kept_away,
            moved=moved,
            rewritten=rewritten,
        )
    except StoreError as error:
        raise StartError(f"cannot open {path}: {error}") from error
    writer = Writer(
        store,
        log=log,
        metrics=metrics,
        died=runtime.fail,
        wal_is_large=lambda: store.displaced() or checkpointer.wal_is_large(),
        checkpoint=store.checkpoint,
    )
    stack.push_async_callback(writer.close)
    reader = SqliteReader(path)
    senders = RefusedSenders(reader, reasons=RULES, log=log)

    def show_senders(config: Config[Settings]) -> None:
        senders.most = config.settings.metrics_blocked_senders
        senders.name = namer(
            config.settings.metrics_accounts,
            _read_key(
                config.settings,
                config.settings.metrics_accounts,
                log,
                "refused accounts are not listed in metrics",
            ),
        )

    show_senders(runtime.reloader.config)
    runtime.reloader.on_change(show_senders)
    metrics.registry.register(senders)
    await stack.enter_async_context(background(senders.run(), died=runtime.fail))
    notifier.start(OutboxReader(path), writer.submit, runtime.reloader.config.settings)
    runtime.reloader.on_change(lambda config: notifier.use(config.settings))
    for sender in notifier.senders:
        await stack.enter_async_context(background(sender.run(), died=notifier.died))
    shed = shed_reads(metrics)
    service = QuotaService(writer, Reporter(reader, Reads(REPORTS_AT_A_TIME, shed)), log=log, metrics=metrics)
    try:
        own_token = make_token(settings.statedir)
    except OSError as error:
        raise StartError(f"cannot make {settings.statedir / TOKEN_FILE}: {error.strerror}") from error
    admin = AdminService(
        writer,
        SqliteAdminReader(path),
        reader,
        Reads(QUESTIONS_AT_A_TIME, shed),
        TokenGuard(lambda: runtime.reloader.config.settings.admin_token_file or own_token),
        about_service(runtime.reloader, writer),
        log=log,
        metrics=metrics,
    )

    def register(server: grpc.aio.Server) -> None:
        add_QuotaServicer_to_server(service, server)
        add_QuotaAdminServicer_to_server(admin, server)

    await stack.enter_async_context(
        grpc_server(
            settings.quota_listen,
            service="mtpolicyd.quota.v1.Quota",
            also=["mtpolicyd.quota.v1.QuotaAdmin"],
            register=register,
            drain=service.drain,
        )
    )


def about_service(reloader: Reloader[Settings], writer: Writer) -> Callable[[], About]:
    """What quota tells of itself, when it is asked."""
    started_unix_ms = round(time.time() * 1000)

    def about() -> About:
        config = reloader.config
        return About(
            version("univention-mtpolicyd"),
            started_unix_ms,
            config.version,
            printable(reloader.error),
            writer.works,
            tuple(printable(line) for line in setting_lines(config.settings)),
        )

    return about


def _read_key(settings: Settings, label: AccountLabel, log: Logger, consequence: str) -> bytes:
    """The key of hashes; empty, and told, if there is none though it is needed."""
    if label is not AccountLabel.HASH:
        return b""
    try:
        if settings.metrics_key_file is None:
            raise SettingsError(["MTPOLICYD_METRICS_KEY_FILE is empty"])
        key = read_file(settings.metrics_key_file).text.strip().encode()
        if not key:
            raise SettingsError([f"{settings.metrics_key_file} is empty"])
    except SettingsError as error:
        log.error("no_key_for_accounts", reason=error, consequence=consequence)
        return b""
    return key
