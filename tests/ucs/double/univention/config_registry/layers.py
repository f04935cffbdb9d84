"""The values, each layer in a file of its own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

ROOT = Path(os.environ.get("UCR_DOUBLE_ROOT", "/"))
# Each beats those before it.
LAYERS = {
    "default": "base-defaults.conf",
    "normal": "base.conf",
    "ldap": "base-ldap.conf",
    "schedule": "base-schedule.conf",
    "forced": "base-forced.conf",
}
Changes = dict[str, tuple[str | None, str | None]]


class ConfigRegistry:
    """All layers as one mapping; `load` before it is read."""

    def __init__(self) -> None:
        self._layers: dict[str, dict[str, str]] = {name: {} for name in LAYERS}

    def load(self) -> None:
        for name in LAYERS:
            self._layers[name] = dict(_read(_file(name)))

    def get(self, key: str, default: str | None = None) -> str | None:
        for name in reversed(LAYERS):
            if key in self._layers[name]:
                return self._layers[name][key]
        return default

    def __getitem__(self, key: str) -> str | None:
        return self.get(key)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def items(self) -> list[tuple[str, str]]:
        names = {key for layer in self._layers.values() for key in layer}
        # Of no order that anybody could count on.
        return [(name, value) for name in names if (value := self.get(name)) is not None]

    def is_true(self, key: str, default: bool = False) -> bool:
        value = self.get(key)
        return default if value is None else value.lower() in ("yes", "true", "1", "enable", "enabled", "on")

    def update(self, changes: Mapping[str, str | None], layer: str) -> Changes:
        """Store in one layer; returns the names with what they were and are for whoever reads all layers."""
        done: Changes = {}
        with _locked(_file(layer)):
            self._layers[layer] = dict(_read(_file(layer)))
            for key, value in changes.items():
                old = self.get(key)
                if value is None:
                    self._layers[layer].pop(key, None)
                else:
                    self._layers[layer][key] = value
                done[key] = (old, self.get(key))
            _write(_file(layer), self._layers[layer])
        return done


def _file(layer: str) -> Path:
    return ROOT / "etc/univention" / LAYERS[layer]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """For a change; not while what follows it is called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".conf.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _read(path: Path) -> Iterator[tuple[str, str]]:
    if path.exists():
        for line in path.read_text(errors="surrogateescape").split("\n"):
            key, colon, value = line.partition(": ")
            if colon and not line.startswith("#"):
                yield key, value


def _write(path: Path, values: Mapping[str, str]) -> None:
    # A value has one line.
    lines = [f"{key}: {value}".replace("\n", "").replace("\r", "") + "\n" for key, value in values.items()]
    new = path.with_suffix(".conf.temp")
    new.write_text("".join(["# univention_ base.conf\n", *sorted(lines)]), errors="surrogateescape")
    new.rename(path)
