"""A private MariaDB: its own data directory and socket, no network."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.interface import StartProblem
from bench.processes import end, spawn, tree, wait_for

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
DATABASE = "mtpolicyd"
USER = "root"  # MariaDB's own, without a password: the socket lies in a directory of ours


class MariaDb:
    """Fulfils bench.peers.mtpolicyd.Database. Args: table: the table of counts."""

    name = "MariaDB"
    engine = "MyISAM as it makes its tables"
    packages = "mariadb-server libdbd-mysql-perl"
    versions_of: tuple[str, ...] = ("mariadb-server", "libdbd-mysql-perl")

    def __init__(self, table: str) -> None:
        self._table = table
        self._directory = Path()
        self._roots: list[int] = []

    def missing(self) -> bool:
        programs = ("mariadbd", "mariadb-install-db", "mariadb")
        driver = any(Path("/usr/lib").glob("*/perl5/*/DBD/mysql.pm"))
        return not driver or any(shutil.which(name, path=SEARCH_PATH) is None for name in programs)

    def start(self, directory: Path) -> tuple[str, str]:
        self._directory = directory
        log = directory / "mariadb.log"
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        install = [_program("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}", *as_root]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        with log.open("wb") as output:
            if subprocess.run(install, stdout=output, stderr=output).returncode:
                raise StartProblem(log.read_text())
        serve = [_program("mariadbd"), "--no-defaults", f"--datadir={self._data}", *as_root]
        serve += [f"--socket={self._socket}", f"--pid-file={directory}/mariadb.pid", "--skip-networking"]
        self._roots = [spawn(serve, log)]
        wait_for(lambda: self._ask("SELECT 1") == [["1"]], self.name, log, self.pids)
        self._ask(f"CREATE DATABASE {DATABASE}")
        return f"dbi:mysql:database={DATABASE};mysql_socket={self._socket}", USER

    def counted(self) -> tuple[int, int, int]:
        query = "SELECT coalesce(sum(count_rcpt), 0), count(*), count(DISTINCT `key`) FROM {}.{}"
        ((units, rows, users),) = self._ask(query.format(DATABASE, self._table))
        return int(units), int(rows), int(users)

    def pids(self) -> list[int]:
        return tree(self._roots)

    def stop(self) -> None:
        end(self._roots)
        self._roots = []

    def size(self) -> int:
        # MyISAM, what mtpolicyd makes: .MYD has the rows, .MYI the indexes.
        return sum(path.stat().st_size for path in (self._data / DATABASE).glob(f"{self._table}.MY?"))

    @property
    def _data(self) -> Path:
        return self._directory / "mariadb"

    @property
    def _socket(self) -> Path:
        return self._directory / "mariadb.sock"

    def _ask(self, query: str) -> list[list[str]]:
        """The rows of a query; none when it fails."""
        command = [_program("mariadb"), "--no-defaults", f"--socket={self._socket}", f"--user={USER}"]
        command += ["--batch", "--skip-column-names", f"--execute={query}"]
        output = subprocess.run(command, capture_output=True, text=True).stdout
        return [line.split("\t") for line in output.splitlines()]


def _program(name: str) -> str:
    return shutil.which(name, path=SEARCH_PATH) or name
