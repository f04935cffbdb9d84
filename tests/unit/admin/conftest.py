"""What the tests of the admin's commands share: services that answer as told, in settings that name them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.admin_fakes import (
    TOKEN,
    FakeDecisionAdmin,
    FakeQuotaAdmin,
    serving_decision,
    serving_quota,
)
from tests.support.ports import free_port


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state directory with a token, and targets where nobody listens."""
    monkeypatch.setenv("MTPOLICYD_STATEDIR", str(tmp_path))
    monkeypatch.setenv("MTPOLICYD_TIMEZONE", "Europe/Berlin")
    for name in ("QUOTA_TARGET", "DECISION_TARGET", "FRONTEND_METRICS"):
        monkeypatch.setenv(f"MTPOLICYD_{name}", f"127.0.0.1:{free_port()}")
    (tmp_path / "admin.token").write_text(f"{TOKEN}\n")
    return tmp_path


@pytest.fixture
def quota(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeQuotaAdmin]:
    fake = FakeQuotaAdmin()
    with serving_quota(fake) as address:
        monkeypatch.setenv("MTPOLICYD_QUOTA_TARGET", address)
        yield fake


@pytest.fixture
def decision(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDecisionAdmin]:
    fake = FakeDecisionAdmin()
    with serving_decision(fake) as address:
        monkeypatch.setenv("MTPOLICYD_DECISION_TARGET", address)
        yield fake
