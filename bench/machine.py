"""What the figures were measured on."""

import os
import platform
import re
import subprocess
from pathlib import Path

MEMORY_UNIT = 1024**2  # kB of /proc/meminfo in a GiB


def cpu_model(cpuinfo: str) -> str:
    """The first model name in the text of /proc/cpuinfo."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def memory_gib(meminfo: str) -> float:
    """MemTotal in the text of /proc/meminfo."""
    found = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) / MEMORY_UNIT if found else 0.0


def system_name(os_release: str) -> str:
    """PRETTY_NAME in the text of /etc/os-release."""
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', os_release, re.MULTILINE)
    return found[1] if found else platform.system()


def file_system(directory: Path, mounts: str) -> str:
    """The type of the file system that holds a directory, by the text of /proc/mounts."""
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _, place, type_, *_ = line.split(" ")
        if directory.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, type_
    return kind


def machine_line(scratch: Path) -> str:
    """Processor, cores, memory, system, kernel, and where the state lies, in one line."""
    cpu = cpu_model(Path("/proc/cpuinfo").read_text())
    memory = memory_gib(Path("/proc/meminfo").read_text())
    system = system_name(Path("/etc/os-release").read_text())
    state = file_system(scratch.resolve(), Path("/proc/mounts").read_text())
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, {memory:.0f} GiB; {system}, Linux {platform.release()}; state on {state}"


def compiler() -> str:
    """The first line of `cc --version`."""
    output = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout
    return output.partition("\n")[0]
