"""Shell scripts of the package."""

import subprocess

import pytest

from tests.support.programs import require_program
from tests.support.protos import ROOT
from tests.support.ucr import UCS

SCRIPTS = [
    *sorted(UCS.glob("debian/*.p*[nr][sm]*")),
    UCS / "bin/mtpolicyctl",
    UCS / "build",
    *sorted((ROOT / ".ci").iterdir()),
]


def test_all_maintainer_scripts_are_meant() -> None:
    """Of two packages."""
    names = {path.suffix for path in SCRIPTS}

    assert {".postinst", ".prerm", ".postrm"} <= names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: object) -> None:
    """Not even matters of style."""
    program = require_program("shellcheck", packages="shellcheck")
    done = subprocess.run(
        [program, "--severity=style", str(script)], capture_output=True, text=True, check=False
    )

    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("package", ["univention-mtpolicyd", "univention-mtpolicyd-compose"])
def test_purging_spares_what_debian_s_mtpolicyd_has(package: str) -> None:
    """And its purge spares ours: /var/lib/mtpolicyd and /etc/mtpolicyd are none of our places."""
    texts = [path.read_text() for path in UCS.glob(f"debian/{package}.*")]

    assert not [text for text in texts if "/mtpolicyd " in text or "lib/mtpolicyd" in text]
