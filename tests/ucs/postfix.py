"""A real Postfix whose restrictions come from UCR, as those of univention-mail-postfix do.

Its templates are stand-ins: what UCR's variables become in main.cf and master.cf was read from those of UCS
5.2 (main.cf.d/50_restrictions, master.cf.d/10_services), in so far as the check has to do with it.
"""

import socketserver
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from tests.e2e.postfix import UCS_RECIPIENT_RESTRICTIONS, Postfix
from tests.support.ports import free_port
from tests.support.protos import ROOT
from tests.support.services import Services
from tests.support.ucr import Ucr

SLOTS = "mail/postfix/smtpd/restrictions/recipient/"
SUBMISSION = "mail/postfix/submission/restrictions/recipient/"
OPTIONS = "mail/postfix/mastercf/options/"
ACTIVATE = ROOT / "deploy/ucs/bin/univention-mtpolicyd-activate"

MAIN_CF = """
@!@
for name in ("smtpd", "submission"):
    beginning = "mail/postfix/%s/restrictions/recipient/" % name
    values = [value for key, value in sorted(configRegistry.items()) if key.startswith(beginning)]
    if values:
        print("%s_recipient_restrictions = %s" % (name, ", ".join(values)))
@!@
"""
MASTER_CF = """
@!@
for name, port in {ports!r}.items():
    beginning = "mail/postfix/mastercf/options/%s/" % name
    options = [
        " -o %s=%s" % (key[len(beginning):], value)
        for key, value in sorted(configRegistry.items())
        if key.startswith(beginning)
    ]
    print("127.0.0.1:%d inet n - n - - smtpd%s" % (port, "".join(options)))
@!@
"""
# Postfix waits while its files are younger than two seconds: somebody might still be writing them. UCR does
# not.
NO_WAITING = """#!/bin/sh
touch -d '1 minute ago' "$MAIL_CONFIG/main.cf" "$MAIL_CONFIG/master.cf"
exec /usr/sbin/postfix "$@"
"""


class UcsPostfix(Postfix):
    """Three ports: smtp, submission and smtps (without its TLS, which has no part in this).

    Users log in at all.
    """

    def __init__(self, ucr: Ucr) -> None:
        super().__init__({})
        self.ucr = ucr
        self.ports = {name: free_port() for name in ("smtp", "smtps", "submission")}
        ucr.program("usr/bin/postfix", NO_WAITING)

    def _write_configuration(self) -> None:
        super()._write_configuration()
        config = self.directory / "config"
        place = self.ucr.root / "etc/postfix"
        place.symlink_to(config)
        main, master = (config / "main.cf").read_text(), (config / "master.cf").read_text()
        main += "\nsmtpd_sasl_auth_enable = yes\n"
        self.ucr.template("etc/postfix/main.cf", main + MAIN_CF, variables="mail/postfix/.*")
        self.ucr.template(
            "etc/postfix/master.cf", master + MASTER_CF.format(ports=self.ports), variables="mail/postfix/.*"
        )
        self.ucr("set", *(f"{SLOTS}{slot}={value}" for slot, value in UCS_RECIPIENT_RESTRICTIONS.items()))


class Ucs:
    """A mail server: UCR, Postfix, and our services, whose settings are the file that UCR writes."""

    def __init__(self, ucr: Ucr, postfix: UcsPostfix, services: Services) -> None:
        self.ucr = ucr
        self.postfix = postfix
        self.services = services

    @property
    def environment(self) -> Mapping[str, str]:
        return {**self.ucr.environment, "MAIL_CONFIG": str(self.postfix.directory / "config")}

    def activate(
        self, *options: str, password: str = "", check: bool = True, path: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run univention-mtpolicyd-activate. Raises AssertionError if it fails."""
        done = subprocess.run(
            [sys.executable, ACTIVATE, *options],
            env={**self.environment, **({"PATH": path} if path else {})},
            input=password + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def set(self, *assignments: str) -> None:
        """As the admin of a site does who then reloads Postfix."""
        self.ucr("set", *assignments)
        self.reload()

    def reload(self) -> None:
        subprocess.run(["postfix", "reload"], env=self.environment, capture_output=True, check=True)

    def variables(self) -> Mapping[str, str]:
        """All of UCR that Postfix or we read."""
        lines = [line.partition(": ") for line in self.ucr("dump").stdout.splitlines()]
        return {name: value for name, _, value in lines if name.startswith(("mail/", "mtpolicyd/"))}


class Neighbour:
    """Another policy service in the list. `asked` are the recipients that it was asked about."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked: list[str] = []

    @contextmanager
    def serving(self) -> Iterator[None]:
        neighbour = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    if line.startswith(b"recipient="):
                        neighbour.asked.append(line.decode().strip().removeprefix("recipient="))
                    if line == b"\n":
                        self.wfile.write(b"action=DUNNO\n\n")

        with socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


def mtpolicyctl(services: Services, settings_file: Path) -> str:
    """The packaged command, for services that have ports of their own."""
    lines = [
        f"export {name}={value!r}" for name, value in services.environment.items() if "MTPOLICYD_" in name
    ]
    command = f'exec {Path(sys.executable).with_name("mtpolicyctl")} "$@"'
    return "\n".join(["#!/bin/sh", *lines, f"export MTPOLICYD_CONFIG={settings_file}", command, ""])
