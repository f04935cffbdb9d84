"""A pair of the corpus in a real Postfix: what becomes of each kind of mail, and what the policy port sees
of it.

One Postfix runs all pairs, one after the other; each gets new ports, so that nothing of the one before is
in force. What the verdict is about stays as it is: the restrictions, mynetworks, who may log in. Replaced
is what would need other hosts, certificates, databases or the DNS."""

import os
import re
import signal
import smtplib
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from admin.doctor.clients import Kind
from admin.doctor.entrances import Entrance, Way, entrances
from admin.doctor.postconf import Postconf
from tests.doctor.corpus import LOGIN, Case, Trial
from tests.doctor.recorder import Recorder
from tests.e2e.postfix import (
    COMMAND_SECONDS,
    HOSTNAME,
    LOCAL,
    MAIN_CF,
    MASTER_CF,
    PACKAGES,
    PASSWORD,
    Postfix,
    settle,
)
from tests.e2e.smtp import Session
from tests.support.ports import free_port
from tests.support.programs import require_program
from tests.support.services import wait_until

OUR_PORT = "12345"
GREETING_SECONDS = 5.0
# What the pair says of these holds; of the rest of the common settings those of the test do.
_OF_THE_PAIR = ("mynetworks", "smtpd_relay_restrictions", "local_recipient_maps")
# In the way of a test without certificates, other hosts and users.
_OFF = """
smtpd_tls_security_level = none
smtpd_tls_auth_only = no
smtpd_use_tls = no
smtpd_enforce_tls = no
smtpd_tls_ask_ccert = no
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_security_options = noanonymous
smtpd_sender_login_maps = static:alice@example.org
local_recipient_maps = inline:{ postmaster@example.org=x, alice@example.org=x }
smtpd_milters =
content_filter =
smtpd_proxy_filter =
smtpd_upstream_proxy_protocol =
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = static:all
smtpd_recipient_limit = 1000
virtual_alias_maps =
virtual_alias_domains =
virtual_mailbox_domains =
virtual_mailbox_maps =
relay_domains =
transport_maps =
canonical_maps =
sender_canonical_maps =
recipient_canonical_maps =
sender_dependent_default_transport_maps =
header_checks =
body_checks =
smtputf8_enable = no
soft_bounce = no
unknown_local_recipient_reject_code = 550
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
"""
_OFF_NAMES = {line.partition(" ")[0] for line in _OFF.split("\n") if line} | {
    "syslog_name",
    "smtpd_tls_wrappermode",
    "receive_override_options",
    "cleanup_service_name",
    "local_recipient_maps",
    "relay_recipient_maps",
    "local_header_rewrite_clients",
    "smtpd_authorized_xforward_hosts",
    "smtpd_helo_required",
}
# They only refuse, and ask the DNS for it.
_DNS = re.compile(
    r"\b(reject_unknown_\w+|reject_unverified_\w+|permit_mx_backup"
    r"|(reject_rbl_client|reject_rhsbl_\w+|permit_dnswl_client|permit_rhswl_client)[\s,]+[^\s,]+)"
)
_POLICY = re.compile(r"(check_policy_service[\s,{]+)((?:inet|unix):[^\s,}]+)")


class Ground(Postfix):
    """The Postfix that runs the pairs, in memory where there is some: each mail is written and synced."""

    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"

    def __init__(self) -> None:
        super().__init__({})

    def run(self, case: Case, directory: Path, recorder: Recorder, other: Recorder) -> "Run":
        """Put a pair in force. Args: directory: where it lies; other: what stands for other services."""
        values = Postconf(directory).values(["smtpd_service_name", "inet_interfaces"])
        ways = [way for way in entrances(Postconf(directory).services(), values) if way.way is Way.SMTPD]
        ports = {way.name: free_port() for way in ways}
        common = MAIN_CF.format(directory=self.directory, hostname=HOSTNAME, local=LOCAL)
        kept = "\n".join(line for line in common.splitlines() if line.partition(" ")[0] not in _OF_THE_PAIR)
        # Each name once: master(8) logs doubled ones through postlogd(8), which it has just ended.
        ours = {line.partition(" ")[0] for line in f"{kept}\n{_OFF}".splitlines()} | {"config_directory"}
        set_there = Postconf(directory).main().items()
        main = "\n".join(f"{name} = {value}" for name, value in set_there if name not in ours)
        for before, now in case.replaced.items():
            main = main.replace(before.replace("{etc}", str(directory)), now.replace("{etc}", str(directory)))
        config = self.directory / "config"
        (config / "main.cf").write_text(f"{_here(main, recorder, other)}\n{kept}\n{_OFF}")
        lines = [_line(way, ports[way.name], recorder, other) for way in ways]
        pickup = "pickup unix n - n 60 1 pickup"
        (config / "master.cf").write_text("\n".join([MASTER_CF, pickup, *lines, ""]))
        settle(config)
        os.kill(self.master, signal.SIGHUP)
        for port in ports.values():
            wait_until(lambda port=port: _listens(port), what=f"Postfix listens on {port}")
        return Run(self, case, {way.name: ports[way.name] for way in ways}, recorder)

    def sendmail(self, recipient: str) -> None:
        """Hand a mail to sendmail, as a program of the host does, and wait until it is delivered."""
        sendmail = require_program("sendmail", packages=PACKAGES)
        subprocess.run(
            [sendmail, "-C", self.directory / "config", "-f", LOGIN, recipient],
            input=b"Subject: test\n\nHello\n",
            check=True,
            timeout=COMMAND_SECONDS,
        )
        wait_until(lambda: f"to=<{recipient}>" in self.log(), what="the mail is delivered")


class Run:
    """One pair in force."""

    def __init__(self, ground: Ground, case: Case, ports: Mapping[str, int], recorder: Recorder) -> None:
        self._ground = ground
        self._case = case
        self._ports = ports
        self._recorder = recorder
        # An smtpd that ends at its start says nothing, and master(8) tries again after a minute.
        self._silent = {name for name, port in ports.items() if not _greets(port)}

    def observed(self, entrance: Entrance, kind: Kind) -> str:
        """The letter of the corpus for what really happens to such mail."""
        if entrance.name in self._silent:
            return "-"
        letters = set()
        for trial in self._case.mails(login=kind.login, origin=kind.origin):
            letters.add(self._observed(entrance, kind, trial))
        letters.discard("-")
        if not letters:
            return "-"
        return letters.pop() if len(letters) == 1 else "p"

    def _observed(self, entrance: Entrance, kind: Kind, trial: Trial) -> str:
        self._recorder.clear()
        self._recorder.refusing = False
        accepted = self._sent(entrance, kind, trial)
        asked = self._recorder.asked(LOGIN if kind.login else "")
        if not accepted:
            return "-"
        if not asked:
            return "n"
        self._recorder.refusing = True
        heeded = not self._sent(entrance, kind, trial)
        return "c" if heeded else "n"

    def _sent(self, entrance: Entrance, kind: Kind, trial: Trial) -> bool:
        """Whether Postfix took the mail; a login that is not possible is mail that cannot come in."""
        client = self._case.client(kind.origin)
        try:
            with Session(self._ports[entrance.name], client=client, login="", password="") as session:
                if kind.login and not session.try_login(LOGIN, PASSWORD).startswith("235 "):
                    return False
                return session.send(trial.recipient, sender=trial.sender).accepted
        except (AssertionError, smtplib.SMTPException):
            # DATA or MAIL FROM was refused, or the client at once (smtpd_delay_reject=no).
            return False


def _line(way: Entrance, port: int, recorder: Recorder, other: Recorder) -> str:
    service = way.service
    options = {name: value for name, value in service.overrides.items() if name not in _OFF_NAMES}
    words = [f"-o {{ {name} = {_here(value, recorder, other)} }}" for name, value in options.items()]
    return " ".join([f"127.0.0.1:{port} inet n - n - - smtpd", *words])


def _here(text: str, recorder: Recorder, other: Recorder) -> str:
    """Settings with the ports of the test."""

    def endpoint(found: re.Match[str]) -> str:
        ours = found[2].endswith(f":{OUR_PORT}")
        return f"{found[1]}inet:127.0.0.1:{recorder.port if ours else other.port}"

    # What is no argument of a check, but a part of one.
    moved = _POLICY.sub(endpoint, text).replace(f":{OUR_PORT}", f":{recorder.port}")
    return _DNS.sub("sleep 0", moved)


def _greets(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), GREETING_SECONDS) as client:
        return bool(client.recv(1))
    return False


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False
