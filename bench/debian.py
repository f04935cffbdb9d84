"""Debian's packages on this machine."""

import subprocess


def package_versions(*names: str) -> dict[str, str]:
    """The versions of those that are installed."""
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package} ${Version}\n", *names]
    try:
        output = subprocess.run(command, capture_output=True, text=True).stdout
    except FileNotFoundError:  # not Debian
        return {}
    rows = [line.split(" ") for line in output.splitlines()]
    return {name: version for status, name, version in rows if status == "installed"}


def install_hint(packages: str) -> str:
    """The line that helps."""
    return f"apt-get install --no-install-recommends {packages}"
