"""mtpolicyd (Perl): GeoIPLookup and GeoIPAction, Quota, Accounting; its counts on MariaDB or on SQLite."""

import os
import pwd
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

from bench.debian import package_versions
from bench.interface import StateSize, Tally
from bench.load import Load
from bench.peers.mariadb import MariaDb
from bench.processes import end, free_port, is_listening, spawn, tree, wait_for

PROGRAM = Path("/usr/bin/mtpolicyd")
GEOIP = Path("/usr/share/GeoIP/GeoIP.dat")
TABLE = "acct_sasl_username"

# A process serves one connection: as many as there are connections, and some to spare. Its GeoIPAction can
# only name the countries that are refused, for one that allows ends the chain before Quota.
_CONFIG = """\
user = "{user}"
group = "{group}"
log_level = 0
port = "127.0.0.1:{port}"
pid_file = "{directory}/mtpolicyd.pid"
min_servers = 4
min_spare_servers = 4
max_spare_servers = 12
max_servers = 120
max_requests = 1000
keepalive_timeout = 0
max_keepalive = 0
<Connection db>
  module = "Sql"
  dsn = "{dsn}"
  user = "{db_user}"
</Connection>
<VirtualHost {port}>
  name = "bench"
  <Plugin geoip>
    module = "GeoIPLookup"
    database = "{geoip}"
  </Plugin>
  <Plugin abroad>
    module = "GeoIPAction"
    result_from = "geoip"
    country_codes = "US,CA,PR,VI,RU,CN,IN,BR,NG,VN"
    mode = "reject"
  </Plugin>
  <Plugin quota>
    module = "Quota"
    field = "sasl_username"
    metric = "count_rcpt"
    threshold = {threshold}
    time_pattern = "%Y-%m-%d"
    action = "defer daily limit reached"
  </Plugin>
  <Plugin accounting>
    module = "Accounting"
    fields = "sasl_username"
    time_pattern = "%Y-%m-%d"
  </Plugin>
</VirtualHost>
"""


def configuration(directory: Path, *, port: int, dsn: str, db_user: str, threshold: int) -> str:
    """The text of mtpolicyd.conf."""
    user = pwd.getpwuid(os.geteuid())
    return _CONFIG.format(
        user=user.pw_name,
        group=user.pw_gid,
        directory=directory,
        port=port,
        dsn=dsn,
        db_user=db_user,
        geoip=GEOIP,
        threshold=threshold,
    )


class Database(Protocol):
    """Where mtpolicyd counts."""

    name: str
    engine: str  # what it is, for the document
    packages: str
    versions_of: tuple[str, ...]

    def missing(self) -> bool: ...

    def start(self, directory: Path) -> tuple[str, str]:
        """Returns DBI's data source name, and the user."""

    def counted(self) -> tuple[int, int, int]:
        """The sum of the counts, rows, and users."""

    def pids(self) -> list[int]: ...

    def stop(self) -> None: ...

    def size(self) -> int:
        """Bytes on disk of the table of counts."""


class SqliteFile:
    """A database file that mtpolicyd's processes open."""

    name = "SQLite"
    engine = "a commit for each mail"
    packages = ""
    versions_of: tuple[str, ...] = ("libdbd-sqlite3-perl",)

    def __init__(self) -> None:
        self._path = Path()

    def missing(self) -> bool:
        return False

    def start(self, directory: Path) -> tuple[str, str]:
        self._path = directory / "mtpolicyd.sqlite"
        return f"dbi:SQLite:dbname={self._path}", ""

    def counted(self) -> tuple[int, int, int]:
        query = f"SELECT total(count_rcpt), count(*), count(DISTINCT key) FROM {TABLE}"
        with closing(sqlite3.connect(self._path)) as db:
            units, rows, users = db.execute(query).fetchone()
        return int(units), rows, users

    def pids(self) -> list[int]:
        return []

    def stop(self) -> None:
        return

    def size(self) -> int:
        return self._path.stat().st_size


class Mtpolicyd:
    """Fulfils bench.interface.Subject. Args: database: where it counts."""

    knows_countries = True
    exact_in_parallel = False

    def __init__(self, database: Database) -> None:
        self.key = f"mtpolicyd-{database.name.lower()}"
        self.title = f"mtpolicyd, {database.name}"
        self.packages = f"mtpolicyd geoip-database {database.packages}".strip()
        self.note = (
            f"mtpolicyd on {database.name}: GeoIPLookup (GeoIP.dat), GeoIPAction that refuses ten countries,"
            f" Quota and Accounting by `sasl_username` and day, {database.engine}, no session cache"
        )
        self.port = 0
        self.start_seconds = 0.0
        self._database = database
        self._roots: list[int] = []
        self._rows = 0

    def missing(self) -> bool:
        return not PROGRAM.exists() or not GEOIP.exists() or self._database.missing()

    def versions(self) -> Mapping[str, str]:
        return package_versions("mtpolicyd", "perl", "geoip-database", *self._database.versions_of)

    def start(self, directory: Path, *, threshold: int) -> None:
        dsn, db_user = self._database.start(directory)
        self.port = free_port()
        path = directory / "mtpolicyd.conf"
        path.write_text(
            configuration(directory, port=self.port, dsn=dsn, db_user=db_user, threshold=threshold)
        )
        log = directory / "mtpolicyd.log"
        self._roots = [spawn([str(PROGRAM), "--foreground", f"--config={path}"], log, cwd=directory)]
        self.start_seconds = wait_for(
            partial(is_listening, self.port), self.title, log, lambda: tree(self._roots)
        )

    def parts(self) -> Mapping[str, Sequence[int]]:
        return {"mtpolicyd": tree(self._roots), self._database.name: self._database.pids()}

    def tally(self, loads: Sequence[Load], *, over_limit: int = 0) -> Tally:
        units, self._rows, users = self._database.counted()
        doubled = self._rows - users
        return Tally(units, [f"{doubled} users have two rows of counts"] if doubled else [])

    def stop(self) -> None:
        end(self._roots)
        self._roots = []
        self._database.stop()

    def state_size(self) -> StateSize:
        return StateSize(per_user=self._database.size() / self._rows, per_charge=None)


PEERS = (Mtpolicyd(MariaDb(TABLE)), Mtpolicyd(SqliteFile()))
