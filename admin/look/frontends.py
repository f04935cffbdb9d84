"""What a frontend tells of itself: it has no gRPC port, its metrics say how it is."""

from collections.abc import Iterable
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from chassis.metrics import PREFIX
from chassis.settings import Address

SECONDS = 5.0
MAX_BYTES = 4 * 1024 * 1024


class FrontendStatus(NamedTuple):
    """One frontend."""

    version: str
    started_unix_ms: int
    connected: bool  # the stream to decision is up
    failing_open: bool  # the failure action is in force: decision or quota cannot be asked
    failure_actions: dict[str, int]  # since its start, by cause, without the zeros
    settings_good: bool  # the settings file in its present form is in force


async def ask_frontend(address: Address) -> FrontendStatus:
    """Ask its metrics port. Raises OSError, aiohttp.ClientError, ValueError: no frontend answers."""
    connector = aiohttp.UnixConnector(address.path) if address.path else aiohttp.TCPConnector()
    where = "http://frontend/metrics" if address.path else address.url("/metrics")
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get(where, allow_redirects=False) as answer,
    ):
        answer.raise_for_status()
        data = await answer.content.read(MAX_BYTES)
        while not answer.content.at_eof() and len(data) < MAX_BYTES:
            data += await answer.content.read(MAX_BYTES)
    return read_metrics(data.decode())


def read_metrics(text: str) -> FrontendStatus:
    """What the metrics say. Raises ValueError: they are none, or not those of a frontend."""
    samples: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)

    def value(name: str) -> float:
        found = samples.get(name)
        if not found:
            raise ValueError(f"its metrics have no {name}")
        return found[0].value

    info = samples.get(f"{PREFIX}build_info", [])
    return FrontendStatus(
        version=info[0].labels.get("version", "") if info else "",
        started_unix_ms=round(value("process_start_time_seconds") * 1000),
        connected=value(f"{PREFIX}stream_up") == 1,
        failing_open=value(f"{PREFIX}failure_action_in_force") == 1,
        failure_actions=_by_cause(samples.get(f"{PREFIX}failure_actions_total", [])),
        settings_good=value(f"{PREFIX}config_last_reload_successful") == 1,
    )


def _by_cause(samples: Iterable[Sample]) -> dict[str, int]:
    return {sample.labels["cause"]: int(sample.value) for sample in samples if sample.value}
