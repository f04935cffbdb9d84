"""The table of metrics in docs/MONITORING.md, made of what the services really answer.

`python -m tests.monitoring.metrics_table` writes it anew.
"""

import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.scenario import played
from tests.support.programs import require_program
from tests.support.protos import ROOT
from tests.support.services import Services

DOCUMENT = ROOT / "docs/MONITORING.md"
BEGIN, END = "<!-- metrics -->\n", "<!-- /metrics -->\n"
ORDER = ("frontend", "decision", "quota")


def exposition(services: Services, name: str) -> str:
    """What a service answers at /metrics."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{services.metrics_ports[name]}/metrics", timeout=5
    ) as answer:
        text: str = answer.read().decode()
        return text


def table(services: Services) -> str:
    """One line for each metric of our own, with the services that have it."""
    found: dict[str, dict[str, Metric]] = {}
    for service in ORDER:
        for family in text_string_to_metric_families(exposition(services, service)):
            if family.name.startswith("mtpolicyd_"):
                name = family.name + ("_total" if family.type == "counter" else "")
                found.setdefault(name, {})[service] = family
    return "".join(rows(found))


def rows(found: dict[str, dict[str, Metric]]) -> Iterator[str]:
    yield "| metric | type | labels | service | meaning |\n|---|---|---|---|---|\n"
    for name, families in found.items():
        (kind,) = {family.type for family in families.values()}
        labels = sorted(set().union(*(labels_of(family) for family in families.values())))
        who = "all" if len(families) == len(ORDER) else ", ".join(families)
        meanings = dict.fromkeys(family.documentation for family in families.values())
        shown = ", ".join(f"`{label}`" for label in labels)
        yield f"| `{name}` | {kind} | {shown} | {who} | {' '.join(meanings)} |\n"


def labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def in_document() -> str:
    """The table as it stands there."""
    return DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        with played(require_program("prometheus", packages="prometheus"), Path(directory)) as scenario:
            made = table(scenario.services)
        before, rest = DOCUMENT.read_text().split(BEGIN)
        DOCUMENT.write_text(before + BEGIN + made + END + rest.split(END)[1])
