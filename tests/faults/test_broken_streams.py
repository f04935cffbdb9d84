"""Streams between the services that break inside a batch, or lose replies after the commit."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.support.effort import FULL, slack
from tests.support.load import FAILURE, LIMIT, Load
from tests.support.policy import PolicyClient
from tests.support.proxy import TO_CLIENT, TO_SERVER, Proxy
from tests.support.services import Services, wait_until

ROUNDS = 20 if FULL else 5
DEADLINE_SECONDS = {"DECISION": 3.0, "QUOTA": 1.5}
ASKING = {"DECISION": "frontend", "QUOTA": "decision"}
BETWEEN = pytest.mark.parametrize("asked", [pytest.param("DECISION", marks=pytest.mark.full), "QUOTA"])


@contextmanager
def running_with_proxy(
    directory: Path, asked: str, *, delay: float = 0.0
) -> Iterator[tuple[Services, Proxy]]:
    """All three services, with a proxy before the one that is asked."""
    services = Services(directory, {"ON_FAILURE": "defer", "THRESHOLD": str(LIMIT)})
    target = int(services.environment[f"MTPOLICYD_{asked}_LISTEN"].rpartition(":")[2])
    with Proxy(target, delay=delay) as proxy:
        services.environment[f"MTPOLICYD_{asked}_TARGET"] = f"127.0.0.1:{proxy.port}"
        try:
            services.start()
            services.wait_connected()
            yield services, proxy
        finally:
            services.stop()


def assert_nobody_noticed(load: Load, services: Services, asked: str) -> None:
    """The books balance, and whoever waited was asked for again.

    On a slow machine some of those may reach their deadline all the same, but not most.
    """
    books = load.books
    books.assert_no_try_lost()
    books.assert_patient(DEADLINE_SECONDS[asked])
    sent, received = (
        services.metric(ASKING[asked], "mtpolicyd_stream_items_total", direction=direction)
        for direction in ("sent", "received")
    )
    assert sent - received >= ROUNDS
    assert books.failure_actions < (sent - received) / 2
    assert books.slowest < DEADLINE_SECONDS[asked] + 0.1 + slack()
    books.assert_balanced(services)


@BETWEEN
def test_replies_lost_after_the_commit(tmp_path: Path, chance: Random, asked: str) -> None:
    """They are asked for again on the next stream, and charged once."""
    with running_with_proxy(tmp_path, asked) as (services, proxy):
        with Load(services.port) as load:
            for _ in range(ROUNDS):
                load.wait_for_answers(100)
                lost = proxy.lost_bytes
                proxy.lose_replies()
                time.sleep(chance.uniform(0, 0.2))
                wait_until(lambda lost=lost: proxy.lost_bytes > lost, what="a reply is lost")
                proxy.cut()
            load.wait_for_answers(100)

        assert_nobody_noticed(load, services, asked)


@BETWEEN
@pytest.mark.parametrize("direction", [pytest.param(TO_SERVER, marks=pytest.mark.full), TO_CLIENT])
def test_a_stream_that_breaks_inside_a_batch(
    tmp_path: Path, chance: Random, asked: str, direction: str
) -> None:
    """After any byte of it."""
    with running_with_proxy(tmp_path, asked) as (services, proxy):
        with Load(services.port) as load:
            for _ in range(ROUNDS):
                load.wait_for_answers(100)
                cuts = proxy.cuts
                proxy.cut_after(chance.choice((1, chance.randint(2, 60), chance.randint(2, 5000))), direction)
                wait_until(lambda cuts=cuts: proxy.cuts > cuts, what="the stream breaks")
            load.wait_for_answers(100)

        assert_nobody_noticed(load, services, asked)


@pytest.mark.full
def test_a_far_peer_is_reached(tmp_path: Path) -> None:
    """Half a second there and back: a handshake takes longer than the pause between two tries."""
    with (
        running_with_proxy(tmp_path, "QUOTA", delay=0.25) as (services, proxy),
        PolicyClient(services.port) as client,
    ):
        assert client.ask() == "DUNNO"
        proxy.cut()
        assert client.ask().startswith(("DUNNO", FAILURE))
        services.wait_connected()
        assert client.ask() == "DUNNO"
