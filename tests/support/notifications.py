"""Makes notifications for tests: what a test does not say is as for an account over its limit."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from quota.notify.notification import Notification
from tests.support.charges import BERLIN, NOON, berlin
from tests.support.protos import ROOT

HOST = "mail.example.org"


def notification(
    *,
    id: str = "0123456789abcdef0123456789abcdef",  # noqa: A002 - the field's name
    kind: str = "quota_refused",
    account: bytes = b"alice@example.org",
    rule: str = "quota",
    country: str = "DE",
    address: bytes = b"84.128.0.1",
    decision_id: str = "kbtd6g2g79",
    used: int | None = 1000,
    maximum: int | None = 1000,
    since_unix_ms: int = NOON,
) -> Notification:
    """Alice is refused by the quota at noon of 2026-11-23 in Berlin."""
    return Notification(
        id,
        kind,
        account,
        rule,
        country,
        address,
        decision_id,
        used,
        maximum,
        since_unix_ms,
        berlin("2026-11-24 00:00"),
        BERLIN,
    )


def documented_receiver() -> Callable[[bytes, Mapping[str, str], bytes], bool]:
    """The check of a webhook's signature that docs/NOTIFY.md gives to whoever writes a receiver."""
    (source,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/NOTIFY.md").read_text(), re.M | re.S)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    check: Callable[[bytes, Mapping[str, str], bytes], bool] = namespace["is_ours"]
    return check
