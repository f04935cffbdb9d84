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


def country_file(path: Path, countries: dict[str, str], *, built: int | None = None) -> Path:
    """Write a file of MaxMind's type. Args: countries: by network; built: in Unix seconds, else now."""
    records = {network: {"country": {"iso_code": country}} for network, country in countries.items()}
    write_mmdb(path, "GeoLite2-Country", records)
    if built is not None:
        content = path.read_bytes()
        at = content.rindex(b"build_epoch") + len(b"build_epoch")
        # Four bytes (4) of the type uint64 (9 - 7), as the MaxMind DB specification says.
        assert content[at : at + 2] == b"\x04\x02", content[at:]
        size = 4 if built < 2**32 else 8
        path.write_bytes(content[:at] + bytes([size, 2]) + built.to_bytes(size) + content[at + 6 :])
    return path
