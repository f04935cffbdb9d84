"""Notifications through a real Postfix that asks the policy about everything it takes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.postfix import LOCAL, PASSWORD, Postfix, policy_check, smtpd
from tests.support.policy import AMERICAN, GERMAN
from tests.support.services import Services, wait_until

USER, NOTIFIER = "alice@example.org", "notifier@example.org"
CHECK = "08-mtpolicyd"


@contextmanager
def mailing(directory: Path, port: str, settings: Mapping[str, str]) -> Iterator[tuple[Services, Postfix]]:
    """Services whose relay is the Postfix that asks them; every account may send one recipient a day."""
    services = Services(directory, {"THRESHOLD": "1", "NOTIFY_MAIL_TO": LOCAL, **settings})
    check = policy_check(services.port)
    places = {
        "smtp": smtpd({CHECK: check}, auth=False),
        "submission": smtpd({CHECK: check}, auth=True),
    }
    with Postfix(places) as postfix:
        services.environment["MTPOLICYD_NOTIFY_MAIL_RELAY"] = f"127.0.0.1:{postfix.ports[port]}"
        services.environment["MTPOLICYD_NOTIFY_MAIL_FROM"] = NOTIFIER
        for login in (USER, NOTIFIER):
            postfix.add_login(login)
        try:
            services.start()
            services.wait_connected()
            yield services, postfix
        finally:
            services.stop()


def result(services: Services, name: str) -> float:
    return services.metric("quota", "mtpolicyd_notification_deliveries_total", channel="mail", result=name)


def test_a_notification_passes_the_policy_that_caused_it(tmp_path: Path) -> None:
    """It is mail without a login: never asked about, never charged, and so never the cause of another one."""
    with mailing(tmp_path, "smtp", {}) as (services, postfix):
        (reply,) = postfix.send("submission", "bob@example.net", client=AMERICAN, login=USER).recipients
        assert reply.startswith("554 ")
        wait_until(lambda: result(services, "delivered") == 1, what="it is delivered")
        wait_until(lambda: f"to=<{LOCAL}>" in postfix.log() and "removed" in postfix.log())

        assert services.metric("quota", "mtpolicyd_notifications_total") == 1
        assert services.metric("quota", "mtpolicyd_charge_units_total") == 0
        assert services.metric("frontend", "mtpolicyd_requests_without_login_total") >= 1
        assert postfix.log().count("message-id=<") == 1
        assert f"from=<{NOTIFIER}>" in postfix.log()


def test_notifications_that_are_charged_themselves_do_not_loop(tmp_path: Path) -> None:
    """As a user whose limit they reach: one of each kind about that user, and the rest waits."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    login = {"NOTIFY_MAIL_USER": NOTIFIER, "NOTIFY_MAIL_PASSWORD_FILE": str(password)}
    with mailing(tmp_path, "submission", {**login, "ALLOWED_NETWORKS": "127.0.0.0/8"}) as (services, postfix):
        for _ in range(2):
            postfix.send("submission", "bob@example.net", client=GERMAN, login=USER)
        wait_until(lambda: result(services, "failed") >= 4, seconds=60, what="the relay defers them")

        # 80 % and the refusal of the user, and of the notifier itself.
        assert services.metric("quota", "mtpolicyd_notifications_total") == 4
        assert result(services, "delivered") == 1
        assert services.metric("quota", "mtpolicyd_notifications_waiting", channel="mail") == 3
