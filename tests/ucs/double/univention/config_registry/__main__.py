"""`ucr`."""

import sys
from collections.abc import Sequence

from . import handlers, variables
from .layers import ConfigRegistry

OPTIONS = {"--force": "forced", "--ldap-policy": "ldap", "--schedule": "schedule"}


def main(arguments: Sequence[str]) -> int:
    registry = ConfigRegistry()
    registry.load()
    command, *rest = arguments
    layer = "normal"
    while rest and rest[0] in OPTIONS:
        layer = OPTIONS[rest.pop(0)]
    if command == "get":
        value = registry.get(rest[0])
        if value is None:
            return 1
        print(value)
    elif command == "dump":
        print("\n".join(f"{name}: {value}" for name, value in sorted(registry.items())))
    elif command == "set":
        _set(registry, rest, layer)
    elif command == "unset":
        changes = registry.update(dict.fromkeys(rest), layer)
        for name in rest:
            print(f"Unsetting {name}", flush=True)
        handlers.changed(registry, changes)
    elif command == "commit":
        handlers.commit(registry, rest)
    elif command == "register":
        registry.update(variables.defaults(), "default")
        handlers.register(registry, rest[0])
    elif command == "unregister":
        handlers.unregister(rest[0])
    else:
        print(f"E: unknown action {command}", file=sys.stderr)
        return 1
    return 0


def _set(registry: ConfigRegistry, assignments: Sequence[str], layer: str) -> None:
    new = {}
    for text in assignments:
        # The first of both marks: key=value, or key?value, which leaves a value that there is.
        at = min(place for mark in "=?" if (place := text.find(mark)) > 0)
        name, value = text[:at], text[at + 1 :]
        if text[at] == "?" and name in registry:
            print(f"Not updating {name}", flush=True)
            continue
        for doubt in variables.doubts(name, value):
            print(f"W: {name}: {doubt}", file=sys.stderr)
        print(f"{'Setting' if name in registry else 'Create'} {name}", flush=True)
        new[name] = value
    handlers.changed(registry, registry.update(new, layer))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
