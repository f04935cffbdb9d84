"""UCR over a directory of its own for each test; packages and machines for those of `make test-ucs`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import require_program, require_root
from tests.support.ucr import Ucr
from tests.ucs import packages
from tests.ucs.machine import Machine, booted, chroot, copy, make_base


@pytest.fixture
def ucr(tmp_path: Path) -> Ucr:
    return Ucr(tmp_path / "ucs")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def fresh_template(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A system without the package; newer.deb lies in /srv."""
    require_root()
    require_program("debootstrap", packages="debootstrap")
    require_program("systemd-nspawn", packages="systemd-container")
    directory = tmp_path_factory.mktemp("base")
    make_base(directory / "fresh", repository)
    shutil.copy(packages.newer(repository, directory), directory / "fresh/srv/newer.deb")
    yield directory / "fresh"
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def installed_template(fresh_template: Path) -> Path:
    """A system into which the package was installed while no systemd ran, as an image is made."""
    installed = fresh_template.with_name("installed")
    copy(fresh_template, installed)
    chroot(installed, "apt-get install --yes univention-mtpolicyd")
    return installed


@pytest.fixture
def fresh(fresh_template: Path, tmp_path: Path) -> Iterator[Machine]:
    with booted(fresh_template, tmp_path / "machine") as machine:
        yield machine


@pytest.fixture
def machine(installed_template: Path, tmp_path: Path) -> Iterator[Machine]:
    """Booted, with the services ready."""
    with booted(installed_template, tmp_path / "machine") as machine:
        machine.wait_ready()
        yield machine
