"""Everything that the settings say about what may pass: one immutable snapshot, taken once for a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from decision.addresses import NetworkSet
from decision.chain import Chain
from decision.origins import Origins
from decision.quota_client import limit_message
from decision.rules import RULES
from decision.settings import Settings
from decision.verdict import Mode
from protos import quota_pb2 as pb


@dataclass(frozen=True, slots=True)
class Policy:
    """See the settings of the same names."""

    version: str  # of the settings
    chain: Chain
    limits: Mapping[bool, Sequence[pb.Limit]]  # of the limiting rules, by whether the sender is exempt
    enforces_limits: bool
    origins: Origins
    time_zone: str
    day: pb.CalendarDay  # of that time zone
    exempt_accounts: frozenset[bytes]
    exempt_networks: NetworkSet

    def is_exempt(self, account: bytes, client_address: bytes) -> bool:
        """Whether this sender is counted but never refused."""
        return account in self.exempt_accounts or client_address in self.exempt_networks


def make_policy(settings: Settings, origins: Origins, version: str = "") -> Policy:
    """Build the chain in the order of the settings."""
    chain = Chain((RULES[name](settings, origins), settings.mode_of(name)) for name in settings.rules)
    return Policy(
        version=version,
        chain=chain,
        limits={
            exempt: [limit_message(rule, mode, exempt=exempt) for rule, mode in chain.limiting]
            for exempt in (False, True)
        },
        enforces_limits=any(mode is Mode.ENFORCE for _, mode in chain.limiting),
        origins=origins,
        time_zone=settings.time_zone_name,
        day=pb.CalendarDay(time_zone=settings.time_zone_name),
        exempt_accounts=settings.exempt_accounts,
        exempt_networks=NetworkSet(settings.exempt_networks),
    )
