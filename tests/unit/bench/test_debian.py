"""Debian's packages."""

import subprocess

import pytest

from bench.debian import install_hint, package_versions


def test_versions_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed packages, whose configuration is still there, and unknown ones are left out."""
    output = "installed perl 5.36.0-7\nconfig-files postfwd 1.35-8\n"
    done = subprocess.CompletedProcess([], 1, stdout=output)
    monkeypatch.setattr(subprocess, "run", lambda *args, **more: done)

    assert package_versions("perl", "postfwd", "nothing") == {"perl": "5.36.0-7"}


def test_another_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no dpkg-query."""
    monkeypatch.setenv("PATH", "")

    assert package_versions("perl") == {}


def test_the_hint_is_a_command() -> None:
    """To be copied."""
    assert install_hint("a b") == "apt-get install --no-install-recommends a b"
