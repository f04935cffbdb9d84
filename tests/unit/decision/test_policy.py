"""From settings to the rules in force."""

from ipaddress import ip_network

import pytest

from decision.policy import Policy, make_policy
from decision.settings import Settings
from decision.verdict import Mode
from protos import quota_pb2 as pb
from tests.support.mails import country_data, origins
from tests.support.observed import Observed


def policy_of(settings: Settings) -> Policy:
    return make_policy(settings, origins(Observed(), country_data()))


@pytest.mark.parametrize("order", [("country", "quota"), ("quota", "country"), ("quota",), ("country",)])
def test_the_order_of_the_rules_is_a_setting(order: tuple[str, ...]) -> None:
    """Rules stand in the order of the list; a rule that is not listed is not asked."""
    policy = policy_of(Settings(rules=order))

    assert [rule.name for rule in policy.chain.rules] == list(order)
    assert len(policy.limits[False]) == order.count("quota")


@pytest.mark.parametrize("rule", ["country", "quota"])
def test_a_rule_that_is_off_is_left_out(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """Each rule has a mode of its own."""
    monkeypatch.setenv(f"MTPOLICYD_{rule.upper()}_MODE", "off")
    names = [rule.name for rule in policy_of(Settings()).chain.rules]

    assert names == [name for name in ("country", "quota") if name != rule]


def test_the_limit_is_what_the_settings_say() -> None:
    """Threshold, unit and time zone reach quota; an exempt sender is charged on past the threshold."""
    policy = policy_of(Settings(threshold=7, count="messages", timezone="Europe/Berlin"))

    def limit(mode: "pb.Mode.ValueType") -> pb.Limit:
        return pb.Limit(
            name="quota",
            unit=pb.UNIT_MESSAGES,
            calendar_day=pb.CalendarDay(time_zone="Europe/Berlin"),
            maximum=7,
            mode=mode,
        )

    assert policy.limits[False] == [limit(pb.MODE_ENFORCE)]
    assert policy.limits[True] == [limit(pb.MODE_OBSERVE)]
    assert policy.time_zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("mode", "enforces", "asked"),
    [
        (Mode.ENFORCE, True, [pb.MODE_ENFORCE]),
        (Mode.OBSERVE, False, [pb.MODE_OBSERVE]),
        (Mode.OFF, False, []),
    ],
)
def test_an_observing_quota_enforces_nothing(mode: Mode, enforces: bool, asked: list[int]) -> None:
    """While no limit can refuse, quota's absence refuses nobody."""
    policy = policy_of(Settings(quota_mode=mode))

    assert policy.enforces_limits is enforces
    assert [limit.mode for limit in policy.limits[False]] == asked


@pytest.mark.parametrize(
    ("account", "address", "exempt"),
    [
        (b"alice", b"84.128.0.1", False),
        (b"newsletter", b"84.128.0.1", True),
        (b"Newsletter", b"84.128.0.1", False),
        (b"alice", b"192.0.2.77", True),
        (b"alice", b"::ffff:192.0.2.77", True),
        (b"alice", b"192.0.3.77", False),
        (b"alice", b"unknown", False),
    ],
)
def test_accounts_and_networks_are_exempt(
    monkeypatch: pytest.MonkeyPatch, account: bytes, address: bytes, exempt: bool
) -> None:
    """Either is enough; the account is compared as it is normalised."""
    monkeypatch.setenv("MTPOLICYD_EXEMPT_ACCOUNTS", "NewsLetter")
    policy = policy_of(Settings(exempt_networks=(ip_network("192.0.2.0/24"),)))

    assert policy.is_exempt(account, address) is exempt
