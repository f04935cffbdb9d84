"""Debian as it is on a new system, and the Python packages that go into it."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.programs import SEARCH_PATH
from tests.support.protos import ROOT

# Of each index that apt reads: apt-get(8), indextargets.
FIELDS = "$(CODENAME) $(COMPONENT) $(REPO_URI)"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def bootstrap(target: Path, *, include: str = "") -> None:
    """Debian 12 in a directory, from the mirror that this machine uses.

    Args: include: packages, comma-separated.
    """
    options = [f"--include={include}"] if include else []
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", *options, "bookworm", target, mirror()],
        env={"PATH": SEARCH_PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def mirror() -> str:
    """Where this machine has its Debian from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", FIELDS, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in listed.stdout.splitlines()]
    return next(uri for codename, component, uri in lines if (codename, component) == ("bookworm", "main"))


def unpack(package: str, release: str, target: Path) -> None:
    """A package of another release of Debian in a directory; this machine's lists and packages stay."""
    apt = target.with_name(f"{target.name}-apt")
    for name in ("state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {release} main\n")
    (apt / "status").touch()
    places = {
        "Dir::Etc::sourcelist": "sources.list",
        "Dir::Etc::sourceparts": "none",
        "Dir::Etc::preferencesparts": "none",
        "Dir::State": "state",
        "Dir::State::status": "status",
        "Dir::Cache": "cache",
    }
    options = [word for name, path in places.items() for word in ("-o", f"{name}={apt / path}")]
    # As root apt would hand the download to a user who may not come here.
    options += ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]
    for command in (["update"], ["download", package]):
        done = subprocess.run(["apt-get", *options, *command], cwd=apt, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (file,) = apt.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", file, target], check=True)
    shutil.rmtree(apt)


def download_wheels(target: Path) -> None:
    """What `make wheels` does."""
    shutil.rmtree(target)
    target.mkdir()
    command = "download --quiet --disable-pip-version-check --require-hashes --only-binary :all:"
    subprocess.run(
        [sys.executable, "-m", "pip", *command.split(), "--dest", target, "-r", ROOT / "requirements.lock"],
        check=True,
    )
