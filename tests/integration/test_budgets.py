"""What a request may cost, in things that do not depend on the clock: messages between services, commits.

The cost of a batch is that of its messages, so full batches are what makes the services fast.
"""

from contextlib import ExitStack
from pathlib import Path

from tests.support.policy import PolicyClient, encode, new_instance, request
from tests.support.services import Services, running

CONNECTIONS = 50
ROUNDS = 20
REQUESTS = CONNECTIONS * ROUNDS


def costs(services: Services) -> tuple[float, float, float]:
    """Messages from the frontend, messages from decision, commits of quota; so far."""
    sent = {"direction": "sent"}
    return (
        services.metric("frontend", "mtpolicyd_stream_messages_total", peer="decision", **sent),
        services.metric("decision", "mtpolicyd_stream_messages_total", peer="quota", **sent),
        services.metric("quota", "mtpolicyd_store_transactions_total"),
    )


def test_one_connection_costs_one_message_and_one_commit_a_request(tmp_path: Path) -> None:
    """There is nothing to wait for, and nothing is waited for."""
    with running(tmp_path) as services, PolicyClient(services.port) as client:
        before = costs(services)
        for _ in range(ROUNDS):
            assert client.ask(sasl_username="alice", instance=new_instance()) == "DUNNO"
        spent = [after - start for after, start in zip(costs(services), before, strict=True)]

    assert spent == [ROUNDS] * 3


def test_many_connections_share_messages_and_commits(tmp_path: Path) -> None:
    """While a message is under way, requests gather; five or more travel together on average."""
    with running(tmp_path) as services, ExitStack() as stack:
        clients = [stack.enter_context(PolicyClient(services.port)) for _ in range(CONNECTIONS)]
        before = costs(services)
        for _ in range(ROUNDS):
            for client in clients:
                client.socket.sendall(encode(request(sasl_username="alice", instance=new_instance())))
            assert {client.read_action() for client in clients} == {"DUNNO"}
        frontend, decision, commits = (
            after - start for after, start in zip(costs(services), before, strict=True)
        )

    assert frontend <= REQUESTS / 5
    assert decision <= REQUESTS / 5
    assert commits <= decision
