"""Proof that Postfix asks: a mail is begun, never sent, and the frontend has to count its recipients."""

import smtplib
import ssl
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from mtpolicyd_ucs import compose, deployment, systemd
from mtpolicyd_ucs.postfix import Smtpd

SECONDS = 30
# Postfix's own cache of connections to the service may have to be made anew.
SEEN_SECONDS = 5.0
REQUESTS = "mtpolicyd_requests_total"
RELOADED = "mtpolicyd_config_last_reload_success_timestamp_seconds"
# One mail that passes by at the same moment must not be taken for ours.
RECIPIENTS = 3


class Login(NamedTuple):
    """Of a user, for ports where nothing is asked without one."""

    name: str
    password: str


def is_asked(smtpd: Smtpd, settings: Mapping[str, str], recipient: str, login: Login | None) -> bool:
    """Whether the service is asked about recipients at this port.

    Raises:
        OSError: nobody answers, at the port or at the metrics; smtplib's errors are among them.
    """
    before = requests(settings)
    _begin_a_mail(smtpd, recipient, login)
    end = time.monotonic() + SEEN_SECONDS
    while requests(settings) < before + RECIPIENTS:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def requests(settings: Mapping[str, str]) -> float:
    """How many requests Postfix has made since the frontend was started. Raises OSError."""
    return _metric(settings, "frontend", REQUESTS)


def wait_for_new_settings(settings: Mapping[str, str], since: float) -> bool:
    """Wait until decision has taken over a file that was written at this time."""
    end = time.monotonic() + SEEN_SECONDS
    while time.monotonic() < end:
        with suppress(OSError):
            if _metric(settings, "decision", RELOADED) >= since:
                return True
        time.sleep(0.1)
    return False


def _begin_a_mail(smtpd: Smtpd, recipient: str, login: Login | None) -> None:
    host, port = smtpd.address
    # It is this host itself: its certificate is for its name, not for the address.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if smtpd.wraps_in_tls:
        session: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
    else:
        session = smtplib.SMTP(host, port, timeout=SECONDS)
    with session:
        session.ehlo()
        if login is not None:
            if session.has_extn("starttls"):
                session.starttls(context=context)
                session.ehlo()
            session.login(login.name, login.password)
        session.mail("")
        for _ in range(RECIPIENTS):
            session.rcpt(recipient)
        session.rset()


def _metric(settings: Mapping[str, str], service: str, name: str) -> float:
    if systemd.is_active(deployment.CONTAINERS):
        text = compose.metrics(service)
    else:
        address = settings[f"{service}_metrics"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=SECONDS) as answer:
            text = answer.read().decode()
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.partition("{")[0].partition(" ")[0] == name
    )
