"""The settings of quota."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from chassis.settings import Address, Allowed, Endpoint, ServiceSettings, ShownDefault

SYSTEM_STATE = Path("/var/lib/univention-mtpolicyd")


def _default_statedir() -> Path:
    """systemd's StateDirectory, root's own place, or the user's (XDG base directory specification)."""
    if systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    if os.geteuid() == 0:
        return SYSTEM_STATE
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / SYSTEM_STATE.name


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("the path does not begin with /")
    return path


class Settings(ServiceSettings):
    """See ServiceSettings."""

    statedir: Annotated[
        Path, AfterValidator(_absolute), Allowed("an absolute path"), ShownDefault(str(SYSTEM_STATE))
    ] = Field(
        default_factory=_default_statedir,
        description="where the counts are kept, made if it is missing; "
        f"without root `~/.local/state/{SYSTEM_STATE.name}`",
    )
    quota_listen: Endpoint = Field(
        Address("127.0.0.1", 12347), description="where quota listens for decision"
    )
    quota_metrics: Endpoint = Field(
        Address("127.0.0.1", 9103), description="where quota answers /metrics and /healthz"
    )

    @property
    def metrics_endpoint(self) -> Address:
        return self.quota_metrics

    def banner(self) -> list[tuple[str, str]]:
        return [("State", str(self.statedir)), ("Metrics of quota", f"http://{self.quota_metrics}/metrics")]
