"""The composition root of decision: the one module that knows all the others."""

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


async def start(settings: Settings, runtime: Runtime) -> None:
    """Open the country data, then the stream to quota, then the port."""
    stack, log, metrics = runtime.stack, runtime.log, runtime.metrics
    data = find_country_data(settings, log)
    export_country_data(data, metrics)
    lookups = metrics.counter(
        "geoip_lookups_total", "Looked-up client addresses by result.", result=list(Kind)
    )
    policy = make_policy(settings, Origins(data, lookups))

    channel = open_channel(settings.quota_target)
    stack.push_async_callback(channel.close)
    quota = QuotaClient(channel, log=log, metrics=metrics)
    await stack.enter_async_context(background(quota.run(), died=runtime.fail))

    service = DecisionService(Decider(policy, quota, log=log, metrics=metrics), log=log, metrics=metrics)
    await stack.enter_async_context(
        grpc_server(
            settings.decision_listen,
            service="mtpolicyd.decision.v1.Decision",
            register=lambda server: add_DecisionServicer_to_server(service, server),
            drain=service.drain,
        )
    )


def find_country_data(settings: Settings, log: Logger) -> CountryData | None:
    """The file of the settings, else the built-in one, else none; what is missing is said loudly."""
    if settings.geoip_database is not None:
        try:
            return open_country_data(settings.geoip_database)
        except CountryDataError as error:
            log.error("country_data_unusable", reason=error, instead="the built-in data")
    try:
        return open_built_in()
    except CountryDataError as error:
        log.error("no_country_data", reason=error, consequence="mail from every country passes")
        return None


def export_country_data(data: CountryData | None, metrics: Metrics) -> None:
    """Show which file is in use."""
    usable = metrics.gauge("geoip_db_usable", "1 if there is country data, 0 if every country passes.")
    usable.set(data is not None)
    built = metrics.gauge(
        "geoip_db_build_timestamp_seconds", "When the country data in use was built.", ("source",)
    )
    if data is not None:
        built.labels("builtin" if data.built_in else "file").set(data.build_unix_seconds)
