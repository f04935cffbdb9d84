"""`mtpolicyctl report`, against a quota that the test plays."""

import json
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
import typer
from typer.testing import CliRunner, Result

from admin.report import command as module
from protos import quota_pb2 as pb
from protos.quota_pb2_grpc import QuotaServicer, add_QuotaServicer_to_server
from tests.support.ports import free_port
from tests.support.reports import NASTY_LOGINS, account, origin, reply

HOME = origin(count=9)
ABROAD = origin(b"185.9.12.40", "SE", rule="country", count=3)
OVER = origin(rule="quota")


class Quota(QuotaServicer):
    """Answers each report with `answer`, after `released`; keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = reply()
        self.failure: tuple[grpc.StatusCode, str] | None = None
        self.released = threading.Event()
        self.released.set()
        self.asked: list[pb.ReportRequest] = []

    def Report(self, request: pb.ReportRequest, context: Any) -> pb.ReportReply:
        self.asked.append(request)
        self.released.wait(10)
        if self.failure is not None:
            context.abort(*self.failure)
        return self.answer


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> Iterator[Quota]:
    """The quota of the settings."""
    quota = Quota()  # type: ignore[abstract]
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_QuotaServicer_to_server(quota, server)
    port = server.add_insecure_port("127.0.0.1:0")
    monkeypatch.setenv("MTPOLICYD_QUOTA_TARGET", f"127.0.0.1:{port}")
    monkeypatch.setenv("MTPOLICYD_TIMEZONE", "Europe/Berlin")
    server.start()
    yield quota
    quota.released.set()
    server.stop(None).wait()


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(module.report)
    return CliRunner().invoke(app, arguments)


# The question


def test_it_asks_for_a_week_of_the_time_zone(monkeypatch: pytest.MonkeyPatch, quota: Quota) -> None:
    """Of all accounts, if nothing else is said."""
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    run()

    assert quota.asked == [
        pb.ReportRequest(since_unix_ms=(1_800_000_000 - 7 * 86400) * 1000, time_zone="Europe/Berlin")
    ]


@pytest.mark.parametrize(
    ("since", "told"), [("31d", ""), ("32d", "counts are kept for 31 days: the report begins at")]
)
def test_a_report_that_begins_later_than_was_asked_for_says_so(quota: Quota, since: str, told: str) -> None:
    """Beside the report, so that what reads its JSON is not disturbed."""
    result = run("--since", since, "--json")

    assert result.stderr.startswith(told)
    assert bool(result.stderr) is bool(told)
    assert json.loads(result.stdout)


def test_one_account_is_asked_for_by_its_normalised_name(quota: Quota) -> None:
    """As a shell passes it on, with bytes that are no UTF-8 too."""
    run("--account", "Alice@Example.org")
    run("--account", "caf\udce9")

    assert [request.account for request in quota.asked] == [b"alice@example.org", b"caf\xe9"]


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604800), ("24h", 86400), ("90m", 5400), ("1m", 60)])
def test_a_duration_is_days_hours_or_minutes(text: str, seconds: int) -> None:
    """A whole number of them."""
    assert module.duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-7d", "7 d", "1.5h", "7D", "7d ", "0d", "00m", "999999d", "7d\n"]
)
def test_any_other_duration_is_exit_code_2(quota: Quota, text: str) -> None:
    """In one line that says what is allowed; nobody is asked."""
    result = run("--since", text)

    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"--since {text!r} is no duration; allowed: ")
    assert quota.asked == []


def test_a_wrong_setting_is_exit_code_2(monkeypatch: pytest.MonkeyPatch, quota: Quota) -> None:
    """Nobody is asked."""
    monkeypatch.setenv("MTPOLICYD_THRESHOLD", "0")
    result = run()

    assert (result.exit_code, result.stdout, quota.asked) == (2, "", [])
    assert "MTPOLICYD_THRESHOLD='0' is not allowed" in result.stderr


# No answer


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_a_service_that_does_not_listen_is_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, json_too: list[str]
) -> None:
    """One line names the address."""
    target = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MTPOLICYD_QUOTA_TARGET", target)
    result = run(*json_too)

    assert (result.exit_code, result.stdout) == (3, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"no answer from quota at {target}: ")
    assert "Connection refused" in line


def test_a_service_that_hangs_is_exit_code_3(monkeypatch: pytest.MonkeyPatch, quota: Quota) -> None:
    """After a while."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.1)
    quota.released.clear()
    result = run()

    assert (result.exit_code, result.stdout) == (3, "")
    assert "Deadline Exceeded" in result.stderr


def test_a_store_that_cannot_be_read_is_exit_code_3(quota: Quota) -> None:
    """With quota's reason, made harmless."""
    quota.failure = grpc.StatusCode.UNAVAILABLE, "the store cannot be read: \x1b[2J"
    result = run()

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.endswith(": the store cannot be read: \\x1b[2J\n")


# The report for people


def test_nothing_recorded_is_said_plainly(quota: Quota) -> None:
    """Of all, and of one account."""
    every, one = run(), run("--account", "base64:bm9ib2R5Gw==")

    assert (every.exit_code, every.stdout) == (0, "nothing recorded since 2026-11-16\n")
    assert one.stdout == "nothing recorded of base64:bm9ib2R5Gw== since 2026-11-16\n"


def test_a_report_begins_with_its_days(quota: Quota) -> None:
    """And says where records begin later."""
    quota.answer = reply(account(b"anna", HOME, ABROAD))
    head = run().stdout.splitlines()[:2]

    assert head == ["2026-11-16 to 2026-11-23 (Europe/Berlin)", "nothing recorded before 2026-11-18"]


def test_accounts_countries_and_suggestions_follow(quota: Quota) -> None:
    """Each line of the settings stands alone, unbroken, with what to check before it."""
    quota.answer = reply(account(b"anna", HOME, ABROAD), account(b"newsletter", HOME, OVER))
    lines = run().stdout.splitlines()

    assert any(line.split()[:6] == ["anna", "country", "0", "3", "9", "SE"] for line in lines)
    assert any(line.split() == ["SE", "Sweden", "0", "0", "3"] for line in lines)
    for suggestion, check in (
        ('allowed_networks = "185.9.12.0/24"', "Ask them first"),
        ('exempt_accounts = "newsletter"', "See first what they send"),
    ):
        index = lines.index(suggestion)
        assert check in "\n".join(lines[index - 4 : index])


def test_a_long_suggestion_is_one_line(quota: Quota) -> None:
    """Whatever the width of the terminal."""
    quota.answer = reply(*(account(b"newsletter%03d@example.org" % number, OVER) for number in range(99)))
    (line,) = [line for line in run().stdout.splitlines() if line.startswith("exempt_accounts")]

    assert line.count("@") == 99


def test_without_a_refusal_there_are_the_countries(quota: Quota) -> None:
    """And nothing to suggest."""
    quota.answer = reply(account(b"anna", HOME))
    text = run("--account", "anna").stdout

    assert "no mail was refused, or would have been" in text
    assert "Germany" in text
    assert "allowed_networks" not in text
    assert "exempt_accounts" not in text


def test_what_is_left_out_is_said(quota: Quota) -> None:
    """There were more accounts."""
    quota.answer = reply(account(b"anna", HOME, ABROAD))
    quota.answer.truncated = True

    assert "There are more accounts than these" in run().stdout


def test_what_looks_stolen_is_named(quota: Quota) -> None:
    """Without a line to paste."""
    stolen = [origin(b"9.9.%d.9" % number, f"A{number}", rule="country") for number in range(9)]
    quota.answer = reply(account(b"anna\x1b", HOME, *stolen))
    text = run().stdout

    assert text.endswith("by their many origins: base64:YW5uYRs=\n")
    assert "allowed_networks" not in text


def test_a_login_that_no_file_can_hold_is_named(quota: Quota) -> None:
    """Instead of a line that would exempt nobody."""
    quota.answer = reply(account(b"caf\xe9", OVER))
    text = run().stdout

    assert "exempt_accounts" not in text
    assert "base64:Y2Fm6Q== was over the limit, but is no UTF-8" in text


@pytest.mark.parametrize("name", [*NASTY_LOGINS, b"\xff\xfe"])
def test_any_login_is_shown_safely(quota: Quota, name: bytes) -> None:
    """Nothing reaches the terminal but printable characters."""
    quota.answer = reply(account(name, HOME, ABROAD, OVER))
    result = run()

    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.stdout.split("\n"))


def test_a_name_that_the_terminal_cannot_write_is_no_error(quota: Quota) -> None:
    """Names of countries are not ASCII."""
    quota.answer = reply(account(b"anna", origin(b"", "CI", rule="country")))
    app = typer.Typer()
    app.command()(module.report)
    result = CliRunner(charset="ascii").invoke(app)

    assert result.exit_code == 0
    assert "Ivoire" in result.stdout


# The report for programs


def test_as_json_it_is_one_object(quota: Quota) -> None:
    """With everything, and on one line."""
    quota.answer = reply(account(b"anna", HOME, ABROAD))
    result = run("--json")
    (line,) = result.stdout.splitlines()

    assert json.loads(line)["suggestions"]["lines"] == ['allowed_networks = "185.9.12.0/24"']


def test_as_json_nothing_recorded_is_an_object(quota: Quota) -> None:
    """A program need not read a sentence."""
    assert json.loads(run("--json").stdout)["recorded_since"] is None
