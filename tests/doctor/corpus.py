"""The corpus: pairs of main.cf and master.cf with what is expected of the doctor, made by hand.

Each file of tests/doctor/corpus is one pair:

    about       one line
    source      where these settings are documented
    main        main.cf; {etc} is the directory in which it lies
    master      the services of master.cf that take mail, and those that they need to be understood
    [tables]    files in {etc}; those that main.cf names with hash:, btree:, cdb: or lmdb: are compiled
    [ucr]       the registry, for UCS
    accepted    names of milters and filters that the doctor is told are known
    network     the address of another host of mynetworks; without it there is none
    verdict     covered, not_covered, unknown or none
    findings    ids that the doctor must name, all of error and unknown ones, and perhaps others
    [expected]  by service: three letters for mail with a login (from outside, another host of mynetworks,
                127.0.0.1), a blank, three for mail without one:
                c  asked about in time, n  not asked, p  not asked in part, u  unknown, -  cannot come in
    [run]       texts of main.cf that are replaced where Postfix runs (a database that is not there)
    [[trial]]   further mails: sender, recipient
"""

import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from admin.doctor.clients import Origin
from tests.e2e.postfix import LOCAL, settle
from tests.support.programs import require_program, unmet

DIRECTORY = Path(__file__).with_name("corpus")
FOREIGN = "bob@example.net"
LOGIN = "alice@example.org"
CLIENTS = {Origin.OUTSIDE: "203.0.113.7", Origin.HOST: ""}


class Trial(NamedTuple):
    """One mail."""

    sender: str
    recipient: str


class Case(NamedTuple):
    """One file."""

    name: str
    about: str
    main: str
    master: str
    tables: dict[str, str]
    ucr: dict[str, str]
    network: str
    verdict: str
    findings: list[str]
    accepted: frozenset[str]
    expected: dict[str, str]
    replaced: dict[str, str]
    trials: list[Trial]

    def client(self, origin: Origin) -> str:
        """The address that XCLIENT gives; empty: none."""
        return self.network if origin is Origin.NETWORK else CLIENTS[origin]

    def mails(self, *, login: bool, origin: Origin) -> list[Trial]:
        """What is tried: a relay attempt from outside is nobody's mail."""
        sender = LOGIN if login or origin is not Origin.OUTSIDE else FOREIGN
        common = [Trial(sender, LOCAL), Trial(sender, FOREIGN)]
        return [*(common[:1] if sender == FOREIGN else common), *self.trials]

    def write(self, directory: Path) -> None:
        """main.cf, master.cf, tables and registry."""
        (directory / "main.cf").write_text(self.main.replace("{etc}", str(directory)))
        (directory / "master.cf").write_text(self.master.replace("{etc}", str(directory)))
        settle(directory)
        for name, text in self.tables.items():
            (directory / name).write_text(text.replace("{etc}", str(directory)))
        if self.ucr:
            lines = (f"{key}: {value}\n" for key, value in self.ucr.items())
            (directory / "base.conf").write_text("# univention\n" + "".join(lines))


def require_tables(*kinds: str) -> None:
    """Kinds of tables that Debian has in packages of their own."""
    postconf = require_program("postconf", packages="postfix")
    known = subprocess.run([postconf, "-m"], capture_output=True, check=True, text=True).stdout.split()
    missing = [f"postfix-{kind}" for kind in kinds if kind not in known]
    if missing:
        unmet(f"Postfix lacks kinds of tables: apt-get install {' '.join(missing)}")


def read(path: Path) -> Case:
    """One file of the corpus."""
    found: dict[str, Any] = tomllib.loads(path.read_text())
    return Case(
        path.stem,
        found["about"],
        found["main"],
        found["master"],
        found.get("tables", {}),
        found.get("ucr", {}),
        found.get("network", ""),
        found["verdict"],
        found["findings"],
        frozenset(found.get("accepted", [])),
        found["expected"],
        found.get("run", {}),
        [
            Trial(trial.get("sender", LOGIN), trial.get("recipient", FOREIGN))
            for trial in found.get("trial", [])
        ],
    )


CASES = [read(path) for path in sorted(DIRECTORY.glob("*.toml"))]
