"""Makes country data files."""

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]

METADATA_MARKER = b"\xab\xcd\xefMaxMind.com"


def write_mmdb(path: Path, database_type: str, records: dict[str, Any]) -> Path:
    """Write a file with these records by network, for both IPv4 and IPv6."""
    writer = MMDBWriter(6, database_type, ["en"], "made for a test", ipv4_compatible=True)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return path
