"""`python -m dashboards DIRECTORY`: write one file for each dashboard."""

import sys
from pathlib import Path

from dashboards import blocked_senders, overview, services
from dashboards.board import Board

BOARDS = (overview.build, blocked_senders.build, services.build)


def write(directory: Path) -> None:
    """Write NAME.json for each; what else is there stays."""
    for build in BOARDS:
        board: Board = build()
        (directory / f"{board.name}.json").write_text(board.json())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
