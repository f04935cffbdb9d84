"""What the figures were measured on."""

from pathlib import Path

import pytest

from bench.machine import cpu_model, file_system, machine_line, memory_gib, system_name

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
/dev/vdb /var/lib xfs rw 0 0
"""


def test_texts_of_the_kernel_and_the_system() -> None:
    """As they are on Linux and Debian."""
    assert cpu_model("processor\t: 0\nmodel name\t: AMD EPYC 7B13\nmodel name\t: other\n") == "AMD EPYC 7B13"
    assert memory_gib("MemTotal:       25165824 kB\nMemFree: 1 kB\n") == 24.0
    assert system_name('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n') == (
        "Debian GNU/Linux 12 (bookworm)"
    )


def test_what_is_not_said_is_not_an_error() -> None:
    """An ARM machine has no model name."""
    assert cpu_model("processor : 0\n")
    assert memory_gib("") == 0.0
    assert system_name("") == "Linux"
    assert file_system(Path("/x"), "") == "unknown"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/tmp/x", "ext4"), ("/dev/shm", "tmpfs"), ("/var/lib/x", "xfs"), ("/var/library", "ext4")],
)
def test_the_file_system_of_a_directory(path: str, kind: str) -> None:
    """Of the mount that is nearest."""
    assert file_system(Path(path), MOUNTS) == kind


def test_this_machine(tmp_path: Path) -> None:
    """One line."""
    line = machine_line(tmp_path)

    assert " GiB; " in line
    assert "\n" not in line
