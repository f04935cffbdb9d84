"""What the activation has changed in UCR, so that it can be undone exactly.

A variable that somebody has changed since is his: it is left as it is, and told.
"""

import json
import os
from collections.abc import Iterable, Mapping

from mtpolicyd_ucs import places
from mtpolicyd_ucs.registry import ReadableRegistry, change
from mtpolicyd_ucs.telling import say


class Changes:
    """Of a variable: what it was, and what it was set to. Raises OSError if that cannot be read."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[str | None, str]] = {}
        if places.ACTIVATION.exists():
            try:
                read = json.loads(places.ACTIVATION.read_text())
                self._made = {name: (before, after) for name, (before, after) in read.items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise OSError(f"{places.ACTIVATION} is damaged, so nothing can be undone by it") from error

    def __bool__(self) -> bool:
        return bool(self._made)

    def values(self) -> list[str]:
        """What was set."""
        return [after for _, after in self._made.values()]

    def ours(self, registry: ReadableRegistry) -> dict[str, str]:
        """Variables that are still as they were set here."""
        return {name: after for name, (_, after) in self._made.items() if registry.get(name) == after}

    def make(self, registry: ReadableRegistry, wanted: Mapping[str, str]) -> None:
        """Set what is not so already. It is written down first: what ends us in between can be undone."""
        new = {name: value for name, value in wanted.items() if registry.get(name) != value}
        for name, value in new.items():
            before = self._made[name][0] if name in self.ours(registry) else registry.get(name)
            self._made[name] = (before, value)
        self._write()
        change(dict(new))

    def undo(self, registry: ReadableRegistry, names: Iterable[str] | None = None) -> None:
        """Set variables back, or unset them. Args: names: default: all."""
        ours = self.ours(registry)
        chosen = [name for name in self._made if names is None or name in names]
        for name in chosen:
            if name not in ours and registry.get(name) is not None:
                say(f"{name} was changed since, and stays {registry.get(name)!r}")
        change({name: self._made[name][0] for name in chosen if name in ours})
        for name in chosen:
            del self._made[name]
        self._write()

    def _write(self) -> None:
        if not self._made:
            places.ACTIVATION.unlink(missing_ok=True)
            return
        places.ACTIVATION.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = places.ACTIVATION.with_suffix(".new")
        with new.open("w") as file:
            file.write(json.dumps(self._made, indent=1, sort_keys=True))
            file.flush()
            os.fsync(file.fileno())
        new.replace(places.ACTIVATION)
