"""UCR as it is changed from inside: by its command, so that what other packages have registered follows."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mtpolicyd_ucs.settings_file import Registry

COMMAND = "ucr"


class ReadableRegistry(Registry, Protocol):
    """What is needed of univention.config_registry.ConfigRegistry where all names are looked at."""

    def items(self) -> "object":
        """All variables with their values."""


def with_prefix(registry: ReadableRegistry, prefix: str) -> dict[str, str]:
    """The variables whose names begin so."""
    pairs: list[tuple[str, str]] = list(registry.items())  # type: ignore[call-overload]
    return {name: value for name, value in pairs if name.startswith(prefix)}


def change(changes: Mapping[str, str | None]) -> None:
    """Set, or unset what is None. Raises subprocess.CalledProcessError or OSError."""
    new = [f"{name}={value}" for name, value in changes.items() if value is not None]
    old = [name for name, value in changes.items() if value is None]
    for command in (["set", *new] if new else [], ["unset", *old] if old else []):
        if command:
            subprocess.run([COMMAND, *command], stdin=subprocess.DEVNULL, check=True)


def write_file(path: Path, *, environment: Mapping[str, str]) -> None:
    """Have UCR make a file anew. Raises subprocess.CalledProcessError or OSError."""
    command = [COMMAND, "commit", str(path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, env={**os.environ, **environment}, check=True)


def load() -> ReadableRegistry:
    """UCR as it is now."""
    from univention.config_registry import ConfigRegistry  # only UCS has it

    registry: ReadableRegistry = ConfigRegistry()
    registry.load()  # type: ignore[attr-defined]
    return registry
