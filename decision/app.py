"""The composition root of decision: the one module that knows all the others."""

import grpc.aio

from chassis.config import Config
from chassis.grpc_server import grpc_server, open_channel
from chassis.service import Runtime
from chassis.tasks import background
from decision.admin_service import DecisionAdminService
from decision.country_files import CountryFiles
from decision.decider import Decider
from decision.host_zone import follow_time_zone
from decision.policy import Policy, make_policy
from decision.quota_client import QuotaClient
from decision.recorder import Recorder
from decision.service import DecisionService
from decision.settings import Settings
from protos.decision_admin_pb2_grpc import add_DecisionAdminServicer_to_server
from protos.decision_pb2_grpc import add_DecisionServicer_to_server


async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
    """Open the country data, then the stream to quota, then the port."""
    stack, log, metrics = runtime.stack, runtime.log, runtime.metrics
    if not settings.timezone and settings.time_zone_name == "UTC":
        log.notice("time_zone_is_utc", reason="the host says so, or nothing")

    def policy_in_force() -> Policy:
        config = runtime.reloader.config
        return make_policy(config.settings, countries.origins, config.version)

    def countries_changed() -> None:
        decider.policy = policy_in_force()

    def settings_changed(config: Config[Settings]) -> None:
        countries.use(config.settings.databases, config.settings.geoip_directory)
        decider.policy = policy_in_force()
        decider.recorder = recorder.use(config.settings)

    countries = CountryFiles(log=log, metrics=metrics, changed=countries_changed)
    await countries.open(settings.databases, settings.geoip_directory)
    channel = open_channel(settings.quota_target)
    stack.push_async_callback(channel.close)
    quota = QuotaClient(channel, log=log, metrics=metrics)
    await stack.enter_async_context(background(quota.run(), died=runtime.fail))

    recorder = Recorder(log=log, metrics=metrics)
    stack.push_async_callback(recorder.close)
    decider = Decider(policy_in_force(), quota, log=log, metrics=metrics)
    decider.recorder = recorder.use(settings)
    runtime.reloader.on_change(settings_changed)
    await stack.enter_async_context(background(countries.watch(), died=runtime.fail))

    def time_zone_changed() -> None:
        decider.policy = policy_in_force()
        log.warning("time_zone_changed", now=decider.policy.time_zone)

    zones = follow_time_zone(
        wanted=lambda: runtime.reloader.config.settings.time_zone_name,
        in_force=lambda: decider.policy.time_zone,
        change=time_zone_changed,
    )
    await stack.enter_async_context(background(zones, died=runtime.fail))
    service = DecisionService(decider, log=log, metrics=metrics)
    admin = DecisionAdminService(decider, quota, runtime.reloader, countries.databases)

    def register(server: grpc.aio.Server) -> None:
        add_DecisionServicer_to_server(service, server)
        add_DecisionAdminServicer_to_server(admin, server)

    async def drain() -> None:
        await admin.drain()
        await service.drain()

    await stack.enter_async_context(
        grpc_server(
            settings.decision_listen,
            service="mtpolicyd.decision.v1.Decision",
            also=["mtpolicyd.decision.v1.DecisionAdmin"],
            register=register,
            drain=drain,
        )
    )
