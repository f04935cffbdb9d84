"""The server that always says DUNNO."""

from pathlib import Path

from bench.limit import Limit
from tests.support.policy import PolicyClient
from tests.support.programs import require_program


def test_it_says_dunno(tmp_path: Path) -> None:
    """To each request of a connection, until it is stopped."""
    require_program("cc", packages="gcc libc6-dev")
    limit = Limit()
    limit.start(tmp_path, threshold=1)
    try:
        (pids,) = limit.parts().values()
        assert len(pids) == 1
        with PolicyClient(limit.port) as client:
            assert [client.ask(), client.ask()] == ["DUNNO", "DUNNO"]
    finally:
        limit.stop()
    limit.stop()
    assert limit.parts() == {"dunno": []}
