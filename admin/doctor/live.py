"""The proof: one request through the policy port, and one SMTP dialogue up to RCPT, which is then quit.

The request asks about mail of a login that nobody has, at a stage at which nothing is counted. The dialogue
is that of a real login; whether the service was asked is seen by quota's count of that account before and
after: one recipient. No mail is sent.
"""

import asyncio
import os
import re
import smtplib
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

import grpc.aio

from admin.doctor.findings import Finding, Severity
from admin.report.command import ask as ask_quota
from chassis.settings import Address
from decision.account import account_of
from frontend.policy_wire import REQUEST_TYPE
from frontend.probe import ask
from protos import quota_pb2 as pb

SECONDS = 20.0
IMPLICIT_TLS_PORT = 465
NOBODY = "mtpolicyctl-doctor"
# Behind the texts of decision's refusals.
_OUR_REFUSAL = re.compile(r"\(id [!-~]+\)")

# The units that quota has counted for an account, or None if it cannot be asked.
Counted = Callable[[str], int | None]


class Dialogue(NamedTuple):
    """What is to be said to Postfix.

    Args:
        login: empty: no dialogue.
    """

    host: str
    port: int
    login: str
    password: str
    sender: str
    recipient: str

    @property
    def where(self) -> str:
        return str(Address(self.host, self.port))


def probe_policy_port(address: tuple[str, int]) -> Finding:
    """Ask about mail of nobody. The finding is `live_no_answer` if there is no answer."""
    where = str(Address(*address))
    request = {
        "request": REQUEST_TYPE.decode(),
        "protocol_state": "VRFY",
        "protocol_name": "ESMTP",
        "client_address": "127.0.0.1",
        "sender": "",
        "recipient": "",
        "instance": "",
        "sasl_method": "PLAIN",
        "sasl_username": NOBODY,
    }
    try:
        action = ask(address, request)
    except (OSError, ValueError) as error:
        return Finding("live_no_answer", Severity.ERROR, (), (where, str(error)))
    if action.startswith("DUNNO"):
        return Finding("live_answer", Severity.INFO, (), (where, action))
    return Finding("live_refuses", Severity.WARNING, (), (where, action))


def quota_counts(target: Address, time_zone: str) -> Counted:
    """Asks the running quota for an account's accepted units of today."""

    def counted(login: str) -> int | None:
        request = pb.ReportRequest(
            since_unix_ms=round(time.time() * 1000),
            time_zone=time_zone,
            account=account_of(os.fsencode(login)),
        )
        try:
            reply = asyncio.run(ask_quota(target, request))
        except grpc.aio.AioRpcError:
            return None
        return sum(origin.count for found in reply.accounts for origin in found.origins if not origin.rule)

    return counted


def talk(dialogue: Dialogue, counted: Counted) -> Finding:
    """Log in, name one recipient, and quit; then tell whether the service was asked."""
    before = counted(dialogue.login)
    try:
        code, text = _recipient_reply(dialogue)
    except (OSError, smtplib.SMTPException) as error:
        return Finding("live_smtp_failed", Severity.ERROR, (), (dialogue.where, _reason(error)))
    reply = f"{code} {text}"
    if _OUR_REFUSAL.search(text):
        return Finding("live_refused_by_us", Severity.INFO, (), (dialogue.where, dialogue.login, reply))
    after = counted(dialogue.login)
    if before is None or after is None:
        return Finding("live_cannot_tell", Severity.UNKNOWN, (), (dialogue.where, "quota does not answer"))
    if after > before:
        return Finding("live_counted", Severity.INFO, (), (dialogue.where, dialogue.login))
    if code != 250:
        return Finding("live_cannot_tell", Severity.UNKNOWN, (), (dialogue.where, reply))
    return Finding("live_not_counted", Severity.ERROR, (), (dialogue.where, dialogue.login))


def _recipient_reply(dialogue: Dialogue) -> tuple[int, str]:
    context = ssl.create_default_context()
    if _is_loopback(dialogue.host):
        # The certificate names the host as others see it.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with _connect(dialogue, context) as smtp:
        smtp.ehlo()
        if dialogue.port != IMPLICIT_TLS_PORT and smtp.has_extn("starttls"):
            smtp.starttls(context=context)
            smtp.ehlo()
        smtp.login(dialogue.login, dialogue.password)
        code, text = smtp.mail(dialogue.sender)
        if code == 250:
            code, text = smtp.rcpt(dialogue.recipient)
            with suppress(smtplib.SMTPServerDisconnected):
                smtp.rset()
        return code, text.decode("ascii", "replace")


def _connect(dialogue: Dialogue, context: ssl.SSLContext) -> smtplib.SMTP:
    if dialogue.port == IMPLICIT_TLS_PORT:
        return smtplib.SMTP_SSL(
            dialogue.host, dialogue.port, local_hostname="localhost", timeout=SECONDS, context=context
        )
    return smtplib.SMTP(dialogue.host, dialogue.port, local_hostname="localhost", timeout=SECONDS)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode('ascii', 'replace') if isinstance(text, bytes) else text}"
    return str(error) or type(error).__name__
