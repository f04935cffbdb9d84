"""An admin's `ucr`, over a directory of its own, with the files of our package."""

import copy
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.protos import ROOT

UCS = ROOT / "deploy/ucs"
DOUBLE = ROOT / "tests/ucs/double"
PACKAGE = "univention-mtpolicyd"
# Where `dh --with ucr` puts each file: docs.software-univention.de/developer-reference, chapter UCR.
LAYOUT = {
    f"debian/{PACKAGE}.univention-config-registry": f"templates/info/{PACKAGE}.info",
    f"debian/{PACKAGE}.univention-config-registry-variables": f"registry.info/variables/{PACKAGE}.cfg",
    f"debian/{PACKAGE}.univention-service": f"service.info/services/{PACKAGE}.cfg",
    "conffiles/etc/univention-mtpolicyd/settings.toml": (
        "templates/files/etc/univention-mtpolicyd/settings.toml"
    ),
    f"conffiles/{PACKAGE}.py": f"templates/modules/{PACKAGE}.py",
}
# Imported by every Python that is started there: the paths of our own code lie under the same root.
SITE = """
from pathlib import Path
from mtpolicyd_ucs import places
for name, place in list(vars(places).items()):
    if isinstance(place, Path):
        setattr(places, name, Path({root!r}) / place.relative_to("/"))
"""
# Writes down what it is told; units that are active or enabled are files.
SYSTEMCTL = """#!/bin/sh
cd {root}
echo "$*" >>systemctl.log
case "$1" in
    is-active|is-enabled) [ -e "$1/$3" ] ;;
    start)
        if [ -e cannot-start ]; then
            rm cannot-start
            echo "Job failed." >&2
            exit 1
        fi ;;
esac
"""
NOTHING_TO_ASK = "#!/bin/sh\nexit 2\n"


def checking(state: Path) -> str:
    """A command that is the packaged mtpolicyctl. Args: state: of the services."""
    program = Path(sys.executable).with_name("mtpolicyctl")
    return f'#!/bin/sh\nexport MTPOLICYD_STATEDIR={state}\nexec {program} "$@"\n'


class Ucr:
    """Args: root: of all paths; mtpolicyctl: a command in the place of the packaged one."""

    def __init__(self, root: Path, *, mtpolicyctl: str = NOTHING_TO_ASK) -> None:
        self.root = root
        self._site.mkdir(parents=True)
        (self._site / "sitecustomize.py").write_text(SITE.format(root=str(root)))
        self.program("usr/bin/mtpolicyctl", mtpolicyctl)
        self.program("usr/bin/systemctl", SYSTEMCTL.format(root=root))
        self.program("usr/bin/ucr", f'#!/bin/sh\nexec {sys.executable} -m univention.config_registry "$@"\n')
        for source, target in LAYOUT.items():
            place = root / "etc/univention" / target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(UCS / source, place)

    def copied_to(self, root: Path) -> "Ucr":
        """The same with all that was written, at another root: what takes a second need not be done again.

        A file that names the old root names the new one instead.
        """
        shutil.copytree(self.root, root, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        old, new = bytes(self.root), bytes(root)
        for path in root.rglob("*"):
            if path.is_file() and old in (content := path.read_bytes()):
                path.write_bytes(content.replace(old, new))
        other = copy.copy(self)
        other.root = root
        return other

    @property
    def settings_file(self) -> Path:
        return self.root / "etc/univention-mtpolicyd/settings.toml"

    @property
    def _site(self) -> Path:
        return self.root / "site"

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": f"{self.root}/usr/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": f"{self._site}:{DOUBLE}:{UCS}",
            "UCR_DOUBLE_ROOT": str(self.root),
            "LC_ALL": "C.UTF-8",
        }

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Raises AssertionError if the command fails."""
        done = subprocess.run(
            [sys.executable, "-m", "univention.config_registry", *arguments],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def program(self, path: str, text: str) -> None:
        """Args: path: under the root; text: with its first line."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755)

    def called(self) -> list[str]:
        """What systemctl was told to do, without what it was asked."""
        log = self.root / "systemctl.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("is-")]

    def template(self, path: str, text: str, *, variables: str) -> None:
        """Register another package's file. Args: path: without the first /; variables: a pattern."""
        name = path.replace("/", "-")
        templates = self.root / "etc/univention/templates"
        (templates / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (templates / "files" / path).write_text(text)
        info = f"Type: file\nFile: {path}\nVariables: {variables}\n"
        (templates / f"info/{name}.info").write_text(info)
