"""What is kept of a person, and what metrics tell of one, as the settings say."""

import hashlib
import hmac
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.policy import AMERICAN, GERMAN, PolicyClient
from tests.support.services import Services, running, wait_until

KEY = "a key that nobody guesses"
HASHED: dict[str, Any] = {"ACCEPTED_ADDRESSES": "hash", "METRICS_ACCOUNTS": "hash"}


def hashed(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()[:16]


def send(services: Services) -> None:
    """One mail that is accepted and one that is refused, and a quota that has just looked who is refused."""
    with PolicyClient(services.port) as client:
        assert client.ask() == "DUNNO"
        assert client.ask(client_address=AMERICAN).startswith("REJECT")
    services.signal("quota", signal.SIGTERM)
    services.start("quota")
    wait_until(lambda: services.metric("quota", "mtpolicyd_blocked_senders", reason="country") == 1)


def addresses(services: Services) -> dict[str, bytes]:
    """Of each rule, the empty one is of accepted mail: where it came from."""
    (path,) = Path(services.environment["MTPOLICYD_STATEDIR"]).rglob("quota.sqlite3")
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT rule, address FROM origin"))


def listed(services: Services, account: str) -> bool:
    return services.metric("quota", "mtpolicyd_blocked_sender_since_timestamp_seconds", account=account) > 0


def test_addresses_and_accounts_are_hashed_with_the_key(tmp_path: Path) -> None:
    """Of accepted mail; the address of a refused one is always kept."""
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    with running(tmp_path, METRICS_KEY_FILE=str(key), **HASHED) as services:
        send(services)

        assert addresses(services) == {"": hashed(GERMAN).encode(), "country": AMERICAN.encode()}
        assert listed(services, hashed("alice"))
        assert not listed(services, "alice")


def test_without_the_key_neither_is_kept_nor_told(tmp_path: Path) -> None:
    """The log says so; the totals go on."""
    with running(tmp_path, METRICS_KEY_FILE=str(tmp_path / "missing"), **HASHED) as services:
        send(services)

        assert addresses(services) == {"": b"", "country": AMERICAN.encode()}
        assert services.metric("quota", "mtpolicyd_blocked_senders_listed") == 0
        log = services.log("quota")
        for consequence in (
            "addresses of accepted mail are not kept",
            "refused accounts are not listed in metrics",
        ):
            assert f'consequence="{consequence}"' in log
