"""A private Postfix: configuration, queue, log and logins of its own, listening on loopback only."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.smtp import Replies, Session
from tests.support.ports import free_port
from tests.support.programs import require_program, require_root
from tests.support.services import wait_until

HOSTNAME = "mail.example.org"
LOCAL = "postmaster@example.org"
UNKNOWN = "nobody@example.org"
PASSWORD = "secret"
PACKAGES = "postfix sasl2-bin libsasl2-modules"
COMMAND_SECONDS = 60.0
END_SECONDS = 10.0

# No smtp(8) and no local(8): nothing can leave, whatever a test sends. No relay restrictions, as on UCS,
# so that reject_unauth_destination in the recipient restrictions is all that stops a relay attempt.
MAIN_CF = """
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
cyrus_sasl_config_path = {directory}/config/sasl
smtpd_sasl_local_domain =
myhostname = {hostname}
mydestination = example.org
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions =
local_recipient_maps = inline:{{ {local}=x }}
alias_maps =
alias_database =
default_transport = discard:
local_transport = discard:
enable_long_queue_ids = yes
"""

MASTER_CF = """
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

SMTPD_CONF = """
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {sasldb}
mech_list: PLAIN LOGIN
"""

Smtpd = Mapping[str, str]

UCS_RECIPIENT_RESTRICTIONS = {
    "10": "permit_mynetworks",
    "30": "permit_sasl_authenticated",
    "50": "reject_unauth_destination",
    "70": "reject_unlisted_recipient",
}


def policy_check(port: int) -> str:
    """The check in its documented form: mail passes while nothing listens."""
    return f"check_policy_service {{ inet:127.0.0.1:{port}, timeout=10s, default_action=DUNNO }}"


def smtpd(slots: Mapping[str, str] | None = None, *, auth: bool, end_of_data: str = "") -> Smtpd:
    """The parameters of one smtpd: UCS's recipient restrictions with more slots.

    Args:
        auth: users may log in, as on port 587; otherwise it is a port 25.
    """
    restrictions = UCS_RECIPIENT_RESTRICTIONS | dict(slots or {})
    return {
        "smtpd_sasl_auth_enable": "yes" if auth else "no",
        "smtpd_recipient_restrictions": ", ".join(value for _, value in sorted(restrictions.items())),
        "smtpd_end_of_data_restrictions": end_of_data,
    }


class Postfix:
    """Runs while the context is entered. Args: smtpds: by name; each gets a port."""

    parent = "/tmp"

    def __init__(self, smtpds: Mapping[str, Smtpd]) -> None:
        require_root()
        self._program = require_program("postfix", packages=PACKAGES)
        self._saslpasswd = require_program("saslpasswd2", packages=PACKAGES)
        self._smtpds = smtpds
        self.ports = dict(zip(smtpds, [free_port() for _ in smtpds], strict=True))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # pytest's tmp_path cannot be entered by user postfix.
            self.directory = Path(tempfile.mkdtemp(prefix="mtpolicyd-postfix-", dir=self.parent))
            stack.callback(shutil.rmtree, self.directory)
            self._write_configuration()
            settle(self.directory / "config")
            stack.callback(self._end)
            self._run("start")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add_login(self, login: str) -> None:
        """A user who may log in with PASSWORD. Cyrus takes a bare name for one of this host."""
        name, _, realm = login.partition("@")
        subprocess.run(
            [self._saslpasswd, "-f", self._sasldb, "-c", "-p", "-u", realm or HOSTNAME, name],
            input=PASSWORD.encode(),
            check=True,
            timeout=COMMAND_SECONDS,
        )
        shutil.chown(self._sasldb, group="postfix")

    @contextmanager
    def session(self, name: str, *, client: str = "", login: str = "") -> Iterator[Session]:
        """A session with the smtpd of this name, see Session."""
        with Session(self.ports[name], client=client, login=login, password=PASSWORD) as session:
            yield session

    def send(
        self,
        name: str,
        *recipients: str,
        client: str = "",
        login: str = "",
        sender: str = "alice@example.org",
    ) -> Replies:
        """Send one mail in a session of its own."""
        with self.session(name, client=client, login=login) as session:
            return session.send(*recipients, sender=sender)

    def delivered(self, replies: Replies) -> list[str]:
        """To whom the mail of these replies went, once Postfix is done with it."""
        queue_id = replies.queue_id
        wait_until(lambda: f" {queue_id}: removed" in self.log(), what=f"mail {queue_id} is delivered")
        return re.findall(rf" {queue_id}: to=<(.*?)>.* status=sent ", self.log())

    def log(self) -> str:
        return (self.directory / "mail.log").read_text()

    @property
    def _sasldb(self) -> Path:
        return self.directory / "config" / "sasl" / "sasldb2"

    def _write_configuration(self) -> None:
        self.directory.chmod(0o755)
        config, data = self.directory / "config", self.directory / "data"
        # Debian's Postfix looks for smtpd.conf here, whatever cyrus_sasl_config_path says.
        (config / "sasl").mkdir(parents=True)
        (self.directory / "queue").mkdir()
        data.mkdir()
        shutil.chown(data, "postfix")
        main = MAIN_CF.format(directory=self.directory, hostname=HOSTNAME, local=LOCAL)
        (config / "main.cf").write_text(main)
        (config / "sasl" / "smtpd.conf").write_text(SMTPD_CONF.format(sasldb=self._sasldb))
        lines = [
            f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd"
            + "".join(f" -o {{ {key} = {value} }}" for key, value in parameters.items())
            for name, parameters in self._smtpds.items()
        ]
        (config / "master.cf").write_text(MASTER_CF + "\n".join(lines) + "\n")

    def _run(self, command: str) -> None:
        # A file, because the daemons could hold a pipe open.
        output = self.directory / "output"
        with output.open("ab") as file:
            done = subprocess.run(
                [self._program, "-c", self.directory / "config", command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        log = self.log() if (self.directory / "mail.log").exists() else ""
        assert done.returncode == 0, f"postfix {command} failed:\n{output.read_text()}{log}"

    def _end(self) -> None:
        try:
            if self._processes():
                # What `postfix stop` does before it sleeps a second.
                os.kill(self.master, signal.SIGTERM)
                wait_until(lambda: not self._processes(), seconds=END_SECONDS, what="Postfix ends")
        finally:
            for process in self._processes():
                os.kill(process, signal.SIGKILL)
            wait_until(lambda: not self._processes(), seconds=END_SECONDS, what="Postfix is killed")

    @property
    def master(self) -> int:
        """Process id of master(8). Raises FileNotFoundError if it was never started."""
        return int((self.directory / "queue" / "pid" / "master.pid").read_text())

    def _processes(self) -> list[int]:
        """What runs of this Postfix: master(8) and its children are one session."""
        try:
            master = self.master
        except FileNotFoundError:
            return []
        return [process for process, session in sessions() if session == master]


def settle(directory: Path) -> None:
    """Postfix waits until its files have been left alone for a while: let them be old."""
    for name in ("main.cf", "master.cf"):
        os.utime(directory / name, (1, 1))


def sessions() -> Iterator[tuple[int, int]]:
    """Each living process with its session, see proc(5)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            yield int(path.parent.name), int(session)
