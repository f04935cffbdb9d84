"""What an admin sees: logs, metrics, health, settings, the gRPC calls for tools."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.printable import as_text
from protos import decision_pb2, quota_pb2
from protos.decision_pb2_grpc import DecisionStub
from protos.quota_pb2_grpc import QuotaStub
from tests.support.policy import AMERICAN, PolicyClient
from tests.support.services import SERVICES, Services, running, wait_until


def test_the_id_in_the_reply_stands_in_the_log(services: Services, policy: PolicyClient) -> None:
    """With everything that the admin needs to answer the user."""
    answer = policy.ask(sasl_username="seen", client_address=AMERICAN)
    decision_id = answer.split("(id ")[1].removesuffix(")")
    (line,) = [line for line in services.log("decision").splitlines() if decision_id in line]

    for part in (
        "level=warning",
        "action=REJECT",
        "reason=country",
        "login=seen",
        "client=8.8.8.8",
        "country=US",
    ):
        assert f" {part} " in f" {line} "


def test_mail_that_passes_is_logged_only_on_demand(services: Services, tmp_path: Path) -> None:
    """Not at level 1; at level 3 one line for each decision, here as JSON."""
    with PolicyClient(services.port) as client:
        client.ask(sasl_username="quiet")
    with running(tmp_path, DEBUG="3", LOG_FORMAT="json") as loud, PolicyClient(loud.port) as client:
        client.ask(sasl_username="loud")
        lines = [json.loads(line) for line in loud.log("decision").splitlines()]
    decisions = [line for line in lines if line["event"] == "decision"]

    assert "login=quiet" not in services.log("decision")
    assert [(line["login"], line["action"], line["used"], line["limit"]) for line in decisions] == [
        ("loud", "DUNNO", 1, 1000)
    ]


def test_a_login_cannot_forge_a_log_line(services: Services, policy: PolicyClient) -> None:
    """Nor a sender: quotes, escapes and control bytes come out harmless."""
    hostile = 'x" action=DUNNO \x1b[2J\x07\r\\'
    policy.ask(sasl_username=hostile, sender=hostile, client_address=AMERICAN)
    log = services.log("decision")

    assert log.isascii()
    assert all(character.isprintable() for character in log.replace("\n", ""))
    assert 'sender="x\\" action=DUNNO ' in log
    assert as_text(hostile.encode()) in log


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_exports_metrics_with_the_prefix(services: Services, name: str) -> None:
    """And nothing else than those of the process and the Python runtime."""
    with urllib.request.urlopen(f"http://127.0.0.1:{services.metrics_ports[name]}/metrics") as answer:
        names = {line.split()[2] for line in answer.read().decode().splitlines() if line.startswith("# TYPE")}

    assert "mtpolicyd_build_info" in names
    assert {n.split("_")[0] for n in names} <= {"mtpolicyd", "process", "python"}


def test_refusals_are_counted_by_reason(services: Services, policy: PolicyClient) -> None:
    """One more for each."""

    def count() -> float:
        return services.metric("decision", "mtpolicyd_decisions_total", action="reject", reason="country")

    before = count()
    policy.ask(sasl_username="counted", client_address=AMERICAN)

    assert count() == before + 1


def test_each_refusal_is_counted_once_with_its_country(services: Services, policy: PolicyClient) -> None:
    """By decision if it cost no charge, else by quota; and who is refused now is listed."""

    def blocks() -> dict[tuple[str, str], float]:
        return {
            (service, reason): services.metric(
                service, "mtpolicyd_blocks_total", reason=reason, country=country
            )
            for service in ("decision", "quota")
            for reason, country in (("country", "US"), ("quota", "DE"))
        }

    before = blocks()
    policy.ask(sasl_username="blocked", client_address=AMERICAN)
    policy.ask(sasl_username="blocked", protocol_state="DATA", recipient_count="1000000")

    assert {key: value - before[key] for key, value in blocks().items()} == {
        ("decision", "country"): 1,
        ("decision", "quota"): 0,
        ("quota", "country"): 0,
        ("quota", "quota"): 1,
    }
    wait_until(
        lambda: all(
            services.metric(
                "quota", "mtpolicyd_blocked_sender_since_timestamp_seconds", account="blocked", reason=reason
            )
            for reason in ("country", "quota")
        ),
        what="being listed",
    )


@pytest.mark.parametrize(
    ("name", "service"),
    [("decision", "mtpolicyd.decision.v1.Decision"), ("quota", "mtpolicyd.quota.v1.Quota")],
)
def test_both_servers_speak_grpc_health(services: Services, name: str, service: str) -> None:
    """For the server as a whole and for the service by name."""
    with grpc.insecure_channel(services.environment[f"MTPOLICYD_{name.upper()}_LISTEN"]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answers = [
            stub.Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(service=which), timeout=5
            ).status
            for which in ("", service)
        ]

    assert answers == [health_pb2.HealthCheckResponse.SERVING] * 2


def test_tools_may_ask_decision_and_quota_directly(services: Services) -> None:
    """One question, one answer, on a unary call."""
    soon = int(time.time() * 1000) + 3000
    question = decision_pb2.Question(
        id=7,
        expires_unix_ms=soon,
        stage=decision_pb2.STAGE_RCPT,
        login=b"tool",
        client_address=b"8.8.8.8",
        instance=b"t.1",
    )
    limit = quota_pb2.Limit(
        name="quota",
        unit=quota_pb2.UNIT_RECIPIENTS,
        calendar_day=quota_pb2.CalendarDay(time_zone="Europe/Berlin"),
        maximum=1,
        mode=quota_pb2.MODE_ENFORCE,
    )
    charge = quota_pb2.Charge(
        id=8,
        account=b"tool2",
        instance=b"t.2",
        stage=quota_pb2.STAGE_RCPT,
        expires_unix_ms=soon,
        limits=[limit],
    )
    distinct = quota_pb2.Charge()
    distinct.CopyFrom(charge)
    distinct.limits[0].unit = quota_pb2.UNIT_DISTINCT
    with (
        grpc.insecure_channel(services.environment["MTPOLICYD_DECISION_LISTEN"]) as decision,
        grpc.insecure_channel(services.environment["MTPOLICYD_QUOTA_LISTEN"]) as quota,
    ):
        answer = DecisionStub(decision).Decide(question, timeout=5)
        first = QuotaStub(quota).Charge(charge, timeout=5)
        again = QuotaStub(quota).Charge(charge, timeout=5)
        refused = QuotaStub(quota).Charge(distinct, timeout=5)

    assert (answer.id, answer.verb) == (7, decision_pb2.VERB_REJECT)
    assert (first.id, first.outcome, first.limits[0].used) == (8, quota_pb2.OUTCOME_CHARGED, 1)
    assert again.outcome == quota_pb2.OUTCOME_REPEATED
    assert (refused.outcome, refused.error.code) == (quota_pb2.OUTCOME_UNAVAILABLE, 12)


def test_observe_mode_lets_pass_counts_and_logs(tmp_path: Path) -> None:
    """Both rules say what they would have refused; quota counts on."""
    with running(tmp_path, THRESHOLD="1", COUNTRY_MODE="observe", QUOTA_MODE="observe") as services:
        with PolicyClient(services.port) as client:
            answers = [client.ask(client_address=AMERICAN) for _ in range(3)]

        assert answers == ["DUNNO"] * 3
        observed = {
            reason: services.metric("decision", "mtpolicyd_decisions_total", reason=reason, mode="observe")
            for reason in ("country", "quota")
        }
        assert observed == {"country": 3, "quota": 2}
        log = services.log("decision")
        assert (log.count("mode=observe"), log.count("would_refuse=country,quota")) == (3, 2)


@pytest.mark.parametrize(
    ("name", "value", "service", "reason"),
    [
        ("PORT", "99999", "frontend", "allowed: a port number, 1 to 65535"),
        ("ALLOWEDCOUNTRIES", "XX", "decision", "XX is no country"),
        ("ALLOWEDCOUNTRIES", "DE, UK", "decision", "UK is no country, GB is"),
        ("ALLOWEDCOUNTRIES", " , ", "decision", "the list is empty"),
        ("DEBUG", "9", "quota", "allowed: 0 error, 1 warning, 2 notice, 3 info, 4 debug"),
        ("THRESHOLD", "0", "decision", "allowed: a whole number, 1 to 1000000000"),
        ("THRESHOLD", "-5", "decision", "allowed: a whole number, 1 to 1000000000"),
        ("TRESHOLD", "5", "quota", "did you mean MTPOLICYD_THRESHOLD?"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_clear_line(
    tmp_path: Path, name: str, value: str, service: str, reason: str
) -> None:
    """Name, value, what is allowed; exit code 2."""
    environment = Services(tmp_path).environment | {f"MTPOLICYD_{name}": value}
    ended = subprocess.run(
        [sys.executable, "-m", service], env=environment, capture_output=True, text=True, timeout=20
    )

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"univention-mtpolicyd: MTPOLICYD_{name}")
    assert " is not " in line
    assert reason in line


def test_a_port_in_use_is_said_in_one_line(services: Services, tmp_path: Path) -> None:
    """With exit code 1, for a policy port and for a gRPC port."""
    for service, name in (("frontend", "PORT"), ("decision", "DECISION_LISTEN")):
        environment = Services(tmp_path).environment
        environment[f"MTPOLICYD_{name}"] = services.environment[f"MTPOLICYD_{name}"]
        ended = subprocess.run(
            [sys.executable, "-m", service], env=environment, capture_output=True, text=True, timeout=20
        )
        assert ended.returncode == 1
        assert "event=cannot_start" in ended.stdout
        assert "cannot listen on 127.0.0.1" in ended.stdout
