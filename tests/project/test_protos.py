"""The generated code is what the .proto files say."""

import re
from pathlib import Path

import pytest

from tests.support.protos import ROOT, generate


def test_generated_code_is_current(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`make protos` would change nothing."""
    generate(tmp_path)
    capfd.readouterr()
    fresh = {path.name: path.read_text() for path in tmp_path.glob("protos/*_pb2*")}
    committed = {path.name: path.read_text() for path in ROOT.glob("protos/*_pb2*.py*")}

    assert len(fresh) == 16
    assert committed == fresh


@pytest.mark.parametrize("name", ["decision", "decision_admin", "quota", "quota_admin"])
def test_every_message_enum_field_and_value_is_documented(name: str) -> None:
    """A comment stands above each message and enum, and above or behind each field, value and call."""
    lines = (ROOT / f"protos/{name}.proto").read_text().splitlines()
    declared = [
        (before, line)
        for before, line in zip(["", *lines], lines, strict=False)
        if line.startswith(("message ", "enum ")) or re.match(r" +(rpc|oneof|[\w ]+ = \d+;)", line)
    ]

    assert len(declared) > 20
    assert [
        line for before, line in declared if "//" not in line and not before.strip().startswith("//")
    ] == []
