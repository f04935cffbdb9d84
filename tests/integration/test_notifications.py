"""Notifications of real services, to real receivers: once each, after a restart too, and never in the way."""

import asyncio
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from yarl import URL

from chassis.settings import Address
from chassis.tasks import background
from quota.notify.interface import Channel, Tls
from quota.notify.mail import MailChannel, Relay
from quota.notify.webhook import WebhookChannel
from tests.support.effort import slack
from tests.support.loops import in_uvloop
from tests.support.notifications import documented_receiver, notification
from tests.support.policy import AMERICAN, PolicyClient
from tests.support.ports import free_port
from tests.support.receivers import MailServer, WebServer, certificate, mail_server, silence, web_server
from tests.support.services import Services, wait_until

ADMIN = "admin@example.org"
SECRET = "0123456789abcdef"


def webhook(url: str, directory: Path) -> dict[str, str]:
    secret = directory / "secret"
    secret.write_text(SECRET)
    return {"NOTIFY_WEBHOOK_URL": url, "NOTIFY_WEBHOOK_SECRET_FILE": str(secret)}


def mail(port: int) -> dict[str, str]:
    return {
        "NOTIFY_MAIL_RELAY": f"127.0.0.1:{port}",
        "NOTIFY_MAIL_TO": ADMIN,
        "NOTIFY_HOST": "mx.example.org",
    }


@contextmanager
def running(directory: Path, *settings: Mapping[str, str], threshold: int = 10) -> Iterator[Services]:
    """All three services, with these settings."""
    joined = {"THRESHOLD": str(threshold)}
    for some in settings:
        joined |= some
    services = Services(directory, joined)
    try:
        services.start()
        services.wait_connected()
        yield services
    finally:
        services.stop()


def told(server: WebServer) -> Counter[tuple[str, str]]:
    """(account, kind) of what came, with how often."""
    return Counter((request.json["account"], request.json["kind"]) for request in server.requests)


def send(services: Services, count: int, **attributes: str) -> list[str]:
    with PolicyClient(services.port) as client:
        return [client.ask(**attributes) for _ in range(count)]


def delivered(services: Services, channel: str) -> float:
    return services.metric(
        "quota", "mtpolicyd_notification_deliveries_total", channel=channel, result="delivered"
    )


def waiting(services: Services, channel: str) -> float:
    return services.metric("quota", "mtpolicyd_notifications_waiting", channel=channel)


def subjects(server: MailServer) -> list[str]:
    return [one.message["Subject"] for one in server.mails]


def test_each_kind_is_told_once_by_both_channels(tmp_path: Path) -> None:
    """An account that reaches its limit, and one that is abroad; nobody else."""
    with (
        mail_server() as post,
        web_server() as web,
        running(tmp_path, mail(post.port), webhook(web.url, tmp_path)) as services,
    ):
        send(services, 15, sasl_username="Alice")
        send(services, 3, sasl_username="eve", client_address=AMERICAN)
        send(services, 7, sasl_username="bob")
        wait_until(lambda: len(web.requests) >= 3 and len(post.mails) >= 3, what="all are told")
        wait_until(lambda: waiting(services, "mail") == waiting(services, "webhook") == 0)
        send(services, 5, sasl_username="alice")
        time.sleep(0.2)
        log = services.log("quota")

    expected = {("alice", "quota_80_percent"), ("alice", "quota_refused"), ("eve", "country_refused")}
    assert told(web) == dict.fromkeys(expected, 1)
    assert sorted(subjects(post)) == [
        "[mtpolicyd mx.example.org] alice has used 80 % of its limit (8 of 10)",
        "[mtpolicyd mx.example.org] alice is refused: over its limit (10 of 10)",
        "[mtpolicyd mx.example.org] eve is refused by the rule country (from US)",
    ]
    # One notification has one id, in both channels.
    ids = {request.json["id"] for request in web.requests}
    assert {f"<{id_}@mx.example.org>" for id_ in ids} == {one.message["Message-ID"] for one in post.mails}
    is_ours = documented_receiver()
    assert all(is_ours(SECRET.encode(), request.headers, request.body) for request in web.requests)
    assert not any(is_ours(SECRET.encode(), request.headers, request.body + b" ") for request in web.requests)
    assert "notifications_fail" not in log


def test_fifty_that_send_at_once_make_one_of_each_kind(tmp_path: Path) -> None:
    """Whoever of them reaches the limit."""
    with web_server() as web, running(tmp_path, {"NOTIFY_WEBHOOK_URL": web.url}, threshold=20) as services:
        with ThreadPoolExecutor(50) as pool:
            answers = list(
                pool.map(
                    lambda number: send(
                        services,
                        2,
                        sasl_username="alice",
                        client_address=AMERICAN if number % 10 == 9 else "84.128.0.1",
                    ),
                    range(50),
                )
            )
        wait_until(lambda: len(web.requests) >= 3 and waiting(services, "webhook") == 0)
        written = services.metric("quota", "mtpolicyd_notifications_total")

    flat = [answer for both in answers for answer in both]
    assert flat.count("DUNNO") == 20
    assert told(web) == {
        ("alice", "quota_80_percent"): 1,
        ("alice", "quota_refused"): 1,
        ("alice", "country_refused"): 1,
    }
    assert written == 3


def test_what_was_written_before_a_kill_is_delivered_after_the_start(tmp_path: Path) -> None:
    """Killed between the commit and the delivery: the receiver has not said a word by then."""
    port = free_port()
    with running(tmp_path, webhook(f"http://127.0.0.1:{port}/hook", tmp_path)) as services:
        with web_server(port) as deaf:
            deaf.gate.clear()
            assert send(services, 1, sasl_username="eve", client_address=AMERICAN)[0].startswith("REJECT")
            wait_until(lambda: len(deaf.requests) == 1, what="a first try is under way")
            services.kill("quota")
        with web_server(port) as web:
            services.start("quota")
            wait_until(lambda: len(web.requests) == 1, what="it is told after the start")
            wait_until(lambda: delivered(services, "webhook") == 1)
            services.signal("quota", signal.SIGTERM)
            services.start("quota")
            services.wait_connected()
            send(services, 1, sasl_username="eve", client_address=AMERICAN)
            time.sleep(0.3)

    # The receiver can tell that it is the same one: it may have had it before the kill.
    (first,), (again,) = deaf.requests, web.requests
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
    assert first.body == again.body


@contextmanager
def hanging(channels: set[str], directory: Path) -> Iterator[dict[str, str]]:
    """Settings with receivers that take connections and say nothing."""
    with silence() as smtp, silence() as http:
        settings = mail(smtp) if "mail" in channels else {}
        if "webhook" in channels:
            settings |= webhook(f"http://127.0.0.1:{http}/", directory)
        yield settings


def test_a_channel_that_hangs_does_not_hold_the_other(tmp_path: Path) -> None:
    """Either way round."""
    for number, hangs in enumerate(("mail", "webhook")):
        directory = tmp_path / hangs
        directory.mkdir()
        with (
            mail_server() as post,
            web_server() as web,
            hanging({hangs}, directory) as settings,
            running(directory, mail(post.port), webhook(web.url, directory), settings) as services,
        ):
            for user in range(5):
                send(services, 1, sasl_username=f"user{user}", client_address=AMERICAN)
            works = ("webhook", "mail")[number]
            wait_until(lambda services=services, works=works: delivered(services, works) == 5)
            assert waiting(services, hangs) > 0
            assert (len(post.mails), len(web.requests)) == ((0, 5), (5, 0))[number]


def charge_times(services: Services, users: int) -> list[float]:
    """Seconds for each of two mails of each user: with the first one the limit is reached."""
    times = []
    with PolicyClient(services.port) as client:
        for user in range(users):
            for _ in range(2):
                started = time.perf_counter()
                client.ask(sasl_username=f"user{user}")
                times.append(time.perf_counter() - started)
    return times


def test_receivers_that_hang_cost_no_answer_its_time(tmp_path: Path) -> None:
    """Each mail makes a notification, and both receivers hang all the time: answers come as without any."""
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    with (
        hanging({"mail", "webhook"}, tmp_path) as settings,
        running(tmp_path / "with", settings, threshold=1) as notifying,
        running(tmp_path / "without", threshold=1) as silent,
    ):
        charge_times(notifying, 20)
        charge_times(silent, 20)
        started = time.monotonic()
        with_receivers, without = charge_times(notifying, 300), charge_times(silent, 300)
        assert notifying.metric("quota", "mtpolicyd_notifications_total") >= 600
        assert silent.metric("quota", "mtpolicyd_notifications_total") == 0

    assert time.monotonic() - started < 120
    p99 = [statistics.quantiles(times, n=100)[98] for times in (with_receivers, without)]
    assert max(with_receivers) < 0.5 + slack()
    assert p99[0] < 3 * p99[1] + 0.02, p99


@in_uvloop
async def test_deliveries_do_not_hold_the_event_loop(tmp_path: Path) -> None:
    """Charges are answered in the same loop: with encryption, time-outs and refusals it goes round."""
    context, _ = certificate(tmp_path)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)
            await asyncio.sleep(0.001)

    def by_mail(port: int) -> MailChannel:
        return MailChannel(
            Relay(Address("127.0.0.1", port), Tls.OPPORTUNISTIC, "", None),
            sender=ADMIN,
            recipients=[ADMIN],
            template=None,
            host="mx.example.org",
            total_seconds=0.5,
        )

    def by_webhook(url: str) -> WebhookChannel:
        return WebhookChannel(URL(url), secret_file=None, host="mx.example.org", total_seconds=0.5)

    with mail_server(tls=context) as post, web_server() as web, silence() as nobody:
        channels: list[Channel] = [by_mail(post.port), by_mail(nobody), by_mail(free_port())]
        channels += map(by_webhook, (web.url, f"http://127.0.0.1:{nobody}/", "http://127.0.0.1:1/"))
        async with background(watch(), died=pytest.fail):
            for _ in range(5):
                await asyncio.gather(
                    *(channel.deliver(notification()) for channel in channels), return_exceptions=True
                )

    assert (len(post.mails), len(web.requests)) == (5, 5)
    assert longest < 0.05 + slack()


def test_settings_that_change_switch_channels_on_and_off(tmp_path: Path) -> None:
    """Within two seconds; what waits when a channel is switched on is of no time before it."""
    config = tmp_path / "settings.toml"
    config.write_text("threshold = 10\n")
    with web_server() as web:
        services = Services(tmp_path, {"CONFIG": str(config)})
        try:
            services.start()
            services.wait_connected()
            send(services, 1, sasl_username="early", client_address=AMERICAN)
            config.write_text(f'threshold = 10\nnotify_webhook_url = "{web.url}"\n')
            wait_until(lambda: "settings_changed" in services.log("quota"), what="they are in force")
            send(services, 1, sasl_username="eve", client_address=AMERICAN)
            wait_until(lambda: len(web.requests) == 1)
            config.write_text("threshold = 10\n")
            wait_until(lambda: services.log("quota").count("settings_changed") == 2)
            send(services, 1, sasl_username="late", client_address=AMERICAN)
            time.sleep(0.3)
            written = services.metric("quota", "mtpolicyd_notifications_total")
        finally:
            services.stop()

    assert told(web) == {("eve", "country_refused"): 1}
    assert written == 1


def test_a_login_arrives_as_it_is_and_adds_no_header(tmp_path: Path) -> None:
    """Postfix passes on what a client has typed."""
    login = "=?utf-8?q?a=0D=0ABcc:_eve@example.net?= \t<x@y>, j\xc3\xbcrgen \xff"
    with (
        mail_server() as post,
        web_server() as web,
        running(tmp_path, mail(post.port), {"NOTIFY_WEBHOOK_URL": web.url}) as services,
    ):
        send(services, 1, sasl_username=login, client_address=AMERICAN)
        wait_until(lambda: bool(web.requests and post.mails))

    assert web.requests[0].json["account"] == login.encode("latin-1").decode("utf-8", "backslashreplace")
    message = post.mails[0].message
    assert post.mails[0].recipients == [ADMIN]
    assert "Bcc" not in message
    assert message["To"] == ADMIN


def test_the_command_tries_the_channels(tmp_path: Path) -> None:
    """As an admin calls it: mtpolicyctl notify test."""
    program = Path(sys.executable).with_name("mtpolicyctl")
    with web_server() as web:
        for status, code in ((200, 0), (500, 1)):
            web.answers = [(status, {})]
            done = subprocess.run(
                [program, "notify", "test"],
                env={"MTPOLICYD_NOTIFY_WEBHOOK_URL": web.url, "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == code, done.stderr
            assert ": HTTP " in done.stdout
    assert [request.json["kind"] for request in web.requests] == ["test", "test"]


@pytest.fixture(autouse=True)
def no_thread_is_left(noticed_standstills: None) -> Iterator[None]:
    """The receivers' threads end with them; the one that notices standstills was there before."""
    before = threading.active_count()
    yield
    wait_until(lambda: threading.active_count() <= before)
