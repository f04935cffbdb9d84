"""The settings of quota."""

from pydantic import Field

from chassis.settings import Address, Endpoint, ServiceSettings


class Settings(ServiceSettings):
    """See ServiceSettings."""

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
        return [("State", str(self.statedir)), ("Metrics of quota", self.quota_metrics.url("/metrics"))]
