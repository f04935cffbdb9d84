"""Processors that do not halt."""

import os
from pathlib import Path

from bench.awake import kept_awake
from bench.build import build
from bench.processes import tree
from tests.support.programs import require_program


def test_each_processor_has_its_process(tmp_path: Path) -> None:
    """Of the lowest kind, and only until it is left."""
    require_program("cc", packages="gcc libc6-dev")
    before = set(tree([os.getpid()]))
    with kept_awake(build("awake", tmp_path)):
        ours = set(tree([os.getpid()])) - before
        placed = sorted(tuple(os.sched_getaffinity(pid)) for pid in ours)
        kinds = {os.sched_getscheduler(pid) for pid in ours}

    assert placed == sorted((processor,) for processor in os.sched_getaffinity(0))
    assert kinds == {os.SCHED_IDLE}
    assert not set(tree([os.getpid()])) & ours
