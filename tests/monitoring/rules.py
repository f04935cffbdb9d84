"""The rules of deploy/prometheus/rules as data."""

from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.protos import ROOT

RULES = ROOT / "deploy/prometheus/rules"
RUNBOOKS = ROOT / "docs/runbooks"


def rule_files() -> list[str]:
    return [str(path) for path in sorted(RULES.glob("*.yml"))]


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every group."""
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """The alert rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    """The names of what recording rules write."""
    return {rule["record"] for rule in rules() if "record" in rule}
