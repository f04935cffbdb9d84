"""What packages have registered, and what is called when variables change."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from grp import getgrnam
from os import chown
from pathlib import Path
from pwd import getpwnam
from random import random
from typing import NamedTuple

from .layers import ROOT, ConfigRegistry
from .templates import render

TEMPLATES = ROOT / "etc/univention/templates"
Section = Mapping[str, list[str]]


class File(NamedTuple):
    """A section `Type: file`."""

    path: str  # without the first /
    variables: tuple[str, ...]
    section: Section

    @property
    def source(self) -> Path:
        return TEMPLATES / "files" / self.path

    @property
    def target(self) -> Path:
        return ROOT / self.path

    def __call__(self, registry: ConfigRegistry, changes: object) -> None:
        """Write the file and call what has to follow."""
        self._call("Preinst", "preinst", registry, changes)
        print(f"File: /{self.path}", flush=True)
        self.target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = self.target.with_name(f".{self.target.name}__ucr__commit__{random()}")
        new.write_text(render(self.source.read_text(), registry, self.source))
        new.chmod(int(self.section["Mode"][0], 8) if "Mode" in self.section else 0o644)
        if "User" in self.section or "Group" in self.section:
            user = getpwnam(self.section.get("User", ["root"])[0]).pw_uid
            group = getgrnam(self.section.get("Group", ["root"])[0]).gr_gid
            chown(new, user, group)
        new.rename(self.target)
        self._call("Postinst", "postinst", registry, changes)

    def _call(self, key: str, function: str, registry: ConfigRegistry, changes: object) -> None:
        for name in self.section.get(key, []):
            call_module(name, function, registry, changes)


class Module(NamedTuple):
    """A section `Type: module`."""

    name: str
    variables: tuple[str, ...]

    def __call__(self, registry: ConfigRegistry, changes: object) -> None:
        print(f"Module: {self.name}", flush=True)
        call_module(self.name, "handler", registry, changes)


Handler = File | Module


def call_module(name: str, function: str, registry: ConfigRegistry, changes: object) -> None:
    """Load it anew from its directory and call it. What is missing is told; another exception ends us."""
    place = str(TEMPLATES / "modules")
    sys.path.insert(0, place)
    try:
        module = __import__(name.removesuffix(".py"))
        getattr(module, function)(registry, changes)
    except (AttributeError, ImportError) as error:
        print(error, file=sys.stderr)
    sys.path.remove(place)


def sections(text: str) -> Iterator[Section]:
    """The sections of an info file: `Name: value` lines, empty lines between them."""
    for part in re.split(r"\n\s*\n", text):
        section: dict[str, list[str]] = {}
        for line in part.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith("#"):
                section.setdefault(name.strip(), []).append(value.strip())
        if section:
            yield section


def handlers(package: str = "*") -> list[Handler]:
    """Those of one package, or of all."""
    found: list[Handler] = []
    for info in sorted((TEMPLATES / "info").glob(f"{package}.info")):
        for section in sections(info.read_text()):
            variables = tuple(section.get("Variables", []))
            if section["Type"] == ["file"]:
                path = section["File"][0].lstrip("/")
                text = (TEMPLATES / "files" / path).read_text()
                found.append(File(path, (*variables, *re.findall("@%@([^@]+)@%@", text)), section))
            elif section["Type"] == ["module"]:
                found.append(Module(section["Module"][0], variables))
    return found


def changed(registry: ConfigRegistry, changes: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Call whoever has named one of these: a regular expression that matches the beginning of the name."""
    for handler in handlers():
        if any(re.match(pattern, name) for pattern in handler.variables for name in changes):
            handler(registry, dict(changes))


def commit(registry: ConfigRegistry, files: Iterable[str]) -> None:
    """Call those of these files, or all. `changes` has values, not pairs, and names that nobody has.

    Args: files: as of /, or as of the root of the double.
    """
    wanted = {name.removeprefix(str(ROOT)).lstrip("/") for name in files}
    for handler in handlers():
        if not wanted or (isinstance(handler, File) and handler.path in wanted):
            odd = {}
            for pattern in handler.variables:
                names = [pattern.replace(".*", str(n)) for n in range(4)] if ".*" in pattern else [pattern]
                odd.update({name: registry.get(name) for name in names})
            handler(registry, odd)


def register(registry: ConfigRegistry, package: str) -> None:
    """Call all of a package. `changes` has the patterns themselves for names."""
    for handler in handlers(package):
        handler(registry, {pattern: registry[pattern] for pattern in handler.variables})


def unregister(package: str) -> None:
    """Remove the files of a package."""
    for handler in handlers(package):
        if isinstance(handler, File):
            handler.target.unlink(missing_ok=True)
