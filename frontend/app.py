"""The composition root of the frontend: the one module that knows all the others."""

from chassis.config import Config
from chassis.errors import StartError
from chassis.grpc_server import open_channel
from chassis.service import Runtime
from chassis.sockets import inherited, listening
from chassis.tasks import background
from frontend.asker import DecisionAsker, open_decision
from frontend.clients import LOOPBACK, AllowedClients, opens_beyond_loopback
from frontend.policy_wire import Verb
from frontend.server import PolicyServer, raise_descriptor_limit
from frontend.settings import Settings
from protos.decision_pb2_grpc import DecisionStub


async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
    """Take or open the port for Postfix, then the stream to decision, then answer on the port."""
    stack, log, metrics = runtime.stack, runtime.log, runtime.metrics
    raise_descriptor_limit(settings.max_connections)
    # What was passed is used as it is: whoever passes sockets has read the settings, or stands for them.
    sockets = inherited() or stack.enter_context(listening(settings.listeners))
    channel = open_channel(settings.decision_target)
    stack.push_async_callback(channel.close)
    decision = open_decision(DecisionStub(channel).DecideStream, log=log, metrics=metrics)
    await stack.enter_async_context(background(decision.run(), died=runtime.fail))

    asker = DecisionAsker(decision, on_failure=Verb(settings.on_failure.upper()), log=log, metrics=metrics)
    server = PolicyServer(
        asker,
        most=settings.max_connections,
        clients=AllowedClients(settings.allowed_clients),
        log=log,
        metrics=metrics,
    )
    if opens_beyond_loopback(settings.hosts) and settings.allowed_clients == LOOPBACK:
        log.warning(
            "port_open_beyond_loopback",
            hosts=settings.host,
            consequence="clients of other hosts are closed: MTPOLICYD_ALLOWED_CLIENTS does not name them",
        )

    def change(config: Config[Settings]) -> None:
        asker.set_on_failure(Verb(config.settings.on_failure.upper()))
        server.clients = AllowedClients(config.settings.allowed_clients)
        try:
            raise_descriptor_limit(config.settings.max_connections)
            server.most = config.settings.max_connections
        except StartError as error:
            log.error("settings_refused", reason=error)

    runtime.reloader.on_change(change)
    await stack.enter_async_context(background(server.close_idle(), died=runtime.fail))
    await stack.enter_async_context(server.listening(sockets))
