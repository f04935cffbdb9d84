"""The packages, built as an admin builds them."""

import subprocess
import sys
from pathlib import Path

from tests.compose.stack import copy_checkout
from tests.support.debian import download_wheels
from tests.support.programs import SEARCH_PATH, require_program

VERSION = "0.1.0"
NEWER = "0.1.1"
# What is installed some twenty times and then thrown away need not be small.
QUICK = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}


def build(directory: Path) -> Path:
    """The directory that is the apt repository: what `make deb` does."""
    for program, package in (
        ("dh", "debhelper"),
        ("dpkg-buildpackage", "dpkg-dev"),
        ("apt-ftparchive", "apt-utils"),
    ):
        require_program(program, packages=package)
    checkout = copy_checkout(directory / "checkout")
    download_wheels(checkout / "deploy/wheels")
    done = subprocess.run(
        [checkout / "deploy/ucs/build", directory / "repository", sys.executable],
        env={"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", **QUICK},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return directory / "repository"


def package(repository: Path, name: str = "univention-mtpolicyd") -> Path:
    (found,) = repository.glob(f"{name}_{VERSION}_*.deb")
    return found


def newer(repository: Path, directory: Path) -> Path:
    """The same package with a higher version."""
    tree = directory / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", package(repository), tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}", f"Version: {NEWER}"))
    target = directory / f"univention-mtpolicyd_{NEWER}_amd64.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--build", tree, target], stdout=subprocess.DEVNULL, check=True)
    return target
