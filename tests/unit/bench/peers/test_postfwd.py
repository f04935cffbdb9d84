"""postfwd's command line."""

from pathlib import Path

from bench.peers.postfwd import arguments


def test_the_command_line(tmp_path: Path) -> None:
    """One rule that counts by login; everything of it lies in its directory."""
    found = arguments(tmp_path, port=7, threshold=9)

    assert "--port=7" in found
    assert f"--pidfile={tmp_path}/postfwd.pid" in found
    assert f"--cache_port={tmp_path}/postfwd.cache" in found
    assert [item for item in found if item.startswith("--rule=")] == [
        "--rule=id=QUOTA; sasl_username=~.; action=rate(sasl_username/9/86400/DEFER daily limit reached)"
    ]
