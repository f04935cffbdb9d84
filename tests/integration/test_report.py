"""Observe before enforce: mail at the policy port, and what `mtpolicyctl report` makes of it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from chassis.printable import as_text
from tests.support.policy import AMERICAN, GERMAN, PolicyClient
from tests.support.services import Services, running, wait_until

NASTY = 'x" [red]\x1b[2j, y'
SHOWN = as_text(NASTY.encode())


def ctl(services: Services, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The real command, in the environment of the services."""
    return subprocess.run(
        [Path(sys.executable).parent / "mtpolicyctl", *arguments],
        env=services.environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


def report(services: Services, *arguments: str) -> dict[str, Any]:
    """`mtpolicyctl report --json`."""
    ended = ctl(services, "report", "--json", *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def by_account(found: dict[str, Any]) -> dict[str, dict[tuple[str, bool], int]]:
    return {
        account["account"]: {(of["rule"], of["enforced"]): of["count"] for of in account["refusals"]}
        for account in found["accounts"]
    }


def test_what_observe_mode_let_pass_is_reported(tmp_path: Path) -> None:
    """Who, from where, how much; and the lines that are suggested let them pass once rules are enforced."""
    settings: dict[str, Any] = {"THRESHOLD": "3", "EXEMPT_ACCOUNTS": "printer"}
    for name in ("observe", "enforce"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "observe", COUNTRY_MODE="observe", QUOTA_MODE="observe", **settings) as services:
        assert report(services)["recorded_since"] is None
        assert ctl(services, "report").stdout.startswith("nothing recorded since 2")
        with PolicyClient(services.port) as client:
            for name, address, times in (
                ("anna", GERMAN, 1),
                ("anna", AMERICAN, 2),
                ("newsletter", GERMAN, 5),
                (NASTY, GERMAN, 4),
                ("printer", AMERICAN, 5),
                ("quiet", GERMAN, 3),
            ):
                answers = [client.ask(sasl_username=name, client_address=address) for _ in range(times)]
                assert answers == ["DUNNO"] * times
        # Nobody waits for a refusal by the country rule to be recorded.
        wait_until(
            lambda: by_account(report(services)).get("anna") == {("country", False): 2},
            what="anna's refusals are recorded",
        )
        found = report(services)
        table = ctl(services, "report", "--since", "24h")
        anna = report(services, "--account", "Anna")

    assert by_account(found) == {
        "anna": {("country", False): 2},
        "newsletter": {("quota", False): 2},
        SHOWN: {("quota", False): 1},
    }
    (origins,) = [account["origins"] for account in anna["accounts"]]
    assert {(of["country"], of["address"], of["rule"]): of["count"] for of in origins} == {
        ("DE", GERMAN, None): 1,
        ("US", AMERICAN, None): 2,
        ("US", AMERICAN, "country"): 2,
    }
    assert {row["country"]: row["accepted"] for row in found["countries"]} == {"DE": 13, "US": 7}
    assert found["suggestions"]["allowed_networks"] == ["8.8.8.0/24"]
    assert sorted(found["suggestions"]["exempt_accounts"]) == [SHOWN, "newsletter"]
    assert (table.returncode, table.stderr) == (0, "")
    assert all(line.isprintable() for line in table.stdout.splitlines())
    assert all(line in table.stdout for line in found["suggestions"]["lines"])

    enforce_with(tmp_path, found["suggestions"]["lines"])


def enforce_with(tmp_path: Path, lines: list[str]) -> None:
    """Paste the lines into a settings file, and see that they do what they promise."""
    file = tmp_path / "settings.toml"
    file.write_text("\n".join(["threshold = 3", *lines]))
    assert set(tomllib.loads(file.read_text())["exempt_accounts"]) == {"printer", "newsletter", NASTY}
    with running(tmp_path / "enforce", CONFIG=str(file)) as services:
        checked = ctl(services, "check-config", str(file))
        with PolicyClient(services.port) as client:
            last = {}
            for name, address in (("anna", AMERICAN), (NASTY, GERMAN), ("quiet", AMERICAN)):
                answers = [client.ask(sasl_username=name, client_address=address) for _ in range(4)]
                last[name] = answers[-1].split()[0]

    assert (checked.returncode, checked.stderr) == (0, "")
    assert last == {"anna": "DEFER", NASTY: "DUNNO", "quiet": "DEFER"}


def test_refusals_are_reported_as_such(services: Services, policy: PolicyClient) -> None:
    """Enforced: by the country rule, and over the limit with where the client is."""
    for _ in range(2):
        assert policy.ask(sasl_username="refused", client_address=AMERICAN).startswith("REJECT")
    for _ in range(11):
        last = policy.ask(sasl_username="refused")
    assert last.startswith("DEFER")
    wait_until(
        lambda: (
            by_account(report(services, "--account", "refused"))["refused"]
            == {("country", True): 2, ("quota", True): 1}
        ),
        what="the refusals are recorded",
    )
    (account,) = report(services, "--account", "refused")["accounts"]

    assert account["accepted"] == 10
    assert {(of["country"], of["rule"], of["enforced"]): of["count"] for of in account["origins"]} == {
        ("DE", None, False): 10,
        ("US", "country", True): 2,
        ("DE", "quota", True): 1,
    }


def test_a_report_holds_no_charge_up(services: Services, policy: PolicyClient) -> None:
    """Mail is counted while reports are read, one after the other."""
    asking = [
        subprocess.Popen(
            [Path(sys.executable).parent / "mtpolicyctl", "report", "--json"],
            env=services.environment,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    answers = [policy.ask(sasl_username=f"meanwhile{number}") for number in range(100)]

    assert answers == ["DUNNO"] * 100
    assert [process.wait(30) for process in asking] == [0, 0, 0]
