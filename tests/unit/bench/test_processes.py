"""Memory, processor time, and families of processes."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.interface import StartProblem
from bench.processes import (
    cpu_seconds,
    end,
    free_port,
    is_listening,
    pss,
    pss_bytes,
    spawn,
    stat_fields,
    tree,
    wait,
    wait_for,
)

SMAPS_ROLLUP = """\
55d0c0a00000-7ffd8a3f2000 ---p 00000000 00:00 0                          [rollup]
Rss:               48000 kB
Pss:               40123 kB
Pss_Dirty:         30000 kB
Shared_Clean:       8000 kB
"""
# A process that starts another one, which is not ended with it.
CHILD = "import time; print(1, flush=True); time.sleep(60)"
FAMILY = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_pss_is_read_in_bytes() -> None:
    """The line Pss, no other one that begins like it."""
    assert pss_bytes(SMAPS_ROLLUP) == 40123 * 1024


def test_a_text_without_pss_is_an_error() -> None:
    """A kernel thread's, for one."""
    with pytest.raises(ValueError, match="no Pss"):
        pss_bytes("Rss: 1 kB\n")


def test_our_own_memory_and_that_of_a_process_that_has_ended() -> None:
    """Something for us, nothing for it."""
    assert pss([os.getpid()]) > 1024**2
    assert pss([2**22 + 1]) == 0


def test_a_command_with_spaces_and_parentheses() -> None:
    """Fields are counted from behind its last parenthesis."""
    assert stat_fields("7 (a) b (c)) S 1 7 7 0")[:2] == ["S", "1"]


def test_processor_time_is_that_of_the_process() -> None:
    """User and system time."""
    expected = time.process_time()

    assert cpu_seconds([os.getpid()]) == pytest.approx(expected, abs=0.1)


def test_a_family_is_found_and_ended(tmp_path: Path) -> None:
    """Also a child that its parent leaves behind."""
    log = tmp_path / "log"
    parent = spawn([sys.executable, "-c", FAMILY], log, cwd=tmp_path)
    wait_for(lambda: log.read_text() == "1\n", "the family", log, lambda: tree([parent]))
    family = tree([parent])
    assert len(family) == 2

    end([parent])

    assert tree(family) == []


def test_a_process_can_be_waited_for(tmp_path: Path) -> None:
    """A daemon's starter, for one."""
    pid = spawn([sys.executable, "-c", "print(2)"], tmp_path / "log")

    wait(pid)

    assert (tmp_path / "log").read_text() == "2\n"
    assert tree([pid]) == []


def test_ending_nothing_or_what_has_ended_is_fine() -> None:
    """Stop may come twice."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        end([])
        end([process.pid])


def test_a_start_that_fails_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """At once when the processes have ended."""
    log = tmp_path / "log"
    log.write_text("no such module\n")

    with pytest.raises(StartProblem, match="x does not start:\nno such module"):
        wait_for(lambda: False, "x", log, list)


def test_a_free_port_is_one_where_nobody_listens() -> None:
    """Until somebody does."""
    port = free_port()
    assert not is_listening(port)
    with socket.create_server(("127.0.0.1", port)):
        assert is_listening(port)
