"""The settings of quota."""

from typing import Annotated

from pydantic import Field

from chassis.settings import Address, Allowed, Endpoint, SecretFile
from quota.account_label import AccountLabel
from quota.notify.settings import NotifySettings
from quota.store.interface import KEEP_DAYS
from quota.store.keeping import REFUSAL_DAYS


class Settings(NotifySettings):
    """See ServiceSettings."""

    quota_listen: Endpoint = Field(
        Address("127.0.0.1", 12347), description="where quota listens for decision"
    )
    quota_metrics: Endpoint = Field(
        Address("127.0.0.1", 9103), description="where quota answers /metrics and /healthz"
    )

    metrics_accounts: Annotated[AccountLabel, Allowed("plain, hash or off")] = Field(
        AccountLabel.PLAIN,
        description="how refused accounts are named in metrics: plain, hash (keyed by `metrics_key_file`), "
        "or off (totals only)",
    )
    metrics_key_file: SecretFile = Field(
        None,
        description="a file with the key of `metrics_accounts = hash` and of `accepted_addresses = hash`",
    )
    metrics_blocked_senders: Annotated[int, Field(ge=0, le=500), Allowed("a whole number, 0 to 500")] = Field(
        50, description="refused accounts that are listed in metrics, the last refused first"
    )

    accepted_addresses: Annotated[AccountLabel, Allowed("plain, hash or off")] = Field(
        AccountLabel.PLAIN,
        description="how the client's address of accepted mail is kept: plain, hash (keyed by "
        "`metrics_key_file`), or off; that of refused mail is always kept",
    )
    refusals_keep_days: Annotated[int, Field(ge=1, le=KEEP_DAYS), Allowed("a whole number, 1 to 31")] = Field(
        REFUSAL_DAYS, description="for how many days single refusals are kept, for `mtpolicyctl explain`"
    )
    admin_token_file: SecretFile = Field(
        None,
        description="a file with the token that changes by `mtpolicyctl` need, of at least 16 bytes; empty: "
        "`admin.token` in the state directory, made at the first start",
    )

    @property
    def metrics_endpoint(self) -> Address:
        return self.quota_metrics

    def banner(self) -> list[tuple[str, str]]:
        return [("State", str(self.statedir)), ("Metrics of quota", self.quota_metrics.url("/metrics"))]
