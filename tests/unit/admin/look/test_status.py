"""`mtpolicyctl status`."""

import json
import time

import pytest

from admin.look import status as module
from admin.look.frontends import FrontendStatus
from admin.look.health import Service
from admin.look.status import status
from chassis.settings import Address, setting_lines
from decision.settings import Settings
from protos import decision_admin_pb2, quota_admin_pb2
from tests.support.admin_fakes import invoke, outcome

Patch = pytest.MonkeyPatch
AT = 1_700_000_000_000
WELL = [
    Service(
        "frontend",
        Address("127.0.0.1", 9101),
        FrontendStatus("0.1.0", AT, True, False, {"no_answer": 3}, True),
        ready=True,
    ),
    Service(
        "decision",
        Address("127.0.0.1", 12346),
        decision_admin_pb2.DecisionStatus(
            version="0.1.0",
            started_unix_ms=AT,
            settings="0a1b2c3d",
            quota_connected=True,
            time_zone="Europe/Berlin",
            rules=["country=enforce", "quota=observe"],
            databases=[decision_admin_pb2.CountryDatabase(source="built-in", built_unix_ms=AT)],
            setting_lines=["threshold = 1000", "debug = 1"],
        ),
        ready=True,
    ),
    Service(
        "quota",
        Address("127.0.0.1", 12347),
        quota_admin_pb2.QuotaStatus(
            version="0.1.0",
            started_unix_ms=AT,
            settings="4e5f6a7b",
            store="/var/lib/x/quota.sqlite3",
            store_bytes=3 * 2**20,
            store_up=True,
            accounts=12,
            limits=1,
            permits=2,
            locks=3,
            notifications_waiting=4,
            setting_lines=["debug = 2"],
        ),
        ready=True,
    ),
]


@pytest.fixture(autouse=True)
def now(monkeypatch: Patch) -> None:
    """Ten days after the country data were built."""
    monkeypatch.setattr(time, "time", lambda: AT / 1000 + 10 * 86400)


def answering(monkeypatch: Patch, services: list[Service]) -> None:
    async def ask(*_: object) -> list[Service]:
        return services

    monkeypatch.setattr(module, "ask_all", ask)


@pytest.mark.usefixtures("settings")
def test_all_is_well(monkeypatch: Patch) -> None:
    """What an admin asks for first, on one page."""
    answering(monkeypatch, WELL)
    code, out, err = outcome(invoke(status))

    assert (code, err) == (0, "")
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "service address version since settings state",
        "frontend 127.0.0.1:9101 0.1.0 2023-11-14 23:13 - ready",
        "decision 127.0.0.1:12346 0.1.0 2023-11-14 23:13 0a1b2c3d ready",
        "quota 127.0.0.1:12347 0.1.0 2023-11-14 23:13 4e5f6a7b ready",
        "failure action not in force; since its start: 3 no_answer",
        "rules country enforce, quota observe",
        "days of Europe/Berlin",
        "country data built-in, 10 days old",
        "store /var/lib/x/quota.sqlite3, 3.0 MiB, 12 accounts",
        "in force 1 limits, 2 country permits, 3 locks",
        "notifications 4 waiting",
        "settings differ debug = 1 (decision at 127.0.0.1:12346), 2 (quota at 127.0.0.1:12347)",
        "",
        "all is well",
    ]


@pytest.mark.usefixtures("settings")
def test_what_is_not_well_is_said_last(monkeypatch: Patch) -> None:
    """Exit code 1; 3 if somebody does not answer."""
    failing = FrontendStatus("0.1.0", AT, False, True, {}, True)
    services = [WELL[0]._replace(status=failing), *WELL[1:]]
    answering(monkeypatch, services)
    code, out, _ = outcome(invoke(status))
    assert code == 1
    assert "in force: dunno; since its start: never" in out
    assert out.splitlines()[-1] == (
        "not well: frontend at 127.0.0.1:9101: the failure action is in force: mail is not checked"
    )

    answering(monkeypatch, [*WELL[:2], WELL[2]._replace(status=None, error="refused", ready=False)])
    code, out, _ = outcome(invoke(status))
    assert code == 3
    assert out.splitlines()[-1] == "not well: no answer from quota at 127.0.0.1:12347: refused"
    assert "127.0.0.1:12347  -        -" in out


@pytest.mark.usefixtures("settings")
def test_settings_are_shown_if_they_are_asked_for(monkeypatch: Patch) -> None:
    """Each once, or each value of it."""
    answering(monkeypatch, WELL)
    lines = [" ".join(line.split()) for line in outcome(invoke(status, "--settings"))[1].splitlines()]

    assert [line for line in lines if line.startswith(("threshold", "debug"))] == [
        "threshold 1000",
        "debug 1",
        "debug 2",
    ]


@pytest.mark.usefixtures("settings")
def test_programs_get_everything(monkeypatch: Patch) -> None:
    """And one word for whether all is well."""
    services = [*WELL[:2], WELL[2]._replace(status=None, error="refused", ready=False)]
    answering(monkeypatch, services)
    code, out, _ = outcome(invoke(status, "--json"))
    found = json.loads(out)

    assert code == 3
    assert (found["well"], found["on_failure"]) == (False, "dunno")
    assert found["problems"] == ["no answer from quota at 127.0.0.1:12347: refused"]
    frontend, decision, quota = found["services"]
    assert frontend["details"] == {
        "connected": True,
        "failing_open": False,
        "failure_actions": {"no_answer": 3},
        "settings_good": True,
    }
    assert decision == {
        "service": "decision",
        "address": "127.0.0.1:12346",
        "answers": True,
        "error": None,
        "ready": True,
        "version": "0.1.0",
        "started": "2023-11-14T23:13:20+01:00",
        "settings_version": "0a1b2c3d",
        "settings_error": None,
        "settings": {"threshold": "1000", "debug": "1"},
        "details": {
            "quota_connected": True,
            "time_zone": "Europe/Berlin",
            "rules": {"country": "enforce", "quota": "observe"},
            "databases": [
                {"source": "built-in", "built": "2023-11-14T23:13:20+01:00", "age_days": 10, "error": None}
            ],
        },
    }
    assert (quota["answers"], quota["error"], quota["details"]) == (False, "refused", None)


@pytest.mark.usefixtures("settings")
def test_programs_get_the_store(monkeypatch: Patch) -> None:
    """With what is in force and what waits."""
    answering(monkeypatch, WELL)
    code, out, _ = outcome(invoke(status, "--json"))

    assert code == 0
    assert json.loads(out)["services"][2]["details"] == {
        "store": "/var/lib/x/quota.sqlite3",
        "store_bytes": 3 * 2**20,
        "store_up": True,
        "accounts": 12,
        "limits": 1,
        "permits": 2,
        "locks": 3,
        "notifications_waiting": 4,
    }


def test_what_the_commands_take_for_granted_is_compared(monkeypatch: Patch) -> None:
    """A command without the services' environment would tell of another threshold."""
    answering(monkeypatch, WELL)
    monkeypatch.setenv("MTPOLICYD_THRESHOLD", "5")
    monkeypatch.setenv("MTPOLICYD_TIMEZONE", "UTC")
    code, out, _ = outcome(invoke(status))

    assert code == 1
    assert "has threshold = 1000, this command 5" in out
    assert "has days of Europe/Berlin, this command of UTC" in out
    assert "threshold = 5" in setting_lines(Settings())
