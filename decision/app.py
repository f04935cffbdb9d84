"""The composition root of decision: the one module that knows all the others."""

from pathlib import Path

from chassis.config import Config
from chassis.grpc_server import grpc_server, open_channel
from chassis.logs import Logger
from chassis.metrics import Metrics
from chassis.service import Runtime
from chassis.tasks import background
from decision.country_data import CountryData, CountryDataError, open_built_in, open_country_data
from decision.decider import Decider
from decision.origins import Kind, Origins
from decision.policy import make_policy
from decision.quota_client import QuotaClient
from decision.service import DecisionService
from decision.settings import Settings
from protos.decision_pb2_grpc import add_DecisionServicer_to_server


async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
    """Open the country data, then the stream to quota, then the port."""
    stack, log, metrics = runtime.stack, runtime.log, runtime.metrics
    if not settings.timezone and settings.time_zone_name == "UTC":
        log.notice("time_zone_is_utc", reason="the host says so, or nothing")
    country_data = CountryDataInUse(log, metrics)
    policy = make_policy(
        settings, country_data.origins(settings.geoip_database), runtime.reloader.config.version
    )

    channel = open_channel(settings.quota_target)
    stack.push_async_callback(channel.close)
    quota = QuotaClient(channel, log=log, metrics=metrics)
    await stack.enter_async_context(background(quota.run(), died=runtime.fail))

    decider = Decider(policy, quota, log=log, metrics=metrics)

    def change(config: Config[Settings]) -> None:
        origins = country_data.origins(config.settings.geoip_database)
        decider.policy = make_policy(config.settings, origins, config.version)

    runtime.reloader.on_change(change)
    service = DecisionService(decider, log=log, metrics=metrics)
    await stack.enter_async_context(
        grpc_server(
            settings.decision_listen,
            service="mtpolicyd.decision.v1.Decision",
            register=lambda server: add_DecisionServicer_to_server(service, server),
            drain=service.drain,
        )
    )


class CountryDataInUse:
    """Opens the file of the settings, else the built-in one, else none, and shows which it is."""

    def __init__(self, log: Logger, metrics: Metrics) -> None:
        self._log = log
        self._usable = metrics.gauge(
            "geoip_db_usable", "1 if there is country data, 0 if every country passes."
        )
        self._built = metrics.gauge(
            "geoip_db_build_timestamp_seconds", "When the country data in use was built.", ("source",)
        )
        self._lookups = metrics.counter(
            "geoip_lookups_total", "Looked-up client addresses by result.", result=list(Kind)
        )
        self._opened: tuple[Path | None, Origins] | None = None

    def origins(self, path: Path | None) -> Origins:
        """The look-ups in this file; the same object as long as the path is the same."""
        if self._opened is None or self._opened[0] != path:
            data = self._open(path)
            self._usable.set(data is not None)
            self._built.clear()
            if data is not None:
                self._built.labels("builtin" if data.built_in else "file").set(data.build_unix_seconds)
            self._opened = path, Origins(data, self._lookups)
        return self._opened[1]

    def _open(self, path: Path | None) -> CountryData | None:
        if path is not None:
            try:
                return open_country_data(path)
            except CountryDataError as error:
                self._log.error("country_data_unusable", reason=error, instead="the built-in data")
        try:
            return open_built_in()
        except CountryDataError as error:
            self._log.error("no_country_data", reason=error, consequence="mail from every country passes")
            return None
