"""How the services are."""

from typing import Any

import pytest

from admin.look.frontends import FrontendStatus
from admin.look.health import (
    STALE_BUILT_IN_DAYS,
    STALE_DAYS,
    Expected,
    Service,
    ask_all,
    differences,
    problems,
    settings_of,
)
from admin.talk.services import decision_settings, frontend_settings, frontend_target
from chassis.settings import Address
from protos import decision_admin_pb2, quota_admin_pb2
from tests.support.admin_fakes import FakeDecisionAdmin, FakeQuotaAdmin

NOW = 1_800_000_000_000
DAY_MS = 86_400_000
EXPECTED = Expected("Europe/Berlin", ["threshold = 1000", "debug = 1", "quota_target = 127.0.0.1:1"])
ADDRESS = Address("127.0.0.1", 1)
FRONTEND = FrontendStatus("1", NOW, True, False, {}, True)


def data(**fields: Any) -> decision_admin_pb2.CountryDatabase:
    return decision_admin_pb2.CountryDatabase(**{"source": "/geo/a.mmdb", "built_unix_ms": NOW, **fields})


def frontend(**fields: Any) -> Service:
    return Service("frontend", ADDRESS, FRONTEND._replace(**fields), ready=True)


def decision(port: int = 1, *, ready: bool = True, **fields: Any) -> Service:
    status: dict[str, Any] = {
        "version": "1",
        "quota_connected": True,
        "time_zone": "Europe/Berlin",
        "databases": [data()],
        "setting_lines": ["threshold = 1000", "debug = 4", "quota_target = quota:1"],
    }
    return Service(
        "decision",
        Address("127.0.0.1", port),
        decision_admin_pb2.DecisionStatus(**status | fields),
        ready=ready,
    )


def quota(**fields: Any) -> Service:
    status: dict[str, Any] = {"version": "1", "store_up": True}
    return Service("quota", ADDRESS, quota_admin_pb2.QuotaStatus(**status | fields), ready=True)


def found(*services: Service) -> list[str]:
    return problems(services, EXPECTED, now_unix_ms=NOW)


def test_all_is_well() -> None:
    """Though each service has addresses and a log level of its own."""
    assert found(frontend(failure_actions={"no_answer": 3}), decision(), quota()) == []


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        (Service("quota", ADDRESS, None, "refused"), "no answer from quota at 127.0.0.1:1: refused"),
        (
            frontend(failing_open=True),
            "frontend at 127.0.0.1:1: the failure action is in force: mail is not checked",
        ),
        (frontend(connected=False), "frontend at 127.0.0.1:1: no stream to decision"),
        (frontend(settings_good=False), "frontend at 127.0.0.1:1: newer settings are not in force; see "),
        (decision(ready=False), "decision at 127.0.0.1:1 is starting or stopping"),
        (decision(quota_connected=False), "decision at 127.0.0.1:1: no stream to quota"),
        (decision(databases=[]), "decision at 127.0.0.1:1: no country data: mail from every country passes"),
        (
            decision(databases=[data(), data(source="/b\x1b", built_unix_ms=0, error="gone")]),
            "decision at 127.0.0.1:1: country data /b\\x1b: gone",
        ),
        (
            decision(databases=[data(built_unix_ms=NOW - (STALE_DAYS + 1) * DAY_MS)]),
            "decision at 127.0.0.1:1: country data /geo/a.mmdb is 46 days old",
        ),
        (
            decision(databases=[data(source="built-in", built_unix_ms=NOW - 401 * DAY_MS)]),
            "decision at 127.0.0.1:1: country data built-in is 401 days old",
        ),
        (
            decision(settings_error="line 3"),
            "decision at 127.0.0.1:1: newer settings are not in force: line 3",
        ),
        (
            decision(time_zone="UTC"),
            "decision at 127.0.0.1:1 has days of UTC, this command of Europe/Berlin: ",
        ),
        (
            decision(setting_lines=["threshold = 7"]),
            "decision at 127.0.0.1:1 has threshold = 7, this command 1000: give it the services' environment",
        ),
        (quota(store_up=False), "quota at 127.0.0.1:1: the store fails; see event=store_failed in its log"),
        (quota(settings_error="x"), "quota at 127.0.0.1:1: newer settings are not in force: x"),
    ],
)
def test_what_is_not_well_is_a_line(service: Service, problem: str) -> None:
    """One, that names the service."""
    (line,) = found(service)
    assert line.startswith(problem)


@pytest.mark.parametrize(
    "fine",
    [
        data(built_unix_ms=NOW - STALE_DAYS * DAY_MS),
        data(source="built-in", built_unix_ms=NOW - STALE_BUILT_IN_DAYS * DAY_MS),
    ],
)
def test_data_that_the_alert_does_not_mind_are_well(fine: decision_admin_pb2.CountryDatabase) -> None:
    """Those that come with the program may be older."""
    assert found(decision(databases=[fine])) == []


def test_different_versions_are_not_well() -> None:
    """Of services that answer."""
    assert found(frontend(version="2"), quota()) == ["the services have different versions: 1, 2"]


def test_replicas_have_the_same_settings() -> None:
    """Different services may have their own log level."""
    one, other = decision(1), decision(2, setting_lines=["threshold = 1000", "debug = 1"])

    (line,) = found(one, other)
    assert line == (
        "replicas of decision have different settings: "
        "debug = 4 (decision at 127.0.0.1:1), 1 (decision at 127.0.0.1:2)"
    )
    assert differences([one, quota(setting_lines=["debug = 1", "statedir = /x"])]) == [
        "debug = 4 (decision at 127.0.0.1:1), 1 (quota at 127.0.0.1:1)"
    ]
    assert settings_of(None) == {}
    assert settings_of(one.status)["threshold"] == "1000"


async def ask() -> list[Service]:
    settings = decision_settings()
    return await ask_all(settings.quota_target, frontend_settings().decision_target, frontend_target())


async def test_all_are_asked(quota: FakeQuotaAdmin, decision: FakeDecisionAdmin) -> None:
    """One that does not answer holds up no other."""
    services = await ask()

    assert [(one.name, one.ready) for one in services] == [
        ("frontend", False),
        ("decision", True),
        ("quota", True),
    ]
    assert services[0].status is None
    assert services[0].error == "Connection refused"


@pytest.mark.usefixtures("settings")
async def test_nobody_answers() -> None:
    """Each says why."""
    services = await ask()

    assert [one.status for one in services] == [None] * 3
    assert [one.error for one in services] == ["Connection refused", *["Connection refused (111)"] * 2]


@pytest.mark.usefixtures("settings")
async def test_a_name_that_is_unknown_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's, outside of its network."""
    monkeypatch.setenv("MTPOLICYD_FRONTEND_METRICS", "frontend.invalid:9101")
    services = await ask()

    assert "frontend.invalid" in str(services[0].address)
    assert services[0].error
